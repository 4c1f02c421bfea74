"""Rules that act: what a device publishes arrives where a rule sends it, in services that moto imitates, at URLs, in Kafka and in
an InfluxDB, and what does not arrive runs the error action.
"""

import base64
import json
import random
import time
import urllib.request

import confluent_kafka
import paho.mqtt.client as mqtt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12

from authorities import CertificateAuthority
from devices import Workshop, arn
from house import ACCOUNT, REGION, Ombra, wait_for
from sinks import Aws, HttpSink, Kafka
from test_paho import Paho

ROLE = f"arn:aws:iam::{ACCOUNT}:role/rules"
OUTSIDE = ["cloudwatch", "dynamodb", "firehose", "kinesis", "lambda", "logs", "s3", "sns", "sqs", "stepfunctions"]


@pytest.fixture(scope="module")
def aws():
    """The services outside."""
    with Aws() as services:
        yield services


@pytest.fixture(scope="module")
def ombra(tmp_path_factory, aws):
    """A server that finds every service outside."""
    server = Ombra(tmp_path_factory.mktemp("ombra"))
    flags = [part for name in OUTSIDE for part in ("--aws-endpoint", f"{name}={aws.url}")]
    flags += ["--aws-endpoint", "timestream-write=http://127.0.0.1:1"]
    try:
        yield server.start(*flags)
    finally:
        server.clean_up()


@pytest.fixture(scope="module")
def device(workshop: Workshop):
    """Whoever publishes."""
    client = Paho(workshop.device(), mqtt.MQTTv5)
    client.start()
    yield client
    client.client.disconnect()
    client.client.loop_stop()


class Rules:
    """Makes rules on topics of their own, each with one action."""

    def __init__(self, iot, device):
        self.iot, self.device, self.made = iot, device, 0

    def make(self, action: dict, sql: str = "SELECT * FROM '{topic}'", **more) -> str:
        """The topic that the rule hears."""
        self.made += 1
        name, topic = f"rule{self.made}", f"rules/{self.made}"
        payload = {"sql": sql.format(topic=topic), "awsIotSqlVersion": "2016-03-23", "actions": [action], **more}
        self.iot.create_topic_rule(ruleName=name, topicRulePayload=payload)
        return topic

    def publish(self, topic: str, payload, qos: int = 1) -> None:
        """Publish JSON, or bytes as they are."""
        payload = payload if isinstance(payload, bytes) else json.dumps(payload)
        self.device.client.publish(topic, payload, qos)
        self.device.next("publish")

    def confirm(self, sink: HttpSink) -> None:
        """Do as the challenge at a sink asks."""
        challenge = wait_for(lambda: [it for it in sink.seen if it.path.startswith("/?confirmationToken=")], "a challenge")
        assert challenge[-1].headers["x-amz-rules-engine-message-type"] == "DestinationConfirmation"
        with urllib.request.urlopen(challenge[-1].json["enableUrl"]) as answer:
            assert answer.status == 200


@pytest.fixture(scope="module")
def rules(iot, device):
    """The rules of this module."""
    return Rules(iot, device)


# Services, as moto knows them.


def test_a_queue_gets_the_payload(aws, rules):
    sqs = aws.client("sqs")
    url = sqs.create_queue(QueueName="q")["QueueUrl"]
    topic = rules.make({"sqs": {"queueUrl": url, "roleArn": ROLE}}, "SELECT t * 2 AS t, topic() AS topic FROM '{topic}'")
    rules.publish(topic, {"t": 21})
    got = wait_for(lambda: sqs.receive_message(QueueUrl=url).get("Messages"), "a message in the queue")
    assert json.loads(got[0]["Body"]) == {"t": 42, "topic": topic}


def test_a_topic_of_sns_is_published_to(aws, rules):
    sns, sqs = aws.client("sns"), aws.client("sqs")
    queue = sqs.create_queue(QueueName="of-sns")["QueueUrl"]
    target = sns.create_topic(Name="alarms")["TopicArn"]
    sns.subscribe(TopicArn=target, Protocol="sqs", Endpoint=f"arn:aws:sqs:{REGION}:123456789012:of-sns")
    topic = rules.make({"sns": {"targetArn": target, "roleArn": ROLE, "messageFormat": "RAW"}})
    rules.publish(topic, {"text": "50 % & more ä"})
    got = wait_for(lambda: sqs.receive_message(QueueUrl=queue).get("Messages"), "a message of the topic")
    assert json.loads(json.loads(got[0]["Body"])["Message"]) == {"text": "50 % & more ä"}


