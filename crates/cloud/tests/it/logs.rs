//! Log groups: what is written is found again in order, what is asked for is found, and what there is no room or no time for
//! goes, oldest first.

use cloud::Kind;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::house::{DAWN, Lab, column, text};

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

/// A lab with a log group `g` and a stream `s` in it.
fn lab() -> Lab {
    let lab = Lab::new();
    lab.ok("CreateLogGroup", json!({"logGroupName": "g"}));
    lab.ok("CreateLogStream", json!({"logGroupName": "g", "logStreamName": "s"}));
    lab
}

fn put(lab: &Lab, stream: &str, events: &[(i64, &str)]) -> Value {
    let events: Vec<Value> =
        events.iter().map(|(time, message)| json!({"timestamp": time, "message": message})).collect();
    lab.ok("PutLogEvents", json!({"logGroupName": "g", "logStreamName": stream, "logEvents": events}))
}

fn filter(lab: &Lab, input: Value) -> Vec<String> {
    let mut input = input;
    input["logGroupName"] = json!("g");
    let pages = lab.pages("FilterLogEvents", input, "events", ("nextToken", "nextToken"));
    pages.concat().iter().map(|event| text(&event["message"])).collect()
}

#[test]
fn what_the_house_logs_is_kept_and_group_and_stream_are_made_for_it() {
    let lab = Lab::new();
    lab.log("/aws/lambda/f", "s", &["START", "END"]);
    lab.log("/aws/lambda/f", "t", &["START"]);
    assert_eq!(["log_groups", "log_streams", "log_events"].map(|table| lab.rows(table)), [1, 2, 3]);
    lab.elsewhere("000000000001", "us-east-1").log("/aws/lambda/f", "s", &["START"]);
    assert_eq!(["log_groups", "log_streams", "log_events"].map(|table| lab.rows(table)), [2, 3, 4]);
    let found = lab.ok("FilterLogEvents", json!({"logGroupName": "/aws/lambda/f", "startTime": DAWN}));
    assert_eq!(column(&found["events"], "logStreamName"), ["s", "s", "t"]);
}

#[test]
fn a_group_that_is_full_loses_its_oldest_events_and_it_is_told_once() {
    let lab = Lab::new();
    let line = "x".repeat(300_000);
    for _ in 0..3 {
        lab.log("full", "old", &[&line, &line]);
    }
    assert_eq!(lab.rows("log_events"), 6);
    for _ in 0..3 {
        lab.log("full", "new", &[&line, &line]);
    }
    assert_eq!(lab.rows("log_events"), 6);
    assert_eq!(lab.rows("log_events_of_streams"), 6);
    let streams = lab.ok("DescribeLogStreams", json!({"logGroupName": "full"}));
    assert_eq!(column(&streams["logStreams"], "logStreamName"), ["new"], "a stream goes with its last event");
    let told = lab.events().into_iter().filter(|kind| matches!(kind, Kind::LogFull { .. })).count();
    assert_eq!(told, 1);
}

#[test]
fn all_groups_together_are_bounded_and_the_oldest_events_go_whosever_they_are() {
    let lab = Lab::new();
    let line = "x".repeat(500_000);
    for group in ["a", "b", "c"] {
        lab.log(group, "s", &[&line, &line, &line]);
        lab.pass(1000);
    }
    // The third found no room, and has taken none but its own: now the sweep makes some.
    assert_eq!(lab.rows("log_events"), 9);
    for _ in 0..5 {
        lab.pass(10_000);
        lab.tick().unwrap();
    }
    let groups = lab.ok("DescribeLogGroups", json!({}));
    let stored = groups["logGroups"].as_array().unwrap().iter().map(|group| group["storedBytes"].as_i64().unwrap());
    assert_eq!(stored.collect::<Vec<_>>(), [2 * 500_026, 3 * 500_026, 3 * 500_026]);
    assert_eq!(lab.faults(), 0);
}

