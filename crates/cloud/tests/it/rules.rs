//! Topic rules: how they are made, what they hear, what becomes of it, and that nothing accepted is lost on the way. What
//! single actions do stands in `actions`, what statements mean in the tests of the `sql` crate.

use bytes::Bytes;
use cloud::actions::{Cause, Failure, Work};
use cloud::{Identity, Kind};
use mqtt::{Packet, Publish, QoS, Version};
use serde_json::{Value, json};

use crate::device::{Device, message};
use crate::house::{Lab, everything};

/// A rule that puts what it selects on a queue.
fn rule(sql: &str) -> Value {
    let action = json!({"sqs": {"roleArn": "arn:aws:iam::000000000000:role/r", "queueUrl": "http://q/1"}});
    json!({"sql": sql, "awsIotSqlVersion": "2016-03-23", "actions": [action]})
}

fn republish(sql: &str, topic: &str, qos: u8) -> Value {
    let action = json!({"republish": {"roleArn": "arn:aws:iam::000000000000:role/r", "topic": topic, "qos": qos}});
    json!({"sql": sql, "awsIotSqlVersion": "2016-03-23", "actions": [action]})
}

fn make(lab: &Lab, name: &str, payload: Value) {
    lab.ok("CreateTopicRule", json!({"ruleName": name, "topicRulePayload": payload}));
}

fn device(lab: &Lab) -> Device {
    lab.device(&lab.identity(everything()), Version::V311, "lamp")
}

fn publish(device: &Device, topic: &str, qos: QoS, payload: &str) {
    let packet_id = (qos > QoS::AtMostOnce).then_some(std::num::NonZeroU16::MIN);
    device.give(Packet::Publish(Publish { qos, packet_id, ..message(topic, payload) }));
}

/// The body that a rule sends to its queue.
fn body(work: &Work) -> String {
    let Work::Aws(request) = work else { panic!("{work:?}") };
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    body["MessageBody"].as_str().unwrap().to_owned()
}

/// What the rules do now, as `rule: body`.
fn done(lab: &Lab) -> Vec<String> {
    let mut done = Vec::new();
    lab.work(
        |deed| {
            done.push(format!("{}: {}", deed.lane.rule, body(&deed.effect.work)));
            Ok(())
        },
        |ask| Err(format!("{:?} was asked", ask.call)),
    );
    done
}

