"""The explained refusal: `ombra why` and `/_ombra/why` about what Paho clients and HTTPS callers were refused, and patches pasted
into a shell with the stock AWS CLI.

Exit codes are part of the contract: 0 explained, 1 nothing to explain, 2 cannot be meant, 3 nobody there to ask.
"""

import http.client
import json
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from botocore.exceptions import ClientError

from devices import arn
from house import ACCOUNT, PATIENCE, plain_environment, run
from test_identity import allow, exchange, served, signed, user  # noqa: F401
from test_paho import Paho

NOT_AUTHORIZED = 0x87


def statement(effect: str, action, resource, **more) -> dict:
    """One statement."""
    return {"Effect": effect, "Action": action, "Resource": resource, **more}


def policy(*statements: dict) -> dict:
    """A document of these statements."""
    return {"Version": "2012-10-17", "Statement": list(statements)}


def why(ombra, *words: str, code: int = 0):
    """What `ombra why` prints, and what it says beside it."""
    done = run("why", "--data", ombra.data, *words, env=plain_environment())
    assert done.returncode == code, done.stdout + done.stderr
    assert "panicked" not in done.stderr
    return done


def explained(ombra, *words: str) -> dict:
    """The same as JSON."""
    return json.loads(why(ombra, *words, "-o", "json").stdout)


def paste(ombra, patch: dict):
    """Type the commands of a patch where `ombra env` has been evaluated, and an AWS CLI is at hand."""
    environment = ombra.environment()
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    script = " && ".join(patch["commands"])
    done = subprocess.run(["sh", "-c", script], env=environment, capture_output=True, text=True, timeout=4 * PATIENCE)
    assert done.returncode == 0, script + done.stderr


@pytest.mark.timeout(120)
def test_a_refused_publish_is_explained_and_its_patch_helps(ombra, workshop):
    me = arn("topic/${iot:Connection.Thing.ThingName}/*")
    device = workshop.device("lamp", policy(statement("Allow", "iot:Connect", "*"), statement("Allow", "iot:Publish", me)))
    with Paho(device, mqtt.MQTTv5) as paho:
        assert paho.publish("hall/on's $aws*") == NOT_AUTHORIZED
        told = explained(ombra, "lamp")
        refusal, because = told["refusal"], told["why"]
        assert (refusal["client_id"], refusal["decision"]) == ("lamp", "IMPLICIT_DENY")
        assert because["principal"]["id"] == device.certificate_id
        assert (because["principal"]["status"], because["principal"]["validity"]) == ("ACTIVE", "valid")
        assert because["thing"]["name"] == "lamp"
        assert [(it["name"], it["through"]) for it in because["policies"]] == [(device.policy, "certificate")]
        assert [it["failed"] for it in because["statements"]] == [["action"], ["resource"]]
        assert because["variables"] == [{"name": "iot:Connection.Thing.ThingName", "value": "lamp"}]
        assert because["missing"] == {"action": "iot:Publish", "resource": arn("topic/hall/on's $aws${*}")}
        lines = why(ombra, "lamp").stdout
        for words in ("IMPLICIT_DENY iot:Publish on ", "lamp: the certificate is attached to it",
                      "does not apply: resource", f"{device.policy} version 1, through certificate", "missing", "patch"):
            assert words in lines, words
        paste(ombra, because["patch"])
        assert paho.publish("hall/on's $aws*") == 0
        assert paho.publish("hall/on's $awsx") == NOT_AUTHORIZED, "the patch allows nothing more"
    by_certificate = explained(ombra, device.certificate_id)
    assert by_certificate["refusal"]["resource"] == arn("topic/hall/on's $awsx")
    assert [it["resource"] for it in by_certificate["also"]] == [arn("topic/hall/on's $aws*")]
    assert explained(ombra, "--last")["refusal"] == by_certificate["refusal"] == explained(ombra)["refusal"]


def test_what_has_changed_since_is_said(ombra, iot, workshop):
    device = workshop.device("late", policy(statement("Deny", "iot:Connect", "*")))
    paho = Paho(device, mqtt.MQTTv5)
    assert paho.start()[1].value == NOT_AUTHORIZED
    told = explained(ombra, "late")
    assert told["refusal"]["statement"] == f"{device.policy}#0" and told["why"]["decision"] == "EXPLICIT_DENY"
    allow = json.dumps(policy(statement("Allow", "iot:Connect", "*")))
    iot.create_policy_version(policyName=device.policy, policyDocument=allow, setAsDefault=True)
    told = explained(ombra, "late")
    assert (told["refusal"]["decision"], told["why"]["decision"]) == ("EXPLICIT_DENY", "ALLOWED")
    assert "it would be allowed: something has changed since" in why(ombra, "late").stdout


