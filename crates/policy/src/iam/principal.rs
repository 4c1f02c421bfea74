//! Who a trust document speaks of: accounts, users and roles by ARN, services by name. Whether any of them exists is unknown
//! here.

use crate::document::string;
use crate::json::{Kind as Json, Problem, Value};

use super::items;

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub enum Who<'a> {
    /// A service, as in `lambda.amazonaws.com`.
    Service(&'a str),
    /// Somebody of an account, and the ARNs that name them beside the account's.
    Account {
        /// Twelve digits.
        id: &'a str,
        /// As in `arn:aws:iam::000000000000:role/name`.
        arns: &'a [&'a str],
    },
}

/// One principal of a statement.
#[derive(Debug)]
pub(super) enum Principal {
    /// `*`, bare or under `AWS`.
    Anyone,
    /// Under the name of its kind.
    Named {
        /// `AWS`, `Service`, `Federated` or `CanonicalUser`.
        kind: String,
        name: String,
    },
}

impl Principal {
    pub(super) fn covers(&self, who: &Who<'_>) -> bool {
        match (self, who) {
            (Self::Anyone, _) => true,
            (Self::Named { kind, name }, Who::Service(service)) => kind == "Service" && name == service,
            (Self::Named { kind, name }, Who::Account { id, arns }) => {
                let is_account =
                    name == id || name.strip_suffix(":root").is_some_and(|arn| account_of(arn) == Some(id));
                kind == "AWS" && (is_account || arns.contains(&&**name))
            }
        }
    }

    /// IAM's complaint about a name that nobody can have.
    pub(super) fn refused(&self) -> Option<String> {
        let Self::Named { kind, name } = self else { return None };
        let is_good = match &**kind {
            "AWS" => is_account(name) || is_arn(name) || is_unique_id(name),
            "Service" => name.ends_with(".amazonaws.com") || name.ends_with(".aws.internal"),
            _ => !name.is_empty(),
        };
        let kind = if kind == "Service" { "SERVICE" } else { kind };
        (!is_good).then(|| format!("Invalid principal in policy: \"{kind}\":\"{name}\""))
    }
}

/// Whether this is the number of an account: twelve digits.
pub fn is_account(name: &str) -> bool {
    name.len() == 12 && name.bytes().all(|byte| byte.is_ascii_digit())
}

/// The account of an ARN of IAM's or STS's.
fn account_of(arn: &str) -> Option<&str> {
    let mut parts = arn.splitn(6, ':');
    let head = [parts.next()?, parts.next()?, parts.next()?, parts.next()?];
    let known =
        head[0] == "arn" && head[1].starts_with("aws") && ["iam", "sts"].contains(&head[2]) && head[3].is_empty();
    parts.next().filter(|_| known)
}

fn is_arn(name: &str) -> bool {
    let resource = name.splitn(6, ':').nth(5).unwrap_or_default();
    let kinds = ["user/", "role/", "assumed-role/", "federated-user/"];
    let is_somebody =
        resource == "root" || kinds.iter().any(|kind| resource.len() > kind.len() && resource.starts_with(kind));
    is_somebody && !name.contains(['*', '?']) && account_of(name).is_some_and(is_account)
}

/// What IAM puts in the place of somebody who was deleted.
fn is_unique_id(name: &str) -> bool {
    (16..=128).contains(&name.len())
        && name.starts_with('A')
        && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}

/// Reads `"*"` or an object of kinds.
pub(super) fn read(value: Value) -> Result<Vec<Principal>, Problem> {
    let at = value.at;
    let kinds = match value.kind {
        Json::Text(text) if text == "*" => return Ok(vec![Principal::Anyone]),
        Json::Object(kinds) => kinds,
        _ => return Err(Problem::new(at, "expected `*` or an object of principals")),
    };
    let mut found = Vec::new();
    for member in kinds {
        if !["AWS", "Service", "Federated", "CanonicalUser"].contains(&&*member.key) {
            let message = format!("expected AWS, Service, Federated or CanonicalUser, found `{}`", member.key);
            return Err(Problem::new(member.at, message));
        }
        for value in items(member.value) {
            found.push(match string(&value)? {
                "*" if member.key == "AWS" => Principal::Anyone,
                name => Principal::Named { kind: member.key.clone(), name: name.to_owned() },
            });
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aws(name: &str) -> Principal {
        Principal::Named { kind: "AWS".to_owned(), name: name.to_owned() }
    }

    #[test]
    fn an_account_is_named_by_its_number_or_its_root() {
        let who = Who::Account { id: "000000000001", arns: &["arn:aws:iam::000000000001:role/a"] };
        for name in ["000000000001", "arn:aws:iam::000000000001:root", "arn:aws:iam::000000000001:role/a"] {
            assert!(aws(name).covers(&who), "{name}");
        }
        for name in ["000000000002", "arn:aws:iam::000000000002:root", "arn:aws:iam::000000000001:role/b"] {
            assert!(!aws(name).covers(&who), "{name}");
        }
        assert!(!aws("000000000001").covers(&Who::Service("iot.amazonaws.com")));
    }

    #[test]
    fn what_nobody_is_called_is_refused() {
        for name in
            ["arn:aws:iam::000000000001:user/a", "arn:aws:sts::000000000001:assumed-role/a/b", "AROAAAAAAAAAAAAAAAAAA"]
        {
            assert_eq!(aws(name).refused(), None, "{name}");
        }
        for name in
            ["alice", "arn:aws:iam::000000000001:*", "arn:aws:iam::000000000001:role/", "arn:aws:s3:::bucket", "00"]
        {
            assert_eq!(aws(name).refused(), Some(format!("Invalid principal in policy: \"AWS\":\"{name}\"")));
        }
        let service = Principal::Named { kind: "Service".to_owned(), name: "lambda".to_owned() };
        assert_eq!(service.refused().as_deref(), Some("Invalid principal in policy: \"SERVICE\":\"lambda\""));
    }
}
