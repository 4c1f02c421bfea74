//! Buckets: made, listed, found and removed. What lies in them is unknown here, save that a bucket must be empty to go.
//!
//! A bucket's name is its account's alone: two accounts may have a bucket of the same name, which tests like better than AWS's
//! one name for the whole world.

use jiff::Timestamp;
use store::Direction;
use wire::Refusal;
use wire::s3::{Element, FIRST_REGION, Xml, refused};

use super::{BUCKETS, Bucket, OBJECTS, Reply, Request, UPLOADS, all_blocked, multipart, settings, tags};
use crate::operation::Answer;
use crate::scope::{Asked, NO_PARTS, Read, Write};

/// Buckets of an account, as with AWS.
const BUCKETS_OF_ACCOUNT: usize = 10_000;

/// A time as documents hold it.
pub(super) fn iso(milliseconds: i64) -> String {
    let time = Timestamp::from_millisecond(milliseconds).unwrap_or_default();
    time.strftime("%Y-%m-%dT%H:%M:%S.000Z").to_string()
}

/// Who owns everything in an account. AWS has sixty-four hexadecimal digits there that tell nobody anything.
pub(super) fn owner_id(account: &str) -> String {
    format!("{account:0>64}")
}

/// The owner of everything in an account.
pub(super) fn owner(xml: &mut Xml, element: &str, account: &str) {
    xml.element(element, |xml| {
        xml.text("ID", owner_id(account));
        xml.text("DisplayName", account);
    });
}

pub(super) fn create_bucket(db: &mut Write, request: &Request) -> Answer<Reply> {
    let name = request.call.bucket.as_str();
    check_name(name)?;
    let region = location(request, &db.cx.scope.region)?;
    let tags = tags::of_new_bucket(request)?;
    match request.call.header("x-amz-acl") {
        None | Some("private") if !settings::grants(&request.call) => {}
        _ => {
            let message = "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting";
            return Err(refused("InvalidBucketAclWithObjectOwnership", message).into());
        }
    }
    if let Some((_, given)) = request.call.headers().find(|(name, _)| *name == "x-amz-object-ownership") {
        settings::check_ownership(given)?;
    }
    if request.call.header("x-amz-bucket-object-lock-enabled").is_some_and(|enabled| enabled != "false") {
        return Err(wire::s3::not_implemented("CreateBucket with object lock").into());
    }
    let reply = Reply::empty(200).with("location", format!("/{name}"));
    if let Some(there) = db.view().get(&BUCKETS, [name])? {
        // Only the oldest region takes it twice, and not with tags.
        if there.region == FIRST_REGION && region == FIRST_REGION && tags.is_empty() {
            return Ok(reply);
        }
        let message = "Your previous request to create the named bucket succeeded and you already own it.";
        return Err(refused("BucketAlreadyOwnedByYou", message).with("BucketName", name).into());
    }
    if db.view().some(&BUCKETS, NO_PARTS, BUCKETS_OF_ACCOUNT)?.len() == BUCKETS_OF_ACCOUNT {
        return Err(refused("TooManyBuckets", "You have attempted to create more buckets than allowed").into());
    }
    let bucket = Bucket { created: db.now(), region, tags, blocks: all_blocked() };
    db.put(&BUCKETS, [name], &bucket)?;
    Ok(reply)
}

/// The region that a new bucket is to be in: the one that is named, or the one that is called.
fn location(request: &Request, here: &str) -> Result<String, Refusal> {
    let configuration = request.document.as_ref();
    for other in ["Location", "Bucket"] {
        if configuration.is_some_and(|it| it.first(other).is_some()) {
            return Err(wire::s3::not_implemented(format!("CreateBucket with {other}")));
        }
    }
    let named = configuration.and_then(|document| document.text_of("LocationConstraint"));
    match named.filter(|named| !named.is_empty()) {
        Some(named) if here == FIRST_REGION && (named == here || !is_location(named)) => {
            let refusal = refused("InvalidLocationConstraint", "The specified location-constraint is not valid");
            Err(refusal.with("LocationConstraint", named))
        }
        Some(named) if named == here || here == FIRST_REGION => Ok(named.to_owned()),
        None if here == FIRST_REGION => Ok(here.to_owned()),
        named => {
            let named = named.unwrap_or("unspecified");
            let message = format!(
                "The {named} location constraint is incompatible for the region specific endpoint this request was sent to."
            );
            Err(refused("IllegalLocationConstraintException", message))
        }
    }
}

