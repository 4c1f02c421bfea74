"""The binary as it is typed: starting, stopping, its commands, and what it says when something is in the way.

Exit codes are part of the contract: 0 done, 1 failed, 2 cannot be meant, 3 nobody there to ask.
"""

import json
import os
import signal
import socket
import stat
import subprocess
import time

import pytest
from botocore.exceptions import ClientError

from devices import tls_context, tls_socket
from house import LOOPBACK, PATIENCE, binary, plain_environment, run, wait_for
from packets import V5, Wire


def doors(**other: str) -> list[str]:
    """Every door on a port that is free, unless said otherwise."""
    where = {"http": LOOPBACK, "mqtts": LOOPBACK, "tls": LOOPBACK} | other
    return [word for door, address in where.items() for word in (f"--{door}", address)]


class Background:
    """A command that goes on until its test is over; what it prints is there to be waited for."""

    def __init__(self, directory, *arguments):
        self.path = directory / f"{arguments[0]}-{time.monotonic_ns()}.log"
        with self.path.open("wb") as out:
            self.process = subprocess.Popen(
                [binary(), *map(str, arguments)], cwd=directory, env=plain_environment(), stdin=subprocess.DEVNULL,
                stdout=out, stderr=subprocess.STDOUT,
            )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait(PATIENCE)

    def says(self, *words: str) -> str:
        """The first line with all these words, once it is there."""
        def line():
            lines = self.path.read_text().splitlines()
            return next((line for line in lines if all(word in line for word in words)), None)

        return wait_for(line, f"a line with {words}")

    def ends(self) -> int:
        """Its exit code."""
        return self.process.wait(PATIENCE)


def refused(code: int, *arguments, **options) -> str:
    """What a command that fails with this code says."""
    done = run(*arguments, env=plain_environment(), **options)
    assert done.returncode == code, done.stdout + done.stderr
    assert "panicked" not in done.stderr
    return done.stderr


# Starting and stopping.


def test_the_banner_says_where_it_answers_and_what_to_type_next(ombra):
    banner = ombra.errors.read_text()
    for door in ("http", "mqtts", "tls"):
        assert f":{ombra.address(door)[1]}" in banner, door
    for word in ("AWS IoT", "ready in", "ca.pem", "ombra env", "ombra demo", "ombra tail", str(ombra.data)):
        assert word in banner, word


def test_the_file_in_the_data_directory_says_where_it_answers(ombra):
    told = json.loads((ombra.data / "endpoints.json").read_text())
    assert told["pid"] == ombra.process.pid
    for door in ("http", "mqtts", "tls"):
        assert told[door].startswith("127.0.0.1:") and ombra.address(door)[1] > 0
        socket.create_connection(ombra.address(door), PATIENCE).close()


def test_a_supervisor_can_ask_how_it_is(ombra):
    assert ombra.get("/livez")[0] == ombra.get("/readyz")[0] == 200
    status, page = ombra.get("/metrics")
    samples = [line for line in page.splitlines() if line and not line.startswith("#")]
    assert status == 200 and samples
    assert all(float(line.rsplit(" ", 1)[1]) >= 0 for line in samples)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_when_asked_and_says_goodbye(own_ombra, how):
    own_ombra.start()
    own_ombra.process.send_signal(how)
    assert own_ombra.process.wait(PATIENCE) == 0
    assert not (own_ombra.data / "endpoints.json").exists()


def test_a_stop_does_not_wait_for_those_who_hold_on(own_ombra, tmp_path):
    own_ombra.start()
    run("device", "new", "lamp", "--data", own_ombra.data, cwd=tmp_path, env=plain_environment())
    idle = socket.create_connection(own_ombra.address("http"), PATIENCE)
    context = tls_context(own_ombra, tmp_path / "lamp/certificate.pem", tmp_path / "lamp/private.key")
    with idle, Wire(tls_socket(own_ombra, context), V5) as wire:
        assert wire.connect("lamp").reason == 0
        began = time.monotonic()
        assert own_ombra.stop() == 0
        assert time.monotonic() - began < 10
        assert wire.closed().reason == 0x8B, "the server shuts down, and says so"