@pytest.mark.timeout(120)
def test_a_thing_that_the_client_is_not_is_named_and_the_patch_attaches_it(ombra, workshop):
    only = policy(statement("Allow", "iot:Connect", arn("client/${iot:Connection.Thing.ThingName}")))
    device = workshop.device("bulb", only)
    paho = Paho(device, mqtt.MQTTv5, client_id="bulb-2")
    assert paho.start()[1].value == NOT_AUTHORIZED
    because = explained(ombra, "bulb-2")["why"]
    assert because["thing"] == {
        "name": None, "because": "the certificate is attached to bulb, and the client id is the name of none of them: bulb-2",
    }
    assert because["variables"] == [{"name": "iot:Connection.Thing.ThingName", "empty": "has no value: no thing belongs to the connection"}]
    paste(ombra, because["patch"])
    with Paho(device, mqtt.MQTTv5, client_id="bulb-2"):
        pass


@pytest.mark.timeout(120)
def test_a_certificate_that_is_not_active_is_the_reason(ombra, workshop):
    device = workshop.device("asleep", active=False)
    paho = Paho(device, mqtt.MQTTv5)
    assert paho.start()[1].value == NOT_AUTHORIZED
    because = explained(ombra, "asleep")["why"]
    assert (because["decision"], because["principal"]["status"]) == ("INACTIVE", "INACTIVE")
    paste(ombra, because["patch"])
    with Paho(device, mqtt.MQTTv5):
        pass


def test_a_message_that_may_not_be_received_and_a_filter_are_explained(ombra, workshop):
    deaf = workshop.device("deaf", policy(
        statement("Allow", "iot:Connect", "*"),
        statement("Allow", ["iot:Subscribe", "iot:Receive"], arn("topicfilter/news/*")),
    ))
    speaker = workshop.device("speaker")
    with Paho(deaf, mqtt.MQTTv5) as ear, Paho(speaker, mqtt.MQTTv5) as mouth:
        assert ear.subscribe("news/#", "else") == [1, NOT_AUTHORIZED]
        assert explained(ombra, "deaf")["refusal"]["action"] == "iot:Subscribe"
        assert mouth.publish("news/today") == 0
        ombra.event(action="iot:Receive", client_id="deaf", resource=arn("topic/news/today"))
        told = explained(ombra, "deaf")
        assert told["refusal"]["action"] == "iot:Receive"
        assert [it["action"] for it in told["also"]] == ["iot:Subscribe"]
        codes = {warning["code"] for warning in told["why"]["policies"][0]["warnings"]}
        assert "never-matches" in codes, "iot:Receive on a topicfilter grants nothing"
        assert "never on a topicfilter" in why(ombra, "deaf").stdout


def test_a_call_over_https_is_explained_by_its_certificate(ombra, workshop):
    device = workshop.device("caller", policy(statement("Allow", "iot:Publish", arn("topic/a"))))
    port = ombra.address("tls")[1]
    connection = http.client.HTTPSConnection("localhost", port, timeout=PATIENCE, context=device.context())
    connection.request("POST", "/topics/b?qos=0", b"x")
    assert connection.getresponse().status == 403
    connection.close()
    because = explained(ombra, device.certificate_id)["why"]
    assert (because["action"], because["resource"]) == ("iot:Publish", arn("topic/b"))
    assert because["thing"]["because"] == "no thing belongs to a request over HTTP"


def test_a_quota_and_a_reserved_topic_have_reasons_of_their_own(ombra, workshop):
    device = workshop.device("curious")
    with Paho(device, mqtt.MQTTv5) as paho:
        assert paho.publish("$aws/rules") != 0
    told = explained(ombra, "curious")
    assert told["why"] is None and told["refusal"]["decision"] == "RESERVED_TOPIC"
    assert told["refusal"]["reason"] in why(ombra, "curious").stdout


def test_what_nobody_tried_can_be_asked(ombra, iot, workshop):
    device = workshop.device("asked", policy(statement("Allow", "iot:Connect", "*")))
    for words, decision in (
        (("asked", "--action", "iot:Connect", "--resource", "client/asked"), "ALLOWED"),
        (("asked", "--action", "iot:Publish", "--resource", "topic/a"), "IMPLICIT_DENY"),
        (("x", "--principal", device.certificate_arn, "--action", "iot:Connect", "--resource", arn("client/x")), "ALLOWED"),
    ):
        assert explained(ombra, *words)["why"]["decision"] == decision, words
    assert why(ombra, "asked", "--action", "iot:Publish", "--resource", "topic/a").stdout.startswith("IMPLICIT_DENY iot:Publish on ")


def test_policies_come_through_groups_by_name(ombra, iot, workshop):
    device = workshop.device("member")
    iot.create_thing_group(thingGroupName="why-root")
    hall = iot.create_thing_group(thingGroupName="why-hall", parentGroupName="why-root")
    iot.add_thing_to_thing_group(thingGroupName="why-hall", thingName="member")
    document = json.dumps(policy(statement("Deny", "iot:Publish", arn("topic/alarm"), Sid="Quiet")))
    iot.create_policy(policyName="quiet", policyDocument=document)
    iot.attach_policy(policyName="quiet", target=hall["thingGroupArn"].replace("why-hall", "why-root"))
    with Paho(device, mqtt.MQTTv5) as paho:
        assert paho.publish("alarm") == NOT_AUTHORIZED
    told = explained(ombra, "member")
    assert told["refusal"]["statement"] == "quiet#0 (Quiet)"
    assert told["why"]["thing"]["groups"] == ["why-hall", "why-root > why-hall"]
    through = {it["name"]: it["through"] for it in told["why"]["policies"]}
    assert through["quiet"] == "thing group why-root > why-hall"


