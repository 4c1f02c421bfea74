"""400: subscriptions, what is granted, what they match, and how they end."""

import packets
from packets import PUBCOMP, PUBREC, PUBREL, SUBACK, UNSUBACK, V5

from .client import Difference, NotSupported, shown
from .scripts import Lab, add, script

NO_LOCAL, AS_PUBLISHED, ONLY_IF_NEW, NEVER = 0x04, 0x08, 0x10, 0x20


@script(400, "a SUBSCRIBE is answered by a SUBACK of its identifier that grants it", "3.8.4-1 3.8.4-2 2.3.1-7",
        "3.8.4-1 3.8.4-2 2.2.1-6")
def _(lab: Lab):
    client = lab.client()
    for identifier in (1, 300, 65535):
        client.send(packets.subscribe(identifier, [(lab.topic(str(identifier)), 0)], lab.version))
        client.expect(SUBACK, identifier=identifier, reasons=[0])


@script(401, "the SUBACK has a code for each filter, in their order", "3.9.3-1 3.8.4-5 3.8.4-4 3.9.3-2",
        "3.9.3-1 3.8.4-5 3.8.4-6 3.8.4-7 3.9.3-2", "qos2")
def _(lab: Lab):
    client, wanted = lab.client(), [0, 2, 1, 1, 0, 2]
    filters = [(lab.topic(str(place)), qos) for place, qos in enumerate(wanted)]
    client.send(packets.subscribe(5, filters, lab.version))
    client.expect(SUBACK, identifier=5, reasons=wanted)


@script(402, "a SUBSCRIBE of QoS 2 is granted something", "3.8.4-5", "3.2.2-10 3.8.4-7")
def _(lab: Lab):
    client = lab.client()
    client.send(packets.subscribe(5, [(lab.topic(), 2)], lab.version))
    (granted,) = client.expect(SUBACK, identifier=5).reasons
    assert granted <= 2, f"expected the filter granted, got 0x{granted:02X}"


@script(403, "every filter of one SUBSCRIBE works", "3.8.4-4", "3.8.4-5")
def _(lab: Lab):
    listener, client = lab.client(), lab.client()
    names = [lab.topic(str(number)) for number in range(30)]
    listener.subscribe(*names, qos=1)
    for name in names:
        client.publish(name, "x")
        listener.message("x", topic=name)


@script(404, "subscribing again replaces: there is one copy, at the new QoS", "3.8.4-3", "3.8.4-3")
def _(lab: Lab):
    client, listener = lab.pair(qos=0)
    listener.subscribe(lab.topic(), qos=1)
    client.publish(lab.topic(), "up", 1)
    listener.message("up", qos=1)
    listener.subscribe(lab.topic(), qos=0)
    client.publish(lab.topic(), "down", 1)
    listener.message("down", qos=0)
    listener.quiet()


@script(405, "the same filter twice in one SUBSCRIBE is one subscription, the last", "3.8.4-3 3.8.4-4",
        "3.8.4-3 3.8.4-5")
def _(lab: Lab):
    listener, client = lab.client(), lab.client()
    listener.send(packets.subscribe(5, [(lab.topic(), 0), (lab.topic(), 1)], lab.version))
    listener.expect(SUBACK, reasons=[0, 1])
    client.publish(lab.topic(), "x", 1)
    listener.message("x", qos=1)
    listener.quiet()


@script(406, "where filters overlap the message comes at the highest QoS granted", "3.3.5-1", "3.3.4-2")
def _(lab: Lab):
    listener, client = lab.client(), lab.client()
    listener.subscribe(lab.topic("a/#"), qos=0)
    listener.subscribe(lab.topic("a/b"), qos=1)
    listener.subscribe(lab.topic("+/b"), qos=0)
    client.publish(lab.topic("a/b"), "x", 1)
    copies = listener.gathered()
    assert 1 <= len(copies) <= 3, f"expected one copy, or one for each subscription, got {len(copies)}"
    assert max(copy.qos for copy in copies) == 1, f"expected QoS 1, got {list(map(shown, copies))}"


