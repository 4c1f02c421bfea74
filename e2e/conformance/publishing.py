"""300: publications and their exchanges at each QoS, their order, and what they may carry."""

import time

import packets
from packets import PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, V5

from .client import Difference, NotSupported, shown
from .scripts import Lab, add, script

# To the broker.


@script(300, "a QoS 0 publication is delivered and not acknowledged", "4.3.1-1 3.3.4-1 2.3.1-5",
        "4.3.1-1 3.3.4-1 2.2.1-2")
def _(lab: Lab):
    client, listener = lab.pair()
    client.publish(lab.topic(), "x")
    listener.message("x", qos=0, dup=False)
    client.quiet(kinds=(PUBACK, PUBREC))


@script(301, "a QoS 1 publication is answered by a PUBACK of its identifier", "4.3.2-2 2.3.1-6",
        "4.3.2-4 2.2.1-5 3.4.2-1")
def _(lab: Lab):
    client = lab.client()
    for identifier in (1, 300, 65535):
        client.post(lab.topic(), "x", 1, identifier)
        got = client.expect(PUBACK, identifier=identifier)
        assert got.reason in (0, 0x10), shown(got)


@script(302, "a QoS 2 publication is answered by PUBREC and, after PUBREL, PUBCOMP", "4.3.3-2 2.3.1-6",
        "4.3.3-8 4.3.3-11 2.2.1-5 3.2.2-9 3.5.2-1 3.7.2-1", "qos2")
def _(lab: Lab):
    client = lab.client()
    for identifier in (1, 300, 65535):
        client.post(lab.topic(), "x", 2, identifier)
        got = client.expect(PUBREC, identifier=identifier)
        assert got.reason in (0, 0x10), shown(got)
        client.ack(PUBREL, identifier).expect(PUBCOMP, identifier=identifier, reason=0)


@script(303, "a QoS 1 publication sent twice under one identifier is two", "4.3.2-2", "4.3.2-5")
def _(lab: Lab):
    client, listener = lab.pair(qos=1)
    client.post(lab.topic(), "x", 1, 9)
    client.expect(PUBACK, identifier=9)
    client.post(lab.topic(), "x", 1, 9, dup=True)
    client.expect(PUBACK, identifier=9)
    listener.messages("x", "x")


@script(304, "a QoS 2 publication repeated before its PUBREL is delivered once", "4.3.3-2", "4.3.3-10", "qos2")
def _(lab: Lab):
    client, listener = lab.pair(qos=2)
    client.post(lab.topic(), "once", 2, 9)
    client.expect(PUBREC, identifier=9)
    client.post(lab.topic(), "once", 2, 9, dup=True)
    client.expect(PUBREC, identifier=9)
    client.release(9)
    listener.message("once")
    listener.quiet()


@script(305, "a QoS 2 identifier is free again after PUBCOMP", "4.3.3-2", "4.3.3-12", "qos2")
def _(lab: Lab):
    client, listener = lab.pair(qos=2)
    for payload in ("one", "two"):
        client.post(lab.topic(), payload, 2, 9)
        client.expect(PUBREC, identifier=9)
        client.release(9)
    listener.messages("one", "two")


@script(306, "a QoS 2 publication repeated on the next connection of the session is delivered once", "4.3.3-2 4.4.0-1",
        "4.3.3-10 4.4.0-1", "qos2")
def _(lab: Lab):
    _, listener = lab.pair(qos=2)
    client = lab.lasting(name := lab.id())
    client.post(lab.topic(), "once", 2, 9)
    client.expect(PUBREC, identifier=9)
    client.abort()
    again = lab.lasting(name)
    again.post(lab.topic(), "once", 2, 9, dup=True)
    again.expect(PUBREC, identifier=9)
    again.release(9)
    listener.message("once")
    listener.quiet()


@script(307, "a PUBREL on the next connection of the session completes the publication", "4.3.3-2 4.4.0-1",
        "4.3.3-11 4.4.0-1", "qos2")
def _(lab: Lab):
    _, listener = lab.pair(qos=2)
    client = lab.lasting(name := lab.id())
    client.post(lab.topic(), "once", 2, 9)
    client.expect(PUBREC, identifier=9)
    client.abort()
    lab.lasting(name).release(9)
    listener.message("once")
    listener.quiet()


@script(308, "a PUBREL of an unknown identifier is answered by PUBCOMP (5: of 0x92 or success)", "4.3.3-2",
        "4.3.3-11", "qos2")
