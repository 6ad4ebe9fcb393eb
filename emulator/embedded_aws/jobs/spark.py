"""Apache Spark of this machine: which Python has it, and what a job's process is told so that it uses that one.

``EMBEDDED_AWS_SPARK_PYTHON`` names a Python in which pyspark can be imported; the jobs' own Python is asked if it names
none. Spark needs Java, which is looked for on the job's ``PATH``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from embedded_aws.jobs.container import JOB_SITE, JobFailed

PYTHON = "EMBEDDED_AWS_SPARK_PYTHON"
SUBMIT = "smspark-submit"
FIND_SECONDS = 60
_FIND = "import importlib.util; print((importlib.util.find_spec('pyspark') or exit(1)).origin)"


def home(python: str) -> Path | None:
    """Return the folder of a Python's pyspark, which has all of Spark in it; None if it has none."""
    try:
        found = subprocess.run(
            [python, "-c", _FIND], capture_output=True, text=True, timeout=FIND_SECONDS, check=False, cwd="/"
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return Path(found.stdout.strip()).parent if found.returncode == 0 else None


def environment(job: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Return what a job's process is told of Spark.

    Parameters
    ----------
    job : mapping
        The job's environment.
    folder : Path
        Where Spark keeps what it needs while it runs.

    Raises
    ------
    JobFailed
        If this machine cannot run Spark; says what to install.
    """
    if shutil.which("java", path=job["PATH"]) is None:
        raise JobFailed(
            "ClientError: the embedded AWS cannot run Spark here: this machine has no Java on the job's PATH. Install "
            "a Java runtime of version 17 or 21, such as the package default-jre-headless"
        )
    python = os.environ.get(PYTHON) or sys.executable
    if (spark := home(python)) is None:
        named = f"the Python that {PYTHON} names" if os.environ.get(PYTHON) else "the Python of the embedded AWS"
        raise JobFailed(
            f"ClientError: the embedded AWS cannot run Spark here: {named} has no pyspark. Install it there "
            f"(pip install pyspark), or let {PYTHON} name a Python that has it before the embedded AWS is started"
        )
    return {
        "SPARK_HOME": str(spark),
        "PYSPARK_PYTHON": python,
        "PYSPARK_DRIVER_PYTHON": python,
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_LOCAL_HOSTNAME": "localhost",
        "SPARK_LOCAL_DIRS": str(folder),
        # Nothing of a job that is killed is left in the machine's own folder for such files.
        "SPARK_LAUNCHER_OPTS": "-XX:-UsePerfData",
        "SPARK_SUBMIT_OPTS": f'"-Djava.io.tmpdir={folder}" -XX:-UsePerfData',
    }


def program(arguments: list[str]) -> list[str]:
    """Return the command that stands for ``smspark-submit`` with these arguments."""
    return [sys.executable, str(JOB_SITE / "smspark.py"), "/opt/ml", *arguments]
