"""Hostile clients beside well-behaved neighbours: each is bounded, refused or dropped by name, and nobody else suffers.

A pair of neighbours exchanges QoS 1 messages all the while. After each test the pair must have missed nothing and gone
on, and the server must not have grown beyond a bound. Three that take their time, because the server's patience is
long, start with the module and are looked at last.
"""

import concurrent.futures
import contextlib
import socket
import ssl
import threading
import time

import pytest

import packets
from authorities import CertificateAuthority
from devices import tls_socket
from house import PATIENCE, wait_for
from packets import CONNACK, PUBACK, PUBLISH, SUBACK, UNSUBACK, V5, V311, Closed

#: Neighbours never wait longer than this for a whole round, however busy the server is.
SLOWEST = 10.0
#: Kilobytes of resident memory, whatever is done to the server.
LARGEST = 200_000
#: The server lets nobody have a shorter one.
KEEP_ALIVE = 30
#: Messages that anybody may leave unacknowledged.
IN_FLIGHT = 100
#: Messages that are kept for who is away.
STORED = 10_000
KILOBYTE = b"x" * 1024
pytestmark = pytest.mark.timeout(150)


class Neighbours(threading.Thread):
    """Two who tell one another a number again and again, and note how long the slowest round took."""

    def __init__(self, device):
        super().__init__(daemon=True)
        self.one, self.other = (device.connect(version, client_id=f"neighbour-{version}") for version in (V311, V5))
        self.one.subscribe("neighbours/one", qos=1)
        self.other.subscribe("neighbours/other", qos=1)
        self.rounds, self.slowest, self.trouble = 0, 0.0, None
        self.moving = threading.Event()

    def run(self):
        """Round after round, each number received once and in its turn."""
        try:
            while not self.moving.is_set():
                began, number = time.monotonic(), str(self.rounds).encode()
                for sender, receiver, topic in (
                    (self.one, self.other, "neighbours/other"), (self.other, self.one, "neighbours/one"),
                ):
                    assert sender.publish(topic, number).reason == 0
                    assert receiver.message().payload == number
                self.slowest = max(self.slowest, time.monotonic() - began)
                self.rounds += 1
        except Exception as error:
            self.trouble = error

    def go_on(self) -> None:
        """They do, and are not held up."""
        rounds = self.rounds
        wait_for(lambda: self.trouble or self.rounds >= rounds + 10, "ten rounds of the neighbours")
        assert self.trouble is None and self.slowest < SLOWEST, (self.trouble, self.slowest)

    def leave(self) -> None:
        """Move away."""
        self.moving.set()
        self.join(PATIENCE)
        self.one.leave()
        self.other.leave()


class Dribble(threading.Thread):
    """Sends bytes one at a time, one each second, and notes after how long the server has had enough."""

    def __init__(self, wire, data: bytes):
        super().__init__(daemon=True)
        self.wire, self.data = wire, data
        self.began, self.lasted, self.goodbye = time.monotonic(), None, None

    def run(self):
        """Until it is cut or has said all."""
        self.wire.sock.settimeout(1)
        for at in range(len(self.data)):
            self.wire.send(self.data[at:at + 1])
            try:
                while True:
                    got = self.wire.read()
                    self.goodbye = got if got.kind == packets.DISCONNECT else self.goodbye
            except TimeoutError:
                pass
            except Closed:
                break
        self.lasted = time.monotonic() - self.began


class Deaf(threading.Thread):
    """Never reads, once it has subscribed at QoS 0; what matches it is published without end."""

    def __init__(self, device):
        super().__init__(daemon=True)
        self.deaf = device.connect(client_id="deaf-0")
        self.deaf.subscribe("deaf/0")
        self.publisher = device.connect(client_id="publisher-for-deaf-0")
        self.done = threading.Event()

    def run(self):
        """Ten thousands of messages at once, then enough to keep the socket full."""
        for _ in range(20_000):
            self.publisher.send(packets.publish("deaf/0", KILOBYTE))
        while not self.done.wait(0.5):
            self.publisher.send(packets.publish("deaf/0", KILOBYTE)).ping()


@pytest.fixture(scope="module")
def device(workshop):
    """One certificate for everybody here; client ids tell them apart."""
    return workshop.device("street")


@pytest.fixture(scope="module")
def neighbours(device):
    """The pair, as long as the module lasts."""
    pair = Neighbours(device)
    pair.start()
    yield pair
    pair.leave()


@pytest.fixture(autouse=True)
def street(ombra, neighbours, slow):
    """After each test: the server lives and is no larger than it may be, the neighbours go on."""
    neighbours.go_on()
    yield
    neighbours.go_on()
    assert memory(ombra) < LARGEST
    assert ombra.alive()


@pytest.fixture(scope="module")
def slow(device):
    """Those who are looked at last."""
    hesitant = Dribble(device.wire(), packets.connect("hesitant"))
    stammering = Dribble(
        device.connect(V5, client_id="stammering", keep_alive=KEEP_ALIVE), packets.publish("s", KILOBYTE, V5)[:90]
    )
    deaf = Deaf(device)
    for thread in (hesitant, stammering, deaf):
        thread.start()
    yield hesitant, stammering, deaf
    deaf.done.set()


