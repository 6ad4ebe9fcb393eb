"""Lessons on the provider table: what a choice does to it and to a model, what a rare label does to a score."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from client_code import schema
from client_code.problem import Problem
from data_prep import split
from data_prep.cms import build, files, layouts
from data_prep.cms.recipe import Choices
from data_prep.errors import DataError
from workshop.errors import JobError
from workshop.owners import table_job
from workshop.science import baselines, evaluation

TEST = 0.3  # share of providers that a model is scored on
ROUNDS, ITERATIONS = 3, 20


def contents(folder: Path) -> pd.DataFrame:
    """Return what lies in a folder: a line for each file, with its layout."""
    found = files.find(folder)
    lines = [
        (source.name, layouts.kinds()[source.kind].rows.split(";")[0], source.layout.name, len(source.header),
         round(source.size / 1e6, 2))
        for source in found
    ]  # fmt: skip
    columns = ["file", "a line is", "layout", "columns", "MB"]
    return pd.DataFrame(lines, columns=columns).set_index("file")


def head(folder: Path, kind: str, lines: int = 2) -> str:
    """Return the first lines of the newest file of a kind, as they stand there."""
    source = [source for source in files.find(folder) if source.kind == kind][-1]
    with source.open() as stream:
        return b"".join(stream.readline() for _ in range(lines)).decode()


def with_a_change(folder: Path, out: Path, kind: str, old: str, new: str) -> tuple[Path, bool]:
    """Copy a folder of files, the first place of a text in the newest file of a kind changed.

    Returns
    -------
    Path, bool
        The file, and whether the text stands in it.
    """
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(folder, out)
    path = [source.path for source in files.find(out) if source.kind == kind][-1]
    text = path.read_text()
    path.write_text(text.replace(old, new, 1))
    return path, bool(old) and old in text


def complaint(folder: Path, out: Path, *, otherwise: str | None = None) -> str:
    """Build a table that cannot be built; return what is said.

    Parameters
    ----------
    otherwise : str, optional
        What to return if it can be built after all.

    Raises
    ------
    DataError
        If it can, and nothing is to be returned then.
    """
    try:
        build.build(folder, folder / "UPDATED.csv", out)
    except DataError as error:
        return str(error)
    if otherwise is None:
        raise DataError(f"{folder} was built, and should not have been")
    return otherwise


@dataclass(frozen=True)
class BuiltThere:
    """What a job in an account has made.

    Attributes
    ----------
    told : str
        One line: how many rows, or why the job failed.
    about : mapping
        The table's manifest; empty if it failed.
    """

    told: str
    about: Mapping[str, Any]


def built_there(where: table_job.Place, out: Path) -> BuiltThere:
    """Build a table in an account, and fetch it; the job says so where this machine has no Spark to run."""
    try:
        about = table_job.fetch(where, table_job.run(where, Choices()), out)
    except JobError as error:
        return BuiltThere(str(error), {})
    return BuiltThere(f"{about['rows']:,} providers, {about['positive']:,} of them excluded later", about)


def effects(
    folder: Path, choices: Mapping[str, Choices], problem: Problem, out: Path, *, seed: int, k: int = 50
) -> pd.DataFrame:
    """Build the table once for every choice, train the same model on each, and score it on providers it never saw.

    Returns
    -------
    DataFrame
        A line for each choice: rows, positives, and the model's scores on a part of that choice's own table.
    """
    lines = {}
    for name, chosen in choices.items():
        made = build.build(folder, folder / "UPDATED.csv", out / name.replace(" ", "-"), chosen)
        frame = schema.read_table(made.folder / build.TABLE, problem)
        rest, test = split.hold_out(frame, problem, TEST, seed=seed)
        scores = scored(trained(rest, problem, seed=seed), test, problem, k=k)
        lines[name] = {"rows": len(frame), "positive": int(frame[problem.label.name].sum())} | {
            "ROC AUC": scores.roc_auc,
            "average precision": scores.average_precision,
            "base rate": scores.base_rate,
        }
    return pd.DataFrame(lines).T.astype({"rows": int, "positive": int})


def trained(frame: pd.DataFrame, problem: Problem, *, seed: int) -> baselines.Model:
    """Train the kit's model on a table, in one process."""
    train, validation = split.train_validation(frame, problem, seed=seed)
    rows = tuple(schema.to_arrays(part, problem) for part in (train, train, validation))
    return baselines.federated_by_hand([baselines.ClientRows(*rows)], problem, rounds=ROUNDS, max_iter=ITERATIONS)