def _(lab: Lab):
    client = lab.client()
    got = client.ack(PUBREL, 77).expect(PUBCOMP, identifier=77)
    assert got.reason in (0, 0x92), shown(got)
    client.alive()


@script(309, "a PUBREL repeated is answered by PUBCOMP again", "4.3.3-2", "4.3.3-11", "qos2")
def _(lab: Lab):
    client = lab.client()
    client.publish(lab.topic(), "x", 2)
    got = client.ack(PUBREL, 1).expect(PUBCOMP, identifier=1)
    assert got.reason in (0, 0x92), shown(got)
    client.alive()


@script(310, "one identifier may be used for publishing by both sides at once", "2.3.1-4", "2.2.1-4")
def _(lab: Lab):
    both = lab.client()
    both.subscribe(lab.topic(), qos=1)
    other = lab.client()
    other.publish(lab.topic(), "in", 1)
    got = both.arrival("in", qos=1)
    both.post(lab.topic("out"), "out", 1, got.identifier)
    both.expect(PUBACK, identifier=got.identifier)
    both.ack(PUBACK, got.identifier).alive()


@script(311, "many QoS 2 exchanges may be open at once and end in any order", "4.3.3-2", "4.3.3-8 4.3.3-11", "qos2")
def _(lab: Lab):
    client, listener = lab.pair(qos=2)
    room = min(5, client.connack.props.get("receive_maximum", 5))
    for identifier in range(1, room + 1):
        client.post(lab.topic(), str(identifier), 2, identifier)
    for identifier in range(1, room + 1):
        client.expect(PUBREC, identifier=identifier)
    for identifier in range(room, 0, -1):
        client.release(identifier)
    assert {listener.message().payload for _ in range(room)} == {str(n).encode() for n in range(1, room + 1)}


@script(312, "a QoS 2 exchange is completed though its message has expired", five="4.3.3-13", needs="qos2")
def _(lab: Lab):
    client = lab.client()
    client.post(lab.topic(), "x", 2, 9, props={"message_expiry_interval": 1})
    client.expect(PUBREC, identifier=9)
    time.sleep(1.5)
    client.release(9)


@script(313, "a PUBREC of an unknown identifier is answered by PUBREL (5: of 0x92 or success)", "4.3.3-1", "4.3.3-4",
        "qos2")
def _(lab: Lab):
    client = lab.client()
    got = client.ack(PUBREC, 77).expect(PUBREL, identifier=77)
    assert got.reason in (0, 0x92), shown(got)
    client.alive()


@script(314, "a broker without QoS 2 refuses a QoS 2 publication with 0x9B", five="4.13.1-1")
def _(lab: Lab):
    if "qos2" not in lab.broker.lacks:
        raise NotSupported("the broker has QoS 2")
    lab.client().send(packets.publish(lab.topic(), "x", V5, qos=2, identifier=1)).gone(0x9B)


@script(315, "a broker without retained messages refuses one with 0x9A", five="4.13.1-1")
def _(lab: Lab):
    if "retain" not in lab.broker.lacks:
        raise NotSupported("the broker has retained messages")
    lab.client().send(packets.publish(lab.topic(), "x", V5, retain=True)).gone(0x9A)


# From the broker.


@script(320, "a QoS 1 delivery has an identifier, no DUP, and is not repeated while the connection lasts",
        "3.3.1-3 2.3.1-1 4.4.0-1", "3.3.1-3 4.3.2-2 4.3.2-1 2.2.1-4 4.4.0-1")
def _(lab: Lab):
    client, listener = lab.pair(qos=1)
    client.publish(lab.topic(), "x", 1)
    got = listener.arrival("x", qos=1, dup=False)
    assert got.identifier, "identifier 0"
    listener.quiet(1.5)


@script(321, "DUP of the publisher is not passed on", "3.3.1-3", "3.3.1-3")
def _(lab: Lab):
    client, listener = lab.pair(qos=1)
    client.post(lab.topic(), "x", 1, dup=True)
    listener.message("x", qos=1, dup=False)


@script(322, "a QoS 2 delivery goes through PUBREC, PUBREL and PUBCOMP", "4.3.3-1 2.3.1-6",
        "4.3.3-1 4.3.3-2 4.3.3-4 3.6.2-1 2.2.1-5", "qos2")
def _(lab: Lab):
    client, listener = lab.pair(qos=2)
    client.publish(lab.topic(), "x", 2)
    got = listener.arrival("x", qos=2, dup=False)
    listener.ack(PUBREC, got.identifier).expect(PUBREL, identifier=got.identifier, reason=0)
    listener.ack(PUBCOMP, got.identifier).quiet(kinds=(PUBLISH, PUBREL)).alive()