def memory(ombra) -> int:
    """Kilobytes that the server has had resident at most."""
    status = open(f"/proc/{ombra.process.pid}/status").read()
    return int(status.split("VmHWM:")[1].split()[0])


def flood(device, topic: str, count: int, qos: int) -> None:
    """Publish a kilobyte so many times, never waiting for more than the window allows."""
    with device.connect(client_id=f"flood-{topic.replace('/', '-')}") as wire:
        open_acks = 0
        for number in range(count):
            wire.send(packets.publish(topic, KILOBYTE, qos=qos, identifier=number % 60_000 + 1))
            open_acks += qos
            while open_acks >= 50:
                wire.expect(PUBACK)
                open_acks -= 1
        for _ in range(open_acks):
            wire.expect(PUBACK)
        wire.ping()


def ended(ombra, client_id: str) -> tuple[str, str]:
    """How the server says that a client's connection ended."""
    event = ombra.event("disconnected", client_id=client_id)
    return event["reason"], event["detail"]


def test_who_reads_nothing_is_dropped_by_name(ombra, device):
    with device.connect(client_id="deaf-1") as deaf:
        deaf.subscribe("deaf/1", qos=1)
        flood(device, "deaf/1", 20_000, qos=1)
        reason, detail = ended(ombra, "deaf-1")
        assert reason == "THROTTLED" and detail


@pytest.mark.parametrize("receive_maximum", [10, None])
def test_who_never_acknowledges_is_dropped_by_name(ombra, device, receive_maximum):
    """So many come as it is ready for, but no more than the server's own bound; the rest queues, and not for ever."""
    name = f"silent-{receive_maximum}"
    with device.wire(V5 if receive_maximum else V311) as wire:
        wire.connect(name, props={"receive_maximum": receive_maximum} if receive_maximum else None)
        wire.subscribe(name, qos=1)
        took, before = [], memory(ombra)

        def read():
            with contextlib.suppress(Closed, OSError):
                while True:
                    took.append(wire.read())

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        flood(device, name, 20_000, qos=1)
        reason, detail = ended(ombra, name)
        assert reason == "THROTTLED" and detail
        reader.join(PATIENCE)
        assert memory(ombra) < before + 60_000
        messages = [got.identifier for got in took if got.kind == PUBLISH]
        assert len(messages) == (receive_maximum or IN_FLIGHT)
        assert len(set(messages)) == len(messages), "an identifier was given twice while in use"


def test_who_stays_away_is_kept_so_much_and_no_more(ombra, device):
    """A session outlives its connection, but its queue has an end."""
    with device.connect(client_id="away", clean=False) as wire:
        assert wire.subscribe("away", qos=1) == [1]
        wire.leave()
    before = memory(ombra)
    flood(device, "away", STORED + 1_000, qos=1)
    assert "queue is full" in ombra.event("quota", client_id="away")["limit"]
    assert len(ombra.events("quota", client_id="away")) < 500, "not an event for each"
    assert memory(ombra) < before + 60_000
    with device.wire() as wire:
        assert wire.connect("away", clean=False).session_present
        for _ in range(STORED):
            assert wire.message().payload == KILOBYTE
        wire.publish("away", b"the end")
        beyond = 0
        while wire.message().payload != b"the end":
            beyond += 1
        assert beyond < 500, "what was decided at the same time may all be kept"
        wire.leave()


@pytest.mark.parametrize("version", [V311, V5])
def test_ten_thousand_filters_are_refused_by_name(ombra, device, version):
    name = f"collector-{version}"
    with device.connect(version, client_id=name) as wire:
        reasons = []
        for start in range(0, 10_000, 8):
            reasons += wire.subscribe(*(f"collected/{name}/{number}" for number in range(start, start + 8)))
        granted = reasons.count(0)
        assert 50 <= granted < 10_000 and set(reasons[granted:]) == {0x97 if version == V5 else 0x80}
        event = ombra.event("refusal", client_id=name)
        assert (event["action"], event["decision"]) == ("iot:Subscribe", "QUOTA") and str(granted) in event["reason"]
        # It goes on with those that it has.
        wire.publish(f"collected/{name}/0", b"one of the first")
        assert wire.message().payload == b"one of the first"


def test_a_packet_of_ten_megabytes_is_refused_by_its_first_bytes(ombra, device, neighbours):
    before = memory(ombra)
    with device.connect(V5, client_id="boaster") as wire:
        wire.send(packets.publish("boast", b"x" * 10_000_000, V5))
        goodbye = wire.closed()
        assert goodbye is None or goodbye.reason == 0x95
    reason, detail = ended(ombra, "boaster")
    assert (reason, "larger" in detail) == ("CLIENT_ERROR", True)
    assert memory(ombra) < before + 20_000, "it was not collected first"


