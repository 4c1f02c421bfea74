"""The ways in: plain TCP for development, WebSockets, TLS with resumption and renewal, and what happens when there are
too many. Spoken with the clients people use, and byte by byte where those are too polite."""

import base64
import concurrent.futures
import contextlib
import http.client
import json
import queue
import shutil
import signal
import socket
import ssl
import subprocess
import time
import urllib.parse
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from awscrt import auth, mqtt, mqtt5
from awsiot import mqtt5_client_builder, mqtt_connection_builder

import packets
import websockets
from devices import ALLOW_ALL, Workshop, arn, own_topics, tls_context, tls_socket
from house import PATIENCE, Ombra, run, wait_for
from packets import V5, V311, Will

both_versions = pytest.mark.parametrize("version", [V311, V5])
both_doors = pytest.mark.parametrize("door", ["http", "tls"])


def metric(ombra, name: str) -> float:
    """One sample of /metrics."""
    lines = ombra.get("/metrics")[1].splitlines()
    return float(next(line.rsplit(" ", 1)[1] for line in lines if line.startswith(f"{name} ")))


# Plain TCP.


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A server with a listener without TLS."""
    server = Ombra(tmp_path_factory.mktemp("plain"))
    try:
        server.start("--mqtt-plain", "127.0.0.1:0", "--mqtt-plain-policy", "bench")
        yield server
    finally:
        server.clean_up()


@pytest.fixture(scope="module")
def bench_policy(plain):
    """May use topics below bench/."""
    document = {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "iot:Connect", "Resource": "*"},
        {"Effect": "Allow", "Action": ["iot:Publish", "iot:Receive"], "Resource": arn("topic/bench/*")},
        {"Effect": "Allow", "Action": "iot:Subscribe", "Resource": arn("topicfilter/bench/*")},
    ]}
    plain.client("iot").create_policy(policyName="bench", policyDocument=json.dumps(document))
    return "bench"


def plain_wire(ombra, version=V311) -> packets.Wire:
    """A connection without TLS on which nothing was said yet."""
    return packets.Wire(socket.create_connection(ombra.address("mqtt_plain"), timeout=PATIENCE), version)


def test_without_the_policy_nobody_comes_in_and_the_event_names_it(own_ombra):
    own_ombra.start("--mqtt-plain", "127.0.0.1:0", "--mqtt-plain-policy", "not-made")
    with plain_wire(own_ombra, V5) as wire:
        assert wire.connect("c").reason == 0x87
    event = own_ombra.event(action="iot:Connect", client_id="c")
    assert "not-made" in event["reason"]


@both_versions
def test_anybody_may_on_plain_tcp_what_the_named_policy_says(plain, bench_policy, version):
    with plain_wire(plain, version) as listener, plain_wire(plain, version) as speaker:
        assert listener.connect(f"listener-{version}").reason == 0
        assert speaker.connect(f"speaker-{version}").reason == 0
        assert listener.subscribe("bench/#", qos=1) == [1]
        assert listener.subscribe("other/#")[0] >= 0x80
        speaker.publish("bench/x", b"hello")
        assert listener.message().payload == b"hello"


def test_who_left_before_it_came_again_leaves_no_will(plain, bench_policy):
    """However late the goodbye is read: here the server sees both connections' words at one moment."""
    with plain_wire(plain) as listener:
        assert listener.connect("hears-wills").reason == 0
        listener.subscribe("bench/wills")
        for _ in range(20):
            with plain_wire(plain) as old, plain_wire(plain) as new:
                will = Will("bench/wills", b"gone")
                assert old.connect("comes-and-goes", will=will).reason == 0
                plain.process.send_signal(signal.SIGSTOP)
                try:
                    old.send(packets.disconnect())
                    new.send(packets.connect("comes-and-goes"))
                finally:
                    plain.process.send_signal(signal.SIGCONT)
                new.expect(packets.CONNACK)
                old.closed()
                new.publish("bench/wills", b"end")
                assert listener.message().payload == b"end"