@script(323, "a PUBREC is answered by PUBREL, and the PUBLISH is not sent again", "4.3.3-1", "4.3.3-4 4.3.3-6", "qos2")
def _(lab: Lab):
    client, listener = lab.pair(qos=2)
    client.publish(lab.topic(), "x", 2)
    got = listener.arrival("x", qos=2)
    for _ in range(2):
        listener.ack(PUBREC, got.identifier).expect(PUBREL, identifier=got.identifier)
    listener.quiet()


@script(324, "a PUBREC with an error ends the exchange and frees the window", five="4.4.0-2 4.3.3-4 4.9.0-2",
        needs="qos2")
def _(lab: Lab):
    client, listener = lab.pair(qos=2, props={"receive_maximum": 1})
    client.publish(lab.topic(), "one", 2)
    client.publish(lab.topic(), "two", 2)
    got = listener.arrival("one", qos=2)
    listener.ack(PUBREC, got.identifier, 0x80)
    listener.message("two", qos=2)
    assert all(packet.kind != PUBREL for packet in listener.waiting), "PUBREL after a PUBREC with an error"


@script(325, "a PUBACK with an error ends the delivery and frees the window", five="4.4.0-2 4.9.0-2")
def _(lab: Lab):
    client, listener = lab.pair(qos=1, props={"receive_maximum": 1})
    client.publish(lab.topic(), "one", 1)
    client.publish(lab.topic(), "two", 1)
    got = listener.arrival("one", qos=1)
    listener.ack(PUBACK, got.identifier, 0x80)
    listener.message("two", qos=1)


@script(326, "deliveries that wait for their acknowledgement have identifiers of their own", "2.3.1-4",
        "2.2.1-4 4.3.2-1")
def _(lab: Lab):
    client, listener = lab.pair(qos=1)
    for number in range(10):
        client.publish(lab.topic(), str(number), 1)
    identifiers = [listener.arrival(str(number)).identifier for number in range(10)]
    assert len(set(identifiers)) == 10 and 0 not in identifiers, f"identifiers {identifiers}"


@script(327, "acknowledgements in another order are taken", "4.3.2-1 4.8.0-1", "4.3.2-3")
def _(lab: Lab):
    client, listener = lab.pair(qos=1)
    for number in range(5):
        client.publish(lab.topic(), str(number), 1)
    for got in reversed([listener.arrival(str(number)) for number in range(5)]):
        listener.ack(PUBACK, got.identifier)
    listener.alive()
    client.publish(lab.topic(), "after", 1)
    listener.message("after", dup=False)


@script(328, "an acknowledgement with reason and properties is understood", five="3.4.2-1 3.5.2-1 3.7.2-1",
        needs="qos2")
def _(lab: Lab):
    client, listener = lab.pair(qos=2, props={"receive_maximum": 1})
    props = {"reason_string": "fine", "user_property": [("a", "1"), ("a", "1")]}
    for number in range(3):
        client.publish(lab.topic(), str(number), 2)
        got = listener.arrival(str(number))
        listener.ack(PUBREC, got.identifier, 0x10, props).expect(PUBREL, identifier=got.identifier)
        listener.ack(PUBCOMP, got.identifier, 0, props)
    listener.alive()


def lower_of(published: int, granted: int):
    """The QoS of a delivery."""

    def run(lab: Lab):
        client, listener = lab.pair(qos=granted)
        client.publish(lab.topic(), "x", published)
        listener.message("x", qos=min(published, granted))

    return run


for place, (published, granted) in enumerate((p, g) for p in range(3) for g in range(3)):
    add(330 + place, f"published at QoS {published}, subscribed at {granted}: delivered at {min(published, granted)}",
        lower_of(published, granted), "3.8.4-6", "3.8.4-8", "qos2" if 2 in (published, granted) else "")


# Order and content.


def in_order(qos: int):
    """A hundred publications at once arrive in their order."""

    def run(lab: Lab):
        client, listener = lab.pair(qos=qos)
        version, topic = lab.version, lab.topic()
        room = min(20, client.connack.props.get("receive_maximum", 20))
        for start in range(0, 100, room):
            numbers = range(start, min(start + room, 100))
            client.send(*(packets.publish(topic, str(n), version, qos=qos, identifier=n + 1 if qos else 0)
                          for n in numbers))
            for number in numbers:
                if qos == 1:
                    client.expect(PUBACK, identifier=number + 1)
                elif qos == 2:
                    client.expect(PUBREC, identifier=number + 1)
                    client.ack(PUBREL, number + 1)
            for number in numbers:
                if qos == 2:
                    client.expect(PUBCOMP, identifier=number + 1)
                listener.message(str(number))

    return run