def test_streams_get_records(aws, rules):
    kinesis = aws.client("kinesis")
    kinesis.create_stream(StreamName="s", ShardCount=1)
    topic = rules.make({"kinesis": {"streamName": "s", "partitionKey": "${clientid()}", "roleArn": ROLE}})
    rules.publish(topic, b"\xff\x00")
    shard = kinesis.describe_stream(StreamName="s")["StreamDescription"]["Shards"][0]["ShardId"]

    def records():
        start = kinesis.get_shard_iterator(StreamName="s", ShardId=shard, ShardIteratorType="TRIM_HORIZON")
        return kinesis.get_records(ShardIterator=start["ShardIterator"])["Records"]

    record = wait_for(records, "a record")[0]
    assert (record["Data"], record["PartitionKey"]) == (b"\xff\x00", rules.device.device.name)


def test_firehose_writes_a_batch_where_its_stream_leads(aws, rules):
    s3, firehose = aws.client("s3"), aws.client("firehose")
    s3.create_bucket(Bucket="hose")
    destination = {"RoleARN": ROLE, "BucketARN": "arn:aws:s3:::hose"}
    firehose.create_delivery_stream(DeliveryStreamName="d", ExtendedS3DestinationConfiguration=destination)
    action = {"deliveryStreamName": "d", "roleArn": ROLE, "separator": "\n", "batchMode": True}
    topic = rules.make({"firehose": action}, "SELECT VALUE items FROM '{topic}'")
    rules.publish(topic, {"items": [{"a": 1}, {"a": 2}]})
    written = wait_for(lambda: s3.list_objects_v2(Bucket="hose").get("Contents"), "an object")
    body = s3.get_object(Bucket="hose", Key=written[0]["Key"])["Body"].read()
    assert [json.loads(line) for line in body.splitlines()] == [{"a": 1}, {"a": 2}]


def check_rows(dynamodb, rules):
    """Rows of both kinds come to tables of this service."""
    for table in ("one", "columns"):
        dynamodb.create_table(
            TableName=table, BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        )
    key = {"hashKeyField": "id", "hashKeyValue": "${clientid()}", "payloadField": "data", "roleArn": ROLE}
    one = rules.make({"dynamoDB": {"tableName": "one", **key}})
    columns = rules.make({"dynamoDBv2": {"putItem": {"tableName": "columns"}, "roleArn": ROLE}})
    rules.publish(one, {"n": 12345678901234567890123, "deep": {"l": [1.5, None, True]}})
    rules.publish(columns, {"id": "x", "n": 1})
    row = wait_for(lambda: dynamodb.scan(TableName="one")["Items"], "a row")[0]
    deep = {"M": {"l": {"L": [{"N": "1.5"}, {"NULL": True}, {"BOOL": True}]}}}
    assert row == {
        "id": {"S": rules.device.device.name}, "data": {"M": {"n": {"N": "12345678901234567890123"}, "deep": deep}},
    }
    assert wait_for(lambda: dynamodb.scan(TableName="columns")["Items"], "a row") == [{"id": {"S": "x"}, "n": {"N": "1"}}]


def test_rows_of_both_kinds_are_written(aws, rules):
    check_rows(aws.client("dynamodb"), rules)


def test_an_object_is_put_under_a_key_of_templates(aws, rules):
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="bucket")
    topic = rules.make({"s3": {"bucketName": "bucket", "key": "${topic()}/ä +%.bin", "roleArn": ROLE}})
    rules.publish(topic, b"\xff\x00")
    key = wait_for(lambda: s3.list_objects_v2(Bucket="bucket").get("Contents"), "an object")[0]["Key"]
    assert key == f"{topic}/ä +%.bin"
    assert s3.get_object(Bucket="bucket", Key=key)["Body"].read() == b"\xff\x00"


def test_log_events_come_in_batches_to_a_stream_that_is_made(aws, rules):
    logs = aws.client("logs")
    logs.create_log_group(logGroupName="g")
    action = {"logGroupName": "g", "batchMode": True, "roleArn": ROLE}
    topic = rules.make({"cloudwatchLogs": action}, "SELECT VALUE events FROM '{topic}'")
    now = int(time.time() * 1000)
    rules.publish(topic, {"events": [{"timestamp": now, "message": "b"}, {"timestamp": now - 5, "message": "a"}]})
    events = wait_for(lambda: logs.filter_log_events(logGroupName="g")["events"], "log events")
    assert [(event["timestamp"], event["message"]) for event in events] == [(now - 5, "a"), (now, "b")]


