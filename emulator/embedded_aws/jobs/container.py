"""Container life cycle of a training job: folders, input, the script in a process of its own, log, output, verdict."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedded_aws.jobs import contract, folders, requirements, transfer
from embedded_aws.jobs.archive import ArchiveError, unpack
from embedded_aws.jobs.forkserver import Job
from embedded_aws.jobs.joblog import JobLog
from embedded_aws.jobs.nursery import NURSERY
from embedded_aws.jobs.process import KILLED, JobProcess
from embedded_aws.network.way import NoSuchNetwork

if TYPE_CHECKING:
    from embedded_aws.network.way import Line
    from embedded_aws.services.sagemaker.training import TrainingJob

JOB_SITE = Path(__file__).with_name("jobsite")
REASON_CHARACTERS = 1024
GRACE, GRACE_SECONDS = "EMBEDDED_AWS_STOP_GRACE", 3.0  # what is 120 s on AWS
# All that a job takes over from the machine: not the user's home, proxies, tokens or AWS settings.
INHERITED = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
log = logging.getLogger(__name__)


class JobFailed(Exception):
    """Why a job fails; the text is its FailureReason."""


class Container:
    """Runs one job.

    Parameters
    ----------
    job : TrainingJob
        Its request is read, its status is moved on.
    folder : Path
        Belongs to the job alone, and is removed when it has ended, as an instance would be.
    client : callable
        ``client("s3")`` returns a boto3 client with the credentials of the execution role.
    credentials : mapping
        These credentials, region and endpoint as environment variables.
    plug_in : callable
        Connects the job to the network.
    """

    def __init__(
        self,
        job: TrainingJob,
        *,
        folder: Path,
        client: Callable[[str], Any],
        credentials: Mapping[str, str],
        plug_in: Callable[[], Line],
    ) -> None:
        self.job, self.folder, self._credentials = job, folder, credentials
        self._plug_in, self._line = plug_in, None
        self.base = folder / "opt" / "ml"
        self.site = folder / "site"  # what the bundle's wheels hold
        self._make_client = client
        self._clients: dict[str, Any] = {}
        self._process: JobProcess | None = None
        self._stopping: str | None = None
        self._lock = threading.Lock()
        self._values = contract.decoded(job.request["HyperParameters"])
        self._log: JobLog | None = None

    def stop(self, why: str = "Stopped") -> None:
        """End the job early: SIGKILL after the grace that a script has to end by itself.

        The container gets SIGTERM at once. There its first process is the training toolkit, which hands nothing on to
        the script: unless somebody else tells it, the script learns nothing (sagemaker-training-toolkit, issues 125
        and 173).
        """
        grace = float(os.environ.get(GRACE) or GRACE_SECONDS)
        with self._lock:
            self._stopping = self._stopping or why
            if self._process:
                self._process.terminate(grace=grace)

    def _client(self, service: str) -> Any:
        if service not in self._clients:
            self._clients[service] = self._make_client(service)
        return self._clients[service]

    def run(self) -> None:
        """Take the job from Starting to its end, whatever happens on the way."""
        try:
            self._prepare()
            code = self._train() if not self._stopping else 0
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
        NURSERY.prepare(self._installed)  # while the data comes
        folders.remove(self.folder)
        for name in ("input/config", "input/data", "model", "output/data", "code"):
            (self.base / name).mkdir(parents=True)
        (self.folder / "home").mkdir()
        try:
            self._line = self._plug_in()
        except NoSuchNetwork as error:
            raise JobFailed(f"ClientError: {error}") from error
        self.job.enter("Downloading", "Downloading input data")
        if unreached := self._s3_out_of_reach():
            raise JobFailed(f"ClientError: Data download failed: {unreached}")
        request, s3 = self.job.request, self._client("s3")
        try:
            for channel in request.get("InputDataConfig", []):
                source = channel["DataSource"]["S3DataSource"]["S3Uri"]
                transfer.download_prefix(s3, source, self.base / "input" / "data" / channel["ChannelName"])
            if checkpoints := request.get("CheckpointConfig"):
                transfer.download_prefix(
                    s3, transfer.below(checkpoints["S3Uri"]), self.base / "checkpoints", empty=True
                )
            bundle = self.folder / "source.tar.gz"
            transfer.download_file(s3, self._values["sagemaker_submit_directory"], bundle)
        except transfer.TransferError as error:
            raise JobFailed(f"ClientError: Data download failed: {error}") from error
        try:
            unpack(bundle, self.base / "code")
        except ArchiveError as error:
            raise JobFailed(f"ClientError: sagemaker_submit_directory is refused: {error}") from error
        self._check_bundle()

    def _s3_out_of_reach(self) -> str | None:
        """Say why the network keeps the job from S3, if it does: SageMaker moves its data through the job's VPC."""
        verdict = self._line.service("s3")
        if verdict is None or verdict.allowed:
            return None
        return f"S3 cannot be reached from the job's VPC: {verdict.reason}"

    def _check_bundle(self) -> None:
        code, program = self.base / "code", self._values["sagemaker_program"]
        if not (code / program).is_file():
            raise JobFailed(f"AlgorithmError: the bundle holds no {program}, which sagemaker_program names")
        if (code / "setup.py").exists():
            raise JobFailed("ClientError: the embedded AWS runs scripts, not packages: the bundle holds a setup.py")
        if (wheels := code / requirements.WHEELS).is_dir() and (error := requirements.install(wheels, self.site)):
            raise JobFailed(f"AlgorithmError: InstallRequirementsError: {error}"[:REASON_CHARACTERS])
        file = code / "requirements.txt"
        if file.is_file() and (complaints := requirements.unmet(file, self.site)):
            text = "; ".join(complaints)
            raise JobFailed(f"AlgorithmError: InstallRequirementsError: requirements.txt: {text}"[:REASON_CHARACTERS])

    def _train(self) -> int:
        request = self.job.request
        config = self.base / "input" / "config"
        resources = contract.resource_config(request["ResourceConfig"]["InstanceType"])
        channels = contract.input_data_config(request.get("InputDataConfig", []))
        for name, content in (
            ("hyperparameters", request["HyperParameters"]),
            ("resourceconfig", resources),
            ("inputdataconfig", channels),
        ):
            (config / f"{name}.json").write_text(json.dumps(content))
        variables = contract.environment(
            self.base, job_name=self.job.name, hyperparameters=self._values, resources=resources, channels=channels
        )
        definitions = request["AlgorithmSpecification"].get("MetricDefinitions", [])
        stream = f"{self.job.name}/{contract.HOST}-{time.time_ns() // 1_000_000_000}"
        patterns = {item["Name"]: re.compile(item["Regex"]) for item in definitions}
        self._log = JobLog(self._client("logs"), stream, metrics=patterns, base=self.base)
        self.job.enter("Training", "Training image download completed. Training in progress.")
        with self._lock:
            if self._stopping:
                return 0
            job = Job(
                self.command, cwd=str(self.base / "code"), env=self._environment(variables), name=self.job.name,
                fresh=self.site.is_dir(),  # wheels may hold other versions of what is imported already
            )  # fmt: skip
            self._process = JobProcess(job, libraries=self._installed, namespace=self._line.way.namespace)
        deadline = time.monotonic() + request["StoppingCondition"].get("MaxRuntimeInSeconds", 86_400)
        code = self._process.follow(self._log.feed, lambda: self._tick(deadline))
        self._log.flush()
        return code

    @property
    def command(self) -> list[str]:
        """The script and its arguments, as ``sys.argv`` shows them."""
        values = contract.user_hyperparameters(self._values)
        return [self._values["sagemaker_program"], *contract.arguments(values)]

    def _tick(self, deadline: float) -> float | None:
        waits = [self._log.tick()]
        if not self._stopping:
            if time.monotonic() >= deadline:
                self.job.enter("Stopping", "Stopping the training job")
                self.stop("MaxRuntimeExceeded")
            else:
                waits.append(deadline - time.monotonic())
        return min((wait for wait in waits if wait is not None), default=None)

    @property
    def _installed(self) -> dict[str, str]:
        """The environment in which an image's libraries are imported: all that is not this very job's."""
        machine = {name: os.environ[name] for name in INHERITED if name in os.environ}
        machine["PATH"] = os.pathsep.join(filter(None, [str(Path(sys.executable).parent), machine.get("PATH")]))
        own = self.job.request.get("Environment", {})
        python_path = [str(JOB_SITE), *filter(None, [own.get("PYTHONPATH")])]
        return {
            "HOME": os.devnull,
            **machine,
            **own,
            "PYTHONPATH": os.pathsep.join(python_path),
            "PYTHONUNBUFFERED": "1",
            "TRAINING_JOB_ARN": "",  # tells sitecustomize that it is in a job
        }

    def _environment(self, variables: Mapping[str, str]) -> dict[str, str]:
        own = self.job.request.get("Environment", {})
        # The bundle's folder is on the path of the script's own children, too: see test_toolkit_conformance.
        own_path = filter(None, [own.get("PYTHONPATH")])
        python_path = [str(JOB_SITE), str(self.site), str(self.base / "code"), *own_path]
        return {
            **self._installed,
            "HOME": own.get("HOME", str(self.folder / "home")),
            **variables,
            # A container without a network gets no credentials either.
            **({} if self.job.request["EnableNetworkIsolation"] else self._credentials),
            **self._line.way.environment,
            "CURRENT_HOST": contract.HOST,
            "PYTHONPATH": os.pathsep.join(python_path),
            "SAGEMAKER_JOB_NAME": "",
            "SAGEMAKER_REGION": contract.region(self._values, own),
            "TRAINING_JOB_ARN": self.job.arn,
            "TRAINING_JOB_NAME": self.job.name,
        }

    def _conclude(self, code: int) -> None:
        failed = code != 0 and not self._stopping
        request, s3 = self.job.request, self._client("s3")
        if self._stopping is None:
            self.job.enter("Uploading", "Uploading generated training model")
        output = transfer.below(request["OutputDataConfig"]["S3OutputPath"], f"{self.job.name}/output")
        how = {"base": self.base, "key_id": request["OutputDataConfig"].get("KmsKeyId", "")}

        def model() -> None:
            transfer.upload_archive(s3, self.base / "model", f"{output}/model.tar.gz", **how)
            self.job.model_artifacts = f"{output}/model.tar.gz"

        def data() -> None:
            failure, folder = self.base / "output" / "failure", self.base / "output" / "data"
            also = failure if failure.is_file() else None
            if also or any(folders.walk(folder)):
                transfer.upload_archive(s3, folder, f"{output}/output.tar.gz", also=also, **how)

        def checkpoints() -> None:
            if config := request.get("CheckpointConfig"):  # without it the folder is the script's own affair
                transfer.upload_folder(s3, self.base / "checkpoints", config["S3Uri"], **how)

        errors = [unreached] if (unreached := self._s3_out_of_reach()) else []
        for upload in () if errors else (data, checkpoints) if failed else (model, data, checkpoints):
            try:
                upload()
            except transfer.TransferError as error:  # what can be stored is
                errors.append(str(error))
        if errors and not failed:  # else the script's own reason is the one to tell
            raise transfer.TransferError("; ".join(dict.fromkeys(errors)))
        if failed:
            self._finish("Failed", self._reason(code))
        else:
            self._finish("Stopped" if self._stopping else "Completed")

    def _finish(self, status: str, reason: str | None = None) -> None:
        if self._log:
            self.job.final_metrics = list(self._log.final_metrics.values())
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

    def _failure_file(self) -> str:
        failure = self.base / "output" / "failure"
        if not failure.is_file():  # to open a pipe would wait for ever
            return ""
        try:
            with failure.open("rb") as file:
                text = file.read(4 * REASON_CHARACTERS)
        except OSError:
            return ""
        return text.decode(errors="replace").replace(str(self.base), "/opt/ml").strip()

    def _reason(self, code: int) -> str:
        tail = f", exit code: {code}"
        text = self._failure_file()
        if not text:
            error = "\n".join(self._log.last_errors)[-500:]
            extra = '\nExtraInfo "Process killed by SIGKILL (signal 9)"' if code == KILLED else ""
            command = " ".join(["python", *self.command])
            text = f'ExecuteUserScriptError:\nExitCode {code}\nErrorMessage "{error}"{extra}\nCommand "{command}"'
        head = f"AlgorithmError: {text}"
        return head[: REASON_CHARACTERS - len(tail)] + tail
