"""The members of a federation, as those see it who deploy: sessions at hand, what is agreed on, outputs so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import boto3

from workshop.aws.agreement import Agreement
from workshop.aws.choices import Choices

Outputs = dict[str, str]


@dataclass
class Members:
    """The accounts at hand, what is agreed on, and the outputs of every stack so far.

    Parameters
    ----------
    sessions : mapping
        By account name. Not everybody has them all: of the other accounts ``outputs`` must hold what they told.
    outputs : dict
        ``outputs[account][stack]``: what the stacks gave back.
    choices : Choices
        What the owner of the accounts at hand has chosen for them.
    """

    sessions: Mapping[str, boto3.Session]
    agreed: Agreement
    outputs: dict[str, dict[str, Outputs]]
    choices: Choices = field(default_factory=Choices)

    @property
    def ids(self) -> Mapping[str, str]:
        """The account id of every member, at hand or not; the server first."""
        return self.agreed.ids

    @property
    def clients(self) -> list[str]:
        """The clients' names."""
        return [name for name in self.ids if name != "server"]
