"""The lives of shadows that crate `shadow` is tested with, once more over MQTT and HTTP, to see that both wires hold.

Each step of `shadow.jsonl` is one request and every message published because of it, at times that are made up. Here
the clock is the server's, so a made-up time in an expected message stands for the moments in which its step was played.
"""

import itertools
import json
import time
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

LIVES = Path(__file__).parent.parent / "crates/shadow/tests/it/shadow.jsonl"
#: The one life that is led by a named shadow.
NAMED = {"V17": "operation"}
#: Seconds by which a test's clock and the server's may be read apart.
SLACK = 2


def lives() -> dict[str, list[dict]]:
    """The steps of each life."""
    steps = [json.loads(line) for line in LIVES.read_text().splitlines()]
    return {case: list(led) for case, led in itertools.groupby(steps, lambda step: step["case"])}


each_life = pytest.mark.parametrize(("case", "steps"), lives().items(), ids=lives().keys())


class Clock:
    """What the made-up times have turned out to be."""

    def __init__(self):
        self.moments: dict[int, float] = {}

    def at(self, step: dict) -> None:
        """A step is about to be played."""
        self.moments[step["at"]] = time.time()

    def agrees(self, expected, told) -> bool:
        """Whether a value is as expected, times aside that differ as they should."""
        if isinstance(expected, dict) and isinstance(told, dict):
            return expected.keys() == told.keys() and all(self.agrees(expected[key], told[key]) for key in expected)
        if isinstance(expected, list) and isinstance(told, list):
            return len(expected) == len(told) and all(map(self.agrees, expected, told))
        if type(expected) is int and expected in self.moments:
            return type(told) is int and abs(told - self.moments[expected]) <= SLACK
        return type(expected) is type(told) and expected == told


def expected_of(step: dict, thing: str) -> list[dict]:
    """What a step publishes, under the name that the thing has here."""
    return json.loads(json.dumps(step["out"]).replace("'t1", f"'{thing}"))


@each_life
def test_a_life_over_mqtt(workshop, case, steps):
    device, clock = workshop.device(f"mqtt-{case}"), Clock()
    prefix = device.shadow("", NAMED.get(case))
    with device.connect() as wire:
        assert wire.subscribe(f"{prefix}+/+", qos=1) == [1]
        for step in steps:
            clock.at(step)
            assert wire.publish(prefix + step["op"], json.dumps(step["in"])).reason == 0
            expected = {message["topic"]: message["payload"] for message in expected_of(step, device.name)}
            got = [wire.message() for _ in expected]
            told = {message.topic.removeprefix(prefix): json.loads(message.payload) for message in got}
            assert clock.agrees(expected, told), f"step {step['step']}\n{expected}\n{told}"
        wire.ping()
        assert wire.inbox == []


@each_life
def test_a_life_over_http(iot_data, case, steps):
    thing, clock = f"http-{case}", Clock()
    which = {"thingName": thing} | ({"shadowName": NAMED[case]} if case in NAMED else {})
    for step in steps:
        clock.at(step)
        call = getattr(iot_data, f"{step['op']}_thing_shadow")
        body = {"payload": json.dumps(step["in"])} if step["op"] == "update" else {}
        answers = {message["topic"].rsplit("/")[-1]: message["payload"] for message in expected_of(step, thing)}
        try:
            told = json.load(call(**which, **body)["payload"])
        except ClientError as refusal:
            expected = answers["rejected"]
            answer = refusal.response
            told = {"code": answer["ResponseMetadata"]["HTTPStatusCode"], "message": answer["Error"]["Message"]}
            expected.pop("clientToken", None)
        else:
            expected = answers["accepted"]
            if step["op"] != "update":
                # Without a body there is nowhere to put a token.
                expected.pop("clientToken", None)
        assert clock.agrees(expected, told), f"step {step['step']}\n{expected}\n{told}"
