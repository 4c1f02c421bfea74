//! Functions that ask the world. A failure stops the whole statement, unless `get_or_default` stands around it; arguments
//! that make no question are Undefined, and nobody is asked.

use bytes::Bytes;

use super::Arguments;
use crate::evaluate::{Evaluated, LONGEST, Stop};
use crate::value::{Value, View, encode};
use crate::world::{Call, Key, KeyValue, RegistryApi, SecretKind};

/// An argument as a string of the statement's own, and nothing made into one.
fn string(arguments: &mut Arguments<'_, '_, '_>, index: usize) -> Result<String, Stop> {
    arguments.text(index).map(std::borrow::Cow::into_owned)
}

/// Asks for a JSON text.
fn json<'d>(arguments: &mut Arguments<'_, 'd, '_>, call: &Call) -> Evaluated<'d> {
    let answer = arguments.evaluation.ask(call)?;
    arguments.evaluation.charge_text(answer.len())?;
    Value::read(&answer).ok_or_else(|| Stop::failed(call.function(), "the answer is no JSON"))
}

pub(super) fn aws_lambda<'d>(arguments: &mut Arguments<'_, 'd, '_>) -> Evaluated<'d> {
    let arn = string(arguments, 0)?;
    let payload = match arguments.value(1)? {
        Value::Undefined => return Err(Stop::Undefined),
        Value::Raw(_) => return Err(Stop::failed("aws_lambda", "the payload is no JSON; encode() it first")),
        value => {
            let mut text = String::new();
            value.print(arguments.evaluation.whole(), &mut text);
            arguments.evaluation.charge_text(text.len())?;
            if text.len() > LONGEST {
                return Err(Stop::exceeded(format!("aws_lambda() is given more than {LONGEST} bytes")));
            }
            Bytes::from(text)
        }
    };
    json(arguments, &Call::Lambda { arn, payload })
}

pub(super) fn get_thing_shadow<'d>(arguments: &mut Arguments<'_, 'd, '_>) -> Evaluated<'d> {
    let thing = string(arguments, 0)?;
    let shadow = if arguments.count() == 3 { Some(string(arguments, 1)?) } else { None };
    let role = string(arguments, arguments.count() - 1)?;
    json(arguments, &Call::ThingShadow { thing, shadow, role })
}

/// That the first argument is one of the two, and stands in the statement, was checked when the statement was read.
pub(super) fn get_registry_data<'d>(arguments: &mut Arguments<'_, 'd, '_>) -> Evaluated<'d> {
    let apis = [RegistryApi::DescribeThing, RegistryApi::ListThingGroupsForThing];
    let named = arguments.text(0)?;
    let api = apis.into_iter().find(|api| api.to_string() == named).ok_or(Stop::Undefined)?;
    let thing = string(arguments, 1)?;
    let role = string(arguments, 2)?;
    json(arguments, &Call::RegistryData { api, thing, role })
}

pub(super) fn get_dynamodb<'d>(arguments: &mut Arguments<'_, 'd, '_>) -> Evaluated<'d> {
    if arguments.count() == 5 {
        return Err(Stop::Undefined);
    }
    let table = string(arguments, 0)?;
    let partition = key(arguments, 1)?;
    let sort = if arguments.count() == 6 { Some(key(arguments, 3)?) } else { None };
    let role = string(arguments, arguments.count() - 1)?;
    json(arguments, &Call::DynamoDb { table, partition, sort, role })
}

/// The name of a key's attribute and its value, which stand in a row.
fn key(arguments: &mut Arguments<'_, '_, '_>, index: usize) -> Result<Key, Stop> {
    let name = string(arguments, index)?;
    let value = arguments.value(index + 1)?;
    let is_number = matches!(value.view(), View::Number(_));
    let text = arguments.evaluation.string(value)?.ok_or(Stop::Undefined)?.into_owned();
    Ok(Key { name, value: if is_number { KeyValue::Number(text) } else { KeyValue::Text(text) } })
}

pub(super) fn get_secret<'d>(arguments: &mut Arguments<'_, 'd, '_>) -> Evaluated<'d> {
    let id = string(arguments, 0)?;
    let kind = match &*arguments.text(1)? {
        "SecretString" => SecretKind::Text,
        "SecretBinary" => SecretKind::Binary,
        _ => return Err(Stop::Undefined),
    };
    let key = if arguments.count() == 4 { Some(string(arguments, 2)?) } else { None };
    let role = string(arguments, arguments.count() - 1)?;
    let failed = |reason: String| Stop::failed("get_secret", reason);
    if kind == SecretKind::Binary && key.is_some() {
        return Err(failed("a binary secret has no keys".to_owned()));
    }
    let secret = arguments.evaluation.ask(&Call::Secret { id, kind, role })?;
    arguments.evaluation.charge_text(secret.len())?;
    if kind == SecretKind::Binary {
        return Ok(Value::text(encode(&secret)));
    }
    let object = Value::read(&secret).filter(Value::is_object);
    match (object, key) {
        (Some(object), Some(key)) => match object.member(&key) {
            Value::Undefined => Err(failed(format!("the secret has no key {key}"))),
            value => Ok(value),
        },
        (Some(object), None) => Ok(object),
        (None, Some(_)) => Err(failed("the secret is no JSON object, so it has no keys".to_owned())),
        (None, None) => {
            let text = String::from_utf8(secret.to_vec());
            text.map(Value::text).map_err(|_| failed("the secret is no text".to_owned()))
        }
    }
}

/// Amazon Machine Learning takes no new users and this platform has none.
pub(super) fn machinelearning_predict<'d>(_: &mut Arguments<'_, 'd, '_>) -> Evaluated<'d> {
    Err(Stop::failed(
        "machinelearning_predict",
        "Amazon Machine Learning is no longer offered, and nothing stands in for it",
    ))
}