def test_a_metric_is_put_and_an_alarm_set(aws, rules):
    cloudwatch = aws.client("cloudwatch")
    cloudwatch.put_metric_alarm(
        AlarmName="hot", MetricName="t", Namespace="plant", Period=60, EvaluationPeriods=1, Threshold=1,
        ComparisonOperator="GreaterThanThreshold", Statistic="Average",
    )
    metric = {
        "metricNamespace": "plant", "metricName": "t", "metricValue": "${t}", "metricUnit": "None", "roleArn": ROLE,
    }
    alarm = {"alarmName": "hot", "stateReason": "t is ${t}", "stateValue": "ALARM", "roleArn": ROLE}
    rules.publish(rules.make({"cloudwatchMetric": metric}), {"t": 90.5})
    rules.publish(rules.make({"cloudwatchAlarm": alarm}), {"t": 90.5})
    assert wait_for(lambda: cloudwatch.list_metrics(Namespace="plant")["Metrics"], "a metric")[0]["MetricName"] == "t"
    state = lambda: [it for it in cloudwatch.describe_alarms()["MetricAlarms"] if it["StateValue"] == "ALARM"]
    assert wait_for(state, "an alarm")[0]["StateReason"] == "t is 90.5"


def test_a_service_that_refuses_runs_the_error_action_with_awss_payload(rules):
    rules.device.client.subscribe("errors/sqs", 1)
    rules.device.next("subscribe")
    queue = "http://127.0.0.1/123456789012/nowhere"
    error = {"errorAction": {"republish": {"topic": "errors/sqs", "qos": 1, "roleArn": ROLE}}}
    topic = rules.make({"sqs": {"queueUrl": queue, "roleArn": ROLE}}, **error)
    rules.publish(topic, {"a": 1})
    told = json.loads(rules.device.next("message").payload)
    assert (told["topic"], base64.b64decode(told["base64OriginalPayload"])) == (topic, b'{"a": 1}')
    failure = told["failures"][0]
    assert (failure["failedAction"], failure["failedResource"]) == ("SqsAction", queue)
    assert "NonExistentQueue" in failure["errorMessage"] or "QueueDoesNotExist" in failure["errorMessage"]


def test_a_service_that_is_not_there_runs_the_error_action(rules):
    rules.device.client.subscribe("errors/timestream", 1)
    rules.device.next("subscribe")
    action = {
        "databaseName": "d", "tableName": "t", "dimensions": [{"name": "x", "value": "y"}], "roleArn": ROLE,
    }
    error = {"errorAction": {"republish": {"topic": "errors/timestream", "qos": 1, "roleArn": ROLE}}}
    rules.publish(rules.make({"timestream": action}, **error), {"a": 1})
    failure = json.loads(rules.device.next("message").payload)["failures"][0]
    assert failure["failedAction"] == "TimestreamAction" and "could not be reached" in failure["errorMessage"]


# Messages.


def test_a_message_is_republished_with_its_headers(rules):
    rules.device.client.subscribe("again/#", 1)
    rules.device.next("subscribe")
    headers = {"contentType": "text/${kind}", "userProperties": [{"key": "from", "value": "${topic()}"}]}
    action = {"topic": "again/${kind}", "qos": 1, "roleArn": ROLE, "headers": headers}
    topic = rules.make({"republish": action})
    rules.publish(topic, {"kind": "plain"})
    message = rules.device.next("message")
    assert (message.topic, message.qos, json.loads(message.payload)) == ("again/plain", 1, {"kind": "plain"})
    assert message.properties.ContentType == "text/plain"
    assert message.properties.UserProperty == [("from", topic)]


# URLs.


def test_nothing_is_sent_before_a_destination_is_confirmed_and_all_after(rules):
    with HttpSink() as sink:
        action = {
            "url": sink.url + "/in/${kind}", "confirmationUrl": sink.url,
            "headers": [{"key": "X-From", "value": "${topic()}"}],
            "auth": {"sigv4": {"signingRegion": REGION, "serviceName": "execute-api", "roleArn": ROLE}},
        }
        topic = rules.make({"http": action})
        rules.publish(topic, {"kind": "early"})
        rules.confirm(sink)
        rules.publish(topic, {"kind": "late"})
        post = sink.posts(1)[0]
        assert (post.method, post.path, post.json) == ("POST", "/in/late", {"kind": "late"})
        assert (post.headers["x-from"], post.headers["content-type"]) == (topic, "application/json")
        assert post.headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=")
        rules.publish(topic, {"kind": "again"})
        assert [it.path for it in sink.posts(2)] == ["/in/late", "/in/again"]


