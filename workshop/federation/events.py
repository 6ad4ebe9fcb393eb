"""Events of a federation's run: facts for the live view, the journal, tracking and tests, as frozen dataclasses.

Nothing may depend on how an event is worded; ``words`` does that for people.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from workshop.federation.rounds import Round


@dataclass(frozen=True)
class Event:
    """Something that happened in a run."""


@dataclass(frozen=True)
class Started(Event):
    """Somebody leads the run from now on: from its beginning, or from where it was cut off."""


@dataclass(frozen=True)
class Joined(Event):
    """A client has proven who it is and takes its seat, for the first time or again.

    Attributes
    ----------
    code : str
        Version of its code, by its own word (``client_code/edition.py``).
    rows : int
        How many real rows it has to train on, by its own word.
    settings : mapping
        What it trains with, by its own word (``task.settings``).
    table : str
        Version of its rows: the beginning of their keyed checksum, which changes when they do.
    """

    client: str
    code: str = ""
    rows: int = 0
    settings: Mapping[str, str | int] = field(default_factory=dict)
    table: str = ""


@dataclass(frozen=True)
class TurnedAway(Event):
    """A connection was refused."""

    reason: str


@dataclass(frozen=True)
class Gathering(Event):
    """Some clients have joined; others are waited for before round 1."""

    present: int
    expected: int
    missing: tuple[str, ...]


@dataclass(frozen=True)
class ScalerMade(Event):
    """The clients' sums were added up; or again, ``without`` clients whose word is not believed any more."""

    clients: int
    without: tuple[str, ...] = ()


@dataclass(frozen=True)
class StandsApart(Event):
    """A client's rows are unlike the others' in most columns: their unit may be another.

    Attributes
    ----------
    others : tuple of str
        Whom it was compared with; a single one, if there were two clients.
    columns, of : int
        In how many columns its mean lies a standard deviation or more from the others', and how many there are.
    score : float
        The median over columns of that distance.
    guess : str
        What the others' values would look like so; empty where nothing fits.
    """

    client: str
    others: tuple[str, ...]
    columns: int
    of: int
    score: float
    guess: str = ""


@dataclass(frozen=True)
class Resumed(Event):
    """The run carries on after the rounds that an earlier kernel finished."""

    history: tuple[Round, ...]


@dataclass(frozen=True)
class BegunAnew(Event):
    """There was a checkpoint, and a client's rows have changed since."""


@dataclass(frozen=True)
class RoundStarted(Event):
    """Every client has been asked to train."""

    round: int
    rounds: int


@dataclass(frozen=True)
class UpdateReceived(Event):
    """A client's update has come.

    Attributes
    ----------
    rows, metrics
        What the client says of itself.
    seconds : float
        From the question to its answer.
    bytes : int
        Of the answer.
    """

    round: int
    client: str
    rows: int
    metrics: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    bytes: int = 0


@dataclass(frozen=True)
class Waiting(Event):
    """A question has gone out, and clients have not answered it yet."""

    question: str
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class LeftOut(Event):
    """A client's answer is not used: it cannot be, or it was not there in time (``absent``)."""

    client: str
    account: str
    reason: str
    question: str = ""
    absent: bool = False


@dataclass(frozen=True)
class Expelled(Event):
    """A client takes part no longer, whatever it sends."""

    client: str
    reason: str


@dataclass(frozen=True)
class RoundFinished(Event):
    """There is a new global model."""

    round: int
    rounds: int
    result: Round


@dataclass(frozen=True)
class NotCopied(Event):
    """A checkpoint has no second copy."""

    reason: str


@dataclass(frozen=True)
class Unknown(Event):
    """A figure about the run could not be had."""

    what: str
    reason: str


@dataclass(frozen=True)
class Finished(Event):
    """The final model has been evaluated."""

    rounds: int


@dataclass(frozen=True)
class Ended(Event):
    """The run is over before its last round."""

    reason: str


Sink = Callable[[Event], None]


def to_json(event: Event) -> str:
    """Write an event as one line of JSON, with its name."""
    return json.dumps({"event": type(event).__name__, **asdict(event)})


def from_json(line: str) -> Event | None:
    """Read what :func:`to_json` has written; None for a line that is something else.

    >>> from_json(to_json(RoundStarted(1, 3)))
    RoundStarted(round=1, rounds=3)
    >>> from_json("a warning") is None
    True
    """
    try:
        return of_dict(json.loads(line))
    except ValueError:
        return None


def of_dict(known: Any) -> Event | None:
    """Make an event of its JSON values; None of something else."""
    try:
        kind = _KINDS[known["event"]]
        return kind(**{name: _typed(name, value) for name, value in known.items() if name != "event"})
    except (KeyError, TypeError, AttributeError):
        return None


def _typed(name: str, value: Any) -> Any:
    """Undo what JSON makes of a value: of tuples, and of the results of rounds."""
    if name == "result":
        return Round(**value)
    if name == "history":
        return tuple(Round(**entry) for entry in value)
    return tuple(value) if isinstance(value, list) else value


_KINDS = {kind.__name__: kind for kind in Event.__subclasses__()}
