"""500: messages that a topic keeps for who comes later."""

import time

import packets
from packets import SUBACK

from .client import shown
from .scripts import Lab, script


def later(lab: Lab, name: str = "t", qos: int = 0):
    """A client that subscribes now."""
    listener = lab.client()
    listener.subscribe(lab.topic(name), qos=qos)
    return listener


def settle():
    """No answer tells that a QoS 0 publication has been kept; give the broker a moment."""
    time.sleep(0.5)


@script(500, "a retained message is sent to who subscribes later, with RETAIN 1", "3.3.1-5 3.3.1-6 3.3.1-8",
        "3.3.1-5 3.3.1-9", "retain")
def _(lab: Lab):
    lab.client().publish(lab.kept(), "kept", 1, retain=True)
    listener = later(lab, qos=1)
    listener.message("kept", retain=True, dup=False, topic=lab.topic())
    listener.quiet()


@script(501, "a newer retained message takes the older's place", "3.3.1-5", "3.3.1-5", "retain")
def _(lab: Lab):
    client = lab.client()
    for payload in ("old", "newer", "newest"):
        client.publish(lab.kept(), payload, 1, retain=True)
    listener = later(lab)
    listener.message("newest", retain=True)
    listener.quiet()


@script(502, "an empty retained message deletes, and is itself delivered to who listens", "3.3.1-10 3.3.1-11",
        "3.3.1-6 3.3.1-7", "retain")
def _(lab: Lab):
    client = lab.client()
    client.publish(lab.kept(), "kept", 1, retain=True)
    listener = later(lab)
    listener.message("kept", retain=True)
    client.publish(lab.kept(), b"", 1, retain=True)
    listener.message(b"", retain=False)
    later(lab).quiet()


@script(503, "an empty retained message at QoS 0 deletes", "3.3.1-10", "3.3.1-6", "retain")
def _(lab: Lab):
    client = lab.client()
    client.publish(lab.kept(), "kept", 1, retain=True)
    client.publish(lab.kept(), b"", 0, retain=True)
    settle()
    later(lab).quiet()


@script(504, "an empty retained message where none was kept is not kept", "3.3.1-11", "3.3.1-7", "retain")
def _(lab: Lab):
    client, listener = lab.pair()
    client.publish(lab.kept(), b"", 1, retain=True)
    listener.message(b"")
    later(lab).quiet()
    client.publish(lab.kept(), "kept", 1, retain=True)
    later(lab).message("kept", retain=True)


@script(505, "a message without RETAIN neither stays nor takes a place", "3.3.1-12", "3.3.1-8", "retain")
def _(lab: Lab):
    client = lab.client()
    client.publish(lab.topic("never"), "passing", 1)
    client.publish(lab.kept(), "kept", 1, retain=True)
    client.publish(lab.topic(), "passing", 1)
    client.publish(lab.topic(), b"", 1)
    listener = later(lab)
    listener.message("kept", retain=True)
    listener.quiet()
    later(lab, "never").quiet()


@script(506, "a QoS 0 retained message takes the older's place", "3.3.1-7", "3.3.1-5", "retain")
def _(lab: Lab):
    client = lab.client()
    client.publish(lab.kept(), "old", 1, retain=True)
    client.publish(lab.kept(), "new", 0, retain=True)
    settle()
    listener = later(lab, qos=1)
    # 3.1.1 lets a broker forget the new one, never keep the old one.
    for got in listener.gathered():
        assert got.payload == b"new" and got.qos == 0, f"expected the new one, got {shown(got)}"
    if lab.five:
        later(lab).message("new", retain=True)


@script(507, "a filter with # is sent the retained messages of every topic that it matches", "3.3.1-6", "3.3.1-9",
        "retain wildcards")
def _(lab: Lab):
    client = lab.client()
    for name in ("a", "a/b", "a/b/c", "b"):
        client.publish(lab.kept(name), name, 1, retain=True)
    heard = sorted(got.payload for got in later(lab, "a/#", 1).gathered(0.6))
    assert heard == [b"a", b"a/b", b"a/b/c"], f"expected those under a, got {heard}"


@script(508, "a filter with + is sent the retained messages of every topic that it matches", "3.3.1-6", "3.3.1-9",
        "retain wildcards")
def _(lab: Lab):
    client = lab.client()
    for name in ("a/x", "b/x", "b/y", "x", "a/b/x"):
        client.publish(lab.kept(name), name, 1, retain=True)
    heard = sorted(got.payload for got in later(lab, "+/x", 1).gathered(0.6))
    assert heard == [b"a/x", b"b/x"], f"expected those that match +/x, got {heard}"


def at_lower(published: int, granted: int):
    """The QoS of a retained message."""

    def run(lab: Lab):
        lab.client().publish(lab.kept(), "kept", published, retain=True)
        later(lab, qos=granted).message("kept", retain=True, qos=min(published, granted))

    return run


for place, (published, granted) in enumerate([(1, 0), (1, 1), (2, 0), (2, 1), (2, 2), (1, 2)]):
    script(510 + place, f"kept at QoS {published}, subscribed at {granted}: sent at {min(published, granted)}",
           "3.8.4-6 3.3.1-5", "3.8.4-8 3.3.1-5", "retain qos2" if 2 in (published, granted) else "retain")(
        at_lower(published, granted))


@script(516, "a retained message outlives the session of its publisher", "3.1.2-7", "3.3.1-5 4.1.0-2", "retain")
def _(lab: Lab):
    client = lab.client()
    client.publish(lab.kept(), "kept", 1, retain=True)
    client.leave()
    later(lab).message("kept", retain=True)