def test_a_sink_that_fails_is_tried_three_times_and_then_told(rules):
    rules.device.client.subscribe("errors/http", 1)
    rules.device.next("subscribe")
    with HttpSink() as sink:
        error = {"errorAction": {"republish": {"topic": "errors/http", "qos": 1, "roleArn": ROLE}}}
        topic = rules.make({"http": {"url": sink.url}}, **error)
        rules.confirm(sink)
        sink.answers[:] = [500, 503, 200]
        rules.publish(topic, {"n": 1})
        assert len(sink.posts(3)) == 3
        sink.answers[:] = [500]
        rules.publish(topic, {"n": 2})
        failure = json.loads(rules.device.next("message").payload)["failures"][0]
        assert failure["failedAction"] == "HttpAction" and "answered 500" in failure["errorMessage"]
        assert [it.json["n"] for it in sink.posts(6)] == [1, 1, 1, 2, 2, 2]


def test_a_stuck_sink_slows_neither_the_broker_nor_other_rules(rules):
    with HttpSink() as stuck, HttpSink() as quick:
        slow = rules.make({"http": {"url": stuck.url}})
        rules.confirm(stuck)
        fast = rules.make({"http": {"url": quick.url}})
        rules.confirm(quick)
        stuck.answers[:] = [None]
        began = time.monotonic()
        for n in range(50):
            rules.publish(slow, {"n": n})
            rules.publish(fast, {"n": n})
        assert [it.json["n"] for it in quick.posts(50)] == list(range(50))
        assert time.monotonic() - began < 2.5, "the stuck sink gives up after three seconds"
        assert len(stuck.posts(1)) == 1


def test_batches_are_arrays(rules):
    with HttpSink() as sink:
        batching = {"enableBatching": True, "batchConfig": {"maxBatchOpenMs": 200, "maxBatchSize": 4}}
        topic = rules.make({"http": {"url": sink.url, **batching}})
        rules.confirm(sink)
        for n in range(8):
            rules.device.client.publish(topic, json.dumps({"n": n}), 1)
        posts = wait_for(lambda: (got := sink.posts(2)) if sum(len(it.json) for it in sink.posts(1)) == 8 else None, "8 messages")
        assert [item["n"] for post in posts for item in post.json] == list(range(8))
        assert len(posts) <= 4 and all(len(post.json) <= 4 for post in posts)
        for _ in range(8):
            rules.device.next("publish")


def test_a_batch_that_fails_runs_the_error_action_once(rules):
    rules.device.client.subscribe("errors/batch", 1)
    rules.device.next("subscribe")
    with HttpSink() as sink:
        batching = {"enableBatching": True, "batchConfig": {"maxBatchOpenMs": 200, "maxBatchSize": 3}}
        error = {"errorAction": {"republish": {"topic": "errors/batch", "qos": 1, "roleArn": ROLE}}}
        topic = rules.make({"http": {"url": sink.url, **batching}}, **error)
        rules.confirm(sink)
        sink.answers[:] = [404]
        for n in range(6):
            rules.device.client.publish(topic, json.dumps({"n": n}), 1)
        told, failed = [], []
        while len(failed) < 6:
            told.append(json.loads(rules.device.next("message").payload))
            entries = {entry["id"]: json.loads(base64.b64decode(entry["base64OriginalPayload"])) for entry in told[-1]["payloadsWithMetadata"]}
            [failure] = told[-1]["failures"]
            assert (failure["failedAction"], failure["failedResource"]) == ("HttpAction", sink.url)
            assert failure["affectedIds"] == sorted(entries) and told[-1]["topic"] == topic
            failed += [entries[id_]["n"] for id_ in failure["affectedIds"]]
        assert failed == list(range(6)) and len(told) <= 4
        for _ in range(6):
            rules.device.next("publish")


def test_a_search_cluster_gets_documents(rules):
    with HttpSink() as sink:
        action = {"endpoint": sink.url, "index": "i", "type": "_doc", "id": "${id}", "roleArn": ROLE}
        rules.publish(rules.make({"openSearch": action}), {"id": "a/b"})
        put = sink.posts(1)[0]
        assert (put.method, put.path, put.json) == ("PUT", "/i/_doc/a%2Fb", {"id": "a/b"})
        assert "/es/aws4_request" in put.headers["authorization"]


# Databases and brokers.


