"""Where rule actions lead: an HTTP server that answers as it is told, AWS services as moto knows them, and Kafka as librdkafka
mocks it for its own tests, behind TLS and a SCRAM login where a test wants them.

Each is on loopback and of somebody else's making, but for the HTTP server and what stands in front of Kafka. What is asked of them
is known by the tests.
"""

import ctypes
import glob
import json
import socket
import ssl
import struct
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import boto3
import confluent_kafka
from moto.server import ThreadedMotoServer
from scramp import ScramMechanism

from house import PATIENCE, REGION, wait_for


@dataclass
class Request:
    """A request as it came."""

    method: str
    path: str
    headers: dict
    body: bytes

    @property
    def json(self):
        """The body, read."""
        return json.loads(self.body)


@dataclass
class HttpSink:
    """Answers each request with the next of `answers`, and the last one ever after; a number is a status, None is silence."""

    answers: list = field(default_factory=lambda: [200])
    seen: list = field(default_factory=list)
    #: Certificate and key, if TLS is to be spoken.
    identity: tuple[Path, Path] | None = None

    def __enter__(self):
        sink, lock, self.closing = self, threading.Lock(), threading.Event()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                with lock:
                    headers = {name.lower(): value for name, value in self.headers.items()}
                    sink.seen.append(Request(self.command, self.path, headers, body))
                    status = sink.answers.pop(0) if len(sink.answers) > 1 else sink.answers[0]
                if status is None:
                    sink.closing.wait()
                    status = 200
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            do_GET = do_POST = do_PUT = answer

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        if self.identity:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*self.identity)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.closing.set()
        self.server.shutdown()
        self.server.server_close()

    @property
    def url(self) -> str:
        """Where it is."""
        port = self.server.server_address[1]
        return f"https://localhost:{port}" if self.identity else f"http://127.0.0.1:{port}"

    def posts(self, count: int) -> list[Request]:
        """The first so many requests that are no challenge."""
        def those():
            found = [it for it in self.seen if "x-amz-rules-engine-message-type" not in it.headers]
            return found if len(found) >= count else None
        return wait_for(those, f"{count} requests at the sink, of which {len(self.seen)} came")


class Aws:
    """AWS services that moto imitates."""

    def __enter__(self):
        self.server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self.server.start()
        return self

    def __exit__(self, *_):
        self.server.stop()

    @property
    def url(self) -> str:
        """Where they are."""
        return "http://%s:%d" % self.server.get_host_and_port()

    def client(self, service: str):
        """A boto3 client of one of them."""
        return boto3.session.Session().client(
            service, region_name=REGION, endpoint_url=self.url, aws_access_key_id="a", aws_secret_access_key="s"
        )


class Kafka:
    """librdkafka's own stand-in for a cluster, and its consumer to read what was written."""

    def __enter__(self):
        libraries = Path(confluent_kafka.__file__).parent.parent / "confluent_kafka.libs"
        self.library = ctypes.CDLL(glob.glob(str(libraries / "librdkafka-*"))[0])
        for name in ("rd_kafka_conf_new", "rd_kafka_new", "rd_kafka_mock_cluster_new"):
            getattr(self.library, name).restype = ctypes.c_void_p
        self.library.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
        conf = ctypes.c_void_p(self.library.rd_kafka_conf_new())
        said = ctypes.create_string_buffer(512)
        self.owner = ctypes.c_void_p(self.library.rd_kafka_new(0, conf, said, 512))
        self.cluster = ctypes.c_void_p(self.library.rd_kafka_mock_cluster_new(self.owner, 1))
        self.front = None
        return self

    def __exit__(self, *_):
        if self.front:
            self.front.close()
        self.library.rd_kafka_mock_cluster_destroy(self.cluster)
        self.library.rd_kafka_destroy(self.owner)

    @property
    def bootstrap(self) -> str:
        """The broker's own address."""
        return self.library.rd_kafka_mock_cluster_bootstraps(self.cluster).decode()

    def topic(self, name: str, partitions: int) -> None:
        """Make a topic."""
        assert self.library.rd_kafka_mock_topic_create(self.cluster, name.encode(), partitions, 1) == 0

    def fail_produce(self, *codes: int) -> None:
        """Let the next requests to write fail with these codes."""
        self.library.rd_kafka_mock_push_request_errors(
            self.cluster, ctypes.c_int16(0), ctypes.c_size_t(len(codes)), *map(ctypes.c_int, codes)
        )

    def read(self, topic: str, count: int) -> list:
        """The first so many messages of a topic, as librdkafka's consumer sees them, past any door."""
        host, port = self.bootstrap.rsplit(":", 1)
        self.library.rd_kafka_mock_broker_set_host_port(self.cluster, 1, host.encode(), int(port))
        consumer = confluent_kafka.Consumer({
            "bootstrap.servers": self.bootstrap, "group.id": "test", "auto.offset.reset": "earliest",
        })
        try:
            partitions = consumer.list_topics(topic, PATIENCE).topics[topic].partitions
            consumer.assign([confluent_kafka.TopicPartition(topic, it, 0) for it in partitions])
            return wait_for(lambda: self._polled(consumer, count, []), f"{count} messages of {topic}")
        finally:
            consumer.close()

    def _polled(self, consumer, count: int, got: list):
        while (message := consumer.poll(1.0)) is not None:
            assert message.error() is None, message.error()
            got.append(message)
            if len(got) == count:
                return got
        return None

    def behind_tls_and_scram(self, certificate: Path, key: Path, user: str, password: str) -> str:
        """Put a door before the broker that speaks TLS and lets one user in; what clients are told to connect to."""
        return self._behind(_Door(self.bootstrap, certificate, key, user=(user, password)))

    def behind_mutual_tls(self, certificate: Path, key: Path, authority: Path) -> str:
        """Put a door before the broker that lets in whoever shows a certificate of this authority."""
        return self._behind(_Door(self.bootstrap, certificate, key, authority=authority))

    def _behind(self, front) -> str:
        self.front = front
        host, port = self.front.address
        self.library.rd_kafka_mock_broker_set_host_port(self.cluster, 1, host.encode(), port)
        return f"localhost:{port}"


