//! Functions of the message's circumstances: where it was published, by whom, when, and with which MQTT properties.

#![expect(clippy::unnecessary_wraps, reason = "all functions of the table have one shape")]

use super::Arguments;
use super::collection::number;
use crate::evaluate::{Evaluated, Stop};
use crate::value::{Value, encode};

/// What Basic Ingest's topics begin with, before the name of the rule.
const BASIC_INGEST: &str = "$aws/rules/";

fn known(text: Option<&str>) -> Evaluated<'_> {
    text.map(Value::text).ok_or(Stop::Undefined)
}

pub(super) fn accountid<'d>(arguments: &mut Arguments<'_, 'd, '_>) -> Evaluated<'d> {
    Ok(Value::text(arguments.evaluation.message.account))
}

pub(super) fn clientid<'d>(arguments: &mut Arguments<'_, 'd, '_>) -> Evaluated<'d> {
    Ok(Value::text(arguments.evaluation.message.client_id.unwrap_or("n/a")))
}

pub(super) fn principal<'d>(arguments: &mut Arguments<'_, 'd, '_>) -> Evaluated<'d> {
    known(arguments.evaluation.message.principal)
}

pub(super) fn sourceip<'d>(arguments: &mut Arguments<'_, 'd, '_>) -> Evaluated<'d> {
    known(arguments.evaluation.message.source_ip)
}

pub(super) fn traceid<'d>(arguments: &mut Arguments<'_, 'd, '_>) -> Evaluated<'d> {
    known(arguments.evaluation.message.trace_id)
}

pub(super) fn timestamp<'d>(arguments: &mut Arguments<'_, 'd, '_>) -> Evaluated<'d> {
    Ok(number(arguments.evaluation.message.now))
}

pub(super) fn sql_version<'d>(arguments: &mut Arguments<'_, 'd, '_>) -> Evaluated<'d> {
    Ok(Value::text(arguments.evaluation.version.name()))
}

/// A random UUID of version 4.
pub(super) fn newuuid<'d>(arguments: &mut Arguments<'_, 'd, '_>) -> Evaluated<'d> {
    let bits = u128::from(arguments.evaluation.draw()) << 64 | u128::from(arguments.evaluation.draw());
    let bits = bits & !(0xf << 76) & !(0b11 << 62) | 4 << 76 | 0b10 << 62;
    let hex = format!("{bits:032x}");
    let mut uuid = String::with_capacity(36);
    for part in [0..8, 8..12, 12..16, 16..20, 20..32] {
        uuid.push_str(if part.start > 0 { "-" } else { "" });
        uuid.push_str(hex.get(part).unwrap_or_default());
    }
    Ok(Value::text(uuid))
}

/// The topic, or one of its segments counted from 1, without what Basic Ingest puts before it.
pub(super) fn topic<'d>(arguments: &mut Arguments<'_, 'd, '_>) -> Evaluated<'d> {
    let topic = published_to(arguments.evaluation.message.topic);
    if arguments.count() == 0 {
        return Ok(Value::text(topic));
    }
    let segment: usize = arguments.int(0)?.to_int().ok_or(Stop::Undefined)?;
    known(segment.checked_sub(1).and_then(|segment| topic.split('/').nth(segment)))
}

/// The topic as rules see it.
pub(crate) fn published_to(topic: &str) -> &str {
    let ingested = topic.strip_prefix(BASIC_INGEST).and_then(|rest| rest.split_once('/'));
    ingested.map_or(topic, |(_, topic)| topic)
}

pub(super) fn get_mqtt_property<'d>(arguments: &mut Arguments<'_, 'd, '_>) -> Evaluated<'d> {
    let properties = &arguments.evaluation.message.properties;
    match &*arguments.text(0)? {
        "content_type" => known(properties.content_type),
        "response_topic" => known(properties.response_topic),
        "correlation_data" => properties.correlation_data.map(|data| Value::text(encode(data))).ok_or(Stop::Undefined),
        "format_indicator" => Ok(Value::text(if properties.utf8 { "UTF8_DATA" } else { "UNSPECIFIED_BYTES" })),
        _ => Err(Stop::Undefined),
    }
}

/// The values of a key in order, or without one all properties, each an object of its own.
pub(super) fn get_user_properties<'d>(arguments: &mut Arguments<'_, 'd, '_>) -> Evaluated<'d> {
    let properties = arguments.evaluation.message.properties.user;
    arguments.evaluation.charge(properties.len() as u64)?;
    let found: Vec<Value<'d>> = if arguments.count() == 0 {
        let object = |(key, value): &(&'d str, &'d str)| Value::object(vec![((*key).into(), Value::text(*value))]);
        properties.iter().map(object).collect()
    } else {
        let wanted = arguments.text(0)?;
        properties.iter().filter(|(key, _)| *key == wanted).map(|(_, value)| Value::text(*value)).collect()
    };
    if found.is_empty() { Err(Stop::Undefined) } else { Ok(Value::array(found)) }
}
