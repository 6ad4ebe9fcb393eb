"""Notebook instances and lifecycle configurations, kept as they were asked for."""

from __future__ import annotations

import base64
import hashlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import ec2_backends
from moto.logs.models import logs_backends
from moto.sagemaker.exceptions import AWSValidationException

from embedded_aws.gate.roles import role_may
from embedded_aws.services.ec2 import interfaces, zones
from embedded_aws.services.servicequotas import quotas

LOG_GROUP = "/aws/sagemaker/NotebookInstances"
TURN_SECONDS = 0.2  # what takes AWS minutes
DEFAULTS = {
    "DirectInternetAccess": "Enabled",
    "InstanceMetadataServiceConfiguration": {"MinimumInstanceMetadataServiceVersion": "1"},
    "IpAddressType": "ipv4",
    "PlatformIdentifier": "notebook-al2-v2",
    "RootAccess": "Enabled",
    "VolumeSizeInGB": 5,
}
# Where an operation may begin, what it passes through, and where it ends.
TURNS = {
    "Start": (("Stopped", "Failed"), "Pending", "InService"),
    "Stop": (("InService",), "Stopping", "Stopped"),
    "Update": (("Stopped", "Failed"), "Updating", "Stopped"),
    "Delete": (("Stopped", "Failed"), "Deleting", None),
}
_DISASSOCIATED = {
    "DisassociateAcceleratorTypes": "AcceleratorTypes",
    "DisassociateAdditionalCodeRepositories": "AdditionalCodeRepositories",
    "DisassociateDefaultCodeRepository": "DefaultCodeRepository",
    "DisassociateLifecycleConfig": "LifecycleConfigName",
}
CONFIG = "NotebookInstanceLifecycleConfigName"


@dataclass
class NotebookInstance:
    """A notebook instance: what was asked for, and where it stands."""

    name: str
    arn: str
    region: str
    asked: dict[str, Any]
    tags: list[dict[str, str]]  # moto's AddTags, ListTags and DeleteTags work on these
    status: str = "Pending"
    failure: str = ""
    was_created: bool = False
    eni: Any = None
    created: datetime = field(default_factory=lambda: datetime.now(UTC))
    modified: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def url(self) -> str:
        """Where its Jupyter would answer."""
        return f"{self.name}.notebook.{self.region}.sagemaker.aws"

    def describe(self) -> dict[str, Any]:
        """Return what DescribeNotebookInstance tells."""
        members = {name: value for name, value in {**DEFAULTS, **self.asked}.items() if value not in (None, [])}
        for name in ("Tags", "SecurityGroupIds"):
            members.pop(name, None)
        if "LifecycleConfigName" in members:
            members[CONFIG] = members.pop("LifecycleConfigName")
        if self.eni is not None:
            members["NetworkInterfaceId"] = self.eni.id
            members["SecurityGroups"] = [group.id for group in self.eni.group_set]
        return {
            **members,
            "NotebookInstanceArn": self.arn,
            "NotebookInstanceStatus": self.status,
            **({"FailureReason": self.failure} if self.failure and self.status == "Failed" else {}),
            "Url": self.url,
            "CreationTime": self.created,
            "LastModifiedTime": self.modified,
        }


@dataclass
class LifecycleConfig:
    """Scripts that a notebook instance would run when it is created or started."""

    name: str
    arn: str
    scripts: dict[str, list[dict[str, str]]]
    tags: list[dict[str, str]]
    created: datetime = field(default_factory=lambda: datetime.now(UTC))
    modified: datetime = field(default_factory=lambda: datetime.now(UTC))

    def describe(self) -> dict[str, Any]:
        """Return what DescribeNotebookInstanceLifecycleConfig tells."""
        return {
            CONFIG: self.name,
            "NotebookInstanceLifecycleConfigArn": self.arn,
            **{name: script for name, script in self.scripts.items() if script},
            "CreationTime": self.created,
            "LastModifiedTime": self.modified,
        }


