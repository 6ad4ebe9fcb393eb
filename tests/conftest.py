"""Shared by the kit's tests: an embedded AWS, and the published table."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pandas as pd
import psutil
import pytest

from embedded_aws.testing import end, serve

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def real_table_path() -> Path:
    """Return the published table, where somebody has put it beside the repository."""
    folder = Path(os.environ.get("WORKSHOP_SHARED_DATA", REPOSITORY.parent / "shared" / "data"))
    path = folder / "cms_medicare_providers.csv"
    if not path.exists():
        pytest.skip("the curated table is not at hand; set WORKSHOP_SHARED_DATA to its folder")
    return path


@pytest.fixture(scope="session")
def real_heart_path() -> Path:
    """Return the folder of the four published heart files, where somebody has put it beside the repository."""
    shared = Path(os.environ.get("WORKSHOP_SHARED_DATA", REPOSITORY.parent / "shared" / "data"))
    if not (shared / "uci_heart").is_dir():
        pytest.skip("UCI's heart files are not at hand; set WORKSHOP_SHARED_DATA to the folder of uci_heart")
    return shared / "uci_heart"


@pytest.fixture(scope="session")
def customers() -> pd.DataFrame:
    """3,000 customers: twelve numbers of both signs, three categories, gaps, an id, dates, text, a label at the end."""
    rng, n = np.random.default_rng(3), 3000
    table = pd.DataFrame({f"balance_{i}": rng.normal(0, 1 + i, n).round(3) for i in range(6)})
    for i in range(6):
        table[f"volume_{i}"] = rng.lognormal(i / 2, 1, n).round(2)
    table["plan"] = rng.choice(["basic", "plus", "pro"], n)
    table["region"] = rng.choice(["north", "south", "east", "west"], n)
    table["channel"] = rng.choice(["shop", "web"], n)
    table["since"] = pd.date_range("2020-01-01", periods=n, freq="h").strftime("%Y-%m-%d")
    table["remark"] = [f"note of {number}" for number in range(n)]
    table["visits"] = rng.poisson(4, n)
    table["vip"] = rng.integers(0, 2, n)
    risk = table["balance_0"] + 0.5 * table["balance_1"] + 1.2 * (table["plan"] == "basic")
    risk += 0.7 * (table["channel"] == "web") - 0.5 * np.log1p(table["volume_2"]) + rng.normal(0, 1, n)
    table.insert(0, "customer_id", [f"C{number:06d}" for number in range(n)])
    table["churned"] = (risk > np.quantile(risk, 0.8)).astype(int)
    for name in ("balance_3", "volume_1", "plan", "visits"):
        table.loc[rng.random(n) < 0.02, name] = np.nan
    return table


@pytest.fixture(scope="module")
def own_accounts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., dict[str, boto3.Session]]]:
    """Return a function that starts an embedded AWS, makes it the workshop's, and returns sessions by account name."""
    from workshop import state
    from workshop.aws import accounts

    started: list[subprocess.Popen[bytes]] = []
    with pytest.MonkeyPatch.context() as patch:

        def start(n_clients: int, **environment: str) -> dict[str, boto3.Session]:
            home = tmp_path_factory.mktemp("home")
            started.append(serve(home, n_clients=n_clients, **environment)[0])
            patch.setenv("WORKSHOP_HOME", str(home))
            state.save(target={"name": "embedded", "clients": n_clients})
            return {name: accounts.session(name) for name in ("server", *accounts.client_names(n_clients))}

        yield start
    for process in started:
        end(process)


class Owners:
    """Two owners who never meet; each has a folder, a profile and commands of its own."""

    def __init__(self, aws: Any, folder: Callable[[str], Path]) -> None:
        self.aws = aws
        self.homes = {name: folder(name) for name in ("server", "client-1")}
        for name, home in self.homes.items():
            profiles = aws.config.read_text().split("\n[")
            mine = next(part for part in profiles if f"profile fl-{name}]" in part)
            (home / "embedded").mkdir()
            (home / "embedded" / "aws-config").write_text("[" + mine.removeprefix("["))
            (home / "state.json").write_text(json.dumps({"target": {"name": "embedded", "clients": 1}}))

    def environment(self, name: str) -> dict[str, str]:
        """Return the environment of one owner's processes."""
        return os.environ | {"WORKSHOP_HOME": str(self.homes[name])}

    def __call__(self, name: str, *arguments: object, code: int = 0) -> str:
        """Run a command of the kit's as one owner; return all that it said."""
        run = subprocess.run(
            [sys.executable, "-m", "workshop", *map(str, arguments)], capture_output=True, text=True, timeout=120,
            env=self.environment(name), stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert run.returncode == code, run.stdout + run.stderr
        return run.stdout + run.stderr


@pytest.fixture(scope="module")
def owners(serve_aws: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Owners]:
    """Start an embedded AWS for two owners who never meet."""
    process, aws = serve_aws(tmp_path_factory.mktemp("cloud"), n_clients=2)
    told = Owners(aws, tmp_path_factory.mktemp)
    yield told
    process.terminate()
    process.wait(10)
    for home in told.homes.values():
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def kill_job() -> Callable[[str], None]:
    """Return a function that ends the Python process of a job as the system does when memory runs out."""

    def kill(job: str) -> None:
        for process in psutil.process_iter(["cwd", "cmdline"]):
            if f"/{job}/" in (process.info["cwd"] or "") and "client.py" in " ".join(process.info["cmdline"] or []):
                process.kill()

    return kill
