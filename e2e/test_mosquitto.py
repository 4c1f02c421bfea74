"""The tools of Eclipse Mosquitto, as they are typed at a prompt with the files of a device."""

import contextlib
import shutil
import subprocess

import pytest

from devices import own_topics
from house import PATIENCE

pytestmark = pytest.mark.skipif(not shutil.which("mosquitto_pub"), reason="mosquitto-clients is not installed")
both_versions = pytest.mark.parametrize("version", ["mqttv311", "mqttv5"])


def command(tool, device, version, *words, door="mqtts"):
    """What one would type."""
    host, port = device.ombra.address(door)
    return [
        tool, "-h", "localhost", "-p", str(port), "-V", version, "-i", device.name, "--cafile", str(device.ombra.ca),
        "--cert", str(device.certificate), "--key", str(device.key), *words,
    ]


def published(device, version, *words, **options):
    """Run mosquitto_pub to its end."""
    return subprocess.run(
        command("mosquitto_pub", device, version, *words, **options), capture_output=True, text=True, timeout=PATIENCE
    )


@contextlib.contextmanager
def subscribed(device, version, *words):
    """Run mosquitto_sub, and go on once its subscription stands."""
    process = subprocess.Popen(
        ["stdbuf", "-oL", *command("mosquitto_sub", device, version, "-d", *words)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )
    try:
        for line in process.stdout:
            if line.startswith("Subscribed"):
                break
        yield process
    finally:
        process.kill()
        process.wait(PATIENCE)
        process.stdout.close()


def heard(process) -> list[str]:
    """What it printed by its end, without the protocol."""
    return [line for line in process.stdout.read().splitlines() if not line.startswith(("Client ", "Subscribed"))]


@both_versions
def test_what_one_tool_publishes_the_other_prints(workshop, version):
    listener, speaker = workshop.device(), workshop.device()
    with subscribed(listener, version, "-t", "m/#", "-q", "1", "-C", "2", "-v") as process:
        for number in range(2):
            assert published(speaker, version, "-t", f"m/{number}", "-m", "hello", "-q", str(number)).returncode == 0
        assert heard(process) == ["m/0 hello", "m/1 hello"]


@both_versions
def test_a_retained_message_is_printed_later(workshop, version):
    device = workshop.device()
    assert published(device, version, "-t", f"kept/{version}", "-m", "stays", "-q", "1", "-r").returncode == 0
    with subscribed(device, version, "-t", f"kept/{version}", "-C", "1") as process:
        assert heard(process) == ["stays"]


def test_the_second_port_is_reached_by_alpn(workshop):
    device = workshop.device()
    done = published(device, "mqttv311", "-t", "alpn", "-m", "x", "-q", "1", "--tls-alpn", "x-amzn-mqtt-ca", door="tls")
    assert done.returncode == 0, done.stderr


@both_versions
def test_what_the_policy_forbids_fails(workshop, version):
    device = workshop.device(policy=own_topics())
    assert published(device, version, "-t", f"{device.name}/x", "-m", "mine", "-q", "1").returncode == 0
    denied = published(device, version, "-t", "other/x", "-m", "theirs", "-q", "1")
    assert denied.returncode != 0 or "Not authorized" in denied.stderr, denied
    other = [word if word != device.name else "other" for word in command("mosquitto_pub", device, version)]
    refused = subprocess.run([*other, "-t", "x", "-m", "x"], capture_output=True, text=True, timeout=PATIENCE)
    assert refused.returncode != 0


def test_a_device_without_certificate_is_refused(workshop):
    device = workshop.device()
    words = command("mosquitto_pub", device, "mqttv311", "-t", "x", "-m", "x")
    start = words.index("--cert")
    bare = words[:start] + words[start + 4:]
    assert subprocess.run(bare, capture_output=True, timeout=PATIENCE).returncode != 0