def test_what_was_made_is_there_after_a_restart_and_the_authority_is_the_same(own_ombra):
    own_ombra.start().client("iot").create_thing(thingName="kept")
    authority = own_ombra.ca.read_bytes()
    assert own_ombra.stop() == 0
    own_ombra.start()
    assert own_ombra.client("iot").describe_thing(thingName="kept")["version"] == 1
    assert own_ombra.ca.read_bytes() == authority


def test_two_servers_live_side_by_side(ombra, own_ombra):
    own_ombra.start().client("iot").create_thing(thingName="mine")
    with pytest.raises(ClientError, match="ResourceNotFound"):
        ombra.client("iot").describe_thing(thingName="mine")


def test_settings_come_from_the_environment_too(own_ombra):
    names = ("OMBRA_HTTP", "OMBRA_MQTTS", "OMBRA_TLS")
    settings = {"OMBRA_DATA": str(own_ombra.data)} | dict.fromkeys(names, LOOPBACK)
    own_ombra.launch([], plain_environment() | settings)
    assert own_ombra.alive()


def test_secrets_are_for_the_owner_only(ombra):
    ombra.environment()
    secret = [path for path in ombra.data.rglob("*") if path.is_file() and b"PRIVATE KEY" in path.read_bytes()]
    assert secret
    for path in [*secret, ombra.data / "aws/credentials"]:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


# What is in the way.


@pytest.mark.parametrize("door", ["http", "mqtts", "tls"])
def test_a_port_that_is_taken_is_named_with_the_way_out(ombra, tmp_path, door):
    taken = ombra.endpoints[door]
    told = refused(1, "--data", tmp_path / "data", *doors(**{door: taken}))
    assert taken in told and f"--{door}" in told


def test_a_second_ombra_on_the_same_data_is_refused(ombra):
    told = refused(1, "--data", ombra.data, *doors())
    assert str(ombra.process.pid) in told and str(ombra.data) in told and "--data" in told
    assert ombra.alive()
    assert json.loads((ombra.data / "endpoints.json").read_text())["pid"] == ombra.process.pid


def test_a_directory_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    for data in ("file", "file/data"):
        assert str(tmp_path / data) in refused(1, "--data", tmp_path / data, *doors())
    assert (tmp_path / "file").read_text() == "in the way"


def test_a_directory_of_other_things_is_left_alone(tmp_path):
    (tmp_path / "letter.txt").write_text("not yours")
    assert "letter.txt" in refused(1, "--data", tmp_path, *doors())
    assert "letter.txt" in refused(1, "key", "create", "--data", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_that_is_not_writable_is_named(tmp_path):
    tmp_path.chmod(0o500)
    try:
        assert str(tmp_path) in refused(1, "--data", tmp_path / "data", *doors())
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--http", "0.0.0.0:0"], "loopback"),
        (["--http", "nonsense"], "--http"),
        (["--no-such-flag"], "--no-such-flag"),
        (["no-such-command"], "no-such-command"),
        (["serve", "--listen", "nowhere"], "--listen nowhere"),
        (["device", "new", "not/a name"], "name"),
    ],
)
def test_what_cannot_be_meant_is_a_usage_error(ombra, tmp_path, arguments, word):
    assert word in refused(2, "--data", ombra.data, *arguments, cwd=tmp_path)


@pytest.mark.parametrize("command", [["env"], ["tail"], ["device", "new", "lamp"], ["key", "list"]])
def test_with_nobody_there_to_ask_the_way_to_start_is_told(tmp_path, command):
    told = refused(3, *command, "--data", tmp_path / "data", cwd=tmp_path)
    assert "ombra --data" in told
    assert list(tmp_path.iterdir()) == []


def test_help_names_every_command_and_flag():
    done = run("--help")
    assert done.returncode == 0
    for word in ("env", "device", "tail", "demo", "--data", "--http", "--mqtts", "--tls", "OMBRA_DATA", "OMBRA_HTTP"):
        assert word in done.stdout, word
    assert run("--version").stdout.startswith("ombra ")


