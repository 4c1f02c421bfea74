"""Who may do what: certificates at the door, policies at every step, and an event for each refusal.

The first device is the owner; the second has a certificate of its own under the same least-privilege policy and
tries to be, to tell and to hear the first.
"""

import json
import ssl

import pytest

from devices import ALLOW_ALL, arn, own_topics, tls_context, tls_socket
from packets import V5, V311, Closed, Will, Wire, publish

VERSIONS = [V311, V5]
NOT_AUTHORIZED = 0x87
REFUSED_311 = 0x80


@pytest.fixture(scope="module")
def first(workshop):
    """The owner of its topics."""
    return workshop.device("first", own_topics())


@pytest.fixture(scope="module")
def second(workshop):
    """Another device, with the same rights to topics of its own."""
    return workshop.device("second", own_topics())


def turned_away(wire: Wire, client_id: str) -> bool:
    """Whether a CONNECT gets nowhere: a CONNACK that refuses, an alert, or a closed door."""
    try:
        return wire.connect(client_id).reason != 0
    except Closed:
        return True
    finally:
        wire.sock.close()


def test_a_device_may_do_everything_on_its_own_topics(first):
    with first.connect() as wire:
        assert wire.subscribe("first/x", first.shadow("update/accepted"), qos=1) == [1, 1]
        assert wire.publish("first/x", "hello").reason == 0
        assert wire.message().payload == b"hello"
        wire.publish(first.shadow("update"), '{"state":{"reported":{"on":true}}}')
        assert json.loads(wire.message().payload)["state"] == {"reported": {"on": True}}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_second_device_cannot_connect_as_the_first(ombra, first, second, version):
    assert turned_away(second.wire(version), "first")
    event = ombra.event(action="iot:Connect", principal=second.certificate_id, client_id="first")
    assert event["resource"] == arn("client/first")
    assert event["decision"] == "IMPLICIT_DENY"


def test_a_refused_connect_has_its_code(second):
    assert second.wire(V5).connect("first").reason == NOT_AUTHORIZED


def test_a_second_device_cannot_publish_to_the_first_under_mqtt_5(ombra, first, second):
    with first.connect() as owner, second.connect(V5) as wire:
        assert owner.subscribe("first/#") == [0]
        assert wire.publish("first/x", "forged").reason == NOT_AUTHORIZED
        event = ombra.event(action="iot:Publish", principal=second.certificate_id, resource=arn("topic/first/x"))
        assert event["client_id"] == "second" and event["decision"] == "IMPLICIT_DENY"
        assert wire.ping(), "a refused QoS 1 publication leaves the connection open"
        wire.send(publish("first/x", "forged again", V5))
        assert wire.closed().reason == NOT_AUTHORIZED
        owner.ping()
        assert owner.inbox == []


def test_a_second_device_cannot_publish_to_the_first_under_mqtt_311(ombra, first, second):
    with first.connect() as owner, second.connect(V311) as wire:
        assert owner.subscribe("first/#") == [0]
        wire.send(publish("first/y", "forged", qos=1, identifier=9)).closed()
        ombra.event(action="iot:Publish", principal=second.certificate_id, resource=arn("topic/first/y"))
        owner.ping()
        assert owner.inbox == []


def test_a_second_device_cannot_write_the_first_ones_shadow(ombra, iot_data, first, second):
    iot_data.update_thing_shadow(thingName="first", payload=b'{"state":{"desired":{"lock":"closed"}}}')
    with second.connect(V5) as wire:
        assert wire.publish(first.shadow("update"), '{"state":{"desired":{"lock":"open"}}}').reason == NOT_AUTHORIZED
    ombra.event(action="iot:Publish", resource=arn(f"topic/{first.shadow('update')}"))
    shadow = json.load(iot_data.get_thing_shadow(thingName="first")["payload"])
    assert shadow["state"]["desired"]["lock"] == "closed"


@pytest.mark.parametrize(("version", "code"), [(V311, REFUSED_311), (V5, NOT_AUTHORIZED)])
def test_a_second_device_cannot_subscribe_to_the_first(ombra, first, second, version, code):
    with first.connect() as owner, second.connect(version) as wire:
        filters = [first.shadow("update/accepted"), "first/x", "second/x"]
        assert wire.subscribe(*filters) == [code, code, 0], "each filter is judged alone"
        ombra.event(action="iot:Subscribe", principal=second.certificate_id, resource=arn("topicfilter/first/x"))
        owner.publish("first/x", "private")
        owner.publish(first.shadow("update"), '{"state":{"reported":{"x":1}}}')
        wire.ping()
        assert wire.inbox == []


