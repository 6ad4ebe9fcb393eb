"""Container life cycle of a job: folders, input, its command in a process of its own, log, output, verdict.

What a training job and a processing job do otherwise is in ``training`` and in ``processing``.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedded_aws.jobs import contract, folders, transfer
from embedded_aws.jobs.forkserver import Job
from embedded_aws.jobs.joblog import JobLog
from embedded_aws.jobs.process import JobProcess
from embedded_aws.network.way import NoSuchNetwork

if TYPE_CHECKING:
    from embedded_aws.network.way import Line

JOB_SITE = Path(__file__).with_name("jobsite")
REASON_CHARACTERS = 1024
GRACE, GRACE_SECONDS = "EMBEDDED_AWS_STOP_GRACE", 3.0  # what is 120 s on AWS
# All that a job takes over from the machine: not the user's home, proxies, tokens or AWS settings.
INHERITED = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
log = logging.getLogger(__name__)


class JobFailed(Exception):
    """Why a job fails; the text is its FailureReason."""


def installed(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment in which an image's libraries are imported: all that is not one very job's.

    Parameters
    ----------
    environment : mapping
        The request's.
    """
    machine = {name: os.environ[name] for name in INHERITED if name in os.environ}
    machine["PATH"] = os.pathsep.join(filter(None, [str(Path(sys.executable).parent), machine.get("PATH")]))
    python_path = [str(JOB_SITE), *filter(None, [environment.get("PYTHONPATH")])]
    return {
        "HOME": os.devnull,
        **machine,
        **environment,
        "PYTHONPATH": os.pathsep.join(python_path),
        "PYTHONUNBUFFERED": "1",
        "TRAINING_JOB_ARN": "",  # tells sitecustomize that it is in a job
    }


