"""Eclipse Paho, unmodified, in both protocol versions: the broker as an ordinary MQTT client sees it."""

import queue
import socket
import ssl

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from devices import arn
from house import PATIENCE

VERSIONS = [mqtt.MQTTv311, mqtt.MQTTv5]
both_versions = pytest.mark.parametrize("version", VERSIONS, ids=["v311", "v5"])
NOT_AUTHORIZED = 0x87


class Paho:
    """A Paho client whose callbacks become queues that a test can wait on."""

    def __init__(self, device, version, client_id=None, will=None, door="mqtts", alpn=None):
        self.client = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2, device.name if client_id is None else client_id, protocol=version,
            reconnect_on_failure=False,
        )
        self.answers = {name: queue.Queue() for name in ("connect", "disconnect", "publish", "subscribe", "message")}
        self.client.on_connect = self._keep("connect", lambda flags, reason, props: (flags, reason, props))
        self.client.on_disconnect = self._keep("disconnect", lambda flags, reason, props: reason)
        self.client.on_publish = self._keep("publish", lambda mid, reason, props: reason)
        self.client.on_subscribe = self._keep("subscribe", lambda mid, reasons, props: reasons)
        self.client.on_message = self._keep("message", lambda message: message)
        if will:
            self.client.will_set(*will)
        self.client.tls_set_context(device.context(alpn))
        self.device, self.door = device, door

    def _keep(self, name, pick):
        return lambda client, userdata, *arguments: self.answers[name].put(pick(*arguments))

    def next(self, name):
        """The next answer of a kind."""
        return self.answers[name].get(timeout=PATIENCE)

    def start(self, properties=None):
        """Connect and return flags, reason code and properties of the CONNACK."""
        host, port = self.device.ombra.address(self.door)
        self.client.connect("localhost" if host == "127.0.0.1" else host, port, properties=properties)
        self.client.loop_start()
        return self.next("connect")

    def __enter__(self):
        assert self.start()[1] == 0
        return self

    def __exit__(self, *_):
        self.client.disconnect()
        self.client.loop_stop()

    def subscribe(self, *topics, qos=1):
        """The codes of the SUBACK."""
        self.client.subscribe([(topic, qos) for topic in topics])
        return [int(reason.value) for reason in self.next("subscribe")]

    def publish(self, topic, payload=b"", qos=1, **options):
        """The reason of the PUBACK, or 0 when it was written at QoS 0."""
        self.client.publish(topic, payload, qos, **options)
        return int(self.next("publish").value)

    def cut(self):
        """Lose the network without a word."""
        self.client.socket().shutdown(2)


@pytest.fixture(scope="module")
def device(workshop):
    """One that may do everything."""
    return workshop.device()


@pytest.fixture(scope="module")
def other(workshop):
    """Another one."""
    return workshop.device()


@both_versions
@pytest.mark.parametrize("qos", [0, 1])
def test_a_message_arrives_with_the_lower_of_both_qualities(device, other, version, qos):
    with Paho(device, version) as listener, Paho(other, version) as speaker:
        assert listener.subscribe("q/0", qos=0) == [0]
        assert listener.subscribe("q/1", qos=1) == [1]
        for topic in ("q/0", "q/1"):
            assert speaker.publish(topic, f"at {qos}", qos) == 0
            message = listener.next("message")
            granted = int(topic[-1])
            assert (message.topic, message.payload, message.qos) == (topic, f"at {qos}".encode(), min(qos, granted))


def test_versions_understand_each_other(device, other):
    with Paho(device, mqtt.MQTTv311) as listener, Paho(other, mqtt.MQTTv5) as speaker:
        listener.subscribe("mixed")
        properties = Properties(PacketTypes.PUBLISH)
        properties.UserProperty = ("k", "v")
        speaker.publish("mixed", "x", properties=properties)
        assert listener.next("message").payload == b"x"


def test_properties_travel_with_a_message(device, other):
    with Paho(device, mqtt.MQTTv5) as listener, Paho(other, mqtt.MQTTv5) as speaker:
        listener.subscribe("props")
        properties = Properties(PacketTypes.PUBLISH)
        properties.UserProperty = [("a", "1"), ("a", "2")]
        properties.ContentType = "text/plain"
        properties.ResponseTopic = "answers/here"
        properties.CorrelationData = b"\x00\x01"
        properties.PayloadFormatIndicator = 1
        speaker.publish("props", "x", properties=properties)
        got = listener.next("message").properties
        assert got.UserProperty == [("a", "1"), ("a", "2")]
        assert (got.ContentType, got.ResponseTopic) == ("text/plain", "answers/here")
        assert (got.CorrelationData, got.PayloadFormatIndicator) == (b"\x00\x01", 1)