@script(407, "a subscription is its client's alone", "3.3.2-3", "3.3.2-3")
def _(lab: Lab):
    client, listener = lab.pair()
    client.subscribe(lab.topic("other"))
    lab.client().publish(lab.topic(), "x")
    listener.message("x")
    client.quiet()


@script(408, "subscribing while messages flow loses none", "3.8.4-3", "3.8.4-4")
def _(lab: Lab):
    client, listener = lab.pair(qos=1)
    for number in range(20):
        client.publish(lab.topic(), str(number), 1)
        if number % 5 == 0:
            listener.subscribe(lab.topic(), qos=1)
    for number in range(20):
        listener.message(str(number))


# Ending a subscription.


@script(410, "after UNSUBACK nothing more is delivered", "3.10.4-1 3.10.4-2 3.10.4-4", "3.10.4-1 3.10.4-2 3.10.4-4")
def _(lab: Lab):
    client, listener = lab.pair(qos=1)
    listener.unsubscribe(lab.topic())
    client.publish(lab.topic(), "x", 1)
    listener.quiet()


@script(411, "an UNSUBSCRIBE of nothing is answered all the same (5: with 0x11)", "3.10.4-5", "3.10.4-5 3.11.3-2")
def _(lab: Lab):
    got = lab.client().unsubscribe(lab.topic("never"))
    assert got == ([0x11] if lab.five else []), f"expected 0x11, got {got}"


@script(412, "UNSUBACK has a code for each filter, in their order", five="3.11.3-1 3.11.3-2 3.10.4-6")
def _(lab: Lab):
    client = lab.client()
    client.subscribe(lab.topic("a"), lab.topic("c"))
    got = client.unsubscribe(lab.topic("a"), lab.topic("b"), lab.topic("c"), lab.topic("c"))
    assert got == [0, 0x11, 0, 0x11], f"expected 00 11 00 11, got {bytes(got).hex(' ')}"


@script(413, "one UNSUBSCRIBE ends several subscriptions with one UNSUBACK", "3.10.4-6", "3.10.4-6")
def _(lab: Lab):
    client, listener = lab.client(), lab.client()
    names = [lab.topic(name) for name in "abc"]
    listener.subscribe(*names)
    listener.unsubscribe(names[0], names[2])
    for name in names:
        client.publish(name, "x")
    listener.message("x", topic=names[1])
    listener.quiet(kinds=(packets.PUBLISH, UNSUBACK))


@script(414, "filters are compared by their characters, not by what they match", "3.10.4-1", "3.10.4-1")
def _(lab: Lab):
    client, listener = lab.pair("a/b")
    listener.unsubscribe(lab.topic("a/+"), lab.topic("#"), lab.topic("A/b"))
    client.publish(lab.topic("a/b"), "x")
    listener.message("x")


@script(415, "an overlapping subscription stays when the other ends", "3.10.4-1", "3.10.4-1")
def _(lab: Lab):
    client, listener = lab.pair("a/#")
    listener.subscribe(lab.topic("a/b"))
    listener.unsubscribe(lab.topic("a/b"))
    client.publish(lab.topic("a/b"), "x")
    listener.message("x")
    listener.quiet()


@script(416, "a delivery that has begun is completed after UNSUBSCRIBE", "3.10.4-3", "3.10.4-3", "qos2")
def _(lab: Lab):
    client, listener = lab.pair(qos=2)
    client.publish(lab.topic(), "x", 2)
    got = listener.arrival("x", qos=2)
    listener.unsubscribe(lab.topic())
    listener.ack(PUBREC, got.identifier).expect(PUBREL, identifier=got.identifier, reason=0)
    listener.ack(PUBCOMP, got.identifier).alive()


@script(417, "UNSUBACK has the identifier of its UNSUBSCRIBE", "3.10.4-4 2.3.1-7", "3.10.4-5 2.2.1-6")
def _(lab: Lab):
    client = lab.client()
    for identifier in (65535, 300, 1):
        client.send(packets.unsubscribe(identifier, [lab.topic()], lab.version)).expect(UNSUBACK, identifier=identifier)


# The options of MQTT 5.


@script(420, "with no local a client does not hear itself", five="3.8.3-3")
def _(lab: Lab):
    client = lab.client()
    client.subscribe(lab.topic(), options=NO_LOCAL)
    client.publish(lab.topic(), "mine")
    lab.client().publish(lab.topic(), "other's")
    client.message("other's")
    client.quiet()


