"""boto3 asks about connections, ends them and sends to one client alone; Paho hears of who comes and goes."""

import base64
import http.client
import json
import threading
import time

import pytest
from botocore.exceptions import ClientError

import packets
from devices import Workshop
from house import Ombra, wait_for
from test_paho import Paho, VERSIONS, both_versions


@pytest.fixture
def data(ombra):
    """The data plane as boto3 sees it."""
    return ombra.client("iot-data")


def refused(call, **arguments) -> str:
    """The error's name."""
    with pytest.raises(ClientError) as raised:
        call(**arguments)
    return raised.value.response["Error"]["Code"]


def events_of(watch, count):
    """So many lifecycle events, by type."""
    events = [json.loads(watch.next("message").payload) for _ in range(count)]
    return {event["eventType"]: event for event in events}


@both_versions
def test_a_client_that_comes_subscribes_and_goes_is_told(workshop, version):
    watcher, device = workshop.device(), workshop.device()
    with Paho(watcher, version) as watch:
        watch.subscribe(f"$aws/events/presence/+/{device.name}", f"$aws/events/subscriptions/+/{device.name}")
        with Paho(device, version) as client:
            client.subscribe("a/b", "c/#")
            client.client.unsubscribe("c/#")
        events = events_of(watch, 4)
    assert set(events) == {"connected", "subscribed", "unsubscribed", "disconnected"}
    for event in events.values():
        assert event["clientId"] == device.name
        assert event["principalIdentifier"] == device.certificate_id
        assert event["sessionIdentifier"] == events["connected"]["sessionIdentifier"]
        assert abs(event["timestamp"] / 1000 - time.time()) < 60
    assert events["connected"]["ipAddress"] == "127.0.0.1"
    assert events["connected"]["versionNumber"] == events["disconnected"]["versionNumber"] == 0
    assert events["disconnected"]["clientInitiatedDisconnect"] is True
    assert events["disconnected"]["disconnectReason"] == "CLIENT_INITIATED_DISCONNECT"
    assert events["subscribed"]["topics"] == ["a/b", "c/#"]
    assert events["unsubscribed"]["topics"] == ["c/#"]


def test_nobody_publishes_as_if_a_client_had_come(workshop):
    with Paho(workshop.device(), VERSIONS[1]) as client:
        assert client.publish("$aws/events/presence/connected/x") == 0x90


def test_a_connection_is_described_until_it_ends(workshop, data):
    device = workshop.device()
    assert refused(data.get_connection, clientId=device.name) == "ResourceNotFoundException"
    with Paho(device, VERSIONS[1]) as client:
        seen = data.get_connection(clientId=device.name, includeSocketInformation=True)
        assert (seen["connected"], seen["cleanSession"], seen["thingName"]) == (True, True, device.name)
        assert seen["sourceIp"] == seen["targetIp"] == "127.0.0.1" and seen["sourcePort"] > 0 < seen["targetPort"]
        client.subscribe("a/b", "c/#")
        listed = data.list_subscriptions(clientId=device.name, maxResults=1)
        assert listed["subscriptions"] == [{"topicFilter": "a/b", "qos": 1}]
        rest = data.list_subscriptions(clientId=device.name, nextToken=listed["nextToken"])
        assert rest["subscriptions"] == [{"topicFilter": "c/#", "qos": 1}] and "nextToken" not in rest
    gone = wait_for(
        lambda: (seen := data.get_connection(clientId=device.name)) and not seen["connected"] and seen, "it is gone"
    )
    assert gone["disconnectReason"] == "CLIENT_INITIATED_DISCONNECT"


@pytest.mark.parametrize("prevented", [False, True], ids=["will", "no will"])
def test_a_connection_is_ended_by_an_operation(workshop, data, prevented):
    watcher, device = workshop.device(), workshop.device()
    with Paho(watcher, VERSIONS[1]) as watch:
        watch.subscribe(f"gone/{device.name}")
        client = Paho(device, VERSIONS[1], will=(f"gone/{device.name}", b"gone", 1, False))
        assert client.start()[1] == 0
        data.delete_connection(clientId=device.name, preventWillMessage=prevented)
        assert client.next("disconnect").value == 0x98
        client.client.loop_stop()
        if not prevented:
            assert watch.next("message").payload == b"gone"
        watch.publish(f"gone/{device.name}", b"last")
        assert watch.next("message").payload == b"last"
    assert refused(data.delete_connection, clientId=device.name) == "ResourceNotFoundException"


