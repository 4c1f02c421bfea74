"""Clients with persistent sessions that stand a server's deaths as the standard says, and keep account of it.

A `Publisher` numbers what it sends on each of its topics and sends again, with the same identifier, what was not
acknowledged. A `Subscriber` keeps its QoS 2 receive state over connections and notes what reaches its application.
They speak raw packets over plain TCP to any server; which one, when it dies and what is made of their accounts is
known to `test_storm.py`.
"""

import contextlib
import random
import socket
import threading
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field

import packets
from house import PATIENCE
from packets import PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, V5, Closed, Wire

NAMES = {
    number: name for name, number in vars(packets).items()
    if name.isupper() and isinstance(number, int) and not name.startswith("V")
}


class Weather:
    """What all clients of one storm share: whether the server is up, how much has happened, who is in trouble."""

    def __init__(self):
        self.changed = threading.Condition()
        self.address: tuple[str, int] | None = None
        self.cuts = 0
        self.packets = 0
        self.troubles: list[str] = []
        self.trace: list[str] = []
        self.began = time.monotonic()

    def up(self, address: tuple[str, int]) -> None:
        """The server answers there."""
        with self.changed:
            self.address, self.packets = address, 0
            self.changed.notify_all()

    def down(self) -> None:
        """The server is about to die."""
        with self.changed:
            self.address, self.cuts = None, self.cuts + 1

    def where(self) -> tuple[tuple[str, int], int]:
        """Where the server is, as soon as it is up, and how often it has died by then."""
        with self.changed:
            if not self.changed.wait_for(lambda: self.address or self.troubles, PATIENCE) or self.troubles:
                raise GivenUp
            return self.address, self.cuts

    def note(self, name: str, line: str) -> None:
        """A packet was read or written."""
        self.trace.append(f"{time.monotonic() - self.began:8.4f} {name:<12} {line}")

    def count(self) -> None:
        """A packet was read."""
        with self.changed:
            self.packets += 1
            self.changed.notify_all()

    def trouble(self, what: str) -> None:
        """Something happened that no server may do."""
        with self.changed:
            self.troubles.append(what)
            self.changed.notify_all()

    def wait(self, condition, patience: float) -> bool:
        """Until it holds or somebody is in trouble."""
        with self.changed:
            return self.changed.wait_for(lambda: condition() or self.troubles, patience)


class GivenUp(Exception):
    """The storm is over before its end."""


class Left(Exception):
    """A client dropped its connection because it felt like it."""


class Client(threading.Thread):
    """A client with a persistent session that comes back whenever its connection ends."""

    def __init__(self, weather: Weather, name: str, rng: random.Random, *, restless=False, receive_maximum=65535):
        super().__init__(daemon=True, name=name)
        self.weather, self.rng, self.restless = weather, rng, restless
        self.version = rng.choice([packets.V311, V5])
        self.receive_maximum = receive_maximum
        self.known = False
        self.stay = 0
        self.finished = False

    def run(self):
        """Until all is done."""
        try:
            while not self.finished:
                self.visit()
        except GivenUp:
            pass
        except Exception as error:
            self.weather.trouble(f"{self.name}: {error!r}")
        finally:
            self.weather.count()

    def visit(self) -> None:
        """One connection, from its beginning to its end."""
        address, cuts = self.weather.where()
        try:
            with self.greeted(address) as wire:
                self.stay = self.rng.randint(1, 80) if self.restless else 1 << 30
                self.live(wire)
        except (Closed, OSError) as error:
            if cuts == self.weather.cuts:
                raise AssertionError(f"the server closed or stalled though nobody cut it: {error!r}") from error
        except Left:
            self.weather.note(self.name, "drops the connection")

    @contextlib.contextmanager
    def greeted(self, address):
        """A connection that the server accepted, with the session that it must have."""
        with Wire(socket.create_connection(address, PATIENCE), self.version, PATIENCE) as wire:
            wire.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            props = {"session_expiry_interval": 3600, "receive_maximum": self.receive_maximum}
            wire.send(packets.connect(self.name, self.version, clean=False, props=props))
            answer = wire.read()
            assert (answer.kind, answer.reason) == (packets.CONNACK, 0), answer
            assert answer.props.get("session_expiry_interval", 3600) > 0, "the session was not made persistent"
            self.weather.note(self.name, f"connected, session present {answer.session_present}")
            # A CONNACK that was not read leaves open whether the session was made.
            assert answer.session_present or not self.known, "the session is lost"
            self.known = True
            yield wire

    def read(self, wire: Wire) -> packets.Packet:
        """The next packet, counted; a restless client may leave instead."""
        self.stay -= 1
        if self.stay < 0:
            raise Left
        got = wire.read()
        self.weather.note(self.name, f"< {self.told(got)}")
        self.weather.count()
        assert got.kind != packets.DISCONNECT, f"disconnected with reason {got.reason:#x}"
        return got

    def told(self, got: packets.Packet) -> str:
        """A packet in a few words."""
        message = f" {got.topic} {got.payload[:12]!r} qos {got.qos}{' dup' * got.dup}" if got.kind == PUBLISH else ""
        return f"{NAMES[got.kind]} {got.identifier}{message}"

    def answer(self, wire: Wire, kind: int, identifier: int) -> None:
        """An acknowledgement."""
        self.weather.note(self.name, f"> {NAMES[kind]} {identifier}")
        wire.send(packets.ack(kind, identifier))


