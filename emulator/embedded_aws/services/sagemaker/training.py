"""Training jobs that run: the API's semantics; what happens inside a job is in ``jobs``."""

from __future__ import annotations

import json
import threading
from typing import Any

import moto.sagemaker.urls
from moto.core.responses import ActionResult, EmptyResult
from moto.sagemaker.exceptions import AWSValidationException
from moto.sagemaker.models import SageMakerModelBackend, sagemaker_backends
from moto.sagemaker.responses import SageMakerResponse

from embedded_aws.jobs.training import TrainingContainer
from embedded_aws.service import Setting
from embedded_aws.services.sagemaker import listing
from embedded_aws.services.sagemaker.admission import Admission
from embedded_aws.services.sagemaker.hosting import Hosting
from embedded_aws.services.sagemaker.hosting_requests import HostingRequests
from embedded_aws.services.sagemaker.job import ENDED, TrainingJob
from embedded_aws.services.sagemaker.limits import not_emulated
from embedded_aws.services.sagemaker.notebook_requests import NotebookRequests
from embedded_aws.services.sagemaker.notebooks import Notebooks
from embedded_aws.services.sagemaker.processing import Processing
from embedded_aws.services.sagemaker.processing_requests import ProcessingRequests
from embedded_aws.services.servicequotas import quotas


class TrainingBackend(Notebooks, Hosting, Processing, Admission, SageMakerModelBackend):
    """moto's SageMaker of one account and region, with training jobs that run."""

    setting: Setting

    def __init__(self, region_name: str, account_id: str) -> None:
        super().__init__(region_name, account_id)
        self._lock = threading.Lock()
        self._open()
        self.processing_jobs = {}  # in the place of moto's

    @property
    def _url_module(self) -> Any:
        return moto.sagemaker.urls

    def start(self, request: dict[str, Any]) -> TrainingJob:
        """Check a CreateTrainingJob request and start the job."""
        if message := not_emulated(request):
            raise NotImplementedError(message)
        role, name = request["RoleArn"], request["TrainingJobName"]
        image = request["AlgorithmSpecification"]["TrainingImage"]
        self._admit(role=role, user=f"training-job/{name}", image=image, network=request)
        request.setdefault("EnableNetworkIsolation", False)
        job = TrainingJob(request, account=self.account_id, region=self.region_name)
        self._house(TrainingContainer, job, role=role, folder=name, network=request)
        taken = (
            "Training job names must be unique within an AWS account and region, and a training job with this name "
            "already exists"
        )
        self._begin(job, self.training_jobs, quota=quotas.training(job.machine), taken=taken)
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


class TrainingResponse(NotebookRequests, HostingRequests, ProcessingRequests, SageMakerResponse):
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
        page, more = listing.page(self.sagemaker_backend.training_jobs, self._request)
        members = ("TrainingJobName", "TrainingJobArn", "CreationTime", "TrainingEndTime", "LastModifiedTime")
        summaries = [
            {
                name: value
                for name, value in job.gen_response_object().items()
                if name in (*members, "TrainingJobStatus")
            }
            for job in page
        ]
        return ActionResult({"TrainingJobSummaries": summaries, **more})


def install(setting: Setting) -> None:
    """Put these training jobs in the place of moto's; before the first request."""
    TrainingBackend.setting = setting
    sagemaker_backends.backend = TrainingBackend
    moto.sagemaker.urls.url_paths = {"{0}/$": TrainingResponse.dispatch}
