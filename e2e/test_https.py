"""The data plane over HTTPS with a client certificate: the same shadows and messages, under the same policies."""

import http.client
import json
import urllib.parse

import pytest

from devices import arn, tls_context, tls_socket
from house import PATIENCE

#: How a client may announce HTTPS with a certificate on the demultiplexing port; None announces nothing.
WAYS = ["x-amzn-http-ca", "http/1.1", None]


def ask(ombra, context, method, path, body=None, headers=None):
    """Status, headers and body of one HTTPS request."""
    host, port = "localhost", ombra.address("tls")[1]
    connection = http.client.HTTPSConnection(host, port, timeout=PATIENCE, context=context)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


@pytest.fixture(scope="module")
def lamp(workshop):
    """May use its own shadow and publish below its own name, over HTTPS too."""
    shadow_actions = ["iot:GetThingShadow", "iot:UpdateThingShadow", "iot:DeleteThingShadow"]
    statement = [
        {"Effect": "Allow", "Action": "iot:Connect", "Resource": "*"},
        {"Effect": "Allow", "Action": shadow_actions, "Resource": [arn("thing/lamp"), arn("thing/lamp/night")]},
        {"Effect": "Allow", "Action": "iot:Publish", "Resource": arn("topic/lamp/*")},
        {"Effect": "Allow", "Action": "iot:GetRetainedMessage", "Resource": arn("topic/lamp/*")},
    ]
    return workshop.device("lamp", {"Version": "2012-10-17", "Statement": statement})


@pytest.fixture(scope="module")
def listener(workshop):
    """Hears everything."""
    return workshop.device()


@pytest.mark.parametrize("alpn", WAYS)
def test_a_device_uses_its_shadow_over_https(ombra, lamp, alpn):
    context = lamp.context(alpn)
    name = "/things/lamp/shadow?name=night" if alpn is None else "/things/lamp/shadow"
    status, headers, body = ask(ombra, context, "POST", name, '{"state":{"desired":{"on":true}},"clientToken":"t"}')
    made = json.loads(body)
    assert status == 200 and headers["content-type"].startswith("application/json")
    assert made["state"] == {"desired": {"on": True}} and made["clientToken"] == "t"
    status, headers, body = ask(ombra, context, "GET", name)
    assert status == 200 and json.loads(body)["state"]["delta"] == {"on": True}
    assert headers["x-amzn-RequestId"]
    status, _, body = ask(ombra, context, "DELETE", name)
    assert status == 200 and json.loads(body)["version"] == made["version"]
    status, headers, body = ask(ombra, context, "GET", name)
    assert status == 404 and headers["x-amzn-ErrorType"].startswith("ResourceNotFoundException")
    shadow = "'lamp~night'" if alpn is None else "'lamp'"
    assert json.loads(body)["message"] == f"No shadow exists with name: {shadow}"


def test_the_server_takes_up_the_protocol_it_was_offered(ombra, lamp):
    for alpn in ("x-amzn-http-ca", "x-amzn-mqtt-ca", "http/1.1"):
        with tls_socket(ombra, lamp.context(alpn), "tls") as tls:
            assert tls.selected_alpn_protocol() == alpn


@pytest.mark.parametrize("topic", ["lamp/hello", "lamp%2Fhello"])
@pytest.mark.parametrize("qos", [0, 1])
def test_a_message_over_https_reaches_mqtt_subscribers(ombra, lamp, listener, topic, qos):
    with listener.connect() as wire:
        wire.subscribe("lamp/#", qos=1)
        path = f"/topics/{topic}?qos={qos}"
        status, headers, body = ask(ombra, lamp.context("x-amzn-http-ca"), "POST", path, b"\x00\xff")
        answer = json.loads(body)
        assert (status, answer["message"]) == (200, "OK")
        assert answer["traceId"] == headers["x-amzn-RequestId"]
        message = wire.message()
        assert (message.topic, message.payload, message.qos) == ("lamp/hello", b"\x00\xff", qos)


