"""Wheelhouse: wheels, checked against a lock, so that a machine without internet can install them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from workshop.errors import BundleError
from workshop.files import REPOSITORY, WORKPLACE

CLIENT_LOCK = REPOSITORY / "client_code" / "requirements.lock"
KIT_LOCK = REPOSITORY / "requirements.lock"
FOLDER = WORKPLACE / "build" / "wheelhouse"
# What glibc 2.28 and earlier can run: SageMaker's images and notebook instances are newer.
_LINUX = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64", "manylinux_2_5_x86_64")


@dataclass(frozen=True)
class Python:
    """An interpreter that wheels are for; ``version`` is empty for the one that runs this."""

    version: str = ""

    @property
    def name(self) -> str:
        """The folder of its wheels."""
        return f"py{self.version.replace('.', '')}-linux" if self.version else "this-python"

    def options(self) -> list[str]:
        """Return what tells pip about it."""
        if not self.version:
            return []
        tag = f"cp{self.version.replace('.', '')}"
        platforms = [option for platform in _LINUX for option in ("--platform", platform)]
        abis = [option for abi in (tag, "abi3", "none") for option in ("--abi", abi)]
        # "3.11" would mean 3.11.0, which some packages have left behind.
        return ["--python-version", f"{self.version}.9", "--implementation", "cp", *abis, *platforms]


THIS, IMAGE = Python(), Python("3.12")  # the scikit-learn image 1.9-0


def build(python: Python, *, lock: Path = CLIENT_LOCK, folder: Path | None = None) -> Path:
    """Download the wheels of a lock for one interpreter; what is there already is only checked.

    Parameters
    ----------
    python : Python
        Whom the wheels are for.
    lock : Path
        Versions and hashes; pip refuses every other file.

    Returns
    -------
    Path
        The folder with the wheels.

    Raises
    ------
    BundleError
        If a wheel cannot be had, with pip's last words.
    """
    folder = folder or FOLDER / python.name
    folder.mkdir(parents=True, exist_ok=True)
    command = [
        sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
        "--only-binary", ":all:", "--require-hashes", "--requirement", str(lock), "--dest", str(folder),
    ]  # fmt: skip
    run = subprocess.run([*command, *python.options()], capture_output=True, text=True, check=False)
    if run.returncode:
        stderr = "\n".join(run.stderr.strip().splitlines()[-5:])
        raise BundleError(f"no wheelhouse for {python.name} from {lock.name}: pip says:\n{stderr}")
    return folder


def main(versions: Sequence[str]) -> int:
    """Build the wheelhouses of client jobs: for the image, and for this Python."""
    for python in (IMAGE, THIS) if not versions else [Python(version) for version in versions]:
        folder = build(python)
        wheels = list(folder.glob("*.whl"))
        size = sum(wheel.stat().st_size for wheel in wheels) / 1e6
        print(f"{folder.relative_to(WORKPLACE)}: {len(wheels)} wheels, {size:.0f} MB")
    return 0
