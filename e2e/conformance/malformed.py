"""200: packets that must not be; each row is a packet, and the connection must not survive it.

In 3.1.1 the broker closes the connection without a word; in MQTT 5 it may say before in a DISCONNECT which reason it
has, and if it does, the reason must be one that fits. Malformed (0x81) and against the protocol (0x82) are not held
apart where the standard leaves open which it is.
"""

import struct

import packets
from packets import (
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
    V311,
    Will,
    binary,
    packet,
    single,
)

from .scripts import Lab, add

BAD = (0x81, 0x82)
TOPIC_INVALID = (0x81, 0x82, 0x90)
FILTER_INVALID = (0x81, 0x82, 0x8F)


def row(number: int, title: str, three: str, five: str, build, reasons: tuple = BAD, needs: str = "") -> None:
    """A packet after which the connection is closed; `build` makes it from the version."""

    def run(lab: Lab):
        client = lab.client()
        client.send(build(lab.version) if callable(build) else build).gone(*reasons)

    add(number, title, run, three, five, needs)


def two(number: int) -> bytes:
    """Two bytes."""
    return struct.pack(">H", number)


def none(version: int) -> bytes:
    """A list of no properties, where there are such lists."""
    return b"\0" if version == V5 else b""


def listed(*raw: bytes) -> bytes:
    """Properties as they are, with their length."""
    return packets.varint(sum(map(len, raw))) + b"".join(raw)


# The fixed header.

row(200, "packet type 0", "2.2.2-2 4.8.0-1", "2.1.3-1 4.13.1-1", packet(0))
row(201, "packet type 15", "2.2.2-2 4.8.0-1", "", packet(15))
row(202, "a remaining length of five bytes", "4.8.0-1", "1.5.5-1 4.13.1-1", b"\x30\xff\xff\xff\xff\x01")
row(203, "a remaining length longer than it needs to be", "", "1.5.5-1", b"\xc0\x80\x00")
row(204, "PINGREQ with a body", "4.8.0-1", "4.13.1-1", packet(PINGREQ, b"x"))
row(205, "PINGREQ with flags", "2.2.2-1 2.2.2-2", "2.1.3-1 4.13.1-1", packet(PINGREQ, flags=1))
row(206, "PUBLISH with QoS 3", "3.3.1-4", "3.3.1-4", lambda v: packets.publish("t", "x", v, qos=3, identifier=1))
row(207, "PUBLISH with DUP at QoS 0", "3.3.1-2", "3.3.1-2", lambda v: packets.publish("t", "x", v, dup=True))
row(208, "SUBSCRIBE with flags 0", "3.8.1-1", "3.8.1-1",
    lambda v: packet(SUBSCRIBE, two(1) + none(v) + binary("t") + b"\0"))
row(209, "SUBSCRIBE with flags 3", "3.8.1-1", "3.8.1-1",
    lambda v: packet(SUBSCRIBE, two(1) + none(v) + binary("t") + b"\0", 3))
row(210, "UNSUBSCRIBE with flags 0", "3.10.1-1", "3.10.1-1",
    lambda v: packet(UNSUBSCRIBE, two(1) + none(v) + binary("t")))
row(211, "UNSUBSCRIBE with flags 10", "3.10.1-1", "3.10.1-1",
    lambda v: packet(UNSUBSCRIBE, two(1) + none(v) + binary("t"), 10))
row(212, "PUBREL with flags 0", "3.6.1-1", "3.6.1-1", packet(PUBREL, two(1)))
row(213, "PUBREL with flags 6", "3.6.1-1", "3.6.1-1", packet(PUBREL, two(1), 6))
row(214, "PUBACK with flags", "2.2.2-1 2.2.2-2", "2.1.3-1 4.13.1-1", packet(PUBACK, two(1), 2))
row(215, "PUBREC with flags", "2.2.2-1 2.2.2-2", "2.1.3-1 4.13.1-1", packet(PUBREC, two(1), 2))
row(216, "PUBCOMP with flags", "2.2.2-1 2.2.2-2", "2.1.3-1 4.13.1-1", packet(PUBCOMP, two(1), 2))
row(217, "CONNACK from a client", "4.8.0-1", "4.13.1-1", lambda v: packet(CONNACK, b"\0\0" + none(v)))
row(218, "SUBACK from a client", "4.8.0-1", "4.13.1-1", lambda v: packet(SUBACK, two(1) + none(v) + b"\0"))
row(219, "UNSUBACK from a client", "4.8.0-1", "4.13.1-1",
    lambda v: packet(UNSUBACK, two(1) + (b"\0\0" if v == V5 else b"")))
row(220, "PINGRESP from a client", "4.8.0-1", "4.13.1-1", packet(PINGRESP))


