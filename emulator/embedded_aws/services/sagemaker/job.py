"""State of one training job, as the API tells it: its request, its status and every step on the way."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from math import ceil
from typing import TYPE_CHECKING, Any

from moto.sagemaker.exceptions import AWSValidationException

if TYPE_CHECKING:
    from embedded_aws.jobs.container import Container

ENDED = ("Completed", "Failed", "Stopped")
# Returned by DescribeTrainingJob as they came.
_KEPT = (
    "AlgorithmSpecification",
    "CheckpointConfig",
    "DebugHookConfig",
    "DebugRuleConfigurations",
    "EnableInterContainerTrafficEncryption",
    "EnableManagedSpotTraining",
    "EnableNetworkIsolation",
    "Environment",
    "ExperimentConfig",
    "HyperParameters",
    "InputDataConfig",
    "OutputDataConfig",
    "ResourceConfig",
    "RetryStrategy",
    "RoleArn",
    "StoppingCondition",
    "TensorBoardOutputConfig",
    "VpcConfig",
)


class TrainingJob:
    """What DescribeTrainingJob tells about one job; its container moves it on."""

    def __init__(self, request: dict[str, Any], *, account: str, region: str) -> None:
        self.request, self.account, self.region = request, account, region
        self.name = request["TrainingJobName"]
        self.arn = f"arn:aws:sagemaker:{region}:{account}:training-job/{self.name.lower()}"
        self.tags = request.get("Tags", [])
        self.status, self.secondary = "InProgress", "Starting"
        self.created = self.modified = datetime.now(UTC)
        self.started: datetime | None = None
        self.ended: datetime | None = None
        self.reason: str | None = None
        self.model_artifacts: str | None = None
        self.final_metrics: list[dict[str, Any]] = []
        self.container: Container | None = None
        self._transitions: list[dict[str, Any]] = []
        self._lock = threading.RLock()
        self.enter("Starting", "Preparing the instances for training")

    def enter(self, secondary: str, message: str) -> None:
        """Begin the next stretch of the job's life."""
        with self._lock:
            now = datetime.now(UTC)
            if self._transitions:
                self._transitions[-1]["EndTime"] = now
            # What a stopping job still does does not show.
            if self.status == "InProgress" or secondary in (*ENDED, "MaxRuntimeExceeded"):
                self._transitions.append({"Status": secondary, "StartTime": now, "StatusMessage": message})
                self.secondary = secondary
            if secondary == "Stopping":
                self.status = "Stopping"
            if secondary == "Downloading":
                self.started = now
            self.modified = now

    def finish(self, status: str, secondary: str, reason: str | None) -> None:
        """End the job."""
        messages = {"MaxRuntimeExceeded": "Training job runtime exceeded MaxRuntimeInSeconds provided"}
        with self._lock:
            self.enter(secondary, reason or messages.get(secondary, f"Training job {status.lower()}"))
            self.ended = self._transitions[-1]["EndTime"] = self.modified
            self.started = self.started or self.ended
            self.status, self.reason = status, reason
            self.container = None  # with its clients, its log and what is left of its process

    def stop(self) -> None:
        """Ask the job to end."""
        with self._lock:
            if self.status != "InProgress":
                raise AWSValidationException(
                    f"The request was rejected because the training job is in status {self.status}."
                )
            self.enter("Stopping", "Stopping the training job")
            container = self.container
        container.stop()

    @property
    def machine(self) -> str:
        """The type of its instance."""
        return self.request["ResourceConfig"]["InstanceType"]

    @property
    def training_job_name(self) -> str:
        """The name, under the name by which moto's Search filters."""
        return self.name

    @property
    def training_job_status(self) -> str:
        """The status, under the name by which moto's Search filters."""
        return self.status

    def gen_response_object(self) -> dict[str, Any]:
        """Return everything that is known, as the API spells it; moto's Search calls this too."""
        with self._lock:
            seconds = ceil((self.ended - self.started).total_seconds()) if self.ended else None
            artifacts = {"S3ModelArtifacts": self.model_artifacts} if self.model_artifacts else None
            members = {name: self.request[name] for name in _KEPT if name in self.request} | {
                "TrainingJobName": self.name,
                "TrainingJobArn": self.arn,
                "TrainingJobStatus": self.status,
                "SecondaryStatus": self.secondary,
                "SecondaryStatusTransitions": [dict(step) for step in self._transitions],
                "CreationTime": self.created,
                "LastModifiedTime": self.modified,
                "TrainingStartTime": self.started,
                "TrainingEndTime": self.ended,
                "TrainingTimeInSeconds": seconds,
                "BillableTimeInSeconds": seconds,
                "FailureReason": self.reason,
                "ModelArtifacts": artifacts,
                "FinalMetricDataList": self.final_metrics or None,
            }
        return {name: value for name, value in members.items() if value is not None}
