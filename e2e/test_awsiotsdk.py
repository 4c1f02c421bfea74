"""The AWS IoT Device SDK v2 for Python, unmodified, with mutual TLS under our certificate authority.

The story is the one of its shadow sample: ask for the shadow, hear that there is none, make one, want something,
receive the delta, report. Told with both of its MQTT clients, on both ports.
"""

import contextlib
import queue
import select
import socket
import socketserver
import threading
from concurrent.futures import Future

import pytest
from awscrt import http, mqtt, mqtt5, mqtt_request_response
from awsiot import V2ServiceException, iotshadow, mqtt5_client_builder, mqtt_connection_builder

from house import PATIENCE

GENTLE = mqtt.QoS.AT_LEAST_ONCE


class Tunnel(socketserver.ThreadingTCPServer):
    """An HTTP proxy that leads every CONNECT to one address.

    The SDK offers ALPN on port 443 only, which a test may not take; through a proxy it believes to be there.
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, target):
        super().__init__(("127.0.0.1", 0), Relay)
        self.target, self.asked = target, []
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Relay(socketserver.StreamRequestHandler):
    """One tunnelled connection."""

    def handle(self):
        """Answer the CONNECT, then copy bytes both ways until one side ends."""
        self.server.asked.append(self.rfile.readline().decode().split()[1])
        while self.rfile.readline().strip():
            pass
        with socket.create_connection(self.server.target, PATIENCE) as far:
            self.wfile.write(b"HTTP/1.1 200 Connected\r\n\r\n")
            other = {far: self.connection, self.connection: far}
            with contextlib.suppress(OSError):
                while True:
                    for ready in select.select(list(other), [], [])[0]:
                        data = ready.recv(65536)
                        if not data:
                            return
                        other[ready].sendall(data)


def where(device) -> dict:
    """What both builders take alike."""
    return {
        "endpoint": "localhost", "cert_filepath": str(device.certificate), "pri_key_filepath": str(device.key),
        "ca_filepath": str(device.ombra.ca), "client_id": device.name,
    }


@pytest.fixture(params=["mqtts", "alpn"])
def door(request, ombra):
    """The port for MQTT alone, and the one that the SDK's defaults mean: 443 with ALPN."""
    if request.param == "mqtts":
        yield {"port": ombra.address("mqtts")[1]}
        return
    with Tunnel(ombra.address("tls")) as tunnel:
        yield {"http_proxy_options": http.HttpProxyOptions("127.0.0.1", tunnel.server_address[1])}
        tunnel.shutdown()
        assert tunnel.asked and all(asked == "localhost:443" for asked in tunnel.asked)


class Three:
    """The MQTT 3.1.1 client."""

    def __init__(self, device, **options):
        options = {"clean_session": True, "keep_alive_secs": 1200} | options
        self.connection = mqtt_connection_builder.mtls_from_path(**where(device), **options)

    def __enter__(self):
        self.connection.connect().result(PATIENCE)
        return self.connection

    def __exit__(self, *_):
        self.connection.disconnect().result(PATIENCE)


class Five:
    """The MQTT 5 client."""

    def __init__(self, device, **options):
        self.connected, self.stopped = Future(), Future()
        self.client = mqtt5_client_builder.mtls_from_path(
            on_lifecycle_connection_success=self._first(self.connected.set_result),
            on_lifecycle_connection_failure=self._first(self._failed),
            on_lifecycle_stopped=self.stopped.set_result, **where(device), **options,
        )

    def _failed(self, failure):
        self.connected.set_exception(failure.exception)

    def _first(self, settle):
        """The client tries again and again; what came of the first time is what counts."""
        return lambda event: None if self.connected.done() else settle(event)

    def __enter__(self):
        self.client.start()
        try:
            self.connected.result(PATIENCE)
        except BaseException:
            self.__exit__()
            raise
        return self.client

    def __exit__(self, *_):
        self.client.stop()
        self.stopped.result(PATIENCE)


clients = pytest.mark.parametrize("client", [Three, Five], ids=["mqtt_311", "mqtt_5"])


class Shadow:
    """The SDK's shadow client for one thing, its callbacks turned into queues."""

    def __init__(self, connection, thing):
        self.client, self.thing = iotshadow.IotShadowClient(connection), thing
        self.heard = {}
        self.subscribe("get_shadow_accepted", iotshadow.GetShadowSubscriptionRequest)
        self.subscribe("get_shadow_rejected", iotshadow.GetShadowSubscriptionRequest)
        self.subscribe("update_shadow_accepted", iotshadow.UpdateShadowSubscriptionRequest)
        self.subscribe("update_shadow_rejected", iotshadow.UpdateShadowSubscriptionRequest)
        self.subscribe("shadow_delta_updated_events", iotshadow.ShadowDeltaUpdatedSubscriptionRequest)

    def subscribe(self, what, request):
        """Subscribe and wait for the SUBACK."""
        box = self.heard[what] = queue.Queue()
        done, _ = getattr(self.client, f"subscribe_to_{what}")(request(thing_name=self.thing), GENTLE, box.put)
        done.result(PATIENCE)

    def next(self, what):
        """The next answer of a kind."""
        return self.heard[what].get(timeout=PATIENCE)

    def get(self, token):
        """Ask for the document."""
        request = iotshadow.GetShadowRequest(thing_name=self.thing, client_token=token)
        self.client.publish_get_shadow(request, GENTLE).result(PATIENCE)

    def update(self, token, **state):
        """Change desired or reported."""
        request = iotshadow.UpdateShadowRequest(
            thing_name=self.thing, client_token=token, state=iotshadow.ShadowState(**state)
        )
        self.client.publish_update_shadow(request, GENTLE).result(PATIENCE)


