//! Each kind of action as a table: the action of a rule, a message, and the request that must come of it; and what is refused
//! when a rule is made. Statements, lanes and sinks have tests of their own.

use bytes::Bytes;
use cloud::Scope;
use cloud::actions::{
    Action, AwsRequest, Effect, InfluxDestination, KafkaCompression, KafkaTls, Prepared, Service, SigningScope,
    Targets, Unprepared, Work,
};
use serde_json::{Value, json};
use sql::{Message, Nowhere, Outcome, Payload, Properties, Statement, Version};

const ROLE: &str = "arn:aws:iam::123456789012:role/rules";
const NOW: i64 = 1_700_000_000_123;
const SEED: u128 = 7;

fn all() -> Targets {
    Service::all().collect()
}

fn parse(action: &Value) -> Result<Action, wire::Refusal> {
    Action::parse(action.as_object().unwrap(), Version::V20160323, &all())
}

/// What an action makes of a message on `plant/lamp`, after a statement.
fn prepared_after(sql: &str, action: &Value, payload: &[u8]) -> Result<Effect, Unprepared> {
    let action = parse(action).unwrap_or_else(|refusal| panic!("{refusal}"));
    let statement = Statement::parse(sql, Version::V20160323).unwrap();
    let payload = Payload::from(Bytes::copy_from_slice(payload));
    let message = Message {
        topic: "plant/lamp",
        payload: &payload,
        client_id: Some("dev1"),
        principal: None,
        source_ip: None,
        trace_id: None,
        account: "123456789012",
        region: "eu-west-1",
        now: NOW,
        seed: SEED,
        properties: Properties::default(),
    };
    let Outcome::Selected(selected) = statement.evaluate(&message, &mut Nowhere) else { panic!("nothing selected") };
    let influx = |arn: &str| {
        let version = arn.ends_with("/two").then_some(2).or(arn.ends_with("/three").then_some(3))?;
        let (endpoint, secret_id) = ("http://influx:8086".to_owned(), "token".to_owned());
        Some(InfluxDestination { endpoint, version, secret_id, is_binary: false, secret_key: None })
    };
    action.prepare(&mut Prepared {
        scope: &Scope::new("123456789012", "eu-west-1"),
        rule: "my_rule",
        message: &message,
        selected: &selected,
        world: &mut Nowhere,
        is_confirmed: &|url| url.starts_with("https://confirmed/"),
        influx: &influx,
    })
}

fn prepared(action: &Value, payload: &[u8]) -> Effect {
    prepared_after("SELECT * FROM 'plant/#'", action, payload).unwrap_or_else(|why| panic!("{why:?}"))
}

fn failure(action: &Value, payload: &[u8]) -> String {
    match prepared_after("SELECT * FROM 'plant/#'", action, payload) {
        Err(Unprepared::Failed(failure)) => failure.message,
        other => panic!("{other:?}"),
    }
}

fn asked(action: &Value, payload: &[u8]) -> (String, AwsRequest) {
    let effect = prepared(action, payload);
    let Work::Aws(request) = effect.work else { panic!("not AWS") };
    (effect.resource, request)
}

fn header<'r>(headers: &'r [(String, String)], name: &str) -> &'r str {
    headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
}

fn document(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap()
}

/// A request in one of AWS's JSON protocols, as far as it must be this one.
fn check_json(action: &Value, payload: &[u8], service: Service, target: &str, resource: &str, body: &Value) {
    let (failed, request) = asked(action, payload);
    assert_eq!((request.service, failed.as_str()), (service, resource), "{action}");
    assert_eq!(header(&request.headers, "x-amz-target"), target, "{action}");
    assert!(header(&request.headers, "content-type").starts_with("application/x-amz-json-1."), "{action}");
    assert_eq!((request.method, request.path.as_str(), request.region.as_str()), ("POST", "/", "eu-west-1"));
    assert_eq!(request.role.as_deref(), Some(ROLE));
    assert_eq!(document(&request.body), *body, "{action}");
}

