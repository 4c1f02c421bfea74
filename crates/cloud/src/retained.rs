//! Retained messages: one per topic, kept on disk, sent to whoever subscribes to exactly that topic (mqtt.md §6).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use mqtt::{Filter, Publish, PublishProperties, QoS, Text, Topic};
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::{Fault, Table, json_record};

use wire::Refusal;
use wire::iot_data::{
    GetRetainedMessageRequest, GetRetainedMessageResponse, ListRetainedMessagesRequest, ListRetainedMessagesResponse,
    RetainedMessageSummary,
};

use crate::news::News;
use crate::operation::{Answer, Op, ops};
use crate::quotas::{self, Stand};
use crate::scope::{Asked, NO_PARTS, Read, Write, paged};

pub(crate) const OPS: &[Op] = ops! {
    read get_retained_message on topic(topic);
    read list_retained_messages on any;
};

/// By topic: all but the payload, so that a listing reads little.
const RETAINED: Table<Retained> = Table::new("retained");
/// By topic: the payload as it came.
const RETAINED_PAYLOADS: Table<Vec<u8>> = Table::new("retained_payloads");

#[derive(Debug, Serialize, Deserialize)]
struct Retained {
    qos: u8,
    modified: i64,
    size: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    content_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    response_topic: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    correlation_data: Option<Vec<u8>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    is_utf8: Option<bool>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    user_properties: Vec<(String, String)>,
    /// When it is no longer worth sending, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires: Option<i64>,
}
json_record!(Retained, version 1);

/// How many there are, in eight bytes, at the only key; without a record they have not been counted yet.
const RETAINED_COUNT: Table<Vec<u8>> = Table::new("retained_count");

/// The error of a message that would be one too many.
pub(crate) const BEYOND: &str = "ThrottlingException";

fn count(db: Read) -> Result<usize, Fault> {
    let record = db.get(&RETAINED_COUNT, [""])?;
    match record.and_then(|bytes| bytes.try_into().ok()) {
        Some(bytes) => Ok(usize::try_from(u64::from_be_bytes(bytes)).unwrap_or(usize::MAX)),
        None => Ok(db.all(&RETAINED, NO_PARTS)?.len()),
    }
}

fn set_count(db: &mut Write, count: usize) -> Result<(), Fault> {
    db.put(&RETAINED_COUNT, [""], &(count as u64).to_be_bytes().to_vec())
}

/// Keeps a message in place of what its topic had; an empty one only takes that away [MQTT-3.3.1-6].
pub(crate) fn keep(db: &mut Write, message: &Publish) -> Answer<()> {
    let Some(topic) = message.topic.as_ref().map(Topic::as_str) else { return Ok(()) };
    let is_known = db.view().contains(&RETAINED, [topic])?;
    if message.payload.is_empty() {
        if is_known {
            let count = count(db.view())?;
            set_count(db, count.saturating_sub(1))?;
            db.delete(&RETAINED, [topic])?;
            db.delete(&RETAINED_PAYLOADS, [topic])?;
        }
        return Ok(());
    }
    if !is_known {
        let count = count(db.view())? + 1;
        match quotas::RETAINED.stand(db.cx.settings.quotas, count) {
            Stand::Within => {}
            Stand::Warned(limit) => db.tell(News::OverQuota(limit.words)),
            Stand::Refused(limit) => return Err(Refusal::new(BEYOND, limit.words).into()),
        }
        set_count(db, count)?;
    }
    let properties = message.properties.as_deref().cloned().unwrap_or_default();
    let expiry = properties.message_expiry_interval.map(|seconds| i64::from(seconds).saturating_mul(1000));
    let record = Retained {
        expires: expiry.map(|milliseconds| db.now().saturating_add(milliseconds)),
        qos: message.qos.number(),
        modified: db.now(),
        size: message.payload.len(),
        content_type: properties.content_type.map(|text| text.as_str().to_owned()),
        response_topic: properties.response_topic.map(|topic| topic.as_str().to_owned()),
        correlation_data: properties.correlation_data.map(|data| data.as_bytes().to_vec()),
        is_utf8: properties.payload_format_indicator,
        user_properties: properties
            .user_properties
            .iter()
            .map(|(key, value)| (key.as_str().to_owned(), value.as_str().to_owned()))
            .collect(),
    };
    db.put(&RETAINED, [topic], &record)?;
    db.put(&RETAINED_PAYLOADS, [topic], &message.payload.to_vec())?;
    Ok(())
}

/// Some of the retained messages for a filter.
pub(crate) struct Page {
    pub(crate) messages: Vec<Publish>,
    /// The last topic that has been looked at, if there are more.
    pub(crate) after: Option<String>,
}

/// Topics that are looked at for one page.
const PAGE: usize = 100;

