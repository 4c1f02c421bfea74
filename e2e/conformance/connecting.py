"""100: how a connection begins, stays and ends.

Where both versions have a rule the first list of identifiers is 3.1.1's, the second MQTT 5's.
"""

import time

import packets
from packets import CONNACK, CONNECT, DISCONNECT, PINGREQ, PUBLISH, SUBACK, V5, V311

from .client import NOTICE, Difference, NotSupported
from .scripts import Lab, add, script

# Being accepted.


@script(100, "a CONNECT is answered by a CONNACK of success", "3.1.4-4 3.2.0-1", "3.1.4-5 3.2.0-1 3.2.2-1 3.2.2-8")
def _(lab: Lab):
    lab.client().alive()


@script(101, "a PINGREQ is answered by a PINGRESP", "3.12.4-1", "3.12.4-1")
def _(lab: Lab):
    client = lab.client()
    for _ in range(3):
        client.alive()


@script(102, "a new session is not present", "3.2.2-3", "3.2.2-3 3.1.2-6")
def _(lab: Lab):
    client = lab.lasting(lab.id())
    assert not client.connack.session_present, "session present without a session"


@script(103, "a clean start finds no session present, though there was one", "3.2.2-1 3.1.2-6", "3.2.2-2 3.1.2-4")
def _(lab: Lab):
    lab.lasting(name := lab.id()).leave()
    client = lab.lasting(name, clean=True)
    assert not client.connack.session_present, "session present after a clean start"


@script(104, "a session that lasted is present", "3.2.2-2 3.1.2-4", "3.2.2-3 3.1.2-5 3.1.2-23")
def _(lab: Lab):
    lab.lasting(name := lab.id()).leave()
    assert lab.lasting(name).connack.session_present, "session not present, though it lasted"


@script(105, "a client identifier of one byte is allowed", "3.1.3-5", "3.1.3-5")
def _(lab: Lab):
    # Alone on its letter as far as this run goes; another that holds it would only be taken over.
    lab.client("Q" if lab.five else "q").alive()


@script(106, "a client identifier of 23 letters and digits is allowed", "3.1.3-5", "3.1.3-5")
def _(lab: Lab):
    lab.client(lab.id().ljust(23, "Z")[:23]).alive()


@script(107, "every letter and digit may be in a client identifier", "3.1.3-5", "3.1.3-5")
def _(lab: Lab):
    for letters in ("0123456789abcdefghijklm", "nopqrstuvwxyzABCDEFGHIJ", "KLMNOPQRSTUVWXYZ"):
        lab.client(letters).leave()


@script(108, "identifiers that differ in case are two clients", "3.1.3-2", "3.1.3-2")
def _(lab: Lab):
    name = lab.id()
    lower, upper = lab.client(name), lab.client(name.upper())
    lower.quiet().alive()
    upper.alive()


@script(109, "packets sent with the CONNECT, before its answer, are processed after it", "3.2.0-1 3.1.4-4",
        "3.2.0-1 3.1.4-5")
def _(lab: Lab):
    client = lab.socket()
    topic, version = lab.topic(), lab.version
    client.send(packets.connect(client.client_id, version), packets.subscribe(1, [(topic, 0)], version),
                packets.publish(topic, "early", version), packets.packet(PINGREQ))
    client.expect(CONNACK, reason=0)
    client.expect(SUBACK, identifier=1)
    client.message("early")


@script(110, "a packet that comes byte by byte is read whole", "3.1.4-4", "3.1.4-5")
def _(lab: Lab):
    client = lab.socket()
    for byte in packets.connect(client.client_id, lab.version):
        client.send(bytes([byte]))
        time.sleep(0.002)
    client.expect(CONNACK, reason=0)
    client.alive()


@script(111, "there is one CONNACK in a connection and no more", "3.2.0-1", "3.2.0-2")
def _(lab: Lab):
    client = lab.client()
    client.alive().quiet(kinds=(CONNACK,))


@script(112, "a user name and a password may be given", "3.1.2-19 3.1.2-21", "3.1.2-17 3.1.2-19")
def _(lab: Lab):
    lab.client(username="someone", password=b"\0\xff secret").alive()


