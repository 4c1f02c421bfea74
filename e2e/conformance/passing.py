"""900: properties on their way through, time running out, shares, and the two versions side by side."""

import time

import packets
from packets import PUBACK, PUBCOMP, PUBREC, PUBREL, V5, V311

from .client import Difference, NotSupported, shown
from .scripts import Lab, add, script

EVERY = {
    "payload_format_indicator": 1, "content_type": "text/plain; ä", "response_topic": "answer/to",
    "correlation_data": bytes(range(256)), "user_property": [("b", "1"), ("a", "2"), ("b", "1"), ("", ""), ("ä", "日")],
}


def passed_on(props: dict, qos: int):
    """Properties arrive as they were sent, and no others."""

    def run(lab: Lab):
        client, listener = lab.pair(qos=qos)
        client.publish(lab.topic(), "x", qos, props=props)
        found = listener.message("x").props
        if found != props:
            raise Difference(f"expected {props}, got {found}")

    return run


PASSED = [
    ("a payload format of 0", {"payload_format_indicator": 0}, "3.3.2-4"),
    ("a payload format of 1", {"payload_format_indicator": 1}, "3.3.2-4"),
    ("a content type", {"content_type": "text/plain; ä"}, "3.3.2-20"),
    ("an empty content type", {"content_type": ""}, "3.3.2-20"),
    ("a response topic", {"response_topic": "answer/to"}, "3.3.2-15"),
    ("correlation data of every byte", {"correlation_data": bytes(range(256))}, "3.3.2-16"),
    ("empty correlation data", {"correlation_data": b""}, "3.3.2-16"),
    ("user properties, repeated and in order", {"user_property": EVERY["user_property"]}, "3.3.2-17 3.3.2-18"),
    ("fifty user properties", {"user_property": [(f"k{n % 7}", str(n)) for n in range(50)]}, "3.3.2-17 3.3.2-18"),
    ("no property at all", {}, "2.2.2-1"),
]
for place, (title, props, rules) in enumerate(PASSED):
    add(900 + place, f"{title} is passed on unaltered" if props else "without properties there are none on arrival",
        passed_on(props, 0), five=rules)
for qos in range(3):
    add(910 + qos, f"every property together is passed on at QoS {qos}", passed_on(EVERY, qos),
        five="3.3.2-4 3.3.2-15 3.3.2-16 3.3.2-17 3.3.2-18 3.3.2-20", needs="qos2" if qos == 2 else "")


@script(913, "properties are queued with their message", five="3.3.2-4 3.3.2-15 3.3.2-16 3.3.2-17 3.3.2-18 3.3.2-20")
def _(lab: Lab):
    listener = lab.lasting(name := lab.id())
    listener.subscribe(lab.topic(), qos=1)
    listener.leave()
    lab.client().publish(lab.topic(), "x", 1, props=EVERY)
    again = lab.lasting(name)
    found = again.arrival("x").props
    assert found == EVERY, f"expected the properties as sent, got {found}"
    again.abort()
    found = lab.lasting(name).arrival("x", dup=True).props
    assert found == EVERY, f"expected the properties as sent, got {found} when sent again"


def other_version(lab: Lab):
    """A client of the other version."""
    version, lab.version = lab.version, V5 if lab.version == V311 else V311
    try:
        return lab.client()
    finally:
        lab.version = version


@script(914, "who speaks this version hears who speaks the other", "3.3.5-1", "4.5.0-1")
def _(lab: Lab):
    if "five" in lab.broker.lacks:
        raise Difference("the broker has no MQTT 5")
    listener = lab.client()
    listener.subscribe(lab.topic(), qos=1)
    other_version(lab).publish(lab.topic(), "x", 1)
    got = listener.message("x", qos=1)
    assert not got.props, f"properties that nobody sent: {got.props}"


@script(915, "who speaks the other version hears what this one's publication says without its properties",
        five="4.5.0-1")
def _(lab: Lab):
    listener = other_version(lab)
    listener.subscribe(lab.topic(), qos=1)
    lab.client().publish(lab.topic(), "x", 1, props=EVERY)
    listener.message("x", qos=1)


# Expiry.


@script(920, "an expiry is passed on, less the time waited", five="3.3.2-6")
def _(lab: Lab):
    client, listener = lab.pair(qos=1)
    client.publish(lab.topic(), "x", 1, props={"message_expiry_interval": 60})
    left = listener.message("x").props.get("message_expiry_interval")
    assert left in (59, 60), f"expected 60 seconds left, got {left}"


@script(921, "the time in a queue is taken from the expiry", five="3.3.2-6")
def _(lab: Lab):
    name = _away(lab)
    lab.client().publish(lab.topic(), "x", 1, props={"message_expiry_interval": 60})
    time.sleep(2.2)
    left = lab.lasting(name).message("x").props.get("message_expiry_interval")
    assert left is not None and 55 <= left <= 58, f"expected 58 seconds left, got {left}"


