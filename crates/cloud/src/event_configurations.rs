//! Which registry events are wanted (registry.md §9), and how they are published (mqtt.md §11): in the transaction of what
//! happened, so that whoever hears messages of this scope hears them too. What happens in the registry is known by its nouns.

use std::collections::BTreeSet;

use bytes::Bytes;
use mqtt::{Publish, QoS, Topic};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use store::{Fault, Table, json_record};
use wire::iot::{
    DescribeEventConfigurationsRequest, DescribeEventConfigurationsResponse, UpdateEventConfigurationsRequest,
    UpdateEventConfigurationsResponse,
};

use crate::news::News;
use crate::operation::{Answer, Op, ops};
use crate::scope::{NO_PARTS, Read, Write};

pub(crate) const OPS: &[Op] = ops! {
    read  describe_event_configurations on any;
    write update_event_configurations on any;
};

/// One of a scope.
const EVENT_CONFIGURATIONS: Table<Configurations> = Table::new("event_configurations");

/// All that can be turned on. Nothing is published of policies and certificates: AWS documents no topic of theirs.
const KEYS: [&str; 11] = [
    "THING",
    "THING_GROUP",
    "THING_TYPE",
    "THING_GROUP_MEMBERSHIP",
    "THING_GROUP_HIERARCHY",
    "THING_TYPE_ASSOCIATION",
    "JOB",
    "JOB_EXECUTION",
    "POLICY",
    "CERTIFICATE",
    "CA_CERTIFICATE",
];

/// What is turned on.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Configurations {
    #[serde(default)]
    enabled: BTreeSet<String>,
    created: i64,
    modified: i64,
}
json_record!(Configurations, version 1);

/// What an event is about.
#[derive(Clone, Copy)]
pub(crate) enum About {
    Thing,
    Group,
    Type,
    /// That a thing is in a group.
    Membership,
    /// That a group is below another.
    Hierarchy,
    /// That a thing is of a type.
    Association,
}

impl About {
    /// The key that turns it on, and its place in topics.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Thing => ("THING", "thing"),
            Self::Group => ("THING_GROUP", "thingGroup"),
            Self::Type => ("THING_TYPE", "thingType"),
            Self::Membership => ("THING_GROUP_MEMBERSHIP", "thingGroupMembership"),
            Self::Hierarchy => ("THING_GROUP_HIERARCHY", "thingGroupHierarchy"),
            Self::Association => ("THING_TYPE_ASSOCIATION", "thingTypeAssociation"),
        }
    }
}

/// What has happened.
#[derive(Clone, Copy)]
pub(crate) enum Happened {
    Created,
    Updated,
    Deleted,
    Added,
    Removed,
}

impl Happened {
    fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Deleted => "deleted",
            Self::Added => "added",
            Self::Removed => "removed",
        }
    }
}

/// What is told of an event beside what all have.
pub(crate) struct Told {
    /// The middle of its topic: what it happened to.
    pub(crate) subject: String,
    /// The members of its payload.
    pub(crate) members: Value,
}

/// Tells an event if somebody wants to hear of its kind; `tell` is asked only then.
pub(crate) fn tell(
    db: &mut Write,
    about: About,
    happened: Happened,
    tell: impl FnOnce(Read) -> Result<Told, Fault>,
) -> Result<(), Fault> {
    let (key, place) = about.names();
    let known = db.view().get(&EVENT_CONFIGURATIONS, NO_PARTS)?;
    if !known.is_some_and(|known| known.enabled.contains(key)) {
        return Ok(());
    }
    let Told { subject, members } = tell(db.view())?;
    let mut payload = json!({
        "eventType": format!("{key}_EVENT"),
        "eventId": db.uuid(),
        "timestamp": db.now(),
        "operation": happened.word().to_ascii_uppercase(),
        "accountId": &*db.cx.scope.account,
    });
    if let (Value::Object(payload), Value::Object(members)) = (&mut payload, members) {
        payload.extend(members);
    }
    publish(db, format!("$aws/events/{place}/{subject}/{}", happened.word()), payload.to_string())
}

/// Publishes an event in the transaction of what happened: QoS 1, never retained.
pub(crate) fn publish(db: &mut Write, topic: String, payload: impl Into<Bytes>) -> Result<(), Fault> {
    let topic = Topic::new(topic).map_err(|invalid| Fault::because("the topic of an event", invalid))?;
    let message = Publish { qos: QoS::AtLeastOnce, ..Publish::new(topic, payload) };
    db.tell(News::Publication(message, None));
    Ok(())
}

/// unconfirmed: that there are no dates before anything has been configured.
fn describe_event_configurations(
    db: Read,
    _: &DescribeEventConfigurationsRequest,
) -> Answer<DescribeEventConfigurationsResponse> {
    let known = db.get(&EVENT_CONFIGURATIONS, NO_PARTS)?;
    let is_on = |key: &str| known.as_ref().is_some_and(|known| known.enabled.contains(key));
    let all: Map<String, Value> = KEYS.iter().map(|key| ((*key).to_owned(), json!({"Enabled": is_on(key)}))).collect();
    let answer = DescribeEventConfigurationsResponse::new().with_event_configurations(all);
    Ok(match &known {
        Some(known) => answer.with_creation_date(known.created).with_last_modified_date(known.modified),
        None => answer,
    })
}

/// Key by key: what is not given stays as it is.
fn update_event_configurations(
    db: &mut Write,
    input: &UpdateEventConfigurationsRequest,
) -> Answer<UpdateEventConfigurationsResponse> {
    let known = db.view().get(&EVENT_CONFIGURATIONS, NO_PARTS)?;
    let mut configurations = known.unwrap_or(Configurations { created: db.now(), ..Configurations::default() });
    for (key, asked) in input.event_configurations().and_then(Value::as_object).into_iter().flatten() {
        match asked.get("Enabled").and_then(Value::as_bool) {
            Some(true) => configurations.enabled.insert(key.clone()),
            _ => configurations.enabled.remove(key),
        };
    }
    configurations.modified = db.now();
    db.put(&EVENT_CONFIGURATIONS, NO_PARTS, &configurations)?;
    Ok(UpdateEventConfigurationsResponse::new())
}