#[test]
fn a_row_of_dynamodb_has_keys_and_the_result_in_one_column() {
    let row = |more: Value| {
        let mut row = json!({"tableName": "t", "roleArn": ROLE, "hashKeyField": "id", "hashKeyValue": "${topic(2)}"});
        row.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"dynamoDB": row})
    };
    let check = |action: &Value, payload: &[u8], target: &str, body: Value| {
        check_json(action, payload, Service::DynamoDb, &format!("DynamoDB_20120810.{target}"), "t", &body);
    };
    let payload =
        br#"{"n":1.50,"big":123456789012345678901234567890,"s":"x","b":true,"z":null,"l":[1,"a"],"m":{"k":-2e3}}"#;
    let map = json!({"M": {
        "n": {"N": "1.50"}, "big": {"N": "123456789012345678901234567890"}, "s": {"S": "x"}, "b": {"BOOL": true},
        "z": {"NULL": true}, "l": {"L": [{"N": "1"}, {"S": "a"}]}, "m": {"M": {"k": {"N": "-2e3"}}},
    }});
    let item = json!({"TableName": "t", "Item": {"id": {"S": "lamp"}, "payload": map}});
    let got = asked(&row(json!({})), payload).1;
    // The digits of numbers are the language's own affair; that they reach the row in full is ours.
    let body = document(&got.body);
    assert_eq!(body["Item"]["payload"]["M"]["big"], item["Item"]["payload"]["M"]["big"]);
    assert_eq!(body["Item"]["id"], item["Item"]["id"]);
    check(
        &row(json!({"payloadField": "data"})),
        b"\xff\xfe",
        "PutItem",
        json!({"TableName": "t", "Item": {"id": {"S": "lamp"}, "data": {"B": "//4="}}}),
    );
    let ranged = json!({"rangeKeyField": "at", "rangeKeyValue": "${timestamp()}", "rangeKeyType": "NUMBER"});
    check(
        &row(ranged.clone()),
        b"[]",
        "PutItem",
        json!({
            "TableName": "t", "Item": {"id": {"S": "lamp"}, "at": {"N": NOW.to_string()}, "payload": {"L": []}},
        }),
    );
    let delete = json!({"operation": "DELETE", "hashKeyType": "STRING"});
    check(&row(delete), b"{}", "DeleteItem", json!({"TableName": "t", "Key": {"id": {"S": "lamp"}}}));
    check(
        &row(json!({"operation": "UPDATE"})),
        b"{\"a\":1}",
        "UpdateItem",
        json!({
            "TableName": "t", "Key": {"id": {"S": "lamp"}}, "UpdateExpression": "SET #payload = :payload",
            "ExpressionAttributeNames": {"#payload": "payload"},
            "ExpressionAttributeValues": {":payload": {"M": {"a": {"N": "1"}}}},
        }),
    );
}

#[test]
fn a_key_that_comes_to_nothing_fails_the_action() {
    let action = json!({"dynamoDB": {
        "tableName": "t", "roleArn": ROLE, "hashKeyField": "id", "hashKeyValue": "${nobody}",
    }});
    assert_eq!(failure(&action, b"{}"), "The value of a key is empty: ${nobody} gave nothing for this message.");
}

#[test]
fn each_member_is_a_column_in_dynamodb_v2() {
    let action = json!({"dynamoDBv2": {"roleArn": ROLE, "putItem": {"tableName": "t"}}});
    check_json(
        &action,
        br#"{"id":"a","n":1}"#,
        Service::DynamoDb,
        "DynamoDB_20120810.PutItem",
        "t",
        &json!({"TableName": "t", "Item": {"id": {"S": "a"}, "n": {"N": "1"}}}),
    );
    assert!(failure(&action, b"[1]").contains("not a JSON object"));
    assert!(failure(&action, b"\xff").contains("not a JSON object"));
}

