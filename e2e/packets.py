"""MQTT packets byte by byte, for what no well-behaved client library can send or show.

Builders return bytes, `Wire` speaks them over a socket, `Packet` is what came back. Deliberately small and strict:
it knows enough of 3.1.1 (level 4) and 5 (level 5) to write the scripts of these tests, and refuses to read anything
that it does not know, so a malformed answer is a failure and not a shrug.
"""

import itertools
import select
import socket
import ssl
import struct
from dataclasses import dataclass, field

V311, V5 = 4, 5

CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK = range(1, 12)
PINGREQ, PINGRESP, DISCONNECT, AUTH = range(12, 16)

#: Property identifiers with their names and types (MQTT 5, section 2.2.2.2).
PROPERTIES = {
    0x01: ("payload_format_indicator", "byte"), 0x02: ("message_expiry_interval", "four"),
    0x03: ("content_type", "text"), 0x08: ("response_topic", "text"), 0x09: ("correlation_data", "binary"),
    0x0B: ("subscription_identifier", "varint"), 0x11: ("session_expiry_interval", "four"),
    0x12: ("assigned_client_identifier", "text"), 0x13: ("server_keep_alive", "two"),
    0x15: ("authentication_method", "text"), 0x16: ("authentication_data", "binary"),
    0x17: ("request_problem_information", "byte"), 0x18: ("will_delay_interval", "four"),
    0x19: ("request_response_information", "byte"), 0x1A: ("response_information", "text"),
    0x1C: ("server_reference", "text"), 0x1F: ("reason_string", "text"), 0x21: ("receive_maximum", "two"),
    0x22: ("topic_alias_maximum", "two"), 0x23: ("topic_alias", "two"), 0x24: ("maximum_qos", "byte"),
    0x25: ("retain_available", "byte"), 0x26: ("user_property", "pair"), 0x27: ("maximum_packet_size", "four"),
    0x28: ("wildcard_subscription_available", "byte"), 0x29: ("subscription_identifiers_available", "byte"),
    0x2A: ("shared_subscription_available", "byte"),
}
#: Which of them a server may send in which packet (MQTT 5, section 2.2.2.2).
_REASONED = {"reason_string", "user_property"}
FROM_SERVER = {
    CONNACK: _REASONED | {
        "session_expiry_interval", "assigned_client_identifier", "server_keep_alive", "authentication_method",
        "authentication_data", "response_information", "server_reference", "receive_maximum", "topic_alias_maximum",
        "maximum_qos", "retain_available", "maximum_packet_size", "wildcard_subscription_available",
        "subscription_identifiers_available", "shared_subscription_available",
    },
    PUBLISH: {
        "payload_format_indicator", "message_expiry_interval", "content_type", "response_topic", "correlation_data",
        "subscription_identifier", "topic_alias", "user_property",
    },
    PUBACK: _REASONED, PUBREC: _REASONED, PUBREL: _REASONED, PUBCOMP: _REASONED, SUBACK: _REASONED,
    UNSUBACK: _REASONED, DISCONNECT: _REASONED | {"server_reference"},
    AUTH: _REASONED | {"authentication_method", "authentication_data"},
}
IDENTIFIERS = {name: (identifier, kind) for identifier, (name, kind) in PROPERTIES.items()}
WIDTHS = {"byte": ">B", "two": ">H", "four": ">I"}


class Closed(Exception):
    """The peer closed the connection."""


# Writing.


def varint(number: int) -> bytes:
    """A variable byte integer."""
    out = bytearray()
    while True:
        number, digit = divmod(number, 128)
        out.append(digit | (0x80 if number else 0))
        if not number:
            return bytes(out)


def binary(data: bytes | str) -> bytes:
    """Two bytes of length, then the data."""
    data = data.encode() if isinstance(data, str) else data
    return struct.pack(">H", len(data)) + data


def properties(values: dict) -> bytes:
    """A property list with its length; `user_property` takes a list of pairs."""
    out = b""
    for name, value in values.items():
        for one in value if name == "user_property" else [value]:
            out += single(name, one)
    return varint(len(out)) + out


