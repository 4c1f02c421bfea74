//! `Publish` over HTTP: a message from a client without a connection (mqtt.md §8). What becomes of it is the business of
//! `message`, the same as for one that came over MQTT.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use mqtt::{Binary, PublishProperties, QoS, Text, Topic};
use wire::Refusal;
use wire::iot_data::PublishRequest;

use crate::events::Refused;
use crate::figures::Count;
use crate::logging::Level;
use crate::message;
use crate::news::News;
use crate::operation::{Answer, Failure, Op, ops};
use crate::quotas::{self, Stand};
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

/// Pairs of user properties of one message; their bytes are a quota.
const USER_PROPERTIES: usize = 100;

fn publish(db: &mut Write, input: &PublishRequest) -> Answer<()> {
    let said = Said {
        content_type: input.content_type(),
        response_topic: input.response_topic(),
        correlation_data: input.correlation_data(),
        message_expiry: input.message_expiry(),
        payload_format_indicator: input.payload_format_indicator(),
        user_properties: input.user_properties(),
    };
    let message = message(input.topic(), input.payload(), &said)?;
    let retain = input.retain().unwrap_or(false);
    if let Err(unsuited) = message::examine(input.topic(), retain, db.cx.settings.follows_specification()) {
        return Err(refused(db, input.topic(), unsuited.decision, &unsuited.reason));
    }
    match quotas::of_topic(db.cx.settings.quotas, input.topic()) {
        Stand::Within => {}
        Stand::Warned(limit) => db.tell(News::OverQuota(limit.words)),
        Stand::Refused(limit) => return Err(refused(db, input.topic(), "QUOTA", limit.words)),
    }
    let qos = match input.qos().unwrap_or(0) {
        0 => QoS::AtMostOnce,
        _ => QoS::AtLeastOnce,
    };
    let message = mqtt::Publish { qos, retain, ..message };
    db.tell(News::Count(Count::HttpPublishIn));
    if db.cx.logging.hears(Level::Info) {
        let record = message::record("Publish-In", &message).of(&db.cx.origin);
        db.tell(News::Log(Box::new(record)));
    }
    message::publish(db, &message, None)
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

/// What a request says about its message beside topic and payload, as it came.
#[derive(Default)]
pub(crate) struct Said<'a> {
    pub(crate) content_type: Option<&'a str>,
    pub(crate) response_topic: Option<&'a str>,
    /// In base64.
    pub(crate) correlation_data: Option<&'a str>,
    /// In seconds.
    pub(crate) message_expiry: Option<i64>,
    pub(crate) payload_format_indicator: Option<&'a str>,
    /// A JSON array of objects.
    pub(crate) user_properties: Option<&'a str>,
}

/// The message of a request: bounded, with a topic it may have, and true to what is said about it.
pub(crate) fn message(name: &str, payload: &Bytes, said: &Said<'_>) -> Result<mqtt::Publish, Refusal> {
    let topic = topic(name)?;
    if payload.len() > quotas::PAYLOAD.size() {
        return Err(Refusal::payload_too_large("The payload exceeds the maximum size allowed"));
    }
    let properties = properties(said)?;
    let properties = (properties != PublishProperties::default()).then(|| Box::new(properties));
    let message = mqtt::Publish { properties, ..mqtt::Publish::new(topic, payload.clone()) };
    if !message::is_as_declared(&message) {
        // unconfirmed, as over MQTT [MQTT-3.3.2-4].
        let reason = "Invalid payload: payloadFormatIndicator is UTF8_DATA, and it is not UTF-8";
        return Err(Refusal::invalid_request(reason));
    }
    Ok(message)
}

fn properties(said: &Said<'_>) -> Result<PublishProperties, Refusal> {
    let text = |name: &str, value: Option<&str>| {
        let value = value.filter(|value| !value.is_empty()).map(Text::try_from).transpose();
        value.map_err(|invalid| Refusal::invalid_request(format!("Invalid {name}: {invalid}")))
    };
    let response_topic = said.response_topic.filter(|name| !name.is_empty()).map(topic).transpose()?;
    let correlation = said.correlation_data.map(|data| STANDARD.decode(data)).transpose();
    let correlation = correlation.map_err(|_| Refusal::invalid_request("Invalid correlationData: it is not base64"))?;
    let correlation_data = correlation.map(Binary::new).transpose();
    let expiry = said.message_expiry.filter(|seconds| *seconds > 0);
    Ok(PublishProperties {
        content_type: text("contentType", said.content_type)?,
        response_topic,
        correlation_data: correlation_data
            .map_err(|no| Refusal::invalid_request(format!("Invalid correlationData: {no}")))?,
        message_expiry_interval: expiry.and_then(|s| u32::try_from(s.clamp(*EXPIRY.start(), *EXPIRY.end())).ok()),
        payload_format_indicator: said.payload_format_indicator.map(|format| format == "UTF8_DATA"),
        user_properties: said.user_properties.map(user_properties).transpose()?.unwrap_or_default(),
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
    if pairs.len() > USER_PROPERTIES || quotas::bytes_of(&pairs) > quotas::USER_PROPERTIES.size() {
        return Err(Refusal::invalid_request("Invalid userProperties: more than 100 pairs or 8 KB"));
    }
    Ok(pairs)
}
