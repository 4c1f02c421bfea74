"""The walkthrough of `docs/walkthrough.md`, every command of it as it stands there, by the stock AWS CLI of either version: each call
succeeds, each step gives what it promises, and nothing is left at the end. Then a device that acts on differences only.

The page is what is tested: a block of it that no test types, or that a test types without its being there, fails.
"""

import json
import re
import secrets
import subprocess
import sys
import time
from pathlib import Path

import paho.mqtt.client as paho
import pytest

from house import ACCOUNT, PATIENCE, REGION, Ombra, wait_for
from test_aws_cli import Shell

PAGE = Path(__file__).resolve().parent.parent / "docs/walkthrough.md"
pytestmark = pytest.mark.timeout(600)

#: The calls, in their order, that a device-state walkthrough for AWS makes.
CALLS = [
    "configure get", "sts get-caller-identity", "secretsmanager get-random-password", "iot create-thing",
    "iot create-keys-and-certificate", "iot create-policy", "iot attach-policy", "iot attach-thing-principal",
    "dynamodb create-table", "dynamodb wait", "iam create-role", "iam create-policy", "iam attach-role-policy",
    "lambda create-function", "lambda get-function", "iot create-topic-rule", "lambda add-permission",
    "iot-data update-thing-shadow", "iot-data get-thing-shadow", "iot-data update-thing-shadow",
    "logs describe-log-groups", "logs filter-log-events", "dynamodb query", "iot delete-topic-rule",
    "lambda remove-permission", "lambda delete-function", "iam detach-role-policy", "iam delete-policy",
    "iam delete-role", "dynamodb delete-table", "iot detach-thing-principal", "iot detach-policy",
    "iot update-certificate", "iot delete-certificate", "iot delete-policy", "iot delete-thing",
]
#: Sections whose calls go beyond that, and single calls that do.
BEYOND = {"The type of the thing", "A shadow for each concern", "Figures of shadows", "What a function leaves behind"}
BESIDE = {"iot delete-policy-version"}

#: Notes each call and how it ended, then is the CLI that was asked for.
SHIM = """#!/bin/sh
{aws} "$@"
status=$?
echo "$1 $2 $status" >> {log}
exit $status
"""


def blocks() -> dict[str, str]:
    """The commands of the page by their headings, in order."""
    found = {}
    for section in re.split(r"^### ", PAGE.read_text(), flags=re.MULTILINE)[1:]:
        heading = section.split("\n", 1)[0]
        code = re.findall(r"^```bash\n(.*?)^```$", section, flags=re.MULTILINE | re.DOTALL)
        assert len(code) <= 1, f"{heading} has two blocks of commands"
        if code:
            found[heading] = code[0]
    return found


class Prompt:
    """A shell that stays open, in which the page is typed block by block."""

    def __init__(self, environment: dict, directory: Path):
        self.directory = directory
        self.process = subprocess.Popen(
            ["bash", "--noprofile", "--norc"], cwd=directory, env=environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )

    def __call__(self, code: str) -> str:
        """Type commands, each of which must succeed; answers with all that was printed."""
        end = secrets.token_hex(8)
        self.process.stdin.write(f"set -eo pipefail\n{code}\nset +e\necho {end}\n")
        self.process.stdin.flush()
        printed = ""
        for line in self.process.stdout:
            if line.strip().endswith(end):
                return printed + line[: line.index(end)]
            printed += line
        raise AssertionError(f"a command failed:\n{printed}")

    def variable(self, name: str) -> str:
        """What a variable holds."""
        return self(f'echo "${{{name}}}"').strip()

    def close(self) -> None:
        """Leave nothing behind."""
        self.process.stdin.close()
        self.process.kill()
        self.process.wait(PATIENCE)
        self.process.stdout.close()


