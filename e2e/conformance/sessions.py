"""600: what stays when a connection ends: subscriptions, queues, and exchanges half done."""

import time

import packets
from packets import CONNACK, PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL

from .scripts import Lab, script


def away(lab: Lab, qos: int = 1, **options) -> str:
    """The name of a session that has subscribed and is not connected."""
    client = lab.lasting(name := lab.id(), **options)
    client.subscribe(lab.topic(), qos=qos)
    client.leave()
    return name


def is_present(lab: Lab, name: str) -> bool:
    """Whether the broker has a session of this name; it goes with this connection."""
    client = lab.socket(name)
    client.connect(clean=False)
    return client.connack.session_present


@script(600, "subscriptions come back with the session", "3.1.2-4 4.1.0-2", "3.1.2-5 3.1.2-23 4.1.0-1")
def _(lab: Lab):
    again = lab.lasting(away(lab))
    lab.client().publish(lab.topic(), "x", 1)
    again.message("x", qos=1)


@script(601, "QoS 1 messages that came meanwhile are sent in their order", "3.1.2-5 4.6.0-6 4.5.0-1", "4.5.0-1 4.6.0-5")
def _(lab: Lab):
    name, client = away(lab), lab.client()
    for number in range(20):
        client.publish(lab.topic(), str(number), 1)
    again = lab.lasting(name)
    for number in range(20):
        again.message(str(number), qos=1, dup=False)
    again.quiet()


@script(602, "QoS 2 messages that came meanwhile are sent in their order", "3.1.2-5 4.6.0-6 4.5.0-1", "4.5.0-1 4.6.0-5",
        "qos2")
def _(lab: Lab):
    name, client = away(lab, 2), lab.client()
    for number in range(20):
        client.publish(lab.topic(), str(number), 2)
    again = lab.lasting(name)
    for number in range(20):
        again.message(str(number), qos=2, dup=False)
    again.quiet()


@script(603, "what came meanwhile is sent before what comes now", "4.6.0-6", "4.6.0-5")
def _(lab: Lab):
    name, client = away(lab), lab.client()
    client.publish(lab.topic(), "first", 1)
    again = lab.lasting(name)
    client.publish(lab.topic(), "second", 1)
    again.messages("first", "second")


@script(604, "messages after the subscription ended are not queued", "3.10.4-1", "3.10.4-1")
def _(lab: Lab):
    client = lab.lasting(name := lab.id())
    client.subscribe(lab.topic(), qos=1)
    client.unsubscribe(lab.topic())
    client.leave()
    lab.client().publish(lab.topic(), "x", 1)
    lab.lasting(name).quiet()


@script(605, "a session that is away holds its messages for several returns", "3.1.2-4", "3.1.2-5")
def _(lab: Lab):
    name, client = away(lab), lab.client()
    for payload in ("one", "two"):
        client.publish(lab.topic(), payload, 1)
        again = lab.lasting(name)
        again.message(payload)
        again.alive().leave()


@script(606, "a connection lost keeps the session as a goodbye does", "3.1.2-4", "3.1.2-5 3.1.2-23")
def _(lab: Lab):
    client = lab.lasting(name := lab.id())
    client.subscribe(lab.topic(), qos=1)
    client.abort()
    lab.client().publish(lab.topic(), "x", 1)
    again = lab.lasting(name)
    assert again.connack.session_present, "the session went with the connection"
    again.message("x")


# Exchanges half done.


def in_flight(lab: Lab, qos: int, *payloads: str):
    """A session with deliveries that were not acknowledged: its name and their identifiers."""
    listener = lab.lasting(name := lab.id())
    listener.subscribe(lab.topic(), qos=qos)
    client = lab.client()
    for payload in payloads:
        client.publish(lab.topic(), payload, qos)
    identifiers = [listener.arrival(payload, dup=False).identifier for payload in payloads]
    return name, listener, identifiers


@script(610, "a QoS 1 delivery without PUBACK is sent again with DUP and its identifier", "4.4.0-1 3.3.1-1",
        "4.4.0-1 3.3.1-1 4.3.2-3")
def _(lab: Lab):
    name, listener, (identifier,) = in_flight(lab, 1, "x")
    listener.abort()
    again = lab.lasting(name)
    again.message("x", dup=True, identifier=identifier, qos=1)
    again.quiet()


@script(611, "a QoS 2 delivery without PUBREC is sent again with DUP and its identifier", "4.4.0-1 3.3.1-1",
        "4.4.0-1 3.3.1-1 4.3.3-3", "qos2")
def _(lab: Lab):
    name, listener, (identifier,) = in_flight(lab, 2, "x")
    listener.abort()
    again = lab.lasting(name)
    again.message("x", dup=True, identifier=identifier, qos=2)
    again.quiet()


@script(612, "a PUBREL without PUBCOMP is sent again, and its PUBLISH is not", "4.4.0-1 4.3.3-1",
        "4.4.0-1 4.3.3-5 4.3.3-6",
        "qos2")
