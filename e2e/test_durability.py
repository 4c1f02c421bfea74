"""The power goes while devices and applications write: what was acknowledged is there afterwards, whole.

Each writer owns one shadow and counts in it. An acknowledged count is a promise: after the restart the shadow must
show that count or a later one that was sent, and its version must have come as far.
"""

import json
import threading
import time

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from devices import Workshop
from packets import Closed

ROUNDS = 3
WRITERS_EACH = 4
#: The load before the power goes: at least so many acknowledgements of every writer.
ENOUGH = 15
pytestmark = pytest.mark.timeout(150)


class Writer(threading.Thread):
    """Counts in a shadow until the server is gone, and remembers what was acknowledged."""

    def __init__(self, thing: str, count: int):
        super().__init__(daemon=True)
        self.thing, self.version = thing, 0
        self.first = self.sent = self.acknowledged = count
        self.trouble: Exception | None = None

    def body(self) -> bytes:
        """The next count."""
        self.sent += 1
        state = {"desired": {"count": self.sent, "padding": "x" * (self.sent % 200)}}
        return json.dumps({"state": state, "clientToken": str(self.sent)}).encode()

    def wrote(self) -> int:
        """How many acknowledgements came."""
        return self.acknowledged - self.first

    def keep(self, answer: dict) -> None:
        """An acknowledgement came."""
        if answer.get("clientToken") == str(self.sent):
            self.acknowledged, self.version = self.sent, answer["version"]

    def run(self):
        """Write until it fails."""
        try:
            while True:
                self.write()
        except (BotoCoreError, ClientError, Closed, OSError) as error:
            self.trouble = error


class OverHttp(Writer):
    """An application."""

    def __init__(self, ombra, thing, count):
        super().__init__(thing, count)
        self.client = ombra.client("iot-data")

    def write(self):
        """One update and its answer."""
        self.keep(json.load(self.client.update_thing_shadow(thingName=self.thing, payload=self.body())["payload"]))


class OverMqtt(Writer):
    """A device."""

    def __init__(self, device, count):
        super().__init__(device.name, count)
        self.device, self.wire = device, device.connect()
        self.wire.subscribe(device.shadow("update/accepted"), qos=1)

    def write(self):
        """One update, until `accepted` comes."""
        self.wire.publish(self.device.shadow("update"), self.body())
        self.keep(json.loads(self.wire.message().payload))


def written_until_the_power_goes(ombra, writers) -> None:
    """Let them write, then kill the server in the middle of it."""
    for writer in writers:
        writer.start()
    deadline = time.monotonic() + 30
    while min(writer.wrote() for writer in writers) < ENOUGH and time.monotonic() < deadline:
        assert all(writer.is_alive() for writer in writers), [writer.trouble for writer in writers]
        time.sleep(0.01)
    ombra.kill()
    for writer in writers:
        writer.join(20)
        assert not writer.is_alive()
        assert writer.wrote() >= ENOUGH, writer.trouble


def test_no_acknowledged_update_is_lost_when_the_power_goes(own_ombra, tmp_path):
    workshop = Workshop(own_ombra.start(), tmp_path / "devices")
    devices = [workshop.device() for _ in range(WRITERS_EACH)]
    apps = [f"app-{number}" for number in range(WRITERS_EACH)]
    count = dict.fromkeys(apps + [device.name for device in devices], 0)
    version = dict(count)
    for _ in range(ROUNDS):
        writers = [OverHttp(own_ombra, app, count[app]) for app in apps]
        writers += [OverMqtt(device, count[device.name]) for device in devices]
        written_until_the_power_goes(own_ombra, writers)
        data = own_ombra.start().client("iot-data")
        for writer in writers:
            told = json.load(data.get_thing_shadow(thingName=writer.thing)["payload"])
            found = told["state"]["desired"]["count"]
            assert writer.acknowledged <= found <= writer.sent, (writer.thing, writer.acknowledged, found, writer.sent)
            assert told["version"] >= writer.version > version[writer.thing]
            assert len(told["state"]["desired"]["padding"]) == found % 200
            count[writer.thing], version[writer.thing] = found, told["version"]


def test_everything_made_is_there_after_a_power_cut(own_ombra, tmp_path):
    workshop = Workshop(own_ombra.start(), tmp_path / "devices")
    device = workshop.device()
    iot, data = own_ombra.client("iot"), own_ombra.client("iot-data")
    before = iot.describe_thing(thingName=device.name)
    data.update_thing_shadow(thingName=device.name, shadowName="n", payload=b'{"state":{"desired":{"a":1.50}}}')
    with device.connect() as wire:
        assert wire.publish("kept/a", b"stays", retain=True).reason == 0
    own_ombra.kill()
    own_ombra.start()
    iot, data = own_ombra.client("iot"), own_ombra.client("iot-data")
    after = iot.describe_thing(thingName=device.name)
    del before["ResponseMetadata"], after["ResponseMetadata"]
    assert after == before
    assert b'"a":1.50' in data.get_thing_shadow(thingName=device.name, shadowName="n")["payload"].read()
    assert data.get_retained_message(topic="kept/a")["payload"] == b"stays"
    with device.connect() as wire:
        wire.subscribe("kept/a")
        assert wire.message().payload == b"stays", "certificate, policy and retained message survived"


def test_a_deleted_shadow_keeps_its_count_over_a_restart(own_ombra):
    data = own_ombra.start().client("iot-data")
    data.update_thing_shadow(thingName="t", payload=b'{"state":{"desired":{"a":1}}}')
    data.delete_thing_shadow(thingName="t")
    assert own_ombra.stop() == 0
    data = own_ombra.start().client("iot-data")
    answer = data.update_thing_shadow(thingName="t", payload=b'{"state":{"desired":{"a":1}}}')
    assert json.load(answer["payload"])["version"] == 3