def single(name: str, value) -> bytes:
    """One property without the length of a list."""
    identifier, kind = IDENTIFIERS[name]
    return varint(identifier) + _property(kind, value)


def _property(kind: str, value) -> bytes:
    if kind in WIDTHS:
        return struct.pack(WIDTHS[kind], value)
    if kind == "varint":
        return varint(value)
    if kind == "pair":
        return binary(value[0]) + binary(value[1])
    return binary(value)


def packet(kind: int, body: bytes = b"", flags: int = 0) -> bytes:
    """The fixed header before a body."""
    return bytes([kind << 4 | flags]) + varint(len(body)) + body


@dataclass
class Will:
    """What is published when the connection ends badly."""

    topic: str
    payload: bytes = b""
    qos: int = 0
    retain: bool = False
    props: dict = field(default_factory=dict)


def connect(client_id: str | bytes, version: int = V311, *, clean=True, keep_alive=1200, will: Will | None = None,
            username: str | bytes | None = None, password: bytes | None = None, props: dict | None = None,
            protocol: str | bytes = "MQTT", level: int | None = None, reserved=0) -> bytes:
    """CONNECT; `protocol`, `level` and the bits of the flags `reserved` are for who wants it refused."""
    flags = (0x02 if clean else 0) | (0x80 if username is not None else 0) | (0x40 if password is not None else 0)
    if will:
        flags |= 0x04 | will.qos << 3 | (0x20 if will.retain else 0)
    level = version if level is None else level
    body = binary(protocol) + bytes([level, flags | reserved]) + struct.pack(">H", keep_alive)
    body += properties(props or {}) if version == V5 else b""
    body += binary(client_id)
    if will:
        body += (properties(will.props) if version == V5 else b"") + binary(will.topic) + binary(will.payload)
    body += b"" if username is None else binary(username)
    body += b"" if password is None else binary(password)
    return packet(CONNECT, body)


def publish(topic: str, payload: bytes | str = b"", version: int = V311, *, qos=0, retain=False, identifier=0,
            dup=False, props: dict | None = None) -> bytes:
    """PUBLISH."""
    body = binary(topic) + (struct.pack(">H", identifier) if qos else b"")
    body += properties(props or {}) if version == V5 else b""
    body += payload.encode() if isinstance(payload, str) else payload
    return packet(PUBLISH, body, (8 if dup else 0) | qos << 1 | int(retain))


def subscribe(identifier: int, filters: list[tuple[str, int]], version: int = V311, props: dict | None = None) -> bytes:
    """SUBSCRIBE; the number beside each filter is its options byte, in 3.1.1 the QoS."""
    body = struct.pack(">H", identifier) + (properties(props or {}) if version == V5 else b"")
    body += b"".join(binary(name) + bytes([options]) for name, options in filters)
    return packet(SUBSCRIBE, body, 2)


def unsubscribe(identifier: int, filters: list[str], version: int = V311, props: dict | None = None) -> bytes:
    """UNSUBSCRIBE."""
    body = struct.pack(">H", identifier) + (properties(props or {}) if version == V5 else b"")
    return packet(UNSUBSCRIBE, body + b"".join(map(binary, filters)), 2)


def ack(kind: int, identifier: int, reason=0, props: dict | None = None) -> bytes:
    """PUBACK, PUBREC, PUBREL or PUBCOMP; success without properties is written alike by both versions."""
    tail = bytes([reason]) + properties(props) if props else bytes([reason]) if reason else b""
    return packet(kind, struct.pack(">H", identifier) + tail, 2 if kind == PUBREL else 0)


def puback(identifier: int) -> bytes:
    """PUBACK with success."""
    return ack(PUBACK, identifier)


def disconnect(reason=0, props: dict | None = None) -> bytes:
    """DISCONNECT; reason 0 without properties is written alike by both versions."""
    return packet(DISCONNECT, bytes([reason]) + properties(props) if props else bytes([reason]) if reason else b"")


# Reading.


