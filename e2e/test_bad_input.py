"""What arrives broken: each fault gets AWS's code and words or a closed door, and nobody else notices.

A witness device stays connected throughout, and every test ends by proving that it still works and that nothing was
lost: that is what the fixture `witness` is for.
"""

import contextlib
import json
import resource
import socket
import ssl
import urllib.error
import urllib.request

import pytest
from botocore.exceptions import ClientError

import packets
from devices import Workshop, tls_socket
from house import PATIENCE, wait_for
from packets import V5, V311, Will

both_versions = pytest.mark.parametrize("version", [V311, V5])
KEPT = {"kept": "through everything"}


@pytest.fixture(scope="module")
def device(workshop):
    """The one that misbehaves."""
    return workshop.device()


@pytest.fixture(scope="module")
def patient(ombra, workshop, iot_data):
    """A connection that lives as long as the module, and a shadow written before."""
    witness = workshop.device("witness")
    iot_data.update_thing_shadow(thingName="witness", payload=json.dumps({"state": {"reported": KEPT}}).encode())
    with witness.connect() as wire:
        assert wire.subscribe("witness/#", witness.shadow("get/accepted"), qos=1) == [1, 1]
        yield witness, wire


@pytest.fixture(autouse=True)
def witness(ombra, patient):
    """After each test: the server lives, the witness still works, its shadow is whole."""
    yield
    device, wire = patient
    assert ombra.alive()
    assert wire.publish("witness/x", b"still here").reason == 0
    assert wire.message_on("witness/x").payload == b"still here"
    wire.publish(device.shadow("get"))
    assert json.loads(wire.message_on(device.shadow("get/accepted")).payload)["state"] == {"reported": KEPT}


# Shadow documents.


def nested(levels: int) -> dict:
    """An object of so many levels."""
    document = {"leaf": 1}
    for _ in range(levels - 1):
        document = {"x": document}
    return document


DOCUMENTS = [
    ("not_json", b"{", 400, None),
    ("not_utf_8", b"{\"state\":{\"desired\":{\"a\":\"\xff\"}}}", 415,
     "Unsupported documented encoding; supported encoding is UTF-8"),
    ("not_an_object", b"[]", 400, None),
    ("empty", b"", 400, None),
    ("no_state", b"{}", 400, "Missing required node: state"),
    ("state_is_text", b'{"state":"x"}', 400, "State node must be an object"),
    ("desired_is_a_list", b'{"state":{"desired":[]}}', 400, "Desired node must be an object"),
    ("reported_is_a_number", b'{"state":{"reported":1}}', 400, "Reported node must be an object"),
    ("foreign_node", b'{"state":{"wanted":{}}}', 400, "State contains an invalid node"),
    ("version_is_text", b'{"state":{},"version":"1"}', 400, "Invalid version"),
    ("version_is_negative", b'{"state":{},"version":-1}', 400, "Invalid version"),
    ("wrong_version", b'{"state":{"desired":{"a":1}},"version":41}', 409, "Version conflict"),
    ("token_is_a_number", b'{"state":{},"clientToken":7}', 400, "Invalid clientToken"),
    ("token_too_long", json.dumps({"state": {}, "clientToken": "t" * 65}).encode(), 400, "Invalid clientToken"),
    ("null_in_a_list", b'{"state":{"desired":{"a":[null]}}}', 400, None),
    ("nine_levels", json.dumps({"state": {"desired": nested(9)}}).encode(), 400,
     "JSON contains too many levels of nesting; maximum is 6"),
    ("nine_kilobytes", json.dumps({"state": {"desired": {"a": "x" * 9216}}}).encode(), 413,
     "The payload exceeds the maximum size allowed"),
    ("thousands_of_levels", b'{"state":{"desired":' + b'{"a":' * 5000, 400, None),
]
ERRORS = {400: "InvalidRequestException", 409: "ConflictException", 413: "RequestEntityTooLargeException",
          415: "UnsupportedDocumentEncodingException"}
each_document = pytest.mark.parametrize(
    ("body", "code", "message"), [entry[1:] for entry in DOCUMENTS], ids=[entry[0] for entry in DOCUMENTS]
)