@pytest.mark.skipif(not shutil.which("mosquitto_pub"), reason="mosquitto-clients is not installed")
@pytest.mark.parametrize("version", ["mqttv311", "mqttv5"])
def test_mosquitto_speaks_plain_tcp(plain, bench_policy, version):
    with plain_wire(plain) as listener:
        listener.connect(f"hears-{version}")
        listener.subscribe(f"bench/{version}")
        words = ["-h", "127.0.0.1", "-p", str(plain.address("mqtt_plain")[1]), "-V", version, "-q", "1", "-m", "hi"]
        command = ["mosquitto_pub", *words, "-t", f"bench/{version}"]
        done = subprocess.run(command, capture_output=True, timeout=PATIENCE)
        assert done.returncode == 0, done.stderr
        assert listener.message().payload == b"hi"


def test_the_plain_listener_is_announced_where_it_is_open_only(plain, ombra):
    address = plain.endpoints["mqtt_plain"]
    assert plain.endpoints["mqtt_plain_policy"] == "bench" and "mqtt_plain" not in ombra.endpoints
    assert f"mqtt://localhost:{address.rsplit(':', 1)[1]}" in plain.errors.read_text()
    environment = plain.environment()
    assert environment["OMBRA_MQTT_PLAIN"] == address and environment["OMBRA_MQTT_PLAIN_POLICY"] == "bench"


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--mqtt-plain", "0.0.0.0:1883", "--mqtt-plain-policy", "p"], "only loopback addresses will do"),
        (["--mqtt-plain", "127.0.0.1:0"], "--mqtt-plain-policy"),
        (["--mqtt-plain-policy", "p"], "--mqtt-plain 127.0.0.1:1883"),
    ],
)
def test_a_plain_listener_that_would_be_unsafe_is_refused_with_the_way_out(tmp_path, flags, told):
    done = run("dev", "--data", tmp_path, *flags)
    assert done.returncode == 2 and told in done.stderr, done.stderr


# WebSockets: the request.


def request(ombra, door, path=None, *, headers=None, context=None, method="GET", **signing) -> websockets.Answer:
    """Ask for a WebSocket, and close."""
    address = ombra.address(door)
    raw = socket.create_connection(address, timeout=PATIENCE)
    if door == "tls":
        raw = (context or tls_context(ombra)).wrap_socket(raw, server_hostname="localhost")
    host = f"localhost:{address[1]}"
    with raw:
        return websockets.ask(raw, path or websockets.signed(host, **signing), host, headers, method)


@both_doors
@pytest.mark.parametrize("token", [None, "a+session/token=="])
def test_a_signed_request_opens_a_websocket(ombra, door, token):
    answer = request(ombra, door, token=token)
    assert answer.status == 101
    assert answer.headers["sec-websocket-protocol"] == "mqtt"
    assert answer.headers["sec-websocket-accept"] == websockets.ACCEPT


def test_a_browser_may_offer_more_protocols(ombra):
    headers = {"Sec-WebSocket-Protocol": "mqttv3.1, mqtt", "Origin": "http://localhost:3000"}
    answer = request(ombra, "http", headers=headers)
    assert (answer.status, answer.headers["sec-websocket-protocol"]) == (101, "mqtt")


@both_doors
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-WebSocket-Protocol": None}, 400),
        ({"Sec-WebSocket-Protocol": "mqttv3.1"}, 400),
        ({"Sec-WebSocket-Key": None}, 400),
        ({"Sec-WebSocket-Key": "short"}, 400),
        ({"Upgrade": None}, 400),
        ({"Connection": "keep-alive"}, 400),
        ({"Sec-WebSocket-Version": "8"}, 426),
    ],
)
def test_a_request_that_is_no_websocket_for_mqtt_is_refused(ombra, door, headers, status):
    answer = request(ombra, door, headers=headers)
    assert (answer.status, answer.error) == (status, "InvalidRequestException")
    assert json.loads(answer.body)["message"]
    if status == 426:
        assert answer.headers["sec-websocket-version"] == "13"


