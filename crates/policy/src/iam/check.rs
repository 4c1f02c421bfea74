//! What IAM asks of a document beyond its syntax, in the order and in the words in which it complains. What any action or
//! resource means is unknown here.

use super::principal::Principal;
use super::{Document, Kind, OneOf, Statement};

const LEGACY: &str = "The policy failed legacy parsing";

/// The actions that a trust document may speak of.
const OF_STS: [&str; 11] = [
    "sts:AssumeRole",
    "sts:AssumeRoleWithSAML",
    "sts:AssumeRoleWithWebIdentity",
    "sts:DecodeAuthorizationMessage",
    "sts:GetAccessKeyInfo",
    "sts:GetCallerIdentity",
    "sts:GetFederationToken",
    "sts:GetServiceBearerToken",
    "sts:GetSessionToken",
    "sts:SetSourceIdentity",
    "sts:TagSession",
];

/// What a resource of IAM's own begins with.
const OF_IAM: [&str; 13] = [
    "user/",
    "federated-user/",
    "role/",
    "group/",
    "instance-profile/",
    "mfa/",
    "server-certificate/",
    "policy/",
    "sms-mfa/",
    "saml-provider/",
    "oidc-provider/",
    "report/",
    "access-report/",
];

type Checked = Result<(), String>;

/// Checks a whole document.
pub(super) fn document(document: &Document, version: Option<&str>, kind: Kind) -> Checked {
    // unconfirmed: that only managed policies must be of the newer version; older trust documents are everywhere.
    if kind == Kind::Managed && version != Some("2012-10-17") {
        return Err("Policy document must be version 2012-10-17 or greater.".to_owned());
    }
    let statements = &document.statements;
    statements.iter().try_for_each(legacy)?;
    sids(statements)?;
    statements.iter().try_for_each(|statement| match &statement.actions {
        Some(OneOf { items, .. }) if !items.is_empty() => Ok(()),
        _ => Err("Policy statement must contain actions.".to_owned()),
    })?;
    statements
        .iter()
        .try_for_each(|statement| listed(statement.resources.as_ref()).iter().try_for_each(|it| resource(it)))?;
    statements
        .iter()
        .try_for_each(|statement| listed(statement.actions.as_ref()).iter().try_for_each(|it| action(it)))?;
    statements.iter().try_for_each(if kind == Kind::Trust { trust } else { permissions })
}

fn listed(list: Option<&OneOf<String>>) -> &[String] {
    list.map(|list| &*list.items).unwrap_or_default()
}

fn legacy(statement: &Statement) -> Checked {
    if !["Allow", "Deny"].contains(&&*statement.effect) {
        return Err(LEGACY.to_owned());
    }
    Ok(())
}

fn sids(statements: &[Statement]) -> Checked {
    let sids: Vec<&str> = statements.iter().filter_map(|statement| statement.sid.as_deref()).collect();
    if sids.iter().any(|sid| !sid.bytes().all(|byte| byte.is_ascii_alphanumeric())) {
        return Err(
            "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression \
                    [0-9A-Za-z]*"
                .to_owned(),
        );
    }
    let twice =
        sids.iter().enumerate().any(|(at, sid)| !sid.is_empty() && sids.iter().take(at).any(|other| other == sid));
    if twice {
        return Err("Statement IDs (SID) in a single policy must be unique.".to_owned());
    }
    Ok(())
}

fn action(action: &str) -> Checked {
    let (vendor, rest) = action.split_once(':').unwrap_or((action, ""));
    if !action.contains(':') && action != "*" {
        return Err("Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.".to_owned());
    }
    if rest.contains(':') {
        return Err("Actions/Condition can contain only one colon.".to_owned());
    }
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
    if vendor != "*" && !vendor.bytes().all(is_plain) {
        return Err(format!("Vendor {vendor} is not valid"));
    }
    Ok(())
}