#[test]
fn a_group_is_described_as_it_was_made() {
    let lab = Lab::new();
    lab.ok("CreateLogGroup", json!({"logGroupName": "/a/b", "tags": {"k": "v"}}));
    lab.ok("PutRetentionPolicy", json!({"logGroupName": "/a/b", "retentionInDays": 7}));
    let arn = "arn:aws:logs:us-east-1:000000000000:log-group:/a/b";
    let expected = json!({
        "logGroupName": "/a/b", "creationTime": DAWN, "metricFilterCount": 0, "arn": format!("{arn}:*"),
        "storedBytes": 0, "logGroupClass": "STANDARD", "logGroupArn": arn, "deletionProtectionEnabled": false,
        "retentionInDays": 7,
    });
    assert_eq!(lab.ok("DescribeLogGroups", json!({}))["logGroups"], json!([expected]));
    assert_eq!(lab.no("CreateLogGroup", json!({"logGroupName": "/a/b"})), "ResourceAlreadyExists");
    lab.ok("DeleteRetentionPolicy", json!({"logGroupName": "/a/b"}));
    assert!(lab.ok("DescribeLogGroups", json!({}))["logGroups"][0].get("retentionInDays").is_none());
    lab.ok("DeleteLogGroup", json!({"logGroupName": "/a/b"}));
    assert_eq!(lab.ok("DescribeLogGroups", json!({})), json!({"logGroups": []}));
    assert_eq!(lab.no("DeleteLogGroup", json!({"logGroupName": "/a/b"})), "ResourceNotFound");
}

#[test]
fn a_group_that_is_protected_stays_until_it_is_not() {
    let lab = Lab::new();
    lab.ok("CreateLogGroup", json!({"logGroupName": "g", "deletionProtectionEnabled": true}));
    lab.ok("CreateLogStream", json!({"logGroupName": "g", "logStreamName": "s"}));
    assert_eq!(lab.ok("DescribeLogGroups", json!({}))["logGroups"][0]["deletionProtectionEnabled"], true);
    let words = "Cannot delete log group with deletion protection enabled. Disable deletion protection first.";
    let refused = ("Validation".to_owned(), words.to_owned());
    assert_eq!(lab.refused("DeleteLogGroup", json!({"logGroupName": "g"})), refused);
    assert_eq!(lab.refused("DeleteLogStream", json!({"logGroupName": "g", "logStreamName": "s"})), refused);
    let arn = "arn:aws:logs:us-east-1:000000000000:log-group:g";
    let protect = |name: &str, is_protected: bool| {
        lab.call(
            "PutLogGroupDeletionProtection",
            json!({"logGroupIdentifier": name, "deletionProtectionEnabled": is_protected}),
        )
    };
    protect(arn, false).unwrap();
    lab.ok("DeleteLogGroup", json!({"logGroupName": "g"}));
    assert!(protect("g", true).is_err());
}

#[test]
fn what_a_group_cannot_be_is_refused() {
    let lab = lab();
    let create = |input: Value| lab.no("CreateLogGroup", input);
    assert_eq!(create(json!({"logGroupName": "aws/mine"})), "InvalidParameter");
    assert_eq!(create(json!({"logGroupName": "x", "kmsKeyId": "k"})), "NotImplemented");
    assert_eq!(create(json!({"logGroupName": "x", "logGroupClass": "INFREQUENT_ACCESS"})), "NotImplemented");
    assert_eq!(lab.no("PutRetentionPolicy", json!({"logGroupName": "g", "retentionInDays": 2})), "InvalidParameter");
    assert_eq!(lab.no("PutRetentionPolicy", json!({"logGroupName": "x", "retentionInDays": 1})), "ResourceNotFound");
}

