"""Policies as stock clients manage them, and as they act: what `TestAuthorization` says is what the broker does, policies reach
devices through thing groups, and a change of any of them acts on live connections within a second.
"""

import json
import time

import pytest
from botocore.exceptions import ClientError

from devices import arn
from packets import V5
from test_https import ask

NOT_AUTHORIZED = 0x87


def statement(effect: str, action, *resources: str, **more) -> dict:
    """One statement about resources of the account."""
    return {"Effect": effect, "Action": action, "Resource": [arn(resource) for resource in resources], **more}


def document(*statements: dict) -> str:
    """A document of these statements."""
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


ME = "${iot:Connection.Thing.ThingName}"

#: What a device is asked about: an action and a resource, with the name of the thing in braces.
QUESTIONS = [
    ("CONNECT", "client/{}"),
    ("PUBLISH", "topic/{}/state"),
    ("PUBLISH", "topic/{}/secret/state"),
    ("PUBLISH", "topic/other/state"),
    ("PUBLISH", "topic/hall/light"),
    ("PUBLISH", "topic/hall/alarm"),
    ("SUBSCRIBE", "topicfilter/{}/#"),
    ("SUBSCRIBE", "topicfilter/+/state"),
    ("SUBSCRIBE", "topicfilter/hall/+"),
    ("RECEIVE", "topic/{}/state"),
    ("RECEIVE", "topic/hall/light"),
]


@pytest.fixture(scope="module")
def member(iot, workshop):
    """A thing with policies on its certificate, on its group, and on the group above."""
    device = workshop.device("member", json.loads(document(
        statement("Allow", "iot:Connect", f"client/{ME}"),
        statement("Allow", ["iot:Publish", "iot:Receive"], f"topic/{ME}/*"),
        statement("Deny", "iot:Publish", f"topic/{ME}/secret/*"),
        statement("Allow", "iot:Subscribe", f"topicfilter/{ME}/*"),
    )))
    root = iot.create_thing_group(thingGroupName="root")["thingGroupArn"]
    hall = iot.create_thing_group(thingGroupName="hall", parentGroupName="root")["thingGroupArn"]
    iot.add_thing_to_thing_group(thingGroupName="hall", thingName="member")
    for name, target, text in (
        ("hall-talks", hall, document(statement("Allow", ["iot:Publish", "iot:Receive"], "topic/hall/*"),
                                      statement("Allow", "iot:Subscribe", "topicfilter/hall/*"))),
        ("root-forbids", root, document(statement("Deny", "iot:Publish", "topic/hall/alarm"))),
    ):
        iot.create_policy(policyName=name, policyDocument=text)
        iot.attach_policy(policyName=name, target=target)
    return device


def broker_says(device, action: str, resource: str) -> bool:
    """Whether the broker lets a device do it."""
    with device.wire(V5) as wire:
        answer = wire.connect(device.name)
        if action == "CONNECT" or answer.reason != 0:
            return answer.reason == 0
        name = resource.split("/", 1)[1]
        if action == "PUBLISH":
            return wire.publish(name, "x").reason == 0
        return wire.subscribe(name, qos=1) == [1]


def test_what_is_answered_beforehand_is_what_the_broker_does(iot, member):
    questions = [(action, resource.format("member")) for action, resource in QUESTIONS]
    decisions = {}
    for at in range(0, len(questions), 10):
        asked = [{"actionType": action, "resources": [arn(resource)]} for action, resource in questions[at:at + 10]]
        told = iot.test_authorization(principal=member.certificate_arn, clientId="member", authInfos=asked)
        for question, result in zip(questions[at:at + 10], told["authResults"], strict=True):
            decisions[question] = result["authDecision"]
            assert result["missingContextValues"] == []
    for (action, resource), decision in decisions.items():
        if action != "RECEIVE":
            time.sleep(1.05)  # AWS wants a second between two connections of a client
            assert broker_says(member, action, resource) == (decision == "ALLOWED"), (action, resource, decision)
    assert list(decisions.values()).count("ALLOWED") == 7
    assert list(decisions.values()).count("EXPLICIT_DENY") == 2


def test_the_policies_that_count_are_listed_from_all_sides(iot, member):
    names = lambda policies: sorted(policy["policyName"] for policy in policies)  # noqa: E731
    effective = iot.get_effective_policies(principal=member.certificate_arn, thingName="member")["effectivePolicies"]
    assert names(effective) == sorted([member.policy, "hall-talks", "root-forbids"])
    assert all(json.loads(policy["policyDocument"])["Statement"] for policy in effective)
    hall = arn("thinggroup/hall")
    assert names(iot.list_attached_policies(target=hall)["policies"]) == ["hall-talks"]
    assert names(iot.list_attached_policies(target=hall, recursive=True)["policies"]) == ["hall-talks", "root-forbids"]
    assert iot.list_targets_for_policy(policyName="hall-talks")["targets"] == [hall]
    tried = iot.test_authorization(
        principal=member.certificate_arn, clientId="member", policyNamesToSkip=["root-forbids"],
        authInfos=[{"actionType": "PUBLISH", "resources": [arn("topic/hall/alarm")]}],
    )["authResults"][0]
    assert tried["authDecision"] == "ALLOWED" and names(tried["allowed"]["policies"]) == ["hall-talks"]