fn resource(resource: &str) -> Checked {
    if resource == "*" {
        return Ok(());
    }
    let parts: Vec<&str> = resource.splitn(6, ':').collect();
    let part = |at: usize| parts.get(at).copied().unwrap_or_default();
    if parts.len() < 2 {
        return Err(format!("Resource {resource} must be in ARN format or \"*\"."));
    }
    if part(1) != "*" && part(1) != "aws" && !part(1).starts_with("aws-") {
        return Err(unknown_partition(&parts));
    }
    if parts.len() < 3 {
        return Err("Resource vendor must be fully qualified and cannot contain regexes.".to_owned());
    }
    in_service(resource, part(2), part(3), part(5))?;
    let is_whole = parts.len() == 6 || !resource.contains("::");
    if is_whole && !part(2).is_empty() { Ok(()) } else { Err(LEGACY.to_owned()) }
}

fn unknown_partition(parts: &[&str]) -> String {
    let rest = (2..6).map(|at| match parts.get(at) {
        Some(&"") if parts.len() == 3 => "*",
        Some(part) => part,
        None => "*",
    });
    let (partition, rest) = (parts.get(1).copied().unwrap_or_default(), rest.collect::<Vec<_>>().join(":"));
    format!("Partition \"{partition}\" is not valid for resource \"arn:{partition}:{rest}\".")
}

/// What single services do not have in their ARNs.
fn in_service(resource: &str, service: &str, region: &str, name: &str) -> Checked {
    match service {
        "iam" if !region.is_empty() => Err(format!("IAM resource {resource} cannot contain region information.")),
        "s3" if !region.is_empty() && !name.starts_with("accesspoint/") => {
            Err(format!("Resource {resource} can not contain region information."))
        }
        "iam" if name != "*" && !OF_IAM.iter().any(|start| name.starts_with(start)) => {
            Err(format!("IAM resource path must either be \"*\" or start with {}.", OF_IAM.join(", ")))
        }
        _ => Ok(()),
    }
}

fn permissions(statement: &Statement) -> Checked {
    if statement.principals.is_some() {
        return Err("Policy document should not specify a principal.".to_owned());
    }
    if listed(statement.resources.as_ref()).is_empty() {
        return Err("Policy statement must contain resources.".to_owned());
    }
    Ok(())
}

