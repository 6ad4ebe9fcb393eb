"""What runs in a cluster: its controllers, its kubelet, and what keeps the VPC as its policies and Services say."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

from embedded_aws.kubernetes import netpol
from embedded_aws.kubernetes.cluster import Cluster as Engine
from embedded_aws.kubernetes.controllers.desk import Desk
from embedded_aws.kubernetes.controllers.manager import CONTROLLERS, Manager
from embedded_aws.kubernetes.kinds import named
from embedded_aws.kubernetes.kubelet.kubelet import Kubelet
from embedded_aws.services.eks import addons, balancers, places
from embedded_aws.services.eks.hosting import NodeHost
from embedded_aws.services.eks.state import Cluster

POD = named("Pod")


class Running:
    """The controllers and the kubelet of one cluster.

    Parameters
    ----------
    cluster : Cluster
    engine : Engine
        Its API server and store.
    folder : Path
        For images of all clusters, and pods of this one.
    """

    def __init__(self, cluster: Cluster, engine: Engine, folder: Path) -> None:
        desk = Desk(engine.store, engine.api)
        self.kubelet = Kubelet(
            desk, NodeHost(cluster, folder / "images"), folder / "pods" / cluster.account / cluster.name
        )
        engine.api.logs = self.kubelet.logs
        self.manager = Manager(desk, (*CONTROLLERS, partial(keep_network, cluster)))
        self.kubelet.start()
        self.manager.start()

    def close(self) -> None:
        """End all pods, then the controllers."""
        self.manager.close()
        self.kubelet.close()


def keep_network(cluster: Cluster, desk: Desk) -> None:
    """Have NetworkPolicies and load balancers take effect."""
    enforced = enforces_policies(cluster)
    network = places.setting[0].network
    for pod in desk.store.list(POD):
        if eni := cluster.pods.get(pod["metadata"]["uid"]):
            if enforced:
                network.isolations[eni] = netpol.isolation(desk.store, pod)
            else:
                network.isolations.pop(eni, None)
    balancers.reconcile(cluster, desk)


def enforces_policies(cluster: Cluster) -> bool:
    """Tell whether the add-on for the network is there and enforces NetworkPolicies, which it does not by itself.

    Source: AWS, EKS user guide, "Limit Pod traffic with Kubernetes network policies".
    """
    addon = cluster.addons.get("vpc-cni")
    try:
        values = json.loads(addon.get("configurationValues") or "{}") if addon else {}
    except ValueError:
        return False
    return addons.is_active(cluster, "vpc-cni") and str(values.get("enableNetworkPolicy")).lower() == "true"