@both_doors
@pytest.mark.parametrize(
    ("signing", "error"),
    [
        ({"path": "/mqtt"}, "MissingAuthenticationTokenException"),
        ({"algorithm": "AWS4-HMAC-MD5"}, "IncompleteSignatureException"),
        ({"without": "X-Amz-Credential"}, "IncompleteSignatureException"),
        ({"without": "X-Amz-Signature"}, "IncompleteSignatureException"),
        ({"without": "X-Amz-Date"}, "IncompleteSignatureException"),
        ({"service": "iot"}, "InvalidSignatureException"),
        ({"at": -6 * 60}, "InvalidSignatureException"),
        ({"at": 6 * 60}, "InvalidSignatureException"),
    ],
)
def test_who_does_not_say_who_he_is_is_refused_by_name(ombra, door, signing, error):
    if "at" in signing:
        signing = {"at": time.time() + signing["at"]}
    answer = request(ombra, door, **signing)
    assert (answer.status, answer.error) == (403, error), answer
    event = ombra.event(decision="WEBSOCKET")
    assert error in event["reason"] and event["peer"].startswith("127.0.0.1:")


def test_a_page_from_elsewhere_may_not_use_a_developers_server(ombra):
    answer = request(ombra, "http", headers={"Origin": "https://somewhere.example"})
    assert (answer.status, answer.error) == (403, "ForbiddenException")
    assert "https://somewhere.example" in json.loads(answer.body)["message"]


def test_the_authorization_header_signs_as_well_as_the_query(ombra):
    day = time.strftime("%Y%m%d", time.gmtime())
    headers = {
        "X-Amz-Date": time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()),
        "Authorization": f"AWS4-HMAC-SHA256 Credential=test/{day}/us-east-1/iotdevicegateway/aws4_request, "
                         f"SignedHeaders=host;x-amz-date, Signature={'0' * 64}",
    }
    assert request(ombra, "http", "/mqtt", headers=headers).status == 101


# WebSockets: the frames.


@pytest.fixture
def open_websocket(ombra):
    """Opens WebSockets, with the signature of an access key unless a device is given."""
    with contextlib.ExitStack() as stack:

        def opened(version=V311, door="http", device=None, key="test") -> packets.Wire:
            address, path = ombra.address(door), None
            if device is None:
                path = websockets.signed(f"localhost:{address[1]}", key=key)
            context = (device.context() if device else tls_context(ombra)) if door == "tls" else None
            sock = websockets.connect(address, path or "/mqtt", tls=context)
            return stack.enter_context(packets.Wire(sock, version))

        yield opened


@both_doors
@both_versions
def test_an_access_key_may_do_everything_over_a_websocket(open_websocket, workshop, door, version):
    # Made first: the server waits ten seconds for a CONNECT, and a busy machine may need them for a device.
    other = workshop.device()
    wire = open_websocket(version, door)
    assert wire.connect(f"{door}-{version}").reason == 0
    with other.connect() as listener:
        listener.subscribe(f"ws/{door}/{version}", qos=1)
        assert wire.publish(f"ws/{door}/{version}", b"x" * 100_000).reason == 0
        assert listener.message().payload == b"x" * 100_000
        assert wire.subscribe("back/#", qos=1) == [1]
        listener.publish("back/1", b"y" * 120_000)
        assert wire.message().payload == b"y" * 120_000


def test_an_access_key_of_twelve_digits_is_an_account_of_its_own(open_websocket):
    ours, theirs = open_websocket(), open_websocket(key="111122223333")
    assert ours.connect("same").reason == 0 and theirs.connect("same").reason == 0
    theirs.subscribe("#")
    ours.publish("x", b"1")
    theirs.publish("y", b"2")
    assert theirs.message().topic == "y"


@both_versions
def test_a_device_uses_a_websocket_with_its_certificate_and_policy(open_websocket, workshop, version):
    device = workshop.device(policy=own_topics())
    wire = open_websocket(version, "tls", device)
    assert wire.connect(device.name).reason == 0
    assert wire.subscribe(f"{device.name}/x", "other/x") [1] >= 0x80
    wire.publish(f"{device.name}/x", b"mine")
    assert wire.message().payload == b"mine"


