"""What libraries write by themselves does not push a job's own lines out of the end of its log."""

import pytest
from training_desk import Desk

from workshop.aws.kickoff import QUIET

# A server without TLS, and a client that insists on it: the handshake fails again and again, for a second.
HANDSHAKES = """
import sys
from concurrent import futures
import flwr.client, grpc
server = grpc.server(futures.ThreadPoolExecutor())
port = server.add_insecure_port("127.0.0.1:0")
server.start()
options = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.min_reconnect_backoff_ms", 100)]
channel = grpc.secure_channel(f"127.0.0.1:{port}", grpc.ssl_channel_credentials(), options)
try:
    grpc.channel_ready_future(channel).result(1)
except grpc.FutureTimeoutError:
    sys.exit("no server here")
"""


@pytest.fixture(scope="module")
def desk(aws):
    return Desk.open(aws.session("client-4"), "jobs-of-client-4")


@pytest.mark.parametrize("quiet", [False, True])
def test_with_the_request_s_environment_grpc_says_nothing(desk, quiet):
    name = f"handshakes-{quiet}".lower()
    job = desk.run(HANDSHAKES, name=name, Environment=QUIET if quiet else {})
    assert job["TrainingJobStatus"] == "Failed"
    if quiet:
        assert desk.lines(name) == ["no server here"]
    else:  # such lines name places in gRPC's source text
        assert any(".cc:" in line for line in desk.lines(name))