@pytest.mark.parametrize(
    ("method", "path", "action", "resource"),
    [
        ("GET", "/things/other/shadow", "iot:GetThingShadow", "thing/other"),
        ("POST", "/things/other/shadow", "iot:UpdateThingShadow", "thing/other"),
        ("DELETE", "/things/other/shadow", "iot:DeleteThingShadow", "thing/other"),
        ("GET", "/things/lamp/shadow?name=day", "iot:GetThingShadow", "thing/lamp/day"),
        ("POST", "/topics/other/x?qos=1", "iot:Publish", "topic/other/x"),
        ("POST", "/topics/lamp/x?retain=true", "iot:RetainPublish", "topic/lamp/x"),
        ("GET", "/retainedMessage/other%2Fx", "iot:GetRetainedMessage", "topic/other/x"),
    ],
)
def test_the_policy_is_enforced_over_https(ombra, iot_data, lamp, method, path, action, resource):
    iot_data.update_thing_shadow(thingName="other", payload=b'{"state":{"desired":{"x":1}}}')
    body = b'{"state":{"desired":{"x":2}}}' if method == "POST" else None
    status, headers, _ = ask(ombra, lamp.context(), method, path, body)
    assert status == 403 and headers["x-amzn-ErrorType"].startswith("ForbiddenException")
    event = ombra.event(principal=lamp.certificate_id, action=action, resource=arn(resource))
    assert event["decision"] == "IMPLICIT_DENY" and event["peer"].startswith("127.0.0.1")
    shadow = json.load(iot_data.get_thing_shadow(thingName="other")["payload"])
    assert shadow["state"]["desired"] == {"x": 1}


def test_thing_variables_have_no_value_over_https(ombra, workshop):
    statement = [{"Effect": "Allow", "Action": "iot:*", "Resource": arn("topic/${iot:Connection.Thing.ThingName}/*")}]
    device = workshop.device(policy={"Version": "2012-10-17", "Statement": statement})
    assert ask(ombra, device.context(), "POST", f"/topics/{device.name}/x", b"x")[0] == 403


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [("GET", "/things/lamp", None), ("POST", "/things/new", b"{}"), ("GET", "/certificates", None)],
)
def test_a_device_certificate_does_not_open_the_control_plane(ombra, iot, lamp, method, path, body):
    status, _, _ = ask(ombra, lamp.context(), method, path, body)
    assert status in (401, 403)
    assert "new" not in [thing["thingName"] for thing in iot.list_things()["things"]]


def test_an_inactive_certificate_has_no_data_plane(ombra, workshop):
    device = workshop.device(active=False)
    try:
        status = ask(ombra, device.context("x-amzn-http-ca"), "GET", "/things/lamp/shadow")[0]
    except OSError:
        status = 403
    assert status in (401, 403)
    ombra.event(principal=device.certificate_id, decision="INACTIVE")


def test_no_certificate_is_no_device(ombra):
    try:
        status = ask(ombra, tls_context(ombra, alpn="x-amzn-http-ca"), "GET", "/things/lamp/shadow")[0]
    except OSError:
        status = 403
    assert status in (401, 403)


def test_an_unknown_certificate_has_no_data_plane(ombra, workshop):
    context = tls_context(ombra, *workshop.stranger())
    try:
        status = ask(ombra, context, "GET", "/things/lamp/shadow")[0]
    except OSError:
        status = 403
    assert status in (401, 403)


def test_deactivation_acts_on_an_open_https_connection(ombra, iot, workshop):
    device = workshop.device()
    connection = http.client.HTTPSConnection("localhost", ombra.address("tls")[1], timeout=PATIENCE,
                                             context=device.context())
    path = f"/topics/{urllib.parse.quote(device.name)}"
    connection.request("POST", path, b"x")
    assert json.loads(connection.getresponse().read())["message"] == "OK"
    iot.update_certificate(certificateId=device.certificate_id, newStatus="INACTIVE")
    try:
        connection.request("POST", path, b"x")
        status = connection.getresponse().status
    except OSError:
        status = 403
    finally:
        connection.close()
    assert status in (401, 403)


def test_errors_over_https_are_those_of_the_shadow_service(ombra, lamp):
    for body, status, error, message in [
        (b"{", 400, "InvalidRequestException", None),
        (b"{}", 400, "InvalidRequestException", "Missing required node: state"),
        (b'{"state":{},"version":77}', 409, "ConflictException", "Version conflict"),
        (b'{"state":{"desired":{"x":"' + b"x" * 9000 + b'"}}}', 413, "RequestEntityTooLargeException",
         "The payload exceeds the maximum size allowed"),
    ]:
        got, headers, answer = ask(ombra, lamp.context(), "POST", "/things/lamp/shadow", body)
        told = json.loads(answer)["message"]
        assert (got, headers["x-amzn-ErrorType"].split(":")[0]) == (status, error), body[:40]
        assert message is None or told == message