def test_an_inactive_certificate_does_not_come_in_over_a_websocket(open_websocket, workshop):
    device = workshop.device(active=False)
    assert open_websocket(V5, "tls", device).connect(device.name).reason == 0x87


def test_packets_and_frames_need_not_coincide(open_websocket):
    wire = open_websocket()
    sock = wire.sock
    whole = packets.connect("frames") + packets.subscribe(1, [("frames/#", 1)])
    whole += packets.publish("frames/a", b"a" * 300, qos=1, identifier=7)
    for byte in whole[:20]:
        sock.frame(websockets.BINARY, bytes([byte]))
    sock.frame(websockets.BINARY)
    # The rest in one message of several fragments, with a ping in between.
    sock.frame(websockets.BINARY, whole[20:50], last=False)
    sock.frame(websockets.PING, b"still there?")
    sock.frame(websockets.CONTINUATION, whole[50:200], last=False)
    sock.frame(websockets.CONTINUATION, whole[200:])
    assert wire.expect(packets.CONNACK).reason == 0
    assert wire.expect(packets.SUBACK).reasons == [1]
    assert wire.expect(packets.PUBACK).identifier == 7
    assert wire.message().payload == b"a" * 300
    wire.ping()
    assert sock.pongs == [b"still there?"]


@pytest.mark.parametrize(
    ("break_it", "code"),
    [
        (lambda sock: sock.frame(websockets.TEXT, b"hello"), 1003),
        (lambda sock: sock.frame(websockets.BINARY, b"x", masked=False), 1002),
        (lambda sock: sock.frame(3, b""), 1002),
        (lambda sock: sock.frame(websockets.BINARY, b"0" * (512 * 1024 + 1)), 1009),
        (lambda sock: [sock.frame(0 if n else 2, b"0" * 60_000, last=False) for n in range(9)], 1009),
    ],
    ids=["text", "unmasked", "reserved", "large", "endless"],
)
def test_what_breaks_the_rules_of_websockets_closes_with_its_code_and_the_will_is_sent(open_websocket, break_it, code):
    wire, listener = open_websocket(V5), open_websocket()
    listener.connect(f"hears-{code}")
    listener.subscribe("will/#")
    assert wire.connect("rough", will=Will("will/rough", b"gone")).reason == 0
    with contextlib.suppress(ConnectionError):
        break_it(wire.sock)
    with contextlib.suppress(packets.Closed, ConnectionError):
        wire.closed()
    assert wire.sock.code in (code, None)
    if code != 1009:
        # What is too large may not be read to its end, and then the answer can be lost.
        assert wire.sock.code == code
    assert listener.message().payload == b"gone"


def test_a_clean_close_is_as_good_as_a_disconnect_and_a_lost_connection_is_not(ombra, open_websocket):
    listener = open_websocket()
    listener.connect("listens")
    listener.subscribe("left/#")
    clean, lost = open_websocket(), open_websocket()
    for name, wire in [("clean", clean), ("lost", lost)]:
        assert wire.connect(name, will=Will(f"left/{name}", b"gone")).reason == 0
    clean.sock.frame(websockets.CLOSE, b"\x03\xe8")
    assert clean.closed() is None and clean.sock.code == 1000
    ended = ombra.event("disconnected", client_id="clean")
    assert ended["reason"] == "CLIENT_INITIATED_DISCONNECT"
    lost.sock.close()
    assert listener.message().topic == "left/lost"
    assert not listener.ping().inbox


def test_a_disconnect_is_followed_by_a_close_frame(open_websocket):
    wire = open_websocket()
    wire.connect("polite")
    wire.send(packets.disconnect())
    assert wire.closed() is None and wire.sock.code == 1000


# WebSockets: the clients people use.


