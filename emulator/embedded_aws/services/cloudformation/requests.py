"""CloudFormation's API: stacks are created, updated, deleted and told of."""

from __future__ import annotations

from flask import Flask
from moto.core.responses import ActionResult, EmptyResult
from moto.core.utils import convert_to_flask_response
from moto.moto_server.werkzeug_app import BackendRequest

from embedded_aws.service import Setting
from embedded_aws.services.cloudformation import views
from embedded_aws.services.cloudformation.changeset_requests import ChangeSetRequests
from embedded_aws.services.cloudformation.resource_requests import ResourceRequests
from embedded_aws.stacks.engine import Deployment, begin
from embedded_aws.stacks.errors import ValidationError
from embedded_aws.stacks.state import Stack


class StackRequests(ChangeSetRequests, ResourceRequests):
    """The operations of CloudFormation that the embedded AWS does."""

    def create_stack(self) -> ActionResult:
        """CreateStack."""
        name = self._new_name()
        wanted = self._wanted(None)
        on_failure, stay = self._get_param("OnFailure"), self._get_param("DisableRollback")
        if on_failure and stay is not None:
            raise ValidationError("You can specify either OnFailure or DisableRollback, but not both")
        stack = Stack(
            name,
            self.current_account,
            self.region,
            on_failure=on_failure or ("DO_NOTHING" if stay else "ROLLBACK"),
            timeout_minutes=self._get_param("TimeoutInMinutes"),
            retain_except_on_create=bool(self._get_param("RetainExceptOnCreate")),
            protected=bool(self._get_param("EnableTerminationProtection")),
        )
        deployment = Deployment(stack, self._clients, self._book)
        self._plan(stack, wanted, deployment)  # refuses before anything is there
        with self._book.lock:
            self._new_name()
            stack.wanted = wanted
            self._book.add(stack)
            begin(stack, "CREATE_IN_PROGRESS", deployment.create, reason="User Initiated")
        return ActionResult({"StackId": stack.id})

    def update_stack(self) -> ActionResult:
        """UpdateStack."""
        stack = self._book.find(self._get_param("StackName"))
        self._check_updatable(stack)
        if self._get_param("DisableRollback"):
            raise NotImplementedError("DisableRollback of UpdateStack")
        wanted = self._wanted(stack)
        deployment = Deployment(stack, self._clients, self._book)
        if not self._plan(stack, wanted, deployment) and self._same(stack, wanted):
            raise ValidationError("No updates are to be performed.")
        with self._book.lock:
            self._check_updatable(stack)
            for change_set in stack.change_sets.values():  # they speak of what was
                change_set.execution = "OBSOLETE" if change_set.execution == "AVAILABLE" else change_set.execution
            begin(stack, "UPDATE_IN_PROGRESS", lambda: deployment.update(wanted), reason="User Initiated")
        return ActionResult({"StackId": stack.id})

    def delete_stack(self) -> ActionResult:
        """DeleteStack; a stack that is not there is fine."""
        stack = self._book.get(self._get_param("StackName"))
        if stack is None or stack.status in ("DELETE_COMPLETE", "DELETE_IN_PROGRESS"):
            return EmptyResult()
        retain = set(self._get_param("RetainResources") or [])
        if retain and stack.status != "DELETE_FAILED":
            raise ValidationError(
                f"Invalid operation on stack [{stack.id}]. RetainResources is only for stacks that are DELETE_FAILED."
            )
        if stack.protected:
            raise ValidationError(f"Stack [{stack.name}] cannot be deleted while TerminationProtection is enabled")
        with self._book.lock:
            if stack.status.startswith("UPDATE") and stack.busy:
                raise ValidationError(f"Stack [{stack.id}] cannot be deleted while in status {stack.status}")
            if stack.status == "REVIEW_IN_PROGRESS":
                self._book.forget(stack)
            elif stack.status != "DELETE_IN_PROGRESS":
                deployment = Deployment(stack, self._clients, self._book)
                begin(stack, "DELETE_IN_PROGRESS", lambda: deployment.delete(retain), reason="User Initiated")
        return EmptyResult()

    def update_termination_protection(self) -> ActionResult:
        """UpdateTerminationProtection."""
        stack = self._book.find(self._get_param("StackName"))
        stack.protected = bool(self._get_param("EnableTerminationProtection"))
        return ActionResult({"StackId": stack.id})

    def describe_stacks(self) -> ActionResult:
        """DescribeStacks."""
        name = self._get_param("StackName")
        stacks = [self._book.find(name)] if name else [s for s in self._book if s.status != "DELETE_COMPLETE"]
        return self._page("Stacks", [views.of_stack(stack) for stack in stacks])

    def list_stacks(self) -> ActionResult:
        """ListStacks, deleted ones too."""
        wanted = self._get_param("StackStatusFilter") or []
        summaries = [views.summary(stack) for stack in self._book if not wanted or stack.status in wanted]
        return self._page("StackSummaries", summaries)

    def list_exports(self) -> ActionResult:
        """ListExports."""
        exports = [
            {"ExportingStackId": stack.id, "Name": output["ExportName"], "Value": output["OutputValue"]}
            for stack in self._book
            if stack.status != "DELETE_COMPLETE"
            for output in stack.outputs
            if "ExportName" in output
        ]
        return self._page("Exports", exports)

    def describe_stack_events(self) -> ActionResult:
        """DescribeStackEvents, newest first."""
        events = list(self._book.find(self._get_param("StackName")).events)
        listed = [views.event(event) for event in events]
        return self._page("StackEvents", listed[::-1])


def application() -> Flask:
    """Return the service without moto's CloudFormation, whose import loads every other service of moto."""
    app = Flask("moto")
    app.request_class = BackendRequest
    view = convert_to_flask_response(StackRequests.dispatch)
    app.add_url_rule("/", "cloudformation", view, methods=["GET", "POST"], strict_slashes=False)
    return app


def install(setting: Setting) -> None:
    """Say where this AWS answers; before the first request."""
    StackRequests.endpoint = setting.endpoint
