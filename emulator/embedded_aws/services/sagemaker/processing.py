"""Processing jobs that run: the API's semantics; what happens inside a job is in ``jobs``."""

from __future__ import annotations

import threading
from typing import Any

from moto.sagemaker.exceptions import AWSValidationException, ResourceInUseException

from embedded_aws.jobs.processing import ProcessingContainer
from embedded_aws.services.sagemaker.job import ENDED
from embedded_aws.services.sagemaker.processing_job import ProcessingJob
from embedded_aws.services.sagemaker.processing_limits import not_emulated
from embedded_aws.services.servicequotas import quotas


class Processing:
    """The part of a SageMaker account that runs processing jobs; a base of the backend."""

    account_id: str
    region_name: str
    processing_jobs: dict[str, Any]
    _lock: threading.Lock
    _admit: Any
    _house: Any
    _begin: Any

    def start_processing(self, request: dict[str, Any]) -> ProcessingJob:
        """Check a CreateProcessingJob request and start the job."""
        if message := not_emulated(request):
            raise NotImplementedError(message)
        role, user = request["RoleArn"], f"processing-job/{request['ProcessingJobName']}"
        network = request.get("NetworkConfig", {})
        self._admit(role=role, user=user, image=request["AppSpecification"]["ImageUri"], network=network)
        request.setdefault("StoppingCondition", {"MaxRuntimeInSeconds": 86_400})
        request["ProcessingResources"]["ClusterConfig"].setdefault("InstanceCount", 1)
        job = ProcessingJob(request, account=self.account_id, region=self.region_name)
        # A training job may have the same name.
        self._house(ProcessingContainer, job, role=role, folder=user.replace("/", "-"), network=network)
        taken = "Job name must be unique within an AWS account and region, and a job with this name already exists"
        self._begin(job, self.processing_jobs, quota=quotas.processing(job.machine), taken=taken)
        return job

    def found_processing(self, name: str) -> ProcessingJob:
        """Return a job.

        Raises
        ------
        AWSValidationException
            If this account and region have none of that name.
        """
        if name not in self.processing_jobs:
            raise AWSValidationException(f"Could not find requested job with name: {name}")
        return self.processing_jobs[name]

    def remove_processing(self, name: str) -> None:
        """Forget a job that has ended."""
        with self._lock:
            job = self.found_processing(name)
            if job.status not in ENDED:
                raise ResourceInUseException(f"The processing job {name} is in status {job.status}: stop it first.")
            del self.processing_jobs[name]