def test_a_wide_subscription_does_not_open_what_may_not_be_received(ombra, workshop, first):
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": ["iot:Connect", "iot:Subscribe", "iot:Publish"], "Resource": "*"},
            {"Effect": "Allow", "Action": "iot:Receive", "Resource": arn("topic/public/*")},
        ],
    }
    eavesdropper = workshop.device(policy=policy)
    with first.connect() as owner, eavesdropper.connect() as wire:
        assert wire.subscribe("first/#", "public/#") == [0, 0]
        owner.publish("first/x", "private")
        wire.publish("public/x", "for all")
        assert wire.message().topic == "public/x"
        assert wire.inbox == []


def test_an_explicit_deny_wins_and_its_statement_is_named(ombra, workshop):
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": "iot:*", "Resource": "*"},
            {"Sid": "NoSecrets", "Effect": "Deny", "Action": "iot:Publish", "Resource": arn("topic/secret/*")},
        ],
    }
    device = workshop.device(policy=policy)
    with device.connect(V5) as wire:
        assert wire.publish("secret/a").reason == NOT_AUTHORIZED
        assert wire.publish("open/a").reason == 0
    event = ombra.event(action="iot:Publish", resource=arn("topic/secret/a"), principal=device.certificate_id)
    assert event["decision"] == "EXPLICIT_DENY"
    assert device.policy in event["statement"] and "NoSecrets" in event["statement"], event
    assert event["peer"].startswith("127.0.0.1")


def test_retaining_needs_a_right_of_its_own(ombra, workshop):
    policy = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": ["iot:Connect", "iot:Publish"], "Resource": "*"}],
    }
    device = workshop.device(policy=policy)
    with device.connect(V5) as wire:
        assert wire.publish("r/a", "kept", retain=True).reason == NOT_AUTHORIZED
        assert wire.publish("r/a", "passing").reason == 0
    ombra.event(action="iot:RetainPublish", principal=device.certificate_id, resource=arn("topic/r/a"))


def test_a_will_is_judged_when_connecting(ombra, second):
    with second.wire(V5) as wire:
        assert wire.connect("second", will=Will("first/x", b"forged")).reason == NOT_AUTHORIZED
    ombra.event(action="iot:Publish", principal=second.certificate_id, resource=arn("topic/first/x"))


# Certificates at the door.


def test_no_certificate_is_refused(ombra):
    try:
        wire = Wire(tls_socket(ombra, tls_context(ombra)))
    except (ssl.SSLError, ConnectionError):
        pass
    else:
        assert turned_away(wire, "nobody")
    ombra.event(principal="", action="TLS", decision="NO_CERTIFICATE")


def test_an_unknown_certificate_is_refused(ombra, workshop):
    try:
        wire = Wire(tls_socket(ombra, tls_context(ombra, *workshop.stranger())))
    except (ssl.SSLError, ConnectionError):
        pass
    else:
        assert turned_away(wire, "stranger")
    ombra.event(decision="UNKNOWN_CERTIFICATE")


def test_an_inactive_certificate_is_refused_until_it_is_activated(ombra, iot, workshop):
    device = workshop.device(active=False)
    assert turned_away(device.wire(), device.name)
    ombra.event(principal=device.certificate_id, decision="INACTIVE")
    iot.update_certificate(certificateId=device.certificate_id, newStatus="ACTIVE")
    device.connect().leave()
    iot.update_certificate(certificateId=device.certificate_id, newStatus="REVOKED")
    assert turned_away(device.wire(), device.name)
    ombra.event(principal=device.certificate_id, decision="REVOKED")


def test_a_deleted_certificate_is_unknown(ombra, iot, workshop):
    device = workshop.device(thing=False)
    iot.update_certificate(certificateId=device.certificate_id, newStatus="INACTIVE")
    iot.delete_certificate(certificateId=device.certificate_id, forceDelete=True)
    assert turned_away(device.wire(), device.name)
    ombra.event(principal=device.certificate_id, decision="UNKNOWN_CERTIFICATE")


def test_a_certificate_without_a_policy_may_nothing(ombra, iot, workshop):
    device = workshop.device()
    iot.detach_policy(policyName=device.policy, target=device.certificate_arn)
    assert turned_away(device.wire(), device.name)
    assert ombra.event(principal=device.certificate_id)["decision"] == "IMPLICIT_DENY"


def test_a_certificate_of_another_account_is_a_device_of_that_account(ombra, workshop):
    stranger = workshop.device("elsewhere", account="111122223333")
    local = workshop.device()
    with stranger.connect() as far, local.connect() as near:
        assert far.subscribe("#") == [0]
        near.publish("a/b", "not for you")
        far.publish("a/c", "for me")
        assert far.message().topic == "a/c"


# Changes act on live connections.


def test_a_policy_change_acts_on_a_live_connection_at_once(iot, workshop):
    device = workshop.device()
    with device.connect(V5) as wire:
        assert wire.publish("a").reason == 0
        narrow = dict(ALLOW_ALL, Statement=[{"Effect": "Allow", "Action": "iot:Connect", "Resource": "*"}])
        made = iot.create_policy_version(
            policyName=device.policy, policyDocument=json.dumps(narrow), setAsDefault=True
        )
        assert wire.publish("a").reason == NOT_AUTHORIZED
        assert wire.subscribe("a") == [NOT_AUTHORIZED]
        iot.set_default_policy_version(policyName=device.policy, policyVersionId="1")
        assert made["policyVersionId"] == "2" and wire.publish("a").reason == 0