def scored(model: baselines.Model, frame: pd.DataFrame, problem: Problem, *, k: int = 50) -> evaluation.Scores:
    """Score a model on a table."""
    features, labels = schema.to_arrays(frame, problem)
    return evaluation.score(labels, model.probabilities(features), threshold=model.threshold, k=k)


def budget(
    model: baselines.Model,
    frame: pd.DataFrame,
    problem: Problem,
    budgets: Sequence[int],
    *,
    seed: int,
    times: int = 200,
) -> pd.DataFrame:
    """Say what somebody finds who looks at so many providers, those whom a model ranks highest.

    Returns
    -------
    DataFrame
        By number of investigations: positives found, of how many, and the range of nine in ten bootstrap draws of the
        table's rows.
    """
    features, labels = schema.to_arrays(frame, problem)
    order = np.argsort(-model.probabilities(features), kind="stable")
    rng = np.random.default_rng(seed)
    lines = {}
    for most in budgets:
        found = labels[order[:most]].sum()
        drawn = []
        for _ in range(times):
            weights = rng.multinomial(len(labels), np.full(len(labels), 1 / len(labels)))
            within = np.cumsum(weights[order]) <= most
            drawn.append((labels[order] * weights[order])[within].sum())
        low, high = np.quantile(drawn, [0.05, 0.95])
        lines[most] = {
            "found": int(found), "of": int(labels.sum()), "from": int(low), "to": int(high),
            "precision": found / most, "recall": found / max(labels.sum(), 1), "by chance": most * labels.mean(),
        }  # fmt: skip
    return pd.DataFrame(lines).T.rename_axis("investigations").astype(dict.fromkeys(("found", "of", "from", "to"), int))


def thinned(frame: pd.DataFrame, problem: Problem, rate: float, *, seed: int) -> pd.DataFrame:
    """Return a table with as few positives as a rate says, of those that it has."""
    labels = frame[problem.label.name]
    wanted = max(1, round(rate * (labels == 0).sum()))
    kept = frame[labels == 1].sample(min(wanted, int(labels.sum())), random_state=seed)
    return pd.concat([frame[labels == 0], kept], ignore_index=True)


def years_apart(
    folder: Path, problem: Problem, out: Path, choices: Choices, *, train: int, test: int, seed: int
) -> pd.DataFrame:
    """Score a model that knows one year's claims on another's: on providers that it never saw, of either year.

    The label of the first year is an exclusion that was known by the end of the second; nothing from later reaches the
    model.

    Returns
    -------
    DataFrame
        Scores, a line for what they are of.
    """
    tables = {}
    for year, within in ((train, test - train), (test, choices.within)):
        chosen = replace(choices, years=(year,), within=within)
        made = build.build(folder, folder / "UPDATED.csv", out / f"year-{year}", chosen)
        tables[year] = pd.read_parquet(made.folder / build.WIDE, columns=["npi", *problem.names])
    names = sorted(set(tables[train]["npi"]) | set(tables[test]["npi"]))
    unseen = set(np.random.default_rng(seed).choice(names, int(len(names) * TEST), replace=False))
    known = tables[train][~tables[train]["npi"].isin(unseen)]
    model = trained(known[list(problem.names)].reset_index(drop=True), problem, seed=seed)
    scores = {
        f"{year}, other providers": scored(model, frame[frame["npi"].isin(unseen)][list(problem.names)], problem)
        for year, frame in tables.items()
    }
    return evaluation.comparison(scores)
