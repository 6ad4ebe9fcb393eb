"""SageMaker's operations on notebook instances and lifecycle configurations."""

from __future__ import annotations

import json
import secrets
from datetime import UTC, datetime
from typing import Any

from moto.core.responses import ActionResult, EmptyResult
from moto.sagemaker.exceptions import AWSValidationException

from embedded_aws.services.sagemaker.notebooks import CONFIG

_LISTED = ("Arn", "Name", "Status")


class NotebookRequests:
    """The operations on notebook instances; a base of SageMaker's requests."""

    def _asked(self) -> dict[str, Any]:
        return json.loads(self.body or "{}")

    def create_notebook_instance(self) -> ActionResult:
        """CreateNotebookInstance."""
        return ActionResult({"NotebookInstanceArn": self.sagemaker_backend.create_notebook(self._asked()).arn})

    def describe_notebook_instance(self) -> ActionResult:
        """DescribeNotebookInstance."""
        return ActionResult(self.sagemaker_backend.notebook(self._asked()["NotebookInstanceName"]).describe())

    def update_notebook_instance(self) -> ActionResult:
        """UpdateNotebookInstance."""
        self.sagemaker_backend.update_notebook(self._asked())
        return EmptyResult()

    def start_notebook_instance(self) -> ActionResult:
        """StartNotebookInstance."""
        self.sagemaker_backend.turn_notebook(self._asked()["NotebookInstanceName"], "Start")
        return EmptyResult()

    def stop_notebook_instance(self) -> ActionResult:
        """StopNotebookInstance."""
        self.sagemaker_backend.turn_notebook(self._asked()["NotebookInstanceName"], "Stop")
        return EmptyResult()

    def delete_notebook_instance(self) -> ActionResult:
        """DeleteNotebookInstance, of one that is stopped."""
        self.sagemaker_backend.turn_notebook(self._asked()["NotebookInstanceName"], "Delete")
        return EmptyResult()

    def create_presigned_notebook_instance_url(self) -> ActionResult:
        """CreatePresignedNotebookInstanceUrl; there is nothing behind the address."""
        instance = self.sagemaker_backend.notebook(self._asked()["NotebookInstanceName"])
        if instance.status != "InService":
            raise AWSValidationException(
                f"Notebook instance {instance.name} is {instance.status}: start it, and wait until it is InService."
            )
        return ActionResult({"AuthorizedUrl": f"https://{instance.url}?authToken={secrets.token_urlsafe(48)}"})

    def list_notebook_instances(self) -> ActionResult:
        """ListNotebookInstances."""
        request = self._asked()
        listed = [*(f"NotebookInstance{end}" for end in _LISTED), "Url", "InstanceType", "CreationTime"]
        listed += ["LastModifiedTime", CONFIG, "DefaultCodeRepository", "AdditionalCodeRepositories"]
        instances = [instance.describe() for instance in list(self.sagemaker_backend.notebook_instances.values())]
        instances = [instance for instance in instances if _matches(instance, request, name="NotebookInstanceName")]
        page, more = _page(instances, request, name="NotebookInstanceName", status="NotebookInstanceStatus")
        summaries = [{name: value for name, value in instance.items() if name in listed} for instance in page]
        return ActionResult({"NotebookInstances": summaries, **more})

    def create_notebook_instance_lifecycle_config(self) -> ActionResult:
        """CreateNotebookInstanceLifecycleConfig."""
        made = self.sagemaker_backend.create_lifecycle_config(self._asked())
        return ActionResult({"NotebookInstanceLifecycleConfigArn": made.arn})

    def describe_notebook_instance_lifecycle_config(self) -> ActionResult:
        """DescribeNotebookInstanceLifecycleConfig."""
        return ActionResult(self.sagemaker_backend.lifecycle_config(self._asked()[CONFIG]).describe())

    def update_notebook_instance_lifecycle_config(self) -> ActionResult:
        """UpdateNotebookInstanceLifecycleConfig."""
        request = self._asked()
        config = self.sagemaker_backend.lifecycle_config(request[CONFIG], "update")
        config.scripts = {**config.scripts, **{name: request[name] for name in config.scripts if name in request}}
        config.modified = datetime.now(UTC)
        return EmptyResult()

    def delete_notebook_instance_lifecycle_config(self) -> ActionResult:
        """DeleteNotebookInstanceLifecycleConfig."""
        config = self.sagemaker_backend.lifecycle_config(self._asked()[CONFIG], "delete")
        self.sagemaker_backend.lifecycle_configs.pop(config.name, None)
        return EmptyResult()

    def list_notebook_instance_lifecycle_configs(self) -> ActionResult:
        """ListNotebookInstanceLifecycleConfigs."""
        request = self._asked()
        configs = [config.describe() for config in list(self.sagemaker_backend.lifecycle_configs.values())]
        configs = [config for config in configs if _matches(config, request, name=CONFIG)]
        page, more = _page(configs, request, name=CONFIG, status=CONFIG)
        summaries = [{name: value for name, value in config.items() if not name.startswith("On")} for config in page]
        return ActionResult({"NotebookInstanceLifecycleConfigs": summaries, **more})


def _matches(description: dict[str, Any], request: dict[str, Any], *, name: str) -> bool:
    contains = {
        "NameContains": description[name],
        "NotebookInstanceLifecycleConfigNameContains": description.get(CONFIG, ""),
        "DefaultCodeRepositoryContains": description.get("DefaultCodeRepository", ""),
    }
    if any(request.get(member, "").lower() not in value.lower() for member, value in contains.items()):
        return False
    if request.get("StatusEquals") not in (None, description.get("NotebookInstanceStatus")):
        return False
    repository = request.get("AdditionalCodeRepositoryEquals")
    if repository is not None and repository not in description.get("AdditionalCodeRepositories", []):
        return False
    return all(
        request.get(f"{when}After", 0) <= description[when].timestamp() <= request.get(f"{when}Before", 1e12)
        for when in ("CreationTime", "LastModifiedTime")
    )


def _page(
    descriptions: list[dict[str, Any]], request: dict[str, Any], *, name: str, status: str
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    key = {"Name": name, "Status": status}.get(request.get("SortBy", "Name"), request.get("SortBy", "Name"))
    descriptions = sorted(
        descriptions, key=lambda description: description[key], reverse=request.get("SortOrder") == "Descending"
    )
    token = request.get("NextToken", "0")
    if not token.isdigit():
        raise AWSValidationException("Invalid pagination token given.")
    first, size = int(token), request.get("MaxResults", 10)
    more = {"NextToken": str(first + size)} if len(descriptions) > first + size else {}
    return descriptions[first : first + size], more
