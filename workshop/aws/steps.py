"""Steps of a deployment: one template each; where it stands, what its parameters are, what it costs and leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from workshop.aws.choices import Choices
from workshop.aws.members import Members

EVERY, SERVER, CLIENT, PER_CLIENT = "every account", "server", "every client", "server, once per client"
SERVER_OR_ALL = "server; others who choose all endpoints"


@dataclass(frozen=True)
class Output:
    """An output of a stack: of the same account (``own``), of the server, or of the client that a stack is about."""

    whose: str
    template: str
    name: str

    def __str__(self) -> str:
        owner = {"own": "own", "server": "the server's", "client": "the client's"}[self.whose]
        return f"{self.name} of {owner} {self.template}"


@dataclass(frozen=True)
class Agreed:
    """Something the owners agreed on, or that an account knows of itself: how it is called, and how it is found."""

    says: str
    value: Callable[[Members, Placement], str]

    def __str__(self) -> str:
        return self.says


@dataclass(frozen=True)
class Cost:
    """What stands or runs, the minutes that it takes to make, and US dollars an hour."""

    what: str
    minutes: int
    hourly: float = 0.0


@dataclass(frozen=True)
class Step:
    """One template; a parameter that is not among ``takes`` keeps its default.

    Attributes
    ----------
    where : str
        ``EVERY``, ``SERVER``, ``CLIENT``, ``PER_CLIENT`` or ``SERVER_OR_ALL``.
    takes : mapping
        Where each parameter comes from.
    stands : callable
        What it costs while it stands, by the owner's choices.
    runs : mapping
        What costs more while it runs, by name, each like ``stands``.
    leaves : str
        What is still there when the stack is deleted.
    """

    template: str
    where: str
    stands: Callable[[Choices], Cost]
    takes: Mapping[str, Output | Agreed] = field(default_factory=dict)
    runs: Mapping[str, Callable[[Choices], Cost]] = field(default_factory=dict)
    leaves: str = ""


@dataclass(frozen=True)
class Placement:
    """One stack to be: a step in an account, and for a peering the client it is about."""

    step: Step
    account: str
    peer: str = ""


@dataclass(frozen=True)
class Blueprint:
    """All steps, in the order in which they can be taken."""

    steps: tuple[Step, ...]

    def __iter__(self) -> Iterator[Step]:
        return iter(self.steps)

    def only(self, templates: Iterable[str]) -> list[Step]:
        """Return the steps of some templates, in the blueprint's order."""
        wanted = set(templates)
        return [step for step in self.steps if step.template in wanted]

    def placements(self, members: Members) -> list[Placement]:
        """Return every stack to be in the accounts at hand."""
        return [place for step in self.steps for place in at_hand(step, members)]


def placements(step: Step, names: Sequence[str], *, all_endpoints: bool = False) -> Iterator[Placement]:
    """Yield the stacks that a step makes in a federation of these accounts.

    Parameters
    ----------
    all_endpoints : bool
        Whether every owner wants interface endpoints for every service.

    >>> step = Step("storage", EVERY, lambda choices: Cost("bucket", 1))
    >>> [place.account for place in placements(step, ["server", "client-1"])]
    ['server', 'client-1']
    """
    clients = [name for name in names if name != "server"]
    if step.where in (EVERY, SERVER, SERVER_OR_ALL) and "server" in names:
        yield Placement(step, "server")
    if step.where in (EVERY, CLIENT) or (step.where == SERVER_OR_ALL and all_endpoints):
        yield from (Placement(step, name) for name in clients)
    if step.where == PER_CLIENT:
        yield from (Placement(step, "server", peer=name) for name in clients)


def at_hand(step: Step, members: Members) -> list[Placement]:
    """Return the stacks of a step in the accounts whose sessions are at hand."""
    places = placements(step, list(members.ids), all_endpoints=members.choices.endpoints == "all")
    return [place for place in places if place.account in members.sessions]
