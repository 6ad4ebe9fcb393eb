"""Compare a bundle's requirements.txt with what this Python has: nothing is installed on a learner's machine."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement


def unmet(file: Path) -> list[str]:
    """Return one sentence for each requirement that the installed distributions do not meet.

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
        try:
            installed = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            complaints.append(f"{wanted} is asked for, {requirement.name} is not installed")
            continue
        if not requirement.specifier.contains(installed, prereleases=True):
            complaints.append(f"{wanted} is asked for, {requirement.name} {installed} is installed")
    return complaints
