"""requirements.txt of a bundle: met by wheels that the bundle brings, or by what this Python has.

Nothing is installed on a learner's machine: wheels are unpacked into the job's own folder, and go with it.
"""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

WHEELS = "wheels"  # the folder of a bundle in which its wheels lie
INSTALL_SECONDS = 300


def install(wheels: Path, site: Path) -> str | None:
    """Install every wheel of a folder into ``site``, from nowhere else; return pip's words if that fails."""
    files = sorted(str(wheel) for wheel in wheels.glob("*.whl"))
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-cache-dir"]
    # --target knows nothing of what is installed elsewhere, hence no dependencies: they are wheels too, or the image's.
    command += ["--no-index", "--no-deps", "--target", str(site), *files]
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return f"pip did not end within {INSTALL_SECONDS} s"
    return run.stderr.strip()[-500:] if run.returncode else None


def unmet(file: Path, site: Path | None = None) -> list[str]:
    """Return one sentence for each requirement that neither ``site`` nor the installed distributions meet.

    Options (``--no-index``, ``--find-links``, hashes) are passed over: they say where pip looks, not what is needed.
    """
    text = file.read_text(errors="replace").replace("\\\n", " ")
    complaints = []
    for line in text.splitlines():
        wanted = line.split(" #")[0].split(" --")[0].strip()
        if not wanted or wanted.startswith(("#", "-")):
            continue
        try:
            requirement = Requirement(wanted)
        except InvalidRequirement as error:
            complaints.append(f"{wanted!r} is not a requirement ({error})")
            continue
        if requirement.marker and not requirement.marker.evaluate():
            continue
        path = [str(site), *sys.path] if site else sys.path
        distribution = next(iter(importlib.metadata.Distribution.discover(name=requirement.name, path=path)), None)
        if distribution is None:
            complaints.append(f"{wanted} is asked for, {requirement.name} is not installed")
            continue
        if not requirement.specifier.contains(distribution.version, prereleases=True):
            complaints.append(f"{wanted} is asked for, {requirement.name} {distribution.version} is installed")
    return complaints
