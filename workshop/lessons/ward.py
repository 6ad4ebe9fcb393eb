"""Runs that are disturbed on the way, for the lesson on clusters: pods killed, nodes drained, policies taken away.

What happens in a round happens in a pod, far from the notebook: it is told of over the pod's log, and acts a moment
later. So these runs have many short rounds, and what is done in the middle of one hits whichever round is on.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import boto3

from workshop.clusters import launch, manifests
from workshop.clusters.agents import Agent
from workshop.clusters.spec import RunSpec
from workshop.federation import events, words
from workshop.federation.server import FederationResult

AGENT, RUN = "app.kubernetes.io/name=agent", "app.kubernetes.io/name=run"
DEADLINE = 180.0  # seconds for a run with all that happens to it


@dataclass(frozen=True)
class Outcome:
    """A run that was disturbed: what it brought, and what it said on the way."""

    result: FederationResult

    @property
    def notes(self) -> tuple[str, ...]:
        """What somebody should hear of, in words."""
        return words.notes(self.result.events)

    @property
    def line(self) -> dict[str, Any]:
        """What a table says of it: rounds, who was in the last one, and what the model is worth."""
        last = self.result.history[-1]
        return {"rounds": last.round, "hospitals in the last one": last.clients, "ROC AUC": round(last.roc_auc, 3)}

    @property
    def model(self) -> bytes:
        """The model's bytes: equal for models that are equal bit by bit."""
        return b"".join(array.tobytes() for array in (*self.result.parameters, *self.result.scaler))


class Ward:
    """The hospitals' agents, and runs that are disturbed.

    Parameters
    ----------
    connection : dict
        What notebook 02 wrote down.
    launcher : boto3.Session
        With which runs are started.
    api : ApiClient
        Of the server's cluster, for the launcher.
    training : dict
        ``max_iter``, ``penalty``, ``seed``.
    """

    def __init__(self, connection: dict[str, Any], launcher: boto3.Session, api: Any, *, training: dict) -> None:
        self.connection, self.launcher, self.api, self.training = connection, launcher, api, training
        self.agents = [Agent(**entry) for entry in connection["agents"]]

    def lead(
        self,
        *,
        after: int = 2,
        do: Callable[[], object] | None = None,
        invited: Sequence[str] = (),
        **terms: Any,
    ) -> Outcome:
        """Start a run and follow it; do something as soon as a round is seen to be done.

        Parameters
        ----------
        after : int
            That round.
        invited : sequence of str
            Names of agents; by default all.

        Raises
        ------
        FederationError
            If the run ends early.
        """
        known = self.connection
        agents = tuple(agent for agent in self.agents if not invited or agent.name in invited)
        spec = RunSpec(
            launch.new_id(), known["server_host"], known["server_port"], known["server_bucket"], agents,
            self.training, terms,
        )  # fmt: skip
        acting: list[threading.Thread] = []

        def sink(event: events.Event) -> None:
            if do and not acting and isinstance(event, events.RoundFinished) and event.round >= after:
                acting.append(threading.Thread(target=do))
                acting[0].start()

        launched = launch.start(self.api, spec, image=known["image"])
        launched.follow([sink], deadline=DEADLINE)
        for thread in acting:
            thread.join()
        outcome = Outcome(launched.result(self.launcher))
        launched.delete()
        return outcome

    def kill_agent(self, name: str) -> None:
        """Kill the pod of a hospital's agent, without a word."""
        _kill(name, AGENT)

    def kill_run(self) -> None:
        """Kill the pod of the run, without a word."""
        _kill("server", RUN)

    def drain(self, name: str, *, seconds: float) -> None:
        """Drain a hospital's node as its owner would before an upgrade, and let pods in again some seconds later."""
        (node,) = nodes(name)
        manifests.kubectl(name, ["drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=60s"])
        threading.Event().wait(seconds)
        manifests.kubectl(name, ["uncordon", node])

    def without_policy(self, name: str, folder: Any) -> WithoutPolicy:
        """Return a block in which a hospital's policy that lets its agent out is taken away."""
        return WithoutPolicy(name, folder)


class WithoutPolicy:
    """While it lasts, a hospital's agent is not let out to the server: the policy that did is deleted."""

    def __init__(self, name: str, folder: Any) -> None:
        self.name, self.folder = name, folder

    def __enter__(self) -> None:
        manifests.kubectl(self.name, ["delete", "networkpolicy", "agent"])
        # Connections that stand are let be, by AWS too: the agent has to dial anew.
        _kill(self.name, AGENT)
        manifests.kubectl(self.name, ["rollout", "status", "deployment/agent", "--timeout=60s"])

    def __exit__(self, *_: object) -> None:
        manifests.apply(self.name, self.folder)


def nodes(name: str) -> list[str]:
    """Return the names of the nodes in an account's cluster."""
    listed = json.loads(manifests.kubectl(name, ["get", "nodes", "-o", "json"]))
    return [node["metadata"]["name"] for node in listed["items"]]


def _kill(account: str, selector: str) -> None:
    manifests.kubectl(
        account, ["delete", "pods", "--selector", selector, "--grace-period=0", "--force", "--wait=false"]
    )
