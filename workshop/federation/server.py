"""Federation server in a notebook's kernel: who is there, then round after round, then the final model."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from flwr.common import EvaluateIns, FitIns, GetParametersIns, Scalar
from flwr.common import ndarrays_to_parameters as pack
from flwr.common.serde import fit_ins_to_proto
from flwr.server.client_proxy import ClientProxy

from client_code import task
from client_code.problem import Problem
from workshop import state
from workshop.errors import FederationError, JobError, WorkshopError
from workshop.federation import apart, endings, events, updates, words
from workshop.federation import strategy as strategies
from workshop.federation.checkpoints import Checkpoints, Progress
from workshop.federation.events import Event, Sink
from workshop.federation.identity import Caller
from workshop.federation.participants import Participant, stop_all, together
from workshop.federation.place import listening
from workshop.federation.rounds import Round, fit_round, get_evaluate_fn
from workshop.federation.seats import Seat, Seats, names
from workshop.federation.terms import Settled, Terms
from workshop.federation.tls import Certificates


@dataclass(frozen=True)
class FederationResult:
    """The global model as arrays, how it came about, and how many real rows each client trained on."""

    parameters: task.Parameters
    scaler: task.Scaler
    threshold: float  # the clients' best thresholds on their validation rows, weighted by those rows
    history: tuple[Round, ...]
    client_rows: dict[str, int]
    seconds: float  # from the start of the first participant to the final model
    events: tuple[Event, ...]  # all that happened
    resumed: int  # rounds that an earlier run had finished

    def table(self) -> pd.DataFrame:
        """Return one line per round."""
        return pd.DataFrame([asdict(entry) for entry in self.history]).set_index("round")

    def measured(self, score: str) -> pd.DataFrame:
        """Return what clients say that they measured on their own rows: a line per round of this kernel, by client.

        ``score`` is one of ``task.METRICS``.
        """
        received = [event for event in self.events if isinstance(event, events.UpdateReceived)]
        lines = [(event.round, event.client, event.metrics.get(score, np.nan)) for event in received]
        return pd.DataFrame(lines, columns=["round", "client", score]).pivot(
            index="round", columns="client", values=score
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """Who was turned away or left out and what else somebody should hear of, in words."""
        return words.notes(self.events)


def run(
    participants: Sequence[Participant],
    *,
    listen: str,
    certificates: Certificates,
    caller: Callable[[Mapping, str], Caller],
    test: tuple[np.ndarray, np.ndarray],
    problem: Problem,
    terms: Terms | None = None,
    checkpoints: Checkpoints | None = None,
    sinks: Sequence[Sink] = (),
    introduction: Mapping[str, Scalar] = MappingProxyType({}),
) -> FederationResult:
    """Run the Flower server in this process until the last round is done.

    Parameters
    ----------
    participants : sequence of Participant
        The clients that were started for this federation; nobody else may take part.
    listen, certificates
        Where to listen (``Place.listen``), and with which certificate.
    caller : callable
        Says who has signed a proof of identity: ``identity.Verifier.caller``.
    test : tuple of ndarray
        The server's own rows ``(n, n_features)`` and labels ``(n,)``, real and never resampled.
    problem : Problem
        What the rows are, of the server and of every client.
    terms : Terms
        Rounds, deadlines, quorum, strategy.
    checkpoints : Checkpoints
        Where every finished round is kept; if there is one already, the federation carries on after it.
    sinks : sequence of callable
        Each gets every event of the run, one at a time.
    introduction : mapping
        What agents are told of the run; see ``Seats``.

    Raises
    ------
    FederationError
        If too few clients are left to go on, or time is up. Names those that are missing, with their status, reason
        and last log lines. Every participant is stopped; what finished rounds brought is kept in ``checkpoints``.
    """
    terms, began = (terms or Terms()).checked(len(participants)), datetime.now(UTC)
    seats = Seats(participants, caller=caller, introduction=introduction)
    federation = _Rounds(seats, terms, test=test, problem=problem, checkpoints=checkpoints, sinks=sinks)
    try:
        with listening(listen, seats, certificates):
            threshold = federation.run()
    except BaseException as stop:
        if not isinstance(stop, SystemExit):  # of a pod that has to go: another carries on
            federation.tell_end(stop)
        seats.close()
        try:
            stop_all(participants)
        except JobError as error:
            stop.add_note(f"The other jobs may still be running: {error}")
        raise
    final, ended = federation.progress, datetime.now(UTC)
    seconds = (ended - _started(participants, began, federation.tell)).total_seconds()
    return FederationResult(
        final.parameters, final.scaler, threshold, tuple(final.history), final.rows, seconds,
        tuple(federation.events), federation.resumed,
    )  # fmt: skip


def roll_call(
    participants: Sequence[Participant],
    *,
    listen: str,
    certificates: Certificates,
    caller: Callable[[Mapping, str], Caller],
    seconds: float,
    sinks: Sequence[Sink] = (),
    introduction: Mapping[str, Scalar] = MappingProxyType({}),
) -> dict[str, events.Joined]:
    """Be the server of a run without rounds: see who is there, and ask nothing else.

    Parameters
    ----------
    seconds : float
        To wait for those who are not there yet.
    **others
        As for :func:`run`.

    Returns
    -------
    dict
        What each client that came has said of itself, by its name.
    """
    seats = Seats(participants, caller=caller, introduction=introduction)
    happened: deque[Event] = deque()
    seats.tell = happened.append
    present: dict[str, events.Joined] = {}

    def hand_on() -> None:
        while happened:
            event = happened.popleft()
            if isinstance(event, events.Joined):
                present[event.client] = event
            for sink in sinks:
                sink(event)

    def waiting(missing: list[Seat]) -> None:
        absent = names(seat for seat in missing if seat.connection is None)
        happened.append(events.Gathering(len(seats.present()), len(seats.all_seats), absent))
        hand_on()

    with listening(listen, seats, certificates):
        seats.ask(lambda proxy, seat, left: True, seconds=seconds, needed=0, waiting=waiting)
        hand_on()
    return {name: present[name] for name in seats.all_seats if name in present}


def _started(participants: Sequence[Participant], began: datetime, tell: Sink) -> datetime:
    """Return when the first participant was started, as far as anybody says so: a finished model waits for no one."""
    known = [began]

    def ask(participant: Participant) -> str:
        try:
            since = participant.status().since
        except JobError as error:
            return str(error)
        if since is not None:
            known.append(since)
        return ""

    for reason in together(ask, participants, seconds=endings.ANSWER):
        if reason:
            tell(events.Unknown("when a job was started", reason))
    return min(known)


class _Rounds:
    """One run: its seats, its terms, and the steps from the first client to the final model."""

    def __init__(
        self,
        seats: Seats,
        terms: Settled,
        *,
        test: tuple[np.ndarray, np.ndarray],
        problem: Problem,
        checkpoints: Checkpoints | None,
        sinks: Sequence[Sink],
    ) -> None:
        self.seats, self.terms, self.test, self.problem = seats, terms, test, problem
        self.checkpoints, self.sinks = checkpoints, tuple(sinks)
        self.thread, self.queue = threading.get_ident(), deque()
        seats.tell = self.tell
        self.events: list[Event] = []
        self.declared: dict[str, int] = {}  # rows, by client
        self.moments: dict[str, task.Parameters] = {}  # of their rows, by client
        self.progress = Progress([], task.Scaler(np.empty(0), np.empty(0)), {})  # until the clients have agreed
        self.resumed = 0
        self.give_up = time.monotonic() + terms.whole

    def run(self) -> float:
        """Take ``progress`` to the last round; return the clients' threshold."""
        self.progress = self._agree()
        self.resumed = len(self.progress.history)
        while len(self.progress.history) < self.terms.rounds:
            if self._round() and self.checkpoints:
                self.checkpoints.save(self.progress)
                if self.checkpoints.complaint:
                    self.tell(events.NotCopied(self.checkpoints.complaint))
        return self._threshold()

    def _agree(self) -> Progress:
        """Gather the clients and add up the sums for the scaler; or carry on where an earlier run was cut off."""

        def waiting(seats: list[Seat]) -> None:
            missing = names(seat for seat in seats if seat.connection is None)
            self.tell(events.Gathering(len(self.seats.present()), len(self.seats.all_seats), missing))

        seconds, start_with = self._seconds(self.terms.join), self.terms.start_with
        answers = self.seats.ask(self._sums, seconds=seconds, needed=start_with, waiting=waiting)
        sums, bad = updates.sort_out(answers)
        bad |= updates.too_many_rows(_rows(sums), self.terms.rules)
        for name, reason in bad.items():
            self._exclude(name, reason, for_good=True)
            sums.pop(name, None)
        # Who is left out has come: the others go on without it, as they would in a round.
        if len(sums) + len(bad) < start_with or len(sums) < self.terms.quorum:
            absent = [seat for name, seat in self.seats.all_seats.items() if name not in sums]
            happened = [*self.events, *self.queue]
            raise endings.not_joined(absent, seconds=seconds, quorum=self.terms.quorum, events=happened)
        self._compare_units()
        before = self.checkpoints.latest() if self.checkpoints else None
        checksums = {name: self.seats.all_seats[name].rows_sha256 for name in sums}
        if before and _agrees(before, sums, checksums):
            self.tell(events.Resumed(tuple(before.history)))
            for name, reason in before.out.items():
                self.seats.expel(name, reason)
            return before
        if before and self.checkpoints:
            self.tell(events.BegunAnew())
            self.checkpoints.forget()
        self.tell(events.ScalerMade(len(sums)))
        start = [np.zeros((1, len(self.problem.input_names))), np.zeros(1)]
        return Progress(start, task.pooled_scaler(list(sums.values()), self.problem), sums, checksums=checksums)

    def _sums(self, proxy: ClientProxy, seat: Seat, left: float) -> task.Parameters:
        """Ask a client for its sums, and remember the rows that it declares."""
        answer = proxy.get_parameters(GetParametersIns({}), left, 0)
        updates.check(answer)
        sums = updates.read_statistics(answer.parameters, self.problem)
        self.declared[seat.name], self.moments[seat.name] = int(sums[0][0]), sums
        return sums

    def _round(self) -> bool:
        """Have the clients train, let the gate look at what they send, put it together, score it.

        Returns whether there is a new model. There is none when a client had to be left out of round 1: what it said
        of its rows is not believed any more either, and the round is run again with a scaler of the others' rows.
        """
        progress, terms, started = self.progress, self.terms, time.monotonic()
        number, start = len(progress.history) + 1, progress.parameters
        strategy = strategies.make(terms.strategy, start, answers=terms.quorum, hostile=terms.hostile)
        instruction = FitIns(pack([*start, *progress.scaler]), fit_round(number) | strategies.fit_config(strategy))

        def train(proxy: ClientProxy, seat: Seat, left: float) -> updates.Update:
            if seat.name not in self.declared:  # it has joined late
                self._sums(proxy, seat, left)
            asked = time.monotonic()
            answer = proxy.fit(instruction, left, number)
            seconds = time.monotonic() - asked
            update = updates.read_update(answer, start, self.declared[seat.name], least=self.problem.floors.shared)
            self.tell(events.UpdateReceived(number, seat.name, update.rows, update.metrics, seconds, update.size))
            return update

        what = f"round {number} of {terms.rounds}"
        here = len(self.moments)
        self.tell(events.RoundStarted(number, terms.rounds))
        good, left_out, bad = self._ask(train, what)
        answered = time.monotonic()
        if len(self.moments) > here:
            self._compare_units()
        far = updates.too_far({name: update.arrays for name, update in good.items()}, start, terms.rules)
        far |= updates.too_many_rows({name: self.declared[name] for name in good}, terms.rules)
        good = {name: update for name, update in good.items() if name not in far}
        bad |= far
        for name, reason in bad.items():
            progress.faults[name] = progress.faults.get(name, 0) + 1
            self._exclude(name, reason, for_good=progress.faults[name] >= terms.exclusions)
        if number == 1 and bad.keys() & progress.sums.keys():
            self._begin_without(bad)
            return False
        progress.out = {name: seat.out for name, seat in self.seats.all_seats.items() if seat.out}
        self._require(good, left_out | bad, what)
        known = progress.history[-1].left_out if progress.history else {}
        for name in left_out.keys() - known.keys() - progress.out.keys():
            self._leave_out(name, left_out[name], question=f"round {number}", absent=True)
        strategy = strategies.make(terms.strategy, start, answers=len(good), hostile=terms.hostile)
        strategies.remember(strategy, progress.memory)
        progress.parameters = strategies.aggregate(strategy, number, [update.result() for update in good.values()])
        progress.memory = strategies.memory(strategy)
        progress.rows = {name: update.rows for name, update in good.items()}
        loss, scores = get_evaluate_fn(self.test, progress.scaler, self.problem)(number, progress.parameters, {})
        ended = time.monotonic()
        entry = Round(
            number, **scores, log_loss=loss, seconds=ended - started, aggregation_seconds=ended - answered,
            bytes_up=sum(update.size for update in good.values()),
            bytes_down=fit_ins_to_proto(instruction).ByteSize() * (len(good) + len(bad)),
            clients=len(good), left_out=left_out | bad,
        )  # fmt: skip
        progress.history.append(entry)
        self.tell(events.RoundFinished(number, terms.rounds, entry))
        return True

    def _compare_units(self) -> None:
        """Tell whose rows seem to be in another unit; that leaves nobody out, for unlike rows may be honest."""
        there = {name: sums for name, sums in self.moments.items() if not self.seats.all_seats[name].out}
        for finding in apart.compare(there, self.problem):
            self.tell(finding)

    def _begin_without(self, bad: Mapping[str, str]) -> None:
        """Take clients' sums out of the scaler; there is no model yet that was trained with it."""
        progress = self.progress
        progress.sums = {name: sums for name, sums in progress.sums.items() if name not in bad}
        self._require(progress.sums, bad, "round 1")
        progress.scaler = task.pooled_scaler(list(progress.sums.values()), self.problem)
        self.tell(events.ScalerMade(len(progress.sums), without=tuple(bad)))

    def _threshold(self) -> float:
        """Send everybody the final model; put the clients' best thresholds together, by their validation rows."""
        model = [*self.progress.parameters, *self.progress.scaler]
        instruction = EvaluateIns(pack(model), fit_round(self.terms.rounds))

        def score(proxy: ClientProxy, seat: Seat, left: float) -> tuple[float, int]:
            answer = proxy.evaluate(instruction, left, self.terms.rounds)
            return updates.read_threshold(answer, self.declared.get(seat.name, 1))

        good, left_out, bad = self._ask(score, "the final evaluation")
        for name, reason in bad.items():
            self._exclude(name, reason)
        self._require(good, left_out | bad, "the final evaluation")
        self.tell(events.Finished(self.terms.rounds))
        thresholds, rows = zip(*good.values(), strict=True)
        return float(np.average(thresholds, weights=rows))

    def _ask(self, question: Callable, what: str) -> tuple[dict[str, Any], dict[str, str], dict[str, str]]:
        """Ask every client; return usable answers, the clients that have not answered, and those with a bad answer."""

        def waiting(seats: list[Seat]) -> None:
            self.tell(events.Waiting(what, names(seats)))

        self.tell(events.Waiting(what))
        seconds = self._seconds(self.terms.round)
        answers = self.seats.ask(question, seconds=seconds, needed=self.terms.quorum, waiting=waiting)
        silent = [seat for name, seat in self.seats.all_seats.items() if name not in answers]
        good, bad = updates.sort_out(answers)
        return good, {seat.name: f"no answer ({seat.absence})" for seat in silent}, bad

    def _require(self, usable: Mapping, left_out: Mapping[str, str], when: str) -> None:
        """Raise if there are fewer usable answers than the quorum."""
        if len(usable) < self.terms.quorum:
            self._seconds(self.terms.round)  # was it the end of the whole that cut this question short?
            raise endings.too_few(
                when, left_out, self.seats.all_seats, usable=len(usable), quorum=self.terms.quorum, kept=self._kept()
            )

    def _exclude(self, name: str, reason: str, *, for_good: bool = False) -> None:
        """Leave a client's answer out, or the client itself."""
        self._leave_out(name, reason)
        if for_good:
            self.seats.expel(name, reason)
            self.tell(events.Expelled(name, reason))

    def _leave_out(self, name: str, reason: str, **more: Any) -> None:
        self.tell(events.LeftOut(name, self.seats.all_seats[name].participant.account, reason, **more))

    def _seconds(self, phase: float) -> float:
        """Return the seconds that a question may take: its own, or what is left of the whole."""
        left = self.give_up - time.monotonic()
        if left <= 0:
            raise FederationError(
                f"the federation is not done after {self.terms.whole:.0f} s, the time for all of it: "
                f"{self._done()} of {self.terms.rounds} rounds are; raise DEADLINE, run the notebook again"
                + self._kept()
            )
        return min(phase, left)

    def _done(self) -> int:
        return len(self.progress.history)

    def _kept(self) -> str:
        return f"; it carries on after round {self._done()}" if self.checkpoints and self._done() else ""

    def tell(self, event: Event) -> None:
        """Hand an event to every sink, in the run's own thread; what other threads have seen waits for the next one.

        A sink that fails ends the run, and is never taken for the fault of the client whose answer it was told of.
        """
        self.queue.append(event)
        while threading.get_ident() == self.thread and self.queue:
            happened = self.queue.popleft()
            if not isinstance(happened, events.Waiting | events.Gathering):  # these repeat every second
                self.events.append(happened)
            for sink in self.sinks:
                sink(happened)

    def tell_end(self, stop: BaseException) -> None:
        """Tell every sink why the run is over; one that fails now changes nothing."""
        for sink in self.sinks:
            with contextlib.suppress(Exception):
                sink(events.Ended(_why(stop)))


