"""A WebSocket frame by frame, for what no well-behaved client library can send or show, and the signing of its request.

`Socket` has the methods of a socket that `packets.Wire` uses, so that MQTT is spoken on it as on any other.
"""

import base64
import hashlib
import hmac
import os
import socket
import struct
import time
import urllib.parse
from dataclasses import dataclass

from house import PATIENCE, REGION

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def signed(host: str, *, key="test", secret="test", service="iotdevicegateway", region=REGION, at: float | None = None,
           algorithm="AWS4-HMAC-SHA256", token: str | None = None, without: str | None = None) -> str:
    """The path of a request that is signed in its query, the session token appended unsigned as MQTT clients do."""
    now = time.gmtime(time.time() if at is None else at)
    stamp, day = time.strftime("%Y%m%dT%H%M%SZ", now), time.strftime("%Y%m%d", now)
    scope = f"{day}/{region}/{service}/aws4_request"
    query = {"X-Amz-Algorithm": algorithm, "X-Amz-Credential": f"{key}/{scope}", "X-Amz-Date": stamp,
             "X-Amz-SignedHeaders": "host"}
    query = {name: value for name, value in query.items() if name != without}
    text = "&".join(f"{name}={urllib.parse.quote(value, safe='')}" for name, value in sorted(query.items()))
    request = "\n".join(["GET", "/mqtt", text, f"host:{host}", "", "host", hashlib.sha256().hexdigest()])
    to_sign = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(request.encode()).hexdigest()])
    signing = f"AWS4{secret}".encode()
    for part in (day, region, service, "aws4_request", to_sign):
        signing = hmac.new(signing, part.encode(), hashlib.sha256).digest()
    text += "" if without == "X-Amz-Signature" else f"&X-Amz-Signature={signing.hex()}"
    return f"/mqtt?{text}" + (f"&X-Amz-Security-Token={urllib.parse.quote(token, safe='')}" if token else "")


@dataclass
class Answer:
    """What the request for a WebSocket got."""

    status: int
    headers: dict
    body: bytes

    @property
    def error(self) -> str:
        """AWS's name of the error."""
        return self.headers.get("x-amzn-errortype", "").split(":")[0]


def ask(sock, path: str, host: str, headers: dict | None = None, method: str = "GET") -> Answer:
    """Send the request; a header of None is left out."""
    wanted = {
        "Host": host, "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": KEY, "Sec-WebSocket-Protocol": "mqtt",
    } | (headers or {})
    lines = [f"{method} {path} HTTP/1.1"] + [f"{name}: {value}" for name, value in wanted.items() if value is not None]
    sock.sendall("\r\n".join([*lines, "", ""]).encode())
    head = b""
    while b"\r\n\r\n" not in head:
        # Byte by byte, because what follows the head is no longer ours to read.
        piece = sock.recv(1)
        assert piece, f"the server closed after {head!r}"
        head += piece
    status, *fields = head.decode().split("\r\n")[:-2]
    found = {name.lower(): value.strip() for name, value in (field.split(":", 1) for field in fields)}
    body = b""
    while len(body) < int(found.get("content-length", 0)):
        body += sock.recv(65536)
    return Answer(int(status.split()[1]), found, body)


class Socket:
    """A socket whose bytes travel in binary frames."""

    def __init__(self, raw):
        self.raw, self.unread, self.code, self.pongs = raw, b"", None, []

    def settimeout(self, seconds):
        """As of a socket."""
        self.raw.settimeout(seconds)

    def sendall(self, data: bytes):
        """One binary frame."""
        self.frame(BINARY, data)

    def frame(self, opcode: int, payload: bytes = b"", *, last=True, masked=True):
        """Any frame."""
        head = bytes([(0x80 if last else 0) | opcode])
        bit = 0x80 if masked else 0
        if len(payload) < 126:
            head += bytes([bit | len(payload)])
        elif len(payload) < 1 << 16:
            head += bytes([bit | 126]) + struct.pack(">H", len(payload))
        else:
            head += bytes([bit | 127]) + struct.pack(">Q", len(payload))
        if masked:
            mask = os.urandom(4)
            repeated = int.from_bytes((mask * (len(payload) // 4 + 1))[:len(payload)])
            head, payload = head + mask, (int.from_bytes(payload) ^ repeated).to_bytes(len(payload))
        self.raw.sendall(head + payload)

    def recv(self, count: int) -> bytes:
        """Bytes of binary frames; nothing after a close frame."""
        while not self.unread:
            opcode, payload = self.read_frame()
            if opcode == CLOSE:
                self.code = struct.unpack(">H", payload[:2])[0] if payload else 1005
                return b""
            if opcode == PONG:
                self.pongs.append(payload)
                continue
            assert opcode == BINARY, f"a frame of kind {opcode} from the server"
            self.unread = payload
        data, self.unread = self.unread[:count], self.unread[count:]
        return data

    def read_frame(self) -> tuple[int, bytes]:
        """One frame as it came; servers do not mask and ours does not fragment."""
        first, second = self._exactly(2)
        assert first & 0x80 and not second & 0x80, "fragmented or masked"
        length = second
        if second == 126:
            length = struct.unpack(">H", self._exactly(2))[0]
        elif second == 127:
            length = struct.unpack(">Q", self._exactly(8))[0]
        return first & 15, self._exactly(length)

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            piece = self.raw.recv(count - len(data))
            if not piece:
                raise ConnectionError("end of stream")
            data += piece
        return data

    def close(self):
        """Without a word."""
        self.raw.close()


def connect(address: tuple[str, int], path: str | None = None, *, tls=None, headers: dict | None = None) -> Socket:
    """A WebSocket that was granted; signed unless a path says otherwise."""
    raw = socket.create_connection(address, timeout=PATIENCE)
    host = f"localhost:{address[1]}"
    raw = tls.wrap_socket(raw, server_hostname="localhost") if tls else raw
    answer = ask(raw, path or signed(host), host, headers)
    assert answer.status == 101, answer
    assert answer.headers["sec-websocket-accept"] == base64.b64encode(
        hashlib.sha1((KEY + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
    ).decode() == ACCEPT
    assert answer.headers["sec-websocket-protocol"] == "mqtt"
    return Socket(raw)
