"""SageMaker's operations on processing jobs."""

from __future__ import annotations

import json
from typing import Any

from moto.core.responses import ActionResult, EmptyResult

from embedded_aws.services.sagemaker import listing
from embedded_aws.services.sagemaker.processing_job import ProcessingJob


class ProcessingRequests:
    """These operations; a base of SageMaker's requests."""

    sagemaker_backend: Any
    body: Any

    def create_processing_job(self) -> ActionResult:
        """CreateProcessingJob."""
        return ActionResult({"ProcessingJobArn": self.sagemaker_backend.start_processing(json.loads(self.body)).arn})

    def describe_processing_job(self) -> ActionResult:
        """DescribeProcessingJob."""
        return ActionResult(self._processing_job().describe())

    def stop_processing_job(self) -> EmptyResult:
        """StopProcessingJob."""
        self._processing_job().stop()
        return EmptyResult()

    def delete_processing_job(self) -> EmptyResult:
        """DeleteProcessingJob."""
        self.sagemaker_backend.remove_processing(json.loads(self.body)["ProcessingJobName"])
        return EmptyResult()

    def list_processing_jobs(self) -> ActionResult:
        """ListProcessingJobs."""
        page, more = listing.page(self.sagemaker_backend.processing_jobs, json.loads(self.body or "{}"))
        return ActionResult({"ProcessingJobSummaries": [job.described() for job in page], **more})

    def _processing_job(self) -> ProcessingJob:
        return self.sagemaker_backend.found_processing(json.loads(self.body)["ProcessingJobName"])
