//! The lives of twenty shadows: every request, and every message published because of it.

use crate::json;
use serde_json::{Value, json};
use shadow::{Document, Limits, Refused};

const LIVES: &str = include_str!("shadow.jsonl");

#[test]
fn every_step_of_every_life_publishes_what_it_should() {
    let mut record: Option<Vec<u8>> = None;
    let mut steps = 0;
    for line in LIVES.lines() {
        let step: Value = serde_json::from_str(line).unwrap();
        if step["step"] == 1 {
            record = None;
        }
        let mut published = publish(&step, &mut record);
        let mut expected = step["out"].as_array().unwrap().clone();
        published.sort_by_key(|message| message["topic"].to_string());
        expected.sort_by_key(|message| message["topic"].to_string());
        assert_eq!(published, expected, "{} step {}", step["case"], step["step"]);
        steps += 1;
    }
    assert_eq!(steps, 60);
}

/// Plays one step, keeps the record it leaves, and gives what it publishes.
fn publish(step: &Value, record: &mut Option<Vec<u8>>) -> Vec<Value> {
    let kept = record.take();
    let stored = kept.as_deref().map(|record| Document::decode(record).unwrap());
    let name = if step["case"] == "V17" { "t1~operation" } else { "t1" };
    let request = step["in"].to_string().into_bytes();
    let (now, op) = (step["at"].as_i64().unwrap(), step["op"].as_str().unwrap());
    let (messages, next) = match op {
        "update" => spread(shadow::update(stored, &request, now, &Limits::default()).map(|updated| {
            let delta = updated.delta.map(|delta| ("delta", delta));
            let always = [("accepted", updated.accepted), ("documents", updated.documents)];
            (always.into_iter().chain(delta).collect(), Some(updated.record))
        })),
        "get" => spread(shadow::get(stored.as_ref(), name, &request, now).map(|body| (vec![("accepted", body)], None))),
        "delete" => spread(
            shadow::delete(stored.as_ref(), name, &request, now)
                .map(|deleted| (vec![("accepted", deleted.accepted)], Some(deleted.record))),
        ),
        other => panic!("unknown op {other}"),
    };
    *record = next.or(kept);
    let message =
        |(kind, payload): (&str, Vec<u8>)| json!({"topic": format!("{op}/{kind}"), "payload": json(&payload)});
    messages.into_iter().map(message).collect()
}

type Outcome = (Vec<(&'static str, Vec<u8>)>, Option<Vec<u8>>);

fn spread(outcome: Result<Outcome, Refused>) -> Outcome {
    outcome.unwrap_or_else(|refused| (vec![("rejected", refused.body())], None))
}
