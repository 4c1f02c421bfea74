"""The stock AWS CLI, pointed here by `ombra env` and nothing else: the walkthrough of a device and its shadow.

Each call is a process of its own, as at a prompt; what has no need of a shell is in `test_boto3.py`.
"""

import json
import subprocess
from pathlib import Path

import pytest

from devices import arn, tls_context, tls_socket
from house import PATIENCE, aws_cli
from packets import Closed, Wire

ME = "${iot:Connection.Thing.ThingName}"
pytestmark = pytest.mark.timeout(120)


class Shell:
    """A directory and an environment in which `aws` is typed."""

    def __init__(self, ombra, directory: Path, *aws: str):
        self.aws, self.directory, self.environment = aws, directory, ombra.environment()

    def run(self, *words: str) -> subprocess.CompletedProcess:
        """Type a command."""
        return subprocess.run(
            [*self.aws, *words], cwd=self.directory, env=self.environment, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=PATIENCE * 2,
        )

    def __call__(self, *words: str):
        """Type a command that succeeds, and read its JSON."""
        done = self.run(*words)
        assert done.returncode == 0, f"aws {' '.join(words)}\n{done.stderr}"
        return json.loads(done.stdout) if done.stdout.strip() else None

    def refused(self, code: str, *words: str) -> str:
        """Type a command that is refused with this code, and read the words."""
        done = self.run(*words)
        assert done.returncode in (254, 255), done.stdout
        assert f"({code})" in done.stderr, done.stderr
        return done.stderr


@pytest.fixture(scope="module")
def aws(ombra, tmp_path_factory):
    """A prompt with version 1, which pip installs."""
    return Shell(ombra, tmp_path_factory.mktemp("shell"), aws_cli())


@pytest.fixture(scope="module")
def walked(aws):
    """The walkthrough up to an attached policy; answers with the certificate's ARN."""
    assert aws("iot", "create-thing", "--thing-name", "test-thing")["thingArn"] == arn("thing/test-thing")
    made = aws(
        "iot", "create-keys-and-certificate", "--set-as-active", "--certificate-pem-outfile", "certificate.pem",
        "--public-key-outfile", "public.key", "--private-key-outfile", "private.key",
    )
    principal = made["certificateArn"]
    aws("iot", "attach-thing-principal", "--principal", principal, "--thing-name", "test-thing")
    (aws.directory / "thing-policy.json").write_text(json.dumps(walkthrough_policy()))
    aws("iot", "create-policy", "--policy-name", "thing-policy", "--policy-document", "file://thing-policy.json")
    aws("iot", "attach-policy", "--policy-name", "thing-policy", "--target", principal)
    return principal


def walkthrough_policy() -> dict:
    """Everything the thing's own shadow needs, spelled by a policy variable."""
    verbs = ["update", "delete", "get"]
    statement = [
        {"Effect": "Allow", "Action": "iot:Connect", "Resource": arn(f"client/{ME}")},
        {
            "Effect": "Allow", "Action": "iot:Publish",
            "Resource": [arn(f"topic/$aws/things/{ME}/shadow/{verb}") for verb in verbs],
        },
    ]
    for action, kind in (("iot:Receive", "topic"), ("iot:Subscribe", "topicfilter")):
        resources = [arn(f"{kind}/$aws/things/{ME}/shadow/{verb}/*") for verb in verbs]
        statement.append({"Effect": "Allow", "Action": action, "Resource": resources})
    actions = ["iot:GetThingShadow", "iot:UpdateThingShadow", "iot:DeleteThingShadow"]
    statement.append({"Effect": "Allow", "Action": actions, "Resource": arn(f"thing/{ME}")})
    return {"Version": "2012-10-17", "Statement": statement}


def test_the_files_of_the_walkthrough_open_the_door_for_its_thing_only(ombra, aws, walked):
    context = tls_context(ombra, aws.directory / "certificate.pem", aws.directory / "private.key")
    with Wire(tls_socket(ombra, context)) as wire:
        assert wire.connect("test-thing").reason == 0
        shadow = "$aws/things/test-thing/shadow"
        assert wire.subscribe(f"{shadow}/get/rejected", f"{shadow}/update/delta", qos=1) == [1, 1]
        wire.publish(f"{shadow}/get", "{}")
        assert json.loads(wire.message().payload)["message"] == "No shadow exists with name: 'test-thing'"
        payload = '{"state":{"desired":{"color":"red"}}}'
        aws.run("iot-data", "update-thing-shadow", "--thing-name", "test-thing", "--payload", payload, "delta.json")
        assert json.loads(wire.message().payload)["state"] == {"color": "red"}
    aws("iot-data", "delete-thing-shadow", "--thing-name", "test-thing", "gone.json")
    with Wire(tls_socket(ombra, context)) as wire, pytest.raises((Closed, AssertionError)):
        assert wire.connect("other-thing").reason == 0
    assert "BEGIN PUBLIC KEY" in (aws.directory / "public.key").read_text()


