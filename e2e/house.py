"""Start, watch and end one ombra, so that a test can be sure that nothing outlives it.

Every server has a directory of its own and ports the system chose; what it printed is kept beside its data, to be
shown when a test fails. It is ended by its own process id, never by name. What AWS clients or devices do with it is
known elsewhere: `devices.py`, `packets.py` and the tests.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import boto3
from botocore.config import Config

ACCOUNT = "000000000000"
REGION = "us-east-1"
#: Nothing on loopback takes longer than this; who waits longer has found a fault.
PATIENCE = 20.0
LOOPBACK = "127.0.0.1:0"


def binary() -> Path:
    """The program under test: OMBRA_BIN, or what cargo built last."""
    if named := os.environ.get("OMBRA_BIN"):
        return Path(named).resolve()
    root = Path(__file__).resolve().parent.parent
    target = Path(os.environ.get("CARGO_TARGET_DIR", root / "target"))
    built = [path for path in (target / "release/ombra", target / "debug/ombra") if path.exists()]
    if not built:
        raise FileNotFoundError(f"no ombra in {target}: build it, or name it in OMBRA_BIN")
    return max(built, key=lambda path: path.stat().st_mtime)


def wait_for(condition, what: str, patience: float = PATIENCE):
    """Ask until the answer is true, and return it; fail with `what` when it never is."""
    deadline = time.monotonic() + patience
    while True:
        if answer := condition():
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {patience:.0f} s in vain: {what}")
        time.sleep(0.02)


def aws_cli() -> str:
    """The AWS CLI that pip put beside this Python, else whichever there is."""
    beside = Path(sys.executable).with_name("aws")
    found = str(beside) if beside.exists() else shutil.which("aws")
    assert found, "no AWS CLI in this Python's environment"
    return found


def run(*arguments, env=None, cwd=None, patience: float = PATIENCE, stdin=None) -> subprocess.CompletedProcess:
    """Run the binary to its end with what it prints caught as text."""
    return subprocess.run(
        [binary(), *map(str, arguments)],
        env=env, cwd=cwd, timeout=patience, capture_output=True, text=True, stdin=stdin or subprocess.DEVNULL,
    )


def plain_environment() -> dict:
    """This process's environment without anything that would steer ombra or an AWS client."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "OMBRA_"))}


def missing(shape, value, path="") -> list[str]:
    """The members that the model requires and an answer lacks, at any depth."""
    if shape is None or value is None:
        return []
    if shape.type_name == "structure":
        lacking = [f"{path}.{name}" for name in shape.required_members if name not in value]
        return lacking + [
            text for name, member in shape.members.items() if name in value and hasattr(value, "keys")
            for text in missing(member, value[name], f"{path}.{name}")
        ]
    if shape.type_name == "list":
        return [text for one in value for text in missing(shape.member, one, f"{path}[]")]
    if shape.type_name == "map":
        return [text for one in value.values() for text in missing(shape.value, one, f"{path}{{}}")]
    return []


def whole(http_response, parsed, model, **_) -> None:
    """Hold an answer against the model of its operation, whoever asked for it."""
    if http_response.status_code < 300:
        assert missing(model.output_shape, parsed) == [], model.name


class Ombra:
    """One server on one data directory; may be started, ended and started again."""

    def __init__(self, root: Path):
        self.root = root
        self.data = root / "data"
        self.output = root / "stdout.log"
        self.errors = root / "stderr.log"
        self.process: subprocess.Popen | None = None
        self.endpoints: dict = {}

    # Its life.

    def start(self, *flags) -> "Ombra":
        """Start it and wait until it says where it listens."""
        doors = ["--http", LOOPBACK, "--mqtts", LOOPBACK, "--tls", LOOPBACK]
        return self.launch(["--data", self.data, *doors, *flags], plain_environment())

    def launch(self, arguments: list, environment: dict) -> "Ombra":
        """Start it with just these, which must lead it to its directory, and wait until it says where it listens."""
        (self.data / "endpoints.json").unlink(missing_ok=True)
        with self.output.open("ab") as out, self.errors.open("ab") as err:
            self.process = subprocess.Popen(
                [binary(), *arguments], stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=self.root, env=environment
            )
        self.endpoints = wait_for(self._announced, "ombra is ready")
        return self

    def _announced(self):
        if self.process.poll() is not None:
            raise AssertionError(f"ombra ended with {self.process.returncode}")
        try:
            endpoints = json.loads((self.data / "endpoints.json").read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return None
        return endpoints if endpoints.get("pid") == self.process.pid else None

    def stop(self) -> int:
        """Ask it to end, and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self._ended()

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self._ended()

    def _ended(self) -> int:
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(PATIENCE)
            raise AssertionError(f"ombra did not end when asked\n{self.printed()}") from None

    def clean_up(self) -> None:
        """Whatever a test did, leave no process behind."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait(PATIENCE)

    def alive(self) -> bool:
        """Whether the process runs and answers."""
        return self.process.poll() is None and self.get("/livez")[0] == 200

    def printed(self, tail: int = 6000) -> str:
        """The end of what it printed, for who reads a failure."""
        parts = []
        for path in (self.output, self.errors):
            text = path.read_text(errors="replace")[-tail:] if path.exists() else ""
            parts.append(f"--- {path.name}\n{text}")
        return "\n".join(parts)

    # Where it is.

    def address(self, door: str) -> tuple[str, int]:
        """Host and port of `http`, `mqtts` or `tls`."""
        host, port = self.endpoints[door].rsplit(":", 1)
        return host, int(port)

    @property
    def url(self) -> str:
        """The HTTP API."""
        return f"http://{self.endpoints['http']}"

    @property
    def ca(self) -> Path:
        """The certificate that clients must trust."""
        return self.data / "ca.pem"

    def environment(self) -> dict:
        """What a shell has after `eval "$(ombra env)"`."""
        script = 'eval "$("$0" env --data "$1")" && env -0'
        done = subprocess.run(
            ["sh", "-c", script, binary(), self.data],
            env=plain_environment(), cwd=self.root, timeout=PATIENCE, capture_output=True, check=True,
        )
        pairs = (entry.split("=", 1) for entry in done.stdout.decode().split("\0") if entry)
        return {name: value for name, value in pairs}

    # What it answers.

    def get(self, path: str) -> tuple[int, str]:
        """One plain HTTP request."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=PATIENCE) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def client(self, service: str, account: str | None = None, region: str = REGION, **keys):
        """A boto3 client; an account of its own when a 12-digit one is named, somebody else with other keys. Whatever the model
        requires of an answer must be there."""
        config = Config(retries={"total_max_attempts": 1}, read_timeout=PATIENCE, max_pool_connections=32)
        client = boto3.session.Session().client(
            service, region_name=region, endpoint_url=self.url, config=config,
            **{"aws_access_key_id": account or "test", "aws_secret_access_key": "test", **keys},
        )
        client.meta.events.register("after-call", whole)
        return client

    def events(self, kind: str = "refusal", **fields) -> list[dict]:
        """The events of a kind whose fields equal these, the latest last."""
        status, body = self.get(f"/_ombra/events?kind={kind}")
        assert status == 200, body
        events = [json.loads(line) for line in body.splitlines() if line]
        return [event for event in events if all(event.get(name) == value for name, value in fields.items())]

    def event(self, kind: str = "refusal", **fields) -> dict:
        """The latest such event; it may come a moment after its cause."""
        return wait_for(lambda: self.events(kind, **fields), f"an event {kind} with {fields}")[-1]
