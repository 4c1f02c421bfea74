"""Things with their certificates, as these tests need them by the dozen.

A key is made here and signed by the server through a CSR, because an elliptic key costs the server nothing, where
CreateKeysAndCertificate has to search for primes. That operation has tests of its own.
"""

import datetime
import json
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

import packets
from house import ACCOUNT, PATIENCE, REGION, Ombra

ALLOW_ALL = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:*", "Resource": "*"}]}


def arn(resource: str, account: str = ACCOUNT, region: str = REGION) -> str:
    """The ARN of something of AWS IoT."""
    return f"arn:aws:iot:{region}:{account}:{resource}"


def own_topics(account: str = ACCOUNT) -> dict:
    """A policy under which a device may do everything as its thing, and nothing else."""
    me = "${iot:Connection.Thing.ThingName}"
    topics = [f"$aws/things/{me}/*", f"{me}/*"]
    return {
        "Version": "2012-10-17",
        "Statement": [
            {"Sid": "Me", "Effect": "Allow", "Action": "iot:Connect", "Resource": arn(f"client/{me}", account)},
            {
                "Effect": "Allow", "Action": ["iot:Publish", "iot:Receive", "iot:RetainPublish"],
                "Resource": [arn(f"topic/{topic}", account) for topic in topics],
            },
            {
                "Effect": "Allow", "Action": "iot:Subscribe",
                "Resource": [arn(f"topicfilter/{topic}", account) for topic in topics],
            },
        ],
    }


def request_for(key, common_name: str) -> str:
    """A certificate signing request."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    csr = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return csr.public_bytes(serialization.Encoding.PEM).decode()


def key_pem(key) -> bytes:
    """A private key as PEM."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def tls_context(ombra: Ombra, certificate: Path | None = None, key: Path | None = None, alpn: str | None = None):
    """What a client needs to trust the server and to be known by it."""
    context = ssl.create_default_context(cafile=str(ombra.ca))
    if certificate:
        context.load_cert_chain(certificate, key)
    if alpn:
        context.set_alpn_protocols([alpn])
    return context


def tls_socket(ombra: Ombra, context: ssl.SSLContext, door: str = "mqtts") -> ssl.SSLSocket:
    """A socket after its handshake."""
    raw = socket.create_connection(ombra.address(door), timeout=PATIENCE)
    # Waiting to fill a segment would make every larger packet 40 ms slower.
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        return context.wrap_socket(raw, server_hostname="localhost")
    except BaseException:
        raw.close()
        raise


@dataclass
class Device:
    """A thing (perhaps none), its certificate, and how it connects."""

    ombra: Ombra
    name: str
    certificate_arn: str
    directory: Path
    policy: str

    @property
    def certificate_id(self) -> str:
        """The last part of the ARN."""
        return self.certificate_arn.rsplit("/", 1)[1]

    @property
    def certificate(self) -> Path:
        """PEM."""
        return self.directory / "certificate.pem"

    @property
    def key(self) -> Path:
        """PEM."""
        return self.directory / "private.key"

    def context(self, alpn: str | None = None) -> ssl.SSLContext:
        """For any TLS client of Python."""
        return tls_context(self.ombra, self.certificate, self.key, alpn)

    def wire(self, version: int = packets.V311, door: str = "mqtts", alpn: str | None = None) -> packets.Wire:
        """A connection on which nothing was said yet."""
        return packets.Wire(tls_socket(self.ombra, self.context(alpn), door), version)

    def connect(self, version: int = packets.V311, client_id: str | None = None, **options) -> packets.Wire:
        """A connection that the server accepted."""
        wire = self.wire(version)
        answer = wire.connect(self.name if client_id is None else client_id, **options)
        assert answer.reason == 0, answer
        return wire

    def shadow(self, suffix: str, name: str | None = None) -> str:
        """A topic of its shadow, for example `update/accepted`."""
        return f"$aws/things/{self.name}/shadow/{f'name/{name}/' if name else ''}{suffix}"


class Workshop:
    """Makes devices on one server, each with names of their own so that tests of a module do not meet."""

    def __init__(self, ombra: Ombra, directory: Path):
        self.ombra, self.directory = ombra, directory
        self.made = 0

    def fresh(self, prefix: str = "thing") -> str:
        """A name that nobody had."""
        self.made += 1
        return f"{prefix}-{self.made}"

    def device(self, name: str | None = None, policy: dict | None = None, *, account: str | None = None,
               region: str = REGION, active: bool = True, thing: bool = True) -> Device:
        """A thing with a certificate and a policy of its own; everything is allowed unless said otherwise."""
        iot = self.ombra.client("iot", account, region)
        name = name or self.fresh("device")
        directory = self.directory / f"{account or 'default'}-{region}-{name}"
        directory.mkdir(parents=True)
        key = ec.generate_private_key(ec.SECP256R1())
        made = iot.create_certificate_from_csr(certificateSigningRequest=request_for(key, name), setAsActive=active)
        (directory / "certificate.pem").write_text(made["certificatePem"])
        (directory / "private.key").write_bytes(key_pem(key))
        policy_name = f"policy-of-{name}"
        iot.create_policy(policyName=policy_name, policyDocument=json.dumps(policy or ALLOW_ALL))
        iot.attach_policy(policyName=policy_name, target=made["certificateArn"])
        if thing:
            iot.create_thing(thingName=name)
            iot.attach_thing_principal(thingName=name, principal=made["certificateArn"])
        return Device(self.ombra, name, made["certificateArn"], directory, policy_name)

    def stranger(self) -> tuple[Path, Path]:
        """A certificate that no server ever issued, and its key."""
        directory = self.directory / self.fresh("stranger")
        directory.mkdir(parents=True)
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.datetime.now(datetime.timezone.utc)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "stranger")])
        certificate = (
            x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
            .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1)).sign(key, hashes.SHA256())
        )
        paths = directory / "certificate.pem", directory / "private.key"
        paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        paths[1].write_bytes(key_pem(key))
        return paths
