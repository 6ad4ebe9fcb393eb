"""A first run under way: the two accounts, the report, and how it waits."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from botocore.client import BaseClient

from workshop.aws import accounts, blueprint, deployment, jobs
from workshop.aws.members import Members
from workshop.aws.pace import pauses
from workshop.errors import StackError
from workshop.first_run import flows
from workshop.first_run.report import Report

CLIENT = "client-1"


@dataclass
class Run:
    """A first run under way."""

    members: Members
    report: Report
    say: Callable[[str], None]
    interfaces: dict[str, dict[str, flows.Interface]] = field(default_factory=dict)  # by account; also those that went
    job: jobs.TrainingJob | None = None
    ended: float = 0.0  # when SageMaker said that the job had ended, in seconds since 1970; 0 before
    interface_seen: float | None = None  # seconds from then on during which its interface was still there

    @property
    def here(self) -> bool:
        """Whether this is the embedded AWS."""
        return accounts.target() == "embedded"

    def client(self, name: str, service: str) -> BaseClient:
        """Return a client of one of the accounts."""
        return self.members.sessions[name].client(service)

    def deploy(self, *templates: str) -> float:
        """Deploy some of the blueprint's stacks in both accounts; return the seconds that this took."""
        began = time.monotonic()
        deployment.deploy(
            self.members,
            blueprint.SAGEMAKER.only(templates),
            progress=lambda place, status, done, of: (
                None
                if status.endswith("_IN_PROGRESS")
                else self.say(f"{place.account} {place.step.template}: {status}")
            ),
        )
        return time.monotonic() - began

    def look(self) -> None:
        """Remember the network interfaces that there are now."""
        for name in self.members.sessions:
            if network := self.members.outputs[name].get("fl-network"):
                interfaces = flows.interfaces(self.client(name, "ec2"), network["VpcId"])
                self.interfaces.setdefault(name, {}).update(interfaces)


def minutes(seconds: float) -> str:
    """Return seconds in words: as such, or in minutes where they are many."""
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.1f} min"


def until(
    ask: Callable[[], str], enough: Callable[[str], bool], *, seconds: float, what: str, say: Callable[[str], None]
) -> str:
    """Ask until an answer is enough, and return it; say every now and then how it stands.

    Raises
    ------
    StackError
        If that takes longer than ``seconds``.
    """
    began = time.monotonic()
    for pause in pauses(most=10.0):
        answer = ask()
        if enough(answer):
            return answer
        waited = time.monotonic() - began
        if waited > seconds:
            raise StackError(f"waited {waited / 60:.0f} min for {what}, it is {answer or 'not there'}")
        if pause >= 10:
            say(f"waiting for {what}: {answer or 'not there'} ({waited / 60:.0f} of at most {seconds / 60:.0f} min)")
        time.sleep(pause)
    raise AssertionError("pauses never end")