#[test]
fn a_function_is_invoked_and_not_waited_for() {
    let arn = "arn:aws:lambda:us-west-2:123456789012:function:f:live";
    let action = json!({"lambda": {"functionArn": arn}});
    let (resource, request) = asked(&action, br#"{"a":1}"#);
    assert_eq!((resource.as_str(), request.service, request.region.as_str()), (arn, Service::Lambda, "us-west-2"));
    assert_eq!(request.path, format!("/2015-03-31/functions/{}/invocations", arn.replace(':', "%3A")));
    assert_eq!(header(&request.headers, "x-amz-invocation-type"), "Event");
    assert_eq!(&request.body[..], br#"{"a":1}"#);
    assert!(failure(&action, b"\xff").contains("not UTF-8"));
    assert!(failure(&action, b"plain").contains("not JSON"));
}

#[test]
fn an_object_holds_the_payload_as_it_is() {
    let action = json!({"s3": {
        "roleArn": ROLE, "bucketName": "b", "key": "${topic()}/ä 1", "cannedAcl": "public-read",
    }});
    let (resource, request) = asked(&action, b"\xff\x00");
    assert_eq!((resource.as_str(), request.service, request.method), ("b", Service::S3, "PUT"));
    assert_eq!(request.path, "/b/plant/lamp/%C3%A4%201");
    assert_eq!(header(&request.headers, "x-amz-acl"), "public-read");
    assert_eq!(&request.body[..], b"\xff\x00");
}

#[test]
fn a_topic_of_sns_is_published_to() {
    let arn = "arn:aws:sns:us-west-2:123456789012:alarms";
    let (resource, request) = asked(&json!({"sns": {"roleArn": ROLE, "targetArn": arn}}), b"50 % & more");
    assert_eq!((resource.as_str(), request.service, request.region.as_str()), (arn, Service::Sns, "us-west-2"));
    assert_eq!(header(&request.headers, "content-type"), "application/x-www-form-urlencoded; charset=utf-8");
    let topic = arn.replace(':', "%3A");
    let form = format!("Action=Publish&Version=2010-03-31&TopicArn={topic}&Message=50%20%25%20%26%20more");
    assert_eq!(&request.body[..], form.as_bytes());
    let endpoint = "arn:aws:sns:us-west-2:123456789012:endpoint/GCM/app/1";
    let (_, request) = asked(&json!({"sns": {"roleArn": ROLE, "targetArn": endpoint, "messageFormat": "JSON"}}), b"{}");
    let form = String::from_utf8(request.body.to_vec()).unwrap();
    assert!(form.contains("&TargetArn=") && form.ends_with("&MessageStructure=json"), "{form}");
}

#[test]
fn queues_and_streams_get_the_payload() {
    let url = "https://sqs.eu-west-1.amazonaws.com/123456789012/q";
    let sqs = |base64: bool| json!({"sqs": {"roleArn": ROLE, "queueUrl": url, "useBase64": base64}});
    check_json(
        &sqs(false),
        b"hi",
        Service::Sqs,
        "AmazonSQS.SendMessage",
        url,
        &json!({"QueueUrl": url, "MessageBody": "hi"}),
    );
    check_json(
        &sqs(true),
        b"\xff",
        Service::Sqs,
        "AmazonSQS.SendMessage",
        url,
        &json!({"QueueUrl": url, "MessageBody": "/w=="}),
    );
    assert!(failure(&sqs(false), b"\xff").contains("not UTF-8"));
    let kinesis = json!({"kinesis": {"roleArn": ROLE, "streamName": "s", "partitionKey": "${clientid()}"}});
    check_json(
        &kinesis,
        b"hi",
        Service::Kinesis,
        "Kinesis_20131202.PutRecord",
        "s",
        &json!({"StreamName": "s", "Data": "aGk=", "PartitionKey": "dev1"}),
    );
    let firehose = |batch: bool| {
        json!({"firehose": {
            "roleArn": ROLE, "deliveryStreamName": "d", "separator": "\n", "batchMode": batch,
        }})
    };
    check_json(
        &firehose(false),
        b"[1]",
        Service::Firehose,
        "Firehose_20150804.PutRecord",
        "d",
        &json!({"DeliveryStreamName": "d", "Record": {"Data": "WzFdCg=="}}),
    );
    check_json(
        &firehose(true),
        b"[1,{\"a\":2}]",
        Service::Firehose,
        "Firehose_20150804.PutRecordBatch",
        "d",
        &json!({"DeliveryStreamName": "d", "Records": [{"Data": "MQo="}, {"Data": "eyJhIjoyfQo="}]}),
    );
    let many = format!("[{}0]", "0,".repeat(500));
    assert!(failure(&firehose(true), many.as_bytes()).contains("501 elements"));
}

#[test]
fn log_events_go_to_a_stream_that_is_made_if_need_be() {
    let logs = |batch: bool| json!({"cloudwatchLogs": {"roleArn": ROLE, "logGroupName": "g", "batchMode": batch}});
    check_json(
        &logs(false),
        b"hi",
        Service::Logs,
        "Logs_20140328.PutLogEvents",
        "g",
        &json!({
            "logGroupName": "g", "logStreamName": "my_rule", "logEvents": [{"timestamp": NOW, "message": "hi"}],
        }),
    );
    let batch = br#"[{"timestamp":2,"message":"b"},{"timestamp":1,"message":"a"}]"#;
    check_json(
        &logs(true),
        batch,
        Service::Logs,
        "Logs_20140328.PutLogEvents",
        "g",
        &json!({
            "logGroupName": "g", "logStreamName": "my_rule",
            "logEvents": [{"timestamp": 1, "message": "a"}, {"timestamp": 2, "message": "b"}],
        }),
    );
    let create = asked(&logs(false), b"hi").1.create.expect("a stream to be created");
    assert_eq!(header(&create.headers, "x-amz-target"), "Logs_20140328.CreateLogStream");
    assert_eq!(document(&create.body), json!({"logGroupName": "g", "logStreamName": "my_rule"}));
    assert!(failure(&logs(true), b"{}").contains("not a batch of log events"));
    assert!(failure(&logs(true), b"[{\"timestamp\":1}]").contains("not a batch of log events"));
}

#[test]
fn a_metric_has_a_number_a_unit_and_a_time() {
    let metric = |value: &str, at: &str| {
        json!({"cloudwatchMetric": {
            "roleArn": ROLE, "metricNamespace": "plant", "metricName": "m", "metricValue": value, "metricUnit": "Count",
            "metricTimestamp": at,
        }})
    };
    let (resource, request) = asked(&metric("${v}", "${at}"), b"{\"v\":1.5,\"at\":1000}");
    assert_eq!((resource.as_str(), request.service), ("m", Service::CloudWatch));
    let form = "Action=PutMetricData&Version=2010-08-01&Namespace=plant&MetricData.member.1.MetricName=m\
                &MetricData.member.1.Timestamp=1970-01-01T00%3A16%3A40Z&MetricData.member.1.Value=1.5\
                &MetricData.member.1.Unit=Count";
    assert_eq!(String::from_utf8(request.body.to_vec()).unwrap(), form);
    assert!(failure(&metric("${v}", ""), b"{\"v\":\"warm\"}").contains("must be a number"));
    assert!(failure(&metric("1", "yesterday"), b"{}").contains("must be in seconds"));
}

#[test]
fn an_alarm_is_put_into_a_state() {
    let action = json!({"cloudwatchAlarm": {
        "roleArn": ROLE, "alarmName": "a", "stateReason": "hot: ${t}", "stateValue": "${s}",
    }});
    let (_, request) = asked(&action, br#"{"t":90,"s":"ALARM"}"#);
    let form = "Action=SetAlarmState&Version=2010-08-01&AlarmName=a&StateValue=ALARM&StateReason=hot%3A%2090";
    assert_eq!(String::from_utf8(request.body.to_vec()).unwrap(), form);
    assert!(failure(&action, br#"{"s":"HOT"}"#).contains("must be one of OK, ALARM, INSUFFICIENT_DATA"));
}

#[test]
fn an_execution_of_a_state_machine_starts_with_the_payload() {
    let action = json!({"stepFunctions": {"roleArn": ROLE, "stateMachineName": "m", "executionNamePrefix": "p-"}});
    let (resource, request) = asked(&action, b"{}");
    assert_eq!((resource.as_str(), request.service), ("m", Service::StepFunctions));
    let body = document(&request.body);
    assert_eq!(body["stateMachineArn"], "arn:aws:states:eu-west-1:123456789012:stateMachine:m");
    assert_eq!((&body["input"], body["name"].as_str().unwrap().len()), (&json!("{}"), 2 + 36));
    assert_eq!(document(&asked(&action, b"{}").1.body)["name"], body["name"], "the same message starts it once");
}

#[test]
fn each_member_is_a_record_of_timestream() {
    let action = json!({"timestream": {
        "roleArn": ROLE, "databaseName": "d", "tableName": "t",
        "dimensions": [{"name": "device", "value": "${clientid()}"}],
        "timestamp": {"value": "${at}", "unit": "SECONDS"},
    }});
    let payload = br#"{"at":9,"f":1.5,"b":true,"s":"x","z":null,"l":[1]}"#;
    let record = |name: &str, value: &str, kind: &str| json!({"MeasureName": name, "MeasureValue": value, "MeasureValueType": kind});
    check_json(
        &action,
        payload,
        Service::Timestream,
        "Timestream_20181101.WriteRecords",
        "t",
        &json!({
            "DatabaseName": "d", "TableName": "t",
            "CommonAttributes": {"Dimensions": [{"Name": "device", "Value": "dev1"}], "Time": "9", "TimeUnit": "SECONDS"},
            "Records": [
                record("at", "9", "BIGINT"), record("f", "1.5", "DOUBLE"), record("b", "true", "BOOLEAN"),
                record("s", "x", "VARCHAR"), record("l", "[1]", "VARCHAR"),
            ],
        }),
    );
    assert!(failure(&action, b"{}").contains("must be a whole number"));
    assert!(failure(&action, b"[1]").contains("must be a whole number"));
}

#[test]
fn a_position_is_told_to_a_tracker() {
    let action = json!({"location": {
        "roleArn": ROLE, "trackerName": "t", "deviceId": "${clientid()}", "latitude": "${lat}", "longitude": "${lon}",
        "timestamp": {"value": "${at}", "unit": "SECONDS"},
    }});
    let (resource, request) = asked(&action, br#"{"lat":45.5,"lon":-9.25,"at":60}"#);
    assert_eq!((resource.as_str(), request.service), ("t", Service::Location));
    assert_eq!(request.path, "/tracking/v0/trackers/t/positions");
    let update = json!({"DeviceId": "dev1", "SampleTime": "1970-01-01T00:01:00Z", "Position": [-9.25, 45.5]});
    assert_eq!(document(&request.body), json!({"Updates": [update]}));
    assert!(failure(&action, br#"{"lat":91,"lon":0,"at":0}"#).contains("latitude"));
}

#[test]
fn a_document_is_put_into_a_search_cluster() {
    for key in ["elasticsearch", "openSearch"] {
        let action = json!({key: {
            "roleArn": ROLE, "endpoint": "https://search:9200/", "index": "i", "type": "_doc", "id": "${clientid()}/1",
        }});
        let Work::Http(request) = prepared(&action, b"{\"a\":1}").work else { panic!("not HTTP") };
        assert_eq!((request.method, request.url.as_str()), ("PUT", "https://search:9200/i/_doc/dev1%2F1"));
        let scope = SigningScope { region: "eu-west-1".into(), service: "es".into(), role: ROLE.into() };
        assert_eq!(request.sign, Some(scope));
        assert!(failure(&action, b"[]").contains("not a JSON object"));
    }
}

#[test]
fn a_url_gets_the_payload_under_headers_of_the_rules_own() {
    let action = json!({"http": {
        "url": "https://confirmed/${topic(2)}", "confirmationUrl": "https://confirmed/",
        "headers": [{"key": "X-Device", "value": "${clientid()}"}],
        "auth": {"sigv4": {"signingRegion": "us-east-1", "serviceName": "execute-api", "roleArn": ROLE}},
    }});
    assert_eq!(parse(&action).unwrap().confirmation_url(), Some("https://confirmed/"));
    let effect = prepared(&action, b"{\"a\":1}");
    assert_eq!((effect.resource.as_str(), &effect.batch), ("https://confirmed/lamp", &None));
    let Work::Http(request) = effect.work else { panic!("not HTTP") };
    assert_eq!((request.method, request.url.as_str()), ("POST", "https://confirmed/lamp"));
    let headers = [("x-device", "dev1"), ("content-type", "application/json")];
    assert_eq!(request.headers, headers.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!(request.sign.unwrap().service, "execute-api");
    let Work::Http(binary) = prepared(&action, b"\xff").work else { panic!("not HTTP") };
    assert_eq!(header(&binary.headers, "content-type"), "application/octet-stream");
    let elsewhere = json!({"http": {"url": "https://elsewhere/x"}});
    assert_eq!(parse(&elsewhere).unwrap().confirmation_url(), Some("https://elsewhere/x"));
    assert!(failure(&elsewhere, b"{}").contains("No confirmed and enabled destination covers https://elsewhere/x"));
}

#[test]
fn a_batch_is_kept_to_its_topic_unless_it_may_span_them() {
    let action = |across: bool| {
        json!({"http": {
            "url": "https://confirmed/", "enableBatching": true,
            "batchConfig": {"maxBatchOpenMs": 50, "maxBatchSize": 3, "maxBatchSizeBytes": 200, "batchAcrossTopics": across},
        }})
    };
    let batch = prepared(&action(false), b"{}").batch.unwrap();
    assert_eq!((batch.key.as_str(), batch.open_ms), ("https://confirmed/ plant/lamp", 50));
    assert_eq!((batch.count, batch.bytes), (3, 200));
    assert_eq!(prepared(&action(true), b"{}").batch.unwrap().key, "https://confirmed/");
    let Work::Http(text) = prepared(&action(true), b"plain").work else { panic!("not HTTP") };
    assert_eq!(&text.body[..], b"\"plain\"");
    assert!(failure(&action(true), b"\xff").contains("not UTF-8"));
}

#[test]
fn a_message_is_republished_with_all_that_mqtt_5_can_say() {
    let action = json!({"republish": {
        "roleArn": ROLE, "topic": "$$aws/things/${topic(2)}/shadow/update", "qos": 1,
        "headers": {
            "payloadFormatIndicator": "UTF8_DATA", "contentType": "${kind}", "responseTopic": "back/${clientid()}",
            "correlationData": "aGk=", "messageExpiry": "9999999",
            "userProperties": [{"key": "k", "value": "${clientid()}"}, {"key": "${nobody}", "value": "x"}],
        },
    }});
    let effect = prepared(&action, b"{\"kind\":\"text/plain\"}");
    assert_eq!(effect.resource, "$aws/things/lamp/shadow/update");
    let Work::Republish(publish, _) = effect.work else { panic!("not a message") };
    assert_eq!((publish.topic.as_ref().unwrap().as_str(), publish.qos.number()), (effect.resource.as_str(), 1));
    let properties = publish.properties.unwrap();
    assert_eq!(properties.content_type.as_ref().unwrap().as_str(), "text/plain");
    assert_eq!(properties.response_topic.as_ref().unwrap().as_str(), "back/dev1");
    assert_eq!(&properties.correlation_data.as_ref().unwrap().as_bytes()[..], b"hi");
    assert_eq!((properties.payload_format_indicator, properties.message_expiry_interval), (Some(true), Some(604_800)));
    let pairs: Vec<_> = properties.user_properties.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(pairs, [("k", "dev1")]);
    let plain = prepared(&json!({"republish": {"roleArn": ROLE, "topic": "a/b"}}), b"x");
    let Work::Republish(publish, _) = plain.work else { panic!("not a message") };
    assert_eq!((publish.qos.number(), publish.properties, &publish.payload[..]), (0, None, &b"x"[..]));
}

#[test]
fn a_topic_that_no_message_may_have_fails_when_it_is_known() {
    for (payload, expected) in [
        (&br#"{"to":"a/+"}"#[..], "The topic is not valid"),
        (br#"{"to":"$$aws/things/t/jobs/get"}"#, "topics of jobs"),
        (br#"{"to":"$aws/things/t/shadow/get"}"#, "two dollars"),
        (b"{}", "The topic is empty"),
    ] {
        let action = json!({"republish": {"roleArn": ROLE, "topic": "${to}"}});
        assert!(failure(&action, payload).contains(expected), "{expected}");
    }
}

#[test]
fn a_record_goes_to_kafka_with_what_the_client_properties_say() {
    let action = |properties: Value| {
        json!({"kafka": {
            "destinationArn": "arn:aws:iot:eu-west-1:123456789012:ruledestination/vpc/1", "topic": "t", "key": "${clientid()}",
            "partition": "${p}", "headers": [{"key": "h", "value": "${topic()}"}], "clientProperties": properties,
        }})
    };
    let plain = json!({
        "bootstrap.servers": "a:9092, b:9093", "security.protocol": "SASL_SSL", "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.scram.username": "u", "sasl.scram.password": "p", "compression.type": "gzip", "acks": "1",
        "key.serializer": "org.apache.kafka.common.serialization.StringSerializer",
    });
    let effect = prepared(&action(plain), b"{\"p\":3}");
    let Work::Kafka(record) = effect.work else { panic!("not Kafka") };
    assert_eq!((effect.resource.as_str(), record.topic.as_str(), record.partition), ("t", "t", Some(3)));
    assert_eq!((record.key.as_deref(), record.compression), (Some("dev1"), KafkaCompression::Gzip));
    assert_eq!(record.headers, [("h".to_owned(), "plant/lamp".to_owned())]);
    assert_eq!((record.cluster.bootstrap.join(" ").as_str(), record.cluster.tls.is_some()), ("a:9092 b:9093", true));
    let shown = format!("{record:?}");
    let login = record.cluster.login.unwrap();
    assert_eq!((login.mechanism, login.user.as_str(), login.password.as_str()), ("SCRAM-SHA-512", "u", "p"));
    assert!(!shown.contains("password"), "{shown}");
    let Work::Kafka(record) = prepared(&action(json!({"bootstrap.servers": "a:1"})), b"{}").work else { panic!() };
    assert!(
        record.cluster.tls == Some(KafkaTls::default()) && record.cluster.login.is_none() && record.partition.is_none()
    );
    for (properties, error, expected) in [
        (json!({}), "InvalidRequestException", "bootstrap.servers"),
        (json!({"bootstrap.servers": "a:1", "x": "y"}), "InvalidRequestException", "x is not known"),
        (json!({"bootstrap.servers": "a:1", "acks": "2"}), "InvalidRequestException", "acks"),
        (json!({"bootstrap.servers": "a:1", "sasl.mechanism": "GSSAPI"}), "NotImplementedException", "Kerberos"),
        (json!({"bootstrap.servers": "a:1", "sasl.kerberos.keytab": "x"}), "NotImplementedException", "Kerberos"),
        (json!({"bootstrap.servers": "a:1", "compression.type": "lzma"}), "InvalidRequestException", "zstd"),
    ] {
        refused(&action(properties), error, expected);
    }
}

fn kafka(properties: &Value) -> Value {
    let mut all = json!({"bootstrap.servers": "a:1"});
    all.as_object_mut().unwrap().extend(properties.as_object().unwrap().clone());
    json!({"kafka": {"destinationArn": "arn:aws:iot:eu-west-1:123456789012:ruledestination/vpc/1", "topic": "t", "clientProperties": all}})
}

#[test]
fn kafka_records_are_compressed_and_acknowledged_as_the_client_properties_say() {
    for (written, compression, acks, all) in [
        ("lz4", KafkaCompression::Lz4, "all", true),
        ("zstd", KafkaCompression::Zstd, "-1", true),
        ("snappy", KafkaCompression::Snappy, "0", false),
        ("none", KafkaCompression::None, "1", false),
    ] {
        let properties = json!({"compression.type": written, "acks": acks, "value.serializer": "ByteBufferSerializer"});
        let Work::Kafka(record) = prepared(&kafka(&properties), b"{}").work else { panic!("not Kafka") };
        assert_eq!((record.compression, record.all_replicas), (compression, all), "{written}");
    }
}

#[test]
fn kafka_is_shown_what_the_stores_of_a_rule_hold() {
    let properties = json!({
        "ssl.truststore": "${store}", "ssl.truststore.password": "${password}", "ssl.keystore": "MIIB",
        "ssl.keystore.password": "k", "ssl.key.password": "${password}",
    });
    let action = kafka(&properties);
    let Work::Kafka(record) = prepared(&action, br#"{"store":"MIIA\nMIIA","password":"k"}"#).work else { panic!() };
    let shown = format!("{record:?}");
    let tls = record.cluster.tls.unwrap();
    let [trust, identity] = [tls.trust.unwrap(), tls.identity.unwrap()].map(|store| (store.bytes, store.password));
    assert_eq!(trust, (b"\x30\x82\x00\x30\x82\x00".to_vec(), "k".to_owned()));
    assert_eq!(identity, (b"\x30\x82\x01".to_vec(), "k".to_owned()));
    assert!(!shown.contains("130"), "{shown}");
    for (payload, expected) in [
        (r#"{"store":"MIIA","password":"other"}"#, "ssl.key.password"),
        (r#"{"store":"?","password":"k"}"#, "PKCS#12 store in base64"),
        (r#"{"store":"QUJD","password":"k"}"#, "PKCS#12 store in base64"),
        (r#"{"store":"/u3+7QAAAAI=","password":"k"}"#, "Java's own formats"),
        (r#"{"password":"k"}"#, "ssl.truststore"),
    ] {
        assert!(failure(&action, payload.as_bytes()).contains(expected), "{payload}");
    }
    let sized = |count| format!(r#"{{"store":"{}","password":"k"}}"#, "MIIA".repeat(count));
    // What waits for a slow broker is counted with its stores.
    assert_eq!(prepared(&action, sized(22_186).as_bytes()).bytes(), 1 + sized(22_186).len() + 22_186 * 3 + 3);
    for count in [22_187, 25_100] {
        assert!(failure(&action, sized(count).as_bytes()).contains("65 KB"), "{count}");
    }
}

#[test]
fn a_store_that_stands_in_a_rule_is_looked_at_when_the_rule_is_made() {
    for (properties, error, expected) in [
        (json!({"ssl.truststore": "no"}), "InvalidRequestException", "ssl.truststore"),
        (json!({"ssl.keystore": "MIIB"}), "InvalidRequestException", "ssl.keystore.password"),
        (json!({"ssl.truststore": "-----BEGIN CERTIFICATE-----"}), "NotImplementedException", "openssl"),
        (json!({"ssl.truststore": "zs7OzgAAAAI="}), "NotImplementedException", "keytool"),
        (json!({"ssl.truststore": "MIIA".repeat(23_000)}), "InvalidRequestException", "65 KB"),
        (json!({"ssl.truststore": "MIIA".repeat(40_000)}), "InvalidRequestException", "65 KB"),
        (json!({"ssl.keystore": "${broken", "ssl.keystore.password": "x"}), "SqlParseException", "ssl.keystore"),
    ] {
        refused(&kafka(&properties), error, expected);
    }
}

const INFLUX: &str = "arn:aws:iot:eu-west-1:123456789012:ruledestination/influxdb";

fn lines(table: &str, tags: &Value, payload: &str) -> String {
    let action = json!({"influxDB": {
        "destinationArn": format!("{INFLUX}/two"), "databaseName": "db", "tableName": table, "organization": "o",
        "tags": tags, "roleArn": ROLE,
    }});
    let Work::Influx(write) = prepared(&action, payload.as_bytes()).work else { panic!("not InfluxDB") };
    assert_eq!((write.database.as_str(), write.organization.as_deref(), write.precision), ("db", Some("o"), "ms"));
    String::from_utf8(write.lines.to_vec()).unwrap()
}

#[test]
fn the_result_becomes_lines_of_influxdb() {
    let none = json!({});
    for (table, tags, payload, expected) in [
        (
            "m",
            &none,
            r#"{"timestamp":7,"i":1,"f":1.5,"s":"a\"b","b":true,"z":null}"#,
            "m i=1i,f=1.5,s=\"a\\\"b\",b=true 7\n",
        ),
        (
            "m",
            &none,
            r#"{"timestamp":7,"u":18446744073709551615,"o":{"k":[1]}}"#,
            "m u=18446744073709551615u,o=\"{\\\"k\\\":[1]}\" 7\n",
        ),
        (
            "@{kind}",
            &json!({"site": "a b", "dev": "@{id}", "no": "@{none}"}),
            r#"[{"timestamp":1,"kind":"k,1","id":"x=y","v":1},{"timestamp":2,"kind":"k2","id":3,"v":2}]"#,
            "k\\,1,dev=x\\=y,site=a\\ b v=1i 1\nk2,dev=3,site=a\\ b v=2i 2\n",
        ),
        ("${topic(2)}", &json!({"c": "${clientid()}"}), r#"{"timestamp":7,"v v":1}"#, "lamp,c=dev1 v\\ v=1i 7\n"),
    ] {
        assert_eq!(lines(table, tags, payload), expected, "{payload}");
    }
}

#[test]
fn what_cannot_be_a_line_fails() {
    let action = |arn: &str| {
        json!({"influxDB": {
            "destinationArn": format!("{INFLUX}/{arn}"), "databaseName": "db", "tableName": "m", "roleArn": ROLE,
        }})
    };
    assert!(failure(&action("two"), b"{\"v\":1}").contains("timestamp"));
    assert!(failure(&action("two"), b"{\"timestamp\":1.5,\"v\":1}").contains("timestamp"));
    assert!(failure(&action("two"), b"{\"timestamp\":1}").contains("at least one field"));
    assert!(failure(&action("two"), b"7").contains("neither a JSON object"));
    assert!(failure(&action("none"), b"{}").contains("no enabled InfluxDB destination"));
    let mixed = json!({"influxDB": {
        "destinationArn": format!("{INFLUX}/two"), "databaseName": "db", "tableName": "x@{a}", "roleArn": ROLE,
    }});
    refused(&mixed, "InvalidRequestException", "stands alone");
}

fn refused(action: &Value, error: &str, expected: &str) {
    let refusal = parse(action).map(|action| action.name()).unwrap_err();
    assert_eq!(refusal.error(), error, "{refusal}");
    assert!(refusal.message().contains(expected), "{refusal}");
}

#[test]
fn what_cannot_be_meant_is_refused_when_the_rule_is_made() {
    let s3 = |more: Value| {
        let mut s3 = json!({"roleArn": ROLE, "bucketName": "b", "key": "k"});
        s3.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"s3": s3})
    };
    let http = |url: &str, more: Value| {
        let mut http = json!({"url": url});
        http.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"http": http})
    };
    let republish = |topic: &str| json!({"republish": {"roleArn": ROLE, "topic": topic}});
    let invalid = |action: Value, expected: &str| refused(&action, "InvalidRequestException", expected);
    invalid(json!({}), "exactly one member");
    invalid(json!({"s3": {}, "sqs": {}}), "exactly one member");
    invalid(json!({"s3": "b"}), "must be an object");
    invalid(s3(json!({"roleArn": null})), "The roleArn of the action s3 is not valid: it is required.");
    invalid(s3(json!({"roleArn": "me"})), "it must be an ARN");
    invalid(s3(json!({"key": null})), "The key of the action s3");
    invalid(s3(json!({"cannedAcl": "everyone"})), "it must be one of private");
    invalid(json!({"lambda": {"functionArn": "f"}}), "it must be an ARN");
    invalid(json!({"sqs": {"roleArn": ROLE, "queueUrl": "https://q/x.fifo"}}), "FIFO");
    invalid(json!({"sns": {"roleArn": ROLE, "targetArn": "arn:aws:sns:r:1:x.fifo"}}), "FIFO");
    invalid(republish("$aws/things/t/shadow/update"), "two dollars");
    invalid(republish("$$aws/things/t/jobs/j/get"), "topics of jobs");
    invalid(republish("a/#"), "The topic of the action republish");
    invalid(http("ftp://h", json!({})), "it must be an https or http URL");
    invalid(http("https://h/${a}", json!({})), "required where url has a template");
    invalid(http("https://h/", json!({"confirmationUrl": "https://g/"})), "must begin with the confirmationUrl");
    invalid(http("https://h/", json!({"headers": [{"key": "Host", "value": "x"}]})), "not a rule's to set");
    invalid(http("https://h/", json!({"headers": [{"key": "a b", "value": "x"}]})), "not the name of a header");
    invalid(http("https://h/", json!({"enableBatching": true, "batchConfig": {"maxBatchSize": 11}})), "from 2 to 10");
    invalid(
        json!({"dynamoDB": {
            "tableName": "t", "roleArn": ROLE, "hashKeyField": "a", "hashKeyValue": "b", "rangeKeyField": "c",
        }}),
        "rangeKeyValue go together",
    );
    invalid(
        json!({"timestream": {"roleArn": ROLE, "databaseName": "d", "tableName": "t",
        "dimensions": [{"name": "time", "value": "x"}]}}),
        "cannot be the name of one",
    );
    let template = json!({"sqs": {"roleArn": ROLE, "queueUrl": "https://q/${"}});
    refused(&template, "SqlParseException", "The queueUrl of the action sqs");
}

#[test]
fn what_is_not_built_and_what_nobody_answers_is_refused_by_name() {
    for key in ["iotEvents", "iotAnalytics", "iotSiteWise", "salesforce"] {
        refused(&json!({key: {}}), "NotImplementedException", &format!("The rule action {key} is not implemented yet"));
    }
    let sqs = json!({"sqs": {"roleArn": ROLE, "queueUrl": "https://q/x"}});
    let nobody = Targets::default();
    let refusal = Action::parse(sqs.as_object().unwrap(), Version::V20160323, &nobody).map(|_| ()).unwrap_err();
    assert_eq!(refusal.error(), "NotImplementedException");
    assert!(refusal.message().contains("--aws-endpoint sqs=URL"), "{refusal}");
    let s3 = json!({"s3": {"roleArn": ROLE, "bucketName": "b", "key": "k"}});
    let action = Action::parse(s3.as_object().unwrap(), Version::V20160323, &nobody).map_err(|no| no.to_string());
    assert_eq!(action.unwrap().name(), "S3Action");
}

#[test]
fn the_functions_that_ask_outside_ask_by_the_same_requests() {
    let scope = Scope::new("123456789012", "eu-west-1");
    let of = |call: &sql::Call| AwsRequest::of_call(call, &scope);
    let arn = "arn:aws:lambda:us-west-2:123456789012:function:f".to_owned();
    let invoke = of(&sql::Call::Lambda { arn, payload: "{}".into() }).unwrap();
    assert_eq!((invoke.service, invoke.region.as_str(), &invoke.body[..]), (Service::Lambda, "us-west-2", &b"{}"[..]));
    assert_eq!(header(&invoke.headers, "x-amz-invocation-type"), "RequestResponse");
    let object = of(&sql::Call::Object { bucket: "b".into(), key: "p/ä.desc".into() }).unwrap();
    assert_eq!((object.service, object.method, object.path.as_str()), (Service::S3, "GET", "/b/p/%C3%A4.desc"));
    let shadow = sql::Call::ThingShadow { thing: "t".into(), shadow: None, role: ROLE.into() };
    assert_eq!(of(&shadow), None);
}