@clients
def test_the_story_of_the_shadow_sample(workshop, door, client):
    device = workshop.device()
    with client(device, **door) as connection:
        shadow = Shadow(connection, device.name)
        shadow.get("t1")
        nothing = shadow.next("get_shadow_rejected")
        assert (nothing.code, nothing.client_token) == (404, "t1")
        assert nothing.message == f"No shadow exists with name: '{device.name}'"
        shadow.update("t2", reported={"color": "off"}, desired={"color": "off"})
        made = shadow.next("update_shadow_accepted")
        assert (made.version, made.client_token, made.state.reported) == (1, "t2", {"color": "off"})
        shadow.update("t3", desired={"color": "red"})
        assert shadow.next("update_shadow_accepted").state.desired == {"color": "red"}
        delta = shadow.next("shadow_delta_updated_events")
        assert (delta.state, delta.version) == ({"color": "red"}, 2) and delta.timestamp
        shadow.update("t4", reported=delta.state)
        assert shadow.next("update_shadow_accepted").version == 3
        shadow.get("t5")
        told = shadow.next("get_shadow_accepted")
        assert told.state.desired == told.state.reported == {"color": "red"} and not told.state.delta
        assert shadow.heard["shadow_delta_updated_events"].empty()


def test_a_wish_from_elsewhere_arrives_as_a_delta(workshop, iot_data):
    device = workshop.device()
    with Three(device, port=device.ombra.address("mqtts")[1]) as connection:
        shadow = Shadow(connection, device.name)
        iot_data.update_thing_shadow(thingName=device.name, payload=b'{"state":{"desired":{"color":"blue"}}}')
        assert shadow.next("shadow_delta_updated_events").state == {"color": "blue"}


def test_the_newer_shadow_client_matches_answers_to_requests(workshop):
    device = workshop.device()
    with Five(device, port=device.ombra.address("mqtts")[1]) as connection:
        options = mqtt_request_response.ClientOptions(
            max_request_response_subscriptions=2, max_streaming_subscriptions=2, operation_timeout_in_seconds=20
        )
        client = iotshadow.IotShadowClientV2(connection, options)
        with pytest.raises(V2ServiceException) as refused:
            client.get_shadow(iotshadow.GetShadowRequest(thing_name=device.name)).result(PATIENCE)
        assert refused.value.modeled_error.code == 404
        state = iotshadow.ShadowState(desired={"n": 1})
        request = iotshadow.UpdateShadowRequest(thing_name=device.name, state=state)
        assert client.update_shadow(request).result(PATIENCE).version == 1
        told = client.get_shadow(iotshadow.GetShadowRequest(thing_name=device.name)).result(PATIENCE)
        assert told.state.delta == {"n": 1}
        assert client.delete_shadow(iotshadow.DeleteShadowRequest(thing_name=device.name)).result(PATIENCE).version == 1


def test_the_sdk_asks_for_a_session_that_lives_on_and_is_served(workshop):
    device = workshop.device()
    with Three(device, port=device.ombra.address("mqtts")[1], clean_session=False) as connection:
        sent, _ = connection.publish("plain/topic", "x", GENTLE)
        sent.result(PATIENCE)


def test_the_sdk_hears_the_limits_in_the_connack(workshop):
    device = workshop.device()
    five = Five(device, port=device.ombra.address("mqtts")[1])
    with five:
        settings = five.connected.result().negotiated_settings
        # The SDK itself has no QoS 2, whatever a broker offers.
        assert settings.maximum_qos == mqtt5.QoS.AT_LEAST_ONCE
        assert settings.receive_maximum_from_server == 100
        assert settings.maximum_packet_size_to_server == 149504
        assert settings.topic_alias_maximum_to_server == 8
        assert settings.retain_available and settings.wildcard_subscriptions_available
        assert settings.shared_subscriptions_available and settings.subscription_identifiers_available
        assert settings.server_keep_alive_sec == 1200


def test_the_sdk_is_told_a_refusal(workshop):
    device = workshop.device(active=False)
    with pytest.raises(Exception) as refused, Five(device, port=device.ombra.address("mqtts")[1]):
        pass
    assert "AWS_" in str(refused.value) or "CONNACK" in str(refused.value)
