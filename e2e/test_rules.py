"""Topic rules as a fleet's owner meets them: made with boto3, heard over MQTT, republished to other devices, and kept over
a crash. What single actions do is in test_actions.py; what a sink does to a rule that is down is in test_sinks.py.
"""

import io
import json
import threading
import urllib.request
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from botocore.exceptions import ClientError

from house import PATIENCE, wait_for

ROLE = "arn:aws:iam::000000000000:role/rules"


def republish(topic: str, qos: int = 1) -> dict:
    """The action that publishes what was selected."""
    return {"republish": {"roleArn": ROLE, "topic": topic, "qos": qos}}


def make(iot, name: str, sql: str, *actions, **more) -> None:
    """A rule in the newer version of the language."""
    payload = {"sql": sql, "awsIotSqlVersion": "2016-03-23", "actions": list(actions), **more}
    iot.create_topic_rule(ruleName=name, topicRulePayload=payload)


def test_a_rule_is_what_it_was_made_as(iot):
    payload = {
        "sql": "SELECT temperature FROM 'made/+'", "description": "d", "awsIotSqlVersion": "2016-03-23",
        "actions": [republish("a/b", 0)], "errorAction": republish("errors", 1), "ruleDisabled": True,
    }
    iot.create_topic_rule(ruleName="made", topicRulePayload=payload, tags="k=v")
    got = iot.get_topic_rule(ruleName="made")
    assert got["ruleArn"] == "arn:aws:iot:us-east-1:000000000000:rule/made"
    rule = got["rule"]
    assert rule.pop("createdAt") and rule.pop("ruleName") == "made"
    assert rule == payload
    listed = iot.list_topic_rules(topic="made/+", ruleDisabled=True)["rules"]
    assert [rule["ruleName"] for rule in listed] == ["made"] and listed[0]["topicPattern"] == "made/+"
    iot.delete_topic_rule(ruleName="made")
    with pytest.raises(ClientError, match="UnauthorizedException"):
        iot.get_topic_rule(ruleName="made")


@pytest.mark.parametrize(("name", "payload", "error"), [
    ("has-hyphen", {"sql": "SELECT * FROM 'a'", "actions": []}, "InvalidRequestException"),
    ("bad", {"sql": "SELECT * FORM 'a'", "actions": []}, "SqlParseException"),
    ("bad", {"sql": "SELECT * FROM 'a'", "actions": [{}]}, "InvalidRequestException"),
    ("bad", {"sql": "SELECT * FROM 'a'", "actions": [{"iotEvents": {"inputName": "i", "roleArn": ROLE}}]},
     "NotImplementedException"),
])
def test_what_cannot_act_is_refused_when_it_is_made(iot, name, payload, error):
    with pytest.raises(ClientError) as refused:
        iot.create_topic_rule(ruleName=name, topicRulePayload=payload)
    assert refused.value.response["Error"]["Code"] == error
    assert name not in [rule["ruleName"] for rule in iot.list_topic_rules()["rules"]]


def test_a_device_hears_what_a_rule_makes_of_anothers_messages(iot, workshop):
    make(iot, "hot", "SELECT temperature AS t, topic(2) AS room, clientid() AS who FROM 'rooms/+' WHERE temperature > 50",
         republish("alarms/${topic(2)}"))
    sensor, siren = workshop.device("sensor").connect(), workshop.device("siren").connect()
    siren.subscribe("alarms/#")
    for temperature in (20, 60, 40, 70):
        sensor.publish("rooms/attic", json.dumps({"temperature": temperature}), qos=1)
    told = [siren.message() for _ in range(2)]
    assert [message.topic for message in told] == ["alarms/attic"] * 2
    assert [json.loads(message.payload) for message in told] == [
        {"t": 60, "room": "attic", "who": "sensor"}, {"t": 70, "room": "attic", "who": "sensor"},
    ]


def test_a_rule_reads_shadows_and_the_registry(iot, iot_data, workshop):
    workshop.device("keeper")
    iot_data.update_thing_shadow(thingName="keeper", payload=b'{"state":{"reported":{"limit":30}}}')
    make(iot, "asks",
         f"SELECT get_thing_shadow('keeper', '{ROLE}').state.reported.limit AS most, "
         f"get_registry_data('DescribeThing', 'keeper', '{ROLE}').thingName AS thing FROM 'ask'", republish("answer"))
    device = workshop.device("asker").connect()
    device.subscribe("answer")
    device.publish("ask", "{}", qos=0)
    assert json.loads(device.message().payload) == {"most": 30, "thing": "keeper"}


def test_a_statement_whose_function_fails_leaves_an_event(iot, workshop, ombra):
    make(iot, "fails", f"SELECT get_thing_shadow('nobody', '{ROLE}') AS s FROM 'fails'", republish("never"))
    device = workshop.device("failing").connect()
    device.publish("fails", "{}", qos=0)
    event = ombra.event("rule_failed", rule="fails")
    assert "get_thing_shadow" in event["reason"] and "nobody" in event["reason"]


