"""Models, batch transform jobs and endpoints as the API describes them: their requests, and how they stand."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from embedded_aws.jobs.serving import Server

VARIANT = {"VariantName", "ModelName", "InitialInstanceCount", "InstanceType", "InitialVariantWeight"}
_TRANSFORM = (
    "ModelName", "MaxConcurrentTransforms", "MaxPayloadInMB", "BatchStrategy", "Environment", "TransformInput",
    "TransformOutput", "TransformResources",
)  # fmt: skip


class Hosted:
    """Something with a name, an ARN and tags.

    Attributes
    ----------
    KIND, NAME : str
        As ARNs and requests spell it.
    """

    KIND, NAME = "", ""

    def __init__(self, request: dict[str, Any], *, account: str, region: str) -> None:
        self.request = request
        self.name = request[f"{self.NAME}Name"]
        self.arn = f"arn:aws:sagemaker:{region}:{account}:{self.KIND}/{self.name.lower()}"
        self.tags = request.get("Tags", [])
        self.created = self.modified = datetime.now(UTC)
        self.status = ""

    def described(self) -> dict[str, Any]:
        """Return what a description and a list both tell."""
        return {f"{self.NAME}Name": self.name, f"{self.NAME}Arn": self.arn, "CreationTime": self.created}


class Model(Hosted):
    """A model: which archive, in which image, by which role."""

    KIND, NAME = "model", "Model"

    def describe(self) -> dict[str, Any]:
        """Return what DescribeModel tells."""
        kept = {name: self.request[name] for name in ("PrimaryContainer", "ExecutionRoleArn")}
        isolated = self.request.get("EnableNetworkIsolation", False)
        return self.described() | kept | {"EnableNetworkIsolation": isolated}

    @property
    def environment(self) -> dict[str, str]:
        """Of its container."""
        return self.request["PrimaryContainer"].get("Environment", {})


class EndpointConfig(Hosted):
    """Which model on which machine."""

    KIND, NAME = "endpoint-config", "EndpointConfig"

    @property
    def variant(self) -> dict[str, Any]:
        """The only one."""
        return self.request["ProductionVariants"][0]

    def describe(self) -> dict[str, Any]:
        """Return what DescribeEndpointConfig tells."""
        variant = {"InitialVariantWeight": 1.0} | self.variant
        return self.described() | {"ProductionVariants": [variant], "EnableNetworkIsolation": False}


class Endpoint(Hosted):
    """A model that is up, and answers."""

    KIND, NAME = "endpoint", "Endpoint"

    def __init__(self, request: dict[str, Any], config: EndpointConfig, *, account: str, region: str) -> None:
        super().__init__(request, account=account, region=region)
        self.config, self.status, self.reason = config, "Creating", ""
        self.server: Server | None = None

    def enter(self, status: str, reason: str = "") -> None:
        """Change how it stands."""
        self.status, self.reason, self.modified = status, reason, datetime.now(UTC)

    def described(self) -> dict[str, Any]:
        """Return what a description and a list both tell."""
        return super().described() | {"LastModifiedTime": self.modified, "EndpointStatus": self.status}

    def describe(self) -> dict[str, Any]:
        """Return what DescribeEndpoint tells."""
        told = self.described() | {"EndpointConfigName": self.config.name}
        if self.status == "InService":
            variant, weight = self.config.variant, self.config.variant.get("InitialVariantWeight", 1.0)
            count = variant["InitialInstanceCount"]
            told["ProductionVariants"] = [
                {
                    "VariantName": variant["VariantName"], "CurrentWeight": weight, "DesiredWeight": weight,
                    "CurrentInstanceCount": count, "DesiredInstanceCount": count,
                }
            ]  # fmt: skip
        return told | ({"FailureReason": self.reason} if self.reason else {})


class TransformJob(Hosted):
    """A batch of requests to a model: objects in, objects out."""

    KIND, NAME = "transform-job", "TransformJob"

    def __init__(self, request: dict[str, Any], *, account: str, region: str) -> None:
        super().__init__(request, account=account, region=region)
        self.status, self.reason = "InProgress", ""
        self.started: datetime | None = None
        self.ended: datetime | None = None
        self.stopping = threading.Event()
        self._lock = threading.Lock()

    def finish(self, status: str, reason: str = "") -> None:
        """End it."""
        with self._lock:
            self.ended = self.modified = datetime.now(UTC)
            self.started = self.started or self.ended
            self.status, self.reason = status, reason

    def stop(self) -> bool:
        """Ask it to end; tell whether it was still going on."""
        with self._lock:
            if self.status != "InProgress":
                return False
            self.status, self.modified = "Stopping", datetime.now(UTC)
        self.stopping.set()
        return True

    def described(self) -> dict[str, Any]:
        """Return what a description and a list both tell."""
        told = {"TransformJobStatus": self.status}
        told |= {"TransformEndTime": self.ended} if self.ended else {}
        return super().described() | told | ({"FailureReason": self.reason} if self.reason else {})

    def describe(self) -> dict[str, Any]:
        """Return what DescribeTransformJob tells."""
        kept = {name: self.request[name] for name in _TRANSFORM if name in self.request}
        return self.described() | kept | ({"TransformStartTime": self.started} if self.started else {})
