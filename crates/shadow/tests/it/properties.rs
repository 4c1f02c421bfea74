//! Properties against a naive reference over generic JSON values, and against arbitrary bytes.

use crate::{get, json, update};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};
use serde_json::{Map, Value, json};
use shadow::Document;

fn config(cases: u32) -> Config {
    Config { cases, rng_seed: RngSeed::Fixed(0x006f_6d62_7261), failure_persistence: None, ..Config::default() }
}

/// Scalars from so few that equal ones meet, and some that are hard to print.
fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        6 => (0..4_i64).prop_map(|number| json!(number)),
        2 => (0..4_i32).prop_map(|number| json!(f64::from(number))),
        2 => any::<bool>().prop_map(Value::Bool),
        2 => "[ab]{0,2}".prop_map(Value::String),
        1 => any::<String>().prop_map(Value::String),
        1 => any::<i64>().prop_map(|number| json!(number)),
        1 => any::<u64>().prop_map(|number| json!(number)),
        // serde_json reads no more digits than these exactly.
        1 => any::<i16>().prop_map(|number| json!(f64::from(number) / 4.0)),
    ]
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => "[a-d]",
        1 => prop::sample::select(vec!["timestamp", "state", "desired", "reported", "delta", "", "\"", "é"])
            .prop_map(str::to_owned),
        1 => any::<String>(),
    ]
}

fn object(inner: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    prop::collection::vec((key(), inner), 0..5).prop_map(|members| Value::Object(members.into_iter().collect()))
}

/// A value without nulls, as may stand in an array.
fn solid() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(2, 12, 3, |inner| {
        prop_oneof![prop::collection::vec(inner.clone(), 0..3).prop_map(Value::Array), object(inner)]
    })
}

/// A section of a patch: nulls may stand anywhere but in arrays.
fn patch() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![3 => solid(), 1 => Just(Value::Null)];
    object(leaf.prop_recursive(3, 20, 4, object))
}

fn state() -> impl Strategy<Value = Value> {
    let section = prop_oneof![8 => patch().prop_map(Some), 1 => Just(Some(Value::Null)), 4 => Just(None)];
    let state = (section.clone(), section).prop_map(|(desired, reported)| {
        let sections = [("desired", desired), ("reported", reported)];
        let present = |(name, section): (&str, Option<Value>)| Some((name.to_owned(), section?));
        Value::Object(sections.into_iter().filter_map(present).collect())
    });
    prop_oneof![20 => state, 1 => Just(Value::Null)]
}

/// §3.2 by the letter, with `now` in the place of every leaf when `times` are merged instead of values.
fn merge(target: &mut Map<String, Value>, patch: &Map<String, Value>, leaf: &impl Fn(&Value) -> Value) {
    for (key, new) in patch {
        match (target.get_mut(key), new) {
            (Some(Value::Object(old)), Value::Object(new)) if !is_stamp(old) => {
                merge(old, new, leaf);
            }
            _ => match created(new, leaf) {
                Some(new) => drop(target.insert(key.clone(), new)),
                None => drop(target.shift_remove(key)),
            },
        }
    }
}

/// A new subtree without its nulls, unless it holds only nulls.
fn created(value: &Value, leaf: &impl Fn(&Value) -> Value) -> Option<Value> {
    match value {
        Value::Null => None,
        Value::Object(members) => {
            let kept: Map<_, _> =
                members.iter().filter_map(|(key, value)| Some((key.clone(), created(value, leaf)?))).collect();
            (members.is_empty() || !kept.is_empty()).then_some(Value::Object(kept))
        }
        Value::Array(elements) => Some(elements.iter().filter_map(|element| created(element, leaf)).collect()),
        scalar => Some(leaf(scalar)),
    }
}

/// A key that no generated object has marks the reference's timestamps.
const STAMP: &str = "\u{0}stamp";

fn is_stamp(object: &Map<String, Value>) -> bool {
    object.contains_key(STAMP)
}

