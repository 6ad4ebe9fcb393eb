"""Hide this repository from a job's Python: a job on AWS has its bundle and its image, nothing else.

Python imports this module at every start in a job (its folder is on the job's ``PYTHONPATH``), after an editable
installation has put the repository on ``sys.path``.
"""

import importlib.machinery
import importlib.util
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100,PTH120 - pathlib costs each job 5 ms
REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))  # noqa: PTH120


def _in_repository(finder: object) -> bool:
    """Tell whether setuptools' import hook of an editable installation serves this repository."""
    module = sys.modules.get(getattr(finder, "__module__", None) or "")
    folders = getattr(module, "MAPPING", {}).values() if module else ()
    return any(str(folder).startswith(REPOSITORY + os.sep) for folder in folders)


def hide_repository() -> None:
    """Take this repository and this folder off the places where Python looks for modules."""
    hidden = {HERE}
    if os.path.basename(REPOSITORY) not in ("site-packages", "dist-packages"):  # noqa: PTH119 - a real installation
        hidden.add(REPOSITORY)
        sys.meta_path[:] = [finder for finder in sys.meta_path if not _in_repository(finder)]
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry) not in hidden]  # noqa: PTH100


def run_the_other() -> None:
    """Run the module of this name that this one stands in front of, where a Python has one (Homebrew's, Debian's)."""
    if spec := importlib.machinery.PathFinder.find_spec("sitecustomize", sys.path):
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


if "TRAINING_JOB_ARN" in os.environ:
    hide_repository()
    run_the_other()