# PUBLISH.


def publish(topic: bytes | str, *raw: bytes, qos: int = 0, identifier: bytes | None = None):
    """A PUBLISH of a topic and properties as they are."""

    def build(version: int) -> bytes:
        number = two(7) if identifier is None else identifier
        props = listed(*raw) if version == V5 else b""
        return packet(PUBLISH, binary(topic) + (number if qos else b"") + props + b"x", qos << 1)

    return build


row(222, "PUBLISH with an empty topic", "4.7.3-1", "4.7.3-1 4.13.1-1", publish(""), TOPIC_INVALID)
row(223, "PUBLISH with # in its topic", "3.3.2-2 4.7.1-1", "3.3.2-2 4.7.0-1", publish("a/#"), TOPIC_INVALID)
row(224, "PUBLISH with + in its topic", "3.3.2-2 4.7.1-1", "3.3.2-2 4.7.0-1", publish("a/+/b"), TOPIC_INVALID)
row(225, "PUBLISH with + within a level of its topic", "3.3.2-2 4.7.1-1", "3.3.2-2 4.7.0-1", publish("a+b"),
    TOPIC_INVALID)
row(226, "PUBLISH with U+0000 in its topic", "1.5.3-2 4.7.3-2", "1.5.4-2 4.7.3-2", publish(b"a\0b"), TOPIC_INVALID)
row(227, "PUBLISH with a topic that is not UTF-8", "3.3.2-1 1.5.3-1", "3.3.2-1 1.5.4-1", publish(b"a\xff"),
    TOPIC_INVALID)
row(228, "PUBLISH with a surrogate in its topic", "3.3.2-1 1.5.3-1", "3.3.2-1 1.5.4-1", publish(b"a\xed\xbf\xbf"),
    TOPIC_INVALID)
row(229, "PUBLISH with U+0000 written in two bytes", "3.3.2-1 1.5.3-1", "3.3.2-1 1.5.4-1", publish(b"a\xc0\x80"),
    TOPIC_INVALID)
row(230, "PUBLISH with a character past U+10FFFF", "3.3.2-1 1.5.3-1", "3.3.2-1 1.5.4-1", publish(b"\xf4\x90\x80\x80"),
    TOPIC_INVALID)
row(231, "PUBLISH with a character cut off", "3.3.2-1 1.5.3-1", "3.3.2-1 1.5.4-1", publish(b"a\xe2\x82"),
    TOPIC_INVALID)
row(232, "PUBLISH with a topic longer than the packet", "3.3.2-1 4.8.0-1", "3.3.2-1 4.13.1-1",
    packet(PUBLISH, b"\0\x20abc"))
row(233, "PUBLISH without a topic", "3.3.2-1 4.8.0-1", "3.3.2-1 4.13.1-1", packet(PUBLISH))
row(234, "PUBLISH at QoS 1 with packet identifier 0", "2.3.1-1", "2.2.1-3 4.13.1-1",
    publish("t", qos=1, identifier=b"\0\0"))
row(235, "PUBLISH at QoS 2 with packet identifier 0", "2.3.1-1", "2.2.1-3 4.13.1-1",
    publish("t", qos=2, identifier=b"\0\0"), needs="qos2")
row(236, "PUBLISH at QoS 1 that ends before its packet identifier", "2.3.1-1 4.8.0-1", "2.2.1-3 4.13.1-1",
    packet(PUBLISH, binary("t") + b"\0", 2))
row(237, "PUBLISH that ends before its properties", "", "4.13.1-1", packet(PUBLISH, binary("t")))
row(238, "PUBLISH with properties longer than the packet", "", "4.13.1-1", packet(PUBLISH, binary("t") + b"\x30"))
row(239, "PUBLISH with a property cut off", "", "4.13.1-1", publish("t", b"\x02\0\0"))
row(240, "PUBLISH with a property length of five bytes", "", "1.5.5-1 4.13.1-1",
    packet(PUBLISH, binary("t") + b"\x80\x80\x80\x80\x00x"))
row(241, "PUBLISH with an unknown property", "", "4.13.1-1", publish("t", b"\x7f\0"))
row(242, "PUBLISH with a property of CONNECT", "", "4.13.1-1", publish("t", single("session_expiry_interval", 5)))
row(243, "PUBLISH with a property of CONNACK", "", "4.13.1-1", publish("t", single("maximum_qos", 1)))
for number, (name, value) in enumerate({
    "payload_format_indicator": 1, "message_expiry_interval": 9, "content_type": "a", "response_topic": "a",
    "correlation_data": b"a", "topic_alias": 1,
}.items(), 244):
    row(number, f"PUBLISH with the {name.replace('_', ' ')} twice", "", "4.13.1-1",
        publish("t", single(name, value), single(name, value)), (*BAD, 0x94))