# Publishing.


@dataclass
class Outgoing:
    """A message that is not wholly acknowledged; `released` when PUBREC came, `again` when any of it was resent."""

    topic: str
    number: int
    qos: int
    payload: bytes
    released: bool = False
    again: bool = False


class Publisher(Client):
    """Numbers what it sends on each topic; the last number of each is sent when all before it are acknowledged."""

    def __init__(self, weather, name, rng, *, budget: int, **habits):
        super().__init__(weather, name, rng, **habits)
        self.topics = {f"storm/{name}/{qos}/{end}": qos for qos in (1, 2) for end in "ab"}
        self.window = rng.randint(1, 20)
        self.identifiers = rng.sample(range(1, 65536), self.window + rng.randint(0, 5))
        self.left = [rng.choice(list(self.topics)) for _ in range(budget)][::-1]
        self.closing = list(self.topics)
        self.last = Counter(self.left + self.closing)
        #: By topic: how many were sent, and which were acknowledged (PUBACK or PUBREC).
        self.sent: Counter = Counter()
        self.acknowledged: dict[str, set[int]] = defaultdict(set)
        self.in_flight: dict[int, Outgoing] = {}

    def live(self, wire):
        """Send again what is unacknowledged, in its order [MQTT-4.4.0-1] [MQTT-4.6.0-1], then go on."""
        for identifier, out in self.in_flight.items():
            out.again = True
            if out.released:
                self.answer(wire, PUBREL, identifier)
            else:
                self.put(wire, identifier, out, dup=True)
        while True:
            self.send_more(wire)
            if not self.in_flight:
                self.finished = True
                wire.send(packets.disconnect())
                return
            self.took(wire, self.read(wire))

    def send_more(self, wire) -> None:
        """As many new messages as the window allows."""
        if not self.left and not self.in_flight:
            self.left, self.closing = self.closing, []
        while self.left and len(self.in_flight) < self.window:
            # Taken in turn, so that an identifier comes again as soon as it may.
            identifier = self.identifiers.pop(0)
            self.identifiers.append(identifier)
            if identifier in self.in_flight:
                continue
            topic = self.left.pop()
            self.sent[topic] += 1
            number = self.sent[topic]
            payload = str(number).encode() + b" " + b"x" * self.rng.choice([0, 10, 10, 100, 3000])
            out = self.in_flight[identifier] = Outgoing(topic, number, self.topics[topic], payload)
            self.put(wire, identifier, out)

    def put(self, wire, identifier: int, out: Outgoing, dup: bool = False) -> None:
        """One PUBLISH."""
        self.weather.note(self.name, f"> PUBLISH {identifier} {out.topic} {out.number} qos {out.qos}{' dup' * dup}")
        wire.send(packets.publish(
            out.topic, out.payload, self.version, qos=out.qos, identifier=identifier, dup=dup,
        ))

    def took(self, wire, got) -> None:
        """One answer."""
        out = self.in_flight.get(got.identifier)
        assert out, f"{NAMES[got.kind]} {got.identifier} acknowledges nothing that is in flight"
        # An identifier that the server no longer knows is no error when the PUBREL came again (MQTT 5, 3.7.2.1).
        known = got.reason != 0x92 or (got.kind == PUBCOMP and out.again)
        assert got.reason in (0, 0x10, 0x92) and known, f"{NAMES[got.kind]} with reason {got.reason:#x}"
        if (got.kind, out.qos) == (PUBACK, 1) or (got.kind, out.qos, out.released) == (PUBCOMP, 2, True):
            del self.in_flight[got.identifier]
        else:
            assert (got.kind, out.qos) == (PUBREC, 2), f"{NAMES[got.kind]} for a message of QoS {out.qos}"
            out.released = True
            self.answer(wire, PUBREL, got.identifier)
        self.acknowledged[out.topic].add(out.number)