#[test]
fn groups_are_found_by_the_beginning_or_a_part_of_their_names() {
    let lab = Lab::new();
    for name in ["/aws/lambda/a", "/aws/lambda/b", "/aws/iot", "lambda"] {
        lab.ok("CreateLogGroup", json!({"logGroupName": name}));
    }
    let names = |input: Value| {
        let pages = lab.pages("DescribeLogGroups", input, "logGroups", ("nextToken", "nextToken"));
        pages.iter().map(|page| column(&json!(page), "logGroupName")).collect::<Vec<_>>()
    };
    assert_eq!(names(json!({"logGroupNamePrefix": "/aws/lambda/"})), [["/aws/lambda/a", "/aws/lambda/b"]]);
    assert_eq!(names(json!({"logGroupNamePattern": "lambda"})), [["/aws/lambda/a", "/aws/lambda/b", "lambda"]]);
    assert_eq!(names(json!({"limit": 2})), [["/aws/iot", "/aws/lambda/a"], ["/aws/lambda/b", "lambda"]]);
    let arn = "arn:aws:logs:us-east-1:000000000000:log-group:/aws/iot:*";
    assert_eq!(names(json!({"logGroupIdentifiers": [arn, "lambda"]})), [["/aws/iot", "lambda"]]);
    let both = json!({"logGroupNamePrefix": "a", "logGroupNamePattern": "a"});
    assert_eq!(lab.no("DescribeLogGroups", both), "InvalidParameter");
    assert_eq!(lab.no("DescribeLogGroups", json!({"nextToken": "?"})), "InvalidParameter");
    let listed = |input: Value| {
        let pages = lab.pages("ListLogGroups", input, "logGroups", ("nextToken", "nextToken"));
        pages.iter().map(|page| column(&json!(page), "logGroupName")).collect::<Vec<_>>()
    };
    assert_eq!(listed(json!({"limit": 3})).concat(), ["/aws/iot", "/aws/lambda/a", "/aws/lambda/b", "lambda"]);
    assert_eq!(listed(json!({"logGroupNamePattern": "^lambda|iot"})), [["/aws/iot", "lambda"]]);
    assert_eq!(lab.no("ListLogGroups", json!({"fieldIndexNames": ["a"]})), "NotImplemented");
    assert_eq!(lab.no("ListLogGroups", json!({"nextToken": "?"})), "InvalidParameter");
    let twice = json!({"logGroupName": "lambda", "logGroupIdentifier": "lambda"});
    assert_eq!(lab.no("DescribeLogStreams", twice), "Validation");
    // A stream has a token once something came in.
    lab.ok("CreateLogStream", json!({"logGroupName": "lambda", "logStreamName": "s"}));
    let token = || lab.ok("DescribeLogStreams", json!({"logGroupName": "lambda"}))["logStreams"][0].clone();
    assert!(token().get("uploadSequenceToken").is_none());
    lab.log("lambda", "s", &["line"]);
    assert!(token()["uploadSequenceToken"].is_string());
}

#[test]
fn groups_are_tagged_by_their_arn_and_by_their_name() {
    let lab = lab();
    let arn = "arn:aws:logs:us-east-1:000000000000:log-group:g";
    lab.ok("logs:TagResource", json!({"resourceArn": arn, "tags": {"a": "1", "b": "2"}}));
    lab.ok("TagLogGroup", json!({"logGroupName": "g", "tags": {"c": "3"}}));
    lab.ok("logs:UntagResource", json!({"resourceArn": arn, "tagKeys": ["a"]}));
    lab.ok("UntagLogGroup", json!({"logGroupName": "g", "tags": ["b", "none"]}));
    let expected = json!({"tags": {"c": "3"}});
    assert_eq!(lab.ok("logs:ListTagsForResource", json!({"resourceArn": arn})), expected);
    assert_eq!(lab.ok("ListTagsLogGroup", json!({"logGroupName": "g"})), expected);
    assert_eq!(lab.no("logs:ListTagsForResource", json!({"resourceArn": "g"})), "InvalidParameter");
    let unknown = json!({"resourceArn": format!("{arn}g")});
    assert_eq!(lab.no("logs:ListTagsForResource", unknown), "ResourceNotFound");
    let many: serde_json::Map<String, Value> = (0..50).map(|index| (format!("k{index}"), json!("v"))).collect();
    assert_eq!(lab.no("TagLogGroup", json!({"logGroupName": "g", "tags": many})), "TooManyTags");
}

