"""How the early end of a run is told: what happened, how each missing job stands, what to do next."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Mapping, Sequence

from workshop.aws.jobs import FINISHED, TrainingJob, together
from workshop.errors import FederationError, JobError
from workshop.federation.seats import Seat, names

PATIENCE = 3.0  # seconds that SageMaker has to say how a job ended whose connection broke
ANSWER = 10.0  # seconds more for the answer itself


def not_joined(absent: Sequence[Seat], *, seconds: float, quorum: int, events: Iterable[str]) -> FederationError:
    """Say who is missing before round 1: whoever is out, else whoever's job has ended, else whoever did not come."""
    if out := [seat for seat in absent if seat.out]:
        told = "; ".join(f"{seat.name} is left out: {seat.out}" for seat in out)
        return early(out, f"{told}; {quorum} clients are needed")
    if ended := [seat for seat in absent if seat.ended]:
        return early(ended, f"{names(ended)} ended before it joined")
    turned_away = list(dict.fromkeys(line for line in events if "turned away" in line))
    told = "; ".join([f"{names(absent)} did not join within {seconds:.0f} s", *turned_away[-3:]])
    return early(absent, told)


def too_few(
    when: str, left_out: Mapping[str, str], seats: Mapping[str, Seat], *, usable: int, quorum: int, kept: str
) -> FederationError:
    """Say that a question has fewer usable answers than the quorum, and why each other one is missing."""
    told = "; ".join(f"{name}: {reason}" for name, reason in sorted(left_out.items()))
    missing = [seat for name, seat in seats.items() if name in left_out and not seat.spared]
    what = f"{when} has {usable} usable answers and needs {quorum}; {told}"
    return early(missing, what, patience=PATIENCE, kept=kept)


def early(seats: Sequence[Seat], what: str, *, patience: float = 0.0, kept: str = "") -> FederationError:
    """Put an end into words.

    Parameters
    ----------
    seats : sequence of Seat
        Whose jobs are told of.
    what : str
        What happened.
    patience : float
        Seconds that SageMaker has to say how jobs ended.
    kept : str
        What the next run starts from.
    """
    give_up = time.monotonic() + patience
    gone = {seat.job.name: seat.missed or bool(seat.out) for seat in seats}
    told = together(
        lambda job: _account(job, gone[job.name], give_up), [seat.job for seat in seats], seconds=patience + ANSWER
    )
    return FederationError(
        "\n".join([f"{what}.", *told, f"Mend that client, then run 03_run_federation.ipynb again{kept}."])
    )


def _account(job: TrainingJob, gone: bool, give_up: float) -> str:
    """Say how a job stands; give SageMaker a moment where the connection broke."""
    try:
        with contextlib.suppress(JobError):
            while gone and time.monotonic() < give_up and job.describe()["TrainingJobStatus"] not in FINISHED:
                time.sleep(0.2)
        return job.account_of_failure()
    except Exception as error:  # what matters more is told already
        why = str(error) if isinstance(error, JobError) else type(error).__name__
        return f"{job.client.name} (account {job.client.account}), job {job.name}: no answer ({why})"