/// Turns the reference's timestamps into those of the wire.
fn on_the_wire(value: &Value) -> Value {
    match value {
        Value::Object(members) if is_stamp(members) => json!({"timestamp": members[STAMP]}),
        Value::Object(members) => members.iter().map(|(key, value)| (key.clone(), on_the_wire(value))).collect(),
        Value::Array(elements) => elements.iter().map(on_the_wire).collect(),
        scalar => scalar.clone(),
    }
}

/// §3.4 by the letter, on values and on their times side by side.
fn difference(desired: &Value, times: &Value, reported: Option<&Value>) -> Option<(Value, Value)> {
    let (Value::Object(members), Some(Value::Object(other))) = (desired, reported) else {
        let same = reported.is_some_and(|reported| equal(desired, reported));
        return (!same).then(|| (desired.clone(), times.clone()));
    };
    let (mut state, mut metadata) = (Map::new(), Map::new());
    for (key, value) in members {
        if let Some((value, time)) = difference(value, &times[key], other.get(key)) {
            state.insert(key.clone(), value);
            metadata.insert(key.clone(), time);
        }
    }
    (!state.is_empty()).then_some((state.into(), metadata.into()))
}

/// Equality by value; serde_json tells 1 from 1.0.
fn equal(one: &Value, two: &Value) -> bool {
    match (one, two) {
        (Value::Number(one), Value::Number(two)) => {
            one == two || (one.is_f64() != two.is_f64() && one.as_f64() == two.as_f64() && one.to_string().len() < 15)
        }
        (Value::Array(one), Value::Array(two)) => {
            one.len() == two.len() && one.iter().zip(two).all(|(one, two)| equal(one, two))
        }
        (Value::Object(one), Value::Object(two)) => {
            one.len() == two.len() && one.iter().all(|(key, value)| two.get(key).is_some_and(|two| equal(value, two)))
        }
        _ => one == two,
    }
}

/// A whole shadow's state or its times after an update.
fn merged(before: &Value, patch: &Value, leaf: &impl Fn(&Value) -> Value) -> Value {
    let (Value::Object(before), Value::Object(patch)) = (before, patch) else {
        return json!({});
    };
    let mut after = before.clone();
    merge(&mut after, patch, leaf);
    after.retain(|_, section| section.as_object().is_none_or(|section| !section.is_empty()));
    Value::Object(after)
}

/// What metadata `accepted` shows for a state: every leaf, nulls too, has the time.
fn stamped(value: &Value, now: i64) -> Value {
    match value {
        Value::Object(members) => members.iter().map(|(key, value)| (key.clone(), stamped(value, now))).collect(),
        Value::Array(elements) => elements.iter().map(|element| stamped(element, now)).collect(),
        _ => json!({"timestamp": now}),
    }
}