#[test]
fn streams_are_listed_by_name_or_by_their_last_event() {
    let lab = lab();
    for (stream, time) in [("a", 3), ("b", 1), ("c", 2)] {
        lab.ok("CreateLogStream", json!({"logGroupName": "g", "logStreamName": stream}));
        put(&lab, stream, &[(DAWN - 5, "first"), (DAWN + time, "last")]);
    }
    let names = |input: Value| {
        let mut input = input;
        input["logGroupName"] = json!("g");
        let pages = lab.pages("DescribeLogStreams", input, "logStreams", ("nextToken", "nextToken"));
        pages.iter().flat_map(|page| column(&json!(page), "logStreamName")).collect::<Vec<_>>()
    };
    assert_eq!(names(json!({})), ["a", "b", "c", "s"]);
    assert_eq!(names(json!({"descending": true, "limit": 1})), ["s", "c", "b", "a"]);
    assert_eq!(names(json!({"logStreamNamePrefix": "b"})), ["b"]);
    assert_eq!(names(json!({"orderBy": "LastEventTime", "limit": 1})), ["s", "b", "c", "a"]);
    assert_eq!(names(json!({"orderBy": "LastEventTime", "descending": true, "limit": 3})), ["a", "c", "b", "s"]);
    let listed = lab.ok("DescribeLogStreams", json!({"logGroupIdentifier": "g", "logStreamNamePrefix": "a"}));
    let stream = &listed["logStreams"][0];
    assert_eq!(stream["arn"], "arn:aws:logs:us-east-1:000000000000:log-group:g:log-stream:a");
    let times = ["firstEventTimestamp", "lastEventTimestamp", "lastIngestionTime"].map(|key| stream[key].clone());
    assert_eq!(times, [json!(DAWN - 5), json!(DAWN + 3), json!(DAWN)]);
    let both = json!({"logGroupName": "g", "orderBy": "LastEventTime", "logStreamNamePrefix": "a"});
    assert_eq!(lab.no("DescribeLogStreams", both), "InvalidParameter");
    assert_eq!(lab.no("DescribeLogStreams", json!({})), "InvalidParameter");
}

#[test]
fn a_batch_is_measured_before_it_is_taken() {
    let lab = lab();
    let refused = |events: Value| {
        lab.refused("PutLogEvents", json!({"logGroupName": "g", "logStreamName": "s", "logEvents": events}))
    };
    let event = |time: i64, bytes: usize| json!({"timestamp": time, "message": "x".repeat(bytes)});
    let large = (1 << 20) - 26;
    let (error, message) = refused(json!([event(DAWN, large + 1)]));
    assert_eq!(
        (error.as_str(), message.as_str()),
        ("InvalidParameter", "Log event too large: 1048577 bytes exceeds limit of 1048576")
    );
    let (_, message) = refused(json!([event(DAWN, large), event(DAWN, 1)]));
    assert_eq!(message, "Upload too large: 1048603 bytes exceeds limit of 1048576");
    let (_, message) = refused(json!([event(DAWN, 1), event(DAWN - 1, 1)]));
    assert!(message.contains("chronological order"), "{message}");
    let (_, message) = refused(json!([event(DAWN - DAY - 1, 1), event(DAWN, 1)]));
    assert!(message.contains("cannot span more than 24 hours"), "{message}");
    lab.ok("PutLogEvents", json!({"logGroupName": "g", "logStreamName": "s", "logEvents": [event(DAWN, large)]}));
    lab.ok(
        "PutLogEvents",
        json!({"logGroupName": "g", "logStreamName": "s", "logEvents": [event(DAWN - DAY, 1), event(DAWN, 1)]}),
    );
}

#[test]
fn events_out_of_their_time_are_rejected_and_the_others_taken() {
    let lab = lab();
    let (old, new) = (DAWN - 14 * DAY, DAWN + 2 * HOUR);
    let answer = put(&lab, "s", &[(old - 1, "old"), (DAWN, "now"), (new + 1, "new")]);
    let expected = json!({"tooOldLogEventEndIndex": 1, "tooNewLogEventStartIndex": 2});
    assert_eq!(answer["rejectedLogEventsInfo"], expected);
    assert_eq!(text(&answer["nextSequenceToken"]).len(), 56);
    assert!(put(&lab, "s", &[(old, "oldest")]).get("rejectedLogEventsInfo").is_none());
    assert!(put(&lab, "s", &[(new, "newest")]).get("rejectedLogEventsInfo").is_none());
    lab.ok("PutRetentionPolicy", json!({"logGroupName": "g", "retentionInDays": 1}));
    let answer = put(&lab, "s", &[(DAWN - 15 * DAY, "old"), (DAWN - 2 * DAY, "expired"), (DAWN, "now")]);
    let expected = json!({"tooOldLogEventEndIndex": 1, "expiredLogEventEndIndex": 2});
    assert_eq!(answer["rejectedLogEventsInfo"], expected);
    assert_eq!(filter(&lab, json!({})), ["oldest", "now", "now", "newest"]);
}

