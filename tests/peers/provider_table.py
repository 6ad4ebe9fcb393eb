"""Benchmark of the provider table: DuckDB and Spark beside pandas and polars, in turn, on the same generated files.

``python tests/peers/provider_table.py PROVIDERS [ENGINE ...]`` generates files of one year, about 23 lines a provider,
and installs what is missing into a folder of its own. pandas and polars are told what to read; both add floats up, and
write the fifty columns as CSV. The kit does more: checksums of all files, exact sums, the wider set, a manifest.
``PROVIDER_TABLE_FILES`` names a folder of files that were generated before.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from data_prep.cms import generate, plan, recipe
from data_prep.cms.layouts import BILLED

INSTALLED = {"polars": ["polars==2.1.0"], "spark": ["pyspark==4.3.0"]}
ENGINES = ("pandas", "polars", "duckdb", "spark 1", "spark 2")
HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]


def described(folder: Path, scratch: Path) -> Path:
    """Write down for pandas and polars which columns of which file they are to read."""
    planned, entries = plan.plan(folder, folder / "UPDATED.csv"), []
    for source in planned.sources:
        if source.kind in BILLED:
            there = source.layout.reads
            numbers = [there[name] for name in recipe.QUANTITIES[source.kind]]
            patients = next((there[name] for name in recipe.PATIENTS if name in there), "")
            entry = {"kind": source.kind, "path": str(source.path), "npi": there["npi"], "numbers": numbers}
            entries.append(entry | {"patients": patients})
    about = {"files": entries, "leie": str(folder / "UPDATED.csv"), "out": str(scratch / "out.csv")}
    (path := scratch / "files.json").write_text(json.dumps(about))
    return path


def command(engine: str, folder: Path, scratch: Path, library: Path) -> list[str]:
    """Return what builds the table."""
    leie = str(folder / "UPDATED.csv")
    if engine in ("pandas", "polars"):
        return [sys.executable, str(HERE / f"table_{engine}.py"), str(described(folder, scratch))]
    if engine == "duckdb":
        return [sys.executable, "-m", "workshop", "cms", "build", str(folder), "--leie", leie, "--output", str(scratch)]
    executors = engine.removeprefix("spark ")  # each a process of one core, beside the driver
    submit = [str(library / "bin" / "spark-submit"), "--master", f"local-cluster[{executors},1,3072]"]
    submit += ["--conf", "spark.ui.enabled=false", "--conf", "spark.executor.memory=3g", "--driver-memory", "1g"]
    program = ROOT / "data_prep" / "cms" / "spark_job.py"
    return [*submit, str(program), "--files", str(folder), "--leie", leie, "--output", str(scratch / "spark")]


def measure(engine: str, folder: Path, library: Path) -> dict[str, float]:
    """Run one engine as a process; return wall and processor seconds, and a process's largest resident set in MB."""
    with tempfile.TemporaryDirectory() as scratch:
        environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{library}"}
        environment["PYSPARK_PYTHON"] = environment["PYSPARK_DRIVER_PYTHON"] = sys.executable
        log = Path(scratch) / "log"
        with log.open("w") as output:
            began = time.monotonic()
            process = subprocess.Popen(
                command(engine, folder, Path(scratch), library), cwd=ROOT, env=environment, stdout=output, stderr=output
            )
            _, status, used = os.wait4(process.pid, 0)
            wall = time.monotonic() - began
        if status:
            raise SystemExit(f"{engine} failed:\n{log.read_text()[-3000:]}")
    return {"wall": wall, "cpu": used.ru_utime + used.ru_stime, "peak": used.ru_maxrss / 1024}


def install(engines: list[str], library: Path) -> None:
    """Install what engines need that is no dependency of the kit."""
    for name in dict.fromkeys(each.partition(" ")[0] for each in engines):
        if name in INSTALLED:
            pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(library)]
            subprocess.run([*pip, *INSTALLED[name]], check=True)


def main(arguments: list[str]) -> int:
    """Generate, measure, print the table."""
    providers, engines = int(arguments[0].replace("_", "")), arguments[1:] or list(ENGINES)
    kept = os.environ.get("PROVIDER_TABLE_FILES")  # files of an earlier run
    with tempfile.TemporaryDirectory() as scratch:
        folder, library = Path(kept) if kept else Path(scratch) / "files", Path(scratch) / "library"
        install(engines, library)
        if not kept:
            generate.generate(generate.Made(providers, years=(2019,), rate=0.0006, seed=1), folder)
        size = sum(path.stat().st_size for path in folder.iterdir()) / 1e9
        table = Table(title=f"{providers:,} providers, {size:.2f} GB")
        for column in ("engine", "wall s", "of the first", "CPU s", "peak MB"):
            table.add_column(column, justify="left" if column == "engine" else "right")
        measured = {engine: measure(engine, folder, library) for engine in engines}
        first = measured[engines[0]]["wall"]
        for engine, told in measured.items():
            share = f"{told['wall'] / first:.2f}"
            table.add_row(engine, f"{told['wall']:.1f}", share, f"{told['cpu']:.1f}", f"{told['peak']:.0f}")
        Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