@script(421, "no local of one subscription does not silence another", five="3.8.3-3")
def _(lab: Lab):
    client = lab.client()
    client.subscribe(lab.topic("a"), options=NO_LOCAL)
    client.subscribe(lab.topic("b"))
    client.publish(lab.topic("a"), "no")
    client.publish(lab.topic("b"), "yes")
    client.message("yes")
    client.quiet()


@script(422, "no local is of the session: messages of an earlier connection are one's own", five="3.8.3-3")
def _(lab: Lab):
    client = lab.lasting(name := lab.id())
    client.subscribe(lab.topic(), qos=1, options=NO_LOCAL)
    client.leave()
    again = lab.lasting(name)
    again.publish(lab.topic(), "mine", 1)
    again.quiet()


@script(423, "without retain as published live messages have RETAIN 0", "3.3.1-9", "3.3.1-12", "retain")
def _(lab: Lab):
    client, listener = lab.pair()
    client.publish(lab.kept(), "x", retain=True)
    listener.message("x", retain=False)


@script(424, "with retain as published live messages have RETAIN as it was sent", five="3.3.1-13", needs="retain")
def _(lab: Lab):
    client, listener = lab.client(), lab.client()
    listener.subscribe(lab.topic(), options=AS_PUBLISHED)
    client.publish(lab.kept(), "kept", retain=True)
    client.publish(lab.topic(), "passing")
    listener.message("kept", retain=True)
    listener.message("passing", retain=False)


@script(425, "retain handling 0 sends retained messages at each SUBSCRIBE", "3.8.4-3 3.3.1-6", "3.3.1-9 3.8.4-4",
        "retain")
def _(lab: Lab):
    client, listener = lab.client(), lab.client()
    client.publish(lab.kept(), "kept", 1, retain=True)
    for _ in range(2):
        listener.subscribe(lab.topic())
        listener.message("kept", retain=True)


@script(426, "retain handling 1 sends retained messages only to a new subscription", five="3.3.1-10", needs="retain")
def _(lab: Lab):
    client, listener = lab.client(), lab.client()
    client.publish(lab.kept(), "kept", 1, retain=True)
    listener.subscribe(lab.topic(), options=ONLY_IF_NEW)
    listener.message("kept", retain=True)
    listener.subscribe(lab.topic(), options=ONLY_IF_NEW)
    listener.quiet()
    listener.unsubscribe(lab.topic())
    listener.subscribe(lab.topic(), options=ONLY_IF_NEW)
    listener.message("kept", retain=True)


@script(427, "retain handling 2 sends no retained messages", five="3.3.1-11", needs="retain")
def _(lab: Lab):
    client, listener = lab.client(), lab.client()
    client.publish(lab.kept(), "kept", 1, retain=True)
    listener.subscribe(lab.topic(), options=NEVER)
    listener.quiet()
    client.publish(lab.topic(), "live")
    listener.message("live")


@script(428, "retain handling 1 knows the subscription of a session that was resumed", five="3.3.1-10", needs="retain")
def _(lab: Lab):
    client = lab.client()
    client.publish(lab.kept(), "kept", 1, retain=True)
    listener = lab.lasting(name := lab.id())
    listener.subscribe(lab.topic(), options=NEVER)
    listener.leave()
    again = lab.lasting(name)
    again.subscribe(lab.topic(), options=ONLY_IF_NEW)
    again.quiet()


# Subscription identifiers.


def identifiers(lab: Lab, listener, topic: str) -> list[list[int]]:
    """Those of each copy of one message."""
    lab.client().publish(topic, "x")
    return [sorted(copy.props.get("subscription_identifier", [])) for copy in listener.gathered()]


@script(430, "a message says the identifier of its subscription", five="3.3.4-3", needs="identifiers")
def _(lab: Lab):
    listener = lab.client()
    for number in (1, 128, 268_435_455):
        listener.subscribe(lab.topic(str(number)), props={"subscription_identifier": number})
    for number in (1, 128, 268_435_455):
        found = identifiers(lab, listener, lab.topic(str(number)))
        assert found == [[number]], f"expected identifier {number}, got {found}"


