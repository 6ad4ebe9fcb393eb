"""Error messages for runs that end early: what happened, how each missing participant stands, what to do next."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Mapping, Sequence

from workshop.errors import FederationError, JobError
from workshop.federation import words
from workshop.federation.events import Event, TurnedAway
from workshop.federation.participants import Participant, Phase, report, together, where
from workshop.federation.seats import Seat, names

PATIENCE = 3.0  # seconds that whoever runs a client has to say how it ended when its connection broke
ANSWER = 10.0  # seconds more for the answer itself


def not_joined(absent: Sequence[Seat], *, seconds: float, quorum: int, events: Iterable[Event]) -> FederationError:
    """Say who is missing before round 1: whoever is out, else whoever's job has ended, else whoever did not come."""
    if out := [seat for seat in absent if seat.out]:
        reasons = "; ".join(f"{seat.name} is left out: {seat.out}" for seat in out)
        return early(out, f"{reasons}; {quorum} clients are needed")
    if ended := [seat for seat in absent if seat.ended]:
        return early(ended, f"{', '.join(names(ended))} ended before it joined")
    turned_away = words.notes(event for event in events if isinstance(event, TurnedAway))
    reasons = "; ".join([f"{', '.join(names(absent))} did not join within {seconds:.0f} s", *turned_away[-3:]])
    return early(absent, reasons)


def too_few(
    when: str, left_out: Mapping[str, str], seats: Mapping[str, Seat], *, usable: int, quorum: int, kept: str
) -> FederationError:
    """Say that a question has fewer usable answers than the quorum, and why each other one is missing."""
    reasons = "; ".join(f"{name}: {reason}" for name, reason in sorted(left_out.items()))
    missing = [seat for name, seat in seats.items() if name in left_out and not seat.spared]
    what = f"{when} has {usable} usable answers and needs {quorum}; {reasons}"
    return early(missing, what, patience=PATIENCE, kept=kept)


def early(seats: Sequence[Seat], what: str, *, patience: float = 0.0, kept: str = "") -> FederationError:
    """Put an end into words.

    Parameters
    ----------
    seats : sequence of Seat
        Whose participants are reported on.
    what : str
        What happened.
    patience : float
        Seconds in which they may still end, and it be known how.
    kept : str
        What the next run starts from.
    """
    give_up = time.monotonic() + patience
    gone = {seat.name: seat.missed or bool(seat.out) for seat in seats}
    reports = together(
        lambda participant: _account(participant, gone[participant.name], give_up),
        [seat.participant for seat in seats],
        seconds=patience + ANSWER,
    )
    return FederationError(
        "\n".join([f"{what}.", *reports, f"Mend that client, then run 03_run_federation.ipynb again{kept}."])
    )


def _account(participant: Participant, gone: bool, give_up: float) -> str:
    """Report on a participant; where its connection broke, give it a moment to be seen to have ended."""
    try:
        with contextlib.suppress(JobError):
            while gone and time.monotonic() < give_up and participant.status().phase is not Phase.ENDED:
                time.sleep(0.2)
        return report(participant)
    except Exception as error:  # what matters more is told already
        why = str(error) if isinstance(error, JobError) else type(error).__name__
        return f"{where(participant)}: no answer ({why})"
