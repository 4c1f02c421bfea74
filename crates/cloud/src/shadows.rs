//! Shadows: one classic and any number of named ones per thing, registered or not. What a document becomes is the
//! business of the `shadow` crate; here is where it is kept, what is published about it, and how it is asked for,
//! over MQTT topics and over HTTP alike.

use bytes::Bytes;
use mqtt::{Publish, QoS, Topic};
use shadow::{Document, Limits, Refused};
use store::{Fault, Table};
use wire::Refusal;
use wire::iot_data::{
    DeleteThingShadowRequest, DeleteThingShadowResponse, GetThingShadowRequest, GetThingShadowResponse,
    ListNamedShadowsForThingRequest, ListNamedShadowsForThingResponse, UpdateThingShadowRequest,
    UpdateThingShadowResponse,
};

use crate::figures::{Count, ShadowUpdate};
use crate::logging::{Level, Record};
use crate::news::News;
use crate::operation::{Answer, Op, ops};
use crate::origin::Origin;
use crate::scope::{Asked, Context, Read, Write, paged};

pub(crate) const OPS: &[Op] = ops! {
    read  get_thing_shadow on shadow(thing_name, shadow_name);
    write update_thing_shadow on shadow(thing_name, shadow_name);
    write delete_thing_shadow on shadow(thing_name, shadow_name);
    read  list_named_shadows_for_thing on thing(thing_name);
};

/// By thing and shadow name, empty for the classic one: a document, or the tombstone of one.
const SHADOWS: Table<Vec<u8>> = Table::new("shadows");

/// By thing and shadow name: since when, in milliseconds, desired and reported have differed.
const UNSETTLED: Table<Vec<u8>> = Table::new("shadows_unsettled");

/// What a message on a shadow's topic asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ask<'t> {
    pub(crate) thing: &'t str,
    /// Empty for the classic shadow.
    pub(crate) shadow: &'t str,
    pub(crate) kind: AskKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AskKind {
    Get,
    Update,
    Delete,
}

impl AskKind {
    /// What is counted of those that are accepted.
    fn count(self, origin: &Origin) -> Count {
        let is_mqtt = origin.client_id.is_some();
        match (self, is_mqtt) {
            (Self::Get, true) => Count::GetShadow,
            (Self::Get, false) => Count::HttpGetShadow,
            (Self::Update, true) => Count::UpdateShadow,
            (Self::Update, false) => Count::HttpUpdateShadow,
            (Self::Delete, true) => Count::DeleteShadow,
            (Self::Delete, false) => Count::HttpDeleteShadow,
        }
    }

    fn verb(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }

    /// AWS's name of the log entry.
    fn event(self) -> &'static str {
        match self {
            Self::Get => "GetThingShadow",
            Self::Update => "UpdateThingShadow",
            Self::Delete => "DeleteThingShadow",
        }
    }
}

impl<'t> Ask<'t> {
    /// Reads `$aws/things/{thing}/shadow[/name/{shadow}]/{get|update|delete}`.
    pub(crate) fn of_topic(topic: &'t str) -> Option<Self> {
        let (place, rest) = Place::of_topic(topic)?;
        let kind = match rest {
            "get" => AskKind::Get,
            "update" => AskKind::Update,
            "delete" => AskKind::Delete,
            _ => return None,
        };
        Some(Self { thing: place.thing, shadow: place.shadow, kind })
    }

    fn place(&self) -> Place<'t> {
        Place { thing: self.thing, shadow: self.shadow }
    }
}

/// Whether a topic is one that the service itself publishes on.
pub(crate) fn is_answer(topic: &str) -> bool {
    const ANSWERS: [&str; 8] = [
        "get/accepted",
        "get/rejected",
        "update/accepted",
        "update/rejected",
        "update/delta",
        "update/documents",
        "delete/accepted",
        "delete/rejected",
    ];
    Place::of_topic(topic).is_some_and(|(_, rest)| ANSWERS.contains(&rest))
}

/// Which shadow.
#[derive(Clone, Copy)]
struct Place<'t> {
    thing: &'t str,
    shadow: &'t str,
}

impl<'t> Place<'t> {
    /// The shadow and what follows it; names that could not be its own are no shadow's topic.
    fn of_topic(topic: &'t str) -> Option<(Self, &'t str)> {
        let (thing, rest) = topic.strip_prefix("$aws/things/")?.split_once("/shadow/")?;
        let (shadow, rest) = match rest.strip_prefix("name/") {
            Some(rest) => rest.split_once('/')?,
            None => ("", rest),
        };
        let name = |name: &str, longest, extra: &str| {
            name.len() <= longest && name.bytes().all(|b| b.is_ascii_alphanumeric() || extra.as_bytes().contains(&b))
        };
        let named = !rest.is_empty() && (shadow.is_empty() != topic.contains("/shadow/name/"));
        let valid = named && !thing.is_empty() && name(thing, 128, ":_-") && name(shadow, 64, "$:_-");
        valid.then_some((Self { thing, shadow }, rest))
    }

