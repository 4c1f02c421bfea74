"""800: what is published for a client that went without saying so."""

import time

import packets
from packets import V5, Will

from .client import NotSupported
from .scripts import Lab, script


def heir(lab: Lab, qos: int = 1, name: str = "t"):
    """Who listens for the will."""
    listener = lab.client()
    listener.subscribe(lab.topic(name), qos=qos)
    return listener


@script(800, "a connection lost publishes the will", "3.1.2-8", "3.1.2-7 3.1.2-8")
def _(lab: Lab):
    listener = heir(lab)
    lab.client(will=Will(lab.topic(), b"gone")).abort()
    listener.message("gone", topic=lab.topic(), retain=False)
    listener.quiet()


@script(801, "DISCONNECT discards the will", "3.14.4-3 3.1.2-10", "3.14.4-3 3.1.2-8 3.1.2-10")
def _(lab: Lab):
    listener = heir(lab)
    lab.client(will=Will(lab.topic(), b"gone")).leave()
    listener.quiet(0.5)


@script(802, "DISCONNECT with 0x04 publishes the will", five="3.1.2-8 3.14.4-3")
def _(lab: Lab):
    listener = heir(lab)
    lab.client(will=Will(lab.topic(), b"gone")).leave(0x04)
    listener.message("gone")


@script(803, "DISCONNECT with an error publishes the will", five="3.1.2-8 3.14.4-3")
def _(lab: Lab):
    listener = heir(lab)
    for reason in (0x80, 0x83, 0x93):
        lab.client(will=Will(lab.topic(), bytes([reason]))).leave(reason)
        listener.message(bytes([reason]))


@script(804, "a client that breaks the rules is closed, and its will is published", "3.1.2-8", "3.1.2-8")
def _(lab: Lab):
    listener = heir(lab)
    client = lab.client(will=Will(lab.topic(), b"gone"))
    client.send(packets.publish("a/#", "x", lab.version)).gone()
    listener.message("gone")


@script(805, "the will is published once", "3.1.2-10", "3.1.2-10")
def _(lab: Lab):
    listener = heir(lab)
    lab.lasting(name := lab.id(), will=Will(lab.topic(), b"gone")).abort()
    listener.message("gone")
    lab.lasting(name).abort()
    lab.lasting(name).leave()
    listener.quiet(0.5)


@script(806, "a connection without a will does not inherit the one before", "3.1.2-12", "3.1.2-10")
def _(lab: Lab):
    listener = heir(lab)
    lab.lasting(name := lab.id(), will=Will(lab.topic(), b"gone")).leave()
    lab.lasting(name).abort()
    listener.quiet(0.5)


@script(807, "each connection has the will of its CONNECT", "3.1.2-8", "3.1.2-7")
def _(lab: Lab):
    listener, name = heir(lab), lab.id()
    for payload in (b"one", b"two"):
        lab.lasting(name, will=Will(lab.topic(), payload)).abort()
        listener.message(payload)


def at_qos(published: int):
    """The QoS of a will."""

    def run(lab: Lab):
        listener = heir(lab, qos=published)
        lab.client(will=Will(lab.topic(), b"gone", qos=published)).abort()
        listener.message("gone", qos=published)

    return run


for qos in range(3):
    script(810 + qos, f"a will of QoS {qos} is published at it", "3.1.2-14 3.1.2-9" if qos else "3.1.2-9 3.1.2-8",
           "3.1.2-12 3.1.2-9", "qos2" if qos == 2 else "")(at_qos(qos))


@script(813, "a retained will is kept", "3.1.2-17", "3.1.2-15", "retain")
def _(lab: Lab):
    listener = heir(lab)
    lab.client(will=Will(lab.kept(), b"gone", retain=True)).abort()
    listener.message("gone", retain=False)
    heir(lab).message("gone", retain=True)


@script(814, "a will without retain is not kept", "3.1.2-16", "3.1.2-14")
def _(lab: Lab):
    listener = heir(lab)
    lab.client(will=Will(lab.topic(), b"gone")).abort()
    listener.message("gone")
    heir(lab).quiet()


@script(815, "a will may be empty", "3.1.2-9", "3.1.2-9")
def _(lab: Lab):
    listener = heir(lab)
    lab.client(will=Will(lab.topic(), b"")).abort()
    listener.message(b"")


@script(816, "a will is bytes, not text", "3.1.2-9", "3.1.2-9")
def _(lab: Lab):
    listener = heir(lab)
    lab.client(will=Will(lab.topic(), bytes(range(256)))).abort()
    listener.message(bytes(range(256)))


@script(817, "an empty retained will deletes what is kept", "3.1.2-17 3.3.1-10", "3.1.2-15 3.3.1-6", "retain")
def _(lab: Lab):
    lab.client().publish(lab.kept(), "kept", 1, retain=True)
    lab.client(will=Will(lab.topic(), b"", retain=True)).abort()
    time.sleep(0.3)
    heir(lab).quiet()


@script(818, "who is taken over leaves a will", "3.1.2-8 3.1.4-2", "3.1.2-8 3.1.4-3")
def _(lab: Lab):
    listener = heir(lab)
    lab.client(name := lab.id(), will=Will(lab.topic(), b"gone"))
    lab.client(name)
    listener.message("gone")


