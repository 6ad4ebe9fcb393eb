"""MLflow tracker: writes sheets as runs of MLflow; in a process of its own, since importing MLflow takes seconds."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Sequence
from importlib.metadata import version as version_of
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunStatus, RunTag
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NAME

from workshop.errors import WorkshopError
from workshop.science import model
from workshop.tracking import recorded as records
from workshop.tracking import registry
from workshop.tracking.recorded import Recorded
from workshop.tracking.registry import Version
from workshop.tracking.sheets import SERVER, Sheet

# sagemaker-mlflow's plugin warns at every request to a server that is not SageMaker's; the others tell what is normal.
for talks, level in {"mlflow.tracking.request_header.registry": 40, "alembic": 30, "mlflow.store.db.utils": 30}.items():
    logging.getLogger(talks).setLevel(level)

NUMBER = "federation.version"  # tag of a model's version: its number here
TRUSTED = ["numpy.asarray", "numpy.dtype"]  # what skops asks about in a pipeline for tables with words and gaps
RUN, WHO = "federation.run", "who"  # tags by which a run is found again
STATUS = {
    records.RUNNING: RunStatus.RUNNING,
    records.FINISHED: RunStatus.FINISHED,
    records.ENDED: RunStatus.FAILED,
    records.CUT_OFF: RunStatus.KILLED,
}


class MlflowTracker:
    """Where sheets go to; writing one again changes nothing.

    Parameters
    ----------
    uri : str
        A tracking URI: ``sqlite:///...``, ``http(s)://...``, or the ARN of an MLflow app of SageMaker.
    artifacts : Path
        For files, where the URI is that of a database.

    Raises
    ------
    WorkshopError
        If it does not answer.
    """

    def __init__(self, uri: str, *, artifacts: Path | None = None) -> None:
        self.uri, self.artifacts = uri, artifacts
        try:
            self.client = MlflowClient(tracking_uri=uri)
        except Exception as error:  # of MLflow, of its database or of AWS
            raise WorkshopError(f"the tracker {uri} cannot be opened: {_line(error)}") from error
        self.known: dict[str, str] = {}  # runs of the tracker, by whom
        self.written: set[tuple[str, int]] = set()  # rounds, by whom

    def write(self, recorded: Recorded, sheets: Sequence[Sheet], files: Sequence[Path] = ()) -> None:
        """Write what is not there yet; files once the run is over.

        Raises
        ------
        WorkshopError
            If the tracker does not take it.
        """
        try:
            experiment = self._experiment(recorded.about["problem"])
            for sheet in sheets:
                run = self._run(experiment, recorded, sheet)
                self._points(run, sheet)
            for sheet in reversed(sheets) if recorded.status != records.RUNNING else ():
                if sheet.who == SERVER:
                    for path in files:
                        self.client.log_artifact(self.known[SERVER], str(path))
                status = RunStatus.to_string(STATUS[recorded.status])
                self.client.set_terminated(self.known[sheet.who], status, end_time=_ms(recorded.ended))
        except Exception as error:  # of MLflow, of its database, of the network or of AWS
            raise WorkshopError(f"the tracker {self.uri} does not take run {recorded.run}: {_line(error)}") from error

    def keep(self, version: Version) -> None:
        """Put a version of the model into MLflow's registry, once, and call versions there what they are called here.

        It is stored by skops, not as a pickle, with its signature and an example of a row; the files of the version lie
        beside it.

        Raises
        ------
        WorkshopError
            If the tracker does not take it.
        """
        try:
            found = self.client.search_model_versions(f"name = '{version.problem}'")
            known = {each.tags.get(NUMBER): each.version for each in found}
            if str(version.number) not in known:
                known[str(version.number)] = self._stored(version)
            for alias, number in registry.aliases(version.problem).items():
                if str(number) in known:
                    self.client.set_registered_model_alias(version.problem, alias, known[str(number)])
        except Exception as error:  # as above
            raise WorkshopError(f"the tracker {self.uri} does not take {version}: {_line(error)}") from error

    def _stored(self, version: Version) -> str:
        import mlflow
        from mlflow import sklearn as flavor
        from mlflow.models import infer_signature

        mlflow.set_tracking_uri(self.uri)
        trained, row = model.load_twin(version.folder), model.example(version.folder)
        with mlflow.start_run(run_id=self.known[SERVER]):
            info = flavor.log_model(
                trained.pipeline, name="model", signature=infer_signature(row, trained.pipeline.predict_proba(row)),
                input_example=row, pip_requirements=[f"scikit-learn=={version_of('scikit-learn')}"],
                pyfunc_predict_fn="predict_proba", skops_trusted_types=TRUSTED,
                metadata={"threshold": trained.threshold, **trained.about},
            )  # fmt: skip
        self.client.set_terminated(self.known[SERVER], end_time=self.client.get_run(self.known[SERVER]).info.end_time)
        with contextlib.suppress(MlflowException):  # it is there already
            self.client.create_registered_model(version.problem)
        made = self.client.create_model_version(
            version.problem, info.model_uri, self.known[SERVER], tags={NUMBER: str(version.number), RUN: version.run},
            description=explained(trained.threshold),
        )  # fmt: skip
        return str(made.version)

    def _experiment(self, name: str) -> str:
        known = self.client.get_experiment_by_name(name)
        if known is not None:
            return known.experiment_id
        return self.client.create_experiment(
            name, artifact_location=self.artifacts.as_uri() if self.artifacts else None
        )

    def _run(self, experiment: str, recorded: Recorded, sheet: Sheet) -> str:
        """Return the tracker's run of a sheet, made where there is none, with parameters and tags as they are now."""
        if sheet.who not in self.known:
            asked = f"tags.`{RUN}` = '{recorded.run}' AND tags.`{WHO}` = '{sheet.who}'"
            found = self.client.search_runs([experiment], asked, max_results=1)
            tags = {MLFLOW_RUN_NAME: sheet.name, RUN: recorded.run, WHO: sheet.who}
            if sheet.who != SERVER:
                tags[MLFLOW_PARENT_RUN_ID] = self.known[SERVER]
            made = found[0] if found else self.client.create_run(experiment, _ms(recorded.began), tags)
            self.known[sheet.who] = made.info.run_id
            there = made.data.params  # of a run that was cut off in the middle, not all
            params = [Param(key, value) for key, value in sheet.parameters.items() if key not in there]
            self.client.log_batch(made.info.run_id, params=params)
        run = self.known[sheet.who]
        self.client.log_batch(run, tags=[RunTag(key, value[:4000]) for key, value in sheet.tags.items()])
        return run

    def _points(self, run: str, sheet: Sheet) -> None:
        for number, (at, values) in sheet.points.items():
            if (sheet.who, number) not in self.written:
                metrics = [Metric(name, value, _ms(at), number) for name, value in values.items()]
                self.client.log_batch(run, metrics=metrics)
                self.written.add((sheet.who, number))


def explained(threshold: float) -> str:
    """Say what the threshold is, beside the model that it belongs to."""
    return (
        f"A row counts as positive from a probability of {threshold:.4g} on: every client told the threshold with the "
        "highest balanced accuracy on its own validation rows, and this is their mean, weighted by these rows."
    )


def _ms(seconds: float) -> int:
    return int(seconds * 1000)


def _line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:300]
