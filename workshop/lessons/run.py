"""Command of ``make workshop``: what takes longest is started first, the process that kernels are forked from."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def main(output: Path) -> int:
    """Run the workshop into a folder; see ``execute.main``."""
    # jsonschema, which nbformat imports, would compile a grammar for a second: for a format that no notebook has.
    sys.modules.setdefault("rfc3987_syntax", None)  # pyright: ignore[reportArgumentType] (None: it cannot be imported)
    from workshop.lessons import forked, kernels, tracks

    kernels.settle()
    forked.use(*tracks.LIBRARIES.get(os.environ.get("TRACK") or "heart", ()))  # both run if none is named
    from workshop.lessons import execute

    return execute.main(output)