#[test]
fn events_go_into_streams_that_are_there_only_and_sequence_tokens_do_not_matter() {
    let lab = lab();
    let event = json!([{"timestamp": DAWN, "message": "m"}]);
    let into = |group: &str, stream: &str| json!({"logGroupName": group, "logStreamName": stream, "logEvents": event});
    assert_eq!(lab.message("PutLogEvents", into("x", "s")), "The specified log group does not exist.");
    assert_eq!(lab.message("PutLogEvents", into("g", "x")), "The specified log stream does not exist.");
    let mut with_token = into("g", "s");
    with_token["sequenceToken"] = json!("nonsense");
    lab.ok("PutLogEvents", with_token);
    let mut with_entity = into("g", "s");
    with_entity["entity"] = json!({"keyAttributes": {"Type": "Service", "Name": "n"}});
    let answer = lab.ok("PutLogEvents", with_entity);
    assert_eq!(answer["rejectedEntityInfo"]["errorType"], "UnsupportedLogGroupType");
}

/// One page of stream `s`: its messages, and the tokens that lead on and back.
fn page(lab: &Lab, input: Value) -> (Vec<String>, Value, Value) {
    let mut input = input;
    input["logGroupName"] = json!("g");
    input["logStreamName"] = json!("s");
    let answer = lab.ok("GetLogEvents", input);
    (column(&answer["events"], "message"), answer["nextForwardToken"].clone(), answer["nextBackwardToken"].clone())
}

#[test]
fn a_stream_is_read_forwards_until_the_same_token_comes_back() {
    let lab = lab();
    put(&lab, "s", &[(DAWN, "1"), (DAWN, "2"), (DAWN + 1, "3")]);
    let (first, on, _) = page(&lab, json!({"startFromHead": true, "limit": 2}));
    assert_eq!(first, ["1", "2"]);
    let (second, end, back) = page(&lab, json!({"nextToken": on, "limit": 2}));
    assert_eq!(second, ["3"]);
    let (none, same, over) = page(&lab, json!({"nextToken": end, "limit": 2}));
    assert_eq!((none.len(), &same), (0, &end));
    assert_eq!(page(&lab, json!({"nextToken": back, "limit": 2})).0, ["1", "2"]);
    assert_eq!(page(&lab, json!({"nextToken": over, "limit": 2})).0, ["2", "3"]);
    put(&lab, "s", &[(DAWN + 1, "4")]);
    assert_eq!(page(&lab, json!({"nextToken": end})).0, ["4"], "a token at the end leads to what comes later");
}

#[test]
fn a_stream_is_read_from_its_end_unless_asked_otherwise() {
    let lab = lab();
    put(&lab, "s", &[(DAWN, "1"), (DAWN, "2"), (DAWN + 1, "3")]);
    let (last, on, back) = page(&lab, json!({"limit": 2}));
    assert_eq!(last, ["2", "3"]);
    assert_eq!(page(&lab, json!({"nextToken": on})).0.len(), 0);
    let (first, _, head) = page(&lab, json!({"nextToken": back, "limit": 2}));
    assert_eq!(first, ["1"]);
    let (none, on, same) = page(&lab, json!({"nextToken": head, "limit": 2}));
    assert_eq!((none.len(), same), (0, head));
    assert_eq!(page(&lab, json!({"nextToken": on})).0, ["1", "2", "3"]);
    let window = json!({"startTime": DAWN, "endTime": DAWN + 1});
    assert_eq!(page(&lab, window).0, ["1", "2"], "the end does not belong to it");
    let bad = json!({"logGroupName": "g", "logStreamName": "s", "nextToken": "f/1/s"});
    assert_eq!(lab.no("GetLogEvents", bad), "InvalidParameter");
}

#[test]
fn a_stream_without_events_has_tokens_too() {
    let lab = lab();
    let (none, on, back) = page(&lab, json!({}));
    assert!(none.is_empty());
    put(&lab, "s", &[(DAWN, "1")]);
    assert_eq!(page(&lab, json!({"nextToken": on})).0, ["1"]);
    assert!(page(&lab, json!({"nextToken": back})).0.is_empty());
}

