"""The server's side of a federation: who may join, what is averaged, what is waited for, what is kept."""

from workshop.federation.identity import Verifier
from workshop.federation.place import Place, place
from workshop.federation.runs import Run, open_run
from workshop.federation.server import FederationResult, record, roll_call, run
from workshop.federation.terms import Terms
from workshop.federation.words import narrate

__all__ = [
    "FederationResult",
    "Place",
    "Run",
    "Terms",
    "Verifier",
    "narrate",
    "open_run",
    "place",
    "record",
    "roll_call",
    "run",
]
