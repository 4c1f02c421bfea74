"""Ways around a policy that somebody with a certificate of their own might try over MQTT, and what stands in each.

The victim is a device under a least-privilege policy with something to hide; the intruder is registered too, and has more
rights than most devices get. Each attempt is refused, leaves an event, and the victim notices nothing. The ways over HTTP are in
`test_identity.py`.
"""

import http.client
import json

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from devices import ALLOW_ALL, arn, own_topics
from house import PATIENCE, REGION
from packets import V5, V311, Closed, Will, publish

VERSIONS = [V311, V5]
NOT_AUTHORIZED, TOPIC_NAME_INVALID = 0x87, 0x90
REFUSED = {V311: 0x80, V5: NOT_AUTHORIZED}
SECRET = "victim/secret"


def policy(*statements: dict) -> dict:
    """A document of these statements."""
    return dict(ALLOW_ALL, Statement=list(statements))


def allow(action, *resources: str) -> dict:
    """An Allow; of everything if nothing is named."""
    return {"Effect": "Allow", "Action": action, "Resource": [arn(it) for it in resources] or "*"}


def deny(action, *resources: str) -> dict:
    """A Deny."""
    return {"Effect": "Deny", "Action": action, "Resource": [arn(it) for it in resources]}


@pytest.fixture(scope="module")
def victim(workshop):
    """May do everything as itself, and nothing else."""
    return workshop.device("victim", own_topics())


@pytest.fixture(scope="module")
def patient(victim):
    """The victim, connected for as long as the module lasts."""
    with victim.connect() as wire:
        assert wire.subscribe("victim/#", victim.shadow("#"), qos=1) == [1, 1]
        yield wire


@pytest.fixture(autouse=True)
def undisturbed(patient):
    """After each test: the victim is still connected and nobody has spoken to it."""
    yield
    patient.ping()
    assert patient.inbox == []


def turned_away(device, client_id, version=V5, **options) -> bool:
    """Whether a connection comes to nothing."""
    with device.wire(version) as wire:
        try:
            return wire.connect(client_id, **options).reason != 0
        except Closed:
            return True


def told(ombra, device, action, resource):
    """The event of a refusal, whole."""
    event = ombra.event(action=action, principal=device.certificate_id, resource=arn(resource))
    assert event["decision"] in ("IMPLICIT_DENY", "EXPLICIT_DENY") and event["reason"], event
    return event


# Being somebody else.


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("client_id", ["victim", "victim ", " victim", "Victim", "victim/", "v\u0456ctim", "*", "${iot:ClientId}"])
def test_a_client_id_that_is_not_the_things_own_is_turned_away(ombra, workshop, version, client_id):
    intruder = workshop.device(policy=own_topics())
    assert turned_away(intruder, client_id, version)
    reserved = client_id.startswith("$")
    decision = ombra.event(action="iot:Connect", principal=intruder.certificate_id)["decision"]
    assert decision == ("CLIENT_ID" if reserved else "IMPLICIT_DENY")


def test_attributes_do_not_make_a_thing_another(ombra, iot, workshop):
    name = workshop.fresh("impostor")
    iot.create_thing(thingName=name, attributePayload={"attributes": {"ThingName": "victim", "thingName": "victim"}})
    intruder = workshop.device(name, own_topics(), thing=False)
    iot.attach_thing_principal(thingName=name, principal=intruder.certificate_arn)
    with intruder.connect(V5) as wire:
        assert wire.publish(SECRET, "forged").reason == NOT_AUTHORIZED
        assert wire.subscribe("victim/#") == [NOT_AUTHORIZED]
    told(ombra, intruder, "iot:Publish", f"topic/{SECRET}")


def test_a_thing_that_the_certificate_does_not_belong_to_lends_it_nothing(ombra, workshop):
    anybody = policy(
        allow("iot:Connect"), allow("iot:Publish", "topic/${iot:Connection.Thing.ThingName}/secret"),
    )
    intruder = workshop.device(policy=anybody)
    # As the victim it would be thrown out soon; under any name that is not its thing's it is no thing at all.
    with intruder.connect(V5, client_id="nobody") as wire:
        assert wire.publish("/secret", "forged").reason == NOT_AUTHORIZED
        assert wire.publish("nobody/secret", "forged").reason == NOT_AUTHORIZED
    told(ombra, intruder, "iot:Publish", "topic/nobody/secret")