def test_a_change_through_a_group_acts_on_a_live_connection_within_a_second(iot, workshop):
    device = workshop.device("watched", json.loads(document(statement("Allow", "iot:Connect", "client/*"))))
    top = iot.create_thing_group(thingGroupName="top")["thingGroupArn"]
    iot.create_thing_group(thingGroupName="below", parentGroupName="top")
    iot.add_thing_to_thing_group(thingGroupName="below", thingName="watched")
    iot.create_policy(policyName="of-top", policyDocument=document(statement("Allow", "iot:Publish", "topic/a")))
    changes = [
        (lambda: iot.attach_policy(policyName="of-top", target=top), 0),
        (lambda: iot.remove_thing_from_thing_group(thingGroupName="below", thingName="watched"), NOT_AUTHORIZED),
        (lambda: iot.add_thing_to_thing_group(thingGroupName="below", thingName="watched"), 0),
        (lambda: iot.create_policy_version(
            policyName="of-top", policyDocument=document(statement("Deny", "iot:Publish", "topic/a")), setAsDefault=True,
        ), NOT_AUTHORIZED),
        (lambda: iot.set_default_policy_version(policyName="of-top", policyVersionId="1"), 0),
        (lambda: iot.detach_policy(policyName="of-top", target=top), NOT_AUTHORIZED),
    ]
    with device.connect(V5) as wire:
        assert wire.publish("a").reason == NOT_AUTHORIZED
        for change, reason in changes:
            change()
            began = time.monotonic()
            assert wire.publish("a").reason == reason
            assert time.monotonic() - began < 1


def test_a_version_that_denies_cuts_every_live_connection_off_within_a_second(iot, workshop):
    devices = [workshop.device() for _ in range(5)]
    shared = document(statement("Allow", "iot:Connect", "client/*"))
    iot.create_policy(policyName="shared", policyDocument=shared)
    for device in devices:
        iot.attach_policy(policyName="shared", target=device.certificate_arn)
    wires = [device.connect(V5) for device in devices]
    deny = document(statement("Deny", "iot:Connect", "client/*"))
    iot.create_policy_version(policyName="shared", policyDocument=deny, setAsDefault=True)
    began = time.monotonic()
    assert [wire.closed().reason for wire in wires] == [NOT_AUTHORIZED] * len(wires)
    assert time.monotonic() - began < 1


def test_the_host_name_a_client_asked_for_can_be_named_in_a_policy(ombra, workshop):
    for name, allowed in (("localhost", True), ("elsewhere.example", False)):
        named = {"Condition": {"StringEquals": {"iot:DomainName": name}}}
        device = workshop.device(policy=json.loads(document(statement("Allow", "iot:*", **named) | {"Resource": "*"})))
        with device.wire(V5) as wire:
            assert (wire.connect(device.name).reason == 0) == allowed, name
        assert (ask(ombra, device.context(), "POST", "/topics/a?qos=0", b"x")[0] == 200) == allowed, name
        if not allowed:
            refusals = ombra.events(principal=device.certificate_id)
            assert [event["given"]["iot:DomainName"] for event in refusals if event["action"] != "iot:Receive"] == [["localhost"]] * 2


def refused(code: str, call, **arguments) -> str:
    """The message of a call that is refused with this code."""
    with pytest.raises(ClientError) as refusal:
        call(**arguments)
    assert refusal.value.response["Error"]["Code"] == code
    return refusal.value.response["Error"]["Message"]


def test_limits_are_kept_by_name(iot, workshop):
    device = workshop.device("greedy")
    group = iot.create_thing_group(thingGroupName="greedy")["thingGroupArn"]
    for number in range(10):
        iot.create_policy(policyName=f"greedy-{number}", policyDocument=document(statement("Allow", "iot:Receive", "topic/a")))
    attach = lambda number, target: iot.attach_policy(policyName=f"greedy-{number}", target=target)  # noqa: E731
    for number in range(9):
        attach(number, device.certificate_arn)
    refused("LimitExceededException", iot.attach_policy, policyName="greedy-9", target=device.certificate_arn)
    attach(0, group)
    attach(1, group)
    attach(1, group)
    refused("LimitExceededException", iot.attach_policy, policyName="greedy-2", target=group)


def test_a_malformed_document_is_refused_where_it_goes_wrong(ombra, iot):
    text = '{\n  "Version": "2012-10-17",\n  "Statement": [{"Effect": "Allow", "Action": "iot:Publish"}]}'
    message = refused("MalformedPolicyException", iot.create_policy, policyName="bad", policyDocument=text)
    assert "line 3, column 17" in message and "Resource" in message, message
    long = document(statement("Allow", "iot:Publish", *[f"topic/{number:04}" for number in range(60)]))
    message = refused("MalformedPolicyException", iot.create_policy, policyName="bad", policyDocument=long)
    assert "at most 2048 characters" in message


def test_what_strikes_in_a_policy_is_an_event(ombra, iot):
    text = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:*", "Resource": "*"}]})
    iot.create_policy(policyName="wide", policyDocument=text)
    event = ombra.event("policy_warning", policy="wide")
    assert (event["version"], event["statement"], event["code"]) == (1, 0, "everything")
