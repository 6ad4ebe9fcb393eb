"""State of one processing job, as the API tells it and as its container reads it."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from moto.sagemaker.exceptions import AWSValidationException

from embedded_aws.services.sagemaker.hosted import Hosted

if TYPE_CHECKING:
    from embedded_aws.jobs.processing import ProcessingContainer

# Returned by DescribeProcessingJob as they came.
_KEPT = (
    "AppSpecification", "Environment", "NetworkConfig", "ProcessingInputs", "ProcessingOutputConfig",
    "ProcessingResources", "RoleArn", "StoppingCondition",
)  # fmt: skip


class ProcessingJob(Hosted):
    """What DescribeProcessingJob tells about one job; its container moves it on."""

    KIND, NAME = "processing-job", "ProcessingJob"

    def __init__(self, request: dict[str, Any], *, account: str, region: str) -> None:
        super().__init__(request, account=account, region=region)
        self.status = "InProgress"
        self.started: datetime | None = None
        self.ended: datetime | None = None
        self.reason, self.message = "", ""
        self.container: ProcessingContainer | None = None
        self._lock = threading.RLock()

    @property
    def machine(self) -> str:
        """The type of its instance."""
        return self.request["ProcessingResources"]["ClusterConfig"]["InstanceType"]

    @property
    def isolated(self) -> bool:
        """Whether its container has no network."""
        return self.request.get("NetworkConfig", {}).get("EnableNetworkIsolation", False)

    def enter(self, step: str, _message: str) -> None:
        """Begin the next stretch of the job's life; of most of them this API tells nothing."""
        with self._lock:
            self.modified = datetime.now(UTC)
            if step == "Stopping":
                self.status = "Stopping"
            if step == "Downloading":
                self.started = self.modified

    def finish(self, status: str, _secondary: str, reason: str | None) -> None:
        """End the job."""
        with self._lock:
            self.ended = self.modified = datetime.now(UTC)
            self.started = self.started or self.ended
            self.status, self.reason = status, reason or ""
            self.container = None  # with its clients, its log and what is left of its process

    def stop(self) -> None:
        """Ask the job to end."""
        with self._lock:
            if self.status != "InProgress":
                raise AWSValidationException(
                    f"The request was rejected because the processing job is in status {self.status}."
                )
            self.enter("Stopping", "")
            container = self.container
        container.stop()

    def described(self) -> dict[str, Any]:
        """Return what a description and a list both tell."""
        told = {
            "LastModifiedTime": self.modified, "ProcessingEndTime": self.ended, "FailureReason": self.reason,
            "ExitMessage": self.message,
        }  # fmt: skip
        return super().described() | {"ProcessingJobStatus": self.status} | {k: v for k, v in told.items() if v}

    def describe(self) -> dict[str, Any]:
        """Return what DescribeProcessingJob tells."""
        with self._lock:
            kept = {name: self.request[name] for name in _KEPT if name in self.request}
            return self.described() | kept | ({"ProcessingStartTime": self.started} if self.started else {})

    def config(self) -> dict[str, Any]:
        """Return ``processingjobconfig.json``; what the request leaves out is null in it."""
        kept = {name: self.request[name] for name in _KEPT if name in self.request}
        application = {"ContainerEntrypoint": None, "ContainerArguments": None} | kept["AppSpecification"]
        machine = {"VolumeKmsKeyId": None} | kept["ProcessingResources"]["ClusterConfig"]
        output = {"KmsKeyId": None, "Outputs": []} | kept.get("ProcessingOutputConfig", {})
        return {
            "ProcessingJobArn": self.arn, "ProcessingJobName": self.name, "Environment": {}, "ProcessingInputs": [],
            **kept, "AppSpecification": application, "ProcessingResources": {"ClusterConfig": machine},
            "ProcessingOutputConfig": output,
        }  # fmt: skip