# ombra env


def test_the_environment_points_every_client_here(ombra):
    told = ombra.environment()
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_IOT", "AWS_ENDPOINT_URL_IOT_DATA_PLANE"):
        assert told[name] == ombra.url
    assert told["AWS_REGION"] == told["AWS_DEFAULT_REGION"] == "us-east-1"
    assert told["AWS_ACCESS_KEY_ID"] and told["AWS_SECRET_ACCESS_KEY"]
    assert told["OMBRA_CA"] == str(ombra.ca) and told["OMBRA_MQTTS"] == ombra.endpoints["mqtts"]
    assert told["OMBRA_DATA"] == str(ombra.data)
    with open(told["AWS_CONFIG_FILE"]) as config:
        text = config.read()
    assert "region = us-east-1" in text and "cli_binary_format = raw-in-base64-out" in text
    assert str(ombra.data) in told["AWS_SHARED_CREDENTIALS_FILE"]


def test_the_environment_replaces_what_a_shell_had(ombra):
    had = {"AWS_PROFILE": "work", "AWS_SESSION_TOKEN": "old", "AWS_ACCESS_KEY_ID": "AKIAOLD"}
    script = 'eval "$("$0" env --data "$1")" && printf %s "${AWS_PROFILE-}${AWS_SESSION_TOKEN-}$AWS_ACCESS_KEY_ID"'
    done = subprocess.run(
        ["sh", "-c", script, binary(), ombra.data], env=plain_environment() | had, timeout=PATIENCE,
        capture_output=True, text=True, check=True,
    )
    assert done.stdout == ombra.environment()["AWS_ACCESS_KEY_ID"]


def test_nothing_outside_the_data_directory_is_touched(ombra, tmp_path):
    env = plain_environment() | {"HOME": str(tmp_path)}
    assert run("env", "--data", ombra.data, env=env, cwd=tmp_path).returncode == 0
    assert list(tmp_path.iterdir()) == []


# ombra device


@pytest.fixture(scope="module")
def lamp(ombra, tmp_path_factory):
    """The directory in which `ombra device new lamp` was typed, and what it said."""
    directory = tmp_path_factory.mktemp("typed")
    done = run("device", "new", "lamp", "--data", ombra.data, cwd=directory, env=plain_environment())
    assert done.returncode == 0, done.stderr
    return directory, done.stdout


def test_a_new_device_has_all_its_firmware_needs(ombra, iot, lamp):
    directory, said = lamp
    files = {path.name for path in (directory / "lamp").iterdir()}
    assert {"certificate.pem", "private.key", "ca.pem", "policy.json"} <= files
    assert stat.S_IMODE((directory / "lamp/private.key").stat().st_mode) == 0o600
    assert (directory / "lamp/ca.pem").read_bytes() == ombra.ca.read_bytes()
    [principal] = iot.list_thing_principals(thingName="lamp")["principals"]
    assert len(iot.list_attached_policies(target=principal)["policies"]) == 1
    for word in ("mosquitto_sub", "awsiot", str(ombra.address("mqtts")[1]), "ombra device run lamp"):
        assert word in said, word


def test_a_new_device_may_use_its_own_topics_only(ombra, lamp):
    directory = lamp[0] / "lamp"
    context = tls_context(ombra, directory / "certificate.pem", directory / "private.key")
    with Wire(tls_socket(ombra, context), V5) as wire:
        assert wire.connect("lamp").reason == 0
        assert wire.subscribe("lamp/#", "$aws/things/lamp/shadow/#", "other/#", "#") == [0, 0, 0x87, 0x87]
        assert wire.publish("lamp/x").reason == 0
        assert wire.publish("other/x").reason == 0x87