    /// As AWS writes it in its 404: the thing, and the shadow after a tilde (shadow.md §2.3).
    fn name(self) -> String {
        if self.shadow.is_empty() { self.thing.to_owned() } else { format!("{}~{}", self.thing, self.shadow) }
    }

    fn topic(self, suffix: &str) -> String {
        match self.shadow {
            "" => format!("$aws/things/{}/shadow/{suffix}", self.thing),
            shadow => format!("$aws/things/{}/shadow/name/{shadow}/{suffix}", self.thing),
        }
    }

    /// Tells a payload on one of this shadow's topics: QoS 1, never retained (shadow.md §1).
    fn tell(self, db: &mut Write, suffix: &str, payload: impl Into<Bytes>) {
        if let Ok(topic) = Topic::new(self.topic(suffix)) {
            let message = Publish { qos: QoS::AtLeastOnce, ..Publish::new(topic, payload) };
            db.tell(News::Publication(message, None));
        }
    }
}

/// The log entry of what was asked of a shadow, if it may be wanted.
fn record(cx: &Context, place: Place<'_>, kind: AskKind, outcome: &Outcome) -> Option<Record> {
    let level = if outcome.is_ok() { Level::Info } else { Level::Error };
    if !cx.logging.hears(level) {
        return None;
    }
    let record = match outcome {
        Ok(_) => Record::success(kind.event()),
        Err(refused) => Record::failure(kind.event(), refused.message.to_string()),
    };
    let verb = kind.verb();
    Some(record.of(&cx.origin).with("deviceShadowName", place.name()).with("topicName", place.topic(verb)))
}

/// Does what a message on a shadow's topic asks; the answer is published, never returned.
pub(crate) fn by_message(db: &mut Write, ask: &Ask<'_>, payload: &[u8]) -> Answer<()> {
    let place = ask.place();
    let answer = match ask.kind {
        AskKind::Get => get(db.view(), place, payload)?,
        AskKind::Update => update(db, place, payload)?,
        AskKind::Delete => delete(db, place, payload)?,
    };
    if answer.is_ok() {
        db.tell(News::Count(ask.kind.count(&db.cx.origin)));
    }
    if let Some(record) = record(db.cx, place, ask.kind, &answer) {
        db.tell(News::Log(Box::new(record)));
    }
    match answer {
        // Updates and deletions tell their own acceptance, since HTTP ones are published too.
        Ok(accepted) if ask.kind == AskKind::Get => place.tell(db, "get/accepted", accepted),
        Ok(_) => {}
        Err(refused) => place.tell(db, &format!("{}/rejected", ask.kind.verb()), refused.body()),
    }
    Ok(())
}

/// The record of a shadow, and the fault of one that cannot be read.
fn stored(db: Read, place: Place<'_>) -> Result<Option<Vec<u8>>, Fault> {
    db.get(&SHADOWS, [place.thing, place.shadow])
}

fn decode<'r>(record: Option<&'r [u8]>, place: Place<'_>) -> Result<Option<Document<'r>>, Fault> {
    let corrupt = |corrupt| Fault::because(format_args!("shadow {}", place.name()), corrupt);
    record.map(Document::decode).transpose().map_err(corrupt)
}

/// The payload of the answer, which is told and, over HTTP, also returned: the same bytes.
type Outcome = Result<Bytes, Refused>;

fn get(db: Read, place: Place<'_>, payload: &[u8]) -> Result<Outcome, Fault> {
    let record = stored(db, place)?;
    let document = decode(record.as_deref(), place)?;
    Ok(shadow::get(document.as_ref(), &place.name(), payload, db.now() / 1000).map(Bytes::from))
}

/// The whole document of a shadow, as the service answers it.
pub(crate) fn document(db: Read, thing: &str, shadow: Option<&str>) -> Answer<Bytes> {
    Ok(get(db, place(thing, shadow), b"")?.map_err(|refused| over_http(&refused))?)
}

/// Applies an update and tells it: delta, documents, accepted, in this order (shadow.md §3.6).
fn update(db: &mut Write, place: Place<'_>, payload: &[u8]) -> Result<Outcome, Fault> {
    let record = stored(db.view(), place)?;
    let document = decode(record.as_deref(), place)?;
    let updated = match shadow::update(document, payload, db.now() / 1000, &Limits::default()) {
        Ok(updated) => updated,
        Err(refused) => return Ok(Err(refused)),
    };
    db.put(&SHADOWS, [place.thing, place.shadow], &updated.record)?;
    let latency = settle(db, place, updated.delta.is_some())?;
    let (thing, shadow) = (place.thing.to_owned(), place.shadow.to_owned());
    db.tell(News::ShadowUpdated(Box::new(ShadowUpdate { thing, shadow, bytes: updated.bytes, latency })));
    if let Some(delta) = updated.delta {
        place.tell(db, "update/delta", delta);
    }
    place.tell(db, "update/documents", updated.documents);
    let accepted = Bytes::from(updated.accepted);
    place.tell(db, "update/accepted", accepted.clone());
    Ok(Ok(accepted))
}