@script(819, "a refused CONNECT leaves no will", "3.1.4-5 3.1.2-8", "3.1.4-6 3.1.2-7")
def _(lab: Lab):
    listener = heir(lab)
    client = lab.socket()
    client.send(packets.connect(client.client_id, lab.version, will=Will(lab.topic(), b"gone"), reserved=1))
    client.refused(0x80, 0x81, 0x82)
    listener.quiet(0.5)


@script(820, "a client's own session hears its will when it comes back", "3.1.2-8 4.5.0-1", "3.1.2-8 4.5.0-1")
def _(lab: Lab):
    client = lab.lasting(name := lab.id(), will=Will(lab.topic(), b"gone", qos=1))
    client.subscribe(lab.topic(), qos=1)
    client.abort()
    lab.lasting(name).message("gone")


@script(821, "a will is queued for sessions that are away", "3.1.2-8 4.5.0-1", "3.1.2-8 4.5.0-1")
def _(lab: Lab):
    listener = lab.lasting(name := lab.id())
    listener.subscribe(lab.topic(), qos=1)
    listener.leave()
    lab.client(will=Will(lab.topic(), b"gone", qos=1)).abort()
    time.sleep(0.2)
    lab.lasting(name).message("gone")


# Delay, of MQTT 5.


def delayed(lab: Lab, delay: int, payload: bytes = b"gone") -> Will:
    """A will that waits."""
    return Will(lab.topic(), payload, qos=1, props={"will_delay_interval": delay})


@script(830, "a will waits for its delay", five="3.1.2-8")
def _(lab: Lab):
    listener = heir(lab)
    lab.lasting(lab.id(), will=delayed(lab, 1)).abort()
    listener.quiet(0.8)
    listener.message("gone")


@script(831, "a client that comes back within the delay leaves no will", five="3.1.3-9 3.1.2-8")
def _(lab: Lab):
    listener = heir(lab)
    lab.lasting(name := lab.id(), will=delayed(lab, 1)).abort()
    lab.lasting(name)
    listener.quiet(2.5)


@script(832, "the end of the session does not wait for the delay", five="3.1.2-8")
def _(lab: Lab):
    listener = heir(lab)
    lab.lasting(lab.id(), expiry=1, will=delayed(lab, 60)).abort()
    listener.quiet(0.8)
    listener.message("gone")


@script(833, "without a session that lasts there is no delay", five="3.1.2-8")
def _(lab: Lab):
    listener = heir(lab)
    lab.client(will=delayed(lab, 60)).abort()
    listener.message("gone", patience=2.0)


@script(834, "a clean start ends the session: the will does not wait", five="3.1.2-8 3.1.2-4")
def _(lab: Lab):
    listener = heir(lab)
    lab.lasting(name := lab.id(), will=delayed(lab, 60)).abort()
    lab.lasting(name, clean=True)
    listener.message("gone")


@script(835, "a takeover within the delay leaves no will", five="3.1.3-9")
def _(lab: Lab):
    listener = heir(lab)
    lab.lasting(name := lab.id(), will=delayed(lab, 1))
    lab.lasting(name)
    listener.quiet(2.2)


@script(836, "DISCONNECT with 0x04 waits for the delay, too", five="3.1.2-8")
def _(lab: Lab):
    listener = heir(lab)
    lab.lasting(lab.id(), will=delayed(lab, 1)).leave(0x04)
    listener.quiet(0.8)
    listener.message("gone")


@script(837, "a DISCONNECT that ends the session with 0x04 does not wait", five="3.1.2-8")
def _(lab: Lab):
    listener = heir(lab)
    lab.lasting(lab.id(), will=delayed(lab, 60)).leave(0x04, {"session_expiry_interval": 0})
    listener.message("gone")


@script(838, "a will has its properties, user properties in order, and no delay among them",
        five="3.1.2-9 3.1.3-10 3.3.2-17 3.3.2-18")
def _(lab: Lab):
    listener = heir(lab)
    props = {
        "payload_format_indicator": 1, "content_type": "text", "response_topic": "answer", "correlation_data": b"\0\1",
        "user_property": [("b", "1"), ("a", "2"), ("b", "1"), ("", "")],
    }
    lab.client(will=Will(lab.topic(), b"gone", props=props | {"will_delay_interval": 0})).abort()
    found = listener.message("gone").props
    assert found == props, f"expected the properties as given, got {found}"


@script(839, "a will's expiry begins when it is published", five="3.3.2-6")
def _(lab: Lab):
    listener = heir(lab)
    props = {"message_expiry_interval": 60, "will_delay_interval": 1}
    lab.lasting(lab.id(), will=Will(lab.topic(), b"gone", props=props)).abort()
    left = listener.message("gone").props.get("message_expiry_interval")
    assert left is not None and 58 <= left <= 60, f"expected 60 seconds left, got {left}"


@script(840, "a broker without retained messages refuses a retained will with 0x9A", five="3.2.2-13")
def _(lab: Lab):
    _refused_will(lab, "retain", Will(lab.topic(), b"x", retain=True), 0x9A)


@script(841, "a broker without QoS 2 refuses a will of QoS 2 with 0x9B", five="3.2.2-12")
def _(lab: Lab):
    _refused_will(lab, "qos2", Will(lab.topic(), b"x", qos=2), 0x9B)


def _refused_will(lab: Lab, feature: str, will: Will, reason: int):
    if feature not in lab.broker.lacks:
        raise NotSupported("the broker has what it would refuse")
    client = lab.socket()
    client.send(packets.connect(client.client_id, V5, will=will)).refused(reason)
