"""Training jobs that run: the API's semantics; what happens inside a job is in ``jobs``."""

from __future__ import annotations

import json
import threading
from functools import partial
from typing import Any

import moto.sagemaker.urls
from moto.core.responses import ActionResult, EmptyResult
from moto.sagemaker.exceptions import AWSValidationException, ResourceInUseException
from moto.sagemaker.models import SageMakerModelBackend, sagemaker_backends
from moto.sagemaker.responses import SageMakerResponse
from moto.sts.models import sts_backends

from embedded_aws import models
from embedded_aws.gate.principals import find_role
from embedded_aws.gate.roles import role_may, service_may_assume
from embedded_aws.jobs.container import Container
from embedded_aws.network.way import NoSuchNetwork
from embedded_aws.service import Setting
from embedded_aws.services.sagemaker.hosting import Hosting
from embedded_aws.services.sagemaker.hosting_requests import HostingRequests
from embedded_aws.services.sagemaker.job import ENDED, TrainingJob
from embedded_aws.services.sagemaker.limits import IMAGE, not_emulated
from embedded_aws.services.sagemaker.notebook_requests import NotebookRequests
from embedded_aws.services.sagemaker.notebooks import Notebooks
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


class TrainingBackend(Notebooks, Hosting, SageMakerModelBackend):
    """moto's SageMaker of one account and region, with training jobs that run."""

    setting: Setting

    def __init__(self, region_name: str, account_id: str) -> None:
        super().__init__(region_name, account_id)
        self._lock = threading.Lock()
        self._open()

    @property
    def _url_module(self) -> Any:
        return moto.sagemaker.urls

    def start(self, request: dict[str, Any]) -> TrainingJob:
        """Check a CreateTrainingJob request and start the job."""
        if message := not_emulated(request):
            raise NotImplementedError(message)
        self._check_role(request["RoleArn"], f"training-job/{request['TrainingJobName']}")
        self._check_image(request["RoleArn"], request["AlgorithmSpecification"]["TrainingImage"])
        if network := request.get("VpcConfig"):
            self._check_interface(request["RoleArn"], network)
        try:
            self.setting.network.check(request, account=self.account_id, region=self.region_name)
        except NoSuchNetwork as error:
            raise AWSValidationException(str(error)) from error
        request.setdefault("EnableNetworkIsolation", False)
        job = TrainingJob(request, account=self.account_id, region=self.region_name)
        credentials = self._credentials(request["RoleArn"])
        platform = self._credentials(request["RoleArn"])  # logs do not go through the job's VPC, its data does
        job.container = Container(
            job,
            folder=self.setting.jobs / self.account_id / job.name,
            client=lambda service: self.client(service, credentials if service == "s3" else platform),
            credentials=credentials,
            plug_in=partial(
                self.setting.network.plug_in,
                request,
                account=self.account_id,
                region=self.region_name,
                job_arn=job.arn,
                access_key=credentials["AWS_ACCESS_KEY_ID"],
                role_may=partial(self._may_delete_interfaces, request["RoleArn"]),
            ),
        )
        machine = request["ResourceConfig"]["InstanceType"]
        with self._lock:
            if job.name in self.training_jobs:
                raise ResourceInUseException(
                    f"Training job names must be unique within an AWS account and region, "
                    f"and a training job with this name already exists ({job.arn})"
                )
            # One that is Stopping has its instance still.
            running = [other for other in self.training_jobs.values() if other.status not in ENDED]
            used = sum(other.request["ResourceConfig"]["InstanceType"] == machine for other in running)
            quotas.check(quotas.training(machine), account=self.account_id, region=self.region_name, used=used)
            self.training_jobs[job.name] = job
        threading.Thread(target=job.container.run, name=job.name, daemon=True).start()
        return job

    def find(self, name: str) -> TrainingJob:
        """Return a job.

        Raises
        ------
        AWSValidationException
            If this account and region have none of that name.
        """
        if name not in self.training_jobs:
            raise AWSValidationException("Requested resource not found.")
        return self.training_jobs[name]

    def remove(self, name: str) -> None:
        """Forget a job that has ended."""
        with self._lock:
            job = self.find(name)
            if job.status not in ENDED:
                raise AWSValidationException(f"The training job {name} is in status {job.status}: stop it first.")
            del self.training_jobs[name]

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
        match = IMAGE.fullmatch(image)
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


class TrainingResponse(NotebookRequests, HostingRequests, SageMakerResponse):
    """The five operations on training jobs, beside those of its bases."""

    @property
    def _request(self) -> dict[str, Any]:
        return json.loads(self.body)

    def create_training_job(self) -> ActionResult:
        """CreateTrainingJob."""
        return ActionResult({"TrainingJobArn": self.sagemaker_backend.start(self._request).arn})

    def describe_training_job(self) -> ActionResult:
        """DescribeTrainingJob."""
        return ActionResult(self.sagemaker_backend.find(self._request["TrainingJobName"]).gen_response_object())

    def stop_training_job(self) -> EmptyResult:
        """StopTrainingJob."""
        self.sagemaker_backend.find(self._request["TrainingJobName"]).stop()
        return EmptyResult()

    def delete_training_job(self) -> EmptyResult:
        """DeleteTrainingJob."""
        self.sagemaker_backend.remove(self._request["TrainingJobName"])
        return EmptyResult()

    def list_training_jobs(self) -> ActionResult:
        """ListTrainingJobs."""
        request = self._request
        jobs = _selected(list(self.sagemaker_backend.training_jobs.values()), request)
        names = [job.name for job in jobs]
        if (after := request.get("NextToken")) and after not in names:
            raise AWSValidationException("Invalid pagination token given.")
        first = names.index(after) + 1 if after else 0
        page = jobs[first : first + request.get("MaxResults", 10)]
        members = ("TrainingJobName", "TrainingJobArn", "CreationTime", "TrainingEndTime", "LastModifiedTime")
        summaries = [
            {
                name: value
                for name, value in job.gen_response_object().items()
                if name in (*members, "TrainingJobStatus")
            }
            for job in page
        ]
        more = {"NextToken": page[-1].name} if page and page[-1] is not jobs[-1] else {}
        return ActionResult({"TrainingJobSummaries": summaries, **more})


def _selected(jobs: list[TrainingJob], request: dict[str, Any]) -> list[TrainingJob]:
    wanted = [
        job
        for job in jobs
        if request.get("NameContains", "").lower() in job.name.lower()
        and request.get("StatusEquals", job.status) == job.status
        and request.get("CreationTimeAfter", 0) <= job.created.timestamp() <= request.get("CreationTimeBefore", 1e12)
        and request.get("LastModifiedTimeAfter", 0)
        <= job.modified.timestamp()
        <= request.get("LastModifiedTimeBefore", 1e12)
    ]
    keys = {"Name": lambda job: job.name, "Status": lambda job: job.status, "CreationTime": lambda job: job.created}
    newest_first = request.get("SortOrder", "Descending") == "Descending"
    return sorted(wanted, key=keys[request.get("SortBy", "CreationTime")], reverse=newest_first)


def install(setting: Setting) -> None:
    """Put these training jobs in the place of moto's; before the first request."""
    TrainingBackend.setting = setting
    sagemaker_backends.backend = TrainingBackend
    moto.sagemaker.urls.url_paths = {"{0}/$": TrainingResponse.dispatch}
