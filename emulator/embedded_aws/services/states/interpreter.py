"""Corrections of moto's interpreter of the Amazon States Language: who calls, and what comes back.

moto's tasks call with keys of nobody, at an address of its own, in an account of its own; dates in their answers
make the execution's output unreadable; expressions in JSONata need a Java machine; a training job is not waited for.
"""

from __future__ import annotations

import contextlib
import json
import logging
import secrets
import string
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

import jsonata
from botocore.config import Config
from botocore.exceptions import ClientError
from moto.stepfunctions.parser.api import EvaluationFailedEventDetails, HistoryEventType, TaskFailedEventDetails
from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import FailureEvent, FailureEventException
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name import StatesErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name_type import StatesErrorNameType
from moto.stepfunctions.parser.asl.component.common.string.string_expression import StringJSONata
from moto.stepfunctions.parser.asl.component.state.exec.state_task import state_task_factory
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.resource import ResourceCondition
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_aws_sdk import (
    StateTaskServiceAwsSdk,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_unsupported import (
    StateTaskServiceUnsupported,
)
from moto.stepfunctions.parser.asl.eval.event.event_detail import EventDetails
from moto.stepfunctions.parser.asl.jsonata import jsonata as expressions
from moto.stepfunctions.parser.asl.parse.preprocessor import Preprocessor
from moto.sts.models import sts_backends

from embedded_aws import models
from embedded_aws.gate.roles import service_may_assume
from embedded_aws.services.states.definitions import BOTO_NAMES

SERVICE = "states.amazonaws.com"
# As AWS's Java SDK spells services, by which errors of tasks are named.
_SPELT = {
    "cloudformation": "CloudFormation", "cloudtrail": "CloudTrail", "cloudwatchlogs": "CloudWatchLogs", "ec2": "Ec2",
    "iam": "Iam", "kms": "Kms", "s3": "S3", "sagemaker": "SageMaker", "servicequotas": "ServiceQuotas", "sts": "Sts",
}  # fmt: skip
_ONE_ANSWER = Config(parameter_validation=False, retries={"total_max_attempts": 1}, proxies={})
_ENDED_BADLY = ("Failed", "Stopped")


def install(endpoint: str) -> None:
    """Put the corrections in place; once, before the first execution.

    Parameters
    ----------
    endpoint : str
        URL of this AWS.
    """
    logging.getLogger("moto.stepfunctions").setLevel(logging.CRITICAL)  # why an execution fails stands in its history
    _Call.endpoint = endpoint
    # Definitions name no other tasks: see ``definitions``.
    state_task_factory.state_task_service_for = lambda service_name: (
        _TrainingTask() if service_name == "sagemaker" else _SdkTask()
    )
    expressions._eval_jsonata = _evaluated
    Preprocessor.__init__ = _with_scopes_of_its_own
    plain = StringJSONata._eval_body

    def evaluate(self: StringJSONata, env: Any) -> None:
        try:
            plain(self, env)
        except expressions.JSONataException as error:
            details = EvaluationFailedEventDetails(error=error.error, cause=error.details)
            event = EventDetails(evaluationFailedEventDetails=details)
            kind = StatesErrorNameType.StatesQueryEvaluationError
            raise FailureEventException(_failure(env, kind, HistoryEventType.EvaluationFailed, event)) from error

    StringJSONata._eval_body = evaluate


def may_assume(role_arn: str, machine_arn: str) -> bool:
    """Tell whether Step Functions may take a role for a state machine."""
    account = machine_arn.split(":")[4]
    return service_may_assume(SERVICE, role_arn, account=account, source_arn=machine_arn).allowed


def refusal(role_arn: str) -> str:
    """Return AWS's words for a role that Step Functions may not take."""
    return (
        "Neither the global service principal states.amazonaws.com, nor the regional one is authorized to assume the "
        f"provided role ({role_arn})."
    )


def _with_scopes_of_its_own(self: Preprocessor) -> None:
    """Begin to read a definition; moto's readers share a list, and two at a time end each other's executions unseen."""
    self._query_language_per_scope = []


class _Call:
    """A task that calls this AWS as its state machine's role."""

    endpoint: ClassVar[str] = ""

    def _eval_service_task(
        self, env: Any, resource_runtime_part: Any, normalised_parameters: dict[str, Any], state_credentials: Any
    ) -> None:
        service = self._get_boto_service_name()
        client = self._client(env, resource_runtime_part.region, BOTO_NAMES.get(service, service), state_credentials)
        response = getattr(client, self._get_boto_service_action())(**normalised_parameters)
        env.stack.append({name: _plain(value) for name, value in response.items() if name != "ResponseMetadata"})

    def _client(self, env: Any, region: str, service: str, credentials: Any) -> Any:
        machine = env.states.context_object.context_object_data["StateMachine"]["Id"]
        if not may_assume(credentials.role_arn, machine):
            error = {"Code": "AccessDeniedException", "Message": refusal(credentials.role_arn)}
            metadata = {"HTTPStatusCode": 400, "RequestId": secrets.token_hex(16)}
            raise ClientError({"Error": error, "ResponseMetadata": metadata}, "AssumeRole")
        role = sts_backends[machine.split(":")[4]]["aws"].assume_role(
            region_name=region,
            role_session_name="".join(secrets.choice(string.ascii_letters) for _ in range(32)),
            role_arn=credentials.role_arn,
            policy=None,
            duration=3600,
            external_id=None,
        )
        return models.client(
            service,
            region_name=region,
            endpoint_url=self.endpoint,
            aws_access_key_id=role.access_key_id,
            aws_secret_access_key=role.secret_access_key,
            aws_session_token=role.session_token,
            config=_ONE_ANSWER,
        )


class _SdkTask(_Call, StateTaskServiceAwsSdk):
    """Task ``aws-sdk:SERVICE:OPERATION``."""

    @staticmethod
    def _normalise_service_error_name(service_name: str) -> str:
        return _SPELT.get(service_name, service_name)


class _TrainingTask(_Call, StateTaskServiceUnsupported):
    """Task ``sagemaker:createTrainingJob``, with ``.sync`` until the job has ended."""

    def __init__(self) -> None:
        super().__init__()
        # Without the token nothing could interrupt it while it waits.
        self._supported_integration_patterns = {ResourceCondition.Sync, ResourceCondition.WaitForTaskToken}

    def _build_sync_resolver(
        self, env: Any, resource_runtime_part: Any, normalised_parameters: dict[str, Any], state_credentials: Any
    ) -> Callable[[], Any]:
        env.stack.pop()
        client = self._client(env, resource_runtime_part.region, "sagemaker", state_credentials)
        name = normalised_parameters["TrainingJobName"]
        self._stop = lambda: client.stop_training_job(TrainingJobName=name)

        def look() -> Any:
            job = _plain(client.describe_training_job(TrainingJobName=name))
            del job["ResponseMetadata"]
            if job["TrainingJobStatus"] in _ENDED_BADLY:
                kind = StatesErrorNameType.StatesTaskFailed
                details = TaskFailedEventDetails(
                    error=kind.to_name(),
                    cause=json.dumps(job),
                    resource=self._get_sfn_resource(),
                    resourceType=self._get_sfn_resource_type(),
                )
                event = EventDetails(taskFailedEventDetails=details)
                raise FailureEventException(_failure(env, kind, HistoryEventType.TaskFailed, event))
            return job if job["TrainingJobStatus"] == "Completed" else None

        return look

    def _eval_sync(self, env: Any, **waiting: Any) -> Any:
        outcome = super()._eval_sync(env=env, **waiting)
        if not env.is_running():  # stopped, or out of time: so is the job, as well as can be
            with contextlib.suppress(ClientError):
                self._stop()
        return outcome


def _failure(env: Any, kind: StatesErrorNameType, event: HistoryEventType, details: EventDetails) -> FailureEvent:
    return FailureEvent(env=env, error_name=StatesErrorName(typ=kind), event_type=event, event_details=details)


def _plain(value: Any) -> Any:
    """Return a value as Step Functions tells it: dates as text."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _evaluated(expression: str) -> Any:
    try:
        return jsonata.Jsonata(expression).evaluate(None)
    except Exception as error:
        raise expressions.JSONataException("States.QueryEvaluationError", str(error)) from error
