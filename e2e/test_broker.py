"""What only raw packets can ask of the broker: order under load, aliases, shares, listeners that do not listen."""

import signal

import pytest

import packets
from devices import Workshop
from house import PATIENCE
from packets import DISCONNECT, V5, V311

both_versions = pytest.mark.parametrize("version", [V311, V5])
SHUTTING_DOWN, ALIAS_INVALID, PROTOCOL_ERROR = 0x8B, 0x94, 0x82


@pytest.fixture(scope="module")
def device(workshop):
    """One that speaks."""
    return workshop.device()


@pytest.fixture(scope="module")
def listener(workshop):
    """One that hears."""
    return workshop.device()


@both_versions
def test_a_thousand_publications_at_once_are_acknowledged_and_delivered_in_order(device, listener, version):
    with device.connect(version) as wire, listener.connect(version) as other:
        other.subscribe("order", qos=1)
        numbers = range(1, 1001)
        wire.send(b"".join(
            packets.publish("order", str(number), version, qos=1, identifier=number) for number in numbers
        ))
        assert [wire.expect(packets.PUBACK).identifier for _ in numbers] == list(numbers)
        assert [int(other.message().payload) for _ in numbers] == list(numbers)


@both_versions
def test_the_largest_payload_arrives_whole(device, listener, version):
    payload = bytes(range(256)) * 512
    with device.connect(version) as wire, listener.connect(version) as other:
        other.subscribe("large", qos=1)
        assert wire.publish("large", payload).reason == 0
        assert other.message().payload == payload and len(payload) == 131_072


def test_a_packet_larger_than_the_receiver_takes_is_not_sent_to_it(device, listener):
    with device.connect(V5) as wire, listener.connect(V5, props={"maximum_packet_size": 200}) as other:
        other.subscribe("sizes", qos=1)
        wire.publish("sizes", b"x" * 300)
        wire.publish("sizes", b"small")
        assert other.message().payload == b"small"


def test_no_more_is_in_flight_than_the_receiver_takes(device, listener):
    with device.connect(V5) as wire, listener.connect(V5, props={"receive_maximum": 2}) as other:
        other.subscribe("window", qos=1)
        for number in range(4):
            wire.publish("window", str(number))
        first, second = other.read(), other.read()
        other.send(packets.packet(packets.PINGREQ))
        assert other.read().kind == packets.PINGRESP, "the third waits for an acknowledgement"
        other.send(packets.puback(first.identifier) + packets.puback(second.identifier))
        assert [other.message().payload for _ in range(2)] == [b"2", b"3"]


def test_a_topic_alias_stands_for_its_topic_until_the_connection_ends(device):
    with device.connect(V5) as wire:
        wire.subscribe("alias/#", qos=1)
        wire.publish("alias/a", "named", props={"topic_alias": 8})
        wire.publish("", "short", props={"topic_alias": 8})
        assert [(wire.message().topic) for _ in range(2)] == ["alias/a", "alias/a"]
    for alias, reason in ((9, ALIAS_INVALID), (0, ALIAS_INVALID), (8, PROTOCOL_ERROR)):
        with device.connect(V5) as wire:
            topic = "" if alias == 8 else "alias/a"
            wire.send(packets.publish(topic, b"", V5, props={"topic_alias": alias}))
            assert wire.closed().reason == reason, alias


@both_versions
def test_a_share_gives_each_message_to_one_member(device, workshop, version):
    members = [workshop.device().connect(version) for _ in range(2)]
    with device.connect(version) as wire, members[0], members[1]:
        for member in members:
            assert member.subscribe("$share/group/work/#", qos=1) == [1]
        for number in range(40):
            wire.publish(f"work/{number}", str(number))
        got = [int(message.payload) for member in members for message in member.ping().inbox]
        assert sorted(got) == list(range(40))
        assert all(member.inbox for member in members)


def test_overlapping_subscriptions_deliver_one_copy(device):
    with device.connect(V5) as wire:
        wire.subscribe("over/#", qos=0)
        wire.subscribe("over/+", "over/a", qos=1)
        wire.publish("over/a")
        assert wire.message().qos == 1, "with the highest quality that was granted"
        wire.ping()
        assert wire.inbox == []


def test_a_listener_that_does_not_listen_holds_nobody_up_and_fills_no_memory(ombra, device, workshop):
    def memory():
        """Megabytes."""
        with open(f"/proc/{ombra.process.pid}/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) // 1024

    before = memory()
    with workshop.device().connect() as deaf, workshop.device().connect(V5) as deafer, device.connect() as wire:
        deaf.subscribe("flood", qos=0)
        deafer.subscribe("flood", qos=1)
        for _ in range(1500):
            wire.publish("flood", b"x" * 60_000)
    assert memory() < before + 64, "90 MB were published to two who took none of it"


def test_a_server_that_stops_says_so(own_ombra, tmp_path):
    workshop = Workshop(own_ombra.start(), tmp_path / "devices")
    with workshop.device().connect(V5) as five, workshop.device().connect(V311) as three:
        own_ombra.process.send_signal(signal.SIGTERM)
        goodbye = five.expect(DISCONNECT)
        assert goodbye.reason == SHUTTING_DOWN
        assert three.closed() is None
        assert own_ombra.process.wait(PATIENCE) == 0