fn trust(statement: &Statement) -> Checked {
    let actions = statement.actions.as_ref().filter(|list| !list.negated);
    if !actions.is_some_and(|list| list.items.iter().all(|action| OF_STS.contains(&&**action))) {
        return Err("Trust Policy statement actions can only be sts:AssumeRole, sts:AssumeRoleWithSAML,  and \
                    sts:AssumeRoleWithWebIdentity"
            .to_owned());
    }
    if statement.resources.is_some() {
        return Err("Has prohibited field Resource.".to_owned());
    }
    let Some(principals) = &statement.principals else { return Err("Missing required field Principal".to_owned()) };
    principals.items.iter().find_map(Principal::refused).map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(kind: Kind, statements: &str) -> String {
        let text = format!(r#"{{"Version":"2012-10-17","Statement":{statements}}}"#);
        Document::parse(&text, kind).map_or_else(|malformed| malformed.to_string(), |_| "none".to_owned())
    }

    #[test]
    fn a_permission_is_refused_in_the_words_of_iam() {
        let cases = [
            (r#"{"Effect":"allow","Action":"a:b","Resource":"*"}"#, LEGACY),
            (r#"{"Effect":"Allow","Resource":"*"}"#, "Policy statement must contain actions."),
            (r#"{"Effect":"Allow","Action":[],"Resource":"*"}"#, "Policy statement must contain actions."),
            (r#"{"Effect":"Allow","Action":"a:b"}"#, "Policy statement must contain resources."),
            (r#"{"Effect":"Allow","Action":"a:b","Resource":[]}"#, "Policy statement must contain resources."),
            (
                r#"{"Effect":"Allow","Action":"a:b","Resource":"*","Principal":"*"}"#,
                "Policy document should not specify a principal.",
            ),
            (
                r#"[{"Sid":"a","Effect":"Allow","Action":"a:b","Resource":"*"},{"Sid":"a","Effect":"Allow","Action":"a:b","Resource":"*"}]"#,
                "Statement IDs (SID) in a single policy must be unique.",
            ),
            (
                r#"{"Sid":"a b","Effect":"Allow","Action":"a:b","Resource":"*"}"#,
                "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression [0-9A-Za-z]*",
            ),
        ];
        for (statement, wanted) in cases {
            assert_eq!(refused(Kind::Managed, statement), wanted, "{statement}");
        }
        let old = r#"{"Statement":{"Effect":"Allow","Action":"a:b","Resource":"*"}}"#;
        let message = Document::parse(old, Kind::Managed).unwrap_err().to_string();
        assert_eq!(message, "Policy document must be version 2012-10-17 or greater.");
        assert!(Document::parse(old, Kind::Inline).is_ok());
    }

    #[test]
    fn an_action_has_one_vendor() {
        for (text, wanted) in [
            ("*", Ok(())),
            ("iot:Get*", Ok(())),
            ("aws-portal:ViewBilling", Ok(())),
            ("invalid", Err("Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.")),
            ("a:b:c", Err("Actions/Condition can contain only one colon.")),
            ("a a:b", Err("Vendor a a is not valid")),
        ] {
            assert_eq!(action(text), wanted.map_err(str::to_owned), "{text}");
        }
    }

    #[test]
    fn a_resource_is_an_arn() {
        for good in
            ["*", "arn:aws:s3:::bucket/*", "arn:aws:iam::000000000000:role/a", "arn:*:iot:*:*:*", "arn:aws:iam::*:*"]
        {
            assert_eq!(resource(good), Ok(()), "{good}");
        }
        for (text, wanted) in [
            ("invalid resource", r#"Resource invalid resource must be in ARN format or "*"."#),
            ("", r#"Resource  must be in ARN format or "*"."#),
            ("arn:b:c:d:e:f:g:h", r#"Partition "b" is not valid for resource "arn:b:c:d:e:f:g:h"."#),
            ("arn:s3:::example_bucket", r#"Partition "s3" is not valid for resource "arn:s3:::example_bucket:*"."#),
            ("arn:bsdfdsafsad", r#"Partition "bsdfdsafsad" is not valid for resource "arn:bsdfdsafsad:*:*:*:*"."#),
            ("arn:aws", "Resource vendor must be fully qualified and cannot contain regexes."),
            ("arn:aws:s3::example_bucket", LEGACY),
            ("arn:aws::::bucket", LEGACY),
            ("arn:aws:iam:us-east-1::x", "IAM resource arn:aws:iam:us-east-1::x cannot contain region information."),
            ("arn:aws:s3:us-east-1::x", "Resource arn:aws:s3:us-east-1::x can not contain region information."),
        ] {
            assert_eq!(resource(text), Err(wanted.to_owned()), "{text}");
        }
        assert!(
            resource("arn:aws:iam::000000000000:thing/a").unwrap_err().starts_with("IAM resource path must either")
        );
    }

    #[test]
    fn a_trust_is_refused_in_the_words_of_iam() {
        let cases = [
            (r#"{"Effect":"Allow","Action":"sts:AssumeRole"}"#, "Missing required field Principal"),
            (
                r#"{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole","Resource":"*"}"#,
                "Has prohibited field Resource.",
            ),
            (
                r#"{"Effect":"Allow","Principal":{"AWS":"nobody"},"Action":"sts:AssumeRole"}"#,
                r#"Invalid principal in policy: "AWS":"nobody""#,
            ),
        ];
        for (statement, wanted) in cases {
            assert_eq!(refused(Kind::Trust, statement), wanted, "{statement}");
        }
        let message = refused(Kind::Trust, r#"{"Effect":"Allow","Principal":"*","Action":"iot:Publish"}"#);
        assert!(message.starts_with("Trust Policy statement actions can only be sts:AssumeRole"), "{message}");
    }
}