@script(922, "a message whose time ran out in the queue is not sent", five="3.3.2-5")
def _(lab: Lab):
    name, client = _away(lab), lab.client()
    client.publish(lab.topic(), "brief", 1, props={"message_expiry_interval": 1})
    client.publish(lab.topic(), "lasting", 1)
    time.sleep(2.2)
    again = lab.lasting(name)
    again.message("lasting")
    again.quiet()


@script(923, "a message whose time runs out before the window opens is not sent", five="3.3.2-5")
def _(lab: Lab):
    client, listener = lab.pair(qos=1, props={"receive_maximum": 1})
    client.publish(lab.topic(), "first", 1)
    first = listener.arrival("first")
    client.publish(lab.topic(), "brief", 1, props={"message_expiry_interval": 1})
    client.publish(lab.topic(), "last", 1)
    time.sleep(2.2)
    listener.accept(first)
    listener.message("last")


@script(924, "a message without expiry waits as long as it must", five="3.3.2-6")
def _(lab: Lab):
    name = _away(lab)
    lab.client().publish(lab.topic(), "x", 1)
    time.sleep(2.2)
    got = lab.lasting(name).message("x")
    assert "message_expiry_interval" not in got.props, "an expiry that nobody set"


def _away(lab: Lab) -> str:
    listener = lab.lasting(name := lab.id())
    listener.subscribe(lab.topic(), qos=1)
    listener.leave()
    return name


# Shared subscriptions.


def share(lab: Lab, name: str = "t", group: str = "g") -> str:
    """The filter of a member."""
    return f"$share/{group}/{lab.topic(name)}"


def members(lab: Lab, count: int, qos: int = 1, **options):
    """A publisher and the members of a group."""
    group = [lab.client(**options) for _ in range(count)]
    for member in group:
        member.subscribe(share(lab), qos=qos)
    return lab.client(), group


def heard(group, seconds: float = 0.5) -> list[list[bytes]]:
    """What each member was sent within a time."""
    time.sleep(seconds)
    return [[got.payload for got in member.gathered(0.1)] for member in group]


@script(930, "each message goes to one member of the group", five="4.8.2-3", needs="shared")
def _(lab: Lab):
    client, group = members(lab, 3)
    sent = [f"{number:02}".encode() for number in range(30)]
    for payload in sent:
        client.publish(lab.topic(), payload, 1)
    got = sorted(payload for payloads in heard(group) for payload in payloads)
    assert got == sent, f"expected each of 30 once, got {len(got)} deliveries of {len(set(got))}"


@script(931, "every member should have its part, at the QoS that it was granted", five="4.8.2-3", needs="shared")
def _(lab: Lab):
    group = [lab.client(), lab.client()]
    for qos, member in enumerate(group):
        member.subscribe(share(lab), qos=qos)
    client = lab.client()
    for number in range(60):
        client.publish(lab.topic(), str(number), 1)
    for qos, member in enumerate(group):
        found = member.gathered(0.5)
        assert len(found) >= 5, f"a member was sent {len(found)} of 60 messages"
        assert {got.qos for got in found} == {qos}, f"a member granted QoS {qos} was sent another"


@script(932, "two groups have each their copy", five="4.8.2-3", needs="shared")
def _(lab: Lab):
    one, other = lab.client(), lab.client()
    one.subscribe(share(lab, group="one"), qos=1)
    other.subscribe(share(lab, group="other"), qos=1)
    lab.client().publish(lab.topic(), "x", 1)
    for member in (one, other):
        member.message("x")
        member.quiet()


@script(933, "a share takes nothing from who subscribes for itself", five="4.8.2-3", needs="shared")
def _(lab: Lab):
    client, (member,) = members(lab, 1)
    single = lab.client()
    single.subscribe(lab.topic(), qos=1)
    client.publish(lab.topic(), "x", 1)
    member.message("x")
    single.message("x")


@script(934, "one name with two filters is two groups", five="4.8.2-2", needs="shared")
def _(lab: Lab):
    one, other, client = lab.client(), lab.client(), lab.client()
    one.subscribe(share(lab, "a/b"), qos=1)
    other.subscribe(share(lab, "a/+"), qos=1)
    client.publish(lab.topic("a/b"), "x", 1)
    one.message("x")
    other.message("x")


@script(935, "a share's filter may have wildcards", five="4.8.2-2", needs="shared wildcards")
def _(lab: Lab):
    member = lab.client()
    member.subscribe(share(lab, "+/b/#"), qos=1)
    lab.client().publish(lab.topic("a/b/c/d"), "x", 1)
    member.message("x", topic=lab.topic("a/b/c/d"))


@script(936, "who unsubscribes has left the group", five="3.10.4-1 3.10.4-2", needs="shared")
def _(lab: Lab):
    client, (leaver, stayer) = members(lab, 2)
    assert leaver.unsubscribe(share(lab)) == [0], "the share was not known"
    for number in range(10):
        client.publish(lab.topic(), str(number), 1)
    stayer.messages(*map(str, range(10)))
    leaver.quiet(0.1)