def test_ten_megabytes_in_packets_of_legal_size_are_taken(ombra, device):
    with device.connect(V5, client_id="talker") as wire:
        for number in range(80):
            assert wire.publish("talk", b"x" * 131_000).reason in (0, 0x10)


def test_two_thousand_who_never_send_a_byte_are_cut(ombra, device, neighbours):
    doors = [ombra.address(door) for door in ("mqtts", "tls")]
    crowd = [socket.create_connection(doors[number % 2], PATIENCE) for number in range(2_000)]
    try:
        neighbours.go_on()
        device.connect(client_id="late-comer").leave()
        for connection in crowd:
            connection.settimeout(PATIENCE)
            try:
                assert connection.recv(1) == b""
            except ConnectionError:
                pass
    finally:
        for connection in crowd:
            connection.close()


def test_who_subscribes_and_unsubscribes_without_end_holds_nobody_up(ombra, device):
    with device.connect(V5, client_id="fidget") as wire:
        turns = b"".join(
            packets.subscribe(number, [("fidget/+/#", 1)], V5) + packets.unsubscribe(number, ["fidget/+/#"], V5)
            for number in range(1, 101)
        )
        for _ in range(100):
            wire.send(turns)
            for _ in range(100):
                assert wire.expect(SUBACK).reasons == [1]
                assert wire.expect(UNSUBACK).reasons == [0]
        # None of the ten thousand is left behind.
        wire.publish("fidget/a/b", b"")
        wire.ping()
        assert not wire.inbox


def test_who_asks_without_end_and_never_reads_is_bounded(ombra, device):
    with device.connect(client_id="asker") as wire:
        wire.sock.settimeout(1)
        asked = 0
        try:
            while asked < 30_000_000:
                asked += wire.sock.send(packets.packet(packets.PINGREQ) * 8_000)
        except (TimeoutError, ssl.SSLError, ConnectionError):
            pass
        assert memory(ombra) < LARGEST


def test_a_connect_that_comes_byte_by_byte_is_cut_by_name(ombra, slow):
    hesitant = slow[0]
    wait_for(lambda: hesitant.lasted, "the end of a slow CONNECT")
    assert 9 < hesitant.lasted < 15
    wait_for(lambda: [e for e in ombra.events() if e["action"] == "iot:Connect" and "10 s" in e["reason"]], "its event")


def test_part_of_a_packet_is_no_sign_of_life(ombra, slow):
    """[MQTT-3.1.2-22] speaks of a whole packet."""
    stammering = slow[1]
    wait_for(lambda: stammering.lasted, "the end of a slow PUBLISH", 100)
    assert 1.5 * KEEP_ALIVE - 2 < stammering.lasted < 1.5 * KEEP_ALIVE + 15, "1.5 times the keep-alive"
    assert stammering.goodbye and stammering.goodbye.reason == 0x8D
    assert ended(ombra, "stammering")[0] == "MQTT_KEEP_ALIVE_TIMEOUT"


def test_who_reads_nothing_at_qos_0_is_dropped_by_name(ombra, slow):
    event = wait_for(lambda: ombra.events("disconnected", client_id="deaf-0"), "the end of the deaf one", 60)[-1]
    assert event["reason"] == "THROTTLED" and event["detail"]


# Certificates.


def knock(ombra, held) -> bool:
    """Whether a device with this certificate is let in."""
    context = ssl.create_default_context(cafile=str(ombra.ca))
    context.load_cert_chain(held.certificate, held.key)
    try:
        return packets.Wire(tls_socket(ombra, context), V5).connect("crowd").reason == 0
    except (Closed, OSError):
        return False


def test_a_crowd_of_unknown_certificates_leaves_nothing_behind(ombra, iot, tmp_path):
    ca = CertificateAuthority(tmp_path / "unknown")
    crowd = [ca.issue(str(number)) for number in range(200)]
    before = len(iot.list_certificates(pageSize=250)["certificates"])
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        assert not any(pool.map(lambda held: knock(ombra, held), crowd))
    assert len(iot.list_certificates(pageSize=250)["certificates"]) == before


def test_a_crowd_that_registers_itself_comes_at_a_bounded_pace(ombra, iot, tmp_path):
    ca = CertificateAuthority(tmp_path / "crowd")
    code = iot.get_registration_code()["registrationCode"]
    ca_id = iot.register_ca_certificate(
        caCertificate=ca.pem, verificationCertificate=ca.issue(code).text, setAsActive=True, allowAutoRegistration=True,
    )["certificateId"]
    crowd = [ca.issue(str(number)) for number in range(200)]
    began = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        assert not any(pool.map(lambda held: knock(ombra, held), crowd))
    seconds = int(time.monotonic() - began) + 2
    registered = iot.list_certificates_by_ca(caCertificateId=ca_id, pageSize=250)["certificates"]
    assert 50 <= len(registered) <= 50 * seconds
    assert {entry["status"] for entry in registered} == {"PENDING_ACTIVATION"}
    if len(registered) < len(crowd):
        assert ombra.events(decision="THROTTLED")
