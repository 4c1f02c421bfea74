"""What a script is, where all of them are listed, and the laboratory that each is run in.

A script runs in each version whose rules it cites. Its laboratory gives it clients, and names of its own so that
hundreds may run at once against one broker; at the end it takes away what would outlive the script there.
"""

import itertools
import secrets
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field

import packets
from packets import CONNACK, V5, V311

from .client import Client, Difference, NotSupported
from .rules import ALL

THEMES = {
    1: "connecting", 2: "malformed input", 3: "publishing", 4: "subscribing", 5: "retained messages", 6: "sessions",
    7: "flow control", 8: "wills", 9: "properties, shares and $-topics",
}


#: What a broker may say that it lacks, and a script may need.
FEATURES = {
    "five": "MQTT 5", "qos1": "QoS 1", "qos2": "QoS 2", "retain": "retained messages", "wildcards": "wildcards",
    "identifiers": "subscription identifiers", "shared": "shared subscriptions", "aliases": "topic aliases",
}


@dataclass(frozen=True)
class Case:
    """A script in one version."""

    number: int
    version: int
    title: str
    rules: tuple[str, ...]
    needs: tuple[str, ...]
    run: Callable[["Lab"], None]

    @property
    def id(self) -> str:
        """Number and version, as `312-v5`."""
        return f"{self.number}-v{3 if self.version == V311 else 5}"


CASES: list[Case] = []


def add(number: int, title: str, run: Callable, three: str = "", five: str = "", needs: str = "") -> None:
    """List a script for each version of which rules are named; `needs` names FEATURES."""
    for version, named in ((V311, three), (V5, five)):
        unknown = set(named.split()) - set(ALL[version])
        if unknown:
            raise ValueError(f"script {number} cites rules that there are not: {unknown}")
        if named:
            rules = tuple(f"MQTT-{rule}" for rule in named.split())
            CASES.append(Case(number, version, title, rules, tuple(needs.split()), run))


def script(number: int, title: str, three: str = "", five: str = "", needs: str = ""):
    """Decorate a function with its number, its title, and the rules of 3.1.1 and of 5 that it proves."""

    def listed(run):
        add(number, title, run, three, five, needs)
        return run

    return listed


# The broker under test.


@dataclass
class Broker:
    """Where it is, and what it says it can do."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    lacks: set[str] = field(default_factory=set)
    client: type[Client] = Client

    def dial(self) -> socket.socket:
        """A connection on which nothing was said yet."""
        sock = socket.create_connection((self.host, self.port), timeout=Client.patience)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self.tls.wrap_socket(sock, server_hostname=self.host) if self.tls else sock

    def ask(self) -> "Broker":
        """Learn from its CONNACK what MQTT 5 lets a broker not have."""
        client = Client(self.dial(), V5)
        client.send(packets.connect("conf" + secrets.token_hex(4), V5))
        try:
            said = client.expect(CONNACK, reason=0).props
        except Difference:
            self.lacks = {"five"}
            return self
        client.leave()
        absent = {
            "qos1": said.get("maximum_qos", 2) < 1, "qos2": said.get("maximum_qos", 2) < 2,
            "retain": not said.get("retain_available", 1),
            "wildcards": not said.get("wildcard_subscription_available", 1),
            "identifiers": not said.get("subscription_identifiers_available", 1),
            "shared": not said.get("shared_subscription_available", 1),
            "aliases": not said.get("topic_alias_maximum", 0),
        }
        self.lacks = {name for name, is_absent in absent.items() if is_absent}
        return self


class Lab:
    """Clients and names for one run of one script."""

    _runs = itertools.count()
    _session = secrets.token_hex(3)

    def __init__(self, broker: Broker, version: int):
        self.broker, self.version, self.five = broker, version, version == V5
        self.mark = f"c{self._session}{next(self._runs)}"
        self._ids = itertools.count()
        self._clients: list[Client] = []
        self._lasting: set[str] = set()
        self._retained: set[str] = set()

    # Names.

    def topic(self, name: str = "t") -> str:
        """A topic or filter of this run alone."""
        return f"{self.mark}/{name}"

    def kept(self, name: str = "t") -> str:
        """A topic of this run alone whose retained message is taken away at the end."""
        self._retained.add(self.topic(name))
        return self.topic(name)

    def id(self) -> str:
        """A client identifier that every broker must allow."""
        return f"{self.mark}x{next(self._ids)}"

    # Clients.

    def socket(self, client_id: str = "") -> Client:
        """A connection on which nothing was said yet."""
        client = self.broker.client(self.broker.dial(), self.version, client_id or self.id())
        self._clients.append(client)
        return client

    def client(self, client_id: str = "", **options) -> Client:
        """A client that the broker accepted."""
        client = self.socket(client_id)
        client.connect(**options)
        return client

    def lasting(self, client_id: str, clean: bool = False, expiry: int = 60, **options) -> Client:
        """A client whose session outlives its connection, in either version."""
        self._lasting.add(client_id)
        if self.five:
            options["props"] = {"session_expiry_interval": expiry} | options.get("props", {})
        return self.client(client_id, clean=clean, **options)

    def pair(self, filter_name: str = "t", qos: int = 0, **options) -> tuple[Client, Client]:
        """One who publishes, and one who has subscribed."""
        listener = self.client(**options)
        listener.subscribe(self.topic(filter_name), qos=qos)
        return self.client(), listener

    # The end.

    def close(self) -> None:
        """Close every connection, and take away what would stay."""
        for client in self._clients:
            client.sock.close()
        try:
            for client_id in self._lasting:
                Client(self.broker.dial(), self.version, client_id).connect(clean=True)
            if self._retained:
                client = Client(self.broker.dial(), self.version, self.id())
                client.connect()
                for topic in self._retained:
                    client.publish(topic, b"", retain=True)
                client.leave()
        except (OSError, AssertionError):
            pass


@dataclass(frozen=True)
class Verdict:
    """How a case ended."""

    case: Case
    verdict: str
    difference: str = ""


def judge(broker: Broker, case: Case) -> Verdict:
    """Run one case."""
    needed = {*case.needs, *(["five"] if case.version == V5 else [])}
    if missing := sorted(FEATURES[name] for name in needed & broker.lacks):
        return Verdict(case, "not-supported", f"the broker says that it has no {', '.join(missing)}")
    lab = Lab(broker, case.version)
    try:
        case.run(lab)
        return Verdict(case, "pass")
    except NotSupported as reason:
        return Verdict(case, "not-supported", str(reason))
    except (AssertionError, OSError, UnicodeError, KeyError) as difference:
        words = str(difference) or type(difference).__name__
        return Verdict(case, "fail", words.replace(lab.mark, "…").splitlines()[0][:200])
    finally:
        lab.close()