#[test]
fn a_rule_is_made_shown_changed_listed_and_taken_away() {
    let lab = Lab::new();
    make(&lab, "r", rule("SELECT * FROM 'a/#'"));
    let shown = lab.ok("GetTopicRule", json!({"ruleName": "r"}));
    assert_eq!(shown["ruleArn"], "arn:aws:iot:us-east-1:000000000000:rule/r");
    assert_eq!(shown["rule"]["sql"], "SELECT * FROM 'a/#'");
    assert_eq!((&shown["rule"]["ruleDisabled"], &shown["rule"]["createdAt"]), (&json!(false), &json!(1_700_000_000.0)));
    assert_eq!(shown["rule"]["actions"][0]["sqs"]["queueUrl"], "http://q/1");
    assert_eq!(
        lab.no("CreateTopicRule", json!({"ruleName": "r", "topicRulePayload": rule("SELECT * FROM 'b'")})),
        "ResourceAlreadyExists"
    );
    lab.ok("ReplaceTopicRule", json!({"ruleName": "r", "topicRulePayload": rule("SELECT * FROM 'b'")}));
    make(&lab, "s", rule("SELECT * FROM 'c'"));
    lab.ok("DisableTopicRule", json!({"ruleName": "s"}));
    let listed = |filter: Value| {
        let rules = lab.ok("ListTopicRules", filter);
        rules["rules"]
            .as_array()
            .unwrap()
            .iter()
            .map(|rule| rule["ruleName"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(listed(json!({})), ["r", "s"]);
    assert_eq!(listed(json!({"topic": "b"})), ["r"]);
    assert_eq!(listed(json!({"ruleDisabled": true})), ["s"]);
    lab.ok("DeleteTopicRule", json!({"ruleName": "r"}));
    for operation in ["GetTopicRule", "DeleteTopicRule", "EnableTopicRule", "DisableTopicRule"] {
        assert_eq!(lab.no(operation, json!({"ruleName": "r"})), "Unauthorized", "{operation}");
    }
}

#[test]
fn what_cannot_act_is_refused_when_the_rule_is_made() {
    let lab = Lab::new();
    let no = |payload: Value| lab.refused("CreateTopicRule", json!({"ruleName": "r", "topicRulePayload": payload}));
    let (error, message) = no(rule("SELECT FROM 'a'"));
    assert_eq!(error, "SqlParse");
    assert!(message.contains("line 1"), "{message}");
    assert_eq!(no(rule("SELECT * FROM 'a/#/b'")).0, "SqlParse");
    assert_eq!(
        no(json!({"sql": "SELECT * FROM 'a'", "actions": [{"salesforce": {"token": "t", "url": "u"}}]})).0,
        "NotImplemented"
    );
    assert_eq!(no(json!({"sql": "SELECT * FROM 'a'", "actions": [], "awsIotSqlVersion": "2017"})).0, "InvalidRequest");
    assert!(lab.ok("ListTopicRules", json!({}))["rules"].as_array().unwrap().is_empty());
}

#[test]
fn a_rule_hears_what_is_published_whatever_its_qos_and_its_way() {
    let lab = Lab::new();
    make(&lab, "r", rule("SELECT a, topic() AS t, clientid() AS c, traceid() <> '' AS traced FROM 'x/+'"));
    let device = device(&lab);
    publish(&device, "x/1", QoS::AtMostOnce, r#"{"a":1}"#);
    publish(&device, "y/1", QoS::AtMostOnce, r#"{"a":2}"#);
    publish(&device, "x/2", QoS::AtLeastOnce, r#"{"a":3}"#);
    let key = Identity::Key("key".to_owned());
    lab.call_as(key, "Publish", json!({"topic": "x/3"}), br#"{"a":4}"#).unwrap();
    // The second time, the way is known and shorter.
    publish(&device, "x/1", QoS::AtMostOnce, r#"{"a":5}"#);
    let expected = [
        r#"r: {"a":1,"t":"x/1","c":"lamp","traced":true}"#,
        r#"r: {"a":3,"t":"x/2","c":"lamp","traced":true}"#,
        r#"r: {"a":4,"t":"x/3","c":"n/a"}"#,
        r#"r: {"a":5,"t":"x/1","c":"lamp","traced":true}"#,
    ];
    assert_eq!(done(&lab), expected);
    assert_eq!(lab.faults(), 0);
}

#[test]
fn a_rule_hears_shadows_and_lifecycle_events() {
    let lab = Lab::new();
    make(
        &lab,
        "shadow",
        rule("SELECT topic(3) AS thing, state.reported.x AS x FROM '$aws/things/+/shadow/update/accepted'"),
    );
    make(&lab, "presence", rule("SELECT eventType AS e FROM '$aws/events/presence/+/+'"));
    let key = Identity::Key("key".to_owned());
    lab.call_as(key, "UpdateThingShadow", json!({"thingName": "t"}), br#"{"state":{"reported":{"x":7}}}"#).unwrap();
    device(&lab);
    let done = done(&lab);
    assert_eq!(done, [r#"shadow: {"thing":"t","x":7}"#, r#"presence: {"e":"connected"}"#]);
}

#[test]
fn only_what_where_lets_through_is_acted_on_and_a_disabled_rule_hears_nothing() {
    let lab = Lab::new();
    make(&lab, "r", rule("SELECT * FROM 'x' WHERE a > 1"));
    let device = device(&lab);
    for payload in [r#"{"a":1}"#, r#"{"a":2}"#, r#"{"b":2}"#, "not JSON"] {
        publish(&device, "x", QoS::AtMostOnce, payload);
    }
    assert_eq!(done(&lab), [r#"r: {"a":2}"#]);
    lab.ok("DisableTopicRule", json!({"ruleName": "r"}));
    publish(&device, "x", QoS::AtMostOnce, r#"{"a":3}"#);
    assert!(done(&lab).is_empty());
    lab.ok("EnableTopicRule", json!({"ruleName": "r"}));
    publish(&device, "x", QoS::AtMostOnce, r#"{"a":4}"#);
    assert_eq!(done(&lab), [r#"r: {"a":4}"#]);
}

#[test]
fn what_is_republished_reaches_subscribers_shadows_and_other_rules() {
    let lab = Lab::new();
    make(&lab, "first", republish("SELECT a FROM 'x'", "y/${topic(1)}", 1));
    make(&lab, "second", rule("SELECT *, clientid() AS c FROM 'y/+'"));
    make(&lab, "third", republish("SELECT a AS state.reported.a FROM 'x'", "$$aws/things/t/shadow/update", 0));
    let device = device(&lab);
    device.subscribe("y/#");
    publish(&device, "x", QoS::AtMostOnce, r#"{"a":1}"#);
    assert_eq!(done(&lab), [r#"second: {"a":1,"c":"n/a"}"#]);
    assert_eq!(device.told(), [r#"y/x q1 {"a":1}"#]);
    let key = Identity::Key("key".to_owned());
    let shadow = lab.call_as(key, "GetThingShadow", json!({"thingName": "t"}), b"").unwrap();
    let shadow: Value = serde_json::from_slice(shadow.payload().unwrap()).unwrap();
    assert_eq!(shadow["state"]["reported"], json!({"a": 1}));
}

#[test]
fn a_loop_of_rules_ends_and_is_told() {
    let lab = Lab::new();
    make(&lab, "r", republish("SELECT * FROM 'x'", "x", 0));
    let device = device(&lab);
    device.subscribe("x");
    publish(&device, "x", QoS::AtMostOnce, "{}");
    lab.work(|_| Ok(()), |_| Err(String::new()));
    assert_eq!(device.told().len(), 11, "once by the device and ten times by the rule");
    let told = lab.events().into_iter().find_map(|kind| match kind {
        Kind::RuleFailed { rule, action, reason, .. } => Some((rule, action, reason)),
        _ => None,
    });
    let (rule, action, reason) = told.unwrap();
    assert_eq!((rule.as_str(), action), ("r", "RepublishAction"));
    assert!(reason.contains("loop"), "{reason}");
}

#[test]
fn basic_ingest_reaches_its_rule_and_nobody_else() {
    let lab = Lab::new();
    make(&lab, "r", rule("SELECT *, topic() AS t FROM 'a/+'"));
    make(&lab, "other", rule("SELECT * FROM '#'"));
    make(&lab, "bare", rule("SELECT *, topic(2) AS t"));
    make(&lab, "whole", rule("SELECT *, topic() AS t FROM '$aws/rules/whole/#'"));
    let device = device(&lab);
    publish(&device, "$aws/rules/r/a/b", QoS::AtLeastOnce, r#"{"v":1}"#);
    publish(&device, "$aws/rules/r/b/c", QoS::AtLeastOnce, r#"{"v":2}"#);
    publish(&device, "$aws/rules/bare/b/c", QoS::AtMostOnce, r#"{"v":3}"#);
    publish(&device, "$aws/rules/none/b/c", QoS::AtMostOnce, r#"{"v":4}"#);
    publish(&device, "$aws/rules/whole/d", QoS::AtMostOnce, r#"{"v":5}"#);
    let expected = [r#"r: {"v":1,"t":"a/b"}"#, r#"bare: {"v":3,"t":"c"}"#, r#"whole: {"v":5,"t":"d"}"#];
    assert_eq!(done(&lab), expected);
    let unknown = lab.events().into_iter().any(|kind| matches!(kind, Kind::RuleFailed { rule, .. } if rule == "none"));
    assert!(unknown, "who publishes to a rule that is not there hears of it");
}

#[test]
fn failures_of_actions_go_to_the_error_action_together() {
    let lab = Lab::new();
    let mut payload = rule("SELECT a FROM 'x'");
    let role = "arn:aws:iam::000000000000:role/r";
    payload["actions"] = json!([
        {"s3": {"roleArn": role, "bucketName": "b", "key": "k"}},
        {"sqs": {"roleArn": role, "queueUrl": "http://q/1"}},
        {"sns": {"roleArn": role, "targetArn": "arn:aws:sns:us-east-1:000000000000:t"}},
    ]);
    payload["errorAction"] = json!({"republish": {"roleArn": role, "topic": "errors/${topic()}", "qos": 0}});
    make(&lab, "r", payload);
    let device = device(&lab);
    device.subscribe("errors/#");
    publish(&device, "x", QoS::AtLeastOnce, r#"{"a":1}"#);
    lab.work(
        |deed| match deed.lane.action {
            1 => Ok(()),
            _ => Err(Failure::new(Cause::Status(500), format!("{} is down", deed.effect.resource))),
        },
        |_| Err(String::new()),
    );
    let told = device.told();
    let told = told.iter().find_map(|told| told.strip_prefix("errors/x q0 ")).unwrap_or_else(|| panic!("{told:?}"));
    let told: Value = serde_json::from_str(told).unwrap();
    assert_eq!((&told["ruleName"], &told["topic"], &told["clientId"]), (&json!("r"), &json!("x"), &json!("lamp")));
    assert_eq!((&told["sourceIp"], &told["base64OriginalPayload"]), (&json!("192.0.2.1"), &json!("eyJhIjoxfQ==")));
    let failures = told["failures"].as_array().unwrap();
    assert_eq!(failures.len(), 2);
    assert_eq!((&failures[0]["failedAction"], &failures[0]["failedResource"]), (&json!("S3Action"), &json!("b")));
    assert_eq!(failures[0]["errorMessage"], "b is down");
    assert_eq!(failures[1]["failedAction"], "SnsAction");
}

#[test]
fn a_batch_that_failed_is_told_once_when_all_of_it_is_done() {
    let lab = Lab::new();
    let role = "arn:aws:iam::000000000000:role/r";
    let mut payload = rule("SELECT a FROM 'x'");
    payload["actions"] = json!([
        {"sqs": {"roleArn": role, "queueUrl": "http://q/1"}},
        {"sns": {"roleArn": role, "targetArn": "arn:aws:sns:us-east-1:000000000000:t"}},
    ]);
    payload["errorAction"] = json!({"republish": {"roleArn": role, "topic": "errors", "qos": 0}});
    make(&lab, "r", payload);
    let device = device(&lab);
    device.subscribe("errors");
    for payload in [r#"{"a":1}"#, r#"{"a":2}"#] {
        publish(&device, "x", QoS::AtLeastOnce, payload);
    }
    let (mut tickets, mut slow) = (Vec::new(), Vec::new());
    for _ in 0..4 {
        let turn = lab.rules_turn();
        lab.commit(turn.jobs).unwrap();
        for deed in turn.deeds {
            if deed.lane.action == 0 { tickets.push(deed.ticket) } else { slow.push(deed.ticket) }
        }
    }
    assert_eq!((tickets.len(), slow.len()), (2, 2));
    let failure = Failure::new(Cause::Status(500), "down").of_batch(2);
    for ticket in tickets {
        ticket.settle(Err(failure.clone()));
    }
    slow.pop().unwrap().settle(Ok(()));
    let errors = || {
        lab.work(|_| Ok(()), |_| Err(String::new()));
        let told = device.told();
        told.iter().filter_map(|told| Some(told.strip_prefix("errors q0 ")?.to_owned())).collect::<Vec<String>>()
    };
    assert!(errors().is_empty(), "another action of one of the messages is under way");
    assert_eq!(lab.rows("rules_heard"), 2);
    slow.pop().unwrap().settle(Ok(()));
    let told = errors();
    let told: Value = serde_json::from_str(&told.concat()).unwrap();
    assert_eq!((&told["topic"], &told["failures"][0]["affectedIds"]), (&json!("x"), &json!([1, 2])));
    assert_eq!(told["payloadsWithMetadata"].as_array().unwrap().len(), 2);
    assert_eq!(lab.rows("rules_heard"), 0);
}

#[test]
fn a_statement_that_asks_a_function_goes_on_when_it_has_answered() {
    let lab = Lab::new();
    let arn = "arn:aws:lambda:us-east-1:000000000000:function:f";
    make(&lab, "r", rule(&format!("SELECT a, aws_lambda(\"{arn}\", {{'a': a}}).twice AS twice FROM 'x'")));
    let device = device(&lab);
    publish(&device, "x", QoS::AtMostOnce, r#"{"a":2}"#);
    let mut done = Vec::new();
    let answered = |asked: &cloud::Ask| {
        let sql::Call::Lambda { payload, .. } = &asked.call else { panic!("{:?}", asked.call) };
        assert_eq!(payload, r#"{"a":2}"#);
        Ok(Bytes::from_static(br#"{"twice":4}"#))
    };
    lab.work(
        |deed| {
            done.push(body(&deed.effect.work));
            Ok(())
        },
        answered,
    );
    assert_eq!(done, [r#"{"a":2,"twice":4}"#]);
    publish(&device, "x", QoS::AtMostOnce, r#"{"a":2}"#);
    lab.work(|_| panic!("the statement has failed"), |_| Err("timed out".to_owned()));
    let failed = lab.events().into_iter().any(|kind| matches!(kind, Kind::RuleFailed { action: "", .. }));
    assert!(failed);
}

#[test]
fn what_was_accepted_with_qos_1_survives_a_restart_until_every_action_is_done() {
    let lab = Lab::new();
    make(&lab, "r", rule("SELECT a, clientid() AS c, newuuid() AS u FROM 'x'"));
    let device = device(&lab);
    publish(&device, "x", QoS::AtLeastOnce, r#"{"a":1}"#);
    publish(&device, "x", QoS::AtMostOnce, r#"{"a":2}"#);
    publish(&device, "x", QoS::AtLeastOnce, r#"{"a":3}"#);
    assert_eq!(lab.rows("rules_heard"), 2);
    // One turn, of which nothing comes back: the process ends meanwhile.
    let bodies = |turn: cloud::Turn| turn.deeds.iter().map(|deed| body(&deed.effect.work)).collect::<Vec<_>>();
    let before = bodies(lab.rules_turn());
    assert_eq!(before.len(), 3);
    let lab = lab.restarted();
    let again = bodies(lab.rules_turn());
    assert_eq!(again, [before[0].clone(), before[2].clone()], "the same to the last random number");
    let lab = lab.restarted();
    assert_eq!(done(&lab).len(), 2);
    assert_eq!(lab.rows("rules_heard"), 0);
    let lab = lab.restarted();
    assert!(done(&lab).is_empty());
}

#[test]
fn more_than_fits_in_memory_is_fetched_from_the_store_in_order() {
    let lab = Lab::new();
    make(&lab, "r", rule("SELECT a FROM 'x'"));
    let key = || Identity::Key("key".to_owned());
    let many = 10_200;
    for number in 0..many {
        let payload = format!(r#"{{"a":{number}}}"#);
        lab.call_as(key(), "Publish", json!({"topic": "x", "qos": 1}), payload.as_bytes()).unwrap();
    }
    lab.call_as(key(), "Publish", json!({"topic": "x", "qos": 0}), br#"{"a":"lost"}"#).unwrap();
    let done = done(&lab);
    let expected: Vec<String> = (0..many).map(|number| format!(r#"r: {{"a":{number}}}"#)).collect();
    assert!(done == expected, "{} done, {:?} the last", done.len(), done.last());
    assert_eq!(lab.rows("rules_heard"), 0);
    assert!(lab.events().iter().any(|kind| matches!(kind, Kind::Quota { .. })), "QoS 0 is dropped, and that is told");
}

#[test]
fn a_destination_is_confirmed_by_the_token_that_was_sent_to_it() {
    let lab = Lab::new();
    let configuration = json!({"httpUrlConfiguration": {"confirmationUrl": "https://sink.example.com/hook"}});
    let made = lab.ok("CreateTopicRuleDestination", json!({"destinationConfiguration": configuration}));
    let arn = made["topicRuleDestination"]["arn"].as_str().unwrap().to_owned();
    assert_eq!(made["topicRuleDestination"]["status"], "IN_PROGRESS");
    let sent = lab.work(|_| Ok(()), |_| Err(String::new()));
    let [errand] = &sent[..] else { panic!("{} sent", sent.len()) };
    let Work::Http(request) = &errand.effect.work else { panic!() };
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    let token = body["confirmationToken"].as_str().unwrap();
    assert_eq!(body["enableUrl"], format!("http://127.0.0.1:4583/confirmdestination/{token}"));
    assert_eq!(lab.no("ConfirmTopicRuleDestination", json!({"confirmationToken": "x"})), "InvalidRequest");
    assert_eq!(lab.no("UpdateTopicRuleDestination", json!({"arn": arn, "status": "ENABLED"})), "InvalidRequest");
    lab.ok("ConfirmTopicRuleDestination", json!({"confirmationToken": token}));
    let status = || lab.ok("GetTopicRuleDestination", json!({"arn": arn}))["topicRuleDestination"]["status"].clone();
    assert_eq!(status(), "ENABLED");
    assert_eq!(lab.no("ConfirmTopicRuleDestination", json!({"confirmationToken": token})), "InvalidRequest");
    lab.ok("UpdateTopicRuleDestination", json!({"arn": arn, "status": "DISABLED"}));
    assert_eq!(status(), "DISABLED");
    assert_eq!(
        lab.ok("ListTopicRuleDestinations", json!({}))["destinationSummaries"][0]["httpUrlSummary"]["confirmationUrl"],
        "https://sink.example.com/hook"
    );
    lab.ok("DeleteTopicRuleDestination", json!({"arn": arn}));
    assert_eq!(lab.no("GetTopicRuleDestination", json!({"arn": arn})), "Unauthorized");
}

#[test]
fn an_http_action_makes_its_destination_and_waits_for_its_confirmation() {
    let lab = Lab::new();
    let payload = json!({
        "sql": "SELECT * FROM 'x'", "actions": [{"http": {"url": "https://sink.example.com/hook/1"}}],
    });
    make(&lab, "r", payload);
    let made = lab.ok("ListTopicRuleDestinations", json!({}));
    assert_eq!(made["destinationSummaries"][0]["status"], "IN_PROGRESS");
    let device = device(&lab);
    publish(&device, "x", QoS::AtMostOnce, "{}");
    lab.work(|_| panic!("nothing is sent to whoever has not asked for it"), |_| Err(String::new()));
    assert!(lab.events().iter().any(|kind| matches!(kind, Kind::RuleFailed { action: "HttpAction", .. })));
}

#[test]
fn a_rule_reads_an_item_of_a_table() {
    let lab = Lab::new();
    lab.ok(
        "CreateTable",
        json!({
            "TableName": "lamps", "BillingMode": "PAY_PER_REQUEST", "KeySchema": [{"AttributeName": "name", "KeyType": "HASH"}],
            "AttributeDefinitions": [{"AttributeName": "name", "AttributeType": "S"}],
        }),
    );
    let item = json!({"name": {"S": "lamp"}, "watts": {"N": "12345678901234567890.5"}, "rooms": {"SS": ["hall"]}});
    lab.ok("PutItem", json!({"TableName": "lamps", "Item": item}));
    let role = "arn:aws:iam::000000000000:role/r";
    let get = |table: &str| format!("get_dynamodb('{table}', 'name', topic(2), '{role}')");
    make(&lab, "found", rule(&format!("SELECT VALUE {} FROM 'a/lamp'", get("lamps"))));
    let otherwise = |table: &str| format!("SELECT get_or_default({}, 'none') AS it FROM 'a/+'", get(table));
    make(&lab, "none", rule(&otherwise("lamps").replace("a/+", "a/other")));
    make(&lab, "nowhere", rule(&otherwise("tables").replace("a/+", "a/third")));
    let device = device(&lab);
    for topic in ["a/lamp", "a/other", "a/third"] {
        publish(&device, topic, QoS::AtMostOnce, "{}");
    }
    assert_eq!(
        done(&lab),
        [
            r#"found: {"name":"lamp","rooms":["hall"],"watts":12345678901234567890.5}"#,
            r#"none: {"it":"none"}"#,
            r#"nowhere: {"it":"none"}"#,
        ]
    );
}
