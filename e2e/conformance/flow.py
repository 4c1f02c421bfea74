"""700: how much may be under way, how large a packet may be, and names for topics; all of MQTT 5."""

import packets
from packets import PINGRESP, PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, SUBACK, V5

from .client import QUIET, NotSupported, shown
from .scripts import Lab, script

ALIAS_INVALID, WINDOW_EXCEEDED, TOO_LARGE = 0x94, 0x93, 0x95


# Receive Maximum.


@script(700, "no more QoS 1 deliveries are under way than the client takes", five="3.3.4-9 4.9.0-1 4.9.0-2")
def _(lab: Lab):
    client, listener = lab.pair(qos=1, props={"receive_maximum": 2})
    for number in range(4):
        client.publish(lab.topic(), str(number), 1)
    first, second = listener.arrival("0"), listener.arrival("1")
    listener.quiet()
    listener.ack(PUBACK, first.identifier)
    third = listener.arrival("2")
    listener.quiet()
    listener.ack(PUBACK, second.identifier).ack(PUBACK, third.identifier)
    listener.message("3")


@script(701, "a QoS 2 delivery is under way until PUBCOMP", five="3.3.4-9 4.9.0-2", needs="qos2")
def _(lab: Lab):
    client, listener = lab.pair(qos=2, props={"receive_maximum": 1})
    for payload in ("one", "two"):
        client.publish(lab.topic(), payload, 2)
    first = listener.arrival("one")
    listener.ack(PUBREC, first.identifier).expect(PUBREL, identifier=first.identifier)
    listener.quiet()
    listener.ack(PUBCOMP, first.identifier)
    listener.message("two")


@script(702, "QoS 1 and QoS 2 deliveries are counted together", five="3.3.4-9 4.9.0-2", needs="qos2")
def _(lab: Lab):
    client, listener = lab.pair(qos=2, props={"receive_maximum": 2})
    for number, qos in enumerate((1, 2, 1)):
        client.publish(lab.topic(), str(number), qos)
    first, second = listener.arrival("0"), listener.arrival("1")
    listener.quiet()
    listener.ack(PUBACK, first.identifier)
    listener.message("2")
    listener.accept(second)


@script(703, "QoS 0 messages do not wait for the window", five="3.3.4-9")
def _(lab: Lab):
    client, listener = lab.pair(qos=1, props={"receive_maximum": 1})
    listener.subscribe(lab.topic("free"), qos=0)
    client.publish(lab.topic(), "held", 1)
    client.publish(lab.topic(), "waits", 1)
    held = listener.arrival("held")
    client.publish(lab.topic("free"), "free", 1)
    listener.message("free", qos=0)
    listener.accept(held)
    listener.message("waits")


@script(704, "other packets are answered while the window is full", five="3.3.4-10 4.9.0-3")
def _(lab: Lab):
    client, listener = lab.pair(qos=1, props={"receive_maximum": 1})
    for payload in ("one", "two"):
        client.publish(lab.topic(), payload, 1)
    listener.arrival("one")
    listener.alive()
    listener.subscribe(lab.topic("other"), qos=1)
    listener.unsubscribe(lab.topic("other"))
    listener.publish(lab.topic("nobody"), "x", 1)
    listener.quiet()


@script(705, "the window holds for what is sent again, too", five="3.3.4-9 4.4.0-1")
def _(lab: Lab):
    listener = lab.lasting(name := lab.id())
    listener.subscribe(lab.topic(), qos=1)
    client = lab.client()
    for number in range(4):
        client.publish(lab.topic(), str(number), 1)
    for number in range(4):
        listener.arrival(str(number))
    listener.abort()
    again = lab.lasting(name, props={"receive_maximum": 2})
    first = again.arrival("0", dup=True)
    again.arrival("1", dup=True)
    again.quiet()
    again.ack(PUBACK, first.identifier)
    again.arrival("2", dup=True)


@script(706, "the window of one connection is not that of the next", five="4.9.0-1")
def _(lab: Lab):
    listener = lab.lasting(name := lab.id(), props={"receive_maximum": 1})
    listener.subscribe(lab.topic(), qos=1)
    listener.leave()
    again, client = lab.lasting(name), lab.client()
    for number in range(3):
        client.publish(lab.topic(), str(number), 1)
    for number in range(3):
        again.arrival(str(number))


def window(client) -> int:
    """How many publications the broker takes at once, if it can be tried."""
    room = client.connack.props.get("receive_maximum", 65535)
    if room > 5000:
        raise NotSupported(f"the broker takes {room} publications at once")
    return room


@script(707, "as many publications as the broker takes may be under way", five="4.9.0-3 4.3.3-8", needs="qos2")
def _(lab: Lab):
    client = lab.client()
    room = window(client)
    client.send(*(packets.publish(lab.topic(), "x", V5, qos=2, identifier=n) for n in range(1, room + 1)))
    for number in range(1, room + 1):
        got = client.expect(PUBREC, identifier=number)
        assert got.reason in (0, 0x10), shown(got)
    client.release(1)
    client.post(lab.topic(), "one more", 2, room + 1)
    client.expect(PUBREC, identifier=room + 1)


