"""TLS certificates: a certificate authority for one federation, and the server's certificate, signed anew as needed."""

from __future__ import annotations

import base64
import datetime
import ipaddress
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from workshop.files import write_text

LIFETIME = datetime.timedelta(days=14)  # of the authority
SERVER_LIFETIME = datetime.timedelta(days=2)
# Nobody sets the clocks of two accounts' machines: what is signed here is valid so much sooner and longer by a clock
# that goes differently. The keys do not live longer for that: a server's is forgotten with its run.
SLACK = datetime.timedelta(days=7)
_DER = serialization.Encoding.DER
_PEM = serialization.Encoding.PEM


@dataclass(frozen=True)
class Certificates:
    """What the server needs to prove itself, and what clients need to check it (PEM)."""

    authority: bytes
    server: bytes
    server_key: bytes = field(repr=False)

    @property
    def fingerprint(self) -> str:
        """The authority's SHA-256: what a client's proof of identity is made for."""
        return x509.load_pem_x509_certificate(self.authority).fingerprint(hashes.SHA256()).hex()

    @property
    def expires(self) -> datetime.datetime:
        """When the server's certificate ends, in UTC."""
        return x509.load_pem_x509_certificate(self.server).not_valid_after_utc

    def authority_hyperparameter(self) -> str:
        """Return the authority as one word that fits a job's hyperparameter (2,500 characters at most)."""
        return base64.b64encode(x509.load_pem_x509_certificate(self.authority).public_bytes(_DER)).decode()


@dataclass(frozen=True)
class Authority:
    """Who signs the server's certificates: one per federation. Clients trust it and nobody else."""

    certificate: bytes  # PEM
    key: bytes = field(repr=False)

    @classmethod
    def make(cls, *, now: datetime.datetime | None = None, days: int = LIFETIME.days) -> Authority:
        """Make a new one, valid for so many days from ``now``, and for ``SLACK`` before and after."""
        now = now or datetime.datetime.now(datetime.UTC)
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "federation authority")])
        certificate = (
            _builder(name, name, key, now - SLACK, now + datetime.timedelta(days=days) + SLACK)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(key_cert_sign=True), critical=True)
            .sign(key, hashes.SHA256())
        )
        return cls(certificate.public_bytes(_PEM), _private(key))

    @classmethod
    def load(cls, folder: Path) -> Authority:
        """Read what :meth:`save` has written.

        Raises
        ------
        OSError
            If it is not there.
        ValueError
            If it is damaged.
        """
        authority = cls((folder / "authority.pem").read_bytes(), (folder / "authority.key").read_bytes())
        try:
            certificate = x509.load_pem_x509_certificate(authority.certificate)
            certificate.verify_directly_issued_by(certificate)
            key = serialization.load_pem_private_key(authority.key, password=None)
            whole = key.public_key() == certificate.public_key()
        except Exception as error:  # a changed byte can be anything to cryptography
            raise ValueError("the authority's certificate or key is damaged") from error
        if not whole:
            raise ValueError("the key is not that of the authority's certificate")
        return authority

    def save(self, folder: Path) -> None:
        """Write the certificate, and the key for nobody else to read."""
        write_text(folder / "authority.key", self.key.decode(), private=True)
        write_text(folder / "authority.pem", self.certificate.decode())

    @property
    def expires(self) -> datetime.datetime:
        """When the authority ends, in UTC."""
        return x509.load_pem_x509_certificate(self.certificate).not_valid_after_utc

    def issue(self, host: str, *, now: datetime.datetime | None = None) -> Certificates:
        """Sign a new certificate for the address that clients dial, with a key that was never used before.

        Parameters
        ----------
        host : str
            An IP address or a DNS name.
        now : datetime, optional
            Start of ``SERVER_LIFETIME``, in UTC; ``SLACK`` comes before and after it, as far as the authority's own
            time goes.
        """
        now = now or datetime.datetime.now(datetime.UTC)
        issuer = x509.load_pem_x509_certificate(self.certificate)
        issuer_key = cast(ec.EllipticCurvePrivateKey, serialization.load_pem_private_key(self.key, password=None))
        key = ec.generate_private_key(ec.SECP256R1())
        try:
            address: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(host))
        except ValueError:
            address = x509.DNSName(host)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "federation server")])
        start = max(now - SLACK, issuer.not_valid_before_utc)
        end = min(now + SERVER_LIFETIME + SLACK, issuer.not_valid_after_utc)
        server = (
            _builder(name, issuer.subject, key, start, end)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(digital_signature=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectAlternativeName([address]), critical=False)
            .sign(issuer_key, hashes.SHA256())
        )
        return Certificates(self.certificate, server.public_bytes(_PEM), _private(key))


def make_certificates(host: str, *, now: datetime.datetime | None = None) -> Certificates:
    """Make an authority whose key is forgotten at once, and its certificate for one address."""
    return Authority.make(now=now).issue(host, now=now)


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def _builder(
    subject: x509.Name, issuer: x509.Name, key, start: datetime.datetime, end: datetime.datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
    )


def _key_usage(*, digital_signature: bool = False, key_cert_sign: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
