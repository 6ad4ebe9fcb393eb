"""Preparation pipeline: all steps in their order, from a table to one folder of files per owner."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from client_code.problem import Problem
from data_prep import balance as balancing
from data_prep import owners, split
from data_prep.errors import DataError
from data_prep.sources import Table

BALANCE = ("smote", "smote_undersample", "none")


@dataclass(frozen=True)
class Prepared:
    """What became of the rows."""

    steps: pd.DataFrame  # rows, and those of label 1, after each step, from the table to the clients
    counts: pd.DataFrame  # one line per client: {train, validation, balanced}_{rows, positives}
    rest: pd.DataFrame  # the real rows that the clients share
    test_rows: int
    table: Table
    settings: dict  # seed, partition, balance
    whose: dict[str, str]  # by client, the owner that the table names; empty where rows were dealt

    def record(self) -> dict:
        """Put it into JSON values, for the next notebooks."""
        counts = self.counts.to_dict("index")
        clients = {name: {"name": name, "owner": self.whose.get(name, name)} | line for name, line in counts.items()}
        rows, positives = (int(count) for count in self.steps.iloc[0])
        about = {"source": self.table.source, "sha256": self.table.sha256, "rows": rows, "positives": positives}
        return about | self.settings | {"clients": clients}


def prepare(table: Table, *, n_clients: int, how: str, balance: str, seed: int, folder: Path) -> Prepared:
    """Deduplicate, hold out, assign, split, balance, and write a folder per owner.

    Parameters
    ----------
    table : Table
        From ``sources.load``.
    n_clients, how
        As in ``split.assign``.
    balance : {"smote", "smote_undersample", "none"}
        What the training rows go through before a model is fitted on them.
    seed : int
        Every step, and of the clients' steps every client, draws from a stream of its own: ``streams.py``.
    folder : Path
        Receives ``server/test.csv`` and, per client, ``train.csv`` (real rows), ``train_balanced.csv`` (the rows to
        fit on) and ``validation.csv`` (real rows).

    Raises
    ------
    DataError
        If the rows cannot be divided or balanced as asked, or a part would be too small for the later steps.
    """
    problem = table.problem
    distinct = split.deduplicate(table.frame, problem)
    rest, test = split.hold_out(distinct, problem, seed=seed)
    parts = split.assign(rest, problem, n_clients, how=how, seed=seed)
    names = [f"client-{number}" for number in range(1, n_clients + 1)]
    tables = {
        name: _client_tables(part, problem, balance=balance, seed=seed, owner=name)
        for name, part in zip(names, parts, strict=True)
    }
    about = {"source": table.source, "source_sha256": table.sha256, "seed": seed}
    for old in folder.glob("client-*"):  # of an earlier run, with more clients
        if old.name not in names:
            shutil.rmtree(old)
    tested = test[[name for name in test.columns if name not in problem.left_out or name == problem.owner]]
    owners.write_owner(folder / "server", {"test.csv": tested}, problem, owner="server", **about)
    for name in names:
        owners.write_owner(folder / name, _files(tables[name]), problem, owner=name, **about)
    counts = {name: _counts(tables[name], problem) for name in names}
    whose = {}
    if how == split.GIVEN:
        whose = {name: str(part[problem.owner].iloc[0]) for name, part in zip(names, parts, strict=True)}
    stages = {"table": table.frame, "without duplicates": distinct, "server's test table": test, "clients' rows": rest}
    steps = pd.DataFrame({stage: _count(rows, problem) for stage, rows in stages.items()}).T.rename_axis("step")
    steps.columns = ["rows", problem.words.outcome]
    settings = {"seed": seed, "partition": how, "balance": balance}
    return Prepared(steps, pd.DataFrame(counts).T.rename_axis("client"), rest, len(test), table, settings, whose)


def prepare_one(table: Table, *, name: str, balance: str = "smote", seed: int = 0, folder: Path) -> dict[str, int]:
    """Write the files of one owner who has a table of its own, and nobody else's.

    Parameters
    ----------
    table : Table
        This owner's rows: of the server they become the test table, of a client they are split and balanced.
    name : str
        ``"server"`` or a client's name; its folder is made below ``folder``.

    Returns
    -------
    dict
        Rows and positives of every part.

    Raises
    ------
    DataError
        If the rows cannot be divided or balanced as asked, or a part would be too small for the later steps.
    """
    about = {"source": table.source, "source_sha256": table.sha256, "seed": seed}
    problem = table.problem
    distinct = split.deduplicate(table.frame, problem)
    if name == "server":
        split.require({"test": distinct}, problem, owner=name)
        owners.write_owner(folder / name, {"test.csv": distinct}, problem, owner=name, **about)
        return {f"test_{what}": n for what, n in _count(distinct, problem).items()}
    tables = _client_tables(distinct, problem, balance=balance, seed=seed, owner=name)
    owners.write_owner(folder / name, _files(tables), problem, owner=name, **about)
    return _counts(tables, problem)


def _client_tables(
    rows: pd.DataFrame, problem: Problem, *, balance: str, seed: int, owner: str
) -> dict[str, pd.DataFrame]:
    """Split and balance one client's rows; return its parts."""
    if balance not in BALANCE:
        raise DataError(f"BALANCE {balance!r} is unknown; choose one of {', '.join(BALANCE)}")
    rows = rows[[name for name in rows.columns if name not in problem.left_out]]
    train, validation = split.train_validation(rows, problem, seed=seed, owner=owner)
    balanced = _balanced(train, problem, balance, seed=seed, owner=owner)
    return {"train": train, "balanced": balanced, "validation": validation}


def _files(tables: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    return dict(zip(("train.csv", "train_balanced.csv", "validation.csv"), tables.values(), strict=True))


def _counts(tables: Mapping[str, pd.DataFrame], problem: Problem) -> dict[str, int]:
    """Return rows and positives of every part."""
    return {f"{kind}_{what}": n for kind, part in tables.items() for what, n in _count(part, problem).items()}


def _balanced(train: pd.DataFrame, problem: Problem, how: str, *, seed: int, owner: str) -> pd.DataFrame:
    if how == "none":
        return train
    if how == "smote":
        return balancing.smote(train, problem, ratio=1.0, seed=seed, owner=owner)
    # As published: a quarter as many rows of label 1 as of label 0, then as many of label 0 as of label 1.
    return balancing.smote(train, problem, ratio=0.25, seed=seed, owner=owner, undersample=True)


def _count(frame: pd.DataFrame, problem: Problem) -> dict[str, int]:
    return {"rows": len(frame), "positives": int(frame[problem.label.name].sum())}
