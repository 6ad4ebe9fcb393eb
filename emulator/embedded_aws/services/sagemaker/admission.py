"""Admission of a job: what SageMaker asks for before it starts one, and what the job starts with."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from functools import partial
from typing import Any

from moto.sagemaker.exceptions import AWSValidationException, ResourceInUseException
from moto.sts.models import sts_backends

from embedded_aws import models
from embedded_aws.gate.principals import find_role
from embedded_aws.gate.roles import role_may, service_may_assume
from embedded_aws.jobs.container import Container
from embedded_aws.network.way import NoSuchNetwork
from embedded_aws.service import Setting
from embedded_aws.services.sagemaker.job import ENDED
from embedded_aws.services.sagemaker.limits import ANY_IMAGE
from embedded_aws.services.servicequotas import quotas

SERVICE = "sagemaker.amazonaws.com"
# What a job's role must allow besides CreateNetworkInterface. Source: AWS, SageMaker developer guide, execution role
# permissions of the CreateTrainingJob API.
INTERFACE_ACTIONS = ("CreateNetworkInterfacePermission", "DeleteNetworkInterface", "DeleteNetworkInterfacePermission")
PULLS = ("BatchCheckLayerAvailability", "BatchGetImage", "GetDownloadUrlForLayer")
NETWORK_DESCRIPTIONS = (
    "DescribeDhcpOptions",
    "DescribeNetworkInterfaces",
    "DescribeSecurityGroups",
    "DescribeSubnets",
    "DescribeVpcs",
)


class Admission:
    """The part of a SageMaker account that lets jobs in; a base of the backend."""

    account_id: str
    region_name: str
    setting: Setting
    _lock: threading.Lock

    def _admit(self, *, role: str, user: str, image: str, network: Mapping[str, Any]) -> None:
        """Refuse a job that SageMaker could not start.

        Parameters
        ----------
        role : str
            ARN of the execution role.
        user : str
            The job as its ARN ends, such as ``training-job/fl-1``.
        image : str
            What it runs.
        network : mapping
            Holds its ``VpcConfig``, if it has one.
        """
        self._check_role(role, user)
        self._check_image(role, image)
        if config := network.get("VpcConfig"):
            self._check_interface(role, config)
        try:
            self.setting.network.check(network, account=self.account_id, region=self.region_name)
        except NoSuchNetwork as error:
            raise AWSValidationException(str(error)) from error

    def _house(self, kind: type[Container], job: Any, *, role: str, folder: str, network: Mapping[str, Any]) -> None:
        """Give a job its container."""
        credentials = self._credentials(role)
        platform = self._credentials(role)  # logs do not go through the job's VPC, its data does
        job.container = kind(
            job,
            folder=self.setting.jobs / self.account_id / folder,
            client=lambda service: self.client(service, credentials if service == "s3" else platform),
            credentials=credentials,
            plug_in=partial(
                self.setting.network.plug_in,
                {"TrainingJobName": folder, **network},
                account=self.account_id,
                region=self.region_name,
                job_arn=job.arn,
                access_key=credentials["AWS_ACCESS_KEY_ID"],
                role_may=partial(self._may_delete_interfaces, role),
            ),
        )

    def _begin(self, job: Any, jobs: dict[str, Any], *, quota: str, taken: str) -> None:
        """Start a job whose name is free, if there is a machine for it.

        Parameters
        ----------
        job : TrainingJob or ProcessingJob
        jobs : dict
            All of this kind.
        quota : str
            How many there may be on machines like its.
        taken : str
            What is said of a name that is not free.
        """
        with self._lock:
            if job.name in jobs:
                raise ResourceInUseException(f"{taken} ({jobs[job.name].arn})")
            # One that is Stopping has its instance still.
            used = sum(other.machine == job.machine and other.status not in ENDED for other in jobs.values())
            quotas.check(quota, account=self.account_id, region=self.region_name, used=used)
            jobs[job.name] = job
        threading.Thread(target=job.container.run, name=job.name, daemon=True).start()

    def client(self, service: str, credentials: dict[str, str]) -> Any:
        """Return a botocore client of this very AWS with a role's temporary credentials."""
        return models.client(
            service,
            region_name=self.region_name,
            endpoint_url=self.setting.endpoint,
            aws_access_key_id=credentials["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=credentials["AWS_SECRET_ACCESS_KEY"],
            aws_session_token=credentials["AWS_SESSION_TOKEN"],
        )

    def _check_role(self, role_arn: str, user: str) -> None:
        """Refuse a role that SageMaker may not take for ``user``, such as ``training-job/fl-1``."""
        if role_arn.split(":")[4] != self.account_id:
            raise AWSValidationException("RoleArn: Cross-account pass role is not allowed.")
        source = f"arn:aws:sagemaker:{self.region_name}:{self.account_id}:{user}"
        if not service_may_assume(SERVICE, role_arn, account=self.account_id, source_arn=source).allowed:
            raise AWSValidationException(
                f"Could not assume role {role_arn}. Please ensure that the role exists and allows principal "
                f"'{SERVICE}' to assume the role."
            )

    def _check_image(self, role_arn: str, image: str) -> None:
        """Refuse an image that is elsewhere, or that the role may not pull."""
        match = ANY_IMAGE.fullmatch(image)
        if match["region"] != self.region_name:
            raise AWSValidationException(f"The image {image} must be in the job's region, {self.region_name}.")
        repository = f"arn:aws:ecr:{match['region']}:{match['account']}:repository/{match['repository']}"
        may = (role_may(role_arn, f"ecr:{action}", repository, region=self.region_name) for action in PULLS)
        if not all(decision.allowed for decision in may):
            raise AWSValidationException(
                f"Cannot find repository: {match['repository']} in registry ID: {match['account']} Please check if "
                f"your ECR repository exists and role {role_arn} has proper pull permissions for SageMaker: "
                f"{', '.join(f'ecr:{action}' for action in PULLS)}"
            )

    def _check_interface(self, role_arn: str, network: dict[str, list[str]]) -> None:
        """Refuse a role with which SageMaker could not give a job its network interface."""
        here = f"arn:aws:ec2:{self.region_name}:{self.account_id}"
        stands = [f"subnet/{name}" for name in network["Subnets"]]
        stands += [f"security-group/{name}" for name in network["SecurityGroupIds"]]
        needed = [("CreateNetworkInterface", f"{here}:{thing}") for thing in [*stands, "network-interface/*"]]
        needed += [(action, f"{here}:network-interface/*") for action in INTERFACE_ACTIONS]
        needed += [(action, "*") for action in NETWORK_DESCRIPTIONS]
        for action, resource in needed:
            decision = role_may(role_arn, f"ec2:{action}", resource, region=self.region_name)
            if not decision.allowed:
                raise AWSValidationException(
                    f"Access denied when calling ec2:{action} on {resource} with the role {role_arn} {decision.why}; "
                    "a job in a VPC needs it"
                )

    def _may_delete_interfaces(self, role_arn: str) -> bool:
        here = f"arn:aws:ec2:{self.region_name}:{self.account_id}:network-interface/*"
        if find_role(role_arn) is None:
            return False
        return role_may(role_arn, "ec2:DeleteNetworkInterface", here, region=self.region_name).allowed

    def _credentials(self, role_arn: str) -> dict[str, str]:
        role = sts_backends[self.account_id]["aws"].assume_role(
            region_name=self.region_name,
            role_session_name="SageMaker",
            role_arn=role_arn,
            policy=None,
            duration=43_200,
            external_id=None,
        )
        return {
            "AWS_ACCESS_KEY_ID": role.access_key_id,
            "AWS_SECRET_ACCESS_KEY": role.secret_access_key,
            "AWS_SESSION_TOKEN": role.session_token,
            "AWS_REGION": self.region_name,  # botocore does not read it; AWS_DEFAULT_REGION is not set
            "AWS_ENDPOINT_URL": self.setting.endpoint,
            "AWS_EC2_METADATA_DISABLED": "true",
        }