@script(431, "a message of a subscription without identifier has none", five="3.3.4-3", needs="identifiers")
def _(lab: Lab):
    listener = lab.client()
    listener.subscribe(lab.topic("a"), props={"subscription_identifier": 5})
    listener.subscribe(lab.topic("b"))
    found = identifiers(lab, listener, lab.topic("b"))
    assert found == [[]], f"expected none, got {found}"


@script(432, "where filters overlap every identifier is there", five="3.3.4-3 3.3.4-4 3.3.4-5", needs="identifiers")
def _(lab: Lab):
    listener = lab.client()
    listener.subscribe(lab.topic("a/b"), props={"subscription_identifier": 1})
    listener.subscribe(lab.topic("a/+"), props={"subscription_identifier": 2})
    listener.subscribe(lab.topic("#"))
    found = identifiers(lab, listener, lab.topic("a/b"))
    assert found == [[1, 2]] or sorted(found) in ([[], [1], [2]], [[1], [2]]), f"expected 1 and 2, got {found}"


@script(433, "two subscriptions may have the same identifier", five="3.3.4-4 3.3.4-5", needs="identifiers")
def _(lab: Lab):
    listener = lab.client()
    listener.subscribe(lab.topic("a/b"), lab.topic("a/c"), props={"subscription_identifier": 7})
    for name in ("a/b", "a/c"):
        found = identifiers(lab, listener, lab.topic(name))
        assert found == [[7]], f"expected 7, got {found}"


@script(434, "subscribing again replaces the identifier, or takes it away", five="3.8.4-3 3.3.4-3", needs="identifiers")
def _(lab: Lab):
    listener = lab.client()
    for number in (1, 2):
        listener.subscribe(lab.topic(), props={"subscription_identifier": number})
    found = identifiers(lab, listener, lab.topic())
    assert found == [[2]], f"expected 2, got {found}"
    listener.subscribe(lab.topic())
    found = identifiers(lab, listener, lab.topic())
    assert found == [[]], f"expected none, got {found}"


@script(435, "the identifier is of the session and comes back with it", five="3.3.4-3 4.1.0-1", needs="identifiers")
def _(lab: Lab):
    listener = lab.lasting(name := lab.id())
    listener.subscribe(lab.topic(), props={"subscription_identifier": 9})
    listener.leave()
    found = identifiers(lab, lab.lasting(name), lab.topic())
    assert found == [[9]], f"expected 9, got {found}"


@script(436, "a retained message has the identifier of the subscription it is sent for", five="3.3.4-3",
        needs="identifiers retain")
def _(lab: Lab):
    lab.client().publish(lab.kept(), "kept", 1, retain=True)
    listener = lab.client()
    listener.subscribe(lab.topic(), props={"subscription_identifier": 3})
    got = listener.message("kept", retain=True).props.get("subscription_identifier")
    assert got == [3], f"expected 3, got {got}"


@script(437, "a broker without subscription identifiers refuses them with 0xA1", five="4.13.1-1")
def _(lab: Lab):
    client = lab.client()
    if client.connack.props.get("subscription_identifiers_available", 1):
        raise NotSupported("the broker has subscription identifiers")
    client.send(packets.subscribe(1, [(lab.topic(), 0)], V5, {"subscription_identifier": 1})).gone(0xA1, 0x82)


@script(438, "a SUBSCRIBE and an UNSUBSCRIBE with user properties are understood", five="3.8.4-1 3.10.4-4")
def _(lab: Lab):
    client, props = lab.client(), {"user_property": [("a", "1"), ("a", "1")]}
    client.subscribe(lab.topic(), props=props)
    client.send(packets.unsubscribe(9, [lab.topic()], lab.version, props)).expect(UNSUBACK, identifier=9, reasons=[0])


# What filters match.


def matching(name: str, topic: str, matches: bool):
    """One filter, one topic; `*` in either stands for what is this run's alone."""

    def run(lab: Lab):
        def own(pattern: str) -> str:
            return pattern.replace("*", lab.mark) if "*" in pattern else lab.topic(pattern)

        client, listener = lab.client(), lab.client()
        listener.subscribe(own(name), lab.topic("control!"))
        client.publish(own(topic), "x")
        client.publish(lab.topic("control!"), "control")
        if matches:
            listener.message("x")
        listener.message("control")
        listener.quiet(0.15)

    return run


