//! What would let a refused request through: the permission that is missing as the smallest statement, and the commands of the
//! AWS CLI that put it where it belongs. It proposes and changes nothing; whether it is wise is for its reader.

use policy::{Context as Variables, Effect, Explanation, MAX_CHARACTERS, PolicySet, Request, Verdict, literal};
use serde::Serialize;
use serde_json::{Value, json};
use store::Fault;

use super::who::role_name;
use super::{Missing, Why};
use crate::caller::Identity;
use crate::identity::{self, Principal};
use crate::policies::{self, targets};
use crate::scope::Read;
use crate::thing_groups;
use crate::things::{THINGS, Thing};

/// What would let a request through.
#[derive(Clone, Debug, Serialize)]
pub struct Patch {
    /// What it does, in a sentence.
    pub what: String,
    /// The statement to add, or the one that is in the way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statement: Option<Value>,
    /// Commands to paste into a shell.
    pub commands: Vec<String>,
}

/// A refused request and all that is known of it.
pub(super) struct Asked<'a> {
    pub(super) db: Read<'a>,
    pub(super) principal: &'a Principal,
    pub(super) why: &'a Why,
    pub(super) explained: &'a Explanation,
    pub(super) set: &'a PolicySet,
    pub(super) values: &'a Variables,
}

type Found = (Option<Missing>, Option<Patch>);