#[test]
fn a_page_has_at_most_a_megabyte() {
    let lab = lab();
    let message = "x".repeat(400_000);
    for time in 0..4 {
        put(&lab, "s", &[(DAWN + time, &message)]);
    }
    let (first, on, _) = page(&lab, json!({"startFromHead": true}));
    assert_eq!(first.len(), 2);
    assert_eq!(page(&lab, json!({"nextToken": on})).0.len(), 2);
    let pages = lab.pages("FilterLogEvents", json!({"logGroupName": "g"}), "events", ("nextToken", "nextToken"));
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2]);
}

#[test]
fn a_filter_looks_through_all_streams_in_the_order_of_time() {
    let lab = lab();
    lab.ok("CreateLogStream", json!({"logGroupName": "g", "logStreamName": "t"}));
    put(&lab, "s", &[(DAWN, "s0 ERROR"), (DAWN + 2, "s2")]);
    put(&lab, "t", &[(DAWN + 1, "t1 ERROR"), (DAWN + 2, "t2")]);
    assert_eq!(filter(&lab, json!({})), ["s0 ERROR", "t1 ERROR", "s2", "t2"]);
    assert_eq!(filter(&lab, json!({"limit": 1})), ["s0 ERROR", "t1 ERROR", "s2", "t2"]);
    assert_eq!(filter(&lab, json!({"startFromHead": false, "limit": 3})), ["t2", "s2", "t1 ERROR", "s0 ERROR"]);
    assert_eq!(filter(&lab, json!({"filterPattern": "ERROR"})), ["s0 ERROR", "t1 ERROR"]);
    assert_eq!(filter(&lab, json!({"startTime": DAWN + 1, "endTime": DAWN + 2})), ["t1 ERROR", "s2", "t2"]);
    assert_eq!(filter(&lab, json!({"logStreamNames": ["t"]})), ["t1 ERROR", "t2"]);
    assert_eq!(filter(&lab, json!({"logStreamNamePrefix": "s"})), ["s0 ERROR", "s2"]);
    let first = &lab.ok("FilterLogEvents", json!({"logGroupName": "g", "limit": 1}));
    assert_eq!(first["searchedLogStreams"], json!([]));
    let event = &first["events"][0];
    assert_eq!((text(&event["eventId"]).len(), &event["ingestionTime"]), (56, &json!(DAWN)));
    let refused = |input: Value| lab.no("FilterLogEvents", input);
    let both = json!({"logGroupName": "g", "logStreamNames": ["s"], "logStreamNamePrefix": "s"});
    assert_eq!(refused(both), "InvalidParameter");
    assert_eq!(refused(json!({"logGroupName": "g", "logStreamNames": ["x"]})), "ResourceNotFound");
    assert_eq!(refused(json!({"logGroupName": "g", "filterPattern": "a-b"})), "InvalidParameter");
}

#[test]
fn a_filter_looks_at_a_bounded_number_of_events_at_a_time() {
    let lab = Lab::new();
    let line = "x".repeat(40);
    let lines = vec![line.as_str(); 9_000];
    lab.log("g", "s", &["needle"]);
    for _ in 0..3 {
        lab.pass(1);
        lab.log("g", "s", &lines);
    }
    lab.pass(1);
    lab.log("g", "s", &["needle"]);
    let asked = json!({"logGroupName": "g", "filterPattern": "needle"});
    let pages = lab.pages("FilterLogEvents", asked, "events", ("nextToken", "nextToken"));
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1]);
}

#[test]
fn a_stream_that_is_deleted_is_gone_at_once_and_swept_later() {
    let lab = lab();
    put(&lab, "s", &[(DAWN, "1"), (DAWN, "2")]);
    lab.ok("DeleteLogStream", json!({"logGroupName": "g", "logStreamName": "s"}));
    assert!(filter(&lab, json!({})).is_empty());
    lab.ok("CreateLogStream", json!({"logGroupName": "g", "logStreamName": "s"}));
    assert!(page(&lab, json!({})).0.is_empty());
    put(&lab, "s", &[(DAWN, "3")]);
    lab.tick().unwrap();
    assert_eq!(filter(&lab, json!({})), ["3"]);
    assert_eq!(["log_events", "log_events_of_streams", "log_dead"].map(|table| lab.rows(table)), [1, 1, 0]);
    assert_eq!(lab.ok("DescribeLogGroups", json!({}))["logGroups"][0]["storedBytes"], 27);
}

