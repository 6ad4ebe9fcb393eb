"""Run a federation from a notebook's kernel: who is there, then round after round, then the final model."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
from flwr.common import Code, EvaluateIns, FitIns, FitRes, GetParametersIns, Status
from flwr.common import ndarrays_to_parameters as pack
from flwr.common.serde import fit_ins_to_proto, fit_res_to_proto

from client_code import task
from workshop import state
from workshop.errors import FederationError, JobError
from workshop.federation import strategy as strategies
from workshop.federation import updates
from workshop.federation.checkpoints import Checkpoints, Progress
from workshop.federation.identity import Caller
from workshop.federation.place import listening
from workshop.federation.rounds import Report, Round, fit_round, get_evaluate_fn
from workshop.federation.seats import Seat, Seats, names
from workshop.federation.tls import Certificates
from workshop.federation.updates import BadUpdate, Rules
from workshop.jobs import FINISHED, TrainingJob, stop_all

PATIENCE = 3.0  # seconds that SageMaker has to say how a job ended whose connection broke


@dataclass(frozen=True)
class FederationResult:
    """The global model as arrays, how it came about, and how many real rows each client trained on."""

    parameters: task.Parameters
    scaler: task.Scaler
    threshold: float  # the clients' best thresholds on their validation rows, weighted by those rows
    history: tuple[Round, ...]
    client_rows: dict[str, int]
    seconds: float  # from the first job's creation to the final model
    events: tuple[str, ...]  # who came late, went, was turned away or left out
    resumed: int  # rounds that an earlier run had finished

    def table(self) -> pd.DataFrame:
        """Return one line per round."""
        return pd.DataFrame([asdict(entry) for entry in self.history]).set_index("round")


@dataclass(frozen=True)
class Terms:
    """What a federation is held to.

    Attributes
    ----------
    rounds : int
        At least 1.
    strategy, hostile
        How updates are put together, one of ``strategy.NAMES``, and how many clients may work against the others.
    start_with, quorum : int
        How many clients must have joined before round 1, and how many usable answers every round needs. By default
        all of them, and more than half.
    join, round, whole : float
        Seconds until every client must have joined, until it must have answered each round, and for all of it.
    exclusions : int
        After so many unusable answers a client takes part no longer.
    rules : Rules
        What an update may be.
    """

    rounds: int = 3
    strategy: str = "FedAvg"
    hostile: int = 0
    start_with: int | None = None
    quorum: int | None = None
    join: float = 120.0
    round: float = 120.0
    whole: float = 3600.0
    exclusions: int = 2
    rules: Rules = field(default_factory=Rules)

    def checked(self, clients: int) -> Terms:
        """Return these terms with their defaults for a number of clients filled in.

        Raises
        ------
        FederationError
            If they cannot be kept.
        """
        start_with = clients if self.start_with is None else self.start_with
        quorum = clients // 2 + 1 if self.quorum is None else self.quorum
        if self.rounds < 1:
            raise FederationError(f"ROUNDS is {self.rounds}; a federation needs at least one round")
        if not 1 <= quorum <= start_with <= clients:
            raise FederationError(
                f"QUORUM is {quorum} and START_WITH {start_with}, with {clients} clients: choose 1 <= QUORUM <= "
                "START_WITH <= the number of clients"
            )
        strategies.check(self.strategy, answers=quorum, hostile=self.hostile)
        return Terms(**vars(self) | {"start_with": start_with, "quorum": quorum})


def run(
    jobs: Sequence[TrainingJob],
    *,
    listen: str,
    certificates: Certificates,
    caller: Callable[[Mapping, str], Caller],
    test: tuple[np.ndarray, np.ndarray],
    terms: Terms | None = None,
    checkpoints: Checkpoints | None = None,
    progress: Report = lambda message, history: None,
) -> FederationResult:
    """Run the Flower server in this process until the last round is done.

    Parameters
    ----------
    jobs : sequence of TrainingJob
        The client jobs that were started for this federation; nobody else may take part.
    listen, certificates
        Where to listen (``Place.listen``), and with which certificate.
    caller : callable
        Says who has signed a proof of identity: ``identity.Verifier.caller``.
    test : tuple of ndarray
        The server's own rows ``(n, 49)`` and labels ``(n,)``, real and never resampled.
    terms : Terms
        Rounds, deadlines, quorum, strategy.
    checkpoints : Checkpoints
        Where every finished round is kept; if there is one already, the federation carries on after it.
    progress : callable
        Called with a message and the rounds so far, whenever something happened.

    Raises
    ------
    FederationError
        If too few clients are left to go on, or time is up. Names those that are missing, with their jobs' status,
        reason and last log lines. Every job is stopped; what finished rounds brought is kept in ``checkpoints``.
    """
    terms = (terms or Terms()).checked(len(jobs))
    seats = Seats(jobs, caller=caller)
    federation = _Federation(seats, terms, test=test, checkpoints=checkpoints, progress=progress)
    try:
        with listening(listen, seats, certificates):
            final, threshold = federation.run()
    except BaseException as stop:
        seats.close()
        try:
            stop_all(jobs)
        except JobError as error:
            stop.add_note(f"The other jobs may still be running: {error}")
        raise
    created = min(job.describe()["CreationTime"] for job in jobs)
    return FederationResult(
        final.parameters, final.scaler, threshold, tuple(final.history), federation.rows,
        (datetime.now(UTC) - created).total_seconds(), tuple(federation.events), federation.resumed,
    )  # fmt: skip


class _Federation:
    """One run: its seats, its terms, and the steps from the first client to the final model."""

    def __init__(
        self,
        seats: Seats,
        terms: Terms,
        *,
        test: tuple[np.ndarray, np.ndarray],
        checkpoints: Checkpoints | None,
        progress: Report,
    ) -> None:
        self.seats, self.terms, self.test = seats, terms, test
        self.checkpoints, self.progress = checkpoints, progress
        seats.tell = self._tell
        self.events: list[str] = []
        self.told = 0
        self.history: list[Round] = []
        self.declared: dict[str, int] = {}  # rows, by client
        self.rows: dict[str, int] = {}  # those in the last round's model
        self.resumed = 0
        self.give_up = time.monotonic() + terms.whole

    def run(self) -> tuple[Progress, float]:
        """Return the last round's progress, and the clients' threshold."""
        progress = self._agree()
        self.history, self.resumed = progress.history, len(progress.history)
        while len(progress.history) < self.terms.rounds:
            if self._round(progress) and self.checkpoints:
                self.checkpoints.save(progress)
                if self.checkpoints.complaint:
                    self._tell(self.checkpoints.complaint)
        return progress, self._threshold(progress)

    def _agree(self) -> Progress:
        """Gather the clients and add up the sums for the scaler; or carry on where an earlier run was cut off."""
        n_features = self.test[0].shape[1]

        def declare(proxy, seat: Seat, left: float) -> task.Parameters:
            return updates.read_statistics(proxy.get_parameters(GetParametersIns({}), left, 0).parameters, n_features)

        def waiting(seats: list[Seat]) -> None:
            here, all_of_them = len(self.seats.present()), len(self.seats.all_seats)
            missing = [seat for seat in seats if seat.connection is None]
            self._say(f"{here} of {all_of_them} clients are here" + (f"; waiting for {names(missing)}" * bool(missing)))

        seconds = self._seconds(self.terms.join)
        sums = self.seats.ask(declare, seconds=seconds, needed=self.terms.start_with, waiting=waiting)
        sums = self._without_bad(sums, out=True)
        for name, reason in updates.too_many_rows(_rows(sums), self.terms.rules).items():
            self._exclude(name, reason, out=True)
            del sums[name]
        if len(sums) < self.terms.start_with:
            raise self._not_joined(sums, seconds)
        self.declared = _rows(sums)
        before = self.checkpoints.latest() if self.checkpoints else None
        if before and _agrees(before.sums, sums):
            self._say(f"carrying on after round {len(before.history)}")
            for name, reason in before.out.items():
                self.seats.expel(name, reason)
            return before
        if before:
            self._tell("a client's rows have changed since the run that was cut off: beginning again")
            self.checkpoints.forget()
        self._say("every client is here: the scaler is the sum of their sums")
        start = [np.zeros((1, n_features)), np.zeros(1)]
        return Progress(start, task.pooled_scaler(list(sums.values())), sums)

    def _round(self, progress: Progress) -> bool:
        """Have the clients train, let the gate look at what they send, put it together, score it.

        Returns whether there is a new model. There is none when a client had to be left out of round 1: what it said
        of its rows is not believed any more either, and the round is run again with a scaler of the others' rows.
        """
        number, started = len(progress.history) + 1, time.monotonic()
        terms, start, n_features = self.terms, progress.parameters, self.test[0].shape[1]
        config = fit_round(number) | strategies.fit_config(
            strategies.make(terms.strategy, start, answers=terms.quorum, hostile=terms.hostile)
        )
        instruction = FitIns(pack([*start, *progress.scaler]), config)

        def train(proxy, seat: Seat, left: float) -> tuple[task.Parameters, int, int]:
            if seat.name not in self.declared:  # it has joined late
                sums = proxy.get_parameters(GetParametersIns({}), left, 0).parameters
                self.declared[seat.name] = int(updates.read_statistics(sums, n_features)[0][0])
            answer = proxy.fit(instruction, left, number)
            if answer.status.code != Code.OK:
                raise BadUpdate("its training failed")
            return *updates.read_update(answer, start, self.declared[seat.name]), fit_res_to_proto(answer).ByteSize()

        def waiting(seats: list[Seat]) -> None:
            self._say(f"round {number} of {terms.rounds}: clients are training; waiting for {names(seats)}")

        self._say(f"round {number} of {terms.rounds}: clients are training")
        seconds = self._seconds(terms.round)
        answers = self.seats.ask(train, seconds=seconds, needed=terms.quorum, waiting=waiting)
        asked = len(answers)
        left_out = self._silent(answers)
        good = self._without_bad(answers, left_out, faults=progress.faults)
        far = updates.too_far({name: arrays for name, (arrays, _, _) in good.items()}, start, terms.rules)
        far |= updates.too_many_rows({name: self.declared[name] for name in good}, terms.rules)
        for name, reason in far.items():
            self._exclude(name, reason, left_out, faults=progress.faults)
            del good[name]
        bad = {name: reason for name, reason in left_out.items() if name in answers}
        if number == 1 and bad.keys() & progress.sums.keys():
            return self._begin_without(bad, progress)
        progress.out = {name: seat.out for name, seat in self.seats.all_seats.items() if seat.out}
        if len(good) < terms.quorum:
            raise self._too_few(f"round {number} of {terms.rounds}", good, left_out)
        known = progress.history[-1].left_out if progress.history else {}
        for name in left_out.keys() - answers.keys() - known.keys() - progress.out.keys():
            self._tell(f"round {number} goes on without {name}: {left_out[name]}")
        combine = strategies.make(terms.strategy, start, answers=len(good), hostile=terms.hostile)
        strategies.remember(combine, progress.memory)
        results = [(None, _answer(arrays, rows)) for arrays, rows, _ in good.values()]
        progress.parameters = strategies.aggregate(combine, number, results)
        progress.memory = strategies.memory(combine)
        self.rows = {name: rows for name, (_, rows, _) in good.items()}
        loss, scores = get_evaluate_fn(self.test, progress.scaler)(number, progress.parameters, {})
        entry = Round(
            number, **scores, log_loss=loss, seconds=time.monotonic() - started,
            bytes_up=sum(size for _, _, size in good.values()),
            bytes_down=fit_ins_to_proto(instruction).ByteSize() * asked,
            clients=len(good), left_out=left_out,
        )  # fmt: skip
        progress.history.append(entry)
        self._say(f"round {number} of {terms.rounds} is done")
        return True

    def _begin_without(self, bad: Mapping[str, str], progress: Progress) -> bool:
        """Take clients' sums out of the scaler; there is no model yet that was trained with it."""
        progress.sums = {name: sums for name, sums in progress.sums.items() if name not in bad}
        if len(progress.sums) < self.terms.quorum:
            raise self._too_few("round 1", progress.sums, bad)
        progress.scaler = task.pooled_scaler(list(progress.sums.values()))
        self._tell(f"the scaler is made again without the sums of {', '.join(bad)}")
        return False

    def _threshold(self, progress: Progress) -> float:
        """Send everybody the final model; put the clients' best thresholds together, by their validation rows."""
        instruction = EvaluateIns(pack([*progress.parameters, *progress.scaler]), fit_round(self.terms.rounds))

        def score(proxy, seat: Seat, left: float) -> tuple[float, int]:
            answer = proxy.evaluate(instruction, left, self.terms.rounds)
            threshold = answer.metrics.get("threshold")
            if not isinstance(threshold, float) or not 0 <= threshold <= 1 or answer.num_examples < 1:
                raise BadUpdate("its threshold is not one")
            return threshold, min(answer.num_examples, self.declared.get(seat.name, 1))

        answers = self.seats.ask(score, seconds=self._seconds(self.terms.round), needed=self.terms.quorum)
        left_out = self._silent(answers)
        good = self._without_bad(answers, left_out)
        if len(good) < self.terms.quorum:
            raise self._too_few("the final evaluation", good, left_out)
        thresholds, rows = zip(*good.values(), strict=True)
        return float(np.average(thresholds, weights=rows))

    def _without_bad(
        self, answers: Mapping, left_out: dict[str, str] | None = None, *, faults: dict | None = None, out: bool = False
    ) -> dict:
        """Return the answers that are none of the gate's complaints; note the others."""
        for name, answer in answers.items():
            if isinstance(answer, Exception):
                reason = (
                    str(answer)
                    if isinstance(answer, BadUpdate)
                    else f"no message of Flower's ({type(answer).__name__})"
                )
                self._exclude(name, reason, left_out, faults=faults, out=out)
        return {name: answer for name, answer in answers.items() if not isinstance(answer, Exception)}

    def _exclude(
        self, name: str, reason: str, left_out: dict | None = None, *, faults: dict | None = None, out: bool = False
    ) -> None:
        """Leave a client's answer out, and the client itself when it happens too often."""
        job = self.seats.all_seats[name].job
        self._tell(f"{name} (account {job.client.account}) is left out: {reason}")
        if left_out is not None:
            left_out[name] = reason
        if faults is not None:
            faults[name] = faults.get(name, 0) + 1
        if out or (faults or {}).get(name, 0) >= self.terms.exclusions:
            self.seats.expel(name, reason)
            self._tell(f"{name} takes part no longer")

    def _silent(self, answers: Mapping) -> dict[str, str]:
        """Return the clients that have not answered, each with the reason."""
        silent = [seat for name, seat in self.seats.all_seats.items() if name not in answers]
        return {seat.name: f"no answer ({seat.absence})" for seat in silent}

    def _not_joined(self, joined: Mapping, seconds: float) -> FederationError:
        absent = [seat for name, seat in self.seats.all_seats.items() if name not in joined]
        if out := [seat for seat in absent if seat.out]:
            told = "; ".join(f"{seat.name} is left out: {seat.out}" for seat in out)
            return self._error(out, f"{told}; this federation starts with {self.terms.start_with} clients")
        if ended := [seat for seat in absent if seat.ended]:
            return self._error(ended, f"{names(ended)} ended before it joined")
        turned_away = list(dict.fromkeys(line for line in self.events if "turned away" in line))
        told = "; ".join([f"{names(absent)} did not join within {seconds:.0f} s", *turned_away[-3:]])
        return self._error(absent, told)

    def _too_few(self, when: str, good: Mapping, left_out: Mapping[str, str]) -> FederationError:
        told = "; ".join(f"{name}: {reason}" for name, reason in sorted(left_out.items()))
        seats = [seat for name, seat in self.seats.all_seats.items() if name in left_out]
        return self._error(
            seats, f"{when} has {len(good)} usable answers and needs {self.terms.quorum}; {told}", patience=PATIENCE
        )

    def _error(self, seats: Sequence[Seat], what: str, *, patience: float = 0.0) -> FederationError:
        """Put an end into words: what happened, how each missing job stands, what to do."""
        give_up = time.monotonic() + patience
        told = [_account(seat.job, seat.missed or bool(seat.out), give_up) for seat in seats]
        kept = f"; it carries on after round {len(self.history)}" if self.checkpoints and self.history else ""
        return FederationError(
            "\n".join([f"{what}.", *told, f"Mend that client, then run 03_run_federation.ipynb again{kept}."])
        )

    def _seconds(self, phase: float) -> float:
        left = self.give_up - time.monotonic()
        if left <= 0:
            raise FederationError(
                f"the federation is not done after {self.terms.whole:.0f} s, the time for all of it: "
                f"{len(self.history)} of {self.terms.rounds} rounds are; raise DEADLINE"
                + ("; a new run carries on" if self.checkpoints and self.history else "")
            )
        return min(phase, left)

    def _tell(self, line: str) -> None:
        self.events.append(line)

    def _say(self, message: str) -> None:
        """Report a message, with whatever has happened since the last one."""
        news, self.told = self.events[self.told :], len(self.events)
        self.progress("; ".join([message, *news]), self.history)


