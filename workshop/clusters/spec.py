"""Terms of a run as they travel to its pod, in a ConfigMap: who is invited, how to train, how long, where to listen."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from workshop.clusters.agents import Agent
from workshop.errors import FederationError
from workshop.federation.terms import Terms

RUN = re.compile(r"[a-z0-9]{4,32}")
_TERMS = ("rounds", "strategy", "hostile", "start_with", "quorum", "join", "round", "whole", "exclusions")


@dataclass(frozen=True)
class RunSpec:
    """A run; without rounds it is a roll call.

    Attributes
    ----------
    run : str
        Its id; checkpoints are kept under it, so a run of the same id carries on.
    host, port
        What agents dial; the server's certificate is made for ``host``.
    bucket : str
        The server's: test rows come from it, checkpoints and result go there.
    participants : tuple of Agent
        Who may take part.
    training : mapping
        ``max_iter``, ``penalty``, ``seed``.
    terms : mapping
        Fields of ``federation.Terms``; what is missing has its default.
    """

    run: str
    host: str
    port: int
    bucket: str
    participants: tuple[Agent, ...]
    training: Mapping[str, Any] = field(default_factory=dict)
    terms: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not RUN.fullmatch(self.run):
            raise FederationError(f"a run's id has 4 to 32 small letters and digits, {self.run!r} has not")
        if unknown := sorted(self.terms.keys() - set(_TERMS)):
            raise FederationError(f"{unknown[0]} is no term of a run; there are {', '.join(_TERMS)}")
        if not self.participants:
            raise FederationError("nobody is invited to this run")

    @property
    def rounds(self) -> int:
        """How many; 0 for a roll call."""
        return self.terms.get("rounds", Terms.rounds)

    def agreed(self) -> Terms:
        """Return the terms of the federation."""
        return Terms(**self.terms)

    def dumps(self) -> str:
        """Write it as JSON."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def loads(cls, text: str) -> RunSpec:
        """Read what :meth:`dumps` has written.

        Raises
        ------
        FederationError
            If it is something else.
        """
        try:
            known = json.loads(text)
            return cls(**{**known, "participants": tuple(Agent(**each) for each in known["participants"])})
        except (ValueError, TypeError, KeyError) as error:
            raise FederationError(f"the terms of this run cannot be read: {error}") from error
