"""What pods of a cluster get of AWS: images with the node's role, credentials by Pod Identity, a place in the VPC.

A pod has a network interface of its own beside its node's, in the same subnet and groups; on AWS it has an address of
its node's interface. That is the same to everybody who connects.
"""

from __future__ import annotations

import json
import logging
import tarfile
import threading
from functools import partial
from pathlib import Path
from typing import Any

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import ec2_backends

from embedded_aws import names
from embedded_aws.kubernetes.kubelet.host import Attachment, Identity, Image, NoNetwork, PullError
from embedded_aws.services.ec2 import interfaces
from embedded_aws.services.ecr import pulls
from embedded_aws.services.eks import nodes, places, pod_identities
from embedded_aws.services.eks.state import Cluster

NOTE = "EKS pod {}/{} in {}"
TOKEN = "eks-pod-identity-token"  # noqa: S105 - the name of its file
_unpacking = threading.Lock()
log = logging.getLogger(__name__)


class NodeHost:
    """The nodes of one cluster, as its kubelet sees AWS.

    Parameters
    ----------
    cluster : Cluster
    images : Path
        Where images are unpacked, for all clusters.
    """

    def __init__(self, cluster: Cluster, images: Path) -> None:
        self.cluster, self.images = cluster, images

    def pull(self, reference: str, pod: dict[str, Any]) -> Image:
        """Pull an image with the role of the pod's node; see ``Host``."""
        node = pod["spec"]["nodeName"]
        role, eni = nodes.role_of(self.cluster, node), nodes.interface_of(self.cluster, node)
        if role is None or eni is None:
            raise PullError(f"node {node} is gone")
        try:
            pulled = pulls.pull(reference, role, why_not=partial(places.service_not_reached, self.cluster, eni))
            settings = json.loads(pulled.config.read_text()).get("config", {})
            root = self._unpacked(pulled)
        except (pulls.PullError, OSError, ValueError, tarfile.TarError) as error:
            raise PullError(str(error)) from error
        return Image(
            root, pulled.digest, dict(entry.partition("=")[::2] for entry in settings.get("Env") or ()),
            tuple(settings.get("Entrypoint") or ()), tuple(settings.get("Cmd") or ()),
            settings.get("WorkingDir") or "/",
        )  # fmt: skip

    def _unpacked(self, pulled: pulls.Pulled) -> Path:
        root = self.images / pulled.digest.replace(":", "-")
        with _unpacking:
            if not root.is_dir():
                draft = root.with_suffix(".draft")
                for layer in pulled.layers:
                    with tarfile.open(layer) as archive:
                        archive.extractall(draft, filter="data")
                draft.mkdir(parents=True, exist_ok=True)
                draft.rename(root)
        return root

    def identify(self, pod: dict[str, Any]) -> Identity:
        """Give a pod whose service account has an association what it needs to ask for its role's credentials."""
        from embedded_aws.services.eksauth import agent

        metadata, account = pod["metadata"], pod["spec"].get("serviceAccountName", "default")
        region = dict.fromkeys(("AWS_REGION", "AWS_DEFAULT_REGION"), self.cluster.region)
        world = {
            "AWS_ENDPOINT_URL": places.setting[0].endpoint, "AWS_EC2_METADATA_DISABLED": "true",
            # A question to STS that another pod has signed is passed on from here: by its key it would be taken for one
            # that comes from there. So nobody looks whether a pod has a way to STS.
            "AWS_ENDPOINT_URL_STS": places.setting[0].endpoint.replace(names.IN_A_VPC, names.OUTSIDE),
        }  # fmt: skip
        if pod_identities.of(self.cluster, metadata["namespace"], account) is None:
            return Identity(world)
        token = agent.issue_token(
            self.cluster, metadata["namespace"], account, metadata["name"], metadata["uid"],
            node=pod["spec"]["nodeName"],
        )  # fmt: skip
        environment = agent.environment(f"{{files}}/{TOKEN}")
        return Identity(world | region | environment, {TOKEN: token}, lambda: agent.withdraw_token(token))

    def attach(self, pod: dict[str, Any]) -> Attachment:
        """Give a pod its network interface; see ``Host``."""
        metadata, node = pod["metadata"], pod["spec"]["nodeName"]
        eni = nodes.interface_of(self.cluster, node)
        network: Any = ec2_backends[self.cluster.account][self.cluster.region]
        if eni not in network.enis:
            raise NoNetwork(f"node {node} is gone")
        subnet = network.enis[eni].subnet.id
        note = NOTE.format(metadata["namespace"], metadata["name"], self.cluster.name)
        try:
            own = interfaces.make(network, subnet, [self.cluster.group], note=note).id
        except EC2ClientError as error:
            raise NoNetwork(
                f'Failed to create pod sandbox: plugin type="aws-cni": failed to assign an IP address: {error.message}'
            ) from error
        switchboard = places.setting[0].network
        address = str(network.enis[own].private_ip_address)
        self.cluster.pods[metadata["uid"]] = own
        try:
            way, local = switchboard.plug_in_pod(metadata["name"], own)
        except BaseException:
            self._detach(metadata["uid"], own)
            raise

        def detach() -> None:
            way.leave()
            self._detach(metadata["uid"], own)

        return Attachment(address, local or address, way.environment, way.namespace, detach)

    def _detach(self, uid: str, eni: str) -> None:
        self.cluster.pods.pop(uid, None)
        places.setting[0].network.unplug_pod(eni)
        places.leave(self.cluster, eni)