@script(517, "a retained message of 128 KiB is kept whole", "3.3.1-5", "3.3.1-5", "retain")
def _(lab: Lab):
    payload = bytes(range(256)) * 512
    lab.client().publish(lab.kept(), payload, 1, retain=True)
    assert later(lab, qos=1).message(retain=True).payload == payload, "the payload was changed"


@script(518, "a new subscription after UNSUBSCRIBE is sent the retained message again", "3.3.1-6", "3.3.1-9", "retain")
def _(lab: Lab):
    lab.client().publish(lab.kept(), "kept", 1, retain=True)
    listener = later(lab)
    listener.message("kept", retain=True)
    listener.unsubscribe(lab.topic())
    listener.subscribe(lab.topic())
    listener.message("kept", retain=True)


@script(519, "a session that comes back is not sent retained messages again", "3.3.1-6 3.1.2-4", "3.3.1-9 3.1.2-5",
        "retain")
def _(lab: Lab):
    lab.client().publish(lab.kept(), "kept", 1, retain=True)
    listener = lab.lasting(name := lab.id())
    listener.subscribe(lab.topic(), qos=1)
    listener.message("kept", retain=True)
    listener.alive().leave()
    lab.lasting(name).quiet()


@script(520, "a retained message that comes while the session is away is queued, with RETAIN 0", "3.3.1-9", "3.3.1-12",
        "retain")
def _(lab: Lab):
    listener = lab.lasting(name := lab.id())
    listener.subscribe(lab.topic(), qos=1)
    listener.leave()
    lab.client().publish(lab.kept(), "kept", 1, retain=True)
    again = lab.lasting(name)
    again.message("kept", retain=False)
    again.quiet()


@script(521, "each filter of one SUBSCRIBE is sent its retained messages", "3.3.1-6 3.8.4-4", "3.3.1-9 3.8.4-5",
        "retain")
def _(lab: Lab):
    client, listener = lab.client(), lab.client()
    for name in ("a", "b", "c"):
        client.publish(lab.kept(name), name, 1, retain=True)
    pairs = [(lab.topic(name), 0) for name in ("a", "b", "c")]
    listener.send(packets.subscribe(1, pairs, lab.version)).expect(SUBACK)
    heard = sorted(got.payload for got in listener.gathered(0.6))
    assert heard == [b"a", b"b", b"c"], f"expected a, b and c, got {heard}"


@script(522, "who unsubscribes and leaves disturbs no retained message of others", "3.1.2-7", "3.3.1-5", "retain")
def _(lab: Lab):
    lab.client().publish(lab.kept(), "kept", 1, retain=True)
    for _ in range(2):
        listener = later(lab)
        listener.message("kept", retain=True)
        listener.unsubscribe(lab.topic())
        listener.leave()


@script(523, "a publisher that subscribes is sent its own retained message", "3.3.1-6", "3.3.1-9", "retain")
def _(lab: Lab):
    client = lab.client()
    client.publish(lab.kept(), "kept", 1, retain=True)
    client.subscribe(lab.topic())
    client.message("kept", retain=True)


@script(530, "a retained message whose time is over is sent to nobody", five="3.3.2-5", needs="retain")
def _(lab: Lab):
    lab.client().publish(lab.kept(), "brief", 1, retain=True, props={"message_expiry_interval": 1})
    later(lab).message("brief", retain=True)
    time.sleep(2.2)
    later(lab).quiet()


@script(531, "a retained message says how much of its time is left", five="3.3.2-6", needs="retain")
def _(lab: Lab):
    lab.client().publish(lab.kept(), "x", 1, retain=True, props={"message_expiry_interval": 60})
    time.sleep(2.2)
    left = later(lab).message("x", retain=True).props.get("message_expiry_interval")
    assert left is not None and 50 <= left <= 58, f"expected 58 seconds left, got {left}"


@script(532, "a newer retained message without expiry does not inherit the older's", five="3.3.1-5 3.3.2-5",
        needs="retain")
def _(lab: Lab):
    client = lab.client()
    client.publish(lab.kept(), "brief", 1, retain=True, props={"message_expiry_interval": 1})
    client.publish(lab.kept(), "lasting", 1, retain=True)
    time.sleep(2.2)
    got = later(lab).message("lasting", retain=True)
    assert "message_expiry_interval" not in got.props, "an expiry that nobody set"


@script(533, "a retained message keeps its properties", five="3.3.2-4 3.3.2-15 3.3.2-16 3.3.2-17 3.3.2-20",
        needs="retain")
def _(lab: Lab):
    props = {
        "payload_format_indicator": 1, "content_type": "text", "response_topic": "answer", "correlation_data": b"\0\1",
        "user_property": [("b", "1"), ("a", "2"), ("b", "1")],
    }
    lab.client().publish(lab.kept(), "kept", 1, retain=True, props=props)
    found = later(lab).message("kept", retain=True).props
    assert found == props, f"expected the properties as sent, got {found}"


@script(534, "retain as published does not take RETAIN from a retained message", five="3.3.1-9 3.3.1-13",
        needs="retain")
def _(lab: Lab):
    lab.client().publish(lab.kept(), "kept", 1, retain=True)
    listener = lab.client()
    for options in (0, 0x08):
        listener.subscribe(lab.topic(), options=options)
        listener.message("kept", retain=True)