def _(lab: Lab):
    name, listener, (identifier,) = in_flight(lab, 2, "x")
    listener.ack(PUBREC, identifier).expect(PUBREL, identifier=identifier)
    listener.abort()
    again = lab.lasting(name)
    again.expect(PUBREL, identifier=identifier, reason=0)
    again.ack(PUBCOMP, identifier).quiet(kinds=(PUBLISH, PUBREL))


@script(613, "deliveries are sent again in their order", "4.4.0-1 4.6.0-6", "4.4.0-1 4.6.0-5")
def _(lab: Lab):
    payloads = [str(number) for number in range(10)]
    name, listener, identifiers = in_flight(lab, 1, *payloads)
    listener.abort()
    again = lab.lasting(name)
    for payload, identifier in zip(payloads, identifiers, strict=True):
        again.message(payload, dup=True, identifier=identifier)


@script(614, "what was acknowledged is not sent again", "4.4.0-1", "4.4.0-1")
def _(lab: Lab):
    name, listener, (first, second, third) = in_flight(lab, 1, "one", "two", "three")
    listener.ack(PUBACK, first).ack(PUBACK, third).alive().abort()
    again = lab.lasting(name)
    again.message("two", dup=True, identifier=second)
    again.quiet()


@script(615, "what was refused with an error is not sent again", five="4.4.0-2")
def _(lab: Lab):
    name, listener, (first, second) = in_flight(lab, 1, "one", "two")
    listener.ack(PUBACK, first, 0x80).alive().abort()
    again = lab.lasting(name)
    again.message("two", dup=True, identifier=second)
    again.quiet()


@script(616, "what comes now follows what is sent again, with other identifiers", "4.4.0-1 2.3.1-4", "4.4.0-1 2.2.1-4")
def _(lab: Lab):
    name, listener, identifiers = in_flight(lab, 1, "one", "two")
    listener.abort()
    lab.client().publish(lab.topic(), "three", 1)
    again = lab.lasting(name)
    again.arrival("one", dup=True)
    again.arrival("two", dup=True)
    got = again.arrival("three", dup=False)
    assert got.identifier not in identifiers, "an identifier that is in use"


@script(617, "a delivery is sent again at every return until it is acknowledged", "4.4.0-1", "4.4.0-1 4.3.2-3")
def _(lab: Lab):
    name, listener, (identifier,) = in_flight(lab, 1, "x")
    listener.abort()
    for _ in range(3):
        again = lab.lasting(name)
        again.arrival("x", dup=True, identifier=identifier)
        again.abort()
    lab.lasting(name).message("x", dup=True, identifier=identifier)


@script(618, "who is taken over hands on its deliveries", "4.4.0-1 3.1.4-2", "4.4.0-1 3.1.4-3")
def _(lab: Lab):
    name, _, (identifier,) = in_flight(lab, 1, "x")
    again = lab.lasting(name)
    again.message("x", dup=True, identifier=identifier)


@script(619, "a QoS 2 delivery is completed over three connections, and delivered once", "4.4.0-1 4.3.3-1",
        "4.4.0-1 4.3.3-6", "qos2")
def _(lab: Lab):
    name, listener, (identifier,) = in_flight(lab, 2, "x")
    listener.abort()
    again = lab.lasting(name)
    again.arrival("x", dup=True, identifier=identifier)
    again.ack(PUBREC, identifier).expect(PUBREL, identifier=identifier)
    again.abort()
    last = lab.lasting(name)
    last.expect(PUBREL, identifier=identifier)
    last.ack(PUBCOMP, identifier).alive().leave()
    lab.lasting(name).quiet(kinds=(PUBLISH, PUBREL))


@script(620, "expiry does not end a QoS 2 exchange that has begun", five="4.3.3-7", needs="qos2")
def _(lab: Lab):
    listener = lab.lasting(name := lab.id())
    listener.subscribe(lab.topic(), qos=2)
    lab.client().publish(lab.topic(), "x", 2, props={"message_expiry_interval": 1})
    identifier = listener.arrival("x").identifier
    listener.abort()
    time.sleep(2.2)
    lab.lasting(name).message("x", dup=True, identifier=identifier)


# The end of a session.


@script(630, "a clean start drops subscriptions and messages", "3.1.2-6 3.1.4-3", "3.1.2-4 3.1.4-4")
def _(lab: Lab):
    name, client = away(lab), lab.client()
    client.publish(lab.topic(), "before", 1)
    again = lab.lasting(name, clean=True)
    again.quiet()
    client.publish(lab.topic(), "after", 1)
    again.quiet()


@script(631, "a clean start drops exchanges half done", "3.1.2-6", "3.1.2-4", "qos2")
def _(lab: Lab):
    name, listener, (first, _) = in_flight(lab, 2, "x", "y")
    listener.ack(PUBREC, first).expect(PUBREL)
    listener.abort()
    lab.lasting(name, clean=True).quiet(kinds=(PUBLISH, PUBREL))