/// A page of what is retained for a filter. A filter with wildcards gets messages only where the specification is
/// followed [MQTT-3.3.1-9]: AWS sends none (mqtt.md §6).
pub(crate) fn page(db: Read, filter: &Filter, everywhere: bool, after: Option<&str>) -> Result<Page, Fault> {
    if !filter.has_wildcard() {
        return Ok(Page { messages: find(db, filter.as_str())?.into_iter().collect(), after: None });
    }
    if !everywhere {
        return Ok(Page { messages: Vec::new(), after: None });
    }
    // Topics sort as their bytes do, so those that begin like the filter stand together.
    let start = filter.as_str().split(['+', '#']).next().unwrap_or_default();
    let mut messages = Vec::new();
    if after.is_none() {
        // The two that the stretch below does not meet: the start itself, and `a` for `a/#` [MQTT-4.7.1-2].
        for topic in [start, start.trim_end_matches('/')] {
            messages.extend(find_matching(db, topic, filter)?);
        }
        messages.dedup();
    }
    let from = after.unwrap_or(start);
    let found = db.after(&RETAINED, [from], PAGE)?;
    let more = found.len() == PAGE;
    let mut last = None;
    for (key, _) in found {
        let topic = key.text_at(2)?;
        if !topic.starts_with(start) {
            return Ok(Page { messages, after: None });
        }
        messages.extend(find_matching(db, &topic, filter)?);
        last = Some(topic);
    }
    Ok(Page { messages, after: last.filter(|_| more) })
}

fn find_matching(db: Read, topic: &str, filter: &Filter) -> Result<Option<Publish>, Fault> {
    match Topic::try_from(topic) {
        Ok(name) if filter.matches(&name) => find(db, topic),
        _ => Ok(None),
    }
}

/// The message kept for exactly this topic, with its retain flag set [MQTT-3.3.1-8].
pub(crate) fn find(db: Read, topic: &str) -> Result<Option<Publish>, Fault> {
    let (Some(record), Some(payload)) = (db.get(&RETAINED, [topic])?, db.get(&RETAINED_PAYLOADS, [topic])?) else {
        return Ok(None);
    };
    let left = record.seconds_left(db.now());
    if record.is_over(db.now()) {
        return Ok(None); // [MQTT-3.3.2-5]
    }
    let Ok(topic) = Topic::try_from(topic) else { return Ok(None) };
    let mut message = Publish { retain: true, ..record.into_message(topic, payload) };
    if let Some(seconds) = left {
        message.properties.get_or_insert_default().message_expiry_interval = u32::try_from(seconds).ok();
    }
    Ok(Some(message))
}

impl Retained {
    /// Seconds for which it is still worth sending, if they are counted.
    fn seconds_left(&self, now: i64) -> Option<i64> {
        self.expires.map(|at| (at - now).div_euclid(1000))
    }

    fn is_over(&self, now: i64) -> bool {
        self.expires.is_some_and(|at| at <= now)
    }

    fn into_message(self, topic: Topic, payload: Vec<u8>) -> Publish {
        let text = |text: String| Text::try_from(text.as_str()).ok();
        let properties = PublishProperties {
            content_type: self.content_type.and_then(text),
            response_topic: self.response_topic.and_then(|topic| Topic::try_from(topic.as_str()).ok()),
            correlation_data: self.correlation_data.and_then(|data| mqtt::Binary::new(Bytes::from(data)).ok()),
            payload_format_indicator: self.is_utf8,
            user_properties: self
                .user_properties
                .into_iter()
                .filter_map(|(key, value)| Some((text(key)?, text(value)?)))
                .collect(),
            ..PublishProperties::default()
        };
        let qos = QoS::from_number(self.qos).unwrap_or_default();
        let properties = (properties != PublishProperties::default()).then(|| Box::new(properties));
        Publish { qos, properties, ..Publish::new(topic, payload) }
    }
}

fn get_retained_message(db: Read, input: &GetRetainedMessageRequest) -> Answer<GetRetainedMessageResponse> {
    let topic = input.topic();
    let record = db.get(&RETAINED, [topic])?.filter(|record| !record.is_over(db.now()));
    let (Some(record), Some(payload)) = (record, db.get(&RETAINED_PAYLOADS, [topic])?) else {
        // unconfirmed: the text.
        return Err(Refusal::resource_not_found(format!("No retained message exists for topic: '{topic}'")).into());
    };
    let answer = GetRetainedMessageResponse::new()
        .with_topic(topic)
        .with_payload(STANDARD.encode(payload))
        .with_qos(i64::from(record.qos))
        .with_last_modified_time(record.modified);
    if record.user_properties.is_empty() {
        return Ok(answer);
    }
    let pairs = record.user_properties.into_iter().map(|(key, value)| json!({ key: value }));
    let listed = serde_json::Value::Array(pairs.collect()).to_string();
    Ok(answer.with_user_properties(STANDARD.encode(listed)))
}

fn list_retained_messages(db: Read, input: &ListRetainedMessagesRequest) -> Answer<ListRetainedMessagesResponse> {
    let asked = Asked::new(input.next_token(), input.max_results());
    let page = db.page(&RETAINED, NO_PARTS, asked, |_, record| !record.is_over(db.now()))?;
    let mut topics = Vec::with_capacity(page.items.len());
    for (key, record) in page.items {
        let size = i64::try_from(record.size).unwrap_or(i64::MAX);
        let summary = RetainedMessageSummary::new()
            .with_topic(key.text_at(2)?)
            .with_payload_size(size)
            .with_qos(i64::from(record.qos))
            .with_last_modified_time(record.modified);
        topics.push(summary);
    }
    let answer = ListRetainedMessagesResponse::new().with_retained_topics(topics);
    Ok(paged(answer, page.next, ListRetainedMessagesResponse::with_next_token))
}
