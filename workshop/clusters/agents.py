"""Agents as participants: the server knows them by name, account and role, and cannot see into their clusters."""

from __future__ import annotations

from dataclasses import dataclass

from workshop.federation.participants import Phase, Status


@dataclass(frozen=True)
class Agent:
    """Participant whose client is a long-lived agent in a cluster of its owner's.

    Attributes
    ----------
    name, account : str
        The client's name and account.
    role : str
        Name of the role that the agent's pod has by Pod Identity.
    """

    name: str
    account: str
    role: str

    pace = 60.0  # seconds between two looks: there is nothing to see

    @property
    def job_name(self) -> str:
        """What the agent's proof names."""
        return f"agent-{self.name}"

    def status(self) -> Status:
        """Say what the server can know: an agent stays, and only its owner sees how it stands."""
        return Status(Phase.RUNNING, "an agent; its owner sees how it stands: kubectl -n federation get pods")

    def stop(self) -> None:
        """Do nothing: an agent is its owner's; when the run is over it waits for the next."""