def _why(stop: BaseException) -> str:
    """Say why a run ends, in a line; a text that is not ours stays where it is."""
    if isinstance(stop, WorkshopError):
        return str(stop)
    return "interrupted" if isinstance(stop, KeyboardInterrupt) else f"unforeseen {type(stop).__name__}"


def record(
    result: FederationResult,
    participants: Sequence[Participant],
    *,
    model_path: Path,
    billed: Mapping[str, int | None] = MappingProxyType({}),
) -> dict:
    """Put a finished federation into JSON values: for the next notebook and for ``build/summary.json``.

    ``billed`` are seconds by client, as far as they are known.
    """
    clients = {
        each.name: {
            "name": each.name,
            "account": each.account,
            "job": each.job_name,
            "seconds": billed.get(each.name),
        }
        for each in participants
    }
    return {
        "clients": clients,
        "rounds": len(result.history),
        "history": [asdict(entry) for entry in result.history],
        "seconds": round(result.seconds, 2),
        "model": str(model_path.relative_to(state.home())),
    }


def _rows(sums: Mapping[str, task.Parameters]) -> dict[str, int]:
    return {name: int(arrays[0][0]) for name, arrays in sums.items()}


def _agrees(before: Progress, sums: Mapping[str, task.Parameters], checksums: Mapping[str, str]) -> bool:
    """Return whether every client that is here has the rows that it had before."""
    known = [name for name in sums if name in before.sums]
    return bool(known) and all(
        before.checksums.get(name) == checksums[name]
        and all(np.array_equal(a, b) for a, b in zip(before.sums[name], sums[name], strict=True))
        for name in known
    )