@pytest.mark.parametrize("client_id", ["+", "#", "*", "victim/#"])
@pytest.mark.parametrize("version", VERSIONS)
def test_a_client_id_with_wildcards_opens_nothing(ombra, workshop, patient, version, client_id):
    intruder = workshop.device(policy=policy(
        allow(["iot:Connect", "iot:Receive"]),
        allow("iot:Subscribe", "topicfilter/${iot:ClientId}/secret", "topicfilter/${iot:ClientId}"),
        allow("iot:Publish", "topic/${iot:ClientId}/secret"),
    ))
    wanted = ["+/secret", "#", "victim/#", SECRET]
    with intruder.connect(version, client_id=client_id) as wire:
        assert wire.subscribe(*wanted) == [REFUSED[version]] * len(wanted)
        patient.publish(SECRET, "private")
        assert patient.message_on(SECRET).payload == b"private"
        wire.ping()
        assert wire.inbox == []
    ombra.event(action="iot:Subscribe", principal=intruder.certificate_id)


# Hearing what is not for one.


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("filters", [["$share/g/victim/secret"], ["$share/g/victim/#", "$share/g/#", "$share/g/+/secret"]])
def test_a_shared_subscription_does_not_lead_around_a_denial(ombra, workshop, patient, version, filters):
    """A filter that a Deny names is refused in a group too; a wider one hears only what may be received."""
    intruder = workshop.device(policy=policy(
        allow("iot:*"), deny("iot:Subscribe", "topicfilter/victim/*"), deny("iot:Receive", "topic/victim/*"),
    ))
    with intruder.connect(version) as wire:
        answer = dict(zip(filters, wire.subscribe(*filters)))
        assert answer[filters[0]] == REFUSED[version], answer
        patient.publish(SECRET, "private")
        assert patient.message_on(SECRET).payload == b"private"
        wire.ping()
        assert wire.inbox == []
    told(ombra, intruder, "iot:Subscribe", f"topicfilter/{filters[0].removeprefix('$share/g/')}")


def test_a_group_is_named_as_a_whole_where_it_is_allowed(ombra, workshop):
    intruder = workshop.device(policy=policy(
        allow(["iot:Connect", "iot:Receive", "iot:Publish"]), allow("iot:Subscribe", "topicfilter/own/*"),
    ))
    with intruder.connect(V5) as wire:
        assert wire.subscribe("own/a", "$share/own/victim/secret", "$share/own/own/a") == [0, NOT_AUTHORIZED, NOT_AUTHORIZED]
    told(ombra, intruder, "iot:Subscribe", "topicfilter/$share/own/victim/secret")


@pytest.mark.parametrize("filter_", ["#", "+/secret", "victim/+", "$aws/things/victim/#", "$aws/things/+/shadow/#", "$aws/#"])
def test_a_filter_is_allowed_only_as_it_is_written(ombra, workshop, filter_):
    intruder = workshop.device(policy=own_topics())
    with intruder.connect(V5) as wire:
        assert wire.subscribe(filter_) == [NOT_AUTHORIZED]
    told(ombra, intruder, "iot:Subscribe", f"topicfilter/{filter_}")


@pytest.mark.parametrize("filters", [["#"], ["+/+"], ["victim/+", "victim/secret"], ["$share/g/victim/#"]])
def test_a_retained_message_does_not_reach_who_may_not_receive_it(workshop, patient, filters):
    patient.publish(SECRET, "kept", retain=True)
    assert patient.message_on(SECRET).payload == b"kept"
    intruder = workshop.device(policy=policy(allow("iot:*"), deny("iot:Receive", "topic/victim/*")))
    with intruder.connect(V5) as wire:
        assert max(wire.subscribe(*filters, qos=1)) < 0x80
        # What is retained comes before the answer to anything later.
        assert wire.subscribe("own/a") == [0]
        wire.publish("own/a", "mine")
        assert wire.message().topic == "own/a"
        wire.ping()
        assert wire.inbox == []
    patient.publish(SECRET, "", retain=True)
    assert patient.message_on(SECRET).payload == b""


# Speaking where one may not.


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("topic", [SECRET, "$aws/things/victim/shadow/update", "$aws/things/victim/shadow/name/x/delete"])
def test_a_will_to_a_forbidden_topic_ends_the_connect(ombra, workshop, version, topic):
    intruder = workshop.device(policy=own_topics())
    assert turned_away(intruder, intruder.name, version, will=Will(topic, b'{"state":{"desired":null}}'))
    told(ombra, intruder, "iot:Publish", f"topic/{topic}")


def test_a_retained_will_needs_the_right_to_retain(ombra, workshop):
    intruder = workshop.device(policy=policy(allow(["iot:Connect", "iot:Publish"])))
    assert turned_away(intruder, intruder.name, will=Will("open/a", b"x", retain=True))
    told(ombra, intruder, "iot:RetainPublish", "topic/open/a")
    with intruder.connect(V5, will=Will("open/a", b"x")) as wire:
        wire.ping()