@dataclass
class Packet:
    """One packet from the server, with the fields its kind has."""

    kind: int
    flags: int
    body: bytes
    identifier: int = 0
    topic: str = ""
    payload: bytes = b""
    reason: int = 0
    reasons: list[int] = field(default_factory=list)
    session_present: bool = False
    size: int = 0
    props: dict = field(default_factory=dict)

    @property
    def qos(self) -> int:
        """Of a PUBLISH."""
        return self.flags >> 1 & 3

    @property
    def dup(self) -> bool:
        """Of a PUBLISH."""
        return bool(self.flags & 8)

    @property
    def retain(self) -> bool:
        """Of a PUBLISH."""
        return bool(self.flags & 1)


class _Reader:
    def __init__(self, data: bytes):
        self.data, self.at = data, 0

    def take(self, count: int) -> bytes:
        taken = self.data[self.at:self.at + count]
        assert len(taken) == count, f"packet too short: {self.data!r}"
        self.at += count
        return taken

    def number(self, form: str) -> int:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def binary(self) -> bytes:
        return self.take(self.number(">H"))

    def varint(self) -> int:
        total = 0
        for place in range(4):
            byte = self.number(">B")
            total |= (byte & 0x7F) << 7 * place
            if byte < 0x80:
                return total
        raise AssertionError("a variable byte integer of more than four bytes")

    def rest(self) -> bytes:
        return self.take(len(self.data) - self.at)

    def more(self) -> bool:
        return self.at < len(self.data)

    def properties(self, packet_kind: int) -> dict:
        inner, values = _Reader(self.take(self.varint())), {}
        while inner.more():
            name, kind = PROPERTIES[inner.varint()]
            assert name in FROM_SERVER[packet_kind], f"{name} in a packet of kind {packet_kind}"
            if kind == "pair":
                values.setdefault(name, []).append((inner.binary().decode(), inner.binary().decode()))
                continue
            if kind == "varint":
                values.setdefault(name, []).append(inner.varint())
                continue
            assert name not in values, f"{name} twice"
            if kind in WIDTHS:
                values[name] = inner.number(WIDTHS[kind])
            else:
                values[name] = inner.binary().decode() if kind == "text" else inner.binary()
        return values


def parse(kind: int, flags: int, body: bytes, version: int) -> Packet:
    """Read what a server may send."""
    found, reader, five = Packet(kind, flags, body), _Reader(body), version == V5
    assert kind == PUBLISH or flags == (2 if kind == PUBREL else 0), f"reserved flags in {found}"
    if kind == CONNACK:
        present, found.reason = reader.number(">B"), reader.number(">B")
        assert present <= 1, f"reserved flags in {found}"
        found.session_present, found.props = bool(present), reader.properties(kind) if five else {}
    elif kind == PUBLISH:
        assert found.qos < 3, f"both bits of the QoS in {found}"
        found.topic = reader.binary().decode()
        found.identifier = reader.number(">H") if found.qos else 0
        found.props = reader.properties(kind) if five else {}
        found.payload = reader.rest()
    elif kind in (PUBACK, PUBREC, PUBREL, PUBCOMP):
        found.identifier = reader.number(">H")
        _reason(found, reader, five)
    elif kind in (SUBACK, UNSUBACK):
        found.identifier = reader.number(">H")
        found.props = reader.properties(kind) if five else {}
        found.reasons = list(reader.rest())
    elif kind in (DISCONNECT, AUTH) and five:
        _reason(found, reader, five)
    else:
        assert kind == PINGRESP, f"a server does not send packets of kind {kind}"
    assert not reader.more(), f"bytes left over in {found}"
    return found


def _reason(found: Packet, reader: _Reader, five: bool) -> None:
    """The reason and the properties that MQTT 5 may leave out."""
    if five:
        found.reason = reader.number(">B") if reader.more() else 0
        found.props = reader.properties(found.kind) if reader.more() else {}


