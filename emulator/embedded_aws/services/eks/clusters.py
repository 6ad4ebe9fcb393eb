"""API servers of clusters: the one module that knows ``embedded_aws.kubernetes``, imported with the first cluster."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from embedded_aws.services.eks import places, tokens
from embedded_aws.services.eks.certificates import authority
from embedded_aws.services.eks.policies import Grant, rules_of
from embedded_aws.services.eks.state import Cluster

Authenticate = Callable[[str], Any]


class Engine(Protocol):
    """What EKS needs of a cluster's API server."""

    store: Any
    api: Any
    version: str

    def start(self) -> None:
        """Begin to run the controllers."""
        ...

    def serve(self, context: ssl.SSLContext, *, at: socket.socket | None = None) -> int:
        """Serve the API on loopback, or at a socket that listens; return the port."""
        ...

    def close(self) -> None:
        """End everything."""
        ...


def _engine(name: str, *, version: str, authenticate: Authenticate) -> Engine:
    from embedded_aws.kubernetes.cluster import Cluster as Kubernetes

    return Kubernetes(name, version=version, authenticate=authenticate)


def _running(cluster: Cluster, engine: Engine) -> Any:
    from embedded_aws.services.eks.running import Running

    return Running(cluster, engine, places.setting[0].jobs.parent / "clusters")


def _user(name: str, groups: Sequence[str], rules: Sequence[Grant]) -> Any:
    from embedded_aws.kubernetes.rbac import Rule, User

    own = [
        Rule(grant.verbs, grant.groups, grant.resources, paths=grant.urls, namespaces=grant.namespaces)
        for grant in rules
    ]
    return User(name, tuple(groups), tuple(own))


# Tests put a stand-in here.
make_engine: Callable[..., Engine] = _engine
make_running: Callable[[Cluster, Any], Any] = _running
make_user: Callable[[str, Sequence[str], Sequence[Grant]], Any] = _user


def start(cluster: Cluster) -> None:
    """Run a cluster's API server; DescribeCluster tells where it is and which CA speaks for it."""
    trust = authority()
    engine = make_engine(
        cluster.name, version=cluster.told["version"], authenticate=lambda token: authenticate(cluster, token)
    )
    engine.start()
    port = engine.serve(trust.context)
    for listener in places.setting[0].network.listeners(port):
        engine.serve(trust.context, at=listener)
    cluster.engine = engine
    cluster.running = make_running(cluster, engine)
    cluster.told["endpoint"] = f"https://127.0.0.1:{port}"
    cluster.told["certificateAuthority"] = {"data": trust.data}


def authenticate(cluster: Cluster, token: str) -> Any:
    """Return the user that a bearer token means; None for nobody, which the API answers with 401."""
    identity = tokens.identify(cluster, token)
    if identity is None:
        return next(filter(None, (other(token) for other in cluster.authenticators)), None)
    return make_user(identity.username, identity.groups, rules_of(identity.policies))


def stop(cluster: Cluster) -> None:
    """End a cluster's API server."""
    if cluster.running is not None:
        cluster.running.close()
        cluster.running = None
    if cluster.engine is not None:
        cluster.engine.close()
        cluster.engine = None


def upgrade(cluster: Cluster, version: str) -> None:
    """Have a cluster's API server speak another version; its objects stay."""
    if cluster.engine is not None:
        cluster.engine.version = cluster.engine.api.version = version


def add_node(cluster: Cluster, node: Mapping[str, Any]) -> None:
    """Put a Node into a cluster that runs."""
    cluster.engine.store.create(node)


def drop_node(cluster: Cluster, name: str) -> None:
    """Take a Node out of a cluster, if both are there."""
    if cluster.engine is not None and cluster.engine.store.find(_node_kind(), "", name) is not None:
        cluster.engine.store.remove(_node_kind(), "", name)


def change_node(cluster: Cluster, name: str, how: Callable[[dict[str, Any]], None]) -> None:
    """Change a Node of a cluster that runs, if it is there."""
    if cluster.engine is not None:
        cluster.engine.store.change(_node_kind(), "", name, how)


def _node_kind() -> Any:
    from embedded_aws.kubernetes.kinds import named

    return named("Node")
