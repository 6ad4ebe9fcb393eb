"""Certificates of a cluster: a CA of its own, and what the CA says of the API server."""

from __future__ import annotations

import base64
import ssl
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFE = timedelta(days=3650)  # EKS's own is good for ten years
NAMES = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")


@dataclass(frozen=True)
class Authority:
    """A certificate authority: its certificate in PEM, and what its servers show."""

    certificate: bytes
    context: ssl.SSLContext

    @property
    def data(self) -> str:
        """The certificate as DescribeCluster tells it."""
        return base64.b64encode(self.certificate).decode()


def authority() -> Authority:
    """Make a CA, and the certificate of a server at 127.0.0.1 that it has signed."""
    now, key, server = (
        datetime.now(UTC),
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP256R1()),
    )
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kubernetes")])
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kube-apiserver")])
    usage = {
        "digital_signature": True, "content_commitment": False, "data_encipherment": False, "key_agreement": False,
        "encipher_only": False, "decipher_only": False, "crl_sign": False,
    }  # fmt: skip
    subject_id = x509.SubjectKeyIdentifier.from_public_key(key.public_key())

    def begun(name: x509.Name, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .issuer_name(issuer)
            .subject_name(name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + LIFE)
            # A client that checks strictly (Python 3.13) wants to find the CA by this.
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(subject_id), critical=False)
        )

    root = (
        begun(issuer, key.public_key())
        .add_extension(subject_id, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**usage | {"key_encipherment": True, "key_cert_sign": True}), critical=True)
        .sign(key, hashes.SHA256())
    )
    places = [x509.IPAddress(IPv4Address("127.0.0.1")), *(x509.DNSName(name) for name in NAMES)]
    shown = (
        begun(subject, server.public_key())
        .add_extension(x509.SubjectAlternativeName(places), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**usage | {"key_encipherment": True, "key_cert_sign": False}), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    secret = server.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Authority(_pem(root), _context(_pem(shown), secret))


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _context(certificate: bytes, secret: bytes) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # OpenSSL takes them from files only; this one is readable by nobody else, and gone at once.
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "server.pem")
        file.touch(mode=0o600)
        file.write_bytes(secret + certificate)
        context.load_cert_chain(file)
    return context
