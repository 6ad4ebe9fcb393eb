"""Settings of a federation: rounds, strategy, quorum, deadlines."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from workshop.errors import FederationError
from workshop.federation import strategy as strategies
from workshop.federation.updates import Rules


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

    def checked(self, clients: int) -> Settled:
        """Return these terms with their defaults for a number of clients filled in.

        Raises
        ------
        FederationError
            If they cannot be kept.
        """
        start_with = clients if self.start_with is None else self.start_with
        quorum = clients // 2 + 1 if self.quorum is None else self.quorum
        if not isinstance(self.rounds, int) or self.rounds < 1:
            raise FederationError(
                f"ROUNDS is {self.rounds!r}; a federation needs a whole number of rounds, at least one"
            )
        for name, seconds in (("JOIN_DEADLINE", self.join), ("ROUND_DEADLINE", self.round), ("DEADLINE", self.whole)):
            if not isinstance(seconds, (int, float)) or not 0 < seconds < math.inf:
                raise FederationError(f"{name} is {seconds!r}; it must be a number of seconds above 0")
        if not 1 <= quorum <= start_with <= clients:
            raise FederationError(
                f"QUORUM is {quorum} and START_WITH {start_with}, with {clients} clients: choose 1 <= QUORUM <= "
                "START_WITH <= the number of clients"
            )
        strategies.check(self.strategy, answers=quorum, hostile=self.hostile)
        settled: dict[str, Any] = vars(self) | {"start_with": start_with, "quorum": quorum}
        return Settled(**settled)


@dataclass(frozen=True)
class Settled(Terms):
    """Terms that were checked, with nothing left open."""

    start_with: int = 1
    quorum: int = 1
