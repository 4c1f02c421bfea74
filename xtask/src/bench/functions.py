"""Warm invocations per second: AWS's runtime client fed by a bare loop, and the same behind ombra.

The bare loop is one process that speaks just enough of the Runtime API over one connection; ombra is asked over
kept connections, as an SDK keeps them, by as many callers as named. Nothing is signed: in development nothing is verified.

The client reads from its environment which runtime it is, and does more for each invocation where that is a younger Python: it asks
for the next one on a thread of its own. So it is told the same on both sides.
"""

import base64
import http.client
import io
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import zipfile
from pathlib import Path

SECONDS = 4.0
ROUNDS = 3
RUNTIME = "python3.12"
CODE = "def handler(event, context):\n    return event\n"
EVENT = b'{"thing": "lamp", "state": {"reported": {"temperature": 21.5}}}'
SIGNED = "AWS4-HMAC-SHA256 Credential=bench/20240101/us-east-1/{}/aws4_request, SignedHeaders=host;x-amz-date, Signature=0"


def bare(directory: Path) -> float:
    """Invocations per second of the client alone, once it is warm."""
    (directory / "code.py").write_text(CODE)
    listener = socket.create_server(("127.0.0.1", 0))
    address = f"127.0.0.1:{listener.getsockname()[1]}"
    environment = {"AWS_EXECUTION_ENV": f"AWS_Lambda_{RUNTIME}", "AWS_LAMBDA_RUNTIME_API": address, "PATH": os.environ["PATH"]}
    client = subprocess.Popen(
        [sys.executable, "-m", "awslambdaric", "code.handler"], cwd=directory, env=environment,
    )
    try:
        return feed(listener.accept()[0])
    finally:
        client.kill()
        client.wait()


def feed(runtime: socket.socket) -> float:
    """Give one invocation after the other for as long as is measured."""
    runtime.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    head = (
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nlambda-runtime-aws-request-id: id\r\n"
        "lambda-runtime-deadline-ms: 9999999999999\r\nlambda-runtime-invoked-function-arn: arn\r\n"
        f"content-length: {len(EVENT)}\r\n\r\n"
    ).encode()
    count, began = 0, None
    while True:
        request = read(runtime)
        if request.startswith(b"GET"):
            if count == 100:
                began = time.perf_counter()
            if began and time.perf_counter() - began > SECONDS:
                return (count - 100) / (time.perf_counter() - began)
            count += 1
            runtime.sendall(head + EVENT)
        else:
            runtime.sendall(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n")


def read(runtime: socket.socket) -> bytes:
    """One message with its body."""
    request = b""
    while b"\r\n\r\n" not in request:
        request += runtime.recv(65536)
    head, _, body = request.partition(b"\r\n\r\n")
    length = 0
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    while len(body) < length:
        body += runtime.recv(65536)
    return request


class Server:
    """An ombra on free ports with one function."""

    def __init__(self, binary: Path, directory: Path):
        doors = [word for door in ("--http", "--mqtts", "--tls") for word in (door, "127.0.0.1:0")]
        self.log = (directory / "log").open("wb")
        self.process = subprocess.Popen(
            [binary, "--data", directory / "data", *doors, "--functions-python", sys.executable], stderr=self.log,
        )
        self.address = self.announced(directory / "data/endpoints.json")
        trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
        form = urllib.parse.urlencode({
            "Action": "CreateRole", "Version": "2010-05-08", "RoleName": "bench", "AssumeRolePolicyDocument": document,
        })
        self.ask("iam", "/", form.encode(), "application/x-www-form-urlencoded")
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("code.py", CODE)
        function = {
            "FunctionName": "bench", "Runtime": RUNTIME, "Handler": "code.handler", "Timeout": 60,
            "Role": "arn:aws:iam::000000000000:role/bench",
            "Code": {"ZipFile": base64.b64encode(packed.getvalue()).decode()},
        }
        self.ask("lambda", "/2015-03-31/functions", json.dumps(function).encode())

    def announced(self, path: Path):
        """Where it answers, once it does."""
        for _ in range(500):
            if path.exists():
                host, port = json.loads(path.read_text())["http"].rsplit(":", 1)
                return host, int(port)
            time.sleep(0.02)
        raise TimeoutError("ombra did not start")

    def ask(self, service: str, path: str, body: bytes, kind: str = "application/json"):
        """One request that must succeed."""
        connection = http.client.HTTPConnection(*self.address)
        headers = {"Authorization": SIGNED.format(service), "X-Amz-Date": "20240101T000000Z", "Content-Type": kind}
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        text = answer.read()
        assert answer.status in (200, 201), (answer.status, text)

    def spent(self) -> float:
        """Seconds of processor time that the server itself has taken, without its children."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rate(self, callers: int):
        """Invocations per second with so many callers, each of whom waits for its answer, and what each costs the server."""
        counts, ends = [0] * callers, time.perf_counter() + SECONDS

        # As cheap a caller as can be: what is measured shares the machine with it.
        request = (
            "POST /2015-03-31/functions/bench/invocations HTTP/1.1\r\nhost: bench\r\nx-amz-date: 20240101T000000Z\r\n"
            f"authorization: {SIGNED.format('lambda')}\r\ncontent-length: {len(EVENT)}\r\n\r\n"
        ).encode() + EVENT

        def call(number: int):
            connection = socket.create_connection(self.address)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while time.perf_counter() < ends:
                connection.sendall(request)
                answer = read(connection)
                assert answer.startswith(b"HTTP/1.1 200") and answer.endswith(EVENT[-20:]), answer
                counts[number] += 1

        threads = [threading.Thread(target=call, args=(number,)) for number in range(callers)]
        began, before = time.perf_counter(), self.spent()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(counts) / (time.perf_counter() - began), (self.spent() - before) / sum(counts)

    def end(self):
        """Stop it."""
        self.process.terminate()
        self.process.wait(20)


def measured(binary: Path, scratch: Path):
    """Rate and cost with one caller and with four."""
    with tempfile.TemporaryDirectory(dir=scratch) as directory:
        server = Server(binary, Path(directory))
        try:
            server.rate(4)  # So that all are warm.
            return server.rate(1), server.rate(4)
        finally:
            server.end()


def main():
    """Print the figures, and what they are to each other: of each the median of the rounds, ratios taken within a round."""
    scratch, binaries = Path(sys.argv[1]).resolve(), [Path(word).resolve() for word in sys.argv[2:]]
    alone, rounds = [], {binary: [] for binary in binaries}
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory(dir=scratch) as directory:
            alone.append(bare(Path(directory)))
        for binary in binaries:
            rounds[binary].append(measured(binary, scratch))
    print(f"the client alone, fed by a loop   {statistics.median(alone):8.0f} /s   1.00")
    for binary in binaries:
        if len(binaries) > 1:
            print(binary)
        for index, callers in enumerate(("one caller  ", "four callers")):
            rates, costs = zip(*(both[index] for both in rounds[binary]))
            ratio = statistics.median(rate / of for rate, of in zip(rates, alone))
            rate, cost = statistics.median(rates), statistics.median(costs) * 1e6
            print(f"through ombra, {callers}       {rate:8.0f} /s   {ratio:.2f}   CPU in ombra {cost:4.0f} us")


main()