class Walk:
    """The page, a shell, and the server that it talks to."""

    def __init__(self, ombra: Ombra, directory: Path, aws: str):
        self.ombra = ombra
        self.log = directory / "calls.log"
        self.log.touch()
        (directory / "bin").mkdir()
        shim = directory / "bin/aws"
        shim.write_text(SHIM.format(aws=aws, log=self.log))
        shim.chmod(0o755)
        environment = ombra.environment()
        environment["PATH"] = f"{directory / 'bin'}:{environment['PATH']}"
        (directory / "here").mkdir()
        self.prompt = Prompt(environment, directory / "here")
        self.blocks = blocks()
        self.typed: list[str] = []
        self.walked: list[str] = []

    def __call__(self, heading: str) -> str:
        """Type the block under a heading."""
        self.typed.append(heading)
        before = len(self.calls())
        printed = self.prompt(self.blocks[heading])
        if heading not in BEYOND:
            self.walked += [call.rsplit(" ", 1)[0] for call in self.calls()[before:]]
        return printed

    def calls(self) -> list[str]:
        """Every call so far: service, operation and status."""
        return self.log.read_text().splitlines()

    def runs(self) -> list[str]:
        """The lines of the function's log, oldest first."""
        client = self.ombra.client("logs")
        try:
            pages = client.get_paginator("filter_log_events").paginate(
                logGroupName=f"/aws/lambda/{self.prompt.variable('LAMBDA_FUNCTION')}",
            )
            return [event["message"].rstrip("\n") for page in pages for event in page["events"]]
        except client.exceptions.ResourceNotFoundException:
            return []

    def has_run(self, times: int) -> None:
        """Wait until the function ended so often: it is called behind the shadow's back."""
        def reports():
            return [line for line in self.runs() if line.startswith("REPORT")]
        wait_for(lambda: len(reports()) >= times, f"{times} runs of the function", 90)


def pip() -> str:
    """Version 1, which pip installs."""
    return str(Path(sys.executable).with_name("aws"))


def debian() -> str:
    """Version 2 as Debian packages it, which has to be told the endpoint."""
    return '/usr/bin/aws --endpoint-url "$AWS_ENDPOINT_URL"'


@pytest.fixture
def ombra_with_functions(own_ombra):
    """A server on which functions run in the Python that runs these tests."""
    return own_ombra.start("--functions-python", sys.executable)


@pytest.fixture(params=[pip, debian])
def walk(request, ombra_with_functions, tmp_path):
    """The page for one version of the CLI."""
    walk = Walk(ombra_with_functions, tmp_path, request.param())
    yield walk
    walk.prompt.close()


def test_the_page_is_typed_from_beginning_to_end(walk):
    make(walk)
    use(walk)
    further(walk)
    take_down(walk)
    assert walk.typed == list(walk.blocks), "a block was not typed, or not in its place"
    assert [call for call in walk.calls() if not call.endswith(" 0")] == []
    assert [call for call in walk.walked if call not in BESIDE] == CALLS
    assert len(CALLS) == 36
    assert nothing_is_left(walk.ombra)


def make(walk: Walk) -> None:
    """Everything up to the rule."""
    for heading in (
        "Names", "The type of the thing", "The thing and its certificate", "The policy of the device",
        "What belongs together", "The table of its history", "The function", "The role it runs as",
        "The function is made", "The rule, and its leave to call the function",
    ):
        walk(heading)
    prompt = walk.prompt
    assert prompt.variable("AWS_REGION") == REGION
    assert prompt.variable("AWS_ACCOUNT_ID") == ACCOUNT
    assert re.fullmatch(r"smart-thermostat-[a-z0-9]{6}", prompt.variable("THING_NAME"))
    thing = walk.ombra.client("iot").describe_thing(thingName=prompt.variable("THING_NAME"))
    assert thing["attributes"] == {"manufacturer": "SmartHome", "model": "TH-2024"}
    assert thing["thingTypeName"] == "Thermostat"