class Paho:
    """paho-mqtt with what it heard."""

    def __init__(self, name, version):
        protocol = paho.MQTTv5 if version == V5 else paho.MQTTv311
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2, name, protocol=protocol, transport="websockets")
        self.heard, self.said = queue.Queue(), queue.Queue()
        self.client.on_connect = lambda client, data, flags, reason, props: self.said.put(reason)
        self.client.on_subscribe = lambda client, data, mid, codes, props: self.said.put(codes[0])
        self.client.on_message = lambda client, data, message: self.heard.put(message)

    def round_trip(self, port, topic):
        """Connect, hear oneself, leave."""
        self.client.connect("localhost", port, keepalive=60)
        self.client.loop_start()
        try:
            assert not self.said.get(timeout=PATIENCE).is_failure
            self.client.subscribe(topic, 1)
            assert not self.said.get(timeout=PATIENCE).is_failure
            self.client.publish(topic, b"z" * 5000, qos=1).wait_for_publish(PATIENCE)
            assert self.heard.get(timeout=PATIENCE).payload == b"z" * 5000
            self.client.disconnect()
        finally:
            self.client.loop_stop()


@both_versions
def test_paho_over_a_websocket_with_a_certificate(ombra, workshop, version):
    device = workshop.device(policy=own_topics())
    client = Paho(device.name, version)
    client.client.tls_set_context(device.context())
    client.client.ws_set_options(path="/mqtt")
    client.round_trip(ombra.address("tls")[1], f"{device.name}/echo")


@both_versions
def test_paho_over_a_signed_websocket_without_tls(ombra, version):
    client = Paho(f"paho-{version}", version)
    port = ombra.address("http")[1]
    client.client.ws_set_options(path=websockets.signed(f"localhost:{port}"))
    client.round_trip(port, f"paho/{version}")


@pytest.fixture(params=[None, "session/token+=="], ids=["key", "session"])
def credentials(request):
    """Static credentials, lasting and temporary."""
    return auth.AwsCredentialsProvider.new_static("AKIDEXAMPLE", "secret", request.param)


def test_the_sdk_connects_with_mqtt_3_over_a_signed_websocket(ombra, credentials):
    heard = queue.Queue()
    connection = mqtt_connection_builder.websockets_with_default_aws_signing(
        region="us-east-1", credentials_provider=credentials, endpoint="localhost", port=ombra.address("tls")[1],
        ca_filepath=str(ombra.ca), client_id="sdk-3",
    )
    connection.connect().result(PATIENCE)
    try:
        done, _ = connection.subscribe("sdk/3", mqtt.QoS.AT_LEAST_ONCE, lambda topic, payload, **_: heard.put(payload))
        done.result(PATIENCE)
        connection.publish("sdk/3", b"hello", mqtt.QoS.AT_LEAST_ONCE)[0].result(PATIENCE)
        assert heard.get(timeout=PATIENCE) == b"hello"
    finally:
        connection.disconnect().result(PATIENCE)


def test_the_sdk_connects_with_mqtt_5_over_a_signed_websocket(ombra, credentials):
    heard, came, left = queue.Queue(), queue.Queue(), queue.Queue()
    client = mqtt5_client_builder.websockets_with_default_aws_signing(
        region="us-east-1", credentials_provider=credentials, endpoint="localhost", port=ombra.address("tls")[1],
        ca_filepath=str(ombra.ca), client_id="sdk-5",
        on_publish_received=lambda data: heard.put(data.publish_packet.payload),
        on_lifecycle_connection_success=came.put, on_lifecycle_connection_failure=came.put,
        on_lifecycle_stopped=left.put,
    )
    client.start()
    try:
        assert isinstance(came.get(timeout=PATIENCE), mqtt5.LifecycleConnectSuccessData)
        wanted = mqtt5.SubscribePacket(subscriptions=[mqtt5.Subscription("sdk/5", mqtt5.QoS.AT_LEAST_ONCE)])
        client.subscribe(subscribe_packet=wanted).result(PATIENCE)
        sent = mqtt5.PublishPacket(topic="sdk/5", qos=mqtt5.QoS.AT_LEAST_ONCE, payload=b"hello")
        client.publish(publish_packet=sent).result(PATIENCE)
        assert heard.get(timeout=PATIENCE) == b"hello"
    finally:
        client.stop()
        left.get(timeout=PATIENCE)


