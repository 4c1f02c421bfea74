//! Attributes as things and thing groups have them (registry.md §4): names with values, replaced or merged by an update,
//! and an empty value takes one away. How many there may be is the business of whoever has them.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use wire::iot::AttributePayload;

/// By name; no value is empty.
pub(crate) type Attributes = BTreeMap<String, String>;

/// The attributes of something new. `merge` speaks of updates and is not looked at.
pub(crate) fn first(payload: Option<&AttributePayload>) -> Attributes {
    let mut attributes = payload.map(given).unwrap_or_default();
    attributes.retain(|_, value| !value.is_empty());
    attributes
}

/// What an update leaves of them.
pub(crate) fn update(attributes: &mut Attributes, payload: &AttributePayload) {
    if payload.merge() != Some(true) {
        attributes.clear();
    }
    attributes.extend(given(payload));
    attributes.retain(|_, value| !value.is_empty());
}

/// As answers write them.
pub(crate) fn json(attributes: &Attributes) -> Map<String, Value> {
    attributes.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect()
}

/// As they came: an empty value asks to remove.
fn given(payload: &AttributePayload) -> Attributes {
    let given = payload.attributes().and_then(Value::as_object);
    let text = |(name, value): (&String, &Value)| Some((name.clone(), value.as_str()?.to_owned()));
    given.into_iter().flatten().filter_map(text).collect()
}
