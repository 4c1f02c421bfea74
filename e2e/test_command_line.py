"""The command line: what is typed first, what it prints, and how it ends."""

import contextlib
import json
import os
import signal
import socket
import ssl
import subprocess
import time

import pytest

from house import LOOPBACK, PATIENCE, Ombra, binary, plain_environment, run, wait_for
from packets import Wire

USAGE, UNREACHABLE = 2, 3


def environment(**names) -> dict:
    """A shell's environment with these variables."""
    return plain_environment() | {name: str(value) for name, value in names.items()}


@contextlib.contextmanager
def running(*words, **options):
    """A command that goes on, with what it prints readable line by line; ended afterwards."""
    process = subprocess.Popen(
        [binary(), *map(str, words)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, env=plain_environment(), **options,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=PATIENCE)


# Starting and stopping.


def test_the_banner_says_where_everything_is(own_ombra):
    own_ombra.start()
    banner = wait_for(lambda: own_ombra.output.read_text(), "a banner")
    for part in ("ombra", own_ombra.endpoints["http"], f":{own_ombra.address('mqtts')[1]}",
                 f":{own_ombra.address('tls')[1]}", str(own_ombra.data), "ca.pem", "ombra env", "ombra demo"):
        assert part in banner, part


def test_the_endpoints_file_tells_programs_the_same(own_ombra):
    endpoints = own_ombra.start().endpoints
    assert (endpoints["region"], endpoints["account"]) == ("us-east-1", "000000000000")
    assert endpoints["pid"] == own_ombra.process.pid
    ports = {own_ombra.address(door)[1] for door in ("http", "mqtts", "tls")}
    assert len(ports) == 3 and 0 not in ports


def test_health_and_metrics_are_served(ombra):
    assert ombra.get("/livez")[0] == ombra.get("/readyz")[0] == 200
    status, metrics = ombra.get("/metrics")
    assert status == 200
    samples = [line for line in metrics.splitlines() if line and not line.startswith("#")]
    assert samples and all(len(line.rsplit(" ", 1)) == 2 and float(line.rsplit(" ", 1)[1]) >= 0 for line in samples)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_gracefully_when_asked(own_ombra, number):
    own_ombra.start()
    with socket.create_connection(own_ombra.address("mqtts"), PATIENCE):
        own_ombra.process.send_signal(number)
        assert own_ombra.process.wait(PATIENCE) == 0
    assert not (own_ombra.data / "endpoints.json").exists(), "nobody should look for it any more"


def test_everything_can_be_set_by_environment(tmp_path):
    variables = environment(OMBRA_DATA=tmp_path / "d", OMBRA_HTTP=LOOPBACK, OMBRA_MQTTS=LOOPBACK, OMBRA_TLS=LOOPBACK)
    process = subprocess.Popen([binary()], env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for((tmp_path / "d/endpoints.json").exists, "endpoints in the directory named by OMBRA_DATA")
        process.terminate()
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.wait(PATIENCE)


def test_the_authority_stays_the_same_over_restarts(own_ombra):
    before = own_ombra.start().ca.read_bytes()
    assert own_ombra.stop() == 0
    assert own_ombra.start().ca.read_bytes() == before


def test_private_files_are_private(ombra):
    secrets = [path for path in ombra.data.rglob("*") if path.is_file() and b"PRIVATE KEY" in path.read_bytes()]
    assert secrets, "the authority's key lies in the data directory"
    assert all(path.stat().st_mode & 0o077 == 0 for path in secrets)


# Clear errors.


def refuses_to_start(*words, code=1, **options) -> str:
    """What it says when it cannot start."""
    done = run(*words, **options)
    assert done.returncode == code, done
    assert "panicked" not in done.stderr and done.stderr.strip()
    return done.stderr


def doors(data, **other) -> list:
    """All flags, each on a free port unless said otherwise."""
    flags = {"http": LOOPBACK, "mqtts": LOOPBACK, "tls": LOOPBACK} | other
    return ["--data", data, *(word for name, address in flags.items() for word in (f"--{name}", address))]


@pytest.mark.parametrize("door", ["http", "mqtts", "tls"])
def test_a_port_that_is_taken_is_named(tmp_path, door):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        assert address in refuses_to_start(*doors(tmp_path / "d", **{door: address}))


def test_a_second_instance_on_the_same_data_is_refused(ombra):
    text = refuses_to_start(*doors(ombra.data))
    assert str(ombra.data) in text
    assert ombra.alive()


def test_a_file_in_the_way_of_the_data_directory_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    assert str(tmp_path / "file") in refuses_to_start(*doors(tmp_path / "file"))
    assert (tmp_path / "file").read_text() == "in the way"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_that_cannot_be_written_is_named(tmp_path):
    tmp_path.chmod(0o500)
    assert str(tmp_path) in refuses_to_start(*doors(tmp_path / "d"))


@pytest.mark.parametrize("words", [["--http", "nonsense"], ["--no-such-flag"], ["no-such-command"], ["device"]])
def test_what_cannot_be_meant_ends_with_2(tmp_path, words):
    refuses_to_start("--data", tmp_path / "d", *words, code=USAGE)
    assert not (tmp_path / "d/ca.pem").exists()


def test_help_names_every_command_and_flag():
    done = run("--help")
    assert done.returncode == 0
    for word in ("env", "device", "tail", "demo", "--data", "--http", "--mqtts", "--tls", "OMBRA_DATA"):
        assert word in done.stdout, word
    assert run("--version").stdout.startswith("ombra ")


@pytest.mark.parametrize("words", [["env"], ["device", "new", "x"], ["tail"]])
def test_commands_say_when_nothing_runs(tmp_path, words):
    text = refuses_to_start("--data", tmp_path / "empty", *words, code=UNREACHABLE, cwd=tmp_path)
    assert "ombra" in text


# Commands.


def test_env_points_every_client_here_and_touches_nothing_else(ombra):
    shell = ombra.environment()
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_IOT", "AWS_ENDPOINT_URL_IOT_DATA_PLANE",
                 "AWS_ENDPOINT_URL_IOT_JOBS_DATA_PLANE"):
        assert shell[name] == ombra.url
    assert shell["AWS_REGION"] == shell["AWS_DEFAULT_REGION"] == "us-east-1"
    assert shell["AWS_ACCESS_KEY_ID"] and shell["AWS_SECRET_ACCESS_KEY"]
    assert shell["OMBRA_CA"] == str(ombra.ca) and shell["OMBRA_MQTTS"] == ombra.endpoints["mqtts"]
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        assert shell[name].startswith(str(ombra.data)) and os.path.exists(shell[name])
    assert "cli_binary_format" in open(shell["AWS_CONFIG_FILE"]).read()


def new_device(ombra, name, cwd):
    """`ombra device new`."""
    done = run("device", "new", name, "--data", ombra.data, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done


def device_socket(ombra, directory):
    """A TLS connection with the files of a device, and its own copy of the authority."""
    context = ssl.create_default_context(cafile=str(directory / "ca.pem"))
    context.load_cert_chain(directory / "certificate.pem", directory / "private.key")
    raw = socket.create_connection(ombra.address("mqtts"), PATIENCE)
    return Wire(context.wrap_socket(raw, server_hostname="localhost"))


def test_a_new_device_has_files_that_work_and_the_least_rights(ombra, iot, tmp_path):
    done = new_device(ombra, "lamp", tmp_path)
    directory = tmp_path / "lamp"
    assert {path.name for path in directory.iterdir()} >= {
        "certificate.pem", "private.key", "public.key", "ca.pem", "policy.json"
    }
    assert (directory / "private.key").stat().st_mode & 0o077 == 0
    assert json.loads((directory / "policy.json").read_text())["Statement"]
    assert "lamp" in done.stdout
    assert iot.describe_thing(thingName="lamp") and iot.list_thing_principals(thingName="lamp")["principals"]
    with device_socket(ombra, directory) as wire:
        assert wire.connect("lamp").reason == 0
        assert wire.subscribe("$aws/things/lamp/shadow/update/accepted", "$aws/things/other/shadow/get/accepted") == [
            0, 0x80
        ]


def test_a_device_is_not_overwritten(ombra, tmp_path):
    new_device(ombra, "unique", tmp_path)
    key = (tmp_path / "unique/private.key").read_bytes()
    assert run("device", "new", "unique", "--data", ombra.data, cwd=tmp_path).returncode == 1
    assert (tmp_path / "unique/private.key").read_bytes() == key


def test_a_device_name_is_checked(ombra, tmp_path):
    assert run("device", "new", "../evil", "--data", ombra.data, cwd=tmp_path).returncode == USAGE


def test_a_simulated_device_obeys_a_delta_and_reports(ombra, iot_data, tmp_path):
    new_device(ombra, "obedient", tmp_path)
    iot_data.update_thing_shadow(thingName="obedient", payload=b'{"state":{"desired":{"color":"red"}}}')
    done = run("device", "run", "obedient", "--once", "--data", ombra.data, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    told = json.load(iot_data.get_thing_shadow(thingName="obedient")["payload"])
    assert told["state"] == {"desired": {"color": "red"}, "reported": {"color": "red"}}


def test_a_simulated_device_goes_on_until_it_is_ended(ombra, iot_data, tmp_path):
    new_device(ombra, "steady", tmp_path)

    def reported():
        with contextlib.suppress(iot_data.exceptions.ResourceNotFoundException):
            told = json.load(iot_data.get_thing_shadow(thingName="steady")["payload"])
            return told["state"].get("reported", {}).get("n")

    with running("device", "run", "steady", "--data", ombra.data, cwd=tmp_path) as process:
        for number in (1, 2):
            payload = json.dumps({"state": {"desired": {"n": number}}}).encode()
            iot_data.update_thing_shadow(thingName="steady", payload=payload)
            wait_for(lambda number=number: reported() == number, f"the device reports {number}")
        assert process.poll() is None


def test_tail_shows_refusals_as_they_happen(ombra, workshop):
    device = workshop.device(policy={"Version": "2012-10-17", "Statement": [
        {"Effect": "Deny", "Action": "iot:*", "Resource": "*", "Sid": "Never"}]})
    with running("tail", "--kind", "refusal", "-o", "json", "--data", ombra.data) as process:
        deadline = time.monotonic() + PATIENCE
        # It may not listen yet when the first refusal happens, so there are several.
        os.set_blocking(process.stdout.fileno(), False)
        printed = ""
        while device.certificate_id not in printed and time.monotonic() < deadline:
            with device.wire() as wire, contextlib.suppress(Exception):
                wire.connect(device.name)
            printed += process.stdout.read() or ""
        event = json.loads(next(line for line in printed.splitlines() if device.certificate_id in line))
        assert event["kind"] == "refusal" and "Never" in event["statement"]


def test_the_demo_passes_in_under_ten_seconds_from_an_empty_directory(tmp_path):
    began = time.monotonic()
    done = run("demo", cwd=tmp_path, env=plain_environment(), patience=30)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert done.stdout.strip()
    assert time.monotonic() - began < 10


def test_two_servers_live_side_by_side(ombra, own_ombra):
    other: Ombra = own_ombra.start()
    other.client("iot").create_thing(thingName="mine")
    with pytest.raises(Exception, match="ResourceNotFound"):
        ombra.client("iot").describe_thing(thingName="mine")