@script(113, "a user name without a password may be given", "3.1.2-19 3.1.2-20", "3.1.2-17 3.1.2-18")
def _(lab: Lab):
    lab.client(username="someone").alive()


@script(114, "a password without a user name may be given", five="3.1.2-16 3.1.2-19")
def _(lab: Lab):
    client = lab.socket()
    client.send(packets.connect(client.client_id, lab.version, password=b"secret"))
    # A broker may find the password wrong, but not the packet.
    got = client.expect(CONNACK)
    if got.reason in (0x86, 0x87):
        raise NotSupported("the broker takes no password that it does not know")
    if got.reason:
        raise Difference(f"expected the packet understood, got CONNACK 0x{got.reason:02X}")


@script(115, "will, user name and password together are read in their order", "3.1.3-1", "3.1.3-1")
def _(lab: Lab):
    will = packets.Will(lab.topic(), b"gone", qos=1)
    listener = lab.client()
    listener.subscribe(lab.topic(), qos=1)
    lab.client(will=will, username="someone", password=b"secret").abort()
    listener.message("gone", qos=1)


# The identifier that the broker gives.


@script(120, "a client without identifier is given one, with which it works", "3.1.3-6", "3.1.3-6")
def _(lab: Lab):
    one, other = lab.socket(), lab.socket()
    one.client_id = other.client_id = ""
    one.connect()
    other.connect()
    one.alive()
    other.alive()


@script(121, "the identifier that was given is in the CONNACK", five="3.1.3-7 3.2.2-16")
def _(lab: Lab):
    given = set()
    for _ in range(3):
        client = lab.socket()
        client.client_id = ""
        client.connect()
        given.add(client.connack.props.get("assigned_client_identifier"))
    assert None not in given and "" not in given, "no Assigned Client Identifier"
    assert len(given) == 3, "an identifier was assigned twice"


@script(122, "the identifier that was given names the session", five="3.1.3-7 3.1.3-2")
def _(lab: Lab):
    client = lab.socket()
    client.client_id = ""
    client.connect(props={"session_expiry_interval": 30})
    given = client.connack.props["assigned_client_identifier"]
    client.leave()
    again = lab.socket(given)
    again.send(packets.connect(given, lab.version, clean=False, props={"session_expiry_interval": 0}))
    got = again.expect(CONNACK)
    if got.reason == 0x85:
        raise NotSupported("the broker keeps the identifiers that it gives to itself")
    assert got.reason == 0 and got.session_present, "the session of the assigned identifier is not there"


@script(123, "a client with an identifier is given none", five="3.2.2-16")
def _(lab: Lab):
    assert "assigned_client_identifier" not in lab.client().connack.props, "Assigned Client Identifier without need"


@script(124, "without identifier and without clean session the answer is 0x02 and the end", "3.1.3-8 3.2.2-4 3.2.2-5")
def _(lab: Lab):
    client = lab.socket()
    client.send(packets.connect("", lab.version, clean=False)).refused(2, silently=False)


# Being refused.


@script(130, "a protocol level that there is not is refused with 0x01 (5: 0x84)", "3.1.2-2 3.2.2-5", "3.1.2-2 3.2.2-7")
def _(lab: Lab):
    client = lab.socket()
    client.version = V311
    # What language the refusal speaks is not said; level 3.1.1's short form and MQTT 5's are both read.
    client.send(packets.connect(client.client_id, lab.version, level=6 if lab.five else 7))
    _refused_in_any_language(client)


def _refused_in_any_language(client):
    data = client.last_bytes()
    if data[:2] == b"\x20\x02":
        assert data[2:] in (b"\0\x01", b"\0\x84"), f"expected CONNACK 0x01 or 0x84, got {data!r}"
    elif data:
        assert data[:1] == b"\x20" and data[2:4] == b"\0\x84", f"expected CONNACK 0x84, got {data!r}"


@script(131, "another protocol's name is refused", "3.1.2-1", "3.1.2-1")
def _(lab: Lab):
    client = lab.socket()
    client.send(packets.connect(client.client_id, lab.version, protocol="MQTX"))
    _refused_in_any_language(client)