def test_what_iam_refuses_is_explained_by_the_policies_of_iam(served):
    keys = user(served, "clerk", allow("iot:DescribeThing", arn("thing/*")))
    with pytest.raises(ClientError, match="iot:CreateThing"):
        served.client("iot", **keys).create_thing(thingName="lamp")
    done = served.ombra("why", "-o", "json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    clerk = f"arn:aws:iam::{ACCOUNT}:user/clerk"
    assert (told["refusal"]["principal"], told["refusal"]["decision"]) == (clerk, "IMPLICIT_DENY")
    because = told["why"]
    assert (because["principal"]["kind"], because["principal"]["id"], because["decision"]) == ("user", "clerk", "IMPLICIT_DENY")
    assert because["statements"][0]["failed"][0] == "action" and "clerk" in because["policies"][0]["through"]
    assert because["missing"] == {"action": "iot:CreateThing", "resource": arn("thing/lamp")}
    assert because["patch"]["commands"][0].startswith("aws iam put-user-policy --user-name clerk ")
    # What befell others is for the root alone.
    asked = signed(served, keys, "GET", "/_ombra/why")
    assert exchange(served, "GET", "/_ombra/why", asked).status == 403
    assert exchange(served, "GET", "/_ombra/why", {}).status == 403


def test_an_action_without_its_service_is_no_question(ombra):
    asked = run("why", "lamp", "--action", "Publish", "--resource", "topic/a", "--data", ombra.data)
    assert asked.returncode == 1 and "iot:Publish" in asked.stderr


def test_nothing_to_explain_is_said_kindly(ombra, own_ombra):
    said = why(ombra, "nobody-of-this-name", code=1).stderr
    assert "nothing has been refused to nobody-of-this-name" in said and "Exception" not in said
    own_ombra.start()
    assert "nothing has been refused since ombra started" in why(own_ombra, code=1).stderr
    why(ombra, "x", "--action", "iot:Publish", code=2)
    own_ombra.stop()
    why(own_ombra, "lamp", code=3)


def ask(ombra, method: str, path: str = "/_ombra/why", body=None, content="application/json") -> tuple[int, dict]:
    """One request of a console."""
    request = urllib.request.Request(ombra.url + path, body, {"content-type": content}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_a_console_asks_the_same(ombra, workshop):
    device = workshop.device("console")
    question = {"principal": device.certificate_id, "client_id": "console", "action": "iot:Connect", "resource": "client/console"}
    status, told = ask(ombra, "POST", body=json.dumps(question).encode())
    assert (status, told["why"]["decision"]) == (200, "ALLOWED")
    assert ask(ombra, "GET", "/_ombra/why?client=nobody%20here")[0] == 404
    for body in (b"", b"{}", b"[]", b'{"action": "iot:Publish", "resource": "topic/a", "more": 1}', b"\xff"):
        assert ask(ombra, "POST", body=body)[0] == 400, body
    assert ask(ombra, "POST", body=json.dumps(dict(question, resource="a" * 5000)).encode())[0] == 400
    assert ask(ombra, "POST", body=b"x" * 100_000)[0] == 413
    assert ask(ombra, "POST", body=json.dumps(question).encode(), content="text/plain")[0] == 415
    assert ask(ombra, "DELETE")[0] == 405
    assert ombra.alive()


def test_a_file_is_checked_without_a_server(tmp_path):
    def check(text: str, code: int, *words: str):
        (tmp_path / "p.json").write_text(text)
        done = run("policy", "check", "p.json", *words, cwd=tmp_path, env=plain_environment())
        assert done.returncode == code, done.stdout + done.stderr
        return done

    good = policy(statement("Allow", "iot:Publish", arn("topic/a")))
    assert check(json.dumps(good), 0).stdout == "p.json: a policy, and nothing strikes in it\n"
    wide = json.dumps(policy(statement("Allow", "iot:*", "*")))
    assert "[everything]" in check(wide, 0).stdout
    assert [it["code"] for it in json.loads(check(wide, 0, "-o", "json").stdout)["warnings"]] == ["everything"]
    elsewhere = json.loads(check(json.dumps(good), 0, "-o", "json", "--region", "eu-west-1").stdout)
    assert [it["code"] for it in elsewhere["warnings"]] == ["elsewhere"]
    bad = check('{\n  "Version": "2012-10-17",\n  "Statment": []}', 1)
    assert "p.json: line 3, column 3: `Statment` is not part of a policy" in bad.stderr
    assert json.loads(check("{", 1, "-o", "json").stdout) == {
        "valid": False, "message": "expected a key in double quotes, found the end of the text", "line": 1, "column": 2,
    }
    assert run("policy", "check", "nothing.json", cwd=tmp_path, env=plain_environment()).returncode == 2
