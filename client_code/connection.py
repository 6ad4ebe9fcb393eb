"""gRPC connection to the Flower server, with retries: dial, answer, dial again when it breaks, end when told to.

Flower's own ``start_client`` gives up at the first broken connection and never notices a server that has vanished
without a word; its messages and its gRPC service are used here as they are (docs/decisions/0002-flower-transport.md).
"""

from __future__ import annotations

import logging
import queue
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import grpc
from flwr.client import Client
from flwr.common import (
    Code,
    EvaluateRes,
    FitRes,
    GetParametersRes,
    GetPropertiesRes,
    Parameters,
    Status,
    serde,
)
from flwr.proto.transport_pb2 import ClientMessage, Reason, ServerMessage
from flwr.proto.transport_pb2_grpc import FlowerServiceStub

QUESTIONS = ("get_properties", "get_parameters", "fit", "evaluate")
LARGEST_MESSAGE = 64 * 1024 * 1024  # bytes
# gRPC's channel arguments that both ends must agree on.
BOTH_ENDS = [
    # A connection over which nothing came for 20 s is asked whether it lives, and given up 20 s later. It also keeps
    # routers from forgetting it.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.ping_timeout_ms", 20_000),  # for gRPC's own pings, behind which the keepalive's wait; else 60 s
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.max_receive_message_length", LARGEST_MESSAGE),
    ("grpc.max_send_message_length", LARGEST_MESSAGE),
]
OPTIONS = [
    *BOTH_ENDS,
    # gRPC's own attempts take up to 20 s, and its pauses between them grow to two minutes.
    ("grpc.min_reconnect_backoff_ms", 5_000),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 500),
]
PAUSE = 0.2  # seconds between two attempts
# Flower has no word for "I will not": any status but OK, with the reason as its text.
_NO_ANSWER = {
    "get_properties": lambda status: GetPropertiesRes(status, {}),
    "get_parameters": lambda status: GetParametersRes(status, Parameters([], "")),
    "fit": lambda status: FitRes(status, Parameters([], ""), 0, {}),
    "evaluate": lambda status: EvaluateRes(status, 0.0, 0, {}),
}
_OUT_OF_DATE = {"certificate is not yet valid": "yet", "certificate has expired": "any more"}  # gRPC's words


class ServerError(Exception):
    """The server is not there, is not the right one, or has gone; one line that is safe to show."""


class NoAnswer(ServerError):
    """Nobody answers at the server's address."""


def stay(
    client: Client, address: str, *, root_certificates: bytes, deadline: float, longest_pause: float = PAUSE
) -> None:
    """Answer the server's questions until it says that the federation is over.

    Parameters
    ----------
    client : flwr.client.Client
        Who answers.
    address : str
        ``host:port`` of the Flower server.
    root_certificates : bytes
        The federation's authority, PEM.
    deadline : float
        Seconds without a server after which to give up, at the beginning and whenever the connection broke.
    longest_pause : float
        Seconds to which the pauses between two attempts grow.

    Raises
    ------
    NoAnswer
        If nothing answers in that time.
    ServerError
        At once if something does that the authority did not sign.
    Stopped
        If the server says that this job is being stopped.
    """
    welcome, turned_away = time.monotonic(), ""
    while time.monotonic() - welcome < deadline:
        with dial(address, root_certificates) as channel:
            wait_for_server(channel, address, deadline=deadline, longest_pause=longest_pause)
            try:
                if _converse(client, channel):
                    return
                welcome = time.monotonic()
                logging.info("the connection to the server at %s broke: dialling again", address)
            except _NotYet as error:
                turned_away = str(error)
        time.sleep(PAUSE)
    raise ServerError(f"the server at {address} turned this job away for {deadline:.0f} s: {turned_away}")


def dial(address: str, root_certificates: bytes) -> grpc.Channel:
    """Return a channel to ``host:port`` that trusts one authority."""
    return grpc.secure_channel(address, grpc.ssl_channel_credentials(root_certificates), options=OPTIONS)


