"""Results as a file without pickle: what a run's pod hands to whoever started it."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import asdict

import numpy as np

from client_code import task
from workshop.federation.events import Event
from workshop.federation.rounds import Round
from workshop.federation.server import FederationResult

_ABOUT = ("threshold", "client_rows", "seconds", "resumed")


def to_bytes(result: FederationResult) -> bytes:
    """Write a result, all but its events."""
    about = {name: getattr(result, name) for name in _ABOUT} | {"history": [asdict(entry) for entry in result.history]}
    file = io.BytesIO()
    arrays = {f"model {i}": array for i, array in enumerate([*result.parameters, *result.scaler])}
    np.savez(file, allow_pickle=False, about=np.array(json.dumps(about)), **arrays)
    return file.getvalue()


def of_bytes(content: bytes, happened: Sequence[Event] = ()) -> FederationResult:
    """Read what :func:`to_bytes` has written; the events come from elsewhere.

    Raises
    ------
    ValueError
        If it is something else.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            about = json.loads(str(arrays["about"]))
            model = task.GlobalModel.of([arrays[f"model {i}"] for i in range(4)])
        history = tuple(Round(**entry) for entry in about.pop("history"))
        return FederationResult(*model, history=history, events=tuple(happened), **about)
    except (KeyError, TypeError, OSError) as error:
        raise ValueError(f"this is no result of a run: {error}") from error