@both_versions
def test_wildcards_match_as_aws_matches_them(device, other, version):
    with Paho(device, version) as listener, Paho(other, version) as speaker:
        assert listener.subscribe("sensor/#", "+/one/x", qos=0) == [0, 0]
        for topic in ("sensor", "sensor/a", "sensor/a/b", "any/one/x", "any/two/x", "sensor/end"):
            speaker.publish(topic)
        heard = []
        while "sensor/end" not in heard:
            heard.append(listener.next("message").topic)
        assert heard == ["sensor/a", "sensor/a/b", "any/one/x", "sensor/end"], "AWS's sensor/# leaves out sensor itself"


@both_versions
def test_wildcards_at_the_first_level_do_not_show_reserved_topics(device, other, version):
    with Paho(device, version) as listener, Paho(other, version) as speaker:
        listener.subscribe("#", qos=0)
        speaker.publish(other.shadow("update"), '{"state":{"reported":{"a":1}}}')
        speaker.publish("end")
        assert listener.next("message").topic == "end"


@both_versions
def test_unsubscribing_ends_delivery(device, other, version):
    with Paho(device, version) as listener, Paho(other, version) as speaker:
        listener.subscribe("u/1", "u/2")
        done = queue.Queue()
        listener.client.on_unsubscribe = lambda *arguments: done.put(arguments)
        listener.client.unsubscribe("u/1")
        done.get(timeout=PATIENCE)
        speaker.publish("u/1")
        speaker.publish("u/2")
        assert listener.next("message").topic == "u/2"


@both_versions
def test_a_will_is_published_when_the_connection_is_lost_and_not_when_it_is_closed(device, other, version):
    with Paho(device, version) as listener:
        listener.subscribe("wills/#")
        polite = Paho(other, version, will=("wills/polite", "gone", 1))
        polite.start()
        polite.client.disconnect()
        polite.next("disconnect")
        polite.client.loop_stop()
        # A name of its own: the server may hear of the next connection before it hears the goodbye of the last.
        lost = Paho(other, version, client_id="lost", will=("wills/lost", "gone", 1))
        lost.start()
        lost.cut()
        message = listener.next("message")
        lost.client.loop_stop()
        assert (message.topic, message.payload) == ("wills/lost", b"gone")


@both_versions
def test_a_retained_message_waits_for_an_exactly_equal_filter(device, other, version):
    topic = f"kept/{version}"
    with Paho(other, version) as speaker:
        assert speaker.publish(topic, "stays", retain=True) == 0
    with Paho(device, version) as listener:
        listener.subscribe(f"kept/{version}/#", "kept/+", qos=1)
        listener.subscribe(topic)
        message = listener.next("message")
        assert (message.payload, message.retain) == (b"stays", True)
        with Paho(other, version) as speaker:
            speaker.publish(topic, "live", retain=True)
            live = listener.next("message")
            assert (live.payload, live.retain) == (b"live", False)
            speaker.publish(topic, b"", retain=True)
            assert listener.next("message").payload == b""
    with Paho(device, version) as late, Paho(other, version) as speaker:
        late.subscribe(topic)
        speaker.publish(topic, "end")
        assert late.next("message").payload == b"end"


def test_retain_handling_and_no_local_are_honoured(device, other):
    with Paho(other, mqtt.MQTTv5) as speaker:
        speaker.publish("options/kept", "stays", retain=True)
    with Paho(device, mqtt.MQTTv5) as listener:
        listener.client.subscribe("options/kept", options=SubscribeOptions(qos=1, retainHandling=2))
        listener.next("subscribe")
        listener.client.subscribe("options/own", options=SubscribeOptions(qos=1, noLocal=True))
        listener.next("subscribe")
        listener.subscribe("options/end")
        listener.publish("options/own")
        listener.publish("options/end")
        assert listener.next("message").topic == "options/end"