@pytest.mark.parametrize("topic", [
    "victim//secret", "victim/secret/", "/victim/secret", "Victim/secret", "victim/./secret", "other/../victim/secret",
    "victim%2Fsecret", "$aws/things/victim/shadow/update", "$aws/things/victim/shadow/name/x/update",
    "$aws/events/presence/connected/victim", "$aws/rules/none/x",
])
def test_no_spelling_of_a_topic_is_another_topic(ombra, workshop, topic):
    intruder = workshop.device(policy=own_topics())
    with intruder.connect(V5) as wire:
        # What nobody may publish to is not even asked of the policies.
        reserved = topic.startswith("$aws/events/")
        assert wire.publish(topic, "forged").reason == (TOPIC_NAME_INVALID if reserved else NOT_AUTHORIZED)
    ombra.event(action="iot:Publish", principal=intruder.certificate_id, resource=arn(f"topic/{topic}"))


def test_an_alias_of_a_forbidden_topic_is_none(workshop):
    intruder = workshop.device(policy=own_topics())
    with intruder.connect(V5) as wire:
        assert wire.publish("victim/secret", "forged", props={"topic_alias": 1}).reason == NOT_AUTHORIZED
        # A topic that was refused is judged anew each time the alias stands for it.
        wire.send(publish("", "forged", V5, qos=1, identifier=77, props={"topic_alias": 1}))
        answer = wire.read()
        assert answer.reason >= 0x80, answer


def test_an_alias_does_not_survive_the_connection(workshop):
    intruder = workshop.device(policy=own_topics())
    with intruder.connect(V5) as wire:
        assert wire.publish(f"{intruder.name}/a", "x", props={"topic_alias": 1}).reason == 0
    with intruder.connect(V5) as wire:
        wire.send(publish("", "x", V5, props={"topic_alias": 1}))
        assert wire.closed().reason >= 0x80


@pytest.mark.parametrize("version", VERSIONS)
def test_messages_of_qos_2_are_judged_like_others(ombra, workshop, version):
    intruder = workshop.device(policy=own_topics())
    with intruder.connect(version) as wire:
        wire.send(publish(SECRET, "forged", version, qos=2, identifier=5))
        if version == V5:
            assert wire.read().reason == NOT_AUTHORIZED
        else:
            wire.closed()
    told(ombra, intruder, "iot:Publish", f"topic/{SECRET}")


# Policies as a weapon.


def test_an_oversized_policy_is_refused(iot, workshop):
    huge = policy(*[allow("iot:Publish", f"topic/{number}/{'x' * 90}") for number in range(40)])
    with pytest.raises(ClientError) as error:
        iot.create_policy(policyName=workshop.fresh("huge"), policyDocument=json.dumps(huge))
    assert error.value.response["Error"]["Code"] == "MalformedPolicyException"
    # White space does not count, and is bounded all the same.
    padded = json.dumps(policy(allow("iot:Publish"))) + " " * 10_000
    iot.create_policy(policyName=workshop.fresh("padded"), policyDocument=padded)
    with pytest.raises(ClientError) as error:
        iot.create_policy(policyName=workshop.fresh("padded"), policyDocument=padded + " " * 500_000)
    assert error.value.response["Error"]["Code"] in ("InvalidRequestException", "MalformedPolicyException")


@pytest.mark.parametrize("document", [
    "[" * 5_000, '{"Version":"2012-10-17","Statement":' + "[" * 900 + "]" * 900 + "}", '{"a":' * 400 + "1" + "}" * 400,
])
def test_a_deep_policy_is_refused(iot, workshop, document):
    with pytest.raises(ClientError) as error:
        iot.create_policy(policyName=workshop.fresh("deep"), policyDocument=document)
    assert error.value.response["Error"]["Code"] == "MalformedPolicyException"


def test_ten_thousand_versions_come_to_five(ombra, iot, workshop):
    name = workshop.fresh("versions")
    iot.create_policy(policyName=name, policyDocument=json.dumps(ALLOW_ALL))
    host, port = ombra.address("http")
    line = http.client.HTTPConnection(host, port, timeout=PATIENCE)
    body = json.dumps({"policyDocument": json.dumps(ALLOW_ALL)})
    request = AWSRequest("POST", f"{ombra.url}/policies/{name}/version", {"content-type": "application/json"}, body)
    SigV4Auth(Credentials("test", "test"), "iot", REGION).add_auth(request)
    headers = dict(request.headers.items())
    answers = {}
    for _ in range(10_000):
        line.request("POST", f"/policies/{name}/version", body, headers)
        answer = line.getresponse()
        answer.read()
        answers[answer.status] = answers.get(answer.status, 0) + 1
    line.close()
    assert answers == {200: 4, 409: 9_996}
    versions = [it["versionId"] for it in iot.list_policy_versions(policyName=name)["policyVersions"]]
    assert sorted(versions) == ["1", "2", "3", "4", "5"]
    iot.delete_policy_version(policyName=name, policyVersionId="5")
    made = iot.create_policy_version(policyName=name, policyDocument=json.dumps(ALLOW_ALL))
    assert made["policyVersionId"] == "6", "an id is never given out again"
