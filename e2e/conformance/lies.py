"""Lies about a broker in order, by which each script has to show that it can fail.

A lie changes what a client is told: packets that never came, or came otherwise, or a connection that never ends. A
script that passes against the broker and under every lie proves nothing.
"""

import copy
import time
from collections.abc import Callable, Iterable
from dataclasses import replace

from packets import (
    CONNACK,
    DISCONNECT,
    PINGRESP,
    PUBACK,
    PUBCOMP,
    PUBLISH,
    PUBREC,
    PUBREL,
    SUBACK,
    UNSUBACK,
    Packet,
)

from .client import Client, Closed, Silent
from .run import run
from .scripts import Broker, Case

ACKNOWLEDGEMENTS = (PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK, UNSUBACK)


class _NeverCloses(Client):
    def _receive(self, seconds: float) -> bytes:
        began = time.monotonic()
        try:
            return super()._receive(seconds)
        except Closed:
            time.sleep(max(0, seconds - (time.monotonic() - began)))
            raise Silent from None


class _ClosesWhenIdle(Client):
    def _receive(self, seconds: float) -> bytes:
        try:
            return super()._receive(seconds)
        except Silent:
            raise Closed from None


class _SpeaksFirst(Client):
    def _cut(self) -> Packet | None:
        if not self.__dict__.setdefault("spoke", False):
            self.spoke = True
            return Packet(PUBLISH, 0, b"", topic="unasked", payload=b"unasked")
        return super()._cut()


def _told(lie: Callable[[Packet], list[Packet] | None]) -> type[Client]:
    """A client that is told by the lie what came: other packets, or None for the truth."""

    class Told(Client):
        def _cut(self) -> Packet | None:
            told = self.__dict__.setdefault("told", [])
            while not told:
                if (packet := super()._cut()) is None:
                    return None
                found = lie(packet)
                told.extend([packet] if found is None else found)
            return told.pop(0)

    return Told


def _changed(*kinds: int, **fields: Callable[[Packet], object]) -> type[Client]:
    def lie(packet: Packet) -> list[Packet] | None:
        if packet.kind not in kinds:
            return None
        return [replace(packet, **{name: value(packet) for name, value in fields.items()})]

    return _told(lie)


def _without(kind: int) -> type[Client]:
    return _told(lambda packet: [] if packet.kind == kind else None)


def _twice(*kinds: int) -> type[Client]:
    return _told(lambda packet: [packet, copy.copy(packet)] if packet.kind in kinds else None)


def _followed(kinds: tuple, *others: Packet) -> type[Client]:
    def lie(packet: Packet) -> list[Packet] | None:
        return [packet, *map(copy.copy, others)] if packet.kind in kinds and not packet.reason else None

    return _told(lie)


def _props(change: Callable[[dict], dict], *kinds: int) -> type[Client]:
    return _changed(*kinds, props=lambda packet: change(dict(packet.props)))


LIES: dict[str, type[Client]] = {
    "never closes": _NeverCloses,
    "closes when idle": _ClosesWhenIdle,
    "speaks before it is asked": _SpeaksFirst,
    "refuses": _changed(CONNACK, reason=lambda _: 0x83),
    "accepts": _changed(CONNACK, reason=lambda _: 0),
    "closes for another reason": _changed(DISCONNECT, reason=lambda _: 0xA0),
    "says no reason": _without(DISCONNECT),
    "speaks after DISCONNECT": _told(lambda p: [p, Packet(PINGRESP, 0, b"")] if p.kind == DISCONNECT else None),
    "mistakes sessions": _changed(CONNACK, session_present=lambda packet: not packet.session_present),
    "delivers nothing": _without(PUBLISH),
    "delivers twice": _twice(PUBLISH),
    "delivers what nobody sent": _followed(
        (CONNACK, SUBACK, UNSUBACK, PINGRESP), Packet(PUBLISH, 1, b"", topic="unasked", payload=b"unasked")
    ),
    "answers what nobody asked": _followed(
        (CONNACK,), Packet(PUBACK, 0, b"", identifier=1), Packet(PUBREL, 2, b"", identifier=1), Packet(CONNACK, 0, b"")
    ),
    "changes payloads": _changed(PUBLISH, payload=lambda packet: packet.payload + b"!"),
    "changes topics": _changed(PUBLISH, topic=lambda packet: packet.topic + "!"),
    "turns DUP": _changed(PUBLISH, flags=lambda packet: packet.flags ^ 8),
    "turns RETAIN": _changed(PUBLISH, flags=lambda packet: packet.flags ^ 1),
    "delivers at QoS 0": _changed(PUBLISH, flags=lambda packet: packet.flags & ~6),
    "uses one identifier": _changed(PUBLISH, identifier=lambda packet: min(packet.identifier, 1)),
    "mistakes identifiers": _changed(*ACKNOWLEDGEMENTS, identifier=lambda packet: packet.identifier ^ 1),
    "grants something else": _changed(SUBACK, UNSUBACK, reasons=lambda packet: [code ^ 1 for code in packet.reasons]),
    "acknowledges with errors": _changed(PUBACK, PUBREC, PUBREL, PUBCOMP, reason=lambda _: 0x83),
    "does not say PINGRESP": _without(PINGRESP),
    "does not say SUBACK": _without(SUBACK),
    "does not say UNSUBACK": _without(UNSUBACK),
    "does not say PUBACK": _without(PUBACK),
    "does not say PUBREC": _without(PUBREC),
    "does not say PUBREL": _without(PUBREL),
    "does not say PUBCOMP": _without(PUBCOMP),
    "drops properties": _props(lambda props: {}, PUBLISH),
    "adds properties": _props(lambda props: {"message_expiry_interval": 600, "content_type": "lie"} | props, PUBLISH),
    "adds subscription identifiers": _props(lambda props: props | {"subscription_identifier": [77]}, PUBLISH),
    "adds aliases": _props(lambda props: props | {"topic_alias": 9}, PUBLISH),
    "turns user properties": _props(
        lambda props: props | {name: value[::-1] for name, value in props.items() if name == "user_property"}, PUBLISH
    ),
    "explains at length": _changed(
        CONNACK, DISCONNECT, *ACKNOWLEDGEMENTS, size=lambda packet: packet.size + 100,
        props=lambda packet: packet.props | {"reason_string": "x" * 97, "response_information": "x",
                                             "assigned_client_identifier": "lie", "authentication_method": "x"},
    ),
}


def undisproved(broker: Broker, cases: list[Case]) -> Iterable[tuple[str, int, list[Case]]]:
    """Each lie with how many scripts it failed, and which of those that pass otherwise no lie has failed so far."""
    broker.ask()
    passing = [verdict.case for verdict in run(broker, cases) if verdict.verdict == "pass"]
    left = passing
    for name, told in LIES.items():
        told.patience = 1.0
        verdicts = run(replace(broker, client=told), passing)
        failed = {verdict.case.id for verdict in verdicts if verdict.verdict == "fail"}
        left = [case for case in left if case.id not in failed]
        yield name, len(failed), left
