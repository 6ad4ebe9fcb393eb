"""Client manager: one seat per expected account, and requests with a timeout.

Everything that can go wrong with a client comes down to two questions: does somebody sit there, and may somebody
still come? A client that is slow, was cut off, was restarted or has died needs no case of its own.
"""

from __future__ import annotations

import contextlib
import logging
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from flwr.common import GetPropertiesIns, ReconnectIns, Scalar
from flwr.server.client_manager import SimpleClientManager
from flwr.server.client_proxy import ClientProxy

from workshop.errors import JobError
from workshop.federation import events, updates
from workshop.federation.identity import Caller, IdentityError
from workshop.federation.participants import Participant, Phase
from workshop.federation.transport import GrpcBridgeClosed
from workshop.federation.updates import OUR_OWN

INTRODUCTION = 8.0  # seconds that a new connection has to prove who it is
PREPARATION = 900.0  # and, once it has, to have its rows ready for a run that it hears of now
STRANGERS = 24  # connections besides the invited that may be open without having said who they are
LOOK = 1.0  # seconds between two looks at who runs the clients of empty seats
STOP_LOOK = 4.0  # that much seldomer, in units of a participant's pace, at those who sit
MOST_ROWS = 10**12  # that a client may say it has
SETTINGS: dict[str, type] = {"penalty": str, "solver": str, "max_iter": int, "seed": int}  # of ``task.settings``
FAREWELL = 4.0  # seconds in which somebody who is busy may answer before the good-bye
READINGS = 3  # times that a client is asked where this server itself fails to read the answer
STOP_SECONDS = 100.0  # SageMaker kills a job 120 s after it was told to stop it
log = logging.getLogger(__name__)


@dataclass
class Seat:
    """One expected client: who runs it, its connection while it has one, and what is held against it."""

    participant: Participant
    connection: ClientProxy | None = None
    coming: ClientProxy | None = None  # the connection of one that is proven, and getting its rows ready
    instance: str = ""  # which process sits here: two with the same credentials do not take turns
    rows_sha256: str = ""  # the checksum of its rows, as it says
    ended: bool = False  # whoever runs it says that it is over
    missed: bool = False  # it had no connection when the last question's time was up
    spared: bool = False  # the last question ended before its time, as too few others could answer
    out: str = ""  # why it takes part no longer

    @property
    def name(self) -> str:
        """The client's name."""
        return self.participant.name

    @property
    def absence(self) -> str:
        """Why no answer has come."""
        if self.out:
            return f"takes part no longer: {self.out}"
        if self.spared:
            return "not waited for, as too few others can answer"
        return "its job has ended" if self.ended else "not connected" if self.missed else "too slow"

    @property
    def possible(self) -> bool:
        """Whether an answer may still come."""
        return not self.out and (self.connection is not None or not self.ended)