# TLS.


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
@pytest.mark.parametrize(("door", "alpn"), [("mqtts", None), ("tls", "x-amzn-mqtt-ca")])
def test_a_resumed_connection_is_its_device_until_the_certificate_is_deactivated(
    ombra, iot, workshop, version, door, alpn
):
    device = workshop.device(policy=own_topics())
    context = device.context(alpn)
    context.minimum_version = context.maximum_version = version
    session = None

    def resumed() -> packets.Wire:
        raw = socket.create_connection(ombra.address(door), timeout=PATIENCE)
        return packets.Wire(context.wrap_socket(raw, server_hostname="localhost", session=session), V5)

    for round_number in range(3):
        with resumed() as wire:
            assert wire.sock.session_reused == (round_number > 0)
            assert wire.connect(device.name).reason == 0
            # With TLS 1.3 the ticket comes after the handshake, with the first bytes read.
            session = wire.sock.session
            wire.leave()
    iot.update_certificate(certificateId=device.certificate_id, newStatus="INACTIVE")
    with resumed() as wire:
        assert wire.sock.session_reused
        assert wire.connect(device.name).reason == 0x87
    ombra.event(principal=device.certificate_id, decision="INACTIVE")


def test_openssl_resumes_and_stays_the_device(ombra, workshop, tmp_path):
    device = workshop.device(policy=own_topics())
    connect = packets.connect(device.name)
    ticket = tmp_path / "ticket.pem"
    command = [
        "openssl", "s_client", "-connect", f"localhost:{ombra.address('mqtts')[1]}", "-CAfile", str(ombra.ca),
        "-cert", str(device.certificate), "-key", str(device.key),
    ]

    def said(*words) -> str:
        process = subprocess.Popen([*command, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT)
        try:
            process.stdin.write(connect)
            process.stdin.flush()
            wait_for(lambda: ombra.events("connected", client_id=device.name), "the device is in")
            # A DISCONNECT ends the connection, and with it openssl, after it has written the ticket.
            process.stdin.write(packets.disconnect())
            process.stdin.flush()
            return process.communicate(timeout=PATIENCE)[0].decode(errors="replace")
        finally:
            process.kill()
            process.wait(PATIENCE)

    assert "\nNew, " in said("-sess_out", str(ticket))
    before = len(ombra.events("connected", client_id=device.name))
    assert "\nReused, " in said("-sess_in", str(ticket))
    after = wait_for(lambda: ombra.events("connected", client_id=device.name)[before:], "the device is in again")
    assert after[0]["principal"] == device.certificate_id


def shown(ombra, context=None) -> bytes:
    """The server certificate that a new handshake shows."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with tls_socket(ombra, context, "tls") as tls:
        return tls.getpeercert(True)


def test_a_new_server_certificate_is_taken_up_without_dropping_anybody(own_ombra, tmp_path):
    own_ombra.start()
    workshop = Workshop(own_ombra, tmp_path / "devices")
    device = workshop.device()
    certificate, key = (path.read_text() for path in workshop.stranger())
    with device.connect() as wire:
        before = shown(own_ombra)
        (own_ombra.data / "server.key").write_text(key)
        (own_ombra.data / "server.pem").write_text(certificate)
        expected = ssl.PEM_cert_to_DER_cert(certificate)
        wait_for(lambda: shown(own_ombra) == expected, "the new certificate is shown")
        assert before != expected
        wire.ping()
        (own_ombra.data / "server.pem").write_text("nothing at all")
        reason = "server.pem: it holds no PEM certificate"
        wait_for(lambda: reason in own_ombra.errors.read_text(), "the reason is told")
        assert shown(own_ombra) == expected
        wire.ping()
    # What an operator brought is kept over a restart.
    (own_ombra.data / "server.pem").write_text(certificate)
    own_ombra.stop()
    own_ombra.start()
    assert shown(own_ombra) == expected


# Many.


@pytest.mark.parametrize("workers", [1, 3])
def test_messages_pass_between_the_threads_of_connections(own_ombra, tmp_path, workers):
    own_ombra.start("--workers", str(workers))
    tasks = (task.read_text().strip() for task in
             Path(f"/proc/{own_ombra.process.pid}/task").glob("*/comm"))
    assert sorted(name for name in tasks if name.startswith("worker-")) == [f"worker-{n}" for n in range(workers)]
    workshop = Workshop(own_ombra, tmp_path / "devices")
    device = workshop.device()
    with contextlib.ExitStack() as stack:
        wires = [stack.enter_context(device.connect(client_id=f"c{number}")) for number in range(7)]
        for number, wire in enumerate(wires):
            wire.subscribe(f"to/{number}", qos=1)
        for number, wire in enumerate(wires):
            for other in range(len(wires)):
                wire.publish(f"to/{other}", f"from {number}")
        for wire in wires:
            assert {wire.message().payload for _ in wires} == {b"from %d" % number for number in range(len(wires))}


def test_connections_beyond_the_limit_are_closed_at_once_and_told(own_ombra):
    own_ombra.start("--max-connections", "5")

    def held_or_closed():
        """A connection that was not closed at once, if this is one."""
        sock = socket.create_connection(own_ombra.address("mqtts"), timeout=0.3)
        try:
            assert sock.recv(1) == b""
        except TimeoutError:
            return sock
        except ConnectionResetError:
            pass
        return sock.close()

    held = [wait_for(held_or_closed, "there is room") for _ in range(5)]
    assert held_or_closed() is None
    # Who looks for the reason gets in.
    assert metric(own_ombra, "ombra_sockets_turned_away_total") >= 1
    event = own_ombra.event(decision="MAX_CONNECTIONS")
    assert "--max-connections" in event["reason"] and " 5 are open" in event["reason"]
    held.pop().close()
    held.append(wait_for(held_or_closed, "there is room again"))
    for sock in held:
        sock.close()


def test_every_idle_device_hears_that_the_server_stops(own_ombra, tmp_path):
    own_ombra.start()
    workshop = Workshop(own_ombra, tmp_path / "devices")
    device = workshop.device()
    with contextlib.ExitStack() as stack:
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            names = [f"idle-{number}" for number in range(100)]
            wires = list(pool.map(lambda name: device.connect(V5, name), names))
        for wire in wires:
            stack.callback(wire.sock.close)
        address = own_ombra.address("http")
        web = stack.enter_context(packets.Wire(websockets.connect(address), V5))
        assert web.connect("web").reason == 0
        began = time.monotonic()
        own_ombra.process.terminate()
        assert [wire.closed().reason for wire in wires] == [0x8B] * 100
        assert web.closed().reason == 0x8B and web.sock.code == 1000
        web.sock.frame(websockets.CLOSE, b"\x03\xe8")
        assert own_ombra.process.wait(PATIENCE) == 0
        assert time.monotonic() - began < 5


def test_a_storm_of_handshakes_does_not_starve_who_is_connected(ombra, workshop):
    device = workshop.device()
    context = device.context()

    def come_and_go(_):
        with tls_socket(ombra, context):
            return True

    with device.connect() as wire, concurrent.futures.ThreadPoolExecutor(32) as pool:
        storm = [pool.submit(come_and_go, number) for number in range(300)]
        waits = []
        while not all(one.done() for one in storm):
            began = time.monotonic()
            wire.ping()
            waits.append(time.monotonic() - began)
        assert all(one.result() for one in storm)
    # The clients of the storm share this process and its two cores, so that this is generous.
    assert sorted(waits)[len(waits) // 2] < 0.5


# HTTPS publications.


@pytest.fixture(scope="module")
def publisher(workshop):
    """Publishes over HTTPS."""
    return workshop.device(policy=ALLOW_ALL)


def https(ombra, device, path, body, headers, alpn) -> tuple[int, bytes]:
    """One POST with the device's certificate."""
    port = ombra.address("tls")[1]
    connection = http.client.HTTPSConnection("localhost", port, timeout=PATIENCE, context=device.context(alpn))
    try:
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


PAIRS = [{"colour": "red"}, {"colour": "blue"}, {"größe": "groß"}]


@pytest.mark.parametrize("alpn", [None, "x-amzn-http-ca"])
@pytest.mark.parametrize("form", [json.dumps(PAIRS), json.dumps(json.dumps(PAIRS))], ids=["array", "string"])
def test_the_properties_of_an_https_publication_reach_mqtt_5(ombra, workshop, publisher, alpn, form):
    query = urllib.parse.urlencode({
        "qos": 1, "contentType": "text/plain", "responseTopic": "answer/here", "messageExpiry": 120,
    })
    headers = {
        "x-amz-mqtt5-user-properties": base64.b64encode(form.encode()).decode(),
        "x-amz-mqtt5-payload-format-indicator": "UTF8_DATA",
        "x-amz-mqtt5-correlation-data": base64.b64encode(b"\x00\x01correlated").decode(),
    }
    with workshop.device().connect(V5) as wire, workshop.device().connect(V311) as older:
        wire.subscribe("props/#", qos=1)
        older.subscribe("props/#", qos=1)
        status, body = https(ombra, publisher, f"/topics/props/x?{query}", "grüße".encode(), headers, alpn)
        assert status == 200, body
        message = wire.message()
        assert (message.topic, message.payload, message.qos) == ("props/x", "grüße".encode(), 1)
        expiry = message.props.pop("message_expiry_interval")
        assert 118 <= expiry <= 120
        assert message.props == {
            "user_property": [("colour", "red"), ("colour", "blue"), ("größe", "groß")],
            "payload_format_indicator": 1, "content_type": "text/plain", "response_topic": "answer/here",
            "correlation_data": b"\x00\x01correlated",
        }
        assert older.message().payload == "grüße".encode()


def test_properties_that_make_no_sense_are_refused_over_https(ombra, publisher):
    encoded = base64.b64encode(b"[]").decode()
    for query, headers in [
        ("responseTopic=a/%23", {}),
        ("", {"x-amz-mqtt5-user-properties": "%%%"}),
        ("", {"x-amz-mqtt5-user-properties": base64.b64encode(b'{"a":1}').decode()}),
        ("", {"x-amz-mqtt5-correlation-data": "%%%"}),
        ("", {"x-amz-mqtt5-payload-format-indicator": "LATIN1", "x-amz-mqtt5-user-properties": encoded}),
        ("qos=2", {}),
    ]:
        status, body = https(ombra, publisher, f"/topics/props/bad?{query}", b"x", headers, None)
        assert status == 400, (query, headers, body)


# What is counted.


def test_what_comes_and_goes_is_counted(own_ombra, tmp_path):
    own_ombra.start()
    workshop = Workshop(own_ombra, tmp_path / "devices")
    device = workshop.device()
    with device.connect() as wire:
        wire.subscribe("count/#")
        for _ in range(3):
            wire.publish("count/x", b"x" * 1000)
            wire.message()
        assert metric(own_ombra, "ombra_connections") == 1
        assert metric(own_ombra, "ombra_connections_total") == 1
        assert metric(own_ombra, "ombra_messages_received_total") == 3
        assert 3000 < metric(own_ombra, "ombra_bytes_received_total") < 4000
        assert 3000 < metric(own_ombra, "ombra_bytes_sent_total") < 4000
    with contextlib.suppress(OSError, packets.Closed), tls_socket(own_ombra, tls_context(own_ombra)) as tls:
        tls.recv(1)
    name = 'ombra_handshake_failures_total{reason="no_certificate"}'
    wait_for(lambda: metric(own_ombra, name) == 1, "the failed handshake is counted")
    wait_for(lambda: metric(own_ombra, "ombra_connections") == 0, "the device has left")
    assert metric(own_ombra, 'ombra_disconnections_total{reason="CONNECTION_LOST"}') == 1
