"""Model server: a model's container, its archive unpacked, its program in a process of its own, asked over HTTP.

The process listens at a socket of the file system, where a container has port 8080: who asks is in another network.
"""

from __future__ import annotations

import http.client
import logging
import os
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from embedded_aws.jobs import contract, folders, transfer
from embedded_aws.jobs.archive import ArchiveError, unpack
from embedded_aws.jobs.container import JOB_SITE, installed
from embedded_aws.jobs.forkserver import Job
from embedded_aws.jobs.joblog import JobLog
from embedded_aws.jobs.process import JobProcess

if TYPE_CHECKING:
    from embedded_aws.network.way import Line

CODE = "/opt/ml/model/code"
PING_SECONDS = 60.0  # until a container must answer; minutes on AWS
ANSWER_SECONDS = 60.0  # for one request; AWS, InvokeEndpoint
log = logging.getLogger(__name__)
_SOCKETS: set[Path] = set()  # folders outside of this server's own


class ServingFailed(Exception):
    """Why a model is not served."""


class Answer(NamedTuple):
    """What a model's program says to a request."""

    status: int
    content_type: str
    body: bytes


class Server:
    """One instance that serves one model.

    Parameters
    ----------
    name, arn : str
        Of the endpoint or job that it belongs to.
    folder : Path
        Belongs to it alone, and is removed with it.
    model_data : str
        URI of ``model.tar.gz``.
    environment : mapping
        The model's, which names the program.
    client, credentials, plug_in
        As for ``Container``; no credentials reach a model without a network.
    group, stream : str
        Of its log.
    """

    def __init__(
        self,
        name: str,
        arn: str,
        *,
        folder: Path,
        model_data: str,
        environment: Mapping[str, str],
        client: Callable[[str], Any],
        credentials: Mapping[str, str],
        plug_in: Callable[[], Line],
        group: str,
        stream: str,
    ) -> None:
        self.name, self.arn, self.folder, self.model_data = name, arn, folder, model_data
        self.environment, self.credentials, self._client = environment, credentials, client
        self.group, self.stream = group, stream
        self._plug_in, self._line = plug_in, None
        self._process: JobProcess | None = None
        self._ended = threading.Event()
        self._asking = threading.Lock()
        self._socket = Path(tempfile.mkdtemp(prefix="fl-")) / "http"  # such names must be short
        _SOCKETS.add(self._socket.parent)
        self.log: JobLog | None = None

    def start(self) -> None:
        """Bring it up; return when it answers.

        Raises
        ------
        ServingFailed
            If it does not.
        """
        base = self.folder / "opt" / "ml"
        folders.remove(self.folder)
        (base / "model").mkdir(parents=True)
        (self.folder / "home").mkdir()
        archive = self.folder / "model.tar.gz"
        try:
            transfer.download_file(self._client("s3"), self.model_data, archive)
            unpack(archive, base / "model")
        except (transfer.TransferError, ArchiveError) as error:
            raise ServingFailed(f"the model data cannot be used: {error}") from error
        program = self.environment["SAGEMAKER_PROGRAM"]
        code = base / "model" / "code"
        if not (code / program).is_file():
            raise ServingFailed(f"the model data holds no code/{program}, which SAGEMAKER_PROGRAM names")
        self._line = self._plug_in()
        self.log = JobLog(self._client("logs"), self.stream, metrics={}, base=base, group=self.group)
        command = [str(JOB_SITE / "serve.py"), str(self._socket)]
        job = Job(command, cwd=str(code), env=self._environment(base), name=self.name, fresh=False)
        self._process = JobProcess(job, libraries=installed(self.environment), namespace=self._line.way.namespace)
        threading.Thread(target=self._follow, name=self.name, daemon=True).start()
        give_up = time.monotonic() + PING_SECONDS
        while not self._ended.is_set() and time.monotonic() < give_up:
            try:
                if self._ask("GET", "/ping").status == 200:
                    return
            except OSError:
                self._ended.wait(0.05)
        raise ServingFailed("it does not answer /ping: see its log")

    def invoke(self, body: bytes, *, content_type: str, accept: str) -> Answer:
        """Ask the model; one request after the other.

        Raises
        ------
        OSError
            If it has ended, or does not answer in time.
        """
        headers = {name: value for name, value in (("Content-Type", content_type), ("Accept", accept)) if value}
        with self._asking:
            return self._ask("POST", "/invocations", body, headers)

    def stop(self) -> None:
        """End it, and leave nothing of it; done twice, it does no harm."""
        if self._process:
            self._process.terminate(grace=0.0)
            self._ended.wait(10.0)
        line, self._line = self._line, None
        if line:
            line.unplug()
        folders.remove(self.folder)
        shutil.rmtree(self._socket.parent, ignore_errors=True)
        _SOCKETS.discard(self._socket.parent)

    def _ask(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] = {}) -> Answer:
        connection = _Connection(self._socket)
        try:
            connection.request(method, path, body, dict(headers))
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers.get("Content-Type", ""), answer.read())
        except http.client.HTTPException as error:
            raise OSError(str(error)) from error
        finally:
            connection.close()

    def _follow(self) -> None:
        try:
            self._process.follow(self.log.feed, self.log.tick)
            self.log.flush()
        except Exception:
            log.exception("the log of %s", self.name)
        self._ended.set()

    def _environment(self, base: Path) -> dict[str, str]:
        return {
            **installed(self.environment),
            "HOME": str(self.folder / "home"),
            **self.credentials,
            **self._line.way.environment,
            "CURRENT_HOST": contract.HOST,
            "PYTHONPATH": os.pathsep.join([str(JOB_SITE), str(base / "model" / "code")]),
            "SAGEMAKER_BIND_TO_PORT": "8080",
            "SAGEMAKER_SUBMIT_DIRECTORY": str(base / "model" / "code"),
            "SM_MODEL_DIR": str(base / "model"),
            "TRAINING_JOB_ARN": self.arn,  # by which its processes are found; the program does not see it
        }


class _Connection(http.client.HTTPConnection):
    """HTTP over a socket of the file system."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=ANSWER_SECONDS)
        self.path = path

    def connect(self) -> None:
        """Connect."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


def leave_nothing() -> None:
    """Remove the sockets of models that are still up when this server ends."""
    for folder in list(_SOCKETS):
        shutil.rmtree(folder, ignore_errors=True)