@both_versions
def test_the_newer_connection_of_a_client_id_wins(device, other, version):
    with Paho(other, version) as listener:
        listener.subscribe("takeover/will")
        old = Paho(device, version, will=("takeover/will", "displaced", 1))
        old.start()
        with Paho(device, version) as new:
            reason = old.next("disconnect")
            old.client.loop_stop()
            assert version == mqtt.MQTTv311 or reason.value == 0x8E
            assert listener.next("message").payload == b"displaced"
            new.subscribe("takeover/alive")
            new.publish("takeover/alive")
            assert new.next("message").topic == "takeover/alive"


def test_the_connack_tells_the_limits(device):
    client = Paho(device, mqtt.MQTTv5)
    flags, reason, properties = client.start()
    client.__exit__()
    assert reason == 0 and not flags.session_present
    expected = {
        "ReceiveMaximum": 100, "MaximumQoS": 2, "RetainAvailable": 1, "MaximumPacketSize": 149504,
        "TopicAliasMaximum": 8, "WildcardSubscriptionAvailable": 1, "SubscriptionIdentifierAvailable": 1,
        "SharedSubscriptionAvailable": 1, "SessionExpiryInterval": 0, "ServerKeepAlive": 60,
    }
    told = properties.json()
    # A value that equals the protocol's default may be left out.
    # Beyond AWS: QoS 2 and subscription identifiers work unless its quotas are kept.
    defaults = {"RetainAvailable": 1, "MaximumQoS": 2, "WildcardSubscriptionAvailable": 1, "SharedSubscriptionAvailable": 1,
                "SessionExpiryInterval": 0}
    assert {name: told.get(name, defaults.get(name)) for name in expected} == expected
    assert "AssignedClientIdentifier" not in told


@both_versions
def test_an_empty_client_id_is_given_one(device, version):
    client = Paho(device, version, client_id="")
    _, reason, properties = client.start()
    client.__exit__()
    assert reason == 0
    assert version == mqtt.MQTTv311 or properties.AssignedClientIdentifier.startswith("$GEN/")


@pytest.fixture(scope="module")
def narrow(workshop):
    """One that may use `mine/…` and nothing else."""
    statement = [
        {"Effect": "Allow", "Action": "iot:Connect", "Resource": "*"},
        {"Effect": "Allow", "Action": ["iot:Publish", "iot:Receive"], "Resource": arn("topic/mine/*")},
        {"Effect": "Allow", "Action": "iot:Subscribe", "Resource": arn("topicfilter/mine/*")},
    ]
    return workshop.device(policy={"Version": "2012-10-17", "Statement": statement})


def test_a_denied_publication_is_told_under_mqtt_5(narrow):
    with Paho(narrow, mqtt.MQTTv5) as client:
        assert client.publish("mine/x") == 0
        assert client.publish("theirs/x") == NOT_AUTHORIZED
        client.client.publish("theirs/x", qos=0)
        assert client.next("disconnect").value == NOT_AUTHORIZED


def test_a_denied_publication_closes_the_connection_under_311(narrow):
    with Paho(narrow, mqtt.MQTTv311) as client:
        assert client.publish("mine/x") == 0
        client.client.publish("theirs/x", qos=1)
        assert client.next("disconnect") != 0


@both_versions
def test_a_denied_subscription_is_told(narrow, version):
    with Paho(narrow, version) as client:
        assert client.subscribe("mine/x", "theirs/x") == [1, NOT_AUTHORIZED if version == mqtt.MQTTv5 else 0x80]


def test_a_user_name_does_not_matter_beside_a_certificate(device):
    client = Paho(device, mqtt.MQTTv5)
    client.client.username_pw_set("?SDK=Own&Version=1", "secret")
    assert client.start()[1] == 0
    client.__exit__()


def test_the_second_port_speaks_mqtt_by_alpn(device):
    client = Paho(device, mqtt.MQTTv5, door="tls", alpn="x-amzn-mqtt-ca")
    assert client.start()[1] == 0
    assert client.client.socket().selected_alpn_protocol() == "x-amzn-mqtt-ca"
    client.__exit__()


def test_the_server_shows_a_certificate_for_its_names(ombra):
    context = ssl.create_default_context(cafile=str(ombra.ca))
    for name in ("localhost", "127.0.0.1"):
        with socket.create_connection(ombra.address("tls"), PATIENCE) as raw:
            with context.wrap_socket(raw, server_hostname=name) as tls:
                assert tls.version() in ("TLSv1.2", "TLSv1.3")
