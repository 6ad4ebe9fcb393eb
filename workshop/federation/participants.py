"""Participant protocol: what a federation asks of whoever runs a client, a training job, an agent or a thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol, TypeVar

from workshop.errors import JobError


class Phase(StrEnum):
    """How far a participant is; one that is being stopped has still to be let go."""

    WAITING = "waiting"
    RUNNING = "running"
    STOPPING = "stopping"
    ENDED = "ended"


@dataclass(frozen=True)
class Status:
    """The phase, how whoever runs the participant words it, why it ended, and since when it has been there."""

    phase: Phase
    says: str = ""
    reason: str = ""
    since: datetime | None = None


class Participant(Protocol):
    """One client of a federation, as the server's side sees it."""

    @property
    def name(self) -> str:
        """The client's name."""
        ...

    @property
    def account(self) -> str:
        """The account whose role the client must prove."""
        ...

    @property
    def role(self) -> str:
        """The name of that role."""
        ...

    @property
    def job_name(self) -> str:
        """What its process is called where it runs; the client's proof names it."""
        ...

    @property
    def pace(self) -> float:
        """Seconds between two questions that whoever runs it may be asked."""
        ...

    def status(self) -> Status:
        """Say how it stands; ``JobError`` if nobody answers."""
        ...

    def stop(self) -> None:
        """End it; ``JobError`` if nobody answers, or it is refused. One that has ended is left alone."""


Some = TypeVar("Some", bound=Participant)


def where(participant: Participant) -> str:
    """Name a participant for a sentence: client, account, job."""
    return f"{participant.name} (account {participant.account}), job {participant.job_name}"


def report(participant: Participant) -> str:
    """Say in a line or two who a participant is, how it stands, and why; its log is its owner's.

    Raises
    ------
    JobError
        If nobody says how it stands.
    """
    status = participant.status()
    lines = [f"{where(participant)}: {status.says or status.phase}"]
    if status.reason:
        lines.append(f"  reason: {status.reason}")
    return "\n".join(lines)


def stop_all(participants: Sequence[Participant], *, seconds: float = 30.0) -> None:
    """Stop every participant that is still running.

    Raises
    ------
    JobError
        If an account refuses, or does not answer in time; the others are stopped all the same.
    """

    def stop(participant: Participant) -> str:
        try:
            participant.stop()
        except JobError as error:
            return str(error)
        return ""

    if complaints := [complaint for complaint in together(stop, participants, seconds=seconds) if complaint]:
        raise JobError("; ".join(complaints))


def together(act: Callable[[Some], str], participants: Sequence[Some], *, seconds: float) -> list[str]:
    """Do something with all participants concurrently; return a text for each.

    An account that is silent holds up nobody for longer than ``seconds``: then that is its text.
    """
    texts = {participant.job_name: f"{where(participant)}: no answer" for participant in participants}
    threads = [
        threading.Thread(
            target=lambda participant=participant: texts.update({participant.job_name: act(participant)}), daemon=True
        )
        for participant in participants
    ]
    for thread in threads:
        thread.start()
    give_up = time.monotonic() + seconds
    for thread in threads:
        thread.join(timeout=max(0.0, give_up - time.monotonic()))
    return list(texts.values())
