"""SageMaker's operations on models, transform jobs, endpoints and their configurations."""

from __future__ import annotations

import json
from typing import Any

from moto.core.responses import ActionResult, EmptyResult

from embedded_aws.services.sagemaker import listing
from embedded_aws.services.sagemaker.hosted import Endpoint, EndpointConfig, Hosted, Model, TransformJob


class HostingRequests:
    """These operations; a base of SageMaker's requests."""

    def _given(self) -> dict[str, Any]:
        return json.loads(self.body or "{}")

    def create_model(self) -> ActionResult:
        """CreateModel."""
        return ActionResult({"ModelArn": self.sagemaker_backend.make_model(self._given()).arn})

    def create_endpoint_config(self) -> ActionResult:
        """CreateEndpointConfig."""
        return ActionResult({"EndpointConfigArn": self.sagemaker_backend.make_endpoint_config(self._given()).arn})

    def create_endpoint(self) -> ActionResult:
        """CreateEndpoint."""
        return ActionResult({"EndpointArn": self.sagemaker_backend.make_endpoint(self._given()).arn})

    def create_transform_job(self) -> ActionResult:
        """CreateTransformJob."""
        return ActionResult({"TransformJobArn": self.sagemaker_backend.start_transform(self._given()).arn})

    def stop_transform_job(self) -> EmptyResult:
        """StopTransformJob."""
        self.sagemaker_backend.stop_transform(self._given()["TransformJobName"])
        return EmptyResult()

    def describe_model(self) -> ActionResult:
        """DescribeModel."""
        return self._described(Model)

    def describe_endpoint_config(self) -> ActionResult:
        """DescribeEndpointConfig."""
        return self._described(EndpointConfig)

    def describe_endpoint(self) -> ActionResult:
        """DescribeEndpoint."""
        return self._described(Endpoint)

    def describe_transform_job(self) -> ActionResult:
        """DescribeTransformJob."""
        return self._described(TransformJob)

    def delete_model(self) -> EmptyResult:
        """DeleteModel."""
        self.sagemaker_backend.forget(Model, self._given()["ModelName"])
        return EmptyResult()

    def delete_endpoint_config(self) -> EmptyResult:
        """DeleteEndpointConfig."""
        self.sagemaker_backend.forget(EndpointConfig, self._given()["EndpointConfigName"])
        return EmptyResult()

    def delete_endpoint(self) -> EmptyResult:
        """DeleteEndpoint."""
        self.sagemaker_backend.remove_endpoint(self._given()["EndpointName"])
        return EmptyResult()

    def list_models(self) -> ActionResult:
        """ListModels."""
        return self._listed("Models", self.sagemaker_backend.models)

    def list_endpoint_configs(self) -> ActionResult:
        """ListEndpointConfigs."""
        return self._listed("EndpointConfigs", self.sagemaker_backend.endpoint_configs)

    def list_endpoints(self) -> ActionResult:
        """ListEndpoints."""
        return self._listed("Endpoints", self.sagemaker_backend.endpoints)

    def list_transform_jobs(self) -> ActionResult:
        """ListTransformJobs."""
        return self._listed("TransformJobSummaries", self.sagemaker_backend.transform_jobs)

    def _described(self, kind: type[Hosted]) -> ActionResult:
        return ActionResult(self.sagemaker_backend.found(kind, self._given()[f"{kind.NAME}Name"]).describe())

    def _listed(self, member: str, things: dict[str, Hosted]) -> ActionResult:
        page, more = listing.page(things, self._given())
        return ActionResult({member: [thing.described() for thing in page], **more})
