"""Container of a training job: script mode, as SageMaker's training toolkit runs a bundle's script."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from typing import Any

from embedded_aws.jobs import contract, folders, requirements, transfer
from embedded_aws.jobs.archive import ArchiveError, unpack
from embedded_aws.jobs.container import JOB_SITE, REASON_CHARACTERS, Container, JobFailed, installed
from embedded_aws.jobs.forkserver import Job
from embedded_aws.jobs.joblog import GROUP
from embedded_aws.jobs.nursery import NURSERY
from embedded_aws.jobs.process import KILLED


class TrainingContainer(Container):
    """Runs one training job.

    The container gets SIGTERM at once when it is stopped. There its first process is the training toolkit, which hands
    nothing on to the script: unless somebody else tells it, the script learns nothing (sagemaker-training-toolkit,
    issues 125 and 173).
    """

    KIND = "training"

    def __init__(self, job: Any, **arguments: Any) -> None:
        super().__init__(job, **arguments)
        self.site = self.folder / "site"  # what the bundle's wheels hold
        self._values = contract.decoded(job.request["HyperParameters"])

    def _prepare(self) -> None:
        NURSERY.prepare(self._installed)  # while the data comes
        self._set_up("input/config", "input/data", "model", "output/data", "code")
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

    def _work(self) -> int:
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
        self._open_log(GROUP, {item["Name"]: re.compile(item["Regex"]) for item in definitions})
        self.job.enter("Training", "Training image download completed. Training in progress.")
        return self._follow(
            lambda: Job(
                self.command, cwd=str(self.base / "code"), env=self._environment(variables), name=self.job.name,
                fresh=self.site.is_dir(),  # wheels may hold other versions of what is imported already
            ),
            self._installed,
        )  # fmt: skip

    @property
    def command(self) -> list[str]:
        """The script and its arguments, as ``sys.argv`` shows them."""
        values = contract.user_hyperparameters(self._values)
        return [self._values["sagemaker_program"], *contract.arguments(values)]

    @property
    def _installed(self) -> dict[str, str]:
        return installed(self.job.request.get("Environment", {}))

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

        errors = self._store((data, checkpoints) if failed else (model, data, checkpoints))
        if errors and not failed:  # else the script's own reason is the one to tell
            raise transfer.TransferError("; ".join(errors))
        if failed:
            self._finish("Failed", self._reason(code))
        else:
            self._finish("Stopped" if self._stopping else "Completed")

    def _finish(self, status: str, reason: str | None = None) -> None:
        if self._log:
            self.job.final_metrics = list(self._log.final_metrics.values())
        super()._finish(status, reason)

    def _reason(self, code: int) -> str:
        tail = f", exit code: {code}"
        text = self._left("failure", 4 * REASON_CHARACTERS).decode(errors="replace")
        text = text.replace(str(self.base), "/opt/ml").strip()
        if not text:
            error = "\n".join(self._log.last_errors)[-500:]
            extra = '\nExtraInfo "Process killed by SIGKILL (signal 9)"' if code == KILLED else ""
            command = " ".join(["python", *self.command])
            text = f'ExecuteUserScriptError:\nExitCode {code}\nErrorMessage "{error}"{extra}\nCommand "{command}"'
        head = f"AlgorithmError: {text}"
        return head[: REASON_CHARACTERS - len(tail)] + tail
