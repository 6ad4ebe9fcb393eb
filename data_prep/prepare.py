"""All steps in their order: from a table to one folder of files per owner."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from client_code import schema
from data_prep import balance as balancing
from data_prep import owners, split
from data_prep.errors import DataError
from data_prep.sources import Table

BALANCE = ("smote", "smote_undersample", "none")


@dataclass(frozen=True)
class Prepared:
    """What became of the rows."""

    steps: pd.DataFrame  # rows and fraud after each step, from the table to the clients
    counts: pd.DataFrame  # one line per client: {train, validation, balanced}_{rows, positives}
    rest: pd.DataFrame  # the real rows that the clients share
    test_rows: int
    table: Table
    settings: dict  # seed, partition, balance

    def record(self) -> dict:
        """Put it into JSON values, for the next notebooks."""
        clients = {name: {"name": name} | line for name, line in self.counts.to_dict("index").items()}
        rows, positives = (int(self.steps[column].iloc[0]) for column in ("rows", "fraud"))
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
        Every step and every client draws from a stream of its own that follows from it.
    folder : Path
        Receives ``server/test.csv`` and, per client, ``train.csv`` (real rows), ``train_balanced.csv`` (the rows to
        fit on) and ``validation.csv`` (real rows).

    Raises
    ------
    DataError
        If the rows cannot be divided or balanced as asked.
    """
    if balance not in BALANCE:
        raise DataError(f"BALANCE {balance!r} is unknown; choose one of {', '.join(BALANCE)}")
    distinct = split.deduplicate(table.frame)
    rest, test = split.hold_out(distinct, seed=seed)
    parts = split.assign(rest, n_clients, how=how, seed=seed)
    about = {"source": table.source, "source_sha256": table.sha256, "seed": seed}
    for old in folder.glob("client-*"):  # of an earlier run, perhaps with more clients
        shutil.rmtree(old)
    owners.write_owner(folder / "server", {"test.csv": test}, owner="server", **about)
    counts = {}
    for number, part in enumerate(parts, start=1):
        name = f"client-{number}"
        own_seed = int(np.random.default_rng([seed, number]).integers(2**31))
        train, validation = split.train_validation(part, seed=own_seed)
        tables = {"train": train, "balanced": _balanced(train, balance, own_seed), "validation": validation}
        files = dict(zip(("train.csv", "train_balanced.csv", "validation.csv"), tables.values(), strict=True))
        owners.write_owner(folder / name, files, owner=name, **about)
        counts[name] = {f"{kind}_{what}": n for kind, rows in tables.items() for what, n in _count(rows).items()}
    stages = {"table": table.frame, "without duplicates": distinct, "server's test table": test, "clients' rows": rest}
    steps = pd.DataFrame({stage: _count(rows) for stage, rows in stages.items()}).T.rename_axis("step")
    steps.columns = ["rows", "fraud"]
    settings = {"seed": seed, "partition": how, "balance": balance}
    return Prepared(steps, pd.DataFrame(counts).T.rename_axis("client"), rest, len(test), table, settings)


def _balanced(train: pd.DataFrame, how: str, seed: int) -> pd.DataFrame:
    if how == "none":
        return train
    if how == "smote":
        return balancing.smote(train, ratio=1.0, seed=seed)
    # As published: a quarter as many fraudulent as honest rows, then as many honest as fraudulent ones.
    return balancing.smote(train, ratio=0.25, seed=seed, undersample=True)


def _count(frame: pd.DataFrame) -> dict[str, int]:
    return {"rows": len(frame), "positives": int(frame[schema.LABEL].sum())}