def refused_connect(number: int, title: str, three: str, five: str, build, reasons=(0x80, 0x81, 0x82)):
    """A CONNECT that breaks the format: 3.1.1 closes without a word, 5 may say why in a CONNACK."""

    def run(lab: Lab):
        client = lab.socket()
        client.send(build(lab.version, client.client_id))
        client.refused(*(reasons if lab.five else ()))

    add(number, title, run, three, five)


def flagged(flags: int, *fields: bytes):
    """A CONNECT with these flags, then these fields."""

    def build(version: int, client_id: str) -> bytes:
        props = packets.properties({}) if version == V5 else b""
        head = packets.binary("MQTT") + bytes([version, flags]) + b"\0\x3c" + props
        return packets.packet(CONNECT, head + packets.binary(client_id) + b"".join(fields))

    return build


def with_props(*raw: bytes):
    """A CONNECT with these properties as they are."""

    def build(version: int, client_id: str) -> bytes:
        listed = b"".join(raw)
        head = packets.binary("MQTT") + bytes([version, 2]) + b"\0\x3c" + packets.varint(len(listed)) + listed
        return packets.packet(CONNECT, head + packets.binary(client_id))

    return build


def will_flagged(flags: int, *fields: bytes, props: bytes = b"\0"):
    """A CONNECT with a will: flags, properties where there are such, and its other fields."""

    def build(version: int, client_id: str) -> bytes:
        return flagged(flags, props if version == V5 else b"", *fields)(version, client_id)

    return build


one = packets.single
text = packets.binary

refused_connect(132, "a reserved flag in CONNECT is refused", "3.1.2-3 3.1.4-1", "3.1.2-3 3.1.4-1",
                lambda v, c: packets.connect(c, v, reserved=1))
refused_connect(133, "will QoS 3 is refused", "3.1.2-14 3.1.4-1", "3.1.2-12 3.1.4-1",
                will_flagged(0x1E, text("w"), text("")))
refused_connect(134, "will QoS without will flag is refused", "3.1.2-13 3.1.2-11 3.1.4-1", "3.1.2-11 3.1.4-1",
                flagged(0x0A))
refused_connect(135, "will retain without will flag is refused", "3.1.2-15 3.1.2-11 3.1.4-1", "3.1.2-13 3.1.4-1",
                flagged(0x22))
refused_connect(136, "a password without a user name is refused", "3.1.2-22 3.1.4-1", "",
                flagged(0x42, text("secret")))
refused_connect(137, "a will that is not there is refused", "3.1.2-9 3.1.4-1", "3.1.2-9 3.1.4-1", flagged(0x06))
refused_connect(138, "a user name that is not there is refused", "3.1.2-19 3.1.4-1", "3.1.2-17 3.1.4-1", flagged(0x82))
refused_connect(139, "a password that is not there is refused", "3.1.2-21 3.1.4-1", "3.1.2-19 3.1.4-1",
                flagged(0xC2, text("someone")))
refused_connect(140, "a user name that the flags deny is refused", "3.1.2-18 3.1.4-1", "3.1.2-16 3.1.4-1",
                flagged(0x02, text("someone")))
refused_connect(141, "a password that the flags deny is refused", "3.1.2-20 3.1.4-1", "3.1.2-18 3.1.4-1",
                flagged(0x82, text("someone"), text("secret")))
refused_connect(142, "a CONNECT without client identifier field is refused", "3.1.3-3 3.1.4-1", "3.1.3-3 3.1.4-1",
                lambda v, c: packets.packet(CONNECT, text("MQTT") + bytes([v, 2]) + b"\0\x3c" + b"\0" * (v == V5)))
refused_connect(143, "a client identifier that is not UTF-8 is refused", "3.1.3-4 1.5.3-1", "3.1.3-4 1.5.4-1",
                lambda v, c: packets.connect(b"a\xc3\x28", v))
refused_connect(144, "a client identifier with U+0000 is refused", "1.5.3-2", "1.5.4-2",
                lambda v, c: packets.connect(b"a\0b", v))
refused_connect(145, "a client identifier with a surrogate is refused", "3.1.3-4 1.5.3-1", "3.1.3-4 1.5.4-1",
                lambda v, c: packets.connect(b"a\xed\xa0\x80", v))
refused_connect(146, "a user name that is not UTF-8 is refused", "3.1.3-11 1.5.3-1", "3.1.3-12 1.5.4-1",
                lambda v, c: packets.connect(c, v, username=b"\xff\xfe"))