@each_document
def test_a_bad_document_is_rejected_over_mqtt(device, body, code, message):
    with device.connect() as wire:
        wire.subscribe(device.shadow("update/accepted"), device.shadow("update/rejected"), qos=1)
        assert wire.publish(device.shadow("update"), body).reason == 0
        answer = wire.message()
        assert answer.topic == device.shadow("update/rejected")
        told = json.loads(answer.payload)
        assert told["code"] == code and told["message"]
        assert message is None or told["message"].startswith(message)


@each_document
def test_a_bad_document_is_refused_over_http(iot_data, device, body, code, message):
    with pytest.raises(ClientError) as refused:
        iot_data.update_thing_shadow(thingName=device.name, payload=body)
    answer = refused.value.response
    assert (answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]) == (code, ERRORS[code])
    assert message is None or answer["Error"]["Message"].startswith(message)
    with pytest.raises(iot_data.exceptions.ResourceNotFoundException):
        iot_data.get_thing_shadow(thingName=device.name)


def test_eight_levels_and_eight_kilobytes_are_accepted(iot_data):
    iot_data.update_thing_shadow(thingName="deep", payload=json.dumps({"state": {"desired": nested(8)}}).encode())
    fits = {"state": {"desired": {"a": "x" * (8192 - len('{"desired":{"a":""}}'))}}}
    iot_data.update_thing_shadow(thingName="wide", payload=json.dumps(fits).encode())


@pytest.mark.parametrize("name", ["a b", "ä", "x" * 129, "a/b", "a.b", "a?b", "a%b"])
def test_bad_names_are_refused(iot, iot_data, name):
    for call in (iot.create_thing, iot.describe_thing, iot_data.get_thing_shadow):
        with pytest.raises(ClientError) as refused:
            call(thingName=name)
        answer = refused.value.response
        assert (answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]) == (
            "InvalidRequestException", 400,
        ), call


@pytest.mark.parametrize("name", ["a b", "x" * 65, "a/b"])
def test_bad_shadow_names_are_refused(iot_data, name):
    with pytest.raises(iot_data.exceptions.InvalidRequestException):
        iot_data.update_thing_shadow(thingName="t", shadowName=name, payload=b'{"state":{}}')


# MQTT packets.


def bare(kind, body=b"", flags=0):
    """A packet for each version alike."""
    return {V311: packets.packet(kind, body, flags), V5: packets.packet(kind, body, flags)}


def each_version(build):
    """The same packet written for both versions."""
    return {version: build(version) for version in (V311, V5)}


BROKEN = {
    "reserved_kind_0": bare(0),
    "wrong_flags_of_subscribe": each_version(
        lambda v: packets.packet(packets.SUBSCRIBE, packets.subscribe(1, [("a", 0)], v)[2:], 0)
    ),
    "length_of_five_bytes": each_version(lambda v: b"\x30\xff\xff\xff\xff\x01"),
    "qos_3": each_version(lambda v: packets.publish("a", b"", v, qos=3, identifier=1)),
    "packet_identifier_0": each_version(lambda v: packets.publish("a", b"", v, qos=1, identifier=0)),
    "topic_with_wildcard": each_version(lambda v: packets.publish("a/+", b"", v)),
    "topic_with_nul": each_version(lambda v: packets.publish("a\0b", b"", v)),
    "topic_not_utf_8": bare(packets.PUBLISH, packets.binary(b"\xff\xfe") + b"\0"),
    "topic_length_beyond_the_packet": bare(packets.PUBLISH, b"\xff\xff"),
    "empty_topic": each_version(lambda v: packets.publish("", b"", v)),
    "no_filters": each_version(lambda v: packets.subscribe(1, [], v)),
    "filter_with_a_level_after_the_last": each_version(lambda v: packets.subscribe(1, [("a/#/b", 0)], v)),
    "filter_with_half_a_wildcard": each_version(lambda v: packets.subscribe(1, [("a+", 0)], v)),
    "empty_filter": each_version(lambda v: packets.subscribe(1, [("", 0)], v)),
    "share_without_a_filter": each_version(lambda v: packets.subscribe(1, [("$share/group", 0)], v)),
    "subscribe_with_qos_3": each_version(lambda v: packets.subscribe(1, [("a", 3)], v)),
    "connect_again": each_version(lambda v: packets.connect("again", v)),
    "a_packet_of_servers": bare(packets.SUBACK, b"\0\1\0\0"),
    "payload_above_128_kilobytes": each_version(lambda v: packets.publish("a", b"x" * (131072 + 1), v)),
    "oversized_packet": each_version(lambda v: packets.publish("a", b"x" * 200_000, v)),
    "announced_256_megabytes": each_version(lambda v: b"\x30\xff\xff\xff\x7f" + b"x" * 1000),
}


