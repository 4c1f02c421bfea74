//! Versions, tombstones and the 48 hours of §3.5; and the corners of merge and delta that no golden life visits.

use crate::{get, json, update};
use serde_json::{Value, json};
use shadow::{Corrupt, Document};

const NOW: i64 = 1_700_000_000;
const EMPTY: &[u8] = br#"{"state":{}}"#;

fn tombstone(record: &[u8], now: i64) -> Vec<u8> {
    shadow::delete(Some(&Document::decode(record).unwrap()), "t1", b"", now).unwrap().record
}

#[test]
fn a_shadow_recreated_within_48_hours_continues_and_after_that_begins_again() {
    let first = update(None, EMPTY, NOW).unwrap();
    let third = update(Some(&update(Some(&first.record), EMPTY, NOW).unwrap().record), EMPTY, NOW).unwrap();
    assert_eq!(third.version, 3);
    let deleted = tombstone(&third.record, NOW);
    let hours = 3600;
    for (later, version) in
        [(0, 5), (-9, 5), (47 * hours, 5), (48 * hours, 5), (48 * hours + 1, 1), (i64::MAX - NOW, 1)]
    {
        assert_eq!(update(Some(&deleted), EMPTY, NOW + later).unwrap().version, version, "{later} seconds later");
        assert_eq!(Document::decode(&deleted).unwrap().forgotten(NOW + later), version == 1);
    }
}

#[test]
fn a_tombstone_is_no_shadow() {
    let deleted = tombstone(&update(None, EMPTY, NOW).unwrap().record, NOW);
    let stored = Document::decode(&deleted).unwrap();
    assert!(!stored.exists());
    assert_eq!(stored.version(), 2);
    assert_eq!(get(Some(&deleted), b"", NOW).unwrap_err().code, 404);
    assert_eq!(shadow::delete(Some(&stored), "t1", b"", NOW).unwrap_err().code, 404);
    let again = update(Some(&deleted), EMPTY, NOW).unwrap();
    assert_eq!(json(&again.documents)["previous"], Value::Null);
}

#[test]
fn version_zero_means_must_not_exist() {
    let request = |version: u64| json!({"state": {}, "version": version}).to_string().into_bytes();
    let first = update(None, &request(0), NOW).unwrap();
    assert_eq!(first.version, 1);
    assert_eq!(update(None, &request(1), NOW).unwrap_err().code, 409);
    assert_eq!(update(Some(&first.record), &request(0), NOW).unwrap_err().code, 409);
    assert_eq!(update(Some(&first.record), &request(1), NOW).unwrap().version, 2);
    let deleted = tombstone(&first.record, NOW);
    assert_eq!(update(Some(&deleted), &request(2), NOW).unwrap_err().code, 409);
    assert_eq!(update(Some(&deleted), &request(0), NOW).unwrap().version, 3);
}