/// Whether this can be a region, by its form, or is the older name of one.
fn is_location(name: &str) -> bool {
    let (place, number) = name.rsplit_once('-').unwrap_or_default();
    let is_region = place.contains('-') && place.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    name == "EU" || (is_region && number.len() == 1 && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The rules of names: three to sixty-three of lower-case letters, digits, dots and hyphens, and not like an address.
fn check_name(name: &str) -> Result<(), Refusal> {
    const BEGINNINGS: [&str; 3] = ["xn--", "sthree-", "amzn-s3-demo-"];
    const ENDS: [&str; 5] = ["-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"];
    let is_known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '.' || c == '-';
    let is_end = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let is_sound = (3..=63).contains(&name.len())
        && name.chars().all(is_known)
        && is_end(name.chars().next())
        && is_end(name.chars().next_back())
        && !name.contains("..")
        && name.parse::<std::net::Ipv4Addr>().is_err()
        && !BEGINNINGS.iter().any(|beginning| name.starts_with(beginning))
        && !ENDS.iter().any(|end| name.ends_with(end));
    if is_sound {
        return Ok(());
    }
    Err(refused("InvalidBucketName", "The specified bucket is not valid.").with("BucketName", name))
}

/// unconfirmed: uploads that were never completed do not keep a bucket; they go with it.
pub(super) fn delete_bucket(db: &mut Write, request: &Request) -> Answer<Reply> {
    let name = request.call.bucket.as_str();
    request.bucket(db.view())?;
    if db.view().first(&OBJECTS, [name])?.is_some() {
        let message = "The bucket you tried to delete is not empty";
        return Err(refused("BucketNotEmpty", message).with("BucketName", name).into());
    }
    let mut freed = Vec::new();
    for (at, _) in db.view().all(&UPLOADS, [name])? {
        freed.extend(multipart::drop_parts(db, &at.text_at(4)?)?);
        db.delete(&UPLOADS, [name, &at.text_at(3)?, &at.text_at(4)?])?;
    }
    db.delete(&BUCKETS, [name])?;
    Ok(Reply::empty(204).freeing(freed))
}

pub(super) fn head_bucket(db: Read, request: &Request) -> Answer<Reply> {
    let bucket = request.bucket(db)?;
    let reply = Reply::empty(200).with("content-type", "application/xml");
    Ok(reply.with("x-amz-bucket-region", bucket.region).with("x-amz-access-point-alias", "false"))
}

pub(super) fn get_bucket_location(db: Read, request: &Request) -> Answer<Reply> {
    let bucket = request.bucket(db)?;
    let location = if bucket.region == FIRST_REGION { "" } else { &bucket.region };
    Ok(Reply::document(Xml::document("LocationConstraint", |xml| xml.say(location))))
}

/// No bucket ever had versions.
pub(super) fn get_bucket_versioning(db: Read, request: &Request) -> Answer<Reply> {
    request.bucket(db)?;
    Ok(Reply::document(Xml::document("VersioningConfiguration", |_| ())))
}

pub(super) fn list_buckets(db: Read, request: &Request) -> Answer<Reply> {
    let asked = |name| request.call.parameter(name).filter(|value| !value.is_empty());
    let prefix = asked("prefix").unwrap_or_default();
    let limit = match asked("max-buckets").map(str::parse) {
        None => BUCKETS_OF_ACCOUNT,
        Some(Ok(limit)) if (1..=BUCKETS_OF_ACCOUNT).contains(&limit) => limit,
        Some(_) => return Err(refused("InvalidArgument", "max-buckets is between 1 and 10000").into()),
    };
    let page = Asked { token: asked("continuation-token"), limit, direction: Direction::Ascending };
    let in_region = |bucket: &Bucket| asked("bucket-region").is_none_or(|region| region == bucket.region);
    let page = db.page(&BUCKETS, NO_PARTS, page, |key, bucket| {
        key.text_at(2).is_ok_and(|name| name.starts_with(prefix)) && in_region(bucket)
    })?;
    let mut listed = Vec::with_capacity(page.items.len());
    for (key, bucket) in page.items {
        listed.push((key.text_at(2)?, bucket));
    }
    Ok(Reply::document(Xml::document("ListAllMyBucketsResult", |xml| {
        owner(xml, "Owner", &db.cx.scope.account);
        xml.element("Buckets", |xml| {
            for (name, bucket) in &listed {
                xml.element("Bucket", |xml| {
                    xml.text("Name", name);
                    xml.text("CreationDate", iso(bucket.created));
                    xml.text("BucketRegion", &bucket.region);
                    xml.text("BucketArn", format_args!("arn:aws:s3:::{name}"));
                });
            }
        });
        xml.maybe("Prefix", asked("prefix"));
        xml.maybe("ContinuationToken", page.next.as_deref());
    })))
}

/// The element of this name that a request must hold for its document.
pub(super) fn document<'r>(request: &'r Request, name: &str) -> Result<&'r Element, Refusal> {
    let found = request.document.as_ref().filter(|document| document.name == name);
    found.ok_or_else(malformed)
}

/// The refusal of a document that is not what its operation takes.
pub(super) fn malformed() -> Refusal {
    let message = "The XML you provided was not well-formed or did not validate against our published schema";
    refused("MalformedXML", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_in_lower_case_and_not_like_an_address() {
        for name in ["abc", "a-b.c", "0bucket9", &"a".repeat(63), "1.2.3"] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        for name in [
            "",
            "ab",
            &"a".repeat(64),
            "Abc",
            "a_b",
            "-ab",
            "ab-",
            ".ab",
            "a..b",
            "192.168.5.4",
            "xn--a",
            "a--x-s3",
            "é12",
        ] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }
}