proptest! {
    #![proptest_config(config(256))]

    #[test]
    fn a_life_of_updates_agrees_with_the_reference(states in prop::collection::vec(state(), 1..6)) {
        let (mut record, mut state, mut times) = (None::<Vec<u8>>, json!({}), json!({}));
        let mut previous = Value::Null;
        for (patch, version) in states.into_iter().zip(1_u64..) {
            let now = 1_700_000_000 + i64::try_from(version).unwrap();
            let request = json!({"clientToken": "t", "version": version - 1, "state": patch});
            let updated = match update(record.as_deref(), request.to_string().as_bytes(), now) {
                Err(refused) => { prop_assert_eq!(refused.code, 413); break }
                Ok(updated) => updated,
            };
            state = merged(&state, &patch, &Value::clone);
            times = merged(&times, &patch, &|_| json!({STAMP: now}));
            let metadata = on_the_wire(&times);
            let current = json!({"state": state, "metadata": metadata, "version": version});

            prop_assert_eq!(updated.version, version);
            prop_assert_eq!(json(&updated.accepted), json!({
                "state": patch, "metadata": stamped(&patch, now), "version": version, "timestamp": now, "clientToken": "t",
            }));
            prop_assert_eq!(json(&updated.documents), json!({
                "previous": previous, "current": current, "timestamp": now, "clientToken": "t",
            }));
            let delta = state.get("desired").and_then(|desired| difference(desired, &metadata["desired"], state.get("reported")));
            prop_assert_eq!(updated.delta.map(|delta| json(&delta)), delta.clone().map(|(state, metadata)| json!({
                "version": version, "timestamp": now, "state": state, "metadata": metadata, "clientToken": "t",
            })));
            let mut shown = state.clone();
            if let Some((delta, _)) = delta {
                shown["delta"] = delta;
            }
            prop_assert_eq!(json(&get(Some(&updated.record), b"", now + 1).unwrap()), json!({
                "state": shown, "metadata": metadata, "version": version, "timestamp": now + 1,
            }));
            previous = current;
            record = Some(updated.record);
        }
    }

    #[test]
    fn reporting_the_delta_leaves_none(desired in patch(), reported in patch()) {
        let request = json!({"state": {"desired": desired, "reported": reported}}).to_string();
        let Ok(first) = update(None, request.as_bytes(), 1) else { return Ok(()) };
        if let Some(delta) = &first.delta {
            let report = json!({"state": {"reported": json(delta)["state"]}}).to_string();
            let Ok(second) = update(Some(&first.record), report.as_bytes(), 2) else { return Ok(()) };
            prop_assert_eq!(second.delta, None);
        }
    }

    #[test]
    fn the_same_state_prints_the_same_whatever_the_order_of_its_keys(section in patch()) {
        let forth = json!({"state": {"desired": section}}).to_string();
        let back = json!({"state": {"desired": reversed(&section)}}).to_string();
        prop_assert_eq!(update(None, forth.as_bytes(), 1), update(None, back.as_bytes(), 1));
    }

    #[test]
    fn arbitrary_bytes_are_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = update(None, &bytes, 0);
        let _ = get(None, &bytes, 0);
        if let Ok(document) = Document::decode(&bytes) {
            let _ = shadow::delete(Some(&document), "t1", &bytes, 0);
        }
    }

    #[test]
    fn json_is_read_exactly_when_serde_json_reads_it(value in solid(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(&b"{}[]\",:\\u0-9a.+eEtn \n/"[..])), 0..3)) {
        let mut text = value.to_string().into_bytes();
        for (at, byte) in changes {
            let at = at.index(text.len());
            text[at] = byte;
        }
        let request = [&br#"{"state":{},"x":"#[..], &text, b"}"].concat();
        let read = update(None, &request, 0).is_ok();
        match serde_json::from_slice::<Value>(&request) {
            // Its numbers are binary, ours are text.
            Err(error) if error.to_string().contains("number out of range") => {}
            peer => prop_assert_eq!(read, peer.is_ok(), "{}", String::from_utf8_lossy(&request)),
        }
    }

    #[test]
    fn whatever_is_accepted_is_answered_in_json(mut request in state().prop_map(|state| json!({"state": state}).to_string().into_bytes()),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4), now in any::<i64>()) {
        for (at, byte) in changes {
            let at = at.index(request.len());
            request[at] = byte;
        }
        let Ok(updated) = update(None, &request, now) else { return Ok(()) };
        if serde_json::from_slice::<Value>(&request).is_ok() {
            for message in [&updated.accepted, &updated.documents].into_iter().chain(&updated.delta) {
                json(message);
            }
            json(&get(Some(&updated.record), b"", now).unwrap());
        }
    }

    #[test]
    fn every_request_gets_an_answer_in_json(value in solid(), now in any::<i64>()) {
        for request in [value.clone(), json!({"state": value}), json!({"state": {"desired": value}, "version": value})] {
            match update(None, request.to_string().as_bytes(), now) {
                Ok(updated) => prop_assert_eq!(&json(&updated.documents)["timestamp"], now),
                Err(refused) => prop_assert_eq!(&json(&refused.body())["code"], refused.code),
            }
        }
    }
}

fn reversed(value: &Value) -> Value {
    match value {
        Value::Object(members) => members.iter().rev().map(|(key, value)| (key.clone(), reversed(value))).collect(),
        other => other.clone(),
    }
}