def use(walk: Walk) -> None:
    """Two updates, and what came of them."""
    first = json.loads(walk("The first state"))
    assert first["version"] == 1 and first["state"]["reported"]["firmware_version"] == "1.2.3"
    walk.has_run(1)
    state = json.loads(walk("The shadow"))
    assert state["desired"] == {"target_temperature": 23.0, "hvac_mode": "auto"}
    assert state["reported"]["humidity"] == 45
    assert state["delta"] == {"hvac_mode": "auto"}
    # The function's rows are told apart by the second; two of one second would be one.
    second = int(time.time())
    wait_for(lambda: int(time.time()) > second, "another second")
    wished = json.loads(walk("Another wish"))
    assert wished["state"]["desired"] == {"target_temperature": 25.0, "hvac_mode": "cool"}
    walk.has_run(2)
    groups, events = documents(walk("The log of the function"))
    assert len(groups["logGroups"]) == 1
    assert len(runs_of([event["message"].rstrip("\n") for event in events["events"]])) == 2
    rows = json.loads(walk("The history"))
    assert (rows["Count"], rows["ScannedCount"]) == (2, 2)
    times = [int(row["Timestamp"]["N"]) for row in rows["Items"]]
    assert times == sorted(times) and time.time() - 300 < times[0] < times[1] <= time.time()
    states = [row["ShadowState"]["M"] for row in rows["Items"]]
    assert states[0]["reported"]["M"]["temperature"] == {"N": "22.5"}
    assert states[1] == {"desired": {"M": {"target_temperature": {"N": "25"}, "hvac_mode": {"S": "cool"}}}}
    assert {row["EventType"]["S"] for row in rows["Items"]} == {"shadow_update"}


def documents(printed: str) -> list:
    """The JSON documents that calls printed one after the other."""
    found, decoder, rest = [], json.JSONDecoder(), printed.lstrip()
    while rest:
        document, end = decoder.raw_decode(rest)
        found.append(document)
        rest = rest[end:].lstrip()
    return found


def runs_of(lines: list[str]) -> list[list[str]]:
    """The log cut into invocations, each of which begins, says its word, ends and reports."""
    runs = []
    for line in lines:
        if line.startswith("START RequestId: "):
            runs.append([])
        if runs:
            runs[-1].append(line)
    for run in runs:
        request = run[0].split()[2]
        assert any(line.startswith("Processed shadow update for smart-thermostat-") for line in run), run
        assert f"END RequestId: {request}" in run
        report = next(line for line in run if line.startswith("REPORT"))
        assert request in report and "Billed Duration:" in report and "Max Memory Used:" in report
    return runs


def further(walk: Walk) -> None:
    """Named shadows and figures; the device in between is a test of its own."""
    named = documents(walk("A shadow for each concern"))[-1]
    assert sorted(named["results"]) == ["configuration", "diagnostics", "telemetry"]
    thing = walk.prompt.variable("THING_NAME")

    def counted() -> bool:
        """Figures are added once a minute."""
        answer = walk.ombra.client("cloudwatch").list_metrics(Namespace="Ombra/Shadow")
        of_thing = {"Name": "ThingName", "Value": thing}
        pairs = [pair for metric in answer["Metrics"] for pair in metric["Dimensions"]]
        shadows = {pair["Value"] for pair in pairs if pair["Name"] == "ShadowName"}
        # A minute may end between two of them.
        return len(shadows) == 3 and any(metric["Dimensions"] == [of_thing] for metric in answer["Metrics"])

    wait_for(counted, "figures of the shadow", 90)
    metrics, counts = documents(walk("Figures of shadows"))
    assert {metric["MetricName"] for metric in metrics["Metrics"]} >= {"UpdateCount", "DocumentBytes"}
    shadows = {pair["Value"] for one in metrics["Metrics"] for pair in one["Dimensions"] if pair["Name"] == "ShadowName"}
    assert shadows == {"configuration", "telemetry", "diagnostics"}
    assert sum(point["Sum"] for point in counts["Datapoints"]) == 2.0


def take_down(walk: Walk) -> None:
    """All of it, in the order of the page."""
    for heading in (
        "The rule and its leave", "The function and its role", "The table", "The thing and what belongs to it",
        "What a function leaves behind", "The files",
    ):
        walk(heading)
    assert list(walk.prompt.directory.glob("*.json")) == []


def nothing_is_left(ombra: Ombra) -> bool:
    """Every list is empty, and nothing runs for a function that is gone."""
    listings = [
        ("iot", "list_things", "things"), ("iot", "list_certificates", "certificates"),
        ("iot", "list_policies", "policies"), ("iot", "list_topic_rules", "rules"),
        ("dynamodb", "list_tables", "TableNames"), ("lambda", "list_functions", "Functions"),
        ("iam", "list_roles", "Roles"), ("logs", "describe_log_groups", "logGroups"),
        ("secretsmanager", "list_secrets", "SecretList"),
    ]
    for service, call, members in listings:
        assert getattr(ombra.client(service), call)()[members] == [], f"{service} {call}"
    assert ombra.client("iam").list_policies(Scope="Local")["Policies"] == []
    wait_for(lambda: children(ombra.process.pid) == [], "no process of a function is left", 40)
    return True