/// Notes since when desired and reported differ. Once they no longer do: for how long they did, in milliseconds.
fn settle(db: &mut Write, place: Place<'_>, differ: bool) -> Result<Option<i64>, Fault> {
    let key = [place.thing, place.shadow];
    let since = db.view().get(&UNSETTLED, key)?.and_then(|bytes| bytes.try_into().ok()).map(i64::from_be_bytes);
    match (since, differ) {
        (None, true) => db.put(&UNSETTLED, key, &db.now().to_be_bytes().to_vec())?,
        (Some(_), false) => db.delete(&UNSETTLED, key)?,
        _ => {}
    }
    Ok(since.filter(|_| !differ).map(|since| db.now() - since))
}

fn delete(db: &mut Write, place: Place<'_>, payload: &[u8]) -> Result<Outcome, Fault> {
    let record = stored(db.view(), place)?;
    let document = decode(record.as_deref(), place)?;
    let deleted = match shadow::delete(document.as_ref(), &place.name(), payload, db.now() / 1000) {
        Ok(deleted) => deleted,
        Err(refused) => return Ok(Err(refused)),
    };
    db.put(&SHADOWS, [place.thing, place.shadow], &deleted.record)?;
    // What was desired is no more.
    db.delete(&UNSETTLED, [place.thing, place.shadow])?;
    let accepted = Bytes::from(deleted.accepted);
    place.tell(db, "delete/accepted", accepted.clone());
    Ok(Ok(accepted))
}

/// Logs what nothing has to be written for.
fn log_now(cx: &Context, place: Place<'_>, kind: AskKind, outcome: &Outcome) {
    if let Some(record) = record(cx, place, kind, outcome) {
        cx.logging.write(cx.now, record);
    }
}

/// Counts and logs a write: once it is on disk, or at once if it is refused, since nothing of that will be.
fn tell_over_http(db: &mut Write, place: Place<'_>, kind: AskKind, outcome: &Outcome) {
    if outcome.is_err() {
        log_now(db.cx, place, kind, outcome);
        return;
    }
    db.tell(News::Count(kind.count(&db.cx.origin)));
    if let Some(record) = record(db.cx, place, kind, outcome) {
        db.tell(News::Log(Box::new(record)));
    }
}

/// A refused request as HTTP tells it: the same code and text, and nothing is published (shadow.md §2.3).
fn over_http(refused: &Refused) -> Refusal {
    let message = refused.message.to_string();
    match refused.code {
        404 => Refusal::resource_not_found(message),
        409 => Refusal::conflict(message),
        413 => Refusal::payload_too_large(message),
        415 => Refusal::unsupported_encoding(message),
        _ => Refusal::invalid_request(message),
    }
}

fn place<'i>(thing: &'i str, shadow: Option<&'i str>) -> Place<'i> {
    // unconfirmed: an empty `name` means the classic shadow.
    Place { thing, shadow: shadow.unwrap_or_default() }
}

fn get_thing_shadow(db: Read, input: &GetThingShadowRequest) -> Answer<GetThingShadowResponse> {
    let place = place(input.thing_name(), input.shadow_name());
    let answer = get(db, place, b"")?;
    if answer.is_ok() {
        db.cx.figures.count(AskKind::Get.count(&db.cx.origin));
    }
    log_now(db.cx, place, AskKind::Get, &answer);
    Ok(GetThingShadowResponse::new().with_payload(answer.map_err(|refused| over_http(&refused))?))
}

fn update_thing_shadow(db: &mut Write, input: &UpdateThingShadowRequest) -> Answer<UpdateThingShadowResponse> {
    let place = place(input.thing_name(), input.shadow_name());
    let answer = update(db, place, input.payload())?;
    tell_over_http(db, place, AskKind::Update, &answer);
    Ok(UpdateThingShadowResponse::new().with_payload(answer.map_err(|refused| over_http(&refused))?))
}

fn delete_thing_shadow(db: &mut Write, input: &DeleteThingShadowRequest) -> Answer<DeleteThingShadowResponse> {
    let place = place(input.thing_name(), input.shadow_name());
    let answer = delete(db, place, b"")?;
    tell_over_http(db, place, AskKind::Delete, &answer);
    Ok(DeleteThingShadowResponse::new().with_payload(answer.map_err(|refused| over_http(&refused))?))
}

/// Named shadows that exist, in alphabetical order; the classic one is never listed (shadow.md §2.2).
fn list_named_shadows_for_thing(
    db: Read,
    input: &ListNamedShadowsForThingRequest,
) -> Answer<ListNamedShadowsForThingResponse> {
    let asked = Asked::new(input.next_token(), input.page_size());
    let page = db.page(&SHADOWS, [input.thing_name()], asked, |key, record| {
        let is_named = key.text_at(3).is_ok_and(|name| !name.is_empty());
        is_named && Document::decode(record).is_ok_and(|document| document.exists())
    })?;
    let names: Result<Vec<String>, Fault> = page.items.iter().map(|(key, _)| key.text_at(3)).collect();
    let listed = ListNamedShadowsForThingResponse::new().with_results(names?).with_timestamp(db.now() / 1000);
    Ok(paged(listed, page.next, ListNamedShadowsForThingResponse::with_next_token))
}
