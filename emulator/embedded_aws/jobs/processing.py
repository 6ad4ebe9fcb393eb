"""Container of a processing job: inputs come, one command runs, and outputs go if it ends well.

Source: AWS, SageMaker developer guide, "How to Build Your Own Processing Container", with "How Amazon SageMaker
Processing Runs Your Processing Container Image" and "Save and Access Metadata Information About Your Processing Job".
"""

from __future__ import annotations

import codecs
import json
import sys
from pathlib import Path
from typing import Any

from embedded_aws.jobs import contract, spark, transfer
from embedded_aws.jobs.container import JOB_SITE, REASON_CHARACTERS, Container, JobFailed, installed
from embedded_aws.jobs.forkserver import Job
from embedded_aws.jobs.process import MARK

GROUP = "/aws/sagemaker/ProcessingJobs"
ROOT = "/opt/ml/"
# In the words of AWS: aws/sagemaker-spark-container's tests compare them.
SEE_LOGS = "AlgorithmError: See job logs for more information"


def command(request: dict[str, Any]) -> list[str]:
    """Return the words of what the container is to run; the Spark image has an entrypoint of its own.

    >>> command({"AppSpecification": {"ImageUri": "x/sagemaker-spark-processing:3.5", "ContainerArguments": ["/a.py"]}})
    ['smspark-submit', '/a.py']
    """
    application = request["AppSpecification"]
    image = [spark.SUBMIT] if is_spark(application["ImageUri"]) else []
    return [*application.get("ContainerEntrypoint", image), *application.get("ContainerArguments", [])]


def is_spark(image: str) -> bool:
    """Tell whether an image is SageMaker's for Spark."""
    return "/sagemaker-spark-processing" in image


class ProcessingContainer(Container):
    """Runs one processing job. The command is the container's first process, and hears that it is to stop."""

    KIND, HEARS = "processing", True

    def __init__(self, job: Any, **arguments: Any) -> None:
        super().__init__(job, **arguments)
        self._installed = installed(job.request.get("Environment", {}))
        del self._installed["TRAINING_JOB_ARN"]

    def _prepare(self) -> None:
        self._set_up("config", "output", "processing")
        (self.folder / "stage").mkdir()  # see jobsite/inside.py
        request, s3 = self.job.request, self._client("s3")
        if is_spark(request["AppSpecification"]["ImageUri"]):
            (self.folder / "spark").mkdir()
            self._installed |= spark.environment(self._installed, self.folder / "spark")
        try:
            for given in request.get("ProcessingInputs", []):
                source = given["S3Input"]
                transfer.download_prefix(s3, source["S3Uri"], self._folder(source["LocalPath"]))
        except transfer.TransferError as error:
            raise JobFailed(f"ClientError: Data download failed: {error}") from error
        for taken in self._outputs:
            self._folder(taken["LocalPath"]).mkdir(parents=True, exist_ok=True)

    def _folder(self, local_path: str) -> Path:
        """Return what stands for a folder of the container's."""
        return self.base / local_path.removeprefix(ROOT).strip("/")

    @property
    def _outputs(self) -> list[dict[str, str]]:
        return [output["S3Output"] for output in self.job.request.get("ProcessingOutputConfig", {}).get("Outputs", [])]

    def _work(self) -> int:
        hosts = {"current_host": contract.HOST, "hosts": [contract.HOST]}
        for name, content in (("processingjobconfig", self.job.config()), ("resourceconfig", hosts)):
            (self.base / "config" / f"{name}.json").write_text(json.dumps(content))
        self._open_log(GROUP, {})
        program, *arguments = command(self.job.request)
        words = spark.program(arguments) if program == spark.SUBMIT else [sys.executable, *arguments]
        inside = [str(JOB_SITE / "inside.py"), str(self.folder), *words]
        home = str(self.folder / "home")
        # The process becomes another program at once: it is forked where training jobs without variables are.
        return self._follow(
            lambda: Job(inside, cwd=home, env=self._environment(home), name=self.job.name, fresh=False), installed({})
        )

    def _environment(self, home: str) -> dict[str, str]:
        return {
            **self._installed,
            "HOME": self.job.request.get("Environment", {}).get("HOME", home),
            # A container without a network gets no credentials either.
            **({} if self.job.isolated else self._credentials),
            **self._line.way.environment,
            MARK: self.job.arn,
        }

    def _conclude(self, code: int) -> None:
        message = self._left("message", REASON_CHARACTERS)
        try:  # the last character may be cut in two
            text = codecs.getincrementaldecoder("utf-8")().decode(message, final=len(message) < REASON_CHARACTERS)
        except UnicodeDecodeError:
            raise JobFailed("ClientError: the text in /opt/ml/output/message is not UTF-8") from None
        self.job.message = text.replace(str(self.base), "/opt/ml")
        if code == 0:  # AWS, ProcessingS3Output: uploaded "after the job completes"; of failed jobs it says nothing
            s3, key = self._client("s3"), self.job.request.get("ProcessingOutputConfig", {}).get("KmsKeyId", "")
            errors = self._store(
                lambda taken=taken: transfer.upload_folder(
                    s3, self._folder(taken["LocalPath"]), taken["S3Uri"], base=self.base, key_id=key
                )
                for taken in self._outputs
            )
            if errors:
                raise transfer.TransferError("; ".join(errors))
        if self._stopping:
            self._finish("Stopped")
        elif code:
            self._finish("Failed", SEE_LOGS)
        else:
            self._finish("Completed")
