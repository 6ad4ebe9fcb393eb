"""The federation's certificates, checked by Python's own TLS on a real connection."""

import base64
import datetime
import socket
import ssl
import threading

import pytest
from cryptography import x509

from workshop.federation import tls


def handshake(certificates, authority: bytes, host: str, tmp_path) -> str:
    """Connect to a TLS server on loopback as ``host``; return the protocol that was agreed."""
    (tmp_path / "server.pem").write_bytes(certificates.server + certificates.server_key)
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(tmp_path / "server.pem")
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        connection, _ = listener.accept()
        try:
            server_side.wrap_socket(connection, server_side=True).close()
        except (ssl.SSLError, ConnectionError):
            connection.close()

    thread = threading.Thread(target=serve)
    thread.start()
    client_side = ssl.create_default_context(cadata=authority.decode())
    try:
        with socket.create_connection(listener.getsockname(), timeout=10) as connection:
            with client_side.wrap_socket(connection, server_hostname=host) as secured:
                return secured.version()
    finally:
        thread.join(timeout=10)
        listener.close()


def test_a_client_that_knows_the_authority_connects(tmp_path):
    certificates = tls.make_certificates("127.0.0.1")
    assert handshake(certificates, certificates.authority, "127.0.0.1", tmp_path) == "TLSv1.3"


def test_the_authority_of_another_federation_is_not_enough(tmp_path):
    stranger = tls.make_certificates("127.0.0.1")
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(tls.make_certificates("127.0.0.1"), stranger.authority, "127.0.0.1", tmp_path)


def test_a_certificate_for_another_address_is_refused(tmp_path):
    certificates = tls.make_certificates("10.0.0.5")
    with pytest.raises(ssl.SSLCertVerificationError, match="IP address mismatch"):
        handshake(certificates, certificates.authority, "127.0.0.1", tmp_path)


def test_an_expired_certificate_is_refused(tmp_path):
    long_ago = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    certificates = tls.make_certificates("127.0.0.1", now=long_ago)
    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        handshake(certificates, certificates.authority, "127.0.0.1", tmp_path)


@pytest.mark.parametrize("hours", [1 / 6, -3 * 24, 6 * 24, -6 * 24])
def test_a_server_whose_clock_is_some_days_off_is_believed(tmp_path, hours):
    clock = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=hours)
    certificates = tls.make_certificates("127.0.0.1", now=clock)
    assert handshake(certificates, certificates.authority, "127.0.0.1", tmp_path) == "TLSv1.3"


def test_an_authority_that_is_nearly_over_leaves_its_last_certificates_the_slack_for_clocks():
    now = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    issued = tls.Authority.make(now=now).issue("127.0.0.1", now=now + datetime.timedelta(days=14))
    assert issued.expires == now + datetime.timedelta(days=14 + 7)


def test_the_authority_fits_a_hyperparameter_and_reads_back():
    certificates = tls.make_certificates("server.example")
    word = certificates.authority_hyperparameter()
    assert len(word) < 2500  # SageMaker's limit for a hyperparameter's value
    assert not word.startswith("-")  # it would look like an option on the command line
    assert x509.load_der_x509_certificate(base64.b64decode(word)) == x509.load_pem_x509_certificate(
        certificates.authority
    )


def test_the_private_key_does_not_show_in_a_printed_value():
    assert "server_key" not in repr(tls.make_certificates("127.0.0.1"))


def test_the_server_s_certificate_does_not_outlive_its_authority():
    made = tls.make_certificates("10.0.0.1")
    authority, server = (x509.load_pem_x509_certificate(pem) for pem in (made.authority, made.server))
    assert authority.not_valid_before_utc <= server.not_valid_before_utc
    assert server.not_valid_after_utc <= authority.not_valid_after_utc
