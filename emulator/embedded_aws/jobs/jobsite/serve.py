"""Serve a model as SageMaker's scikit-learn container does: ``/ping`` and ``/invocations``, by functions of the user's.

Runs as ``python serve.py SOCKET`` in a model's process. The program (``SAGEMAKER_PROGRAM``) has ``model_fn(folder)``,
and ``input_fn(body, content_type)``, ``predict_fn(data, model)`` and ``output_fn(prediction, accept)``, or one function
``transform_fn(model, body, content_type, accept)``. The default handlers of the container are not here: a program that
lacks a function is refused at its start.

Source: sagemaker-inference 1.10.1, sagemaker-containers 2.8.6 (``_transformer``, ``_worker``), read.
"""

import importlib.util
import os
import socketserver
import sys
import traceback
from http.server import BaseHTTPRequestHandler
from types import ModuleType
from typing import Any

JSON = "application/json"
TEXT = (JSON, "text/csv")  # bodies of these come as text, others as bytes
DEFAULT_ACCEPT = "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT"


class Program:
    """The user's module and its model."""

    def __init__(self, path: str, folder: str) -> None:
        sys.path.insert(0, os.path.dirname(path))  # noqa: PTH120
        spec = importlib.util.spec_from_file_location("user_module", path)
        self.module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.module)
        if lacking := missing(self.module):
            raise AttributeError(f"{os.path.basename(path)} has no {', '.join(lacking)}")  # noqa: PTH119
        self.model = self.module.model_fn(folder)

    def answer(self, body: bytes, content_type: str, accept: str) -> tuple[bytes, str]:
        """Return what the user's functions make of a request: a body and its type."""
        content = body.decode() if content_type in TEXT else body
        if hasattr(self.module, "transform_fn"):
            made = self.module.transform_fn(self.model, content, content_type, accept)
        else:
            data = self.module.input_fn(content, content_type)
            made = self.module.output_fn(self.module.predict_fn(data, self.model), accept)
        text, kind = made if isinstance(made, tuple) else (made, "text/html; charset=utf-8")
        return text.encode() if isinstance(text, str) else bytes(text), kind


def missing(module: ModuleType) -> list[str]:
    """Return the functions that a program needs and has not."""
    needed = ["model_fn"]
    if not hasattr(module, "transform_fn"):
        needed += ["input_fn", "predict_fn", "output_fn"]
    return [name for name in needed if not hasattr(module, name)]


class Handler(BaseHTTPRequestHandler):
    """The two pages of the contract."""

    program: Program

    def do_GET(self) -> None:
        """Say that this serves."""
        self._send(200 if self.path == "/ping" else 404, b"", JSON)

    def do_POST(self) -> None:
        """Answer one request; whatever the user's functions raise is told in the log, and not to who asks."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        accept = self.headers.get("Accept") or "*/*"
        if accept == "*/*":
            accept = os.environ.get(DEFAULT_ACCEPT, JSON)
        status, kind = 200, JSON
        try:
            answer, kind = self.program.answer(body, self.headers.get("Content-Type") or JSON, accept)
        except Exception as error:
            traceback.print_exc()
            unknown = type(error).__name__ == "UnsupportedFormatError"
            status, answer = (415, str(error).encode()) if unknown else (500, b"Internal Server Error")
        self._send(status, answer, kind)

    def _send(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing of every request."""


class Socket(socketserver.UnixStreamServer):
    """Where requests come in."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Tell of what is wrong here, not of who has hung up."""
        if not isinstance(sys.exc_info()[1], OSError):
            traceback.print_exc()


def main(at: str) -> None:
    """Load the program and its model, then serve until this process is ended."""
    os.environ.pop("TRAINING_JOB_ARN", None)  # of the embedded AWS, not of the contract
    program = os.path.join(os.environ["SAGEMAKER_SUBMIT_DIRECTORY"], os.environ["SAGEMAKER_PROGRAM"])  # noqa: PTH118
    Handler.program = Program(program, os.environ["SM_MODEL_DIR"])
    with Socket(at, Handler) as server:
        server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1])
