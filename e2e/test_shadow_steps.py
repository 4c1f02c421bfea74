"""The recorded steps of the shadow service, a few of them, through the real doors.

`crates/shadow` proves all steps against the engine; here it is shown that topics, payloads and statuses of both
doors lead to it and back. The server's clock is its own, so timestamps are left out.
"""

import json
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

STEPS = Path(__file__).resolve().parent.parent / "crates/shadow/tests/it/shadow.jsonl"
CASES = ["V01", "V13", "V14", "V17"]


def steps(case: str) -> list[dict]:
    """The steps of a case in their order."""
    entries = [json.loads(line) for line in STEPS.read_text().splitlines()]
    return sorted((entry for entry in entries if entry["case"] == case), key=lambda entry: entry["step"])


def timeless(value):
    """The same without the server's times; what is left of a leaf's metadata still shows its place."""
    if isinstance(value, dict):
        return {name: "when" if name == "timestamp" and isinstance(inner, int) else timeless(inner)
                for name, inner in value.items()}
    return [timeless(inner) for inner in value] if isinstance(value, list) else value


def expected(step: dict, thing: str) -> dict[str, object]:
    """What a step publishes, by the end of its topic, as told of another thing."""
    def renamed(payload):
        return json.loads(json.dumps(payload).replace("'t1", f"'{thing}"))

    return {out["topic"]: timeless(renamed(out["payload"])) for out in step["out"]}


@pytest.mark.parametrize("case", CASES)
def test_the_steps_hold_over_mqtt(workshop, case):
    device = workshop.device()
    suffixes = [f"{verb}/{end}" for verb in ("get", "update", "delete") for end in ("accepted", "rejected")]
    with device.connect() as wire:
        wire.subscribe(*map(device.shadow, suffixes + ["update/delta", "update/documents"]), qos=1)
        for step in steps(case):
            request = step["in"]
            payload = request if isinstance(request, str) else json.dumps(request)
            wire.publish(device.shadow(step["op"]), payload)
            wanted = expected(step, device.name)
            messages = [wire.message() for _ in wanted]
            got = {message.topic.partition("/shadow/")[2]: timeless(json.loads(message.payload))
                   for message in messages}
            assert got == wanted, (case, step["step"])
        wire.ping()
        assert wire.inbox == []


@pytest.mark.parametrize("case", CASES)
def test_the_steps_hold_over_http(iot_data, case):
    thing = f"http-{case}"
    for step in steps(case):
        call = getattr(iot_data, f"{step['op']}_thing_shadow")
        request = step["in"]
        token = request.pop("clientToken", None) if isinstance(request, dict) else None
        payload = {}
        if step["op"] == "update":
            payload = {"payload": (request if isinstance(request, str) else json.dumps(request)).encode()}
        wanted = expected(step, thing)
        name, answer = next((name, answer) for name, answer in wanted.items() if name.startswith(f"{step['op']}/")
                            and name.endswith(("accepted", "rejected")))
        assert answer.pop("clientToken", None) == token
        if name.endswith("accepted"):
            assert timeless(json.load(call(thingName=thing, **payload)["payload"])) == answer, (case, step["step"])
            continue
        with pytest.raises(ClientError) as refused:
            call(thingName=thing, **payload)
        told = refused.value.response
        assert told["ResponseMetadata"]["HTTPStatusCode"] == answer["code"]
        assert told["Error"]["Message"] == answer["message"]