row(250, "PUBLISH with payload format 2", "", "4.13.1-1", publish("t", single("payload_format_indicator", 2)),
    (*BAD, 0x99))
row(251, "PUBLISH with a subscription identifier", "", "3.3.4-6", publish("t", single("subscription_identifier", 1)))
row(252, "PUBLISH with a wildcard in the response topic", "", "3.3.2-14",
    publish("t", single("response_topic", "a/#")), TOPIC_INVALID)
row(253, "PUBLISH with a response topic that is not UTF-8", "", "3.3.2-13 1.5.4-1",
    publish("t", single("response_topic", b"\xff")), TOPIC_INVALID)
row(254, "PUBLISH with a content type that is not UTF-8", "", "3.3.2-19 1.5.4-1",
    publish("t", single("content_type", b"\xff")))
row(255, "PUBLISH with a user property whose name is not UTF-8", "", "1.5.7-1",
    publish("t", single("user_property", (b"\xff", "a"))))
row(256, "PUBLISH with a user property whose value has U+0000", "", "1.5.7-1 1.5.4-2",
    publish("t", single("user_property", ("a", b"\0"))))
row(257, "PUBLISH with a user property without value", "", "1.5.7-1 4.13.1-1", publish("t", b"\x26" + binary("a")))


# Acknowledgements.

row(260, "PUBACK of one byte", "4.8.0-1", "4.13.1-1", packet(PUBACK, b"\0"))
row(261, "PUBACK with packet identifier 0", "2.3.1-1 4.8.0-1", "2.2.1-5 4.13.1-1", packet(PUBACK, two(0)))
row(262, "PUBACK with a byte too many", "4.8.0-1", "", packet(PUBACK, two(1) + b"\0"))
row(263, "PUBACK with a reason that there is not", "", "3.4.2-1", packet(PUBACK, two(1) + b"\x01\0"))
row(264, "PUBREC with a reason that there is not", "", "3.5.2-1", packet(PUBREC, two(1) + b"\x02\0"))
row(265, "PUBREL with a reason of PUBREC", "", "3.6.2-1", packet(PUBREL, two(1) + b"\x10\0", 2))
row(266, "PUBCOMP with a reason of PUBACK", "", "3.7.2-1", packet(PUBCOMP, two(1) + b"\x97\0"))
row(267, "PUBREL with a property of PUBLISH", "", "4.13.1-1",
    packet(PUBREL, two(1) + b"\0" + listed(single("topic_alias", 1)), 2))
row(268, "PUBREL with two reason strings", "", "4.13.1-1",
    packet(PUBREL, two(1) + b"\0" + listed(single("reason_string", "a"), single("reason_string", "b")), 2))
row(269, "PUBREL with packet identifier 0", "2.3.1-1 4.8.0-1", "2.2.1-5 4.13.1-1", packet(PUBREL, two(0), 2))


# SUBSCRIBE.


def subscribe(*filters: tuple[bytes | str, int], identifier: int = 1, props: bytes = b"\0"):
    """A SUBSCRIBE with properties as they are."""

    def build(version: int) -> bytes:
        pairs = b"".join(binary(name) + bytes([options]) for name, options in filters)
        return packet(SUBSCRIBE, two(identifier) + (props if version == V5 else b"") + pairs, 2)

    return build


row(270, "SUBSCRIBE with packet identifier 0", "2.3.1-1", "2.2.1-3 4.13.1-1", subscribe(("t", 0), identifier=0))
row(271, "SUBSCRIBE without a filter", "3.8.3-3", "3.8.3-2", subscribe())
row(272, "SUBSCRIBE with a filter without options", "3.8.3-3", "3.8.3-2",
    lambda v: packet(SUBSCRIBE, two(1) + none(v) + binary("t"), 2))
row(273, "SUBSCRIBE with a filter longer than the packet", "4.8.0-1", "4.13.1-1",
    lambda v: packet(SUBSCRIBE, two(1) + none(v) + b"\0\x20t\0", 2))
row(274, "SUBSCRIBE with an empty filter", "4.7.3-1", "4.7.3-1", subscribe(("", 0)), FILTER_INVALID)
row(275, "SUBSCRIBE with a filter that is not UTF-8", "3.8.3-1 1.5.3-1", "3.8.3-1 1.5.4-1", subscribe((b"\xff", 0)),
    FILTER_INVALID)
row(276, "SUBSCRIBE with U+0000 in a filter", "1.5.3-2 4.7.3-2", "1.5.4-2 4.7.3-2", subscribe((b"a\0", 0)),
    FILTER_INVALID)
