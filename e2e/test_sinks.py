"""What becomes of accepted messages when the sink of a rule is down, or the server dies while it is stuck: none is lost, each is
told once it has failed for good, and order is kept. What single actions do is in test_actions.py.
"""

import base64
import json
import urllib.request

from devices import Workshop
from house import ACCOUNT, Ombra, wait_for
from sinks import HttpSink

ROLE = f"arn:aws:iam::{ACCOUNT}:role/rules"


def rule_to(ombra: Ombra, sink: HttpSink, name: str, **more) -> None:
    """A rule that sends what is published on its name to a sink which wants it."""
    action = {"http": {"url": sink.url}}
    payload = {"sql": f"SELECT * FROM '{name}'", "awsIotSqlVersion": "2016-03-23", "actions": [action], **more}
    ombra.client("iot").create_topic_rule(ruleName=name, topicRulePayload=payload)
    challenge = wait_for(lambda: [it for it in sink.seen if it.path.startswith("/?confirmationToken=")], "a challenge")
    urllib.request.urlopen(challenge[-1].json["enableUrl"]).close()


def test_every_message_for_a_sink_that_is_down_reaches_the_error_action_in_order(own_ombra, tmp_path):
    own_ombra.start()
    device = Workshop(own_ombra, tmp_path / "devices").device("reporter").connect()
    device.subscribe("errors")
    with HttpSink() as sink:
        rule_to(own_ombra, sink, "down",
                errorAction={"republish": {"topic": "errors", "qos": 1, "roleArn": ROLE}})
    for n in range(5):
        device.publish("down", json.dumps({"n": n}), qos=1)
    told = [json.loads(device.message_on("errors").payload) for _ in range(5)]
    assert [json.loads(base64.b64decode(error["base64OriginalPayload"]))["n"] for error in told] == list(range(5))
    for error in told:
        assert (error["ruleName"], error["topic"], error["clientId"]) == ("down", "down", "reporter")
        [failure] = error["failures"]
        assert failure["failedAction"] == "HttpAction" and failure["failedResource"] == sink.url
        assert failure["errorMessage"] and error["cloudwatchTraceId"] and error["sourceIp"] == "127.0.0.1"


def test_a_crash_while_a_sink_is_stuck_loses_nothing_that_was_accepted(own_ombra):
    own_ombra.start()
    with HttpSink() as sink:
        rule_to(own_ombra, sink, "stuck")
        sink.answers[:] = [None]
        data = own_ombra.client("iot-data")
        for n in range(30):
            data.publish(topic="stuck", qos=1, payload=json.dumps({"n": n}).encode())
        assert [it.json["n"] for it in sink.posts(1)] == [0], "the others wait for the first"
        own_ombra.kill()
        before = len(sink.posts(1))
        sink.answers[:] = [200]
        own_ombra.start()
        after = [it.json["n"] for it in sink.posts(before + 30)][before:]
        assert after == list(range(30)), "the first is sent once more, and all of them in order"
        own_ombra.kill()
        own_ombra.start()
        own_ombra.client("iot-data").publish(topic="stuck", qos=1, payload=b'{"n":"last"}')
        final = wait_for(lambda: sink.posts(1) if sink.posts(1)[-1].json["n"] == "last" else None, "the last")
        # What was done is forgotten in batches, so some of it may come again after a crash: at least once, not exactly.
        assert set(range(30)) | {"last"} == {it.json["n"] for it in final}
