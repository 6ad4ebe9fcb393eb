"""State machines and their executions: the API's semantics, where moto's are kinder than AWS or forget."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from typing import Any

import moto.stepfunctions.urls
from moto.core.exceptions import AWSError
from moto.core.responses import ActionResult
from moto.stepfunctions.exceptions import InvalidExecutionInput, StateMachineDoesNotExist
from moto.stepfunctions.models import StateMachine
from moto.stepfunctions.parser.backend.execution import Execution
from moto.stepfunctions.parser.models import StepFunctionsParserBackend, stepfunctions_parser_backends
from moto.stepfunctions.responses import StepFunctionResponse

from embedded_aws.services.states import definitions, interpreter

MOST_EVENTS = 1000  # of a page


class _InvalidDefinition(AWSError):
    TYPE = "InvalidDefinition"


class _AlreadyExists(AWSError):
    TYPE = "StateMachineAlreadyExists"


class _AccessDenied(AWSError):
    TYPE = "AccessDeniedException"


class _NotSupported(AWSError):
    TYPE = "StateMachineTypeNotSupported"


class Machines(StepFunctionsParserBackend):
    """moto's Step Functions of one account and region, with its interpreter."""

    @staticmethod
    def _validate_definition(definition: str) -> None:
        if wrong := _problems(definition):
            raise _InvalidDefinition(f"Invalid State Machine Definition: '{'; '.join(wrong)}'")
        StepFunctionsParserBackend._validate_definition(definition)

    def create_state_machine(self, name: str, definition: str, roleArn: str, **settings: Any) -> StateMachine:
        """Make a state machine, or return the one that is the same.

        Source: AWS, Step Functions API reference, CreateStateMachine (idempotency).
        """
        if settings.get("sm_type") not in (None, "STANDARD"):
            raise _NotSupported("the embedded AWS runs standard workflows")
        self._validate_definition(definition)
        arn = f"arn:aws:states:{self.region_name}:{self.account_id}:stateMachine:{name}"
        there = next((machine for machine in self.state_machines if machine.arn == arn), None)
        if there and there.definition != definition:
            raise _AlreadyExists(f"State Machine Already Exists: '{arn}'")
        if not there:
            self._check_role(roleArn, arn)
        return super().create_state_machine(name, definition, roleArn, **settings)

    def update_state_machine(self, arn: str, definition: Any = None, role_arn: Any = None, **settings: Any) -> Any:
        """Change definition or role."""
        if role_arn:
            self._check_role(role_arn, arn)
        return super().update_state_machine(arn, definition, role_arn, **settings)

    def _check_role(self, role_arn: str, machine_arn: str) -> None:
        self._validate_role_arn(role_arn)
        if role_arn.split(":")[4] != self.account_id:
            raise _AccessDenied("Cross-account pass role is not allowed.")
        if not interpreter.may_assume(role_arn, machine_arn):
            raise _AccessDenied(interpreter.refusal(role_arn))

    def start_execution(self, state_machine_arn: str, name: Any = None, execution_input: Any = None) -> Execution:
        """Begin an execution; one without a name gets one."""
        if name:
            self._validate_name(name)
        self.find(state_machine_arn)
        try:
            json.loads(execution_input or "{}")
        except ValueError as error:
            raise InvalidExecutionInput(f"Invalid State Machine Execution Input: '{error}'") from None
        return super().start_execution(state_machine_arn, name or str(uuid.uuid4()), execution_input)

    def stop_execution(self, execution_arn: str, error: str | None = None, cause: str | None = None) -> Execution:
        """End an execution that runs; one that has ended stays as it is."""
        execution = self.describe_execution(execution_arn)
        if execution.status == "RUNNING":
            execution.error, execution.cause, execution.stop_date = error, cause, datetime.now(UTC)
            execution.stop(stop_date=execution.stop_date, error=error, cause=cause)
        return execution

    def find(self, arn: str) -> StateMachine:
        """Return a state machine; versions and aliases are not served.

        Raises
        ------
        AWSError
            If this account and region have none of that ARN.
        """
        self._validate_machine_arn(arn)
        for machine in self.state_machines:
            if machine.arn == arn:
                return machine
        raise StateMachineDoesNotExist(f"State Machine Does Not Exist: '{arn}'")


class Responses(StepFunctionResponse):
    """Requests to these state machines."""

    @property
    def stepfunction_backend(self) -> Machines:
        """The backend that interprets."""
        return of(self.current_account, self.region)

    def stop_execution(self) -> ActionResult:
        """StopExecution."""
        execution = self.stepfunction_backend.stop_execution(
            self._get_param("executionArn"), self._get_param("error"), self._get_param("cause")
        )
        return ActionResult({"stopDate": execution.stop_date})

    def get_execution_history(self) -> ActionResult:
        """GetExecutionHistory, in either order, a page at a time."""
        history = self.stepfunction_backend.get_execution_history(self._get_param("executionArn"))
        events = history["events"][::-1] if self._get_param("reverseOrder") else history["events"]
        begin = int(self._get_param("nextToken") or 0)
        end = begin + (self._get_int_param("maxResults") or MOST_EVENTS)
        more = {"nextToken": str(end)} if end < len(events) else {}
        return ActionResult({"events": events[begin:end], **more})

    def validate_state_machine_definition(self) -> ActionResult:
        """ValidateStateMachineDefinition."""
        wrong = _problems(self._get_param("definition"))
        diagnostics = [
            {"severity": "ERROR", "code": problem.partition(":")[0], "message": problem.partition(": ")[2] or problem}
            for problem in wrong
        ]
        return ActionResult({"result": "FAIL" if wrong else "OK", "diagnostics": diagnostics, "truncated": False})


def _problems(definition: str) -> list[str]:
    try:
        return definitions.problems(definition)
    except definitions.NotServed as error:
        raise NotImplementedError(str(error)) from None


def of(account: str, region: str) -> Machines:
    """Return Step Functions of an account and region."""
    return stepfunctions_parser_backends[account][region]


def install(endpoint: str) -> None:
    """Put these state machines in the place of moto's; before the first request."""
    interpreter.install(endpoint)
    stepfunctions_parser_backends.backend = Machines
    moto.stepfunctions.urls.url_paths = {"{0}/$": Responses.dispatch}