class Seats(SimpleClientManager):
    """Flower's client manager, for clients that are known by name and proven before anybody asks them anything.

    Parameters
    ----------
    participants : sequence of Participant
        Those that were started for this federation, one per account.
    caller : callable
        Gets a proof and the nonce that it must be made for; returns who sent it (``identity.Verifier.caller``).
    introduction : mapping
        What a client is told of the run once it is proven, and answers when its rows are ready: agents, which wait for
        any run. Clients that were started for this one have theirs.

    Attributes
    ----------
    tell : callable
        Called with an event whenever somebody takes a seat or is turned away.
    """

    def __init__(
        self,
        participants: Sequence[Participant],
        *,
        caller: Callable[[Mapping, str], Caller],
        introduction: Mapping[str, Scalar] = MappingProxyType({}),
    ) -> None:
        super().__init__()
        self.introduction = introduction
        self.all_seats = {each.name: Seat(each) for each in sorted(participants, key=lambda each: each.name)}
        self.caller = caller
        self.tell: events.Sink = lambda event: log.info("%s", event)
        self._changes = 0
        self._told: frozenset[str] = frozenset()  # why connections were turned away
        self._unproven: list[ClientProxy] = []  # connections that have not said who they are, the oldest first
        self._leaving: set[ClientProxy] = set()  # connections that are told that their job is being stopped
        self._over = threading.Event()
        for seat in self.all_seats.values():  # each by itself: an account that is silent holds up no other
            threading.Thread(target=self._watch, args=(seat,), daemon=True).start()

    def close(self) -> None:
        """Say good-bye to everybody, and look at no job any more."""
        self._over.set()
        staying = [proxy for proxy in list(self.clients.values()) if proxy not in self._leaving]
        leaving = [threading.Thread(target=_dismiss, args=(proxy,)) for proxy in staying]
        for thread in leaving:
            thread.start()
        for thread in leaving:
            thread.join(timeout=5)
        with self._cv:  # those whose jobs are being stopped are told that instead
            self._cv.wait_for(lambda: not self._leaving, timeout=5)

    def register(self, client: ClientProxy) -> bool:
        """Let a new connection introduce itself; Flower calls this."""
        if self._over.is_set() or not super().register(client):
            return False
        with self._cv:
            self._unproven.append(client)
            crowded = len(self._unproven) > len(self.all_seats) + STRANGERS
            longest = self._unproven.pop(0) if crowded else None
        if longest is not None:  # an invited client needs milliseconds: who is silent makes room
            longest.cancel()  # pyright: ignore[reportAttributeAccessIssue] (place.py made it)
        threading.Thread(target=self._introduce, args=(client,), daemon=True).start()
        return True

    def unregister(self, client: ClientProxy) -> None:
        """Empty the seat of a connection that ended; Flower calls this."""
        super().unregister(client)
        with self._change():
            for seat in self.all_seats.values():
                if seat.connection is client:
                    seat.connection = None
                if seat.coming is client:
                    seat.coming = None

    def present(self) -> list[Seat]:
        """Return the seats that are taken, by client name."""
        return [seat for seat in self.all_seats.values() if seat.connection is not None]

    def expel(self, name: str, reason: str) -> None:
        """Let a client take part no longer."""
        seat = self.all_seats[name]
        with self._change():
            seat.out, proxy, seat.connection = reason, seat.connection, None
        if proxy is not None:
            threading.Thread(target=_refuse, args=(proxy, reason, False), daemon=True).start()

    def ask(
        self,
        question: Callable[[ClientProxy, Seat, float], Any],
        *,
        seconds: float,
        needed: int,
        waiting: Callable[[list[Seat]], None] = lambda seats: None,
    ) -> dict[str, Any]:
        """Ask every client, and once more whoever comes back, until all have answered or no more can come.

        Parameters
        ----------
        question : callable
            Gets the connection, the seat and the seconds that are left; returns the answer. If it raises, the
            exception is the answer; but not where the connection broke: then the client is asked again, as it is a
            few times where this machine's memory or its interpreter has failed.
        seconds : float
            After these nobody is waited for.
        needed : int
            With fewer answers there is nothing to wait for.
        waiting : callable
            Called about once a second with the seats that have not answered yet.

        Returns
        -------
        dict
            Answers by client name, in the order of the names.
        """
        give_up = time.monotonic() + seconds
        answers: dict[str, Any] = {}
        asking: dict[str, ClientProxy] = {}

        def put(seat: Seat, proxy: ClientProxy) -> None:
            for _ in range(READINGS):
                try:
                    # Flower hangs up after these; at the same moment as we do, who is slow would pass for one who has
                    # gone.
                    answer = question(proxy, seat, max(0.0, give_up - time.monotonic()) + LOOK)
                except Exception as error:  # whatever a client has sent: nobody else may suffer from it
                    answer = error
                    if isinstance(error, GrpcBridgeClosed):
                        self._drop(seat, proxy)
                if not isinstance(answer, OUR_OWN):
                    break
                log.warning("this server could not read %s's answer (%s)", seat.name, type(answer).__name__)
            with self._change():
                if not isinstance(answer, GrpcBridgeClosed):
                    answers.setdefault(seat.name, answer)

        while True:
            with self._cv:
                changes = self._changes
                silent = [seat for seat in self.all_seats.values() if seat.name not in answers]
                for seat in silent:
                    if seat.connection is not None and asking.get(seat.name) is not seat.connection:
                        asking[seat.name] = seat.connection
                        threading.Thread(target=put, args=(seat, seat.connection), daemon=True).start()
                expected = [seat for seat in silent if seat.possible and (seat.connection or not seat.missed)]
            left = give_up - time.monotonic()
            if not expected or left <= 0 or len(answers) + len(expected) < needed:
                break
            waiting(expected)
            with self._cv:
                self._cv.wait_for(lambda before=changes: self._changes != before, timeout=min(LOOK, left))
        for seat in silent:
            seat.missed = seat.connection is None
            seat.spared = left > 0 and seat in expected
            if seat.connection is not None and left <= 0:  # too slow; it may come back for the next question
                self._drop(seat, seat.connection)
        with self._cv:
            return {name: answers[name] for name in self.all_seats if name in answers}

    @contextlib.contextmanager
    def _change(self) -> Iterator[None]:
        with self._cv:
            yield
            self._changes += 1
            self._cv.notify_all()

    def _drop(self, seat: Seat, proxy: ClientProxy) -> None:
        """End a connection; its client may dial again."""
        with self._change():
            if seat.connection is proxy:
                seat.connection = None
        _hang_up(proxy)

    def _introduce(self, proxy: ClientProxy) -> None:
        """Seat a new connection if it proves to be an expected client; else say why not and end it."""
        nonce, seat = secrets.token_urlsafe(32), None
        try:
            claims = _properties(proxy, {"nonce": nonce}, INTRODUCTION)
            seat = self._expect(proxy, self.caller(claims, nonce), claims)
            if self.introduction:
                claims = _properties(proxy, self.introduction, PREPARATION)
            self._seat(proxy, seat, claims)
        except updates.BadUpdate as error:  # an agent's owner may not want this run
            self._turned_away(str(error))
            _refuse(proxy, str(error), False)  # it would dial again at once, and decline again
        except IdentityError as error:
            self._turned_away(str(error))
            _refuse(proxy, str(error), error.again)
        except GrpcBridgeClosed:
            if seat is None:
                self._turned_away("it did not say who it is")
            elif not self._over.is_set():
                self._turned_away(f"{seat.name} has gone before its rows were ready")
        except Exception as error:
            log.warning("a connection that made no sense was ended (%s)", type(error).__name__)
            _hang_up(proxy)
        finally:
            with self._change():
                self._proven(proxy)
                if seat is not None and seat.coming is proxy:
                    seat.coming = None

    def _proven(self, proxy: ClientProxy) -> None:
        if proxy in self._unproven:
            self._unproven.remove(proxy)

    def _turned_away(self, why: str) -> None:
        with self._cv:
            known, self._told = self._told, self._told | {why}
        if why not in known:  # a crowd is told of once
            self.tell(events.TurnedAway(why))

    def _expect(self, proxy: ClientProxy, caller: Caller, claims: Mapping[str, Scalar]) -> Seat:
        """Return the seat of a proven client, kept free for it; two processes do not take turns in one."""
        instance = str(claims.get("instance", ""))
        seats = {seat.participant.account: seat for seat in self.all_seats.values()}
        seat = seats.get(caller.account)
        if seat is None:
            raise IdentityError(f"account {caller.account} is not part of this federation")
        expected = seat.participant.role
        if caller.role != expected:
            raise IdentityError(f"role {caller.role} of account {caller.account} is not {expected}, which runs its job")
        if caller.job != seat.participant.job_name:
            raise IdentityError(f"account {caller.account} runs this federation's job under another name")
        if seat.out:
            raise IdentityError(f"{seat.name} takes part no longer: {seat.out}")
        with self._change():
            if (seat.connection or seat.coming) is not None and seat.instance != instance:
                raise IdentityError(f"{seat.name} takes part already", again=True)
            self._proven(proxy)
            before, seat.coming, seat.instance = seat.coming, proxy, instance
        if before is not None:
            _hang_up(before)
        return seat

    def _seat(self, proxy: ClientProxy, seat: Seat, claims: Mapping[str, Scalar]) -> None:
        code, rows = str(claims.get("code", "")), claims.get("rows")
        with self._change():
            if seat.coming is not proxy:  # the same client has dialled once more
                raise GrpcBridgeClosed
            if seat.out:
                raise IdentityError(f"{seat.name} takes part no longer: {seat.out}")
            before, seat.connection, seat.coming = seat.connection, proxy, None
            seat.rows_sha256 = str(claims.get("rows_sha256", ""))[:64]
            seat.missed = seat.ended = False
        if before is not None:
            _hang_up(before)
        code = code if re.fullmatch(r"[0-9a-f]{12}", code) else ""
        table = seat.rows_sha256[:12] if re.fullmatch(r"[0-9a-f]{64}", seat.rows_sha256) else ""
        rows = rows if isinstance(rows, int) and 0 < rows < MOST_ROWS else 0
        self.tell(events.Joined(seat.name, code, rows, _settings(claims), table))

    def _watch(self, seat: Seat) -> None:
        """Ask how a participant stands: one that is over will not come, one that is being stopped is let go.

        A job's script does not hear of that by itself (SageMaker's toolkit hands no signal on), and has 120 s.
        """
        looked = time.monotonic()
        while not self._over.wait(LOOK / 2):
            taken = seat.connection is not None
            if seat.ended or (taken and time.monotonic() - looked < STOP_LOOK * seat.participant.pace):
                continue
            looked = time.monotonic()
            with contextlib.suppress(JobError):  # an account that does not answer is not a job that ended
                phase = seat.participant.status().phase
                if phase is Phase.ENDED:
                    with self._change():
                        seat.ended = seat.connection is None
                elif phase is Phase.STOPPING and taken:
                    self._let_go(seat)

    def _let_go(self, seat: Seat) -> None:
        """Tell a client that its job is being stopped, as soon as it has answered what it was asked."""
        with self._change():
            seat.out, proxy, seat.connection = "its job is being stopped", seat.connection, None
            if proxy is None:
                return
            self._leaving.add(proxy)
        give_up = time.monotonic() + STOP_SECONDS
        while time.monotonic() < give_up:
            try:
                proxy.get_properties(GetPropertiesIns({"stopped": True}), 2.0, 0)
            except ValueError:  # Flower's bridge is busy with the question before
                time.sleep(LOOK / 10)
            except Exception:  # it has gone; that is how it should end
                break
        _hang_up(proxy)
        with self._change():
            self._leaving.discard(proxy)