impl Asked<'_> {
    /// The missing permission, if one is missing, and the patch, if there is one.
    pub(super) fn find(&self, client_id: &str) -> Result<Found, Fault> {
        if let Some(reason) = &self.why.principal.reason {
            return Ok((None, self.let_in(reason)));
        }
        match (self.explained.verdict, self.principal) {
            (Verdict::ImplicitDeny, Principal::Key { identity, .. }) => Ok(self.of_iam(identity)),
            // A Deny of IAM is not taken away by pasting.
            (Verdict::Allowed, _) | (Verdict::ExplicitDeny, Principal::Key { .. }) => Ok((None, None)),
            (Verdict::ExplicitDeny, _) => Ok((None, self.without_the_deny()?)),
            (Verdict::ImplicitDeny, _) => {
                let missing =
                    Missing { action: self.explained.action.clone(), resource: literal(&self.explained.resource) };
                if let Some(patch) = self.attach_to_thing(client_id)? {
                    return Ok((Some(missing), Some(patch)));
                }
                let statement = json!({"Effect": "Allow", "Action": missing.action, "Resource": missing.resource});
                let patch = self.allow(statement)?;
                Ok((Some(missing), Some(patch)))
            }
        }
    }

    /// What a user or a role of IAM is missing, unless a boundary keeps it from having that.
    fn of_iam(&self, identity: &Identity) -> Found {
        let Explanation { action, resource, .. } = self.explained;
        let request = Request::new(action, resource.as_str(), self.db.now()).with(self.values);
        let holder = match identity {
            Identity::User(user) => format!("put-user-policy --user-name {}", user.name),
            Identity::Role(session) => format!("put-role-policy --role-name {}", role_name(session)),
            Identity::Key(_) | Identity::Device { .. } => return (None, None),
        };
        if self.set.limit_of(&request).is_some() {
            return (None, None);
        }
        let missing = Missing { action: action.clone(), resource: literal(resource) };
        let statement = json!({"Effect": "Allow", "Action": missing.action, "Resource": missing.resource});
        let document = quoted(&json!({"Version": "2012-10-17", "Statement": [&statement]}).to_string());
        let name: String = action.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let commands = vec![format!("aws iam {holder} --policy-name allow-{name} --policy-document {document}")];
        let what = "give this statement in a policy of its own; one of the same name is replaced".to_owned();
        (Some(missing), Some(Patch { what, statement: Some(statement), commands }))
    }

    /// What gets a principal through the door.
    fn let_in(&self, reason: &str) -> Option<Patch> {
        let status = self.why.principal.status.as_deref()?;
        if !["INACTIVE", "REVOKED", "PENDING_ACTIVATION"].contains(&status) {
            return None;
        }
        let id = &self.why.principal.id;
        let unless = if status == "REVOKED" { ", unless it was revoked for a good reason" } else { "" };
        Some(Patch {
            what: format!("activate the certificate{unless}: {reason}"),
            statement: None,
            commands: vec![format!("aws iot update-certificate --certificate-id {id} --new-status ACTIVE")],
        })
    }

    /// If the client's name were that of a thing of the certificate and this would be enough: how to make it so.
    fn attach_to_thing(&self, client_id: &str) -> Result<Option<Patch>, Fault> {
        let (db, Principal::Certificate(id)) = (self.db, self.principal) else { return Ok(None) };
        if self.why.thing.name.is_some() || !is_thing_name(client_id) {
            return Ok(None);
        }
        let known = db.get(&THINGS, [client_id])?;
        let groups = if known.is_some() { thing_groups::reaching(db, client_id)? } else { Vec::new() };
        let thing = known.clone().unwrap_or_else(Thing::unnamed);
        let mut variables = self.set.context().clone();
        identity::add_thing(&mut variables, Some(&(client_id.to_owned(), thing)));
        let arn = db.arn(format_args!("cert/{id}"));
        let reaching = targets::reaching(db, Some((&arn, identity::CERTIFICATE)), &groups)?;
        let set = PolicySet::compile(identity::attached(db, reaching)?, variables);
        let Explanation { action, resource, .. } = self.explained;
        if !set.decide(&Request::new(action, resource.as_str(), db.now()).with(self.values)).is_allowed() {
            return Ok(None);
        }
        let mut commands = Vec::new();
        if known.is_none() {
            commands.push(format!("aws iot create-thing --thing-name {client_id}"));
        }
        commands.push(format!("aws iot attach-thing-principal --thing-name {client_id} --principal {arn}"));
        let what = format!(
            "attach the certificate to the thing {client_id}: the policies ask for the thing that the client is, and it is none"
        );
        Ok(Some(Patch { what, statement: None, commands }))
    }

    /// How to take away the statement that denies.
    fn without_the_deny(&self) -> Result<Option<Patch>, Fault> {
        let deny = self.explained.statements.iter().find(|report| report.applies() && report.effect == Effect::Deny);
        let Some(deny) = deny else { return Ok(None) };
        let (name, place) = (&deny.policy, format!("{}[{}]", deny.policy, deny.index));
        let Some((_, text)) = policies::default_version(self.db, name)? else { return Ok(None) };
        let Some((mut document, mut statements)) = opened(&text) else { return Ok(None) };
        if deny.index >= statements.len() {
            return Ok(None);
        }
        let statement = statements.remove(deny.index);
        let what = format!("no permission helps against a Deny: narrow {place}, or take it away as here");
        let commands = if statements.is_empty() {
            self.detach(name)?
        } else {
            document["Statement"] = Value::Array(statements);
            self.new_version(name, &document)?
        };
        Ok(Some(Patch { what, statement: Some(statement), commands }))
    }

    /// The command that takes a policy off what it reaches the principal through.
    fn detach(&self, name: &str) -> Result<Vec<String>, Fault> {
        let mut found = self.own_arn().into_iter().collect::<Vec<_>>();
        if let Some(thing) = &self.why.thing.name {
            let groups = thing_groups::reaching(self.db, thing)?;
            found.extend(groups.iter().map(|reached| thing_groups::arn(self.db, &reached.group)));
        }
        let mut commands = Vec::new();
        for target in found {
            if targets::names(self.db, &target)?.iter().any(|known| known == name) {
                commands.push(format!("aws iot detach-policy --policy-name {name} --target {target}"));
            }
        }
        commands.dedup();
        Ok(commands)
    }

    fn own_arn(&self) -> Option<String> {
        match self.principal {
            Principal::Certificate(id) => Some(self.db.arn(format_args!("cert/{id}"))),
            Principal::Stranger { .. } | Principal::Key { .. } | Principal::Anonymous { .. } => None,
        }
    }

    /// How to give a permission: in a policy that is the principal's alone, in a new one, or in one that others hold too; the
    /// first of these that has room.
    fn allow(&self, statement: Value) -> Result<Patch, Fault> {
        if let Principal::Anonymous { policy, .. } = self.principal {
            return self.added_to(vec![policy.clone()], statement, "which is that of everybody without credentials");
        }
        let Some(arn) = self.own_arn() else { return self.own_policy(statement) };
        let (mut alone, mut shared) = (Vec::new(), Vec::new());
        for name in targets::names(self.db, &arn)? {
            if targets::is_shared(self.db, &name)? { shared.push(name) } else { alone.push(name) }
        }
        if !targets::has_room(self.db, &arn)? {
            alone.append(&mut shared);
            return self.added_to(alone, statement, "which others may hold too");
        }
        self.added_to(alone, statement, "which nobody else holds")
    }

    /// A statement more in the first of these policies that takes it, or else a policy of its own.
    fn added_to(&self, policies: Vec<String>, statement: Value, whose: &str) -> Result<Patch, Fault> {
        for name in policies {
            if let Some(document) = self.with_statement(&name, &statement)? {
                let commands = self.new_version(&name, &document)?;
                let what = format!("add this statement to the policy {name}, {whose}");
                return Ok(Patch { what, statement: Some(statement), commands });
            }
        }
        self.own_policy(statement)
    }

    /// The document of a policy with one statement more, if it takes it.
    fn with_statement(&self, name: &str, statement: &Value) -> Result<Option<Value>, Fault> {
        let Some((_, text)) = policies::default_version(self.db, name)? else { return Ok(None) };
        if policies::version_in_the_way(self.db, name)?.is_some() {
            return Ok(None);
        }
        let Some((mut document, mut statements)) = opened(&text) else { return Ok(None) };
        statements.push(statement.clone());
        document["Statement"] = Value::Array(statements);
        let length = document.to_string().chars().filter(|c| !c.is_whitespace()).count();
        // The older version has no escapes, so a resource could not be spelt in it.
        let fits = length <= MAX_CHARACTERS && document["Version"] == "2012-10-17";
        Ok(fits.then_some(document))
    }

    /// A policy for this alone.
    fn own_policy(&self, statement: Value) -> Result<Patch, Fault> {
        let verb = self.explained.action.rsplit(':').next().unwrap_or_default().to_ascii_lowercase();
        let verb: String = verb.chars().filter(char::is_ascii_alphanumeric).collect();
        let id: String = self.why.principal.id.chars().filter(char::is_ascii_alphanumeric).take(12).collect();
        let mut name = format!("allow-{verb}-{id}");
        for number in 2..10 {
            if policies::document(self.db, &name)?.is_none() {
                break;
            }
            name = format!("allow-{verb}-{id}-{number}");
        }
        let document = json!({"Version": "2012-10-17", "Statement": [&statement]});
        let document = quoted(&document.to_string());
        let mut commands = vec![format!("aws iot create-policy --policy-name {name} --policy-document {document}")];
        if let Some(target) = self.own_arn() {
            commands.push(format!("aws iot attach-policy --policy-name {name} --target {target}"));
        }
        let what = "make a policy of this statement, and attach it to the certificate".to_owned();
        Ok(Patch { what, statement: Some(statement), commands })
    }

    fn new_version(&self, name: &str, document: &Value) -> Result<Vec<String>, Fault> {
        let mut commands = Vec::new();
        if let Some(number) = policies::version_in_the_way(self.db, name)? {
            commands.push(format!("aws iot delete-policy-version --policy-name {name} --policy-version-id {number}"));
        }
        let document = quoted(&document.to_string());
        commands.push(format!(
            "aws iot create-policy-version --policy-name {name} --set-as-default --policy-document {document}"
        ));
        Ok(commands)
    }
}

/// A document and its statements, as they are written.
fn opened(text: &str) -> Option<(Value, Vec<Value>)> {
    let document: Value = serde_json::from_str(text).ok()?;
    let statements = match document.get("Statement")? {
        Value::Array(statements) => statements.clone(),
        one => vec![one.clone()],
    };
    Some((document, statements))
}

/// A text as one word of a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn is_thing_name(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b":_-".contains(&byte);
    (1..=128).contains(&text.len()) && text.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_text_is_one_word() {
        assert_eq!(quoted(r#"{"a":"b c"}"#), r#"'{"a":"b c"}'"#);
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