def test_the_key_of_a_device_is_never_overwritten(ombra, lamp):
    key = (lamp[0] / "lamp/private.key").read_bytes()
    assert "exists" in refused(1, "device", "new", "lamp", "--data", ombra.data, cwd=lamp[0])
    assert (lamp[0] / "lamp/private.key").read_bytes() == key


def test_what_is_new_can_be_read_by_a_program(ombra, tmp_path):
    done = run("device", "new", "meter", "--data", ombra.data, "-o", "json", cwd=tmp_path, env=plain_environment())
    told = json.loads(done.stdout)
    assert told["thingName"] == "meter" and told["certificateArn"].endswith(told["certificateId"])


def state_of(iot_data, thing: str) -> dict:
    """The state in a shadow."""
    return json.load(iot_data.get_thing_shadow(thingName=thing)["payload"])["state"]


def test_a_simulated_device_does_what_is_desired(ombra, iot_data, lamp):
    with Background(lamp[0], "device", "run", "lamp", "--data", ombra.data) as device:
        device.says("connected")
        for colour in ("red", "blue"):
            payload = json.dumps({"state": {"desired": {"color": colour}}}).encode()
            iot_data.update_thing_shadow(thingName="lamp", payload=payload)
            in_sync = {"desired": {"color": colour}, "reported": {"color": colour}}
            wait_for(lambda: state_of(iot_data, "lamp") == in_sync, f"the lamp is {colour}")
        assert device.says("delta", "blue")


def test_a_simulated_device_settles_what_it_missed(ombra, iot_data, tmp_path):
    typed = {"cwd": tmp_path, "env": plain_environment()}
    assert run("device", "new", "late", "--data", ombra.data, **typed).returncode == 0
    iot_data.update_thing_shadow(thingName="late", payload=b'{"state":{"desired":{"on":true}}}')
    done = run("device", "run", "late", "--once", "--data", ombra.data, **typed)
    assert done.returncode == 0, done.stdout + done.stderr
    assert state_of(iot_data, "late") == {"desired": {"on": True}, "reported": {"on": True}}


def test_a_device_without_files_says_which(ombra, tmp_path):
    assert "certificate.pem" in refused(1, "device", "run", "nobody", "--data", ombra.data, cwd=tmp_path)


# ombra tail


def test_the_tail_shows_connections_messages_and_refusals(ombra, workshop, tmp_path):
    device = workshop.device("talker")
    with Background(tmp_path, "tail", "--data", ombra.data) as tail:
        # The stream begins when it begins; until then the device comes and goes.
        wait_for(lambda: device.connect().leave() or "connected" in tail.path.read_text(), "the tail follows")
        with device.connect(V5) as wire:
            wire.publish("a/b", "hello")
            assert wire.publish("$aws/no/such").reason >= 0x80
        tail.says("connected", "talker")
        tail.says("published", "a/b", "hello")
        tail.says("refusal", "iot:Publish", "$aws/no/such")
        tail.says("disconnected", "talker")


def test_the_tail_can_be_read_by_a_program_and_ends_with_its_server(own_ombra, tmp_path):
    own_ombra.start()
    with Background(tmp_path, "tail", "--kind", "refusal", "-o", "json", "--data", own_ombra.data) as tail:
        def seen():
            """Somebody without a certificate knocks until the tail has heard it."""
            try:
                tls_socket(own_ombra, tls_context(own_ombra)).close()
            except OSError:
                pass
            return tail.path.read_text()

        event = json.loads(wait_for(seen, "the tail follows").splitlines()[0])
        assert event["kind"] == "refusal" and event["decision"] == "NO_CERTIFICATE"
        assert own_ombra.stop() == 0
        assert tail.ends() == 3


# ombra demo


def test_the_demo_succeeds_in_an_empty_directory_in_under_ten_seconds(tmp_path):
    began = time.monotonic()
    done = run("demo", cwd=tmp_path, env=plain_environment())
    assert done.returncode == 0, done.stdout + done.stderr
    assert time.monotonic() - began < 10
    for word in ("connect", "desire", "shadow", "refusal"):
        assert word in done.stdout, word
    assert list(tmp_path.iterdir()) == []
