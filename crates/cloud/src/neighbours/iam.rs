//! Identity and Access Management: users, their access keys and the groups they are in, roles and who may take them, and the
//! policies that say what any of them may do. All of an account are the same in every region. What is asked of the policies is decided elsewhere, by
//! `caller`; here they are kept and brought together.
//!
//! What other nouns want of it stands here: whether a role exists, whether a service may take it, whose ARN is whose.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use policy::iam::{Document, Kind, Malformed, Who};
use store::Fault;
use wire::Refusal;

use crate::operation::{Answer, Failure};
use crate::scope::{Asked, Page, Placed, Read, Write};

pub(crate) mod aliases;
pub(crate) mod attached;
pub(crate) mod grants;
pub(crate) mod groups;
pub(crate) mod inline;
pub(crate) mod keys;
pub(crate) mod lacking;
pub(crate) mod policies;
mod provided;
pub(crate) mod roles;
pub(crate) mod tags;
pub(crate) mod users;

pub(crate) use roles::{Role, role};
pub(crate) use users::User;

/// Whether a service, as in `lambda.amazonaws.com`, may take this role. A role that does not exist may be taken by nobody.
pub(crate) fn service_may_assume(db: Read, role_arn: &str, service: &str) -> Result<bool, Fault> {
    let Some(role) = role(db, role_arn)? else { return Ok(false) };
    Ok(role.trusts(&Who::Service(service), "sts:AssumeRole", &for_service(db, None), db.now()))
}

/// What a trust document may ask about the request of a service: for which account it acts, and for what in it. Of functions and
/// rules the latter is not told (unconfirmed: a document that asks for it trusts nobody then).
pub(crate) fn for_service(db: Read, source_arn: Option<&str>) -> policy::Context {
    let mut values = policy::Context::new();
    values.set("aws:SourceAccount", &db.cx.scope.account);
    if let Some(arn) = source_arn {
        values.set("aws:SourceArn", arn);
    }
    values
}

/// The user of a name, if there is one.
pub(crate) fn user(db: Read, name: &str) -> Result<Option<User>, Fault> {
    Ok(users::filed(db, &folded(name))?.filter(|user| user.name == name))
}

/// The group of a name, if there is one.
pub(crate) fn group(db: Read, name: &str) -> Result<Option<groups::Group>, Fault> {
    Ok(groups::filed(db, &folded(name))?.filter(|group| group.name == name))
}

/// The role of a name, if there is one.
pub(crate) fn role_named(db: Read, name: &str) -> Result<Option<Role>, Fault> {
    Ok(roles::filed(db, &folded(name))?.filter(|role| role.name == name))
}

/// The letters of ids after their prefix.
const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// A new id, such as `AROA…` for a role.
fn new_id(db: &Write, prefix: &str) -> String {
    format!("{prefix}{}", db.cx.entropy.secret().text(LETTERS, 17))
}

/// Names differ by more than case; this is how they are filed.
fn folded(name: &str) -> String {
    name.to_ascii_lowercase()
}

/// `arn:aws:iam::{account}:{kind}{path}{name}`.
pub(crate) fn arn(account: &str, kind: &str, path: &str, name: &str) -> String {
    format!("arn:aws:iam::{account}:{kind}{path}{name}")
}

/// Account, path and name of an ARN of this kind.
fn parts<'a>(arn: &'a str, kind: &str) -> Option<(&'a str, &'a str, &'a str)> {
    let (account, resource) = arn.strip_prefix("arn:aws:iam::")?.split_once(':')?;
    let resource = resource.strip_prefix(kind).filter(|rest| rest.starts_with('/'))?;
    let (path, name) = resource.split_at(resource.rfind('/')? + 1);
    Some((account, path, name)).filter(|_| !name.is_empty())
}

fn no_such_entity(message: impl Into<String>) -> Failure {
    Refusal::new("NoSuchEntity", message).into()
}

fn delete_conflict(message: impl Into<String>) -> Failure {
    Refusal::new("DeleteConflict", message).into()
}

fn limit_exceeded(message: impl Into<String>) -> Failure {
    Refusal::new("LimitExceeded", message).into()
}

/// What IAM leaves as it is when it writes a document into an answer.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A document as answers carry it: percent-encoded.
fn encoded(document: &str) -> String {
    utf8_percent_encode(document, UNRESERVED).to_string()
}

/// Reads a document, or refuses it in IAM's words.
fn document(text: &str, kind: Kind) -> Answer<Document> {
    let malformed = |malformed: Malformed| Refusal::new("MalformedPolicyDocument", malformed.to_string()).into();
    Document::parse(text, kind).map_err(malformed)
}

/// Characters that count against a quota: white space does not.
fn size(document: &str) -> usize {
    document.chars().filter(|letter| !letter.is_whitespace()).count()
}

/// Entries of a page, if the caller does not say.
const PAGE: i64 = 100;

/// A page of a listing.
fn page<T: Placed, P: AsRef<[u8]>>(
    db: Read,
    table: &T,
    parts: impl IntoIterator<Item = P>,
    (marker, max_items): (Option<&str>, Option<i64>),
    keep: impl FnMut(&store::Key, &T::Record) -> bool,
) -> Answer<Page<T::Record>> {
    let page = db.page(table, parts, Asked::new(marker, max_items.or(Some(PAGE))), keep);
    page.map_err(|failure| match failure {
        // unconfirmed: the text.
        Failure::Refusal(_) => Refusal::new("ValidationError", "Invalid Marker.").into(),
        fault => fault,
    })
}

/// The same of a list that is short enough to be made whole.
fn part_of<T>(all: Vec<T>, marker: Option<&str>, max_items: Option<i64>) -> Answer<(Vec<T>, Option<String>)> {
    let bad = |_| Refusal::new("ValidationError", "Invalid Marker.");
    let start: usize = marker.map_or(Ok(0), str::parse).map_err(bad)?;
    let end = start.saturating_add(usize::try_from(max_items.unwrap_or(PAGE)).unwrap_or(0));
    let next = (end < all.len()).then(|| end.to_string());
    Ok((all.into_iter().take(end).skip(start).collect(), next))
}

/// Puts into an answer whether there is more of it, and where.
macro_rules! with_marker {
    ($answer:expr, $next:expr) => {{
        let next: Option<String> = $next;
        let answer = $answer.with_is_truncated(next.is_some());
        match next {
            Some(marker) => answer.with_marker(marker),
            None => answer,
        }
    }};
}
use with_marker;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_is_taken_apart_as_it_was_put_together() {
        for (path, name) in [("/", "a"), ("/service-role/", "b"), ("/x/y/", "c")] {
            let arn = arn("000000000000", "role", path, name);
            assert_eq!(parts(&arn, "role"), Some(("000000000000", path, name)));
            assert_eq!(parts(&arn, "policy"), None);
        }
        for wrong in ["arn:aws:iam::1:role/", "arn:aws:iam::1:rolea", "arn:aws:iot::1:role/a", "arn:aws:iam::1", "a"] {
            assert_eq!(parts(wrong, "role"), None, "{wrong}");
        }
    }

    #[test]
    fn a_document_in_an_answer_is_plain_letters_and_percents() {
        assert_eq!(encoded("{\"a\": \"*/é\"}-_.~"), "%7B%22a%22%3A%20%22%2A%2F%C3%A9%22%7D-_.~");
    }
}