refused_connect(147, "a will topic that is not UTF-8 is refused", "3.1.3-10 1.5.3-1", "3.1.3-11 1.5.4-1",
                will_flagged(0x06, text(b"\xc0\xaf"), text("")))
refused_connect(148, "a will topic with a wildcard is refused", "4.7.1-1", "4.7.0-1",
                will_flagged(0x06, text("w/#"), text("")), (0x81, 0x82, 0x90))
refused_connect(149, "an empty will topic is refused", "4.7.3-1", "4.7.3-1",
                will_flagged(0x06, text(""), text("")), (0x81, 0x82, 0x90))
refused_connect(150, "fixed header flags in CONNECT are refused", "2.2.2-2 3.1.4-1", "2.1.3-1 3.1.4-1",
                lambda v, c: packets.packet(CONNECT, packets.connect(c, v)[2:], 1))
refused_connect(151, "a CONNECT cut short within its remaining length is refused", "3.1.4-1", "3.1.4-1",
                lambda v, c: packets.packet(CONNECT, packets.connect(c, v)[2:-1]))
refused_connect(152, "bytes after the end of a CONNECT are refused", "3.1.4-1", "3.1.4-1",
                lambda v, c: packets.packet(CONNECT, packets.connect(c, v)[2:] + b"\0\0"))
refused_connect(153, "an empty CONNECT is refused", "3.1.4-1", "3.1.4-1", lambda v, c: packets.packet(CONNECT))
refused_connect(154, "a property of PUBLISH in CONNECT is refused", "", "3.1.4-1", with_props(one("topic_alias", 1)))
refused_connect(155, "a property twice in CONNECT is refused", "", "3.1.4-1",
                with_props(one("session_expiry_interval", 1), one("session_expiry_interval", 1)))
refused_connect(156, "receive maximum 0 is refused", "", "3.1.4-1", with_props(one("receive_maximum", 0)))
refused_connect(157, "maximum packet size 0 is refused", "", "3.1.4-1", with_props(one("maximum_packet_size", 0)))
refused_connect(158, "request problem information 2 is refused", "", "3.1.4-1",
                with_props(one("request_problem_information", 2)))
refused_connect(159, "request response information 2 is refused", "", "3.1.4-1",
                with_props(one("request_response_information", 2)))
refused_connect(160, "authentication data without a method is refused", "", "3.1.4-1",
                with_props(one("authentication_data", b"x")))
refused_connect(161, "an unknown property in CONNECT is refused", "", "3.1.4-1", with_props(b"\x7f\0"))
refused_connect(162, "properties longer than the CONNECT are refused", "", "3.1.4-1",
                lambda v, c: packets.packet(CONNECT, text("MQTT") + b"\x05\x02\0\x3c\x7f" + text(c)))
refused_connect(163, "a property of CONNECT in the will is refused", "", "3.1.4-1",
                will_flagged(0x06, text("w"), text(""), props=packets.properties({"receive_maximum": 5})))
refused_connect(164, "a will payload format of 2 is refused", "", "3.1.4-1",
                will_flagged(0x06, text("w"), text(""), props=packets.properties({"payload_format_indicator": 2})))
refused_connect(165, "a will response topic with a wildcard is refused", "", "3.3.2-14 3.1.4-1",
                will_flagged(0x06, text("w"), text(""), props=packets.properties({"response_topic": "a/+"})),
                (0x81, 0x82, 0x90))


@script(170, "a first packet other than CONNECT closes the connection", "4.8.0-1", "4.13.1-1 3.14.0-1")
def _(lab: Lab):
    for first in (packets.packet(PINGREQ), packets.publish("t", "x", lab.version),
                  packets.subscribe(1, [("t", 0)], lab.version)):
        client = lab.socket()
        said = client.send(first).gone()
        assert said is None, "a DISCONNECT without a connection"


@script(171, "a second CONNECT closes the connection", "3.1.0-2", "3.1.0-2 3.14.2-2")
def _(lab: Lab):
    client = lab.client()
    client.send(packets.connect(client.client_id, lab.version)).gone(0x82)