/// Applies patches to the desired section, one second apart, and checks what is left of it and of its metadata.
fn merges(patches: &[&str], state: &Value, metadata: &Value) {
    let mut record = None;
    for (patch, now) in patches.iter().zip(1..) {
        let request = format!(r#"{{"state":{{"desired":{patch}}}}}"#);
        record = Some(update(record.as_deref(), request.as_bytes(), now).unwrap().record);
    }
    let got = json(&get(record.as_deref(), b"", 9).unwrap());
    assert_eq!((&got["state"]["desired"], &got["metadata"]["desired"]), (state, metadata), "{patches:?}");
}

#[test]
fn patches_merge_by_the_rules_of_3_2() {
    let at = |time: i64| json!({"timestamp": time});
    merges(
        &[r#"{"b":1,"d":2}"#, r#"{"a":3,"c":4,"d":5,"e":6}"#],
        &json!({"a":3,"b":1,"c":4,"d":5,"e":6}),
        &json!({"a":at(2),"b":at(1),"c":at(2),"d":at(2),"e":at(2)}),
    );
    merges(&[r#"{"a":{"b":1}}"#, r#"{"a":{}}"#], &json!({"a":{"b":1}}), &json!({"a":{"b":at(1)}}));
    merges(
        &[r#"{"a":{"b":1},"c":1}"#, r#"{"a":{"x":{"y":null}}}"#],
        &json!({"a":{"b":1},"c":1}),
        &json!({"a":{"b":at(1)},"c":at(1)}),
    );
    merges(&[r#"{"a":{"b":{"c":null,"d":{}}}}"#], &json!({"a":{"b":{"d":{}}}}), &json!({"a":{"b":{"d":{}}}}));
    merges(&[r#"{"a":1,"b":2}"#, r#"{"a":{"x":null}}"#], &json!({"b":2}), &json!({"b":at(1)}));
    merges(&[r#"{"a":{"b":{}}}"#, r#"{"a":{"b":null}}"#], &json!({"a":{}}), &json!({"a":{}}));
    merges(&[r#"{"a":{"b":{"c":null}}}"#], &Value::Null, &Value::Null);
    merges(&[r#"{"a":1}"#, r#"{"a":null}"#], &Value::Null, &Value::Null);
    merges(&[r#"{"a":[1,[2,{"b":[]}]]}"#], &json!({"a":[1,[2,{"b":[]}]]}), &json!({"a":[at(1),[at(1),{"b":[]}]]}));
    merges(
        &[r#"{"a":1,"b":{"x":1},"a":2,"b":{"y":1},"a":3}"#],
        &json!({"a":3,"b":{"y":1}}),
        &json!({"a":at(1),"b":{"y":at(1)}}),
    );
    merges(&[r#"{"key":1}"#, r#"{"\u006bey":2}"#], &json!({"key":2}), &json!({"key":at(2)}));
}

/// The delta between two sections, or null.
fn delta(desired: &str, reported: &str) -> Value {
    let request = format!(r#"{{"state":{{"desired":{desired},"reported":{reported}}}}}"#);
    let updated = update(None, request.as_bytes(), NOW).unwrap();
    let got = json(&get(Some(&updated.record), b"", NOW).unwrap());
    let delta = updated.delta.map_or(Value::Null, |delta| json(&delta)["state"].clone());
    assert_eq!(got["state"].get("delta").unwrap_or(&Value::Null), &delta);
    delta
}

#[test]
fn deltas_follow_the_rules_of_3_4() {
    for (desired, reported, expected) in [
        (r#"{"a":1}"#, r#"{"a":1.0}"#, json!(null)),
        (r#"{"a":[1,{"b":2}]}"#, r#"{"a":[1e0,{"b":2.0}]}"#, json!(null)),
        (r#"{"a":[1,2]}"#, r#"{"a":[2,1]}"#, json!({"a":[1,2]})),
        (r#"{"a":true}"#, r#"{"a":1}"#, json!({"a":true})),
        (r#"{"a":"1"}"#, r#"{"a":1}"#, json!({"a":"1"})),
        (r#"{"a":"\u0031\/"}"#, r#"{"a":"1/"}"#, json!(null)),
        (r#"{"a":{}}"#, r#"{"a":{"b":1}}"#, json!(null)),
        (r#"{"a":{}}"#, r#"{"a":1}"#, json!({"a":{}})),
        (r#"{"a":{}}"#, "null", json!({"a":{}})),
        (r#"{"a":{"b":1,"c":{"d":2}}}"#, r#"{"a":{"c":{"d":3},"z":1},"z":1}"#, json!({"a":{"b":1,"c":{"d":2}}})),
        ("null", r#"{"a":1}"#, json!(null)),
    ] {
        assert_eq!(delta(desired, reported), expected, "{desired} against {reported}");
    }
}

#[test]
fn numbers_keep_their_text() {
    let numbers = r#"{"a":1.0,"b":1e2,"c":123456789012345678901234567890,"d":-0.10,"e":1E-400}"#;
    let updated = update(None, format!(r#"{{"state":{{"desired":{numbers}}}}}"#).as_bytes(), NOW).unwrap();
    let again = update(Some(&updated.record), EMPTY, NOW).unwrap();
    for message in [updated.accepted, updated.delta.unwrap(), updated.documents, again.documents] {
        assert!(String::from_utf8(message).unwrap().contains(numbers));
    }
}

#[test]
fn records_that_were_cut_or_altered_are_corrupt_and_never_a_panic() {
    let record = update(None, br#"{"state":{"desired":{"a":[1,"x"],"b":{"c":true}}}}"#, NOW).unwrap().record;
    let deleted = tombstone(&record, NOW);
    for end in 0..record.len() {
        assert_eq!(Document::decode(&record[..end]).unwrap_err(), Corrupt);
    }
    for end in 0..deleted.len() {
        assert_eq!(Document::decode(&deleted[..end]).unwrap_err(), Corrupt);
    }
    for at in 0..record.len() {
        for bit in 0..8 {
            let mut altered = record.clone();
            altered[at] ^= 1 << bit;
            if Document::decode(&altered).is_ok() {
                let _ = update(Some(&altered), br#"{"state":{"reported":{"a":[1]}}}"#, NOW);
                get(Some(&altered), b"", NOW).unwrap();
            }
        }
    }
    for leaves in [2_u32, 4] {
        let altered = [&record[..14], &leaves.to_le_bytes(), &record[18..]].concat();
        assert_eq!(Document::decode(&altered).unwrap_err(), Corrupt, "{leaves} times for 3 leaves");
    }
}