def children(pid: int) -> list[str]:
    """The commands of the processes that a process started and that run."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
            if int(fields[1]) == pid and fields[0] != "Z":
                found.append((stat.parent / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


# What cannot be typed as it is sometimes written, here as on AWS.


def test_a_rule_with_a_hyphen_in_its_name_is_refused(ombra, tmp_path):
    aws = Shell(ombra, tmp_path, pip())
    payload = json.dumps({"sql": "SELECT * FROM '$aws/things/+/shadow/update/accepted'", "actions": []})
    said = aws.refused(
        "InvalidRequestException", "iot", "create-topic-rule",
        "--rule-name", "ShadowUpdateRule-abc123", "--topic-rule-payload", payload,
    )
    assert "ruleName" in said
    aws("iot", "create-topic-rule", "--rule-name", "ShadowUpdateRule_abc123", "--topic-rule-payload", payload)


def test_shorthand_mixed_with_json_never_leaves_the_command_line(ombra, tmp_path):
    aws = Shell(ombra, tmp_path, pip())
    done = aws.run(
        "iot", "create-thing", "--thing-name", "mixed",
        "--attribute-payload", 'attributes={"manufacturer":"SmartHome","model":"TH-2024"}',
    )
    assert done.returncode in (252, 255) and "Error parsing parameter" in done.stderr, done.stderr
    assert ombra.client("iot").list_things()["things"] == []


def test_a_thing_cannot_be_of_a_type_that_is_not_there(ombra, tmp_path):
    aws = Shell(ombra, tmp_path, pip())
    aws.refused(
        "ResourceNotFoundException", "iot", "create-thing", "--thing-name", "early", "--thing-type-name", "Thermostat",
    )


# A device that acts on differences only.


class Thermostat:
    """It is told of differences, does what is wanted, and reports that and no more."""

    def __init__(self, ombra: Ombra, device, thing: str):
        self.prefix = f"$aws/things/{thing}/shadow/update"
        self.state: dict = {}
        self.heard: list[str] = []
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=thing)
        self.client.tls_set_context(device.context())
        self.client.on_connect = lambda client, *_: client.subscribe(f"{self.prefix}/delta", qos=1)
        self.client.on_message = self.differs
        self.client.connect("localhost", ombra.address("mqtts")[1])
        self.client.loop_start()

    def differs(self, client, _, message) -> None:
        """Do what is wanted, and say so."""
        self.heard.append(message.topic)
        wanted = json.loads(message.payload)["state"]
        self.state |= wanted
        client.publish(self.prefix, json.dumps({"state": {"reported": wanted}}), qos=1)

    def leave(self) -> None:
        """Hang up."""
        self.client.disconnect()
        self.client.loop_stop()


def test_a_device_acts_on_differences_only(ombra, workshop, iot_data):
    device = workshop.device("delta-only")
    thermostat = Thermostat(ombra, device, "delta-only")
    try:
        wait_for(lambda: ombra.client("iot-data").list_subscriptions(clientId="delta-only")["subscriptions"], "its filter")

        def wish(**desired):
            iot_data.update_thing_shadow(
                thingName="delta-only", payload=json.dumps({"state": {"desired": desired}}).encode(),
            )

        def settled():
            state = json.loads(iot_data.get_thing_shadow(thingName="delta-only")["payload"].read())["state"]
            return "delta" not in state and state["desired"] == state.get("reported")

        wish(target_temperature=23, mode="auto")
        wait_for(settled, "the first wish is done")
        wish(target_temperature=25)
        wait_for(settled, "the second wish is done")
        wish(target_temperature=25)
        assert thermostat.state == {"target_temperature": 25, "mode": "auto"}
        assert thermostat.heard == [f"{thermostat.prefix}/delta"] * 2, "what is so already is no difference"
    finally:
        thermostat.leave()