class Wire:
    """One connection that speaks raw packets; publications that arrive meanwhile are kept in `inbox`."""

    def __init__(self, sock: socket.socket, version: int = V311, patience: float = 20.0):
        self.sock, self.version = sock, version
        self.sock.settimeout(patience)
        self.inbox: list[Packet] = []
        self.ahead = bytearray()
        self.numbers = itertools.cycle(range(1, 65536))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    # Bytes and packets.

    def send(self, data: bytes) -> "Wire":
        """Send bytes as they are; a peer that is already gone shows when reading."""
        try:
            self.sock.sendall(data)
        except (ConnectionError, ssl.SSLError):
            pass
        return self

    def read(self) -> Packet:
        """The next packet of any kind."""
        first = self._exactly(1)[0]
        length, place = 0, 0
        while True:
            byte = self._exactly(1)[0]
            length |= (byte & 0x7F) << place
            place += 7
            if byte < 0x80:
                break
        return parse(first >> 4, first & 15, self._exactly(length), self.version)

    def _exactly(self, count: int) -> bytes:
        while len(self.ahead) < count:
            try:
                piece = self.sock.recv(65536)
            except (ConnectionError, ssl.SSLError) as error:
                if isinstance(error, TimeoutError):
                    raise
                raise Closed(repr(error)) from error
            if not piece:
                raise Closed("end of stream")
            self.ahead += piece
        data = bytes(self.ahead[:count])
        del self.ahead[:count]
        return data

    def waits(self) -> bool:
        """Whether bytes are there to be read; over plain TCP only, since TLS keeps some to itself."""
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        return bool(self.ahead) or bool(poll.poll(0))

    def expect(self, kind: int) -> Packet:
        """The next packet of this kind; publications before it are kept and acknowledged."""
        while True:
            got = self.read()
            if got.kind == kind:
                return self._took(got) if kind == PUBLISH else got
            assert got.kind == PUBLISH, f"expected kind {kind}, got {got}"
            self.inbox.append(self._took(got))

    def _took(self, got: Packet) -> Packet:
        if got.qos:
            self.send(puback(got.identifier))
        return got

    def closed(self) -> Packet | None:
        """Read on until the peer closes; the DISCONNECT that it sent before, if it did."""
        last = None
        try:
            while True:
                got = self.read()
                last = got if got.kind == DISCONNECT else last
        except Closed:
            return last

    # What a client does.

    def connect(self, client_id: str, **options) -> Packet:
        """CONNECT and its answer."""
        return self.send(connect(client_id, self.version, **options)).expect(CONNACK)

    def subscribe(self, *filters: str, qos: int = 0) -> list[int]:
        """SUBSCRIBE and the codes of its answer."""
        self.send(subscribe(next(self.numbers), [(name, qos) for name in filters], self.version))
        return self.expect(SUBACK).reasons

    def unsubscribe(self, *filters: str) -> Packet:
        """UNSUBSCRIBE and its answer."""
        return self.send(unsubscribe(next(self.numbers), list(filters), self.version)).expect(UNSUBACK)

    def publish(self, topic: str, payload: bytes | str = b"", qos: int = 1, **options) -> Packet | None:
        """PUBLISH, and its PUBACK at QoS 1."""
        identifier = next(self.numbers) if qos else 0
        self.send(publish(topic, payload, self.version, qos=qos, identifier=identifier, **options))
        if not qos:
            return None
        answer = self.expect(PUBACK)
        assert answer.identifier == identifier
        return answer

    def message(self) -> Packet:
        """The next publication, kept or coming."""
        return self.inbox.pop(0) if self.inbox else self.expect(PUBLISH)

    def message_on(self, topic: str) -> Packet:
        """The next publication on a topic; others stay where they are."""
        for index, kept in enumerate(self.inbox):
            if kept.topic == topic:
                return self.inbox.pop(index)
        while True:
            got = self.expect(PUBLISH)
            if got.topic == topic:
                return got
            self.inbox.append(got)

    def ping(self) -> "Wire":
        """A round trip: whatever the server sent before has arrived after it."""
        self.send(packet(PINGREQ)).expect(PINGRESP)
        return self

    def leave(self) -> None:
        """Say goodbye."""
        self.send(disconnect())
        self.sock.close()