row(277, "SUBSCRIBE with QoS 3", "3.8.3-4", "4.13.1-1", subscribe(("t", 3)))
row(278, "SUBSCRIBE with reserved bits", "3.8.3-4", "3.8.3-5", subscribe(("t", 0x40)))
row(279, "SUBSCRIBE with the other reserved bit", "3.8.3-4", "3.8.3-5", subscribe(("t", 0x80)))
row(280, "SUBSCRIBE with retain handling 3", "3.8.3-4", "4.13.1-1", subscribe(("t", 0x30)))
row(281, "SUBSCRIBE with # before the end", "4.7.1-2", "4.7.1-1", subscribe(("a/#/b", 0)), FILTER_INVALID)
row(282, "SUBSCRIBE with # after other characters of a level", "4.7.1-2", "4.7.1-1", subscribe(("a/b#", 0)),
    FILTER_INVALID)
row(283, "SUBSCRIBE with + after other characters of a level", "4.7.1-3", "4.7.1-2", subscribe(("a/b+/c", 0)),
    FILTER_INVALID)
row(284, "SUBSCRIBE with + before other characters of a level", "4.7.1-3", "4.7.1-2", subscribe(("+b", 0)),
    FILTER_INVALID)
row(285, "SUBSCRIBE with a good filter before a bad one", "4.7.1-2", "4.7.1-1", subscribe(("good", 0), ("#/", 0)),
    FILTER_INVALID)
row(286, "SUBSCRIBE with subscription identifier 0", "", "4.13.1-1",
    subscribe(("t", 0), props=listed(b"\x0b\0")), (*BAD, 0xA1))
row(287, "SUBSCRIBE with two subscription identifiers", "", "4.13.1-1",
    subscribe(("t", 0), props=listed(b"\x0b\1", b"\x0b\2")), (*BAD, 0xA1))
row(288, "SUBSCRIBE with a property of PUBLISH", "", "4.13.1-1",
    subscribe(("t", 0), props=listed(single("topic_alias", 1))))
for number, (title, name) in enumerate({
    "an empty share name": "$share//t", "no filter after the share name": "$share/name",
    "an empty filter after the share name": "$share/name/", "+ in the share name": "$share/na+me/t",
    "# in the share name": "$share/#/t",
}.items(), 289):
    row(number, f"SUBSCRIBE with {title}", "", "4.8.2-1" if number == 289 else "4.8.2-2", subscribe((name, 0)),
        FILTER_INVALID, "shared")


# UNSUBSCRIBE and DISCONNECT.

row(294, "UNSUBSCRIBE with packet identifier 0", "2.3.1-1", "2.2.1-3 4.13.1-1",
    lambda v: packets.unsubscribe(0, ["t"], v))
row(295, "UNSUBSCRIBE without a filter", "3.10.3-2", "3.10.3-2", lambda v: packets.unsubscribe(1, [], v))
row(296, "UNSUBSCRIBE with a filter that is not UTF-8", "3.10.3-1 1.5.3-1", "3.10.3-1 1.5.4-1",
    lambda v: packet(UNSUBSCRIBE, two(1) + none(v) + binary(b"\xff"), 2), FILTER_INVALID)
row(297, "UNSUBSCRIBE with an empty filter", "4.7.3-1", "4.7.3-1", lambda v: packets.unsubscribe(1, [""], v),
    FILTER_INVALID)
row(298, "UNSUBSCRIBE with a property of SUBSCRIBE", "", "4.13.1-1",
    lambda v: packets.unsubscribe(1, ["t"], v, {"subscription_identifier": 1}))


def bad_goodbye(lab: Lab):
    """A DISCONNECT that is none ends the connection as a failure: each time the will is published."""
    goodbyes = [packet(DISCONNECT, flags=1)]
    if lab.version == V311:
        goodbyes.append(packet(DISCONNECT, b"\0"))
    else:
        goodbyes += [
            packet(DISCONNECT, b"\x01"), packet(DISCONNECT, b"\0\x20"),
            packet(DISCONNECT, b"\0" + listed(single("receive_maximum", 1))),
            packet(DISCONNECT, b"\0" + listed(single("session_expiry_interval", 0)) * 2),
        ]
    listener = lab.client()
    listener.subscribe(lab.topic())
    for number, goodbye in enumerate(goodbyes):
        client = lab.client(will=Will(lab.topic(), str(number).encode()))
        client.send(goodbye).gone(*BAD)
        listener.message(str(number))


add(299, "a malformed DISCONNECT is a failure, not a goodbye", bad_goodbye, "3.14.1-1 4.8.0-1",
    "3.14.1-1 3.14.2-1 4.13.1-1")