@both_versions
@pytest.mark.parametrize("name", BROKEN)
def test_a_bad_packet_closes_its_connection_and_no_other(ombra, device, version, name):
    known = len(ombra.events())
    with device.connect(version) as wire:
        goodbye = wire.send(BROKEN[name][version]).closed()
        if version == V5:
            assert goodbye is not None and goodbye.reason >= 0x80, goodbye
    event = wait_for(lambda: ombra.events()[known:], "a refusal")[0]
    assert (event["client_id"], event["decision"]) == (device.name, "CLIENT_ERROR") and event["reason"]
    ended = ombra.event("disconnected", principal=device.certificate_id)
    assert ended["reason"] == "CLIENT_ERROR" and ended["detail"]


FIRST = {
    "not_a_connect": packets.publish("a"),
    "another_protocol": packets.connect("a").replace(b"MQTT", b"MQTX"),
    "version_3_1": packets.packet(packets.CONNECT, packets.binary("MQIsdp") + b"\x03\x02\0\x0a\0\1a"),
    "version_6": packets.connect("a", 6),
    "reserved_flag": packets.packet(packets.CONNECT, packets.binary("MQTT") + b"\x04\x03\0\x0a\0\1a"),
    "will_of_qos_3": packets.connect("a", will=Will("w", qos=3)),
    "client_id_of_129_bytes": packets.connect("x" * 129),
    "client_id_with_dollar": packets.connect("$mine"),
    "cut_short": packets.packet(packets.CONNECT, packets.binary("MQTT") + b"\x04"),
    "http": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "noise": bytes(range(256)) * 4,
}


@pytest.mark.parametrize("name", FIRST)
def test_a_bad_beginning_is_not_let_in(ombra, device, name):
    known = len(ombra.events())
    # A server answers a version that it does not know in the newest that it does.
    with device.wire(V5 if name == "version_6" else V311) as wire:
        wire.send(FIRST[name])
        with contextlib.suppress(packets.Closed):
            assert wire.expect(packets.CONNACK).reason != 0
    event = wait_for(lambda: ombra.events()[known:], "a refusal")[0]
    assert event["principal"] == device.certificate_id and event["reason"]


@pytest.mark.parametrize("topic", ["a/b/c/d/e/f/g/h/i", "x" * 257], ids=["nine_levels", "257_bytes"])
def test_a_topic_that_aws_would_refuse_is_reported(ombra, device, topic):
    with device.connect(V5) as wire:
        assert wire.publish(topic).reason == 0, "quotas only warn"
    assert ombra.event("quota", client_id=device.name)["limit"]


# Silence.


def test_half_a_packet_and_then_silence_holds_nobody_up(device, workshop):
    whole = packets.publish("half", b"x" * 100, qos=1, identifier=1)
    with device.connect() as slow, workshop.device().connect() as quick:
        slow.send(whole[:50])
        quick.subscribe("half")
        quick.publish("half", b"quick")
        assert quick.message().payload == b"quick"
        slow.send(whole[50:])
        assert slow.expect(packets.PUBACK).identifier == 1, "the second half is still welcome"
        assert quick.message().payload == b"x" * 100


def test_half_a_connect_and_then_silence_hinders_nobody(device):
    with device.wire() as wire:
        wire.send(packets.connect(device.name)[:8])
        device.connect().leave()


@contextlib.contextmanager
def crowd():
    """A list of connections that all end with the test."""
    idle = []
    try:
        yield idle
    finally:
        for connection in idle:
            connection.close()


