"""A company's certificate authority and proxy: who clients are is asked as boto3 asks everything else."""

import http.server
import ssl
import threading

import boto3
import botocore.session
import pytest

from workshop.federation import tls
from workshop.federation.identity import BOUND, IdentityError, Verifier

ARN = "arn:aws:sts::444455556666:assumed-role/FL-client-job-execution/SageMaker"
SIGNED = ";".join(["host", "x-amz-date", *BOUND])
PROOF = {
    "authorization": f"AWS4-HMAC-SHA256 Credential=x, SignedHeaders={SIGNED}, Signature=0",
    "x-amz-date": "20261128T000000Z",
    "x-fl-nonce": "once",
    "x-fl-federation": "ours",
    "x-fl-job": "fl-client-1-abcd-1",
}


class _Sts(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append(self.path)
        body = f"<GetCallerIdentityResponse><Arn>{ARN}</Arn></GetCallerIdentityResponse>".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture(autouse=True)
def of_nobody(monkeypatch):
    """Take away what this machine itself has to say."""
    for name in ("AWS_CA_BUNDLE", "HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def serve():
    """Return a function that serves what STS would answer, on loopback."""
    running = []

    def start(context=None):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Sts)
        server.asked = []
        if context:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        running.append(server)
        return server

    yield start
    for server in running:
        server.shutdown()
        server.server_close()


@pytest.fixture
def behind_a_company_s_authority(serve, tmp_path):
    """Serve STS with a certificate of a company's own authority; return the URL and the authority's file."""
    certificates = tls.make_certificates("127.0.0.1")
    for name in ("authority", "server", "server_key"):
        (tmp_path / name).write_bytes(getattr(certificates, name))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server", tmp_path / "server_key")
    return f"https://127.0.0.1:{serve(context).server_port}", tmp_path / "authority"


def verifier(tmp_path, endpoint, **settings):
    settings = {"region": "us-east-1", "endpoint_url": endpoint, **settings}
    lines = [f"{name} = {value}" for name, value in settings.items()]
    (tmp_path / "config").write_text("\n".join(["[profile company]", *lines, ""]))
    core = botocore.session.Session()
    core.set_config_variable("config_file", str(tmp_path / "config"))
    core.set_config_variable("profile", "company")
    core.set_credentials("x", "x")
    return Verifier(boto3.Session(botocore_session=core), "ours")


def test_the_profile_s_authority_is_trusted(behind_a_company_s_authority, tmp_path):
    endpoint, authority = behind_a_company_s_authority
    caller = verifier(tmp_path, endpoint, ca_bundle=authority).caller(PROOF, "once")
    assert (caller.account, caller.role) == ("444455556666", "FL-client-job-execution")


def test_the_variable_s_authority_is_trusted(behind_a_company_s_authority, tmp_path, monkeypatch):
    endpoint, authority = behind_a_company_s_authority
    monkeypatch.setenv("AWS_CA_BUNDLE", str(authority))
    assert verifier(tmp_path, endpoint).caller(PROOF, "once").account == "444455556666"


def test_any_other_is_not(behind_a_company_s_authority, tmp_path):
    endpoint, _ = behind_a_company_s_authority
    with pytest.raises(IdentityError, match="STS does not answer"):
        verifier(tmp_path, endpoint).caller(PROOF, "once")


def test_a_proxy_is_used(serve, tmp_path, monkeypatch):
    proxy = serve()
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.server_port}")
    assert verifier(tmp_path, "http://sts.example.test").caller(PROOF, "once").account == "444455556666"
    assert proxy.asked == ["http://sts.example.test/"]
