"""Recorded runs: what a record says, as tables; the only place where records are read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from workshop.errors import MissingStep
from workshop.federation import events, words
from workshop.federation.events import Event
from workshop.federation.rounds import Round
from workshop.tracking import watcher
from workshop.tracking.record import EVENTS, HEADER, folder

RUNNING, FINISHED, ENDED, CUT_OFF = "running", "finished", "ended early", "cut off"
TAIL = 16_384  # bytes of a record in which its last round is found


class Entry(NamedTuple):
    """An event and when it was written down, in seconds since 1970."""

    at: float
    event: Event


@dataclass(frozen=True)
class Recorded:
    """A run as its record tells it.

    Attributes
    ----------
    about : dict
        What it was given: ``record.begin`` says which keys.
    entries : tuple of Entry
        All that happened.
    led : bool
        Whether a process is writing the record.
    """

    about: dict[str, Any]
    entries: tuple[Entry, ...]
    led: bool = False

    @property
    def run(self) -> str:
        """Its id."""
        return self.about["run"]

    @property
    def clients(self) -> list[str]:
        """Names of all who were invited."""
        return [each["name"] for each in self.about["participants"]]

    @property
    def status(self) -> str:
        """One of running, finished, ended early, cut off (its process was killed)."""
        return _status([entry.event for entry in self.entries], self.led)

    @property
    def reason(self) -> str:
        """Why it ended early; empty otherwise."""
        last = _last([entry.event for entry in self.entries])
        return last.reason if isinstance(last, events.Ended) else ""

    @property
    def title(self) -> str:
        """How it trained, in a few words, which tell it from other runs."""
        terms, training = self.about["terms"], self.about["training"]
        return f"{terms['strategy']}, {terms['rounds']} x {training.get('max_iter', '?')}"

    @property
    def began(self) -> float:
        """When, in seconds since 1970."""
        return datetime.fromisoformat(self.about["began"]).timestamp()

    @property
    def ended(self) -> float:
        """When the last thing happened, in seconds since 1970."""
        return self.entries[-1].at if self.entries else self.began

    @property
    def notes(self) -> tuple[str, ...]:
        """Who was turned away or left out, and what else somebody should hear of."""
        return words.notes(entry.event for entry in self.entries)

    @cached_property
    def history(self) -> dict[int, tuple[float, Round]]:
        """Every finished round, with when it was; what was begun anew counts once."""
        known: dict[int, tuple[float, Round]] = {}
        for at, event in self.entries:
            if isinstance(event, events.BegunAnew):
                known = {}
            elif isinstance(event, events.Resumed):
                known = {each.round: known.get(each.round, (at, each)) for each in event.history}
            elif isinstance(event, events.RoundFinished):
                known[event.round] = at, event.result
        return known

    @property
    def left_out(self) -> Mapping[str, str]:
        """Who was not in the last finished round, and why."""
        return next((each.left_out for _, each in reversed(self.history.values())), {})

    @cached_property
    def updates(self) -> dict[tuple[int, str], tuple[float, events.UpdateReceived]]:
        """What each client sent in each finished round, with when it came; the last, where it was asked again."""
        sent = {(e.round, e.client): (at, e) for at, e in self.entries if isinstance(e, events.UpdateReceived)}
        return {key: each for key, each in sent.items() if key[0] in self.history}

    def table(self) -> pd.DataFrame:
        """Return one line per finished round."""
        lines = [asdict(each) for _, each in self.history.values()]
        return pd.DataFrame(lines, columns=list(Round.__dataclass_fields__)).set_index("round")

    def measured(self, score: str) -> pd.DataFrame:
        """Return what clients say that they measured: a line per round, a column per client; NaN where nothing."""
        lines = [(number, who, e.metrics.get(score, np.nan)) for (number, who), (_, e) in self.updates.items()]
        table = pd.DataFrame(lines, columns=["round", "client", score])
        return table.pivot(index="round", columns="client", values=score)

    def timings(self) -> pd.DataFrame:
        """Return seconds by client, summed over its rounds: what each of them was spent on.

        ``training`` is the client's word; ``transport`` the rest of its answer's time; ``waiting`` is from its answer
        to the last one; ``aggregation`` what the server does then. A round without its answer is not counted.
        """
        columns = ["training", "transport", "waiting", "aggregation"]
        lines: dict[str, np.ndarray] = {}
        for (number, who), (_, event) in self.updates.items():
            _, result = self.history[number]
            training = min(event.metrics.get("training_seconds", 0.0), event.seconds)
            waiting = max(result.seconds - result.aggregation_seconds - event.seconds, 0.0)
            spent = [training, event.seconds - training, waiting, result.aggregation_seconds]
            lines[who] = lines.get(who, np.zeros(4)) + spent
        return pd.DataFrame.from_dict(lines, orient="index", columns=columns).sort_index().rename_axis("client")

    def who(self) -> pd.DataFrame:
        """Return one line per client: account, rows, code, what it trains with, and in how many rounds it was."""
        joined = {e.client: e for _, e in self.entries if isinstance(e, events.Joined)}
        lines = []
        for each in self.about["participants"]:
            told, name = joined.get(each["name"], events.Joined(each["name"])), each["name"]
            used = ", ".join(f"{key} {value}" for key, value in told.settings.items())
            rounds = sum(name not in result.left_out for _, result in self.history.values()) if name in joined else 0
            lines.append((name, each["account"], told.rows, told.code, told.table, used, rounds))
        columns = ["client", "account", "rows", "code", "version of its rows", "trains with", "rounds"]
        return pd.DataFrame(lines, columns=columns).set_index("client")


def read(run: str) -> Recorded:
    """Read a run's record.

    Raises
    ------
    MissingStep
        If there is none of this id, or it cannot be read.
    """
    path = folder() / run
    about = _header(path)
    if about is None:
        raise MissingStep(f"there is no record of run {run!r}: `fl track runs` lists those that there are")
    led = _led(path)  # asked first: what is written afterwards is read too
    state = _size(path), led
    if (known := _READ.get(path)) is None or known[0] != state or known[1].about != about:
        _READ.clear()  # one is looked at again and again, while it grows
        _READ[path] = known = state, Recorded(about, tuple(_entries(_lines(path, 0))), led)
    return known[1]


def runs() -> pd.DataFrame:
    """Return one line per run that was recorded here, the last one first.

    Of a long record only the end is read: a thousand runs are listed in less than a second.
    """
    lines = [line for path in _folders() if (line := _listed(path)) is not None]
    columns = ["run", "problem", "began", "status", "rounds", "of", "clients", "strategy", "roc_auc"]
    table = pd.DataFrame(lines, columns=columns).set_index("run")
    return table.sort_values("began", ascending=False, kind="stable")


def signature() -> tuple:
    """Return what changes when a record does: cheaper than to read them."""
    told = []
    for path in _folders():
        size = _size(path)
        over = path in _LISTED and _LISTED[path][0] == size
        told.append((path.name, size, False if over else _led(path)))
    return tuple(sorted(told))


def _folders() -> list[Path]:
    return list(folder().iterdir()) if folder().is_dir() else []


def _listed(path: Path) -> tuple | None:
    """Return a run's line in the list; what has ended is read once, for nothing is added to it."""
    size = _size(path)
    if (known := _LISTED.get(path)) and known[0] == size:
        return known[1]
    if (about := _header(path)) is None:
        return None
    led, last = _led(path), [entry.event for entry in _entries(_lines(path, TAIL))]
    done = [event for event in last if isinstance(event, events.RoundFinished)]
    score = done[-1].result.roc_auc if done else np.nan
    terms, status = about["terms"], _status(last, led)
    line = (
        path.name, about["problem"], about["began"][:19].replace("T", " "), status, done[-1].round if done else 0,
        terms["rounds"], len(about["participants"]), terms["strategy"], score,
    )  # fmt: skip
    if status in (FINISHED, ENDED):
        _LISTED[path] = size, line
    return line