def test_a_stored_session_is_ended_by_an_operation(workshop, data):
    device = workshop.device()
    wire = device.connect(clean=False)
    wire.sock.close()
    wait_for(lambda: not data.get_connection(clientId=device.name)["connected"], "it is gone")
    assert data.get_connection(clientId=device.name)["cleanSession"] is False
    assert data.list_subscriptions(clientId=device.name)["subscriptions"] == []
    data.delete_connection(clientId=device.name, cleanSession=True)
    assert refused(data.list_subscriptions, clientId=device.name) == "ResourceNotFoundException"


@both_versions
def test_a_direct_message_reaches_one_client_without_a_subscription(workshop, data, version):
    device = workshop.device()
    to = {"clientId": device.name, "topic": "direct/a"}
    assert refused(data.send_direct_message, **to) == "ResourceNotFoundException"
    with Paho(device, version) as client:
        answer = data.send_direct_message(
            **to, payload=b"hello", contentType="text/plain", userProperties='[{"k": "v"}]',
            correlationData=base64.b64encode(b"7").decode(),
        )
        assert answer["message"] == "OK" and answer["traceId"]
        message = client.next("message")
        assert (message.topic, message.payload, message.qos) == ("direct/a", b"hello", 0)
        if version == VERSIONS[1]:
            assert message.properties.UserProperty == [("k", "v")] and message.properties.CorrelationData == b"7"
        data.send_direct_message(**to, payload=b"again", confirmation=True)
        message = client.next("message")
        assert (message.payload, message.qos) == (b"again", 1)


def test_a_direct_message_that_nobody_acknowledges_is_late(workshop, data):
    device = workshop.device()
    wire = device.connect()
    began = time.monotonic()
    to = {"clientId": device.name, "topic": "t", "confirmation": True}
    assert refused(data.send_direct_message, **to, timeout=1) == "GatewayTimeoutException"
    assert 1 <= time.monotonic() - began < 5
    # Who goes without a word will not acknowledge it any more, and is not waited for.
    cut = threading.Timer(0.5, wire.sock.close)
    cut.start()
    began = time.monotonic()
    assert refused(data.send_direct_message, **to, timeout=15) == "GatewayTimeoutException"
    assert time.monotonic() - began < 10
    cut.join()


def test_two_devices_with_one_client_id_are_named(workshop, ombra):
    rivals = [workshop.device(), workshop.device()]
    wires = [rivals[turn % 2].connect(client_id="everybodys") for turn in range(5)]
    loop = ombra.event("takeover_loop", client_id="everybodys")
    assert {rival["principal"] for rival in loop["rivals"]} <= {device.certificate_id for device in rivals} | {""}
    for wire in wires:
        wire.sock.close()


def test_a_browser_may_ask_whether_it_may_publish(ombra):
    connection = http.client.HTTPConnection(*ombra.address("http"), timeout=10)
    asked = {
        "Origin": "https://example.com", "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,x-amz-date",
    }
    connection.request("OPTIONS", "/topics/a/b?qos=1", headers=asked)
    answer = connection.getresponse()
    answer.read()
    assert answer.status == 200
    assert answer.getheader("access-control-allow-origin") == "*"
    assert answer.getheader("access-control-allow-headers") == "authorization,x-amz-date"
    connection.request("OPTIONS", "/things/lamp", headers=asked)
    answer = connection.getresponse()
    answer.read()
    assert answer.getheader("access-control-allow-origin") is None, "the rest is not for pages from elsewhere"


def test_quotas_are_kept_when_asked_for(tmp_path):
    """One server that keeps AWS's quotas: filters of a SUBSCRIBE, and the rate of publishing."""
    ombra = Ombra(tmp_path)
    try:
        ombra.start("--quotas", "aws")
        device = Workshop(ombra, tmp_path / "devices").device()
        with Paho(device, VERSIONS[1]) as client:
            assert client.subscribe(*(f"t/{number}" for number in range(8))) == [1] * 8
            assert client.subscribe(*(f"t/{number}" for number in range(9))) == [0x97] * 9
        with device.connect(packets.V5, client_id="fast") as wire:
            burst = [packets.publish("t", "x", packets.V5, qos=1, identifier=number + 1) for number in range(99)]
            burst += [packets.publish("t", "x", packets.V5) for _ in range(50)]
            wire.send(b"".join(burst) + packets.publish("t", "x", packets.V5, qos=1, identifier=999))
            reasons = [wire.expect(packets.PUBACK).reason for _ in range(100)]
        assert set(reasons[:99]) == {0} and reasons[99] == 0x97
        assert "100 messages in a second" in ombra.event("quota", client_id="fast")["limit"]
    finally:
        ombra.clean_up()
