"""A certificate authority for one federation: made at kick-off, worth nothing after it."""

from __future__ import annotations

import base64
import datetime
import ipaddress
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFETIME = datetime.timedelta(days=2)


@dataclass(frozen=True)
class Certificates:
    """What the server needs to prove itself, and what clients need to check it (PEM, in memory only)."""

    authority: bytes
    server: bytes
    server_key: bytes = field(repr=False)

    def authority_hyperparameter(self) -> str:
        """Return the authority as one word that fits a job's hyperparameter (2,500 characters at most)."""
        return base64.b64encode(x509.load_pem_x509_certificate(self.authority).public_bytes(_DER)).decode()


_DER = serialization.Encoding.DER
_PEM = serialization.Encoding.PEM


def make_certificates(host: str, *, now: datetime.datetime | None = None) -> Certificates:
    """Make an authority and a server certificate for the address that clients dial.

    The authority's private key is forgotten at once: nobody can sign a second server.

    Parameters
    ----------
    host : str
        An IP address or a DNS name.
    now : datetime, optional
        Start of the two days of validity, in UTC.
    """
    start = (now or datetime.datetime.now(datetime.UTC)) - datetime.timedelta(minutes=5)
    authority_key, server_key = (
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP256R1()),
    )
    authority_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "federation authority")])
    authority = (
        _builder(authority_name, authority_name, authority_key, start)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(key_cert_sign=True), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    try:
        address: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        address = x509.DNSName(host)
    server_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "federation server")])
    server = (
        _builder(server_name, authority_name, server_key, start)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    key = server_key.private_bytes(
        _PEM, serialization.PrivateFormat.PKCS8, encryption_algorithm=serialization.NoEncryption()
    )
    return Certificates(authority.public_bytes(_PEM), server.public_bytes(_PEM), key)


def _builder(subject: x509.Name, issuer: x509.Name, key, start: datetime.datetime) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + LIFETIME)
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