@script(937, "unsubscribing the filter alone does not leave the group", five="3.10.4-1", needs="shared")
def _(lab: Lab):
    client, (member,) = members(lab, 1)
    assert member.unsubscribe(lab.topic(), f"$share/h/{lab.topic()}") == [0x11, 0x11], "another subscription was ended"
    client.publish(lab.topic(), "x", 1)
    member.message("x")


@script(938, "who goes is no longer sent a part", five="4.8.2-3", needs="shared")
def _(lab: Lab):
    client, (goer, stayer) = members(lab, 2)
    goer.leave()
    for number in range(10):
        client.publish(lab.topic(), str(number), 1)
    stayer.messages(*map(str, range(10)))


@script(939, "a message in the hands of a member whose session ends should go to another", five="4.8.2-3",
        needs="shared")
def _(lab: Lab):
    client, group = members(lab, 2)
    client.publish(lab.topic(), "x", 1)
    holder, other = _holder_first(group)
    holder.abort()
    other.message("x")


def _holder_first(group):
    """The member that was sent the message comes first."""
    for _ in range(50):
        for place, member in enumerate(group):
            try:
                member.quiet(0.05)
            except Difference:
                return member, group[1 - place]
    raise Difference("expected PUBLISH to a member, got nothing")


@script(940, "a QoS 2 message in the hands of a member is completed with it when it comes back", five="4.8.2-4",
        needs="shared qos2")
def _(lab: Lab):
    member = lab.lasting(name := lab.id())
    member.subscribe(share(lab), qos=2)
    client = lab.client()
    client.publish(lab.topic(), "x", 2)
    got = member.arrival("x", qos=2)
    other = lab.client()
    other.subscribe(share(lab), qos=2)
    member.abort()
    other.quiet()
    again = lab.lasting(name)
    again.arrival("x", dup=True, identifier=got.identifier)
    again.ack(PUBREC, got.identifier).expect(PUBREL, identifier=got.identifier)
    again.ack(PUBCOMP, got.identifier)
    other.quiet()


@script(941, "a QoS 2 message in the hands of a member whose session ends goes to nobody else", five="4.8.2-5",
        needs="shared qos2")
def _(lab: Lab):
    member = lab.client()
    member.subscribe(share(lab), qos=2)
    lab.client().publish(lab.topic(), "x", 2)
    member.arrival("x", qos=2)
    other = lab.client()
    other.subscribe(share(lab), qos=2)
    member.abort()
    other.quiet(0.6)


@script(942, "a message that a member refuses goes to nobody else", five="4.8.2-6", needs="shared")
def _(lab: Lab):
    client, group = members(lab, 2)
    client.publish(lab.topic(), "x", 1)
    holder, other = _holder_first(group)
    got = holder.arrival("x")
    holder.ack(PUBACK, got.identifier, 0x80).alive()
    other.quiet()
    holder.quiet(0.1)


@script(943, "a share is sent no retained messages", five="3.3.1-9", needs="shared retain")
def _(lab: Lab):
    lab.client().publish(lab.kept(), "kept", 1, retain=True)
    member = lab.client()
    member.subscribe(share(lab), qos=1)
    member.quiet()


@script(944, "no local with a share ends the connection with 0x82", five="3.8.3-4", needs="shared")
def _(lab: Lab):
    lab.client().send(packets.subscribe(1, [(share(lab), 0x04)], V5)).gone(0x82)


@script(945, "a message waits for a group whose members are all away", five="4.5.0-1", needs="shared")
def _(lab: Lab):
    member = lab.lasting(name := lab.id())
    member.subscribe(share(lab), qos=1)
    member.leave()
    lab.client().publish(lab.topic(), "x", 1)
    lab.lasting(name).message("x")


@script(946, "a share has the subscription identifiers of its members", five="3.3.4-3", needs="shared identifiers")
def _(lab: Lab):
    member = lab.client()
    member.subscribe(share(lab), qos=1, props={"subscription_identifier": 4})
    lab.client().publish(lab.topic(), "x", 1)
    found = member.message("x").props.get("subscription_identifier")
    assert found == [4], f"expected 4, got {found}"


@script(947, "a broker without shares refuses them with 0x9E", five="4.13.1-1")
def _(lab: Lab):
    if "shared" not in lab.broker.lacks:
        raise NotSupported("the broker has shares")
    client = lab.client()
    client.send(packets.subscribe(1, [(share(lab), 0)], V5))
    try:
        got = client.expect(packets.SUBACK)
    except Difference:
        return
    assert got.reasons == [0x9E], f"expected 0x9E, got {shown(got)}"


# Topics that begin with $; what filters match of them is among 470.


@script(950, "a client should not be able to speak for the broker under $SYS", "4.7.2-1", "4.7.2-1")
def _(lab: Lab):
    listener, topic = lab.client(), f"$SYS/{lab.mark}"
    listener.send(packets.subscribe(1, [("$SYS/#", 0)], lab.version))
    if not listener.gathered():
        raise NotSupported("the broker itself says nothing under $SYS")
    listener.send(packets.unsubscribe(2, ["$SYS/#"], lab.version), packets.subscribe(3, [(topic, 0)], lab.version))
    listener.gathered()
    lab.client().post(topic, "forged")
    listener.quiet()
