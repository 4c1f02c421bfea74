//! Whom the functions of rules ask: shadows, the registry, tables and secrets of the rule's own scope are answered from the
//! store; what is outside is asked by others and answered later. Knows nothing of statements.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use sql::{Call, KeyValue, RegistryApi, Reply, SecretKind, World};
use store::Fault;
use wire::iot::{DescribeThingRequest, ListThingGroupsForThingRequest};
use wire::{Input, Output, Refusal, Request as _};

use crate::actions::Service;
use crate::neighbours::functions::permissions;
use crate::neighbours::{secrets, sts, tables};
use crate::operation::{Answer, Failure};
use crate::permissions::{self as needs, Need};
use crate::scope::Read;
use crate::thing_groups::members;
use crate::{shadows, things};

/// The world of one evaluation.
pub(super) struct RuleWorld<'a> {
    db: Read<'a>,
    /// The rule that asks; none while a statement is only tried, by somebody who may invoke any function.
    rule: Option<&'a str>,
    /// What others have answered.
    answers: &'a HashMap<Call, Reply>,
    /// What is to be asked before the evaluation can go on.
    asked: Option<Call>,
    /// Whether the message was wanted as JSON and is none.
    pub(super) is_not_json: bool,
}

impl<'a> RuleWorld<'a> {
    pub(super) fn new(db: Read<'a>, rule: Option<&'a str>, answers: &'a HashMap<Call, Reply>) -> Self {
        Self { db, rule, answers, asked: None, is_not_json: false }
    }

    /// The question that stopped an evaluation.
    pub(super) fn into_asked(self) -> Option<Call> {
        self.asked
    }

    fn look(&self, call: &Call) -> Answer<Option<Bytes>> {
        // Whoever tries a statement may see what the rule would, since all of it is its own account's.
        if self.rule.is_some()
            && let Some((role, need)) = needed(self.db, call)?
        {
            sts::role_may(self.db, role, need)?;
        }
        match call {
            Call::ThingShadow { thing, shadow, .. } => shadows::document(self.db, thing, shadow.as_deref()).map(Some),
            Call::RegistryData { api, thing, .. } => {
                let input = Input::of(serde_json::json!({ "thingName": thing }), Bytes::new());
                let found = match api {
                    RegistryApi::DescribeThing => {
                        Output::from(things::describe_thing(self.db, &DescribeThingRequest::from_input(input))?)
                    }
                    RegistryApi::ListThingGroupsForThing => {
                        let request = ListThingGroupsForThingRequest::from_input(input);
                        Output::from(members::list_thing_groups_for_thing(self.db, &request)?)
                    }
                };
                Ok(Some(serde_json::Value::Object(found.fields().clone()).to_string().into()))
            }
            Call::DynamoDb { table, partition, sort, .. } => {
                let key = std::iter::once(partition).chain(sort).map(|key| (key.name.clone(), attribute(&key.value)));
                let found = tables::item(self.db, table, &serde_json::Value::Object(key.collect()))?;
                // unconfirmed: that an item that is not there is as good as a failure, so that a default stands for it.
                let found = found.ok_or_else(|| Refusal::resource_not_found("there is no such item"))?;
                Ok(Some(found.into()))
            }
            Call::Secret { id, kind, .. } => match (secrets::value(self.db, id)?, kind) {
                (secrets::Value::Text(text), SecretKind::Text) => Ok(Some(text.into())),
                (secrets::Value::Binary(base64), SecretKind::Binary) => {
                    let bytes = STANDARD.decode(base64).map_err(|cause| Fault::because("read a secret", cause))?;
                    Ok(Some(bytes.into()))
                }
                (_, kind) => Err(Refusal::resource_not_found(format!("the secret has no {}", name_of(*kind))).into()),
            },
            Call::Lambda { arn, .. } => match self.rule {
                Some(rule) => may_invoke(self.db, rule, arn).map(|()| None),
                None => Ok(None),
            },
            Call::Object { .. } => Ok(None),
        }
    }
}

/// What a function needs to be allowed, and the role that it asks as.
fn needed<'c>(db: Read, call: &'c Call) -> Answer<Option<(&'c str, Need)>> {
    let thing_need = |action: &str, thing: &str| Need::new(action, db.arn(format_args!("thing/{thing}")));
    Ok(match call {
        Call::ThingShadow { thing, shadow: None, role } => Some((role, thing_need("iot:GetThingShadow", thing))),
        Call::ThingShadow { thing, shadow: Some(shadow), role } => {
            Some((role, thing_need("iot:GetThingShadow", &format!("{thing}/{shadow}"))))
        }
        Call::RegistryData { api, thing, role } => Some((role, thing_need(&format!("iot:{api}"), thing))),
        Call::DynamoDb { table, role, .. } => {
            Some((role, Need::new("dynamodb:GetItem", needs::table(&db.cx.scope, table))))
        }
        Call::Secret { id, role, .. } => {
            Some((role, Need::new("secretsmanager:GetSecretValue", secrets::arn_of(db, id)?)))
        }
        Call::Lambda { .. } | Call::Object { .. } => None,
    })
}

/// Whether a rule may invoke a function. One that lives elsewhere is asked there.
pub(super) fn may_invoke(db: Read, rule: &str, function: &str) -> Answer<()> {
    let rule = super::arn(db, rule);
    if db.cx.settings.targets.is_elsewhere(Service::Lambda) || permissions::may_be_invoked_by_rule(db, function, &rule)?
    {
        return Ok(());
    }
    let message = format!("{rule} is not authorized to perform: lambda:InvokeFunction on resource: {function}");
    Err(Refusal::new("AccessDeniedException", message).into())
}

/// A key's value as DynamoDB writes it.
fn attribute(value: &KeyValue) -> serde_json::Value {
    match value {
        KeyValue::Number(text) => serde_json::json!({ "N": text }),
        KeyValue::Text(text) => serde_json::json!({ "S": text }),
    }
}

fn name_of(kind: SecretKind) -> &'static str {
    match kind {
        SecretKind::Text => "SecretString",
        SecretKind::Binary => "SecretBinary",
    }
}

/// A failure as rules tell it.
pub(super) fn in_words(failure: Failure) -> String {
    match failure {
        Failure::Refusal(refusal) => refusal.to_string(),
        Failure::Told(told) => told.0.to_string(),
        Failure::Fault(fault) => format!("internal failure: {fault}"),
    }
}

impl World for RuleWorld<'_> {
    fn not_json(&mut self) {
        self.is_not_json = true;
    }

    fn call(&mut self, call: &Call) -> Reply {
        if let Some(reply) = self.answers.get(call) {
            return reply.clone();
        }
        match self.look(call) {
            Ok(Some(answer)) => Reply::Value(answer),
            Ok(None) => {
                self.asked.get_or_insert_with(|| call.clone());
                Reply::Later
            }
            Err(failure) => Reply::Failed(in_words(failure)),
        }
    }
}
