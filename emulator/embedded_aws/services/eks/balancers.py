"""Services of type LoadBalancer: an internal network load balancer each, as EKS's control plane makes it.

The one that comes with every cluster, without a controller of one's own: targets are nodes, at the Service's node port,
which the security group of the nodes then lets in from the Service's source ranges. It is in no stack, and stays when
the cluster is deleted before the Service.
Sources: AWS, EKS user guide, "Route TCP and UDP traffic with Network Load Balancers"; Kubernetes documentation,
"Service", type LoadBalancer; cloud-provider-aws, annotations of Services.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import ec2_backends

from embedded_aws.kubernetes.controllers.desk import Desk, is_ending, is_ready
from embedded_aws.kubernetes.kinds import named
from embedded_aws.kubernetes.selectors import matches
from embedded_aws.kubernetes.store import Object
from embedded_aws.network.model import BALANCER, Balancer, Target
from embedded_aws.services.ec2 import interfaces
from embedded_aws.services.eks import nodes, places
from embedded_aws.services.eks.state import Cluster

SERVICE, POD = named("Service"), named("Pod")
NOTE = "EKS load balancer of {}/{} in {}"
TYPE = "service.beta.kubernetes.io/aws-load-balancer-type"
INTERNAL = "service.beta.kubernetes.io/aws-load-balancer-internal"
ROLE = "kubernetes.io/role/internal-elb"
FINALIZER = "service.kubernetes.io/load-balancer-cleanup"
SOURCE = "service-controller"
NODE_PORTS = range(30000, 32768)


def reconcile(cluster: Cluster, desk: Desk) -> None:
    """Give every such Service its load balancer, tell who is behind it, take back those of Services that go."""
    for service in desk.store.list(SERVICE):
        if service["spec"].get("type") != "LoadBalancer":
            continue
        if is_ending(service):
            _take_back(cluster, desk, service)
        else:
            _give(cluster, desk, service)


def _give(cluster: Cluster, desk: Desk, service: Object) -> None:
    eni = _interface(cluster, service)
    if eni is None:
        try:
            eni = _make(cluster, service)
        except _NotMade as error:
            message = f"Error syncing load balancer: failed to ensure load balancer: {error}"
            if message not in _told(desk, service):
                desk.event(service, "SyncLoadBalancerFailed", message, warning=True, source=SOURCE)
            return
        desk.event(service, "EnsuredLoadBalancer", "Ensured load balancer", source=SOURCE)
    service = _completed(desk, service, places.address_of(cluster, eni), cluster.region) or service
    _let_in(cluster, service)
    targets = {port["port"]: tuple(_targets(cluster, desk, service, port)) for port in service["spec"]["ports"]}
    places.setting[0].network.balance(eni, Balancer(targets))


class _NotMade(Exception):
    """Why there is no load balancer."""


def _make(cluster: Cluster, service: Object) -> str:
    annotations = service["metadata"].get("annotations", {})
    if annotations.get(TYPE) != "nlb" or annotations.get(INTERNAL) != "true":
        raise _NotMade(
            f"the embedded AWS makes internal network load balancers only: annotate {TYPE}: nlb, {INTERNAL}: true"
        )
    network: Any = ec2_backends[cluster.account][cluster.region]
    for name in cluster.told["resourcesVpcConfig"]["subnetIds"]:
        subnet = network.get_subnet(name)
        if any(tag["key"] == ROLE and tag["value"] == "1" for tag in network.describe_tags({"resource-id": [name]})):
            note = NOTE.format(service["metadata"]["namespace"], service["metadata"]["name"], cluster.name)
            eni = interfaces.make(network, subnet.id, [], note=note, kind=BALANCER)
            eni._group_set = []
            return eni.id
    raise _NotMade(f"could not find any suitable subnets for creating the ELB: tag private ones with {ROLE}: 1")


def _interface(cluster: Cluster, service: Object) -> str | None:
    note = NOTE.format(service["metadata"]["namespace"], service["metadata"]["name"], cluster.name)
    network = ec2_backends[cluster.account][cluster.region]
    return next((eni.id for eni in list(network.enis.values()) if eni.description == note), None)


def _completed(desk: Desk, service: Object, address: str, region: str) -> Object | None:
    """Fill in the node ports and the address; AWS tells a name alone, which leads to such addresses."""
    taken = {port.get("nodePort") for each in desk.store.list(SERVICE) for port in each["spec"].get("ports", ())}
    free = (number for number in NODE_PORTS if number not in taken)
    digest = service["metadata"]["uid"].replace("-", "")
    host = f"a{digest[:31]}-{digest[:16]}.elb.{region}.amazonaws.com"

    def complete(value: Object) -> None:
        for port in value["spec"]["ports"]:
            if not port.get("nodePort"):
                port["nodePort"] = next(free)
        value["metadata"].setdefault("finalizers", [])
        if FINALIZER not in value["metadata"]["finalizers"]:
            value["metadata"]["finalizers"].append(FINALIZER)
        value["status"] = {"loadBalancer": {"ingress": [{"hostname": host, "ip": address, "ipMode": "VIP"}]}}

    metadata = service["metadata"]
    return desk.store.change(SERVICE, metadata["namespace"], metadata["name"], complete)


def _targets(cluster: Cluster, desk: Desk, service: Object, port: Object) -> Iterator[Target]:
    """Yield the ready pods behind a port, by their nodes; with the policy Local a node passes on to its own pods."""
    selector = service["spec"].get("selector")
    for pod in desk.store.list(POD, service["metadata"]["namespace"]) if selector else ():
        labels = pod["metadata"].get("labels", {})
        eni, node = (
            cluster.pods.get(pod["metadata"]["uid"]),
            nodes.interface_of(cluster, pod["spec"].get("nodeName", "")),
        )
        if eni and node and is_ready(pod) and not is_ending(pod) and matches({"matchLabels": selector}, labels):
            yield Target(node, port["nodePort"], eni, _port_of(pod, port))


def _port_of(pod: Object, port: Object) -> int:
    wanted = port.get("targetPort", port["port"])
    if isinstance(wanted, int):
        return wanted
    every = [each for container in pod["spec"]["containers"] for each in container.get("ports", ())]
    return next((each["containerPort"] for each in every if each.get("name") == wanted), 0)


def _rules(service: Object) -> list[dict[str, Any]]:
    ranges = service["spec"].get("loadBalancerSourceRanges") or ["0.0.0.0/0"]
    name = f"{service['metadata']['namespace']}/{service['metadata']['name']}"
    return [
        {
            "IpProtocol": "tcp", "FromPort": port["nodePort"], "ToPort": port["nodePort"],
            "IpRanges": [{"CidrIp": cidr, "Description": f"kubernetes.io/rule/nlb/client={name}"} for cidr in ranges],
        }
        for port in service["spec"]["ports"]
        if port.get("nodePort")
    ]  # fmt: skip


def _let_in(cluster: Cluster, service: Object) -> None:
    network: Any = ec2_backends[cluster.account][cluster.region]
    for rule in _rules(service):
        with contextlib.suppress(EC2ClientError):  # it is there
            network.authorize(cluster.group, [rule], "ingress")


def _take_back(cluster: Cluster, desk: Desk, service: Object) -> None:
    network: Any = ec2_backends[cluster.account][cluster.region]
    if eni := _interface(cluster, service):
        places.setting[0].network.balance(eni, None)
        places.leave(cluster, eni)
    for rule in _rules(service):
        with contextlib.suppress(EC2ClientError):
            network.revoke(cluster.group, [rule], "ingress")
    desk.event(service, "DeletedLoadBalancer", "Deleted load balancer", source=SOURCE)

    def let_go(value: Object) -> None:
        value["metadata"]["finalizers"] = [
            each for each in value["metadata"].get("finalizers", ()) if each != FINALIZER
        ]

    desk.store.change(SERVICE, service["metadata"]["namespace"], service["metadata"]["name"], let_go)


def _told(desk: Desk, service: Object) -> set[str]:
    uid = service["metadata"]["uid"]
    events = desk.store.list(named("Event"), service["metadata"]["namespace"])
    return {event["message"] for event in events if event["involvedObject"].get("uid") == uid}
