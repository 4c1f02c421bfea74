"""Certificate authorities that are not ombra's, as a plant or a maker of devices has them, made with `cryptography`.

What is done with what they issue is known to the tests.
"""

import datetime
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from devices import key_pem

KINDS = {
    "rsa": lambda: rsa.generate_private_key(65537, 2048),
    "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "p521": lambda: ec.generate_private_key(ec.SECP521R1()),
}


def pem(certificate) -> str:
    """A certificate as PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


@dataclass
class Held:
    """A certificate and its key, in files."""

    certificate: Path
    key: Path

    @property
    def text(self) -> str:
        """The certificate as PEM."""
        return self.certificate.read_text()


class CertificateAuthority:
    """A root of some kind of key."""

    def __init__(self, directory: Path, name: str = "Plant CA", kind: str = "p256"):
        self.directory, self.kind = directory, kind
        directory.mkdir(parents=True, exist_ok=True)
        self.key = KINDS[kind]()
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = self._sign(self.name, self.key.public_key(), ca=True)
        self.made = 0

    @property
    def pem(self) -> str:
        """Its own certificate."""
        return pem(self.certificate)

    def file(self) -> Path:
        """The same in a file."""
        path = self.directory / "root.pem"
        path.write_text(self.pem)
        return path

    def issue(self, common_name: str, kind: str = "p256", hosts: tuple = ()) -> Held:
        """A certificate for a device, or for a server of these names, with a new key."""
        self.made += 1
        key = KINDS[kind]()
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        held = Held(self.directory / f"{self.made}.pem", self.directory / f"{self.made}.key")
        held.certificate.write_text(pem(self._sign(subject, key.public_key(), hosts=hosts)))
        held.key.write_bytes(key_pem(key))
        return held

    def _sign(self, subject, public_key, ca: bool = False, hosts: tuple = ()):
        now = datetime.datetime.now(datetime.timezone.utc)
        builder = (
            x509.CertificateBuilder().subject_name(subject).issuer_name(self.name).public_key(public_key)
            .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=30))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if hosts:
            names = x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts])
            builder = builder.add_extension(names, critical=False)
        return builder.sign(self.key, hashes.SHA256())