def record(result: FederationResult, jobs: Sequence[TrainingJob], *, model_path: Path) -> dict:
    """Put a finished federation into JSON values: for the next notebook and for ``build/summary.json``."""
    clients = {
        job.client.name: {
            "name": job.client.name,
            "account": job.client.account,
            "job": job.name,
            "seconds": job.describe().get("BillableTimeInSeconds"),
        }
        for job in jobs
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


def _agrees(before: Mapping[str, task.Parameters], now: Mapping[str, task.Parameters]) -> bool:
    """Return whether every client that is here has the rows that it had before."""
    same = [
        all(np.array_equal(a, b) for a, b in zip(before[name], arrays, strict=True))
        for name, arrays in now.items()
        if name in before
    ]
    return bool(same) and all(same)


def _answer(arrays: task.Parameters, rows: int) -> FitRes:
    return FitRes(Status(Code.OK, ""), pack(arrays), rows, {})


def _account(job: TrainingJob, gone: bool, give_up: float) -> str:
    """Say how a job stands; give SageMaker a moment where the connection broke."""
    with contextlib.suppress(JobError):
        while gone and time.monotonic() < give_up and job.describe()["TrainingJobStatus"] not in FINISHED:
            time.sleep(0.2)
    try:
        return job.account_of_failure()
    except Exception as error:  # what matters more is told already
        return f"{job.client.name} (account {job.client.account}), job {job.name}: no answer ({type(error).__name__})"