@script(172, "what follows a refused CONNECT is not processed", "3.1.4-5", "3.1.4-6")
def _(lab: Lab):
    _, listener = lab.pair()
    client = lab.socket()
    refused = packets.connect(client.client_id, lab.version, reserved=1)
    client.send(refused, packets.publish(lab.topic(), "no", lab.version))
    listener.quiet()


@script(173, "an authentication method that the broker has not is refused with 0x8C", five="4.12.0-1")
def _(lab: Lab):
    client = lab.socket()
    props = {"authentication_method": "CONFORMANCE-NONE", "authentication_data": b"x"}
    client.send(packets.connect(client.client_id, lab.version, props=props)).refused(0x8C, 0x87)


@script(174, "an AUTH without method in the CONNECT closes the connection", five="4.12.0-6 4.13.1-1")
def _(lab: Lab):
    client = lab.client()
    assert "authentication_method" not in client.connack.props, "an authentication method that nobody asked for"
    client.send(packets.packet(packets.AUTH, b"\x18" + packets.properties({"authentication_method": "x"})))
    client.gone(0x82, 0x81, 0x8C)


@script(175, "flags in AUTH close the connection", five="3.15.1-1")
def _(lab: Lab):
    client = lab.client()
    client.send(packets.packet(packets.AUTH, b"", 1)).gone(0x81, 0x82)


@script(176, "a refusal says that no session is present, though there is one", five="3.2.2-6 4.12.0-1")
def _(lab: Lab):
    lab.lasting(name := lab.id()).leave()
    client = lab.socket(name)
    client.send(packets.connect(name, lab.version, clean=False, props={"authentication_method": "CONFORMANCE-NONE"}))
    client.refused(0x8C, 0x87)


# Staying and ending.


@script(180, "a second connection of a client ends the first (5: with 0x8E)", "3.1.4-2",
        "3.1.4-3 3.14.4-1 3.14.4-2 4.13.2-1")
def _(lab: Lab):
    first = lab.client(name := lab.id())
    second = lab.client(name)
    first.gone(0x8E, told=True)
    second.alive()


@script(181, "the session survives the takeover", "3.1.4-2 3.1.2-4", "3.1.4-3 3.1.2-5")
def _(lab: Lab):
    first = lab.lasting(name := lab.id())
    first.subscribe(lab.topic())
    second = lab.lasting(name)
    assert second.connack.session_present, "the session went with the connection"
    lab.client().publish(lab.topic(), "still")
    second.message("still")


@script(182, "silence for one and a half keep alives ends the connection (5: with 0x8D)", "3.1.2-24",
        "3.1.2-22 3.2.2-22")
def _(lab: Lab):
    client = lab.client(keep_alive=1)
    if "server_keep_alive" in client.connack.props:
        raise NotSupported("the broker sets a keep alive of its own")
    began = time.monotonic()
    client.gone(0x8D, patience=NOTICE)
    assert time.monotonic() - began > 0.95, "closed before the keep alive was over"


@script(183, "who pings within the keep alive stays", "3.1.2-24 3.12.4-1", "3.1.2-22 3.12.4-1")
def _(lab: Lab):
    client = lab.client(keep_alive=1)
    for _ in range(6):
        time.sleep(0.5)
        client.alive()


@script(184, "any packet counts for the keep alive", "3.1.2-24", "3.1.2-22")
def _(lab: Lab):
    client = lab.client(keep_alive=1)
    for _ in range(6):
        time.sleep(0.5)
        client.post(lab.topic(), "tick")
    client.alive()


@script(185, "what is sent to a client does not count for its keep alive", "3.1.2-24", "3.1.2-22")
def _(lab: Lab):
    listener = lab.client(keep_alive=1)
    if "server_keep_alive" in listener.connack.props:
        raise NotSupported("the broker sets a keep alive of its own")
    listener.subscribe(lab.topic())
    client = lab.client()
    for _ in range(8):
        client.post(lab.topic(), "tick")
        time.sleep(0.5)
    listener.gone(0x8D, patience=NOTICE)


@script(186, "keep alive 0 never ends the connection", "3.1.2-24", "3.1.2-22 3.2.2-22")
def _(lab: Lab):
    client = lab.client(keep_alive=0)
    client.quiet(2.5).alive()


