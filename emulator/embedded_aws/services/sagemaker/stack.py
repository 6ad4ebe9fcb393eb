"""SageMaker notebook instances and their lifecycle configurations."""

from __future__ import annotations

import time
from typing import Any

from botocore.exceptions import ClientError

from embedded_aws.stacks.errors import ResourceError
from embedded_aws.stacks.resource_type import ResourceType, Scene, is_gone, pick

_POLL_SECONDS = 0.05
_WAIT_SECONDS = 120.0


def _made(scene: Scene, arn: str, name: str) -> None:
    # Ref is the ARN, and that has the name in small letters: the name itself is kept apart.
    scene.resource.attributes = {"name": name}
    scene.made(arn)


def _name(scene: Scene) -> str:
    return scene.resource.attributes["name"]


def _retag(scene: Scene, p: dict[str, Any], old: dict[str, Any]) -> None:
    kept = {tag["Key"] for tag in p.get("Tags") or []}
    if gone := [tag["Key"] for tag in old.get("Tags") or [] if tag["Key"] not in kept]:
        scene.call("sagemaker", "delete_tags", ResourceArn=scene.resource.physical_id, TagKeys=gone)
    if p.get("Tags") != old.get("Tags"):
        scene.call("sagemaker", "add_tags", ResourceArn=scene.resource.physical_id, Tags=scene.tags(p))


class NotebookInstanceLifecycleConfig(ResourceType):
    """``AWS::SageMaker::NotebookInstanceLifecycleConfig``."""

    name = "AWS::SageMaker::NotebookInstanceLifecycleConfig"
    fixed = ("NotebookInstanceLifecycleConfigName",)
    mutable = ("OnCreate", "OnStart")
    named_by = "NotebookInstanceLifecycleConfigName"
    attributes = ("NotebookInstanceLifecycleConfigArn", "NotebookInstanceLifecycleConfigName")
    tagged = True

    def create(self, scene: Scene, p: dict[str, Any]) -> None:
        """Make the configuration."""
        name = p.get("NotebookInstanceLifecycleConfigName") or scene.generated(longest=63)
        response = scene.call(
            "sagemaker",
            "create_notebook_instance_lifecycle_config",
            NotebookInstanceLifecycleConfigName=name,
            Tags=scene.tags(p),
            **pick(p, "OnCreate", "OnStart"),
        )
        _made(scene, response["NotebookInstanceLifecycleConfigArn"], name)

    def update(self, scene: Scene, p: dict[str, Any], old: dict[str, Any]) -> None:
        """Set both scripts."""
        scripts = {name: p.get(name) or [] for name in ("OnCreate", "OnStart")}
        config = {"NotebookInstanceLifecycleConfigName": _name(scene)}
        scene.call("sagemaker", "update_notebook_instance_lifecycle_config", **config, **scripts)
        _retag(scene, p, old)

    def delete(self, scene: Scene, p: dict[str, Any]) -> None:
        """Delete the configuration."""
        config = {"NotebookInstanceLifecycleConfigName": _name(scene)}
        scene.call("sagemaker", "delete_notebook_instance_lifecycle_config", **config)

    def describe(self, scene: Scene, p: dict[str, Any]) -> dict[str, Any]:
        """Return ARN and name."""
        kind, name = "NotebookInstanceLifecycleConfig", _name(scene)
        return {"name": name, f"{kind}Arn": scene.resource.physical_id, f"{kind}Name": name}


class NotebookInstance(ResourceType):
    """``AWS::SageMaker::NotebookInstance``."""

    name = "AWS::SageMaker::NotebookInstance"
    fixed = (
        "NotebookInstanceName",
        "DirectInternetAccess",
        "KmsKeyId",
        "PlatformIdentifier",
        "SecurityGroupIds",
        "SubnetId",
    )
    mutable = (
        "AcceleratorTypes",
        "AdditionalCodeRepositories",
        "DefaultCodeRepository",
        "InstanceMetadataServiceConfiguration",
        "InstanceType",
        "LifecycleConfigName",
        "RoleArn",
        "RootAccess",
        "VolumeSizeInGB",
    )
    required = ("InstanceType", "RoleArn")
    named_by = "NotebookInstanceName"
    attributes = ("NotebookInstanceArn", "NotebookInstanceName")
    tagged = True

    def create(self, scene: Scene, p: dict[str, Any]) -> None:
        """Make the instance and wait until it is in service."""
        request = {name: value for name, value in p.items() if name not in ("NotebookInstanceName", "Tags")}
        name = p.get("NotebookInstanceName") or scene.generated(longest=63)
        response = scene.call(
            "sagemaker", "create_notebook_instance", NotebookInstanceName=name, Tags=scene.tags(p), **request
        )
        _made(scene, response["NotebookInstanceArn"], name)
        self._wait(scene, "InService")

    def update(self, scene: Scene, p: dict[str, Any], old: dict[str, Any]) -> None:
        """Stop the instance, change it, start it."""
        request = {name: value for name, value in p.items() if name in self.mutable and value != old.get(name)}
        for name in ("AcceleratorTypes", "AdditionalCodeRepositories", "DefaultCodeRepository", "LifecycleConfigName"):
            if old.get(name) and not p.get(name):
                request[f"Disassociate{'LifecycleConfig' if name == 'LifecycleConfigName' else name}"] = True
        named = {"NotebookInstanceName": _name(scene)}
        if request:
            self._stop(scene)
            scene.call("sagemaker", "update_notebook_instance", **named, **request)
            self._wait(scene, "Stopped")
            scene.call("sagemaker", "start_notebook_instance", **named)
            self._wait(scene, "InService")
        _retag(scene, p, old)

    def delete(self, scene: Scene, p: dict[str, Any]) -> None:
        """Stop the instance, delete it, and wait until it is gone: its network interface holds the subnet."""
        self._stop(scene)
        scene.call("sagemaker", "delete_notebook_instance", NotebookInstanceName=_name(scene))
        self._wait(scene, None)

    def _stop(self, scene: Scene) -> None:
        status = self._status(scene)
        if status in ("Pending", "Updating"):
            status = self._wait(scene, "InService", "Stopped", "Failed")
        if status == "InService":
            scene.call("sagemaker", "stop_notebook_instance", NotebookInstanceName=_name(scene))
        if status in ("InService", "Stopping"):
            self._wait(scene, "Stopped", "Failed")

    def _status(self, scene: Scene) -> str | None:
        description = scene.call("sagemaker", "describe_notebook_instance", NotebookInstanceName=_name(scene))
        scene.told = description.get("FailureReason", "")
        return description["NotebookInstanceStatus"]

    def _wait(self, scene: Scene, *wanted: str | None) -> str | None:
        give_up = time.monotonic() + _WAIT_SECONDS
        while True:
            try:
                status = self._status(scene)
            except ClientError as error:
                if None in wanted and is_gone(error):
                    return None
                raise
            if status in wanted:
                return status
            if status == "Failed" or time.monotonic() > give_up:
                raise ResourceError(f"Notebook instance {_name(scene)} is {status}: {scene.told or 'no reason given'}")
            time.sleep(_POLL_SECONDS)

    def describe(self, scene: Scene, p: dict[str, Any]) -> dict[str, Any]:
        """Return ARN and name."""
        kind, name = "NotebookInstance", _name(scene)
        return {"name": name, f"{kind}Arn": scene.resource.physical_id, f"{kind}Name": name}
