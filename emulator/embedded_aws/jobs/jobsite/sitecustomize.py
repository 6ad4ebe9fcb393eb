"""Hide editable installations from a job's Python: a job on AWS has its bundle and its image, nothing else.

Python imports this module at every start in a job (its folder is on the job's ``PYTHONPATH``), after editable
installations have put source folders on ``sys.path``, or hooks on ``sys.meta_path``.
"""

import importlib.machinery
import importlib.util
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100,PTH120 - pathlib costs each job 5 ms


def hide_sources() -> None:
    """Take source folders of projects, setuptools' hooks to them, and this folder off where Python looks."""
    sys.meta_path[:] = [
        finder for finder in sys.meta_path if not getattr(finder, "__module__", "").startswith("__editable__")
    ]
    sys.path[:] = [entry for entry in sys.path if entry != HERE and not _is_source(entry)]


def _is_source(entry: str) -> bool:
    return os.path.exists(os.path.join(entry, "pyproject.toml"))  # noqa: PTH110,PTH118


def run_the_other() -> None:
    """Run the module of this name that this one stands in front of, where a Python has one (Homebrew's, Debian's)."""
    if spec := importlib.machinery.PathFinder.find_spec("sitecustomize", sys.path):
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


if "TRAINING_JOB_ARN" in os.environ or "EMBEDDED_AWS_JOB_ARN" in os.environ:
    hide_sources()
    run_the_other()
