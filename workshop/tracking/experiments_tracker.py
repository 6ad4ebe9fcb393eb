"""SageMaker Experiments tracker: writes sheets as trial components, through the low-level API.

Its page is closed to accounts that are new to it (Studio Classic); the API is served.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from workshop.errors import WorkshopError
from workshop.tracking import recorded as records
from workshop.tracking.recorded import Recorded
from workshop.tracking.registry import Version
from workshop.tracking.sheets import Sheet

AT_ONCE = 10  # metrics in one request
LONGEST = 2_500  # characters of a parameter
STATUS = {
    records.RUNNING: "InProgress",
    records.FINISHED: "Completed",
    records.ENDED: "Failed",
    records.CUT_OFF: "Stopped",
}


class ExperimentsTracker:
    """Where sheets go to: an experiment per problem, a trial per run, a component for the server and each client.

    Writing one again changes nothing: the API tells how many values a metric has, and no more are added. There is no
    place for files or models.

    Parameters
    ----------
    session : boto3.Session
        Its role may ``sagemaker:CreateExperiment``, ``CreateTrial``, ``DescribeTrial``, ``CreateTrialComponent``,
        ``DescribeTrialComponent``, ``UpdateTrialComponent``, ``AssociateTrialComponent`` and ``BatchPutMetrics``.

    Raises
    ------
    WorkshopError
        If it has no region.
    """

    def __init__(self, session: boto3.Session) -> None:
        try:
            self.client, self.metrics = session.client("sagemaker"), session.client("sagemaker-metrics")
        except BotoCoreError as error:
            raise WorkshopError(f"SageMaker Experiments cannot be reached: {error}") from error
        self.written: dict[str, dict[str, int]] = {}  # by component and metric: how many values are there

    def write(self, recorded: Recorded, sheets: Sequence[Sheet], files: Sequence[Path] = ()) -> None:
        """Write what is not there yet.

        Raises
        ------
        WorkshopError
            If it is refused, or nobody answers.
        """
        try:
            trial = self._trial(recorded)
            for sheet in sheets:
                component = f"{trial}-{_entity(sheet.who)}"
                if component not in self.written:
                    self.written[component] = self._component(trial, component, recorded, sheet)
                self._points(component, sheet)
                status = {"PrimaryStatus": STATUS[recorded.status], "Message": recorded.reason[:1024]}
                over = {} if recorded.status == records.RUNNING else {"EndTime": _time(recorded.ended)}
                self.client.update_trial_component(TrialComponentName=component, Status=status, **over)
        except (BotoCoreError, ClientError) as error:
            raise WorkshopError(f"SageMaker Experiments does not take run {recorded.run}: {error}") from error

    def keep(self, version: Version) -> None:
        """Do nothing: Experiments has no registry of models."""

    def _trial(self, recorded: Recorded) -> str:
        experiment = f"federation-{_entity(recorded.about['problem'])}"
        trial = f"{experiment}-{_entity(recorded.run)}"
        try:
            self.client.describe_trial(TrialName=trial)
        except ClientError as error:
            if not _missing(error):
                raise
            _unless_there(self.client.create_experiment, ExperimentName=experiment)
            _unless_there(
                self.client.create_trial, TrialName=trial, ExperimentName=experiment, DisplayName=recorded.title
            )
        return trial

    def _component(self, trial: str, component: str, recorded: Recorded, sheet: Sheet) -> dict[str, int]:
        """Make a component where there is none; return how many values each of its metrics has."""
        try:
            known = self.client.describe_trial_component(TrialComponentName=component)
            return {each["MetricName"]: each["Count"] for each in known.get("Metrics", [])}
        except ClientError as error:
            if not _missing(error):
                raise
        told = {**sheet.parameters, **sheet.tags}
        self.client.create_trial_component(
            TrialComponentName=component, DisplayName=sheet.name, StartTime=_time(recorded.began),
            Parameters={name: {"StringValue": value[:LONGEST]} for name, value in told.items()},
        )  # fmt: skip
        self.client.associate_trial_component(TrialName=trial, TrialComponentName=component)
        return {}

    def _points(self, component: str, sheet: Sheet) -> None:
        there, seen = self.written[component], dict[str, int]()
        fresh = []
        for number, (at, values) in sorted(sheet.points.items()):
            for name, value in values.items():
                seen[name] = seen.get(name, 0) + 1
                if seen[name] > there.get(name, 0):
                    fresh.append({"MetricName": name, "Timestamp": _time(at), "Step": number, "Value": value})
        for some in _tens(fresh):
            answer = self.metrics.batch_put_metrics(TrialComponentName=component, MetricData=some)
            if wrong := answer.get("Errors"):
                raise WorkshopError(
                    f"SageMaker Experiments does not take {some[wrong[0]['MetricIndex']]}: {wrong[0]['Code']}"
                )
            for each in some:
                there[each["MetricName"]] = there.get(each["MetricName"], 0) + 1


def _tens(values: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    for begin in range(0, len(values), AT_ONCE):
        yield values[begin : begin + AT_ONCE]


def _entity(name: str) -> str:
    """Return a name as Experiments takes it: letters, digits, single hyphens between them."""
    return re.sub(r"[^a-zA-Z0-9]+", "-", name).strip("-")[:40] or "unnamed"


def _missing(error: ClientError) -> bool:
    return error.response["Error"]["Code"] in ("ResourceNotFound", "ResourceNotFoundException", "ValidationException")


def _unless_there(create: Any, **request: Any) -> None:
    try:
        create(**request)
    except ClientError as error:
        if "already exists" not in str(error):
            raise


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