#[test]
fn a_group_that_is_deleted_leaves_nothing() {
    let lab = lab();
    lab.log("g", "t", &vec!["a line"; 2500]);
    lab.ok("DeleteLogStream", json!({"logGroupName": "g", "logStreamName": "t"}));
    lab.ok("DeleteLogGroup", json!({"logGroupName": "g"}));
    lab.ok("CreateLogGroup", json!({"logGroupName": "g"}));
    assert!(filter(&lab, json!({})).is_empty());
    lab.ok("DeleteLogGroup", json!({"logGroupName": "g"}));
    lab.tick().unwrap();
    let tables = [
        "log_groups",
        "log_tallies",
        "log_streams",
        "log_stream_names",
        "log_events",
        "log_events_of_streams",
        "log_dead",
    ];
    assert_eq!(tables.map(|table| lab.rows(table)), [0; 7]);
    assert_eq!(lab.faults(), 0);
}

#[test]
fn events_go_when_their_time_is_over() {
    let lab = lab();
    lab.ok("PutRetentionPolicy", json!({"logGroupName": "g", "retentionInDays": 1}));
    lab.log("g", "old", &vec!["a line"; 2500]);
    lab.pass(HOUR);
    put(&lab, "s", &[(lab.now(), "younger")]);
    lab.pass(DAY - HOUR);
    lab.tick().unwrap();
    assert_eq!(lab.rows("log_events"), 2501);
    lab.pass(10_000);
    lab.tick().unwrap();
    assert_eq!(filter(&lab, json!({})), ["younger"]);
    assert_eq!(lab.rows("log_events_of_streams"), 1);
    let streams = lab.ok("DescribeLogStreams", json!({"logGroupName": "g"}));
    assert_eq!(column(&streams["logStreams"], "logStreamName"), ["s"]);
}

#[test]
fn a_line_of_the_house_that_is_too_long_is_cut() {
    let lab = Lab::new();
    lab.log("g", "s", &[&"é".repeat(600_000)]);
    let found = lab.ok("FilterLogEvents", json!({"logGroupName": "g"}));
    assert_eq!(text(&found["events"][0]["message"]).len(), (1 << 20) - 26);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Whatever the size of a page and the way, every event is met once, in order.
    #[test]
    fn pages_lead_through_all_events_once(
        times in prop::collection::vec(0_i64..20, 0..40),
        limit in 1_usize..7,
        window in prop::option::of((0_i64..20, 0_i64..20)),
    ) {
        let lab = lab();
        let mut expected = Vec::new();
        for (index, time) in times.iter().enumerate() {
            let message = format!("{index}");
            put(&lab, "s", &[(DAWN + time, &message)]);
            expected.push((*time, index, message));
        }
        let mut asked = json!({"limit": limit});
        if let Some((from, to)) = window {
            asked["startTime"] = json!(DAWN + from);
            asked["endTime"] = json!(DAWN + to);
            expected.retain(|(time, ..)| from <= *time && *time < to);
        }
        expected.sort();
        let expected: Vec<String> = expected.into_iter().map(|(.., message)| message).collect();
        prop_assert_eq!(walk(&lab, &asked, true), expected.clone());
        prop_assert_eq!(walk(&lab, &asked, false), expected.clone());
        if let Some((_, to)) = window {
            // A filter's end belongs to it.
            asked["endTime"] = json!(DAWN + to - 1);
        }
        prop_assert_eq!(filter(&lab, asked.clone()), expected.clone());
        asked["startFromHead"] = json!(false);
        let mut reversed = filter(&lab, asked);
        reversed.reverse();
        prop_assert_eq!(reversed, expected);
    }
}

/// All of stream `s`, page by page, until a token comes back that was given.
fn walk(lab: &Lab, asked: &Value, forwards: bool) -> Vec<String> {
    let mut pages = Vec::new();
    let mut input = asked.clone();
    input["startFromHead"] = json!(forwards);
    loop {
        let (messages, on, back) = page(lab, input.clone());
        let token = if forwards { on } else { back };
        let is_end = input.get("nextToken") == Some(&token);
        pages.push(messages);
        if is_end {
            break;
        }
        input["nextToken"] = token;
    }
    if !forwards {
        pages.reverse();
    }
    pages.concat()
}
