"""Model persistence: ``model.joblib``, its pickle-free twin, and a manifest with their checksums."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import boto3
import joblib
import numpy as np
import pandas as pd
import sklearn
from botocore.exceptions import BotoCoreError, ClientError
from sklearn.pipeline import Pipeline

from client_code import task
from client_code.problem import Encoded, Problem
from workshop.errors import AccountError, ModelError
from workshop.files import sha256, unwritable, write_text

MODEL, TWIN, MANIFEST = "model.joblib", "model.npz", "manifest.json"


@dataclass(frozen=True)
class GlobalModel:
    """A fitted pipeline that takes the raw columns, and the threshold chosen on the clients' validation rows."""

    pipeline: Pipeline
    threshold: float
    about: dict  # how it was trained: rounds, max_iter, penalty, seed, source of the rows


def save(
    folder: Path,
    parameters: task.Parameters,
    scaler: task.Scaler,
    problem: Problem,
    *,
    threshold: float,
    about: dict,
) -> Path:
    """Write the model, its twin and the manifest; return the path of ``model.joblib``.

    Parameters
    ----------
    folder : Path
        Made when it is not there.
    parameters, scaler
        ``[coef (1, n_inputs), intercept (1,)]``, and mean and scale ``(n_inputs,)`` each.
    problem : Problem
        What the columns are, and how they are transformed.
    threshold : float
        From which probability on a row counts as one of label 1.
    about : dict
        JSON values for the manifest: seed, rounds, source of the data.
    """
    arrays = {"coef": parameters[0], "intercept": parameters[1], "mean": scaler.mean, "scale": scaler.scale}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        task.save_model(folder, task.build_pipeline(parameters, scaler, problem.encoding))
        np.savez(
            folder / TWIN,
            allow_pickle=False,
            **arrays,
            encoding=np.array(json.dumps(problem.encoding)),
        )
    except OSError as error:
        raise unwritable(folder, error) from error
    manifest = {
        "files": {name: sha256(folder / name) for name in (MODEL, TWIN)},
        "threshold": threshold,
        "scikit-learn": sklearn.__version__,
        "about": about,
    }
    write_text(folder / MANIFEST, json.dumps(manifest, indent=1, sort_keys=True))
    return folder / MODEL


def load(folder: Path) -> GlobalModel:
    """Load the model that this account wrote, after its checksum was compared with the manifest.

    Never use this, or ``joblib.load``, on a file that another account made: a pickle can run any code.

    Raises
    ------
    ModelError
        If a file is missing or is not the one that the manifest describes.
    """
    manifest = _verified_manifest(folder)
    return GlobalModel(joblib.load(folder / MODEL), manifest["threshold"], manifest["about"])


def load_twin(folder: Path) -> GlobalModel:
    """Rebuild the same model from arrays alone; no pickle is opened.

    Raises
    ------
    ModelError
        As :func:`load`.
    """
    manifest = _verified_manifest(folder)
    with np.load(folder / TWIN, allow_pickle=False) as arrays:
        scaler = task.Scaler(arrays["mean"], arrays["scale"])
        pipeline = task.build_pipeline([arrays["coef"], arrays["intercept"]], scaler, _encoding(arrays))
    return GlobalModel(pipeline, manifest["threshold"], manifest["about"])


def example(folder: Path) -> pd.DataFrame:
    """Return a row as a model takes it, and nobody's: means over all clients, of words the most frequent.

    Raises
    ------
    ModelError
        As :func:`load`.
    """
    _verified_manifest(folder)
    with np.load(folder / TWIN, allow_pickle=False) as arrays:
        encoding, mean = _encoding(arrays), arrays["mean"]
    cells: dict[str, list] = {}
    for column in encoding:
        own, mean = mean[: len(column.inputs) - column.indicator], mean[len(column.inputs) :]
        if column.categories:
            cells[column.name] = [column.categories[int(own.argmax())]]
        else:
            cells[column.name] = [float(np.expm1(own[0]) if column.transform == "log1p" else own[0])]
    return pd.DataFrame(cells)


def _encoding(arrays: Mapping[str, np.ndarray]) -> list[Encoded]:
    columns = json.loads(str(arrays["encoding"]))
    return [Encoded(name, log, tuple(words), *gaps) for name, log, words, *gaps in columns]


def upload(folder: Path, session: boto3.Session, bucket: str) -> None:
    """Copy model, twin and manifest to ``model/`` of the server's bucket, the manifest last.

    Raises
    ------
    AccountError
        If the bucket does not take them: names it and the object.
    """
    client = session.client("s3")
    for name in (MODEL, TWIN, MANIFEST):
        try:
            client.put_object(Bucket=bucket, Key=f"model/{name}", Body=(folder / name).read_bytes())
        except (BotoCoreError, ClientError) as error:
            raise AccountError(f"account server: bucket {bucket} does not take model/{name}: {error}") from error


def _verified_manifest(folder: Path) -> dict:
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        checksums = {name: sha256(folder / name) for name in manifest["files"]}
    except FileNotFoundError as error:
        raise ModelError(f"{Path(error.filename).name} is missing: run 03_run_federation.ipynb first") from error
    for name, checksum in manifest["files"].items():
        if checksums[name] != checksum:
            raise ModelError(f"{name} is not the file that {MANIFEST} describes (SHA-256 differs): do not load it")
    return manifest