def _settings(claims: Mapping[str, Scalar]) -> dict[str, str | int]:
    """Return what a client says that it trains with, as far as that can be: nothing is decided by it."""
    told: dict[str, str | int] = {}
    for name, kind in SETTINGS.items():
        value = claims.get(name)
        if (kind is str and isinstance(value, str) and re.fullmatch(r"[a-z0-9-]{1,20}", value)) or (
            kind is int and isinstance(value, int) and 0 <= value < MOST_ROWS
        ):
            told[name] = value
    return told


def _properties(proxy: ClientProxy, asked: Mapping[str, Scalar], seconds: float) -> Mapping[str, Scalar]:
    answer = proxy.get_properties(GetPropertiesIns(dict(asked)), seconds, 0)
    updates.check(answer)
    return answer.properties


def _hang_up(proxy: ClientProxy) -> None:
    with contextlib.suppress(Exception):  # it may be closed already
        proxy.bridge.close()  # pyright: ignore[reportAttributeAccessIssue] (of Flower's gRPC)


def _refuse(proxy: ClientProxy, reason: str, again: bool) -> None:
    with contextlib.suppress(Exception):
        proxy.get_properties(GetPropertiesIns({"refused": reason, "again": again}), 2.0, 0)
    _hang_up(proxy)


def _dismiss(proxy: ClientProxy) -> None:
    give_up = time.monotonic() + FAREWELL
    while time.monotonic() < give_up:
        try:
            proxy.reconnect(ReconnectIns(seconds=None), timeout=3.0, group_id=None)
        except ValueError:  # Flower's bridge is busy with the question before
            time.sleep(0.05)
            continue
        except Exception:
            log.debug("a connection had gone before the good-bye")
        break
    _hang_up(proxy)


def names(seats: Iterable[Seat]) -> tuple[str, ...]:
    """Return the clients' names, sorted."""
    return tuple(sorted(seat.name for seat in seats))