@pytest.mark.parametrize("kind", ["iot:Data", "iot:Data-ATS", "iot:CredentialProvider", "iot:Jobs"])
def test_each_type_of_endpoint_is_described(aws, kind):
    assert aws("iot", "describe-endpoint", "--endpoint-type", kind)["endpointAddress"]


def test_the_region_is_known(aws):
    assert aws.run("configure", "get", "region").stdout.strip() == "us-east-1"


def test_the_account_is_known(aws):
    assert aws("sts", "get-caller-identity")["Account"] == "000000000000"


@pytest.mark.parametrize("name", [None, "night"])
def test_a_shadow_is_updated_got_and_deleted(aws, name):
    which = ["--thing-name", "shadowed", *(["--shadow-name", name] if name else [])]

    def data(verb, *words):
        """What the CLI writes into the file it is given."""
        aws("iot-data", f"{verb}-thing-shadow", *which, *words, "out.json")
        return json.loads((aws.directory / "out.json").read_text())

    payload = '{"state":{"desired":{"color":"red"},"reported":{"color":"blue"}}}'
    assert data("update", "--payload", payload)["version"] == 1
    (aws.directory / "payload.json").write_text('{"state":{"reported":{"color":"green"}},"version":1}')
    assert data("update", "--payload", "file://payload.json")["version"] == 2
    told = data("get")
    assert told["state"] == {
        "desired": {"color": "red"}, "reported": {"color": "green"}, "delta": {"color": "red"}
    }
    if name:
        listed = aws("iot-data", "list-named-shadows-for-thing", "--thing-name", "shadowed")
        assert listed["results"] == [name]
    stale = aws.refused("ConflictException", "iot-data", "update-thing-shadow", *which, "--payload",
                        '{"state":{},"version":1}', "out.json")
    assert "Version conflict" in stale
    assert data("delete")["version"] == 2
    aws.refused("ResourceNotFoundException", "iot-data", "get-thing-shadow", *which, "out.json")


def test_thing_types_are_made_and_used(aws):
    aws("iot", "create-thing-type", "--thing-type-name", "bulb",
        "--thing-type-properties", "thingTypeDescription=a bulb,searchableAttributes=watts")
    attributes = '{"attributes":{"watts":"40"}}'
    aws("iot", "create-thing", "--thing-name", "bulb-1", "--thing-type-name", "bulb", "--attribute-payload", attributes)
    listed = aws("iot", "list-things", "--thing-type-name", "bulb")["things"]
    assert [(thing["thingName"], thing["attributes"]) for thing in listed] == [("bulb-1", {"watts": "40"})]
    aws("iot", "deprecate-thing-type", "--thing-type-name", "bulb")
    refusal = aws.refused("InvalidRequestException", "iot", "create-thing", "--thing-name", "bulb-2",
                          "--thing-type-name", "bulb")
    assert "bulb" in refusal


def test_lists_are_paged_by_the_client_itself(aws):
    for number in range(3):
        aws("iot", "create-thing", "--thing-name", f"paged-{number}")
    everything = [thing["thingName"] for thing in aws("iot", "list-things", "--page-size", "1")["things"]]
    assert [name for name in sorted(everything) if name.startswith("paged")] == ["paged-0", "paged-1", "paged-2"]
    first = aws("iot", "list-things", "--max-items", "1")
    second = aws("iot", "list-things", "--max-items", "1", "--starting-token", first["NextToken"])
    assert len(first["things"]) == len(second["things"]) == 1 and first["things"] != second["things"]


def test_tearing_down_has_an_order_and_each_step_too_early_is_refused(aws, walked):
    identity = walked.rsplit("/", 1)[1]
    refused = [
        ("InvalidRequestException", "delete-thing", "--thing-name", "test-thing"),
        ("DeleteConflictException", "delete-policy", "--policy-name", "thing-policy"),
        ("CertificateStateException", "delete-certificate", "--certificate-id", identity),
    ]
    for code, *words in refused:
        aws.refused(code, "iot", *words)
    steps = [
        ["update-certificate", "--certificate-id", identity, "--new-status", "INACTIVE"],
        ["detach-thing-principal", "--thing-name", "test-thing", "--principal", walked],
        ["delete-thing", "--thing-name", "test-thing"],
        ["detach-policy", "--policy-name", "thing-policy", "--target", walked],
        ["delete-policy", "--policy-name", "thing-policy"],
        ["delete-certificate", "--certificate-id", identity],
    ]
    aws("iot", *steps[0])
    aws.refused("DeleteConflictException", "iot", *steps[-1])
    for step in steps[1:]:
        aws("iot", *step)
    aws.refused("ResourceNotFoundException", "iot", "describe-thing", "--thing-name", "test-thing")
    aws.refused("ResourceNotFoundException", "iot", "describe-certificate", "--certificate-id", identity)
    aws.refused("ResourceNotFoundException", "iot", "get-policy", "--policy-name", "thing-policy")


def test_what_is_not_built_is_said_by_name(aws):
    assert "ListJobs" in aws.refused("NotImplementedException", "iot", "list-jobs")