HASH, PLUS, EXACT = ("4.7.1-2", "4.7.1-1"), ("4.7.1-3", "4.7.1-2"), ("3.3.2-3", "3.3.2-3")
MATCHES = [
    ("a/b", "a/b", True, EXACT), ("a/b", "a", False, EXACT), ("a", "a/b", False, EXACT), ("a/b", "a/B", False, EXACT),
    ("a/b", "a/b/", False, EXACT), ("a/b/", "a/b", False, EXACT), ("a/b", "a//b", False, EXACT),
    ("/a", "a", False, EXACT), ("a/+", "a/b", True, PLUS), ("a/+", "a/", True, PLUS), ("a/+", "a", False, PLUS),
    ("a/+", "a/b/c", False, PLUS), ("a/+/c", "a/b/c", True, PLUS), ("a/+/c", "a//c", True, PLUS),
    ("a/+/c", "a/c", False, PLUS), ("a/+/c", "a/b/b/c", False, PLUS), ("+/+", "a/b", True, PLUS),
    ("+/+", "/b", True, PLUS), ("+/*/c", "any/*/c", True, PLUS), ("+/*/c", "/*/c", True, PLUS),
    ("a/#", "a/b", True, HASH), ("a/#", "a/b/c/d", True, HASH), ("a/#", "a", True, HASH), ("a/#", "a/", True, HASH),
    ("a/#", "ab", False, HASH), ("a/#", "b/a/c", False, HASH), ("a/+/#", "a/b", True, HASH),
    ("a/+/#", "a/b/c/d", True, HASH), ("a/+/#", "a", False, HASH), ("+/*/#", "any/*", True, HASH),
]
for place, (name, topic, matches, rules) in enumerate(MATCHES):
    add(440 + place, f"filter {name} {'matches' if matches else 'does not match'} topic {topic}",
        matching(name, topic, matches), *rules, needs="wildcards" if rules is not EXACT else "")


@script(470, "a filter that begins with + does not match a topic that begins with $", "4.7.2-1", "4.7.2-1", "wildcards")
def _(lab: Lab):
    listener = lab.client()
    listener.subscribe(f"+/{lab.mark}")
    lab.client().publish(f"$conformance/{lab.mark}", "no")
    lab.client().publish(f"conformance/{lab.mark}", "yes")
    listener.message("yes")
    listener.quiet()


@script(471, "a filter that begins with # does not match a topic that begins with $", "4.7.2-1", "4.7.2-1", "wildcards")
def _(lab: Lab):
    listener = lab.client()
    listener.subscribe("#")
    lab.client().publish(f"$conformance/{lab.mark}", "no")
    lab.client().publish(lab.topic(), "yes")
    heard = listener.gathered(1.0)
    assert any(got.topic == lab.topic() for got in heard), "the filter # matched nothing"
    if wrong := [got for got in heard if got.topic.startswith("$")]:
        raise Difference(f"the filter # matched {wrong[0].topic}")


@script(472, "a filter that begins with the same $ level matches", "3.3.2-3", "3.3.2-3")
def _(lab: Lab):
    client, topic = lab.client(), f"$conformance/{lab.mark}"
    client.send(packets.subscribe(1, [(topic, 0)], lab.version), packets.publish(topic, "x", lab.version))
    try:
        (granted,) = client.expect(SUBACK).reasons
        if granted < 0x80:
            client.message("x", patience=1.0)
            return
    except Difference:
        pass
    raise NotSupported("the broker keeps $-topics to itself")


@script(473, "a wildcard subscription hears many topics", "4.7.1-2", "4.7.1-1", "wildcards")
def _(lab: Lab):
    client, listener = lab.pair("#", qos=1)
    names = ["", "a", "a/b", "/", "a//b/c/d/e/f/g/h/i/j"]
    for name in names:
        client.publish(lab.topic(name), name or "none", 1)
    for name in names:
        listener.message(name or "none", topic=lab.topic(name))
