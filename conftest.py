"""How tests run: one BLAS thread, no telemetry, in which order and on which of two processes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from promises import figure, pytest_runtest_logreport  # noqa: F401

# Here, for all tests: a second set of them would find the first one's embedded AWS running.
from embedded_aws.testing import aws, nothing_left_running, serve_aws  # noqa: F401

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"
os.environ["FLWR_TELEMETRY_ENABLED"] = "0"
os.environ["FLWR_DISABLE_UPDATE_CHECK"] = "1"

REPOSITORY = Path(__file__).resolve().parent
# What one of two processes (`make test`) runs in this order, folder by folder, as a folder's tests share fixtures: the
# long ones first, every other folder in between.
FIRST = ("tests/robustness", "tests/notebooks", "tests/federation")


# Where pure tests are, as in the Makefile: `make test FAST=1` runs these but for what is marked slow.
PURE = (
    "tests/unit emulator/tests/gate emulator/tests/kubernetes emulator/tests/policies "
    "emulator/tests/network/test_reachability.py "
    "emulator/embedded_aws client_code data_prep workshop"
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests in that order, and mark as slow what lies elsewhere or asks for an embedded AWS."""
    for item in items:
        pure = any(item.path.is_relative_to(REPOSITORY / folder) for folder in PURE.split())
        if not pure or {"aws", "serve_aws"} & set(getattr(item, "fixturenames", ())):
            item.add_marker("slow")
    groups = {item: _group(item.nodeid) for item in items}
    order = [*FIRST, *sorted({*groups.values()} - {*FIRST})]
    items.sort(key=lambda item: order.index(groups[item]))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Hand out a folder at a time."""
    from xdist.scheduler import LoadScopeScheduling

    class Folders(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _group(nodeid)

    return Folders(config, log)


def _group(nodeid: str) -> str:
    path = Path(nodeid.partition("::")[0])
    deep = 3 if "unit" in path.parts else 2  # unit tests share nothing above their own folder
    folder = "/".join(path.parts[: path.parts.index("tests") + deep]) if "tests" in path.parts else path.parts[0]
    # Both count network namespaces.
    return {"emulator/tests/network": "tests/robustness"}.get(folder, folder)