def test_an_influxdb_gets_lines_and_a_new_token_when_it_refuses_the_old(ombra, iot, rules):
    secrets = ombra.client("secretsmanager")
    secrets.create_secret(Name="influx", SecretString=json.dumps({"token": "old"}))
    with HttpSink() as sink:
        configuration = {
            "endpoint": sink.url, "influxDBVersion": "V2", "secretId": "influx", "secretType": "SecretString",
            "secretKey": "token",
        }
        made = iot.create_topic_rule_destination(destinationConfiguration={"influxDBConfiguration": configuration})
        destination = made["topicRuleDestination"]["arn"]
        action = {
            "destinationArn": destination, "databaseName": "db", "organization": "o", "tableName": "@{kind}",
            "tags": {"device": "${clientid()}"}, "roleArn": ROLE,
        }
        topic = rules.make({"influxDB": action})
        rules.publish(topic, {"kind": "m", "timestamp": 7, "t": 21.5, "n": 3})
        write = sink.posts(1)[0]
        assert write.path == "/api/v2/write?org=o&bucket=db&precision=ms"
        assert write.body.decode() == f"m,device={rules.device.device.name} t=21.5,n=3i 7\n"
        assert write.headers["authorization"] == "Token old"
        secrets.put_secret_value(SecretId="influx", SecretString=json.dumps({"token": "new"}))
        sink.answers[:] = [401, 204]
        rules.publish(topic, {"kind": "m", "timestamp": 8, "n": 4})
        assert [it.headers["authorization"] for it in sink.posts(3)] == ["Token old", "Token old", "Token new"]


def kafka_action(topic: str, properties: dict, **more) -> dict:
    """A kafka action with these client properties."""
    destination = arn("ruledestination/vpc/11111111-1111-1111-1111-111111111111")
    return {"kafka": {"destinationArn": destination, "topic": topic, "clientProperties": properties, **more}}


def test_kafka_gets_records_with_key_headers_and_compression(rules):
    with Kafka() as kafka:
        kafka.topic("t", 4)
        compressions = ["none", "gzip", "snappy", "lz4", "zstd"]
        for compression in compressions:
            properties = {
                "bootstrap.servers": kafka.bootstrap, "security.protocol": "PLAINTEXT", "compression.type": compression,
            }
            headers = [{"key": "h", "value": "${topic()}"}]
            topic = rules.make(kafka_action("t", properties, key="21", headers=headers))
            rules.publish(topic, {"how": compression, "pad": "x" * 500})
        messages = kafka.read("t", len(compressions))
        assert sorted(json.loads(it.value())["how"] for it in messages) == sorted(compressions)
        assert {it.key() for it in messages} == {b"21"} and messages[0].headers()[0][0] == "h"
        # Where librdkafka's own consistent murmur2 partitioner, which is the Java client's, puts this key.
        producer = confluent_producer(kafka)
        places = []
        producer.produce("t", b"x", key=b"21", on_delivery=lambda _, message: places.append(message.partition()))
        producer.flush(10)
        assert {it.partition() for it in messages} == set(places)


def test_what_is_compressed_is_read_back_whatever_its_size(rules):
    """Blocks of lz4 and zstd end within it, and some of it does not compress."""
    noise = base64.b64encode(random.Random(7).randbytes(20_000)).decode()
    value = json.dumps({"text": "temperature humidity " * 4000, "noise": noise})
    with Kafka() as kafka:
        for compression in ("lz4", "zstd"):
            kafka.topic(compression, 1)
            properties = {
                "bootstrap.servers": kafka.bootstrap, "security.protocol": "PLAINTEXT", "compression.type": compression,
                "acks": "all",
            }
            topic = rules.make(kafka_action(compression, properties))
            for payload in (b"{}", b'{"a":1}', value.encode()):
                rules.publish(topic, payload)
            got = [json.loads(it.value()) for it in kafka.read(compression, 3)]
            assert got == [{}, {"a": 1}, json.loads(value)], compression


def confluent_producer(kafka: Kafka):
    """librdkafka's producer, with the partitioner of Kafka's Java client."""
    return confluent_kafka.Producer({"bootstrap.servers": kafka.bootstrap, "partitioner": "murmur2"})


def test_kafka_is_tried_again_where_kafka_says_so(rules):
    rules.device.client.subscribe("errors/kafka", 1)
    rules.device.next("subscribe")
    error = {"errorAction": {"republish": {"topic": "errors/kafka", "qos": 1, "roleArn": ROLE}}}
    with Kafka() as kafka:
        kafka.topic("t", 1)
        properties = {"bootstrap.servers": kafka.bootstrap, "security.protocol": "PLAINTEXT"}
        topic = rules.make(kafka_action("t", properties), **error)
        kafka.fail_produce(6, 6)  # not the leader
        rules.publish(topic, {"n": 1})
        assert [json.loads(it.value()) for it in kafka.read("t", 1)] == [{"n": 1}]
        kafka.fail_produce(29)  # not authorised
        rules.publish(topic, {"n": 2})
        failure = json.loads(rules.device.next("message").payload)["failures"][0]
        assert failure["failedAction"] == "KafkaAction" and "TopicAuthorizationFailed" in failure["errorMessage"]


