//! What an error action gets to hear (rules.md §7): one message about one message that came, or about all of a batch that failed
//! together. When it is told, and to whom, is unknown here.

use serde::Serialize;

/// An action that failed.
#[expect(clippy::struct_field_names, reason = "AWS's names, in snake case")]
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FailedAction {
    pub(super) failed_action: &'static str,
    pub(super) failed_resource: String,
    pub(super) error_message: String,
}

/// A message for which something failed.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Entry<'a> {
    pub(super) cloudwatch_trace_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) client_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) source_ip: Option<&'a str>,
    pub(super) base64_original_payload: String,
}

/// A message, where it came to, and what failed.
pub(super) struct Failed<'a> {
    pub(super) topic: &'a str,
    pub(super) entry: Entry<'a>,
    pub(super) failures: Vec<FailedAction>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OfOne<'a> {
    rule_name: &'a str,
    topic: &'a str,
    #[serde(flatten)]
    entry: Entry<'a>,
    failures: Vec<FailedAction>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OfBatch<'a> {
    rule_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    topic: Option<&'a str>,
    payloads_with_metadata: Vec<Numbered<'a>>,
    failures: Vec<Affecting>,
}

#[derive(Serialize)]
struct Numbered<'a> {
    id: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    topic: Option<&'a str>,
    #[serde(flatten)]
    entry: Entry<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Affecting {
    affected_ids: Vec<usize>,
    #[serde(flatten)]
    failure: FailedAction,
}

/// The message about one message; nothing if there is none.
pub(super) fn of_one(rule_name: &str, failed: Vec<Failed<'_>>) -> Vec<u8> {
    let one = failed.into_iter().next();
    let message = one.map(|Failed { topic, entry, failures }| OfOne { rule_name, topic, entry, failures });
    serde_json::to_vec(&message).unwrap_or_default()
}

/// The message about a batch. A topic that all share stands beside them.
/// unconfirmed: ids count from 1; AWS places the topic by the batch's configuration, which comes to the same for batches of
/// several topics.
pub(super) fn of_batch(rule_name: &str, failed: Vec<Failed<'_>>) -> Vec<u8> {
    let first = failed.first().map(|failed| failed.topic);
    let shared = first.filter(|first| failed.iter().all(|failed| failed.topic == *first));
    let mut payloads_with_metadata = Vec::with_capacity(failed.len());
    let mut failures: Vec<Affecting> = Vec::new();
    for (id, Failed { topic, entry, failures: own }) in (1..).zip(failed) {
        payloads_with_metadata.push(Numbered { id, topic: shared.is_none().then_some(topic), entry });
        for failure in own {
            match failures.iter_mut().find(|known| known.failure == failure) {
                Some(known) => known.affected_ids.push(id),
                None => failures.push(Affecting { affected_ids: vec![id], failure }),
            }
        }
    }
    let message = OfBatch { rule_name, topic: shared, payloads_with_metadata, failures };
    serde_json::to_vec(&message).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn failed<'a>(topic: &'a str, trace: &'a str, messages: &[&str]) -> Failed<'a> {
        let entry = Entry {
            cloudwatch_trace_id: trace,
            client_id: Some("c"),
            source_ip: None,
            base64_original_payload: "e30=".to_owned(),
        };
        let failure = |message: &&str| FailedAction {
            failed_action: "HttpAction",
            failed_resource: "u".to_owned(),
            error_message: (*message).to_owned(),
        };
        Failed { topic, entry, failures: messages.iter().map(failure).collect() }
    }

    fn read(bytes: &[u8]) -> Value {
        serde_json::from_slice(bytes).unwrap()
    }

    #[test]
    fn one_message_is_told_of_by_itself() {
        assert_eq!(
            read(&of_one("r", vec![failed("t", "1", &["down"])])),
            json!({
                "ruleName": "r", "topic": "t", "cloudwatchTraceId": "1", "clientId": "c", "base64OriginalPayload": "e30=",
                "failures": [{"failedAction": "HttpAction", "failedResource": "u", "errorMessage": "down"}],
            })
        );
    }

    #[test]
    fn a_batch_is_told_of_once_and_says_whom_each_failure_affects() {
        let told = read(&of_batch("r", vec![failed("t", "1", &["down"]), failed("t", "2", &["down", "late"])]));
        assert_eq!(
            told,
            json!({
                "ruleName": "r", "topic": "t",
                "payloadsWithMetadata": [
                    {"id": 1, "cloudwatchTraceId": "1", "clientId": "c", "base64OriginalPayload": "e30="},
                    {"id": 2, "cloudwatchTraceId": "2", "clientId": "c", "base64OriginalPayload": "e30="},
                ],
                "failures": [
                    {"affectedIds": [1, 2], "failedAction": "HttpAction", "failedResource": "u", "errorMessage": "down"},
                    {"affectedIds": [2], "failedAction": "HttpAction", "failedResource": "u", "errorMessage": "late"},
                ],
            })
        );
        let told = read(&of_batch("r", vec![failed("a", "1", &["down"]), failed("b", "2", &["down"])]));
        assert_eq!((&told["topic"], &told["payloadsWithMetadata"][1]["topic"]), (&Value::Null, &json!("b")));
    }
}