@pytest.mark.timeout(120)
def test_ten_thousand_silent_connections_do_not_hinder_a_device(ombra, iot, device):
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    share = min(10_000, soft - 500) // 10
    doors = [ombra.address(door) for door in ("mqtts", "tls", "http")]
    with crowd() as idle:
        with device.connect() as wire:
            wire.subscribe("busy", qos=1)
            for turn in range(10):
                idle += [socket.create_connection(doors[turn % 3], PATIENCE) for _ in range(share)]
                wire.publish("busy", str(turn))
                assert wire.message().payload == str(turn).encode()
        device.connect().leave()
        iot.describe_thing(thingName=device.name)
    wait_for(ombra.alive, "the server is well after the crowd left")


def test_a_server_without_file_descriptors_keeps_who_is_connected_and_recovers(own_ombra, tmp_path):
    device = Workshop(own_ombra.start(), tmp_path / "devices").device()
    with device.connect() as wire, crowd() as idle:
        wire.subscribe("busy", qos=1)
        resource.prlimit(own_ombra.process.pid, resource.RLIMIT_NOFILE, (128, 128))
        # The backlog of the listener takes who is not accepted.
        idle += [socket.create_connection(own_ombra.address("mqtts"), PATIENCE) for _ in range(200)]
        wire.publish("busy", "still")
        assert wire.message().payload == b"still"
    wait_for(own_ombra.alive, "the server is well after the crowd left")
    device.connect().leave()


def test_a_handshake_that_stops_half_way_hinders_nobody(ombra, device):
    with socket.create_connection(ombra.address("mqtts"), PATIENCE) as raw:
        raw.sendall(b"\x16\x03\x01\x02\x00\x01\x00")
        device.connect().leave()
    with socket.create_connection(ombra.address("tls"), PATIENCE) as raw:
        raw.sendall(b"GET / HTTP/1.1\r\n\r\n")
        raw.settimeout(PATIENCE)
        with contextlib.suppress(ConnectionError):
            while raw.recv(1024):
                pass


def test_an_unknown_application_protocol_is_refused(ombra, device):
    with pytest.raises((ssl.SSLError, ConnectionError, packets.Closed)):
        packets.Wire(tls_socket(ombra, device.context("h7"), "tls")).connect(device.name)


# HTTP.

#: Any signature is taken by `ombra dev`, but there has to be one.
SIGNATURE = {
    "X-Amz-Date": "20260101T000000Z",
    "Authorization": "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/iot/aws4_request, "
                     f"SignedHeaders=host;x-amz-date, Signature={'0' * 64}",
}
SIGNED = "".join(
    f"{name}: {value}\r\n" for name, value in {"Host": "x", "Connection": "close", **SIGNATURE}.items()
).encode() + b"\r\n"


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET /no/such/route HTTP/1.1\r\n" + SIGNED, (404,)),
        (b"BREW /things HTTP/1.1\r\n" + SIGNED, (404, 405)),
        (b"nonsense\r\n\r\n", (400,)),
        (b"POST /things/t HTTP/1.1\r\nContent-Length: 99999999999\r\n" + SIGNED, (400, 413)),
        (b"GET /things/%zz HTTP/1.1\r\n" + SIGNED, (400, 404)),
        (b"GET / HTTP/1.1\r\n" + b"X-A: b\r\n" * 20_000 + SIGNED, (400, 413, 431)),
        (b"GET /things HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", (403,)),
    ],
    ids=["route", "method", "nonsense", "announced_100_gigabytes", "percent", "headers", "unsigned"],
)
def test_a_bad_http_request_is_answered(ombra, request_bytes, status):
    with socket.create_connection(ombra.address("http"), PATIENCE) as raw:
        with contextlib.suppress(ConnectionError):
            raw.sendall(request_bytes)
        answer = raw.recv(4096)
        assert int(answer.split(b" ")[1]) in status, answer


def test_a_body_that_is_not_json_is_refused_with_a_name(ombra, iot):
    request = urllib.request.Request(f"{ombra.url}/things/t-json", b"{broken", SIGNATURE, method="POST")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=PATIENCE)
    assert refused.value.code == 400 and refused.value.headers["x-amzn-ErrorType"]
    with pytest.raises(iot.exceptions.ResourceNotFoundException):
        iot.describe_thing(thingName="t-json")