def test_basic_ingest_costs_no_fan_out(iot, workshop):
    make(iot, "ingest", "SELECT v, topic() AS t FROM 'in/+'", republish("out"))
    device = workshop.device("ingester").connect()
    device.subscribe("out")
    device.publish("$aws/rules/ingest/in/1", json.dumps({"v": 1}), qos=1)
    assert json.loads(device.message().payload) == {"v": 1, "t": "in/1"}


def test_rules_outlive_a_crash_and_lose_nothing_that_was_accepted(own_ombra):
    """Each accepted message counts one up in a shadow's version; a crash in between loses none."""
    own_ombra.start()
    iot = own_ombra.client("iot")
    make(iot, "kept", "SELECT n AS state.reported.n FROM 'count'", republish("$$aws/things/counter/shadow/update"))
    data = own_ombra.client("iot-data")
    accepted = 0
    for _ in range(3):
        for _ in range(40):
            data.publish(topic="count", qos=1, payload=json.dumps({"n": accepted}).encode())
            accepted += 1
        own_ombra.kill()
        own_ombra.start()
        data = own_ombra.client("iot-data")

    def version():
        document = json.loads(data.get_thing_shadow(thingName="counter")["payload"].read())
        return document["version"] if document["state"]["reported"]["n"] == accepted - 1 else 0

    wait_for(lambda: version() >= accepted, "every accepted message reaches the shadow")


def test_a_destination_is_confirmed_by_opening_the_link_that_was_sent_to_it(iot):
    sent = []

    class Sink(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            sent.append((self.headers["x-amz-rules-engine-message-type"], json.loads(body)))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Sink) as sink:
        threading.Thread(target=sink.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{sink.server_port}/hook"
        made = iot.create_topic_rule_destination(
            destinationConfiguration={"httpUrlConfiguration": {"confirmationUrl": url}})["topicRuleDestination"]
        arn = made["arn"]
        assert made["status"] == "IN_PROGRESS"
        wait_for(lambda: sent, "the challenge")
        kind, challenge = sent.pop()
        assert kind == "DestinationConfirmation" and challenge["arn"] == arn
        with urllib.request.urlopen(challenge["enableUrl"], timeout=PATIENCE) as opened:
            assert opened.status == 200
        got = iot.get_topic_rule_destination(arn=arn)["topicRuleDestination"]
        assert got["status"] == "ENABLED" and got["httpUrlProperties"]["confirmationUrl"] == url
        iot.update_topic_rule_destination(arn=arn, status="IN_PROGRESS")
        wait_for(lambda: sent, "another challenge")
        iot.confirm_topic_rule_destination(confirmationToken=sent.pop()[1]["confirmationToken"])
        iot.update_topic_rule_destination(arn=arn, status="DISABLED")
        listed = iot.list_topic_rule_destinations()["destinationSummaries"]
        assert [one["status"] for one in listed if one["arn"] == arn] == ["DISABLED"]
        iot.delete_topic_rule_destination(arn=arn)
        sink.shutdown()


def test_a_rule_is_replaced_disabled_and_enabled(iot, workshop):
    make(iot, "switched", "SELECT 1 AS v FROM 'switch'", republish("switched"))
    device = workshop.device("switcher").connect()
    device.subscribe("switched")
    iot.disable_topic_rule(ruleName="switched")
    device.publish("switch", "{}", qos=1)
    iot.enable_topic_rule(ruleName="switched")
    device.publish("switch", "{}", qos=1)
    assert json.loads(device.message().payload) == {"v": 1}
    payload = {"sql": "SELECT 2 AS v FROM 'switch'", "awsIotSqlVersion": "2016-03-23", "actions": [republish("switched")]}
    iot.replace_topic_rule(ruleName="switched", topicRulePayload=payload)
    device.publish("switch", "{}", qos=1)
    assert json.loads(device.message().payload) == {"v": 2}


def test_a_function_is_invoked_only_by_rules_that_its_own_policy_names(iot, workshop, ombra):
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr("f.py", "def handler(event, context):\n    return event\n")
    role = "arn:aws:iam::000000000000:role/unwelcome"
    trust = {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
    ombra.client("iam").create_role(RoleName="unwelcome", AssumeRolePolicyDocument=json.dumps(trust))
    function = ombra.client("lambda").create_function(
        FunctionName="unwelcome", Runtime="python3.11", Role=role, Handler="f.handler",
        Code={"ZipFile": package.getvalue()})["FunctionArn"]
    make(iot, "intruder", "SELECT * FROM 'intrude'", {"lambda": {"functionArn": function}})
    make(iot, "asker", f"SELECT aws_lambda('{function}', {{}}) AS x FROM 'intrude'", republish("never"))
    device = workshop.device("intruding").connect()
    device.publish("intrude", "{}", qos=1)
    for rule, action in (("intruder", "LambdaAction"), ("asker", "")):
        assert "lambda:InvokeFunction" in ombra.event("rule_failed", rule=rule, action=action)["reason"]
