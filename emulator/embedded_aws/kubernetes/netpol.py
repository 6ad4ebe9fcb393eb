"""NetworkPolicies: what the policies that select a pod let in and out, as addresses and TCP ports.

Source: Kubernetes documentation, "Network Policies": policies add up; a pod that none selects for a direction is open
in it. Peers by labels are the addresses of the pods that have them now.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network

from embedded_aws.kubernetes.kinds import named
from embedded_aws.kubernetes.selectors import matches
from embedded_aws.kubernetes.store import Object, Store
from embedded_aws.network.model import Block, Isolation, Permit

POLICY, POD, NAMESPACE = named("NetworkPolicy"), named("Pod"), named("Namespace")


def isolation(store: Store, pod: Object) -> Isolation:
    """Return how a pod is isolated."""
    metadata = pod["metadata"]
    mine = [
        policy
        for policy in store.list(POLICY, metadata["namespace"])
        if matches(policy["spec"].get("podSelector"), metadata.get("labels", {}))
    ]
    sides = {}
    for side, peers in (("Ingress", "from"), ("Egress", "to")):
        about = [policy for policy in mine if side in _types(policy)]
        rules = [rule for policy in about for rule in policy["spec"].get(side.lower()) or ()]
        space = metadata["namespace"]
        sides[side] = tuple(_permit(store, rule, peers, space, pod) for rule in rules) if about else None
    return Isolation(f"{metadata['namespace']}/{metadata['name']}", sides["Ingress"], sides["Egress"])


def _types(policy: Object) -> list[str]:
    spec = policy["spec"]
    return spec.get("policyTypes") or ["Ingress", *(["Egress"] if spec.get("egress") else [])]


def _permit(store: Store, rule: Object, peers: str, space: str, pod: Object) -> Permit:
    ports = tuple(span for port in rule.get("ports") or () if (span := _span(port, pod)))
    given = rule.get(peers)
    blocks = tuple(block for peer in given for block in _blocks(store, peer, space)) if given else None
    return Permit(blocks, ports if rule.get("ports") else None)


def _span(port: Object, pod: Object) -> tuple[int, int] | None:
    """Return first and last of the TCP ports that a rule names; None if it is about another protocol."""
    if port.get("protocol", "TCP") != "TCP":
        return None
    number = port.get("port")
    if number is None:
        return (1, 65535)
    if isinstance(number, str):
        named_ports = [each for container in pod["spec"]["containers"] for each in container.get("ports", ())]
        number = next((each["containerPort"] for each in named_ports if each.get("name") == number), 0)
    return (number, port.get("endPort", number))


def _blocks(store: Store, peer: Object, space: str) -> Iterator[Block]:
    if block := peer.get("ipBlock"):
        yield Block(IPv4Network(block["cidr"]), tuple(IPv4Network(each) for each in block.get("except", ())))
        return
    spaces = {space}
    if "namespaceSelector" in peer:
        spaces = {
            each["metadata"]["name"]
            for each in store.list(NAMESPACE)
            if matches(peer["namespaceSelector"], each["metadata"].get("labels", {}))
        }
    for pod in store.list(POD):
        address = pod.get("status", {}).get("podIP")
        labels = pod["metadata"].get("labels", {})
        if address and pod["metadata"]["namespace"] in spaces and matches(peer.get("podSelector", {}), labels):
            yield Block(IPv4Network(f"{IPv4Address(address)}/32"))