def test_kafka_is_spoken_with_by_the_stores_of_a_rule(ombra, rules, tmp_path):
    """Its trust store vouches for the brokers, its key store is who it is; both are secrets, and binary ones."""
    plant = CertificateAuthority(tmp_path / "plant")
    server, client = plant.issue("broker", hosts=("localhost",)), plant.issue("rules-engine")
    name, role, secrets = f"kafka-{tmp_path.name}", ROLE, ombra.client("secretsmanager")
    key = serialization.load_pem_private_key(client.key.read_bytes(), None)
    certificate = x509.load_pem_x509_certificate(client.certificate.read_bytes())
    lock = serialization.BestAvailableEncryption(b"key-pass")
    stores = {
        "trust": pkcs12.serialize_java_truststore([pkcs12.PKCS12Certificate(plant.certificate, b"ca")], lock),
        "key": pkcs12.serialize_key_and_certificates(b"me", key, certificate, [plant.certificate], lock),
    }
    for kind, store in stores.items():
        secrets.create_secret(Name=f"{name}-{kind}", SecretBinary=store)
    secrets.create_secret(Name=f"{name}-pass", SecretString=json.dumps({"pass": "key-pass", "wrong": "no"}))
    binary = lambda kind: f"${{get_secret('{name}-{kind}', 'SecretBinary', '{role}')}}"
    text = lambda key: f"${{get_secret('{name}-pass', 'SecretString', '{key}', '{role}')}}"
    rules.device.client.subscribe("errors/stores", 1)
    rules.device.next("subscribe")
    error = {"errorAction": {"republish": {"topic": "errors/stores", "qos": 1, "roleArn": ROLE}}}
    with Kafka() as kafka:
        kafka.topic("t", 1)
        trust = {
            "bootstrap.servers": kafka.behind_mutual_tls(server.certificate, server.key, plant.file()),
            "security.protocol": "SSL", "ssl.truststore": binary("trust"), "ssl.truststore.password": text("pass"),
        }
        identity = {"ssl.keystore": binary("key"), "ssl.keystore.password": text("pass"), "ssl.key.password": text("pass")}
        rules.publish(rules.make(kafka_action("t", {**trust, **identity}), **error), {"n": 1})
        wait_for(lambda: kafka.front.answers >= 2, "what the topic is, and that it has the record")
        assert set(kafka.front.names) == {"rules-engine"}
        for properties, expected in [
            (trust, "broke off"),
            ({**identity, **{name: trust[name] for name in ("bootstrap.servers", "security.protocol")}}, "UnknownIssuer"),
            ({**trust, **identity, "ssl.keystore.password": "no", "ssl.key.password": "no"}, "ssl.keystore cannot be opened"),
            ({**trust, "ssl.truststore.password": text("wrong")}, "ssl.truststore cannot be opened"),
        ]:
            rules.publish(rules.make(kafka_action("t", properties), **error), {"n": 2})
            failure = json.loads(rules.device.next("message").payload)["failures"][0]
            assert expected in failure["errorMessage"] and "key-pass" not in failure["errorMessage"]
        assert [json.loads(it.value()) for it in kafka.read("t", 1)] == [{"n": 1}]


@pytest.fixture
def trusting(own_ombra, tmp_path):
    """Rules on a server that trusts its own authority, which is as good as any for whoever it speaks TLS with."""
    own_ombra.start()
    own_ombra.stop()
    doors = [part for name in ("http", "mqtts", "tls") for part in (f"--{name}", "127.0.0.1:0")]
    own_ombra.launch(["--data", own_ombra.data, *doors], {"SSL_CERT_FILE": str(own_ombra.ca)})
    client = Paho(Workshop(own_ombra, tmp_path / "devices").device(), mqtt.MQTTv5)
    client.start()
    yield Rules(own_ombra.client("iot"), client)
    client.client.disconnect()
    client.client.loop_stop()


def identity(server: Ombra) -> tuple:
    """Certificate and key of `localhost`."""
    return server.data / "server.pem", server.data / "server.key"