for qos in range(3):
    add(340 + qos, f"a hundred QoS {qos} publications arrive in the order in which they were sent", in_order(qos),
        "4.6.0-5 4.6.0-6", "4.6.0-5 4.6.0-6", "qos2" if qos == 2 else "")


@script(343, "a subscriber sees two publishers' messages each in its order", "4.6.0-6", "4.6.0-5")
def _(lab: Lab):
    one, listener = lab.pair(qos=1)
    other = lab.client()
    for number in range(15):
        one.post(lab.topic(), f"a{number:02}", 1)
        other.post(lab.topic(), f"b{number:02}", 1)
    heard = [listener.message().payload for _ in range(30)]
    for letter in (b"a", b"b"):
        mine = [payload for payload in heard if payload.startswith(letter)]
        if mine != sorted(mine) or len(mine) != 15:
            raise Difference(f"expected {letter} in order, got {mine}")


def carries(payload: bytes, qos: int):
    """A payload arrives as it is."""

    def run(lab: Lab):
        client, listener = lab.pair(qos=qos)
        client.publish(lab.topic(), payload, qos)
        got = listener.message(qos=qos).payload
        if got != payload:
            raise Difference(f"expected the payload unchanged, got {len(got)} bytes of {len(payload)}")

    return run


PAYLOADS = {
    "an empty payload": b"", "a payload of one byte 0": b"\0", "every byte": bytes(range(256)),
    "127 bytes around the first length": b"x" * 120, "a payload of 16 KiB": b"0123456789abcdef" * 1024,
    "a payload of 128 KiB": bytes(range(256)) * 512,
}
for place, (title, payload) in enumerate(PAYLOADS.items()):
    add(350 + place, f"{title} arrives as it was sent", carries(payload, 1), "3.3.5-1 3.3.4-1", "3.3.4-1 4.5.0-1")
add(356, "an empty payload at QoS 0 arrives", carries(b"", 0), "3.3.5-1", "3.3.4-1")
add(357, "a payload of 128 KiB at QoS 2 arrives as it was sent", carries(bytes(range(256)) * 512, 2), "4.3.3-2",
    "4.3.3-8", "qos2")


def topic_travels(name: str):
    """A topic arrives as it is."""

    def run(lab: Lab):
        client, listener = lab.pair(name)
        client.publish(lab.topic(name), "x")
        listener.message("x", topic=lab.topic(name))

    return run


TOPICS = {
    "a space": "a topic with spaces", "empty levels": "/a//b/", "letters of many scripts": "Ωمرحبا/日本/😀",
    "U+FEFF": "a\ufeffb", "a $ not at its beginning": "a/$b", "200 bytes": "x" * 180,
}
for place, (title, name) in enumerate(TOPICS.items()):
    rules = ("1.5.3-3", "1.5.4-3") if "FEFF" in title else ("3.3.2-3 4.7.3-4", "3.3.2-3 4.7.3-4")
    add(360 + place, f"a topic with {title} is delivered as it is", topic_travels(name), *rules)


@script(366, "characters that look alike are not the same topic", "4.7.3-4", "4.7.3-4")
def _(lab: Lab):
    client, listener = lab.pair("\u00c5")
    client.publish(lab.topic("A\u030a"), "decomposed")
    client.publish(lab.topic("\u00e5"), "lower")
    client.publish(lab.topic("\u00c5"), "same")
    listener.message("same")
    listener.quiet()


@script(367, "a topic as long as a string can be is delivered", five="4.7.3-3", three="4.7.3-3")
def _(lab: Lab):
    client, listener = lab.pair("#")
    name = lab.topic("x" * (65535 - len(lab.topic(""))))
    client.publish(name, "long", 1)
    listener.message("long", topic=name)


@script(368, "a publisher hears its own publication when it has subscribed", "3.3.5-1", "4.5.0-1")
def _(lab: Lab):
    client = lab.client()
    client.subscribe(lab.topic(), qos=1)
    client.publish(lab.topic(), "mine", 1)
    client.message("mine", qos=1)


@script(369, "every subscriber has a copy", "3.3.5-1", "4.5.0-1")
def _(lab: Lab):
    listeners = [lab.client() for _ in range(5)]
    for listener in listeners:
        listener.subscribe(lab.topic(), qos=1)
    lab.client().publish(lab.topic(), "all", 1)
    for listener in listeners:
        listener.message("all")
        listener.quiet(0.1)