@script(708, "more publications than the broker takes end the connection with 0x93", five="4.13.1-1 4.9.0-1",
        needs="qos2")
def _(lab: Lab):
    client = lab.client()
    room = window(client)
    client.send(*(packets.publish(lab.topic(), "x", V5, qos=2, identifier=n) for n in range(1, room + 2)))
    client.gone(WINDOW_EXCEEDED, after=(PUBREC,))


# Maximum Packet Size.


@script(710, "a packet larger than the client takes is not sent to it, and the next is", five="3.1.2-24 3.1.2-25")
def _(lab: Lab):
    client, listener = lab.pair(qos=1, props={"maximum_packet_size": 200, "receive_maximum": 1})
    client.publish(lab.topic(), "x" * 300, 1)
    client.publish(lab.topic(), "small", 1)
    listener.message("small")
    listener.quiet()


@script(711, "a packet just as large as the client takes is sent", five="3.1.2-24")
def _(lab: Lab):
    client = lab.client()
    empty = len(packets.publish(lab.topic(), b"", V5, qos=1, identifier=1))
    payload = b"x" * 60
    for room, fits in ((empty + 60, True), (empty + 59, False)):
        listener = lab.client(props={"maximum_packet_size": room})
        listener.subscribe(lab.topic(), qos=1)
        client.publish(lab.topic(), payload, 1)
        if fits:
            assert listener.message(payload).size == room, "the packet has another size"
        else:
            listener.quiet()
        listener.leave()


@script(712, "others are sent what one client does not take", five="3.1.2-25")
def _(lab: Lab):
    client, narrow = lab.pair(qos=1, props={"maximum_packet_size": 100})
    wide = lab.client()
    wide.subscribe(lab.topic(), qos=1)
    client.publish(lab.topic(), "x" * 200, 1)
    wide.message("x" * 200)
    narrow.quiet()


@script(713, "no explanation makes an answer larger than the client takes",
        five="3.2.2-19 3.2.2-20 3.4.2-2 3.4.2-3 3.5.2-2 3.5.2-3 3.6.2-2 3.6.2-3 3.7.2-2 3.7.2-3 3.9.2-1 3.9.2-2 "
             "3.11.2-1 3.11.2-2 3.1.2-24", needs="qos2")
def _(lab: Lab):
    room = 60
    client = lab.client(props={"maximum_packet_size": room})
    sizes = [client.connack.size]
    for kind, data in (
        (SUBACK, packets.subscribe(1, [(lab.topic(), 2)], V5)),
        (packets.UNSUBACK, packets.unsubscribe(2, [lab.topic("x")], V5)),
        (PUBACK, packets.publish(lab.topic("nobody"), "x", V5, qos=1, identifier=3)),
        (PUBREC, packets.publish(lab.topic(), "x", V5, qos=2, identifier=4)),
        (PUBCOMP, packets.ack(PUBREL, 4)), (PUBLISH, b""), (PUBCOMP, packets.ack(PUBREL, 99)),
        (PINGRESP, packets.packet(packets.PINGREQ)),
    ):
        got = client.send(data).expect(kind)
        sizes.append(got.size)
        if kind == PUBLISH:
            sizes.append(client.ack(PUBREC, got.identifier).expect(PUBREL).size)
    assert max(sizes) <= room, f"a packet of {max(sizes)} bytes for a client that takes {room}"


@script(714, "no explanation makes a DISCONNECT larger than the client takes", five="3.14.2-3 3.14.2-4")
def _(lab: Lab):
    room = 30
    client = lab.client(props={"maximum_packet_size": room})
    said = client.send(packets.publish("a/+", "x", V5)).gone(0x81, 0x82, 0x90)
    assert said is None or said.size <= room, f"a DISCONNECT of {said and said.size} bytes"


@script(715, "a packet larger than the broker takes ends the connection with 0x95", five="4.13.1-1")
def _(lab: Lab):
    client = lab.client()
    room = client.connack.props.get("maximum_packet_size")
    if room is None or room > 4_000_000:
        raise NotSupported("the broker takes a packet of any size, or none too large to try")
    client.send(packets.publish(lab.topic(), b"x" * room, V5)).gone(TOO_LARGE)


# Topic aliases to the broker.


@script(720, "an alias stands for the topic it was sent with", five="3.3.2-12", needs="aliases")
def _(lab: Lab):
    client, listener = lab.pair(qos=1)
    client.publish(lab.topic(), "named", 1, props={"topic_alias": 1})
    for qos in (0, 1):
        client.publish("", "aliased", qos, props={"topic_alias": 1})
    for payload in ("named", "aliased", "aliased"):
        listener.message(payload, topic=lab.topic())


