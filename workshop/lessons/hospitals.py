"""Rehearsal of the hospitals' notebooks without notebooks: clusters, agents, runs; for the benchmark and the tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import boto3

from data_prep import prepare, sources
from workshop import problems, state
from workshop.aws import accounts, cleanup, deployment, uploads
from workshop.aws.choices import Choices
from workshop.aws.members import Members
from workshop.clusters import access, connect, emptying, launch, manifests
from workshop.clusters.access import Cluster
from workshop.clusters.agents import Agent
from workshop.clusters.spec import RunSpec
from workshop.federation.events import Sink
from workshop.federation.server import FederationResult

TRAINING = {"max_iter": 10, "penalty": "l2", "seed": 0}


@dataclass(frozen=True)
class Hospitals:
    """Clusters that are connected, with an agent in each client's."""

    sessions: dict[str, boto3.Session]
    members: Members
    clusters: dict[str, Cluster]
    images: dict[str, str]
    connection: dict[str, Any]

    @cached_property
    def launcher(self) -> boto3.Session:
        """The session with which runs are started."""
        return accounts.notebook_session(self.connection["launcher_role"])

    @cached_property
    def api(self) -> Any:
        """The API of the server's cluster, for whoever starts runs."""
        return access.api(self.launcher, self.clusters["server"])

    def spec(
        self, *, run: str = "", invited: Sequence[str] = (), training: dict | None = None, **terms: Any
    ) -> RunSpec:
        """Return the terms of a run."""
        known = self.connection
        agents = [Agent(**entry) for entry in known["agents"]]
        return RunSpec(
            run or launch.new_id(), known["server_host"], known["server_port"], known["server_bucket"],
            tuple(agent for agent in agents if not invited or agent.name in invited), training or TRAINING, terms,
        )  # fmt: skip

    def start(self, spec: RunSpec, *, change: Callable[[dict], object] = lambda job: None) -> launch.Launched:
        """Start a run."""
        return launch.start(self.api, spec, image=self.connection["image"], change=change)

    def run(self, *, sinks: Sequence[Sink] = (), deadline: float = 120.0, **settings: Any) -> FederationResult:
        """Start a run and follow it to its end; return what it has brought."""
        launched = self.start(self.spec(**settings))
        launched.follow(sinks, deadline=deadline)
        result = launched.result(self.launcher)
        launched.delete()
        return result


def connect_hospitals(*, n_clients: int = 4, data: str = "synthetic", seed: int = 0, how: str = "iid") -> Hospitals:
    """Prepare the rows, deploy every account's stacks, push images, bring the agents up."""
    state.save(target={"name": "embedded", "clients": n_clients})
    problem = problems.load()
    table = sources.load(data, problem, seed=seed, cache=state.home() / "cache")
    folder = state.home() / "data"
    prepared = prepare.prepare(table, n_clients=n_clients, how=how, balance="smote", seed=seed, folder=folder)
    state.save(data=prepared.record(), accounts={})
    sessions = {name: accounts.session(name) for name in ["server", *accounts.client_names(n_clients)]}
    members = deployment.meet(sessions, network="10.80.0.0/16", choices=Choices(platform="kubernetes"))
    deployment.deploy(members)
    for name, session in sessions.items():
        uploads.upload(name, session, members.outputs[name]["fl-storage"]["Bucket"])
    uploads.publish(sessions["server"], members.outputs["server"]["fl-storage"]["Bucket"])
    images, clusters = connect.push(sessions, members), connect.find(sessions)
    host, authority = connect.open_server(members)
    connect.start_agents(
        {
            name: connect.agent_values(members, name, host=host, authority=authority, image=images[name])
            for name in members.clients
        }
    )
    known = connect.connection_data(members, host=host, image=images["server"], instance=accounts.instance())
    state.save(accounts=known)
    return Hospitals(sessions, members, clusters, images, known)


def clean_up(hospitals: Hospitals) -> None:
    """Delete all of it again."""
    emptying.empty(hospitals.sessions)
    cleanup.delete_all(hospitals.sessions)
    manifests.kubeconfig().unlink(missing_ok=True)
