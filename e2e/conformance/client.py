"""A client that does only what its script says: nothing is acknowledged, repeated or forgiven unless asked for.

What arrives is kept in order until it is asked for by kind. Everything that is not as the script says is a
`Difference`, whose words are the verdict's explanation.
"""

import itertools
import socket
import ssl
import time

import packets
from packets import (
    AUTH,
    CONNACK,
    DISCONNECT,
    PINGREQ,
    PINGRESP,
    PUBACK,
    PUBCOMP,
    PUBLISH,
    PUBREC,
    PUBREL,
    SUBACK,
    SUBSCRIBE,
    UNSUBACK,
    UNSUBSCRIBE,
    V5,
    Packet,
)

#: How long a broker may take to notice that a time is over; the standards give none, so this is generous.
NOTICE = 10.0
#: How long nothing must come for it to count as nothing.
QUIET = 0.3
NAMES = {
    CONNACK: "CONNACK", PUBLISH: "PUBLISH", PUBACK: "PUBACK", PUBREC: "PUBREC", PUBREL: "PUBREL", PUBCOMP: "PUBCOMP",
    SUBSCRIBE: "SUBSCRIBE", SUBACK: "SUBACK", UNSUBSCRIBE: "UNSUBSCRIBE", UNSUBACK: "UNSUBACK",
    PINGRESP: "PINGRESP", DISCONNECT: "DISCONNECT", AUTH: "AUTH",
}


class Difference(AssertionError):
    """The broker did something else than the rules say."""


class NotSupported(Exception):
    """The broker says that it has not what the script is about, as the rules allow."""


class Closed(Exception):
    """The broker closed the connection."""


class Silent(Exception):
    """Nothing came in time."""


def shown(packet: Packet | None) -> str:
    """A packet in a few words, without what differs from run to run."""
    if packet is None:
        return "nothing"
    words = [NAMES[packet.kind]]
    if packet.kind == PUBLISH:
        payload = packet.payload if len(packet.payload) <= 20 else f"{len(packet.payload)} bytes"
        words.append(f"{payload!s} QoS {packet.qos}{' DUP' * packet.dup}{' RETAIN' * packet.retain}")
    if packet.kind in (CONNACK, DISCONNECT) or packet.reason:
        words.append(f"0x{packet.reason:02X}")
    if packet.reasons:
        words.append(" ".join(f"0x{reason:02X}" for reason in packet.reasons))
    return " ".join(words)


def _plain(value) -> str:
    if isinstance(value, bool) or not isinstance(value, int):
        return repr(value)[:60]
    return f"0x{value:02X}"


