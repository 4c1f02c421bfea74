//! `Publish` over HTTP: a message from a client without a connection (mqtt.md §8). What becomes of it is the business of
//! `message`, the same as for one that came over MQTT.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mqtt::{Binary, PublishProperties, QoS, Text, Topic};
use wire::Refusal;
use wire::iot_data::PublishRequest;

use crate::events::Refused;
use crate::message::{self, Quota};
use crate::news::News;
use crate::operation::{Answer, Failure, Op, ops};
use crate::scope::Write;

pub(crate) const OPS: &[Op] = ops! {
    write publish on topic(topic) also retain_publish;
};

/// Retaining is an action of its own (security.md §3.2).
fn retain_publish(input: &PublishRequest) -> Option<&'static str> {
    (input.retain() == Some(true)).then_some("iot:RetainPublish")
}

/// Seconds: AWS puts a message expiry outside at the nearer end (mqtt.md §2).
const EXPIRY: std::ops::RangeInclusive<i64> = 1..=604_800;

/// User properties of one message, in pairs and in bytes.
const USER_PROPERTIES: (usize, usize) = (100, 8 * 1024);

fn publish(db: &mut Write, input: &PublishRequest) -> Answer<()> {
    let topic = topic(input.topic())?;
    if input.payload().len() > message::PAYLOAD_BYTES {
        return Err(Refusal::payload_too_large("The payload exceeds the maximum size allowed").into());
    }
    let retain = input.retain().unwrap_or(false);
    if let Err(unsuited) = message::examine(topic.as_str(), retain, db.cx.settings.follows_specification()) {
        return Err(refused(db, topic.as_str(), unsuited.decision, &unsuited.reason));
    }
    match message::quota(db.cx.settings.quotas, topic.as_str()) {
        Quota::Within => {}
        Quota::Warned(limit) => db.tell(News::OverQuota(limit)),
        Quota::Refused(limit) => return Err(refused(db, topic.as_str(), "QUOTA", limit)),
    }
    let qos = match input.qos().unwrap_or(0) {
        0 => QoS::AtMostOnce,
        _ => QoS::AtLeastOnce,
    };
    let properties = properties(input)?;
    let properties = (properties != PublishProperties::default()).then(|| Box::new(properties));
    let message = mqtt::Publish { qos, retain, properties, ..mqtt::Publish::new(topic, input.payload().clone()) };
    must_be_as_declared(&message)?;
    message::publish(db, &message, None)
}

/// A payload that is declared to be text must be [MQTT-3.3.2-4]; unconfirmed, as over MQTT.
fn must_be_as_declared(message: &mqtt::Publish) -> Result<(), Refusal> {
    if message::is_as_declared(message) {
        return Ok(());
    }
    Err(Refusal::invalid_request("Invalid payload: payloadFormatIndicator is UTF8_DATA, and it is not UTF-8"))
}

/// A topic that cannot be published on: told as an event, as it is over MQTT.
fn refused(db: &Write, topic: &str, decision: &str, reason: &str) -> Failure {
    let told = Refused {
        action: "iot:Publish".to_owned(),
        resource: db.view().arn(format_args!("topic/{topic}")),
        decision: decision.to_owned(),
        reason: reason.to_owned(),
        ..Refused::default()
    };
    Failure::Told(Box::new((Refusal::invalid_request(reason), told)))
}

fn topic(name: &str) -> Result<Topic, Refusal> {
    Topic::try_from(name).map_err(|invalid| Refusal::invalid_request(format!("Invalid topic: {invalid}")))
}

fn properties(input: &PublishRequest) -> Result<PublishProperties, Refusal> {
    let text = |name: &str, value: Option<&str>| {
        let value = value.filter(|value| !value.is_empty()).map(Text::try_from).transpose();
        value.map_err(|invalid| Refusal::invalid_request(format!("Invalid {name}: {invalid}")))
    };
    let response_topic = input.response_topic().filter(|name| !name.is_empty()).map(topic).transpose()?;
    let correlation = input.correlation_data().map(|data| STANDARD.decode(data)).transpose();
    let correlation = correlation.map_err(|_| Refusal::invalid_request("Invalid correlationData: it is not base64"))?;
    let correlation_data = correlation.map(Binary::new).transpose();
    let expiry = input.message_expiry().filter(|seconds| *seconds > 0);
    Ok(PublishProperties {
        content_type: text("contentType", input.content_type())?,
        response_topic,
        correlation_data: correlation_data
            .map_err(|no| Refusal::invalid_request(format!("Invalid correlationData: {no}")))?,
        message_expiry_interval: expiry.and_then(|s| u32::try_from(s.clamp(*EXPIRY.start(), *EXPIRY.end())).ok()),
        payload_format_indicator: input.payload_format_indicator().map(|format| format == "UTF8_DATA"),
        user_properties: input.user_properties().map(user_properties).transpose()?.unwrap_or_default(),
        ..PublishProperties::default()
    })
}

/// Reads `[{"key":"value"},…]`.
fn user_properties(list: &str) -> Result<Vec<(Text, Text)>, Refusal> {
    let invalid = || Refusal::invalid_request("Invalid userProperties: expected a JSON array of objects of strings");
    let objects: Vec<serde_json::Map<String, serde_json::Value>> = serde_json::from_str(list).map_err(|_| invalid())?;
    let mut pairs = Vec::new();
    for (key, value) in objects.iter().flatten() {
        let value = value.as_str().ok_or_else(invalid)?;
        let pair = (Text::try_from(key.as_str()), Text::try_from(value));
        let (Ok(key), Ok(value)) = pair else { return Err(invalid()) };
        pairs.push((key, value));
    }
    let bytes: usize = pairs.iter().map(|(key, value)| key.len() + value.len()).sum();
    if pairs.len() > USER_PROPERTIES.0 || bytes > USER_PROPERTIES.1 {
        return Err(Refusal::invalid_request("Invalid userProperties: more than 100 pairs or 8 KB"));
    }
    Ok(pairs)
}