class Declined(Exception):
    """The client does not answer this question, and says why in one line that is safe to show; it stays."""


class _NotYet(Exception):
    """The server turned this connection away, but a later one may be welcome."""


class Stopped(Exception):
    """The server has seen that this job is being stopped: there is time to save what is there, and no more."""


def _converse(client: Client, channel: grpc.Channel) -> bool:
    """Answer until the connection ends; return whether the server ended it with a good-bye."""
    answers: queue.SimpleQueue[ClientMessage | None] = queue.SimpleQueue()
    questions: Iterator[ServerMessage] = FlowerServiceStub(channel).Join(iter(answers.get, None))
    try:
        for question in questions:
            kind = (question.WhichOneof("msg") or "").removesuffix("_ins")
            if kind == "reconnect":
                answers.put(ClientMessage(disconnect_res=ClientMessage.DisconnectRes(reason=Reason.ACK)))
                answers.put(None)
                return True
            answers.put(_answer(client, kind, question))
    except grpc.RpcError as error:
        logging.info("connection lost: %s", error.code().name)
    finally:
        answers.put(None)
    return False


def _answer(client: Client, kind: str, question: ServerMessage) -> ClientMessage:
    if kind not in QUESTIONS:
        raise ServerError("the server asked something that this version of Flower does not know")
    instruction = getattr(serde, f"{kind}_ins_from_proto")(getattr(question, f"{kind}_ins"))
    if kind == "get_properties" and instruction.config.get("stopped"):
        raise Stopped
    if kind == "get_properties" and (why := str(instruction.config.get("refused", ""))[:500]):
        raise _NotYet(why) if instruction.config.get("again") else ServerError(f"the server refused this job: {why}")
    try:
        answer = getattr(client, kind)(instruction)
    except Declined as error:
        answer = _NO_ANSWER[kind](Status(Code.FIT_NOT_IMPLEMENTED, str(error)))
    return ClientMessage(**{f"{kind}_res": getattr(serde, f"{kind}_res_to_proto")(answer)})


def wait_for_server(channel: grpc.Channel, address: str, *, deadline: float, longest_pause: float = PAUSE) -> None:
    """Return as soon as the server answers with a certificate of its authority.

    Asked as Flower asks, by gRPC: through the proxy that ``grpc_proxy`` names, if there is one.

    Raises
    ------
    NoAnswer
        If nothing answers within ``deadline`` seconds.
    ServerError
        At once if something does that the authority did not sign, or whose certificate is out of date by this clock.
    """
    give_up, pause = time.monotonic() + deadline, PAUSE
    ask = channel.unary_unary("/federation/AreYouThere")  # no server knows this: any answer is an answer
    while True:
        try:
            ask(b"", timeout=max(0.1, give_up - time.monotonic()))
            return
        except grpc.RpcError as error:
            code, details = error.code(), error.details() or ""
        if code not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
            return
        if when := next((when for sign, when in _OUT_OF_DATE.items() if sign in details), ""):
            raise ServerError(
                f"the certificate of the server at {address} is not valid {when} by this job's clock "
                f"({datetime.now(UTC):%Y-%m-%d %H:%M} UTC): compare the clocks of the server's machine and this one's, "
                "set the one that is wrong, and start the job again"
            )
        if "certificate" in details.lower() or "Hostname Verification" in details:
            raise ServerError(
                f"what answers at {address} has a certificate that is not signed by the authority this job was "
                "given, or for another address: start the job again with the address and the authority of the "
                "server's notebook"
            )
        if time.monotonic() + pause > give_up:
            raise NoAnswer(
                f"no Flower server at {address} within {deadline:.0f} s ({_reason(details)}): is the server's "
                "notebook running, and do routes, peering and security groups let this subnet reach it?"
            )
        time.sleep(pause)
        pause = min(1.3 * pause, longest_pause)


def _reason(details: str) -> str:
    """Put what gRPC says into two words."""
    if "response code 502" in details or "Connection refused" in details:
        return "connection refused"
    return "TLS failed" if "handshake" in details else "no answer"