@script(632, "a clean session ends with its connection", "3.1.2-6", "4.1.0-2")
def _(lab: Lab):
    client = lab.client(name := lab.id(), clean=True)
    client.subscribe(lab.topic(), qos=1)
    client.leave()
    lab.client().publish(lab.topic(), "x", 1)
    again = lab.lasting(name)
    assert not again.connack.session_present, "the session did not end with its connection"
    again.quiet()


@script(633, "a session resumed without expiry ends with its connection", five="4.1.0-2")
def _(lab: Lab):
    name = away(lab)
    client = lab.socket(name)
    assert client.connect(clean=False).session_present, "the session is not there"
    client.leave()
    assert not is_present(lab, name), "the session did not end with its connection"


@script(634, "a session ends when its expiry has passed", five="4.1.0-2")
def _(lab: Lab):
    name = away(lab, expiry=1)
    time.sleep(2.5)
    assert not is_present(lab, name), "the session outlived its expiry"


@script(635, "a session does not end before its expiry", five="3.1.2-23")
def _(lab: Lab):
    name = away(lab, expiry=10)
    time.sleep(1.2)
    assert is_present(lab, name), "the session ended before its expiry"


@script(636, "expiry runs from the end of the connection, not from its beginning", five="4.1.0-1 3.1.2-23")
def _(lab: Lab):
    client = lab.lasting(name := lab.id(), expiry=2)
    client.subscribe(lab.topic(), qos=1)
    client.quiet(2.5).leave()
    assert is_present(lab, name), "the session ended while its connection lasted"


@script(637, "a clean start with expiry begins a session that lasts", five="3.1.2-4 3.1.2-23")
def _(lab: Lab):
    client = lab.lasting(name := lab.id(), clean=True)
    client.subscribe(lab.topic(), qos=1)
    client.leave()
    lab.client().publish(lab.topic(), "x", 1)
    lab.lasting(name).message("x")


@script(638, "an expiry of 0xFFFFFFFF is taken", five="3.1.2-23")
def _(lab: Lab):
    name = away(lab, expiry=0xFFFFFFFF)
    assert is_present(lab, name), "the session is not there"


@script(639, "DISCONNECT may end a session that would have lasted", five="4.1.0-2")
def _(lab: Lab):
    client = lab.lasting(name := lab.id())
    client.subscribe(lab.topic(), qos=1)
    client.leave(props={"session_expiry_interval": 0})
    assert not is_present(lab, name), "the session outlived its expiry"


@script(640, "DISCONNECT may make a session last longer", five="3.1.2-23")
def _(lab: Lab):
    client = lab.lasting(name := lab.id(), expiry=1)
    client.leave(props={"session_expiry_interval": 30})
    time.sleep(2.5)
    assert is_present(lab, name), "the session ended at the expiry of its CONNECT"


@script(641, "DISCONNECT may make a session last shorter", five="4.1.0-2")
def _(lab: Lab):
    client = lab.lasting(name := lab.id(), expiry=60)
    client.leave(props={"session_expiry_interval": 1})
    time.sleep(2.5)
    assert not is_present(lab, name), "the session outlived the expiry of its DISCONNECT"


@script(642, "DISCONNECT may not make a session last that was to end", five="4.13.1-1")
def _(lab: Lab):
    client = lab.client(name := lab.id())
    client.send(packets.disconnect(0, {"session_expiry_interval": 60})).gone(0x82)
    assert not is_present(lab, name), "the session lasts all the same"


@script(643, "a session that ended is told by session present 0 and begins empty", "3.2.2-3", "3.2.2-3 3.1.2-6")
def _(lab: Lab):
    name = away(lab)
    lab.client(name, clean=True).leave()
    lab.client().publish(lab.topic(), "x", 1)
    again = lab.lasting(name)
    assert not again.connack.session_present, "the session is still there"
    again.quiet()


@script(644, "a refused CONNECT leaves the session as it is", "3.1.4-1", "3.1.4-1")
def _(lab: Lab):
    name = away(lab)
    lab.socket(name).send(packets.connect(name, lab.version, clean=True, reserved=1)).refused(0x80, 0x81, 0x82)
    assert is_present(lab, name), "a CONNECT that was refused ended the session"


@script(645, "the CONNACK comes before what the session has waiting", "3.2.0-1", "3.2.0-1")
def _(lab: Lab):
    name = away(lab)
    lab.client().publish(lab.topic(), "x", 1)
    client = lab.socket(name)
    client.send(packets.connect(name, lab.version, clean=False)).expect(CONNACK, reason=0, session_present=True)
    assert not client.waiting, "a packet before the CONNACK"
    client.message("x")


@script(646, "a session away has many messages queued and all come", "4.5.0-1", "4.5.0-1")
def _(lab: Lab):
    name, client = away(lab), lab.client()
    for number in range(100):
        client.publish(lab.topic(), str(number), 1)
    again = lab.lasting(name)
    for number in range(100):
        again.message(str(number))