def test_kafka_is_spoken_with_over_tls_after_a_login(own_ombra, trusting):
    with Kafka() as kafka:
        kafka.topic("t", 1)
        login = {
            "bootstrap.servers": kafka.behind_tls_and_scram(*identity(own_ombra), "user", "pass,word="),
            "security.protocol": "SASL_SSL", "sasl.mechanism": "SCRAM-SHA-512", "sasl.scram.username": "user",
        }
        right, wrong = ({**login, "sasl.scram.password": password} for password in ("pass,word=", "wrong"))
        trusting.publish(trusting.make(kafka_action("t", right)), {"n": 1})
        wait_for(lambda: kafka.front.answers >= 2, "what the topic is, and that it has the record")
        assert [json.loads(it.value()) for it in kafka.read("t", 1)] == [{"n": 1}]
        trusting.device.client.subscribe("errors", 1)
        trusting.device.next("subscribe")
        error = {"errorAction": {"republish": {"topic": "errors", "qos": 1, "roleArn": ROLE}}}
        trusting.publish(trusting.make(kafka_action("t", wrong), **error), {"n": 2})
        failure = json.loads(trusting.device.next("message").payload)["failures"][0]
        assert "did not let the user in" in failure["errorMessage"]


def test_a_url_is_reached_over_tls_if_its_authority_is_known(own_ombra, trusting):
    with HttpSink(identity=identity(own_ombra)) as sink:
        topic = trusting.make({"http": {"url": sink.url}})
        challenge = wait_for(lambda: sink.seen, "a challenge")[0]
        urllib.request.urlopen(challenge.json["enableUrl"]).close()
        trusting.publish(topic, {"n": 1})
        assert sink.posts(1)[0].json == {"n": 1}


def test_a_url_with_a_stranger_for_its_authority_is_not_trusted(own_ombra, rules, tmp_path):
    own_ombra.start()
    with HttpSink(identity=identity(own_ombra)) as sink:
        rules.device.client.subscribe("errors/tls", 1)
        rules.device.next("subscribe")
        error = {"errorAction": {"republish": {"topic": "errors/tls", "qos": 1, "roleArn": ROLE}}}
        action = {"endpoint": sink.url, "index": "i", "type": "t", "id": "1", "roleArn": ROLE}
        rules.publish(rules.make({"openSearch": action}, **error), {"n": 1})
        failure = json.loads(rules.device.next("message").payload)["failures"][0]
        assert "TLS with localhost came to nothing" in failure["errorMessage"] and not sink.seen


