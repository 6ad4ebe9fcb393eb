"""Clusters of all accounts, and what belongs to each; ``told`` is what the API says of a thing.

Every operation works under one lock: a cluster is not deleted while somebody adds a node group to it.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from embedded_aws.services.eks.errors import in_use, not_found

Told = dict[str, Any]
lock = threading.RLock()


@dataclass
class Nodegroup:
    """Machines of a cluster: each has a network interface and is a Node in the cluster's store."""

    told: Told
    nodes: dict[str, str] = field(default_factory=dict)  # name of the node -> its network interface


@dataclass
class Entry:
    """Who may use the cluster's API: a principal, its name and groups there, and the policies of EKS that it has."""

    told: Told
    unique_id: str  # IAM's, of the principal: whoever is made later under its name is somebody else
    policies: dict[str, Told] = field(default_factory=dict)


@dataclass
class Cluster:
    """One cluster, and all that is made in it.

    Parameters
    ----------
    told : dict
        As DescribeCluster tells it.
    creator : str
        ARN of the user or role that has made it.
    engine : Engine
        Its API server, from when it is ACTIVE.
    authenticators : list of callable
        Each returns the user that a bearer token means that is none of EKS, such as a service account's, or None.
    """

    account: str
    region: str
    told: Told
    creator: str
    engine: Any = None
    authenticators: list[Callable[[str], Any]] = field(default_factory=list)
    interfaces: list[str] = field(default_factory=list)
    pods: dict[str, str] = field(default_factory=dict)  # network interfaces by the pod's uid
    running: Any = None  # its controllers and its kubelet
    nodegroups: dict[str, Nodegroup] = field(default_factory=dict)
    addons: dict[str, Told] = field(default_factory=dict)
    entries: dict[str, Entry] = field(default_factory=dict)
    associations: dict[str, Told] = field(default_factory=dict)
    updates: dict[str, Told] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Its name, one of its account's and region's."""
        return self.told["name"]

    @property
    def arn(self) -> str:
        """Its ARN."""
        return self.told["arn"]

    @property
    def group(self) -> str:
        """The security group that EKS has made for it."""
        return self.told["resourcesVpcConfig"]["clusterSecurityGroupId"]

    def new_arn(self, kind: str, *path: str) -> str:
        """Make an ARN of something in this cluster."""
        return f"arn:aws:eks:{self.region}:{self.account}:{kind}/{'/'.join((self.name, *path))}"

    def things(self) -> Iterator[Told]:
        """Yield the cluster and everything in it that has tags."""
        yield self.told
        yield from (group.told for group in self.nodegroups.values())
        yield from self.addons.values()
        yield from (entry.told for entry in self.entries.values())
        yield from self.associations.values()


_ARNS = ("arn", "nodegroupArn", "addonArn", "accessEntryArn", "associationArn")
_clusters: dict[tuple[str, str, str], Cluster] = {}


def add(cluster: Cluster) -> None:
    """Add a cluster.

    Raises
    ------
    EksError
        If there is one of this name.
    """
    key = (cluster.account, cluster.region, cluster.name)
    if key in _clusters:
        raise in_use(f"Cluster already exists with name: {cluster.name}")
    _clusters[key] = cluster


def remove(cluster: Cluster) -> None:
    """Forget a cluster."""
    _clusters.pop((cluster.account, cluster.region, cluster.name), None)


def look(account: str, region: str, name: str) -> Cluster | None:
    """Return a cluster, or None."""
    return _clusters.get((account, region, name))


def find(account: str, region: str, name: str) -> Cluster:
    """Return a cluster.

    Raises
    ------
    EksError
        If there is none of that name.
    """
    cluster = look(account, region, name)
    if cluster is None:
        raise not_found(f"No cluster found for name: {name}.")
    return cluster


def usable(account: str, region: str, name: str) -> Cluster:
    """Return a cluster to which something can be added now.

    Raises
    ------
    EksError
        If it is not there, or being made, changed or deleted.
    """
    cluster = find(account, region, name)
    if cluster.told["status"] != "ACTIVE":
        raise in_use(f"Cluster status is not active: {name} is {cluster.told['status']}")
    return cluster


def of_account(account: str, region: str) -> list[Cluster]:
    """Return the clusters of an account in a region, by name."""
    mine = [cluster for key, cluster in _clusters.items() if key[:2] == (account, region)]
    return sorted(mine, key=lambda cluster: cluster.name)


def everything() -> list[Cluster]:
    """Return all clusters."""
    return list(_clusters.values())


def tagged(account: str, region: str, arn: str) -> Told | None:
    """Return what an ARN means, or None."""
    for cluster in of_account(account, region):
        for thing in cluster.things():
            if arn in (thing.get(name) for name in _ARNS):
                return thing
    return None


def now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


def new_id() -> str:
    """Make up the last part of an ARN, as EKS does."""
    digits = secrets.token_hex(16)
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
