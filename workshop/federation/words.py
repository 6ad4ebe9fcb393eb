"""Messages for people, made from events: one sentence per event, and an adapter for those who read sentences."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from workshop.federation import events
from workshop.federation.events import Event
from workshop.federation.rounds import Round

Report = Callable[[str, Sequence[Round]], None]


def _missing(names: Sequence[str]) -> str:
    return f"; waiting for {', '.join(names)}" if names else ""


def _scaler(event: events.ScalerMade) -> str:
    if event.without:
        return f"the scaler is made again without the sums of {', '.join(event.without)}"
    return f"{event.clients} clients are here: the scaler is the sum of their sums"


def _left_out(event: events.LeftOut) -> str:
    if event.absent:
        return f"{event.question} goes on without {event.client}: {event.reason}"
    return f"{event.client} (account {event.account}) is left out: {event.reason}"


def _apart(event: events.StandsApart) -> str:
    where = f"in {event.columns} of {event.of} columns"
    if len(event.others) > 1:
        like = f"its values look like the others' {event.guess}; " if event.guess else ""
        return f"{event.client} stands apart from the others {where}: {like}ask its owner for the unit of the table"
    other = ", ".join(event.others)  # one name
    like = f"{event.client}'s values look like {other}'s {event.guess}; " if event.guess else ""
    return (
        f"{event.client} and {other} stand apart from each other {where}: {like}which of the two has another unit "
        "cannot be told: ask both owners"
    )


# Where a run is: these replace each other in a display.
STEPS: dict[type[Event], Callable] = {
    events.Gathering: lambda event: f"{event.present} of {event.expected} clients are here{_missing(event.missing)}",
    events.ScalerMade: _scaler,
    events.Resumed: lambda event: f"carrying on after round {len(event.history)}",
    events.Waiting: lambda event: f"{event.question}: clients are training{_missing(event.missing)}",
    events.RoundFinished: lambda event: f"round {event.round} of {event.rounds} is done",
    events.Finished: lambda event: "the model is finished",
    events.Ended: lambda event: f"the run has ended early: {event.reason}",
}
# What somebody should hear of, whatever comes next.
NOTES: dict[type[Event], Callable] = {
    events.TurnedAway: lambda event: f"a connection was turned away: {event.reason}",
    events.BegunAnew: lambda event: "a client's rows have changed since the run that was cut off: beginning again",
    events.LeftOut: _left_out,
    events.StandsApart: _apart,
    events.Expelled: lambda event: f"{event.client} takes part no longer",
    events.NotCopied: lambda event: event.reason,
    events.Unknown: lambda event: f"{event.what} is not known: {event.reason}",
}


def notes(happened: Iterable[Event]) -> tuple[str, ...]:
    """Word what somebody should hear of, each sentence once."""
    return tuple(dict.fromkeys(note for event in happened if (note := note_of(event))))


def note_of(event: Event) -> str:
    """Word an event that is worth a note; empty for others."""
    if isinstance(event, events.ScalerMade):
        return _scaler(event) if event.without else ""
    return NOTES[type(event)](event) if type(event) in NOTES else ""


def narrate(report: Report) -> events.Sink:
    """Return a sink that calls ``report`` with a message and the rounds so far, for every step of a run.

    Notes are added to the message of the next step.
    """
    news: list[str] = []
    history: list[Round] = []

    def sink(event: Event) -> None:
        if note := note_of(event):
            news.append(note)
        elif type(event) in STEPS:
            if isinstance(event, events.RoundFinished):
                history.append(event.result)
            elif isinstance(event, events.Resumed):
                history[:] = event.history
            message = "; ".join([STEPS[type(event)](event), *dict.fromkeys(news)])
            news.clear()
            report(message, tuple(history))

    return sink