# Subscribing.


@dataclass
class Account:
    """What reached an application: by topic, the numbers in the order they came, repetitions included."""

    qos: int
    numbers: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))


class Subscriber(Client):
    """Receives with an account; `lag` acknowledgements may be held back while more packets come."""

    def __init__(self, weather, name, rng, *, qos: int, wanted, lag: int = 0, **habits):
        super().__init__(weather, name, rng, **habits)
        self.account, self.wanted, self.lag = Account(qos), wanted, lag
        #: The receive state of QoS 2, which outlives connections: identifiers whose PUBREL has not come.
        self.unreleased: dict[int, tuple[str, bytes]] = {}
        self.owed: list[tuple[int, int]] = []

    def enroll(self, address) -> None:
        """The first visit, in which it subscribes."""
        with self.greeted(address) as wire:
            assert wire.subscribe("storm/#", qos=self.account.qos) == [self.account.qos]
            if self.rng.random() < 0.5:
                wire.send(packets.disconnect())

    def live(self, wire):
        """Take what comes; the last that was wanted is followed by a ping, after which nothing more may come."""
        self.owed.clear()
        while not (self.wanted(self.account) and not self.unreleased):
            self.take_one(wire)
        self.pay(wire)
        wire.send(packets.packet(packets.PINGREQ))
        while self.take_one(wire):
            pass
        self.pay(wire)
        wire.send(packets.disconnect())
        self.finished = True

    def look_again(self) -> None:
        """One visit more when all is done; what it brings goes to the account like anything else."""
        self.restless = self.finished = False
        self.visit()

    def take_one(self, wire) -> bool:
        """One packet; false when it was the answer to a ping."""
        if not wire.waits() or len(self.owed) > self.lag:
            self.pay(wire)
        got = self.read(wire)
        if got.kind == PUBLISH:
            self.took(got)
        elif got.kind == PUBREL:
            self.unreleased.pop(got.identifier, None)
            self.owed.append((PUBCOMP, got.identifier))
        return got.kind != packets.PINGRESP

    def took(self, got) -> None:
        """A message: to the application at once, at QoS 2 only with an identifier that is not known yet."""
        assert got.qos, f"QoS 0 on {got.topic}, where nothing was published at QoS 0"
        message = got.topic, got.payload
        if got.qos == 2:
            known = self.unreleased.setdefault(got.identifier, message)
            assert known == message, f"identifier {got.identifier} was given to another message while in use"
        self.owed.append((PUBREC if got.qos == 2 else PUBACK, got.identifier))
        # The next line is reached once for each identifier at QoS 2.
        if got.qos == 1 or known is message:
            self.account.numbers[got.topic].append(int(got.payload.split(b" ")[0]))

    def pay(self, wire) -> None:
        """Send the acknowledgements that are owed, in order [MQTT-4.6.0-2..4]."""
        for kind, identifier in self.owed:
            self.answer(wire, kind, identifier)
        self.owed.clear()