class Notebooks:
    """Notebook instances of one account and region; a base of the SageMaker backend.

    The backend that it is mixed into has ``account_id``, ``region_name`` and ``_check_role``.
    """

    def __init__(self, region_name: str, account_id: str) -> None:
        super().__init__(region_name, account_id)
        self._notebooks_lock = threading.RLock()
        self.notebook_instances: dict[str, NotebookInstance] = {}
        self.lifecycle_configs: dict[str, LifecycleConfig] = {}

    def create_notebook(self, request: dict[str, Any]) -> NotebookInstance:
        """Make an instance and, in a subnet, its network interface.

        Raises
        ------
        AWSValidationException
            If the request, the role, the network or the lifecycle configuration is not good.
        """
        name = request["NotebookInstanceName"]
        self._check_role(request["RoleArn"], f"notebook-instance/{name}")
        if config := request.get("LifecycleConfigName"):
            self.lifecycle_config(config)
        if not request.get("SubnetId"):
            if request.get("SecurityGroupIds"):
                raise AWSValidationException("SecurityGroupIds need a SubnetId: give the subnet of the same VPC.")
            if request.get("DirectInternetAccess") == "Disabled":
                raise AWSValidationException("DirectInternetAccess can be Disabled only in a VPC: give a SubnetId.")
        with self._notebooks_lock:
            arn = self._arn("notebook-instance", name)
            if name in self.notebook_instances:
                raise AWSValidationException(f"Cannot create a duplicate Notebook Instance ({arn})")
            machine = request["InstanceType"]
            used = sum(instance.asked["InstanceType"] == machine for instance in self.notebook_instances.values())
            quotas.check(quotas.notebook(machine), account=self.account_id, region=self.region_name, used=used)
            made = NotebookInstance(name, arn, self.region_name, request, list(request.get("Tags") or []))
            made.eni = self._interface(made)
            self.notebook_instances[name] = made
            if made.eni is not None and zones.lacks(
                self.account_id, self.region_name, made.eni.subnet.availability_zone
            ):
                made.failure = (
                    f"{machine} is not available in the zone {made.eni.subnet.availability_zone} of subnet "
                    f"{made.eni.subnet.id}; choose a subnet in another zone"
                )
        self._later(made, "Failed" if made.failure else "InService")
        return made

    def notebook(self, name: str) -> NotebookInstance:
        """Return an instance.

        Raises
        ------
        AWSValidationException
            If there is none of that name.
        """
        if name not in self.notebook_instances:
            raise AWSValidationException("RecordNotFound")
        return self.notebook_instances[name]

    def turn_notebook(
        self, name: str, operation: str, *, change: Callable[[NotebookInstance], None] | None = None
    ) -> None:
        """Start, Stop, Update or Delete an instance.

        Raises
        ------
        AWSValidationException
            If it stands where that cannot be done.
        """
        begins, passes, ends = TURNS[operation]
        with self._notebooks_lock:
            instance = self.notebook(name)
            if instance.status not in begins:
                raise AWSValidationException(
                    f"Status ({instance.status}) not in ([{', '.join(begins)}]). Unable to transition to ({passes}) "
                    f"for Notebook Instance ({instance.arn})"
                )
            if change is not None:
                change(instance)
            instance.status, instance.modified = passes, datetime.now(UTC)
        self._later(instance, ends)

    def update_notebook(self, request: dict[str, Any]) -> None:
        """Change a stopped instance."""
        if "RoleArn" in request:
            self._check_role(request["RoleArn"], f"notebook-instance/{request['NotebookInstanceName']}")
        if config := request.get("LifecycleConfigName"):
            self.lifecycle_config(config)

        def change(instance: NotebookInstance) -> None:
            gone = {member for flag, member in _DISASSOCIATED.items() if request.get(flag)}
            new = {name: value for name, value in request.items() if name not in _DISASSOCIATED}
            if new.get("VolumeSizeInGB", 16_384) < instance.asked.get("VolumeSizeInGB", 0):
                raise AWSValidationException("The volume of a notebook instance can grow, and not shrink.")
            instance.asked = {name: value for name, value in {**instance.asked, **new}.items() if name not in gone}

        self.turn_notebook(request["NotebookInstanceName"], "Update", change=change)

    def create_lifecycle_config(self, request: dict[str, Any]) -> LifecycleConfig:
        """Keep the scripts of a new configuration."""
        name = request[CONFIG]
        arn = self._arn("notebook-instance-lifecycle-config", name)
        with self._notebooks_lock:
            if name in self.lifecycle_configs:
                raise AWSValidationException(
                    f"Unable to create Notebook Instance Lifecycle Config {arn}. (Details: Notebook Instance Lifecycle "
                    "Config already exists.)"
                )
            scripts = {moment: request.get(moment) or [] for moment in ("OnCreate", "OnStart")}
            made = LifecycleConfig(name, arn, scripts, list(request.get("Tags") or []))
            self.lifecycle_configs[name] = made
        return made

    def lifecycle_config(self, name: str, verb: str = "describe") -> LifecycleConfig:
        """Return a configuration.

        Raises
        ------
        AWSValidationException
            If there is none of that name.
        """
        if name not in self.lifecycle_configs:
            arn = self._arn("notebook-instance-lifecycle-config", name)
            raise AWSValidationException(
                f"Unable to {verb} Notebook Instance Lifecycle Config '{arn}'. (Details: Notebook Instance Lifecycle "
                "Config does not exist.)"
            )
        return self.lifecycle_configs[name]

    def _interface(self, instance: NotebookInstance) -> Any:
        subnet = instance.asked.get("SubnetId")
        if not subnet:
            return None
        network = ec2_backends[self.account_id][self.region_name]
        note = f"[Do not delete] Notebook instance {instance.arn}"
        try:
            return interfaces.make(network, subnet, instance.asked.get("SecurityGroupIds") or [], note=note)
        except EC2ClientError as error:
            raise AWSValidationException(f"{error.message} (subnet {subnet})") from None

    def _later(self, instance: NotebookInstance, status: str | None) -> None:
        timer = threading.Timer(TURN_SECONDS, self._settle, (instance, status))
        timer.daemon = True
        timer.start()

    def _settle(self, instance: NotebookInstance, status: str | None) -> None:
        with self._notebooks_lock:
            if status == "InService":
                self._scripts(instance)
            if status is not None:
                instance.status = status
                return
            if instance.eni is not None:
                interfaces.release(instance.eni.id, account=self.account_id, region=self.region_name)
            del self.notebook_instances[instance.name]

    def _scripts(self, instance: NotebookInstance) -> None:
        """Log, where AWS logs what they say, which scripts a start would run: OnCreate at the first one only."""
        config = self.lifecycle_configs.get(instance.asked.get("LifecycleConfigName", ""))
        moments = ("OnStart",) if instance.was_created else ("OnCreate", "OnStart")
        instance.was_created = True
        for moment in moments if config else ():
            for script in config.scripts[moment]:
                digest = hashlib.sha256(base64.b64decode(script["Content"])).hexdigest()
                self._log(
                    instance, moment, f"not run, as no machine is behind this instance: {moment}, SHA-256 {digest}"
                )

    def _log(self, instance: NotebookInstance, moment: str, message: str) -> None:
        stream = f"{instance.name}/LifecycleConfig{moment}"
        arn = f"arn:aws:logs:{self.region_name}:{self.account_id}:log-group:{LOG_GROUP}:log-stream:{stream}"
        if not role_may(instance.asked["RoleArn"], "logs:PutLogEvents", arn, region=self.region_name).allowed:
            return  # AWS does not complain either
        logs = logs_backends[self.account_id][self.region_name]
        if LOG_GROUP not in logs.groups:
            logs.create_log_group(LOG_GROUP, {})
        if stream not in logs.groups[LOG_GROUP].streams:
            logs.create_log_stream(LOG_GROUP, stream)
        logs.put_log_events(LOG_GROUP, stream, [{"timestamp": int(1000 * time.time()), "message": message}])

    def _arn(self, kind: str, name: str) -> str:
        return f"arn:aws:sagemaker:{self.region_name}:{self.account_id}:{kind}/{name.lower()}"

    def _get_resource_from_arn(self, arn: str) -> Any:
        """Find what moto's AddTags, ListTags and DeleteTags are about."""
        kind, _, name = arn.rsplit(":", maxsplit=1)[-1].partition("/")
        ours = {
            "notebook-instance": self.notebook_instances,
            "notebook-instance-lifecycle-config": self.lifecycle_configs,
        }
        if kind not in ours:
            return super()._get_resource_from_arn(arn)
        resources = [resource for resource in ours[kind].values() if resource.name.lower() == name.lower()]
        if not resources:
            raise AWSValidationException(f"Could not find {kind} with name {name}")
        return resources[0]