@script(187, "the keep alive timeout is a failure: the will is published", "3.1.2-24 3.1.2-8", "3.1.2-22 3.1.2-8")
def _(lab: Lab):
    listener = lab.client()
    listener.subscribe(lab.topic())
    client = lab.client(keep_alive=1, will=packets.Will(lab.topic(), b"silent"))
    if "server_keep_alive" in client.connack.props:
        raise NotSupported("the broker sets a keep alive of its own")
    listener.message("silent", patience=NOTICE)


@script(188, "after DISCONNECT the broker closes, and says nothing more", "3.14.4-3", "3.14.4-3")
def _(lab: Lab):
    client = lab.client()
    client.subscribe(lab.topic())
    said = client.send(packets.disconnect()).gone()
    assert said is None, "a DISCONNECT in answer to a DISCONNECT"


@script(189, "what follows DISCONNECT is not processed", "3.14.4-3", "3.14.4-3")
def _(lab: Lab):
    client, listener = lab.pair()
    client.send(packets.disconnect(), packets.publish(lab.topic(), "late", lab.version))
    listener.quiet()


@script(190, "a DISCONNECT with reason and properties is understood", five="3.14.2-1 3.14.4-3")
def _(lab: Lab):
    listener = lab.client()
    listener.subscribe(lab.topic())
    client = lab.client(will=packets.Will(lab.topic(), b"no"))
    props = {"reason_string": "enough", "user_property": [("a", "1"), ("a", "2")]}
    client.send(packets.disconnect(0, {"session_expiry_interval": 0} | props)).gone()
    listener.quiet()


@script(191, "without request for problem information only CONNACK, DISCONNECT and PUBLISH explain", five="3.1.2-29")
def _(lab: Lab):
    client = lab.client(props={"request_problem_information": 0})
    telling = {"reason_string", "user_property"}
    for kind, data in (
        (SUBACK, packets.subscribe(1, [(lab.topic(), 0)], lab.version)),
        (packets.UNSUBACK, packets.unsubscribe(2, [lab.topic("never")], lab.version)),
        (packets.PUBACK, packets.publish(lab.topic("nobody"), "x", lab.version, qos=1, identifier=3)),
        (packets.PUBCOMP, packets.ack(packets.PUBREL, 4)),
    ):
        if kind == packets.PUBCOMP and "qos2" in lab.broker.lacks:
            continue
        assert not telling & client.send(data).expect(kind).props.keys(), "an explanation that was not asked for"


@script(192, "response information comes only when asked for", five="3.1.2-28")
def _(lab: Lab):
    props = lab.client(props={"request_response_information": 0}).connack.props
    assert "response_information" not in props, "response information that nobody asked for"


@script(193, "the keep alive that the broker sets is the one it keeps", five="3.1.2-22")
def _(lab: Lab):
    client = lab.client(keep_alive=0xFFFF)
    said = client.connack.props.get("server_keep_alive")
    if said is None or said > 2:
        raise NotSupported("the broker sets no keep alive, or none that can be waited for")
    client.gone(0x8D, patience=NOTICE)


@script(194, "a CONNECT with every property is understood", five="3.1.4-5")
def _(lab: Lab):
    lab.client(props={
        "session_expiry_interval": 0, "receive_maximum": 10, "maximum_packet_size": 1000, "topic_alias_maximum": 5,
        "request_response_information": 1, "request_problem_information": 1, "user_property": [("a", "1"), ("a", "1")],
    }).alive()


@script(195, "a will with every property is understood", five="3.1.4-5 3.1.2-9")
def _(lab: Lab):
    lab.client(will=packets.Will(lab.topic(), b"x", props={
        "will_delay_interval": 1, "payload_format_indicator": 1, "message_expiry_interval": 5, "content_type": "text",
        "response_topic": "answer", "correlation_data": b"\0\1", "user_property": [("a", "1"), ("a", "1")],
    })).leave()


@script(196, "a connection that never speaks is closed or left, but no packet comes", "3.2.0-1", "3.2.0-1 3.14.0-1")
def _(lab: Lab):
    client = lab.socket()
    try:
        client.quiet(1.0, kinds=(CONNACK, PUBLISH, DISCONNECT))
    except Difference as difference:
        if "closed" not in str(difference):
            raise