class Client:
    """One connection."""

    #: How long something that must come may take; a broker in order answers at once, so only failures wait for it.
    patience = 5.0

    def __init__(self, sock: socket.socket, version: int, client_id: str = ""):
        self.sock, self.version, self.client_id = sock, version, client_id
        self.waiting: list[Packet] = []
        self.numbers = itertools.count(1)
        self.connack: Packet | None = None
        self._bytes = b""

    # Bytes and packets.

    def send(self, *data: bytes) -> "Client":
        """Send bytes as they are; a broker that is already gone shows when reading."""
        self.sock.settimeout(self.patience)
        try:
            self.sock.sendall(b"".join(data))
        except (OSError, ssl.SSLError):
            pass
        return self

    def _read(self, deadline: float) -> Packet:
        while True:
            if packet := self._cut():
                return packet
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise Silent
            self._bytes += self._receive(remaining)

    def _receive(self, seconds: float) -> bytes:
        self.sock.settimeout(seconds)
        try:
            more = self.sock.recv(65536)
        except (TimeoutError, ssl.SSLWantReadError):
            raise Silent from None
        except (OSError, ssl.SSLError):
            raise Closed from None
        if not more:
            raise Closed
        return more

    def _cut(self) -> Packet | None:
        length = 0
        for place, byte in enumerate(self._bytes[1:6]):
            if place == 4:
                raise Difference("the broker sent a length of more than four bytes")
            length |= (byte & 0x7F) << 7 * place
            if byte < 0x80:
                whole = 2 + place + length
                break
        else:
            return None
        if len(self._bytes) < whole:
            return None
        first, body, self._bytes = self._bytes[0], self._bytes[2 + place:whole], self._bytes[whole:]
        found = packets.parse(first >> 4, first & 15, body, self.version)
        found.size = whole
        return found

    # What comes.

    def expect(self, kind: int, patience: float | None = None, **fields) -> Packet:
        """The next packet of this kind, whose fields are these; others are kept until asked for."""
        payload = fields.get("payload")
        words = NAMES[kind] + (f" {payload}" if payload is not None and len(payload) <= 20 else "")
        try:
            got = self._next_of(kind, patience or self.patience, words)
        except Silent:
            instead = self.waiting[0] if self.waiting else None
            raise Difference(f"expected {words}, got {shown(instead)}") from None
        for name, wanted in fields.items():
            found = getattr(got, name)
            if found != wanted:
                what = f"{name.replace('_', ' ')} {_plain(wanted)}"
                raise Difference(f"expected {NAMES[kind]} with {what}, got {_plain(found)}")
        return got

    def _next_of(self, kind: int, patience: float, words: str) -> Packet:
        for index, kept in enumerate(self.waiting):
            if kept.kind == kind:
                return self.waiting.pop(index)
        deadline = time.monotonic() + patience
        while True:
            try:
                got = self._read(deadline)
            except Closed:
                raise Difference(f"expected {words}, got the connection closed") from None
            if got.kind == kind:
                return got
            if got.kind == DISCONNECT:
                raise Difference(f"expected {words}, got {shown(got)}")
            self.waiting.append(got)

    def arrival(self, payload: bytes | str | None = None, **fields) -> Packet:
        """The next PUBLISH, not acknowledged."""
        if payload is not None:
            fields["payload"] = payload.encode() if isinstance(payload, str) else payload
        return self.expect(PUBLISH, **fields)

    def message(self, payload: bytes | str | None = None, **fields) -> Packet:
        """The next PUBLISH, acknowledged to the end."""
        got = self.arrival(payload, **fields)
        self.accept(got)
        return got

    def accept(self, got: Packet) -> None:
        """Acknowledge a PUBLISH to the end."""
        if got.qos == 1:
            self.ack(PUBACK, got.identifier)
        elif got.qos == 2:
            self.ack(PUBREC, got.identifier)
            self.expect(PUBREL, identifier=got.identifier, reason=0)
            self.ack(PUBCOMP, got.identifier)

    def messages(self, *payloads: bytes | str, **fields) -> list[Packet]:
        """These publications in this order, acknowledged."""
        return [self.message(payload, **fields) for payload in payloads]

    def quiet(self, seconds: float = QUIET, kinds: tuple = (PUBLISH,)) -> "Client":
        """No packet of these kinds comes, and the connection stays."""
        deadline = time.monotonic() + seconds
        try:
            while True:
                self.waiting.append(self._read(deadline))
        except Silent:
            pass
        except Closed:
            raise Difference("expected nothing, got the connection closed") from None
        for got in self.waiting:
            if got.kind in (*kinds, DISCONNECT):
                raise Difference(f"expected nothing, got {shown(got)}")
        return self

    def gathered(self, seconds: float = QUIET) -> list[Packet]:
        """Every PUBLISH that comes within this time, acknowledged."""
        deadline, found = time.monotonic() + seconds, []
        try:
            while True:
                found.append(self._next_of(PUBLISH, deadline - time.monotonic(), "PUBLISH or nothing"))
                self.accept(found[-1])
        except Silent:
            return found

    def alive(self) -> "Client":
        """A PINGREQ is answered."""
        self.send(packets.packet(PINGREQ)).expect(PINGRESP)
        return self

    def gone(self, *reasons: int, patience: float | None = None, told: bool = False,
             after: tuple = (PUBLISH,)) -> Packet | None:
        """The broker closes the connection; in MQTT 5 it may, or if `told` must, say before for which of reasons.

        Packets of the kinds in `after` may still come before.
        """
        deadline, last = time.monotonic() + (patience or self.patience), None
        try:
            while True:
                got = self.waiting.pop(0) if self.waiting else self._read(deadline)
                if last is not None:
                    raise Difference(f"after DISCONNECT came {shown(got)}")
                if got.kind == DISCONNECT:
                    last = got
                elif got.kind not in after:
                    raise Difference(f"expected the connection closed, got {shown(got)}")
        except Silent:
            raise Difference(f"expected the connection closed, got {shown(last)}") from None
        except Closed:
            self.sock.close()
        if last is not None and reasons and last.reason not in reasons:
            raise Difference(f"expected DISCONNECT {_codes(reasons)}, got {shown(last)}")
        if last is None and told and self.version == V5:
            raise Difference(f"expected DISCONNECT {_codes(reasons)}, got only the connection closed")
        return last

    def refused(self, *reasons: int, silently: bool = True) -> None:
        """The CONNECT is refused: CONNACK with one of these codes, or perhaps without; the connection is closed."""
        deadline, said = time.monotonic() + self.patience, None
        try:
            while True:
                got = self._read(deadline)
                if said is not None or got.kind != CONNACK or not got.reason:
                    raise Difference(f"expected a refusal, got {shown(got)}")
                said = got
        except Silent:
            raise Difference(f"expected the connection closed, got {shown(said)}") from None
        except Closed:
            self.sock.close()
        if said is None and not silently:
            raise Difference(f"expected CONNACK {_codes(reasons)}, got only the connection closed")
        if said is not None and said.reason not in reasons:
            raise Difference(f"expected {_codes(reasons) or 'no CONNACK'}, got {shown(said)}")
        if said is not None and said.session_present:
            raise Difference("a refusing CONNACK says that a session is present")

    def last_bytes(self) -> bytes:
        """Everything up to the end of the connection, not read as packets."""
        deadline, data = time.monotonic() + self.patience, b""
        try:
            while True:
                data += self._receive(max(deadline - time.monotonic(), 0.001))
        except Silent:
            raise Difference(f"expected the connection closed, got {data!r}") from None
        except Closed:
            return data

    # What a client says.

    def connect(self, **options) -> Packet:
        """CONNECT, and the CONNACK that accepts it."""
        self.send(packets.connect(self.client_id, self.version, **options))
        self.connack = self.expect(CONNACK, reason=0)
        return self.connack

    def subscribe(self, *filters: str, qos: int = 0, options: int = 0, props: dict | None = None) -> list[int]:
        """SUBSCRIBE to what is granted as asked."""
        pairs = [(name, qos | options) for name in filters]
        got = self.request(packets.subscribe(number := next(self.numbers), pairs, self.version, props), SUBACK, number)
        if got != [qos] * len(filters):
            raise Difference(f"expected every filter granted QoS {qos}, got {' '.join(map(_plain, got))}")
        return got

    def unsubscribe(self, *filters: str) -> list[int]:
        """UNSUBSCRIBE, and the codes of its UNSUBACK; 3.1.1 has none."""
        number = next(self.numbers)
        return self.request(packets.unsubscribe(number, list(filters), self.version), UNSUBACK, number)

    def request(self, data: bytes, kind: int, number: int) -> list[int]:
        """Send, and the codes of the answer that has this number."""
        return self.send(data).expect(kind, identifier=number).reasons

    def post(self, topic: str, payload: bytes | str = b"", qos: int = 0, identifier: int = 0, **options) -> int:
        """PUBLISH and no more; its packet identifier."""
        identifier = identifier or (next(self.numbers) if qos else 0)
        self.send(packets.publish(topic, payload, self.version, qos=qos, identifier=identifier, **options))
        return identifier

    def publish(self, topic: str, payload: bytes | str = b"", qos: int = 0, **options) -> Packet | None:
        """PUBLISH with its whole exchange; PUBACK or PUBREC, which accept it."""
        identifier = self.post(topic, payload, qos, **options)
        if not qos:
            return None
        answer = self.expect(PUBACK if qos == 1 else PUBREC, identifier=identifier)
        if answer.reason not in (0, 0x10):
            raise Difference(f"expected the publication accepted, got {shown(answer)}")
        if qos == 2:
            self.release(identifier)
        return answer

    def release(self, identifier: int) -> None:
        """PUBREL and its PUBCOMP."""
        self.ack(PUBREL, identifier)
        self.expect(PUBCOMP, identifier=identifier, reason=0)

    def ack(self, kind: int, identifier: int, reason: int = 0, props: dict | None = None) -> "Client":
        """PUBACK, PUBREC, PUBREL or PUBCOMP."""
        return self.send(packets.ack(kind, identifier, reason, props))

    def leave(self, reason: int = 0, props: dict | None = None) -> None:
        """DISCONNECT, and wait until the broker has seen it."""
        self.send(packets.disconnect(reason, props))
        self._hang_up(said=True)

    def abort(self) -> None:
        """End the connection without a word, and wait until the broker has seen it."""
        self._hang_up(said=False)

    def _hang_up(self, said: bool) -> None:
        try:
            self.sock.settimeout(1)
            # TLS cannot be closed in one direction; there the broker sees the end when it sees it.
            secured = isinstance(self.sock, ssl.SSLSocket)
            if not secured:
                self.sock.shutdown(socket.SHUT_WR)
            while (said or not secured) and self.sock.recv(65536):
                pass
        except OSError:
            pass
        self.sock.close()


def _codes(reasons: tuple) -> str:
    return " or ".join(f"0x{reason:02X}" for reason in reasons)