def _size(path: Path) -> int:
    try:
        return (path / EVENTS).stat().st_size
    except OSError:
        return 0


_READ: dict[Path, tuple[tuple[int, bool], Recorded]] = {}  # the last one: size of its record, whether it is led
_LISTED: dict[Path, tuple[int, tuple]] = {}  # runs that have ended: the size of the record, the line


def compare(told: Sequence[Recorded]) -> pd.DataFrame:
    """Lay runs side by side, a line each: settings in which they differ, then what came of them."""
    given = {each.run: {**each.about["data"], **each.about["training"], **each.about["terms"]} for each in told}
    names = dict.fromkeys(name for settings in given.values() for name in settings)
    differ = [name for name in names if len({settings.get(name) for settings in given.values()}) > 1]
    lines = {}
    for each in told:
        history = [result for _, result in each.history.values()]
        last = history[-1] if history else None
        lines[each.run] = {name: given[each.run].get(name) for name in differ} | {
            "meetings": len(history),
            "ROC AUC": last.roc_auc if last else np.nan,
            "average precision": last.average_precision if last else np.nan,
            "log-loss": last.log_loss if last else np.nan,
            "bytes up": sum(result.bytes_up for result in history),
            "left out": sum(len(result.left_out) for result in history),
        }
    return pd.DataFrame.from_dict(lines, orient="index")


def _status(happened: list[Event], led: bool) -> str:
    last = _last(happened)
    if isinstance(last, events.Finished):
        return FINISHED
    if isinstance(last, events.Ended):
        return ENDED
    return RUNNING if led else CUT_OFF


def _last(happened: list[Event]) -> Event | None:
    """Return the last event that says how a run stands."""
    asides = (events.Unknown, events.NotCopied, events.TurnedAway)
    return next((event for event in reversed(happened) if not isinstance(event, asides)), None)


def _header(path: Path) -> dict[str, Any] | None:
    try:
        about = json.loads((path / HEADER).read_text())
        datetime.fromisoformat(about["began"])
        known = about["run"] == path.name and all(each["name"] and each["account"] for each in about["participants"])
        return about if known and {"rounds", "strategy"} <= about["terms"].keys() and about["problem"] else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _led(path: Path) -> bool:
    """Tell whether a process holds the record open for writing."""
    return watcher.written(str(path / EVENTS))


def _lines(path: Path, tail: int) -> list[str]:
    """Return the lines of a record, or those that begin in its last so many bytes."""
    try:
        with (path / EVENTS).open("rb") as file:
            size = file.seek(0, 2)
            begin = max(size - tail, 0) if tail else 0
            file.seek(begin)
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    lines = text.split("\n")
    return lines[1:] if begin else lines


def _entries(lines: list[str]) -> Iterator[Entry]:
    """Read lines; one that was cut off in the middle is none."""
    for line in lines:
        try:
            known = json.loads(line)
            at = float(known.pop("at"))
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
        if (event := events.of_dict(known)) is not None:
            yield Entry(at, event)
