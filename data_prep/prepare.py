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
        counts[name] = _write_client(folder / name, part, balance=balance, seed=own_seed, about=about)
    stages = {"table": table.frame, "without duplicates": distinct, "server's test table": test, "clients' rows": rest}
    steps = pd.DataFrame({stage: _count(rows) for stage, rows in stages.items()}).T.rename_axis("step")
    steps.columns = ["rows", "fraud"]
    settings = {"seed": seed, "partition": how, "balance": balance}
    return Prepared(steps, pd.DataFrame(counts).T.rename_axis("client"), rest, len(test), table, settings)


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
        If the rows cannot be divided or balanced as asked.
    """
    about = {"source": table.source, "source_sha256": table.sha256, "seed": seed}
    distinct = split.deduplicate(table.frame)
    if name == "server":
        owners.write_owner(folder / name, {"test.csv": distinct}, owner=name, **about)
        return {f"test_{what}": n for what, n in _count(distinct).items()}
    return _write_client(folder / name, distinct, balance=balance, seed=seed, about=about)


def _write_client(folder: Path, rows: pd.DataFrame, *, balance: str, seed: int, about: dict) -> dict[str, int]:
    """Split and balance one client's rows and write its files; return rows and positives of every part."""
    if balance not in BALANCE:
        raise DataError(f"BALANCE {balance!r} is unknown; choose one of {', '.join(BALANCE)}")
    train, validation = split.train_validation(rows, seed=seed)
    tables = {"train": train, "balanced": _balanced(train, balance, seed), "validation": validation}
    files = {"train.csv": tables["train"], "train_balanced.csv": tables["balanced"], "validation.csv": validation}
    owners.write_owner(folder, files, owner=folder.name, **about)
    return {f"{kind}_{what}": n for kind, part in tables.items() for what, n in _count(part).items()}


def _balanced(train: pd.DataFrame, how: str, seed: int) -> pd.DataFrame:
    if how == "none":
        return train
    if how == "smote":
        return balancing.smote(train, ratio=1.0, seed=seed)
    # As published: a quarter as many fraudulent as honest rows, then as many honest as fraudulent ones.
    return balancing.smote(train, ratio=0.25, seed=seed, undersample=True)


def _count(frame: pd.DataFrame) -> dict[str, int]:
    return {"rows": len(frame), "positives": int(frame[schema.LABEL].sum())}