class _Door:
    """TLS and SCRAM-SHA-512, or TLS that asks for a certificate, on one side, the broker on the other."""

    def __init__(self, broker: str, certificate: Path, key: Path, user=None, authority: Path | None = None):
        self.broker = broker.rsplit(":", 1)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate, key)
        if authority:
            self.context.load_verify_locations(authority)
            self.context.verify_mode = ssl.CERT_REQUIRED
        self.mechanism = ScramMechanism("SCRAM-SHA-512")
        self.known = {user[0]: self.mechanism.make_auth_info(user[1], iteration_count=4096)} if user else {}
        self.names = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.answers = 0
        self.address = "localhost", self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self.listener.close()

    def _accept(self):
        while True:
            try:
                raw, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(raw,), daemon=True).start()

    def _serve(self, raw):
        try:
            with self.context.wrap_socket(raw, server_side=True) as client:
                if self.known:
                    self._let_in(client)
                if shown := client.getpeercert():
                    self.names.append(dict(part for name in shown["subject"] for part in name)["commonName"])
                with socket.create_connection(self.broker, timeout=PATIENCE) as broker:
                    threading.Thread(target=_copy, args=(broker, client, self._count), daemon=True).start()
                    _copy(client, broker)
        except (OSError, ValueError, AssertionError):
            raw.close()

    def _count(self):
        self.answers += 1

    def _let_in(self, client):
        server = self.mechanism.make_server(lambda user: self.known[user])
        key, number, body = _request(client)
        assert key == 17, key
        _respond(client, number, struct.pack(">hih", 0, 1, 13) + b"SCRAM-SHA-512")
        steps = [(server.set_client_first, server.get_server_first), (server.set_client_final, server.get_server_final)]
        for take, give in steps:
            key, number, body = _request(client)
            assert key == 36, key
            try:
                take(body[4:].decode())
                token = give().encode()
            except Exception:
                _respond(client, number, struct.pack(">hh", 58, 2) + b"no" + struct.pack(">i", 0))
                raise ValueError("not let in") from None
            _respond(client, number, struct.pack(">hhi", 0, -1, len(token)) + token)


def _exactly(stream, count: int) -> bytes:
    read = b""
    while len(read) < count:
        if not (more := stream.recv(count - len(read))):
            raise OSError("closed")
        read += more
    return read


def _request(stream) -> tuple[int, int, bytes]:
    """Key, number and body of a request."""
    frame = _exactly(stream, struct.unpack(">i", _exactly(stream, 4))[0])
    key, _, number, length = struct.unpack_from(">hhih", frame)
    return key, number, frame[10 + max(length, 0):]


def _respond(stream, number: int, body: bytes) -> None:
    stream.sendall(struct.pack(">ii", len(body) + 4, number) + body)


def _copy(source, target, count=lambda: None) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
            count()
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass
