//! Who may invoke a function beside its own account: the statements of its resource policy, given and taken one by one. A rule
//! may only invoke what it was let in to.

use policy::iam::is_account;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use wire::Refusal;
use wire::lambda::{
    AddPermissionRequest, AddPermissionResponse, GetPolicyRequest, GetPolicyResponse, RemovePermissionRequest,
};

use super::names::{LATEST, Named, conflict, invalid};
use super::{FUNCTIONS, Known, known, named, unbuilt, versions};
use crate::operation::{Answer, Op, ops};
use crate::scope::{Read, Write};

pub(crate) const OPS: &[Op] = ops! {
    write add_permission on any;
    write remove_permission on any;
    read get_policy on any;
};

/// The service behind rules.
const IOT: &str = "iot.amazonaws.com";

/// Bytes of a policy, as AWS has it.
const POLICY: usize = 20 * 1024;

/// One statement.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Permission {
    sid: String,
    /// The version or alias it is for; without one, for the function.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    qualifier: Option<String>,
    action: String,
    principal: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source_arn: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source_account: Option<String>,
}

impl Permission {
    /// As it stands in the policy.
    fn statement(&self, arn: &str) -> Value {
        let mut statement = json!({
            "Sid": self.sid,
            "Effect": "Allow",
            "Principal": principal(&self.principal),
            "Action": self.action,
            "Resource": arn,
        });
        let mut condition = serde_json::Map::new();
        if let Some(account) = &self.source_account {
            condition.insert("StringEquals".to_owned(), json!({ "AWS:SourceAccount": account }));
        }
        if let Some(source) = &self.source_arn {
            condition.insert("ArnLike".to_owned(), json!({ "AWS:SourceArn": source }));
        }
        if !condition.is_empty() {
            statement["Condition"] = Value::Object(condition);
        }
        statement
    }

    /// Whether it lets a rule in.
    fn admits(&self, rule_arn: &str, account: &str) -> bool {
        let is_invocation = ["lambda:InvokeFunction", "lambda:*", "*"].contains(&self.action.as_str());
        is_invocation
            && [IOT, "*"].contains(&self.principal.as_str())
            && self.source_account.as_deref().is_none_or(|wanted| wanted == account)
            && self.source_arn.as_deref().is_none_or(|pattern| is_like(pattern, rule_arn))
    }
}

/// The principal as a policy has it: a service, an account, somebody in it, or everybody.
fn principal(text: &str) -> Value {
    if text == "*" {
        return Value::from("*");
    }
    if is_account(text) {
        return json!({ "AWS": format!("arn:aws:iam::{text}:root") });
    }
    if text.starts_with("arn:") { json!({ "AWS": text }) } else { json!({ "Service": text }) }
}

/// Whether an ARN is like a pattern, in which `*` stands for anything and `?` for one character.
fn is_like(pattern: &str, arn: &str) -> bool {
    let (pattern, arn) = (pattern.as_bytes(), arn.as_bytes());
    let (mut at, mut read, mut star) = (0, 0, None);
    while read < arn.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, read));
                at += 1;
            }
            Some(byte) if *byte == b'?' || *byte == arn[read] => {
                at += 1;
                read += 1;
            }
            _ => {
                let Some((back, taken)) = star else { return false };
                star = Some((back, taken + 1));
                at = back + 1;
                read = taken + 1;
            }
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

/// Whether a rule may invoke a function, which it names as its action does. AWS asks the function's policy, and so do we.
pub(crate) fn may_be_invoked_by_rule(db: Read, function: &str, rule_arn: &str) -> Answer<bool> {
    let named = named(db, function, None)?;
    let known = known(db, &named)?;
    let of_same = known.permissions.iter().filter(|it| it.qualifier.as_deref() == named.beyond_latest());
    Ok(of_same.into_iter().any(|it| it.admits(rule_arn, &db.cx.scope.account)))
}

/// The function, whose version or alias must be there if one is named.
fn for_change(db: Read, text: &str, qualifier: Option<&str>, revision: Option<&str>) -> Answer<(Named, Known)> {
    let named = named(db, text, qualifier)?;
    let known = known(db, &named)?;
    match named.beyond_latest() {
        Some(alias) if versions::is_alias(alias) => drop(versions::alias(db, &named.name, alias)?),
        Some(version) => drop(versions::number(db, &named.name, version)?),
        None => {}
    }
    known.latest.expect_revision(revision)?;
    Ok((named, known))
}

/// Whether somebody can be let in by this name: everybody, an account, somebody in IAM, or a service of AWS's.
fn is_principal(text: &str) -> bool {
    let is_service = [".amazonaws.com", ".amazon.com", ".aws.internal"].iter().any(|end| text.ends_with(end));
    text == "*"
        || is_service
        || is_account(text)
        || text.starts_with("arn:aws:iam::")
        || text.starts_with("arn:aws:sts::")
}

fn add_permission(db: &mut Write, input: &AddPermissionRequest) -> Answer<AddPermissionResponse> {
    if input.qualifier() == Some(LATEST) {
        return Err(invalid("We currently do not support adding policies for $LATEST.").into());
    }
    if !is_principal(input.principal()) {
        return Err(invalid("The provided principal was invalid. Please check the principal and try again.").into());
    }
    let (named, mut known) = for_change(db.view(), input.function_name(), input.qualifier(), input.revision_id())?;
    for (name, is_mentioned) in [
        ("FunctionUrlAuthType", input.function_url_auth_type().is_some()),
        ("EventSourceToken", input.event_source_token().is_some()),
        ("PrincipalOrgID", input.principal_org_id().is_some()),
    ] {
        if is_mentioned {
            return Err(unbuilt(name, "leave it out").into());
        }
    }
    let qualifier = named.beyond_latest().map(str::to_owned);
    let permission = Permission {
        sid: input.statement_id().to_owned(),
        qualifier,
        action: input.action().to_owned(),
        principal: input.principal().to_owned(),
        source_arn: input.source_arn().map(str::to_owned),
        source_account: input.source_account().map(str::to_owned),
    };
    if known.permissions.iter().any(|it| it.sid == permission.sid && it.qualifier == permission.qualifier) {
        let sid = &permission.sid;
        return Err(conflict(format!(
            "The statement id ({sid}) provided already exists. Please provide a new statement id, or remove the \
             existing statement."
        ))
        .into());
    }
    let statement = permission.statement(&named.arn(&db.cx.scope)).to_string();
    known.permissions.push(permission);
    if policy(&known, &named, db.view()).is_some_and(|policy| policy.len() > POLICY) {
        let message = format!("The final policy size is bigger than the limit ({POLICY}).");
        return Err(Refusal::new("PolicyLengthExceededException", message).with("Type", "User").into());
    }
    db.put(&FUNCTIONS, [&named.name], &known)?;
    Ok(AddPermissionResponse::new().with_statement(statement))
}

fn remove_permission(db: &mut Write, input: &RemovePermissionRequest) -> Answer<()> {
    let whose = named(db.view(), input.function_name(), input.qualifier())?;
    if !db.view().contains(&FUNCTIONS, [&whose.name])? {
        let message = format!("No policy found for: {}", whose.arn(&db.cx.scope));
        return Err(Refusal::resource_not_found(message).with("Type", "User").into());
    }
    let (named, mut known) = for_change(db.view(), input.function_name(), input.qualifier(), input.revision_id())?;
    let sid = input.statement_id();
    if sid.is_empty() {
        return Err(invalid("A statement has an id").into());
    }
    if !known.permissions.iter().any(|it| it.qualifier.as_deref() == named.beyond_latest()) {
        let message = "No policy is associated with the given resource.";
        return Err(Refusal::resource_not_found(message).with("Type", "User").into());
    }
    let before = known.permissions.len();
    known.permissions.retain(|it| it.sid != sid || it.qualifier.as_deref() != named.beyond_latest());
    if known.permissions.len() == before {
        let message = format!("Statement {sid} is not found in resource policy.");
        return Err(Refusal::resource_not_found(message).with("Type", "User").into());
    }
    Ok(db.put(&FUNCTIONS, [&named.name], &known)?)
}

fn get_policy(db: Read, input: &GetPolicyRequest) -> Answer<GetPolicyResponse> {
    let named = named(db, input.function_name(), input.qualifier())?;
    let none = || {
        let message = "The resource you requested does not exist.";
        Refusal::resource_not_found(message).with("Type", "User")
    };
    let known = db.get(&FUNCTIONS, [&named.name])?.ok_or_else(none)?;
    let policy = policy(&known, &named, db).ok_or_else(none)?;
    Ok(GetPolicyResponse::new().with_policy(policy).with_revision_id(&known.latest.revision))
}

/// The policy of a function, or of a version or alias of it; none if nobody was let in.
fn policy(known: &Known, named: &Named, db: Read) -> Option<String> {
    let arn = named.arn(&db.cx.scope);
    let of_same = known.permissions.iter().filter(|it| it.qualifier.as_deref() == named.beyond_latest());
    let statements: Vec<Value> = of_same.map(|it| it.statement(&arn)).collect();
    let policy = json!({ "Version": "2012-10-17", "Id": "default", "Statement": statements });
    (!statements.is_empty()).then(|| policy.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permission(source_arn: Option<&str>) -> Permission {
        Permission {
            sid: "s".to_owned(),
            qualifier: None,
            action: "lambda:InvokeFunction".to_owned(),
            principal: IOT.to_owned(),
            source_arn: source_arn.map(str::to_owned),
            source_account: None,
        }
    }

    #[test]
    fn a_rule_is_let_in_by_service_source_and_account() {
        let rule = "arn:aws:iot:us-east-1:000000000000:rule/R";
        for (pattern, expected) in [
            (None, true),
            (Some(rule), true),
            (Some("arn:aws:iot:us-east-1:000000000000:rule/*"), true),
            (Some("arn:aws:iot:*:000000000000:rule/?"), true),
            (Some("arn:aws:iot:us-east-1:000000000000:rule/Q"), false),
            (Some("arn:aws:iot:us-east-1:000000000000:rule/R*x"), false),
        ] {
            assert_eq!(permission(pattern).admits(rule, "000000000000"), expected, "{pattern:?}");
        }
        let of = |change: fn(&mut Permission)| {
            let mut it = permission(None);
            change(&mut it);
            it.admits(rule, "000000000000")
        };
        assert!(!of(|it| it.principal = "s3.amazonaws.com".to_owned()));
        assert!(!of(|it| it.action = "lambda:GetFunction".to_owned()));
        assert!(!of(|it| it.source_account = Some("000000000001".to_owned())));
        assert!(of(|it| it.source_account = Some("000000000000".to_owned())));
    }

    #[test]
    fn patterns_match_as_arns_do() {
        for (pattern, text, expected) in
            [("*", "", true), ("a*b*c", "a-b-b-c", true), ("a*b", "a-b-", false), ("??", "a", false), ("", "", true)]
        {
            assert_eq!(is_like(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn principals_are_written_by_what_they_are() {
        assert_eq!(principal("*"), json!("*"));
        assert_eq!(principal("000000000000"), json!({ "AWS": "arn:aws:iam::000000000000:root" }));
        assert_eq!(principal("arn:aws:iam::1:role/r"), json!({ "AWS": "arn:aws:iam::1:role/r" }));
        assert_eq!(principal(IOT), json!({ "Service": IOT }));
    }
}