# Services that live in the house.


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A server that is told of nobody else."""
    server = Ombra(tmp_path_factory.mktemp("home"))
    try:
        yield server.start()
    finally:
        server.clean_up()


@pytest.fixture(scope="module")
def home_rules(home, tmp_path_factory):
    """Its rules."""
    client = Paho(Workshop(home, tmp_path_factory.mktemp("devices-at-home")).device(), mqtt.MQTTv5)
    client.start()
    yield Rules(home.client("iot"), client)
    client.client.disconnect()
    client.client.loop_stop()


def test_an_object_comes_to_a_bucket_in_the_house(home, home_rules):
    s3 = home.client("s3")
    s3.create_bucket(Bucket="bucket")
    topic = home_rules.make({"s3": {"bucketName": "bucket", "key": "${topic()}/ä +%.bin", "roleArn": ROLE}})
    home_rules.publish(topic, b"\xff\x00")
    key = wait_for(lambda: s3.list_objects_v2(Bucket="bucket").get("Contents"), "an object")[0]["Key"]
    assert key == f"{topic}/ä +%.bin"
    assert s3.get_object(Bucket="bucket", Key=key)["Body"].read() == b"\xff\x00"


def test_rows_come_to_tables_in_the_house(home, home_rules):
    check_rows(home.client("dynamodb"), home_rules)


def test_log_events_come_to_a_group_in_the_house(home, home_rules):
    logs = home.client("logs")
    logs.create_log_group(logGroupName="g")
    topic = home_rules.make({"cloudwatchLogs": {"logGroupName": "g", "roleArn": ROLE}})
    for n in range(3):
        home_rules.publish(topic, {"n": n})
    told = lambda: [json.loads(event["message"])["n"] for event in logs.filter_log_events(logGroupName="g")["events"]]
    wait_for(lambda: told() == [0, 1, 2], "log events")


def test_a_metric_comes_to_the_house_and_an_alarm_is_set_there(home, home_rules):
    cloudwatch = home.client("cloudwatch")
    cloudwatch.put_metric_alarm(
        AlarmName="hot", MetricName="t", Namespace="plant", Period=60, EvaluationPeriods=1, Threshold=1000,
        ComparisonOperator="GreaterThanThreshold", Statistic="Average",
    )
    metric = {
        "metricNamespace": "plant", "metricName": "t", "metricValue": "${t}", "metricUnit": "None", "roleArn": ROLE,
    }
    alarm = {"alarmName": "hot", "stateReason": "t is ${t}", "stateValue": "ALARM", "roleArn": ROLE}
    home_rules.publish(home_rules.make({"cloudwatchMetric": metric}), {"t": 90.5})
    home_rules.publish(home_rules.make({"cloudwatchAlarm": alarm}), {"t": 90.5})
    assert wait_for(lambda: cloudwatch.list_metrics(Namespace="plant")["Metrics"], "a metric")[0]["MetricName"] == "t"
    history = lambda: [it for it in cloudwatch.describe_alarms()["MetricAlarms"] if it["StateValue"] == "ALARM"]
    assert wait_for(history, "an alarm")[0]["StateReason"] == "t is 90.5"


def test_a_bucket_that_is_not_there_runs_the_error_action(home_rules):
    home_rules.device.client.subscribe("errors/s3", 1)
    home_rules.device.next("subscribe")
    error = {"errorAction": {"republish": {"topic": "errors/s3", "qos": 1, "roleArn": ROLE}}}
    topic = home_rules.make({"s3": {"bucketName": "nowhere", "key": "k", "roleArn": ROLE}}, **error)
    home_rules.publish(topic, {"a": 1})
    failure = json.loads(home_rules.device.next("message").payload)["failures"][0]
    assert (failure["failedAction"], failure["failedResource"]) == ("S3Action", "nowhere")
    assert "404 NoSuchBucket" in failure["errorMessage"]


# What is refused when a rule is made.


def test_what_nobody_answers_and_what_is_not_built_is_refused_by_name(iot):
    for action, expected in [
        ({"location": {"roleArn": ROLE, "trackerName": "t", "deviceId": "d", "latitude": "1", "longitude": "1"}},
         "--aws-endpoint location=URL"),
        ({"iotEvents": {"inputName": "i", "roleArn": ROLE}}, "The rule action iotEvents is not implemented yet"),
    ]:
        with pytest.raises(iot.exceptions.ClientError) as refused:
            iot.create_topic_rule(ruleName="no", topicRulePayload={"sql": "SELECT * FROM 'a'", "actions": [action]})
        assert refused.value.response["Error"]["Code"] == "NotImplementedException"
        assert expected in refused.value.response["Error"]["Message"]


# What is promised about messages that were accepted.


def test_what_was_accepted_with_qos_1_reaches_its_sink_over_a_crash(own_ombra, tmp_path):
    own_ombra.start()
    with HttpSink() as sink:
        client = Paho(Workshop(own_ombra, tmp_path / "devices").device(), mqtt.MQTTv5)
        client.start()
        rules = Rules(own_ombra.client("iot"), client)
        topic = rules.make({"http": {"url": sink.url}})
        rules.confirm(sink)
        sink.answers[:] = [None]
        for n in range(20):
            rules.publish(topic, {"n": n})
        sink.posts(1)
        own_ombra.kill()
        client.client.loop_stop()
        sink.answers[:] = [200]
        own_ombra.start()
        wait_for(lambda: {it.json["n"] for it in sink.posts(1)} == set(range(20)), "all that was accepted")
        # In the order in which it was accepted, but for what was under way.
        assert [it.json["n"] for it in sink.posts(21)][1:] == list(range(20))


def test_a_sink_that_is_overrun_fails_what_finds_no_room_and_says_so(own_ombra, tmp_path):
    own_ombra.start()
    with HttpSink() as sink:
        client = Paho(Workshop(own_ombra, tmp_path / "devices").device(), mqtt.MQTTv5)
        client.start()
        rules = Rules(own_ombra.client("iot"), client)
        client.client.subscribe("errors", 1)
        client.next("subscribe")
        error = {"errorAction": {"republish": {"topic": "errors", "qos": 1, "roleArn": ROLE}}}
        topic = rules.make({"http": {"url": sink.url}}, **error)
        rules.confirm(sink)
        sink.answers[:] = [None]
        for n in range(1200):
            client.client.publish(topic, json.dumps({"n": n}), 0)
        failures = [json.loads(client.next("message").payload)["failures"][0] for _ in range(150)]
        assert "Too many messages wait" in failures[0]["errorMessage"]
        assert own_ombra.alive()
        client.client.disconnect()
        client.client.loop_stop()