def test_a_subscription_goes_silent_when_receiving_is_no_longer_allowed(iot, workshop):
    listener, speaker = workshop.device(), workshop.device()
    with listener.connect() as wire, speaker.connect() as other:
        assert wire.subscribe("news/#", qos=1) == [1]
        other.publish("news/1")
        assert wire.message().topic == "news/1"
        deaf = [*ALLOW_ALL["Statement"], {"Effect": "Deny", "Action": "iot:Receive", "Resource": arn("topic/news/*")}]
        iot.create_policy_version(
            policyName=listener.policy, setAsDefault=True, policyDocument=json.dumps(dict(ALLOW_ALL, Statement=deaf))
        )
        other.publish("news/2")
        other.publish("else")
        wire.ping()
        assert wire.inbox == []


@pytest.mark.parametrize("version", VERSIONS)
def test_detaching_the_policy_ends_the_connection(iot, workshop, version):
    device = workshop.device()
    with device.connect(version) as wire:
        iot.detach_policy(policyName=device.policy, target=device.certificate_arn)
        goodbye = wire.closed()
        assert version == V311 or goodbye.reason == NOT_AUTHORIZED


@pytest.mark.parametrize("version", VERSIONS)
def test_deactivating_the_certificate_ends_the_connection(ombra, iot, workshop, version):
    device = workshop.device()
    with device.connect(version) as wire:
        iot.update_certificate(certificateId=device.certificate_id, newStatus="INACTIVE")
        goodbye = wire.closed()
        assert version == V311 or goodbye.reason in (NOT_AUTHORIZED, 0x98)
    assert turned_away(device.wire(version), device.name)


def test_the_thing_variables_follow_attach_and_detach(iot, workshop):
    device = workshop.device(policy=own_topics())
    device.connect().leave()
    iot.detach_thing_principal(thingName=device.name, principal=device.certificate_arn)
    assert turned_away(device.wire(), device.name)
    iot.attach_thing_principal(thingName=device.name, principal=device.certificate_arn)
    device.connect().leave()


def test_attributes_and_type_of_the_thing_can_be_named_in_a_policy(iot, workshop):
    name = workshop.fresh("valve")
    iot.create_thing_type(thingTypeName="valve")
    iot.create_thing(thingName=name, thingTypeName="valve", attributePayload={"attributes": {"hall": "north"}})
    variables = "${iot:Connection.Thing.ThingTypeName}/${iot:Connection.Thing.Attributes[hall]}"
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow", "Action": "iot:Connect", "Resource": "*",
                "Condition": {"Bool": {"iot:Connection.Thing.IsAttached": ["true"]}},
            },
            {"Effect": "Allow", "Action": "iot:Publish", "Resource": arn(f"topic/{variables}")},
        ],
    }
    device = workshop.device(name, policy, thing=False)
    assert turned_away(device.wire(), name), "the certificate is not the thing's yet"
    iot.attach_thing_principal(thingName=name, principal=device.certificate_arn)
    with device.connect(V5) as wire:
        assert wire.publish("valve/north").reason == 0
        assert wire.publish("valve/south").reason == NOT_AUTHORIZED


def test_persistence_and_wills_can_be_forbidden(workshop):
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": "iot:*", "Resource": "*"},
            {
                "Effect": "Deny", "Action": "iot:Connect", "Resource": "*",
                "Condition": {"ForAnyValue:StringEquals": {"iot:ConnectAttributes": ["PersistentConnect", "LastWill"]}},
            },
        ],
    }
    device = workshop.device(policy=policy)
    device.connect().leave()
    for options in ({"will": Will("a")}, {"props": {"session_expiry_interval": 60}}):
        with device.wire(V5) as wire:
            assert wire.connect(device.name, **options).reason == NOT_AUTHORIZED, options


def test_every_refusal_tells_who_what_and_why(ombra, second):
    with second.connect(V5) as wire:
        answer = wire.publish("first/why")
    event = ombra.event(action="iot:Publish", resource=arn("topic/first/why"))
    fields = {"at", "account", "region", "kind", "client_id", "principal", "action", "resource", "decision",
              "statement", "reason", "peer"}
    assert fields <= event.keys()
    assert (event["account"], event["region"], event["kind"]) == ("000000000000", "us-east-1", "refusal")
    assert event["principal"] == second.certificate_id and event["reason"]
    assert "reason_string" in answer.props, "MQTT 5 clients are told why"
    logged = [json.loads(line) for line in ombra.errors.read_text().splitlines() if line.startswith("{")]
    assert any(line.get("resource") == event["resource"] for line in logged)