class Container:
    """Runs one job.

    Parameters
    ----------
    job : TrainingJob or ProcessingJob
        Its request is read, its status is moved on.
    folder : Path
        Belongs to the job alone, and is removed when it has ended, as an instance would be.
    client : callable
        ``client("s3")`` returns a boto3 client with the credentials of the execution role.
    credentials : mapping
        These credentials, region and endpoint as environment variables.
    plug_in : callable
        Connects the job to the network.

    Attributes
    ----------
    KIND : str
        What it runs, in words.
    HEARS : bool
        Whether the command hears that it is to stop: only if it is the container's first process.
    """

    KIND, HEARS = "", False

    def __init__(
        self,
        job: Any,
        *,
        folder: Path,
        client: Callable[[str], Any],
        credentials: Mapping[str, str],
        plug_in: Callable[[], Line],
    ) -> None:
        self.job, self.folder, self._credentials = job, folder, credentials
        self._plug_in, self._line = plug_in, None
        self.base = folder / "opt" / "ml"
        self._make_client = client
        self._clients: dict[str, Any] = {}
        self._process: JobProcess | None = None
        self._stopping: str | None = None
        self._lock = threading.Lock()
        self._log: JobLog | None = None

    def stop(self, why: str = "Stopped") -> None:
        """End the job early: SIGTERM if the command hears it, SIGKILL after the grace that it has to end by itself."""
        grace = float(os.environ.get(GRACE) or GRACE_SECONDS)
        with self._lock:
            self._stopping = self._stopping or why
            if self._process:
                if self.HEARS:
                    self._process.ask_to_end()
                self._process.terminate(grace=grace)

    def _client(self, service: str) -> Any:
        if service not in self._clients:
            self._clients[service] = self._make_client(service)
        return self._clients[service]

    def run(self) -> None:
        """Take the job from Starting to its end, whatever happens on the way."""
        try:
            self._prepare()
            code = self._work() if not self._stopping else 0
            self._conclude(code)
        except JobFailed as failure:
            self._finish("Failed", str(failure))
        except transfer.TransferError as error:
            self._finish("Failed", f"ClientError: Failed to upload: {error}")
        except Exception as error:
            log.exception("job %s", self.job.name)
            reason = f"InternalServerError: the embedded AWS failed, see its log ({type(error).__name__}: {error})"
            self._finish("Failed", reason.replace(str(self.base), "/opt/ml"))

    def _prepare(self) -> None:
        """Have all that the command needs."""
        raise NotImplementedError

    def _work(self) -> int:
        """Run the command; return its exit code."""
        raise NotImplementedError

    def _conclude(self, code: int) -> None:
        """Store what there is to store, and finish."""
        raise NotImplementedError

    def _set_up(self, *names: str) -> None:
        """Make the folders of ``/opt/ml``, and plug the job in."""
        folders.remove(self.folder)
        for name in names:
            (self.base / name).mkdir(parents=True)
        (self.folder / "home").mkdir()
        try:
            self._line = self._plug_in()
        except NoSuchNetwork as error:
            raise JobFailed(f"ClientError: {error}") from error
        self.job.enter("Downloading", "Downloading input data")
        if unreached := self._s3_out_of_reach():
            raise JobFailed(f"ClientError: Data download failed: {unreached}")

    def _s3_out_of_reach(self) -> str | None:
        """Say why the network keeps the job from S3, if it does: SageMaker moves its data through the job's VPC."""
        verdict = self._line.service("s3")
        if verdict is None or verdict.allowed:
            return None
        return f"S3 cannot be reached from the job's VPC: {verdict.reason}"

    def _open_log(self, group: str, metrics: Mapping[str, re.Pattern[str]]) -> None:
        stream = f"{self.job.name}/{contract.HOST}-{time.time_ns() // 1_000_000_000}"
        self._log = JobLog(self._client("logs"), stream, metrics=metrics, base=self.base, group=group)

    def _follow(self, make: Callable[[], Job], libraries: Mapping[str, str]) -> int:
        """Start the process, and wait for its end: its own, or that of the time that the job has."""
        with self._lock:
            if self._stopping:
                return 0
            self._process = JobProcess(make(), libraries=libraries, namespace=self._line.way.namespace)
        deadline = time.monotonic() + self.job.request["StoppingCondition"].get("MaxRuntimeInSeconds", 86_400)
        code = self._process.follow(self._log.feed, lambda: self._tick(deadline))
        self._log.flush()
        return code

    def _tick(self, deadline: float) -> float | None:
        waits = [self._log.tick()]
        if not self._stopping:
            if time.monotonic() >= deadline:
                self.job.enter("Stopping", f"Stopping the {self.KIND} job")
                self.stop("MaxRuntimeExceeded")
            else:
                waits.append(deadline - time.monotonic())
        return min((wait for wait in waits if wait is not None), default=None)

    def _store(self, uploads: Iterable[Callable[[], None]]) -> list[str]:
        """Upload what can be; return what is wrong with the rest."""
        if unreached := self._s3_out_of_reach():
            return [unreached]
        errors: dict[str, None] = {}
        for upload in uploads:
            try:
                upload()
            except transfer.TransferError as error:
                errors[str(error)] = None
        return list(errors)

    def _finish(self, status: str, reason: str | None = None) -> None:
        if self._line:
            try:
                self._line.unplug()
            except Exception:  # the job has ended all the same
                log.exception("the network of job %s", self.job.name)
        secondary = self._stopping if status == "Stopped" and self._stopping else status
        # Before the end is told: from then on a new job may have this name.
        folders.remove(self.folder)
        for client in self._clients.values():
            client.close()
        self.job.finish(status, secondary, reason and reason[:REASON_CHARACTERS])

    def _left(self, name: str, n_bytes: int) -> bytes:
        """Return the beginning of a file in ``/opt/ml/output``; nothing if there is none."""
        file = self.base / "output" / name
        if not file.is_file():  # to open a pipe would wait for ever
            return b""
        try:
            with file.open("rb") as opened:
                return opened.read(n_bytes)
        except OSError:
            return b""