@script(721, "an alias may be given to another topic", five="3.3.2-12", needs="aliases")
def _(lab: Lab):
    client, listener = lab.pair("#")
    for name in ("a", "b"):
        client.publish(lab.topic(name), "named", props={"topic_alias": 1})
        client.publish("", "aliased", props={"topic_alias": 1})
        listener.message("named", topic=lab.topic(name))
        listener.message("aliased", topic=lab.topic(name))


@script(722, "every alias up to the broker's maximum may be used", five="3.3.2-12", needs="aliases")
def _(lab: Lab):
    client, listener = lab.pair("#")
    most = client.connack.props["topic_alias_maximum"]
    aliases = sorted({1, 2, most - 1, most} - {0})
    for alias in aliases:
        client.publish(lab.topic(str(alias)), "named", props={"topic_alias": alias})
        listener.message("named")
    for alias in aliases:
        client.publish("", "aliased", props={"topic_alias": alias})
        listener.message("aliased", topic=lab.topic(str(alias)))


@script(723, "alias 0 ends the connection", five="3.3.2-8 4.13.1-1")
def _(lab: Lab):
    lab.client().send(packets.publish(lab.topic(), "x", V5, props={"topic_alias": 0})).gone(ALIAS_INVALID, 0x81, 0x82)


@script(724, "an alias above the broker's maximum ends the connection with 0x94", five="3.3.2-9 4.13.1-1")
def _(lab: Lab):
    client = lab.client()
    most = client.connack.props.get("topic_alias_maximum", 0)
    if most == 0xFFFF:
        raise NotSupported("the broker takes every alias")
    client.send(packets.publish(lab.topic(), "x", V5, props={"topic_alias": most + 1})).gone(ALIAS_INVALID)


@script(725, "an alias that stands for nothing ends the connection with 0x82", five="3.3.2-7 4.13.1-1", needs="aliases")
def _(lab: Lab):
    lab.client().send(packets.publish("", "x", V5, props={"topic_alias": 1})).gone(0x82, ALIAS_INVALID)


@script(726, "an alias ends with its connection, even when the session stays", five="3.3.2-7", needs="aliases")
def _(lab: Lab):
    client = lab.lasting(name := lab.id())
    client.publish(lab.topic(), "x", 1, props={"topic_alias": 1})
    client.leave()
    again = lab.lasting(name)
    again.send(packets.publish("", "x", V5, props={"topic_alias": 1})).gone(0x82, ALIAS_INVALID)


@script(727, "two clients' aliases are each its own", five="3.3.2-12", needs="aliases")
def _(lab: Lab):
    one, listener = lab.pair("#")
    other = lab.client()
    one.publish(lab.topic("one"), "named", props={"topic_alias": 1})
    listener.message("named")
    other.publish(lab.topic("other"), "named", props={"topic_alias": 1})
    listener.message("named")
    one.publish("", "aliased", props={"topic_alias": 1})
    listener.message("aliased", topic=lab.topic("one"))


@script(728, "a message kept under an alias is kept under its topic", five="3.3.2-12 3.3.1-5", needs="aliases retain")
def _(lab: Lab):
    client = lab.client()
    client.publish(lab.kept(), "old", 1, props={"topic_alias": 1})
    client.publish("", "kept", 1, retain=True, props={"topic_alias": 1})
    listener = lab.client()
    listener.subscribe(lab.topic())
    listener.message("kept", topic=lab.topic(), retain=True)


# Topic aliases from the broker.


@script(730, "a client that takes no aliases is sent none", five="3.1.2-27 3.3.2-11")
def _(lab: Lab):
    client, listener = lab.pair()
    has = client.connack.props.get("topic_alias_maximum", 0)
    for number in range(10):
        client.publish(lab.topic(), str(number), props={"topic_alias": 1} if has and number == 0 else None)
        got = listener.message(str(number), topic=lab.topic())
        assert "topic_alias" not in got.props, "an alias for a client that takes none"


@script(731, "aliases from the broker are not above the client's maximum, and mean the right topics",
        five="3.1.2-26 3.3.2-11 3.3.2-8")
def _(lab: Lab):
    listener, client = lab.client(props={"topic_alias_maximum": 2}), lab.client()
    listener.subscribe(lab.topic("#"))
    known: dict[int, str] = {}
    for number in range(24):
        topic = lab.topic("abcd"[number % 4])
        client.publish(topic, str(number))
        got = listener.message(str(number))
        alias = got.props.get("topic_alias")
        assert alias is None or 1 <= alias <= 2, f"alias {alias} for a client that takes 2"
        if alias and got.topic:
            known[alias] = got.topic
        found = got.topic or known.get(alias)
        assert found == topic, "an alias that means another topic"


@script(732, "a broker that uses aliases begins anew with each connection", five="3.3.2-7")
def _(lab: Lab):
    name = lab.id()
    for _ in range(2):
        listener, client = lab.lasting(name, props={"topic_alias_maximum": 5}), lab.client()
        listener.subscribe(lab.topic())
        client.publish(lab.topic(), "x")
        listener.message("x", topic=lab.topic())
        listener.quiet(QUIET / 3)
        listener.leave()
