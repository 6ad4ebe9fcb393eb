"""Benchmark of a wide table: reading and federated preparation beside pandas' reading alone, a process each."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from client_code import problem, schema, task
from workshop.files import REPOSITORY

KINDS = {"number": 12, "amount": 4, "count": 2, "flag": 1, "category": 1}  # in twentieths of the columns
WORDS = ("red", "green", "blue", "grey")
BATCH = 20_000  # rows that are made at a time
HEAD = """name = "wide"
[words]
subject = "row"
subjects = "rows"
negative = "no"
positive = "yes"
outcome = "yes"
[transform]
amount = "log1p"
count = "log1p"
flag = "none"
number = "none"
[limits]
largest = 1e20
[floors]
shared = 50
training = 2
validation = 1
test = 5
rare = 5
category = 5
[label]
name = "label"
unit = "0 or 1"
meaning = "made up"
"""


def main(rows: int, columns: int) -> int:
    """Make a table, read it with pandas and with the kit, each in a process of its own, and print what it took."""
    if rows < 1_000 or columns < 20:
        print("a table of at least 1,000 rows and 20 columns says something")
        return 1
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "wide.csv"
        make(path, rows, columns)
        size = path.stat().st_size / 1e6
        measured = {who: _measure(who, path) for who in ("pandas", "kit")}
    table = Table(title=f"{rows:,} rows, {columns} columns, {size:,.0f} MB as CSV")
    for name in ("", "CPU seconds", "peak memory, MB"):
        table.add_column(name, justify="left" if not name else "right")
    for who, text in (("pandas", "pandas.read_csv"), ("kit", "the kit: read, check, moments")):
        table.add_row(text, f"{measured[who]['seconds']:.1f}", f"{measured[who]['memory'] / 1e6:,.0f}")
    ratios = [measured["kit"][what] / measured["pandas"][what] for what in ("seconds", "memory")]
    table.add_row("ratio", *(f"{ratio:.2f}" for ratio in ratios))
    Console(width=110).print(table)
    return 0


def make(path: Path, rows: int, columns: int) -> None:
    """Write a table of all kinds with gaps in a tenth of its columns, and the problem that describes it beside it."""
    kinds = [kind for kind, share in KINDS.items() for _ in range(columns * share // 20)]
    kinds += ["number"] * (columns - len(kinds))
    described = [HEAD]
    for number, kind in enumerate(kinds):
        gaps = "missing = true\nindicator = true\n" if number < columns // 10 else ""
        words = f"categories = {json.dumps(WORDS)}\n" if kind == "category" else ""
        described.append(
            f'[[columns]]\nname = "{kind}_{number}"\nkind = "{kind}"\nunit = "one"\nmeaning = "made up"\n{gaps}{words}'
        )
    path.with_suffix(".toml").write_text("\n".join(described))
    rng = np.random.default_rng(0)
    with path.open("w") as file:
        for begin in range(0, rows, BATCH):
            n_rows = min(BATCH, rows - begin)
            made = {"label": rng.integers(0, 2, n_rows)}
            made |= {f"{kind}_{number}": _cells(kind, n_rows, rng) for number, kind in enumerate(kinds)}
            batch = pd.DataFrame(made)
            for name in batch.columns[1 : 1 + columns // 10]:
                batch[name] = batch[name].where(rng.random(n_rows) > 0.02)
            batch.to_csv(file, index=False, header=begin == 0)


def _cells(kind: str, n_rows: int, rng: np.random.Generator) -> np.ndarray:
    if kind == "category":
        return np.array(WORDS)[rng.integers(0, len(WORDS), n_rows)]
    if kind == "flag":
        return rng.integers(0, 2, n_rows)
    if kind == "count":
        return rng.poisson(3, n_rows)
    values = rng.normal(size=n_rows)
    return (np.exp(2 * values) * 100).round(2) if kind == "amount" else (values * 10).round(3)


def _measure(who: str, path: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "workshop.tools.wide", who, str(path)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def _work(who: str, path: Path) -> dict[str, float]:
    """Do one of the two; return CPU seconds without those of imports, and the process's peak memory in bytes."""
    described = problem.load(path.with_suffix(".toml"))
    started = time.process_time()
    if who == "pandas":
        pd.read_csv(path)
    else:
        features, _ = schema.to_arrays(schema.read_table(path, described), described)
        task.statistics(features, described)
    seconds = time.process_time() - started
    unit = 1 if sys.platform == "darwin" else 1024
    return {"seconds": seconds, "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit}


if __name__ == "__main__":
    print(json.dumps(_work(sys.argv[1], Path(sys.argv[2]))))
