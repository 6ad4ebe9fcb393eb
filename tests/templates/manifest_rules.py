"""What our Kubernetes manifests promise, as plain rules: each returns what breaks it, or nothing.

Schemas know whether a field exists, checkov whether a pod is hardened; what a federation needs (nobody but the server
is dialled, a run ends, who starts runs reads no Secret) is said here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any

# What stands in each owner's folder, and a run; another kind is a decision.
KINDS = {
    "agent": {"Namespace", "ServiceAccount", "ConfigMap", "Deployment", "PodDisruptionBudget", "NetworkPolicy"},
    "server": {
        "Namespace", "ServiceAccount", "Service", "PodDisruptionBudget", "NetworkPolicy", "Role", "RoleBinding",
    },
    "run": {"Job"},
}  # fmt: skip
NAMESPACE, RUN, AGENT = "federation", "run", "agent"
LAUNCHERS = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "federation:launchers"}
LOOK = {"get", "list", "watch"}
# What who starts runs may do at most, by group and resource.
MAY = {
    ("batch", "jobs"): {"create", "delete", *LOOK},
    ("", "configmaps"): {"create", "delete", *LOOK},
    ("", "pods"): {"delete", *LOOK},
    **{("", resource): LOOK for resource in ("pods/log", "events", "services")},
}
# Of a node's own addresses: its agent of Pod Identity, the VPC's resolver; another one gives out the node's own role.
OF_A_NODE = {"169.254.170.23/32", "169.254.169.253/32"}
LONGEST, MOST_RETRIES = 86400, 6
ENDED = 2  # the exit code of a run that another try would not change: workshop/clusters/run.py
RULES: dict[str, Callable[[Manifests], Iterator[str]]] = {}


@dataclass(frozen=True)
class Manifests:
    """The objects of an owner's folder (``agent``, ``server``), or of a ``run``."""

    role: str
    objects: tuple[Mapping[str, Any], ...]

    def of(self, *kinds: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield objects of some kinds, each with what it is called."""
        for item in self.objects:
            if item["kind"] in kinds:
                yield f"{item['kind']} {item['metadata']['name']}", item

    def pods(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield the pods that are made."""
        for name, item in self.of("Deployment", "Job"):
            yield name, item["spec"]["template"]["spec"]

    def containers(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield the containers of these, those that come first included."""
        for name, pod in self.pods():
            for container in (*pod.get("initContainers", []), *pod["containers"]):
                yield f"{name}, container {container['name']}", container


def rule(check: Callable[[Manifests], Iterator[str]]) -> Callable[[Manifests], Iterator[str]]:
    """Add a rule."""
    RULES[check.__name__] = check
    return check


def findings(manifests: Manifests) -> list[str]:
    """Return what breaks a rule, as ``rule: where``."""
    return [f"{name}: {where}" for name, check in RULES.items() for where in check(manifests)]


def _wrong(where: str, given: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"{where}: {key} is {given.get(key)}" for key, value in wanted.items() if given.get(key) != value)


@rule
def there_is_nothing_but_what_a_role_needs(manifests: Manifests) -> Iterator[str]:
    """No other kinds (a Secret is made by its owner, and in no file), and nothing outside of the one namespace."""
    for item in manifests.objects:
        where = f"{item['kind']} {item['metadata']['name']}"
        if item["kind"] not in KINDS[manifests.role]:
            yield f"{where} has no place here"
        if item["kind"] != "Namespace" and item["metadata"].get("namespace") != NAMESPACE:
            yield f"{where} is outside of the namespace"


@rule
def the_namespace_admits_restricted_pods_alone(manifests: Manifests) -> Iterator[str]:
    """Else the API takes a pod that these files do not have."""
    label = "pod-security.kubernetes.io/"
    wanted = {f"{label}{mode}": "restricted" for mode in ("audit", "enforce", "warn")} | {
        f"{label}enforce-version": "latest"
    }
    if manifests.role != RUN and not list(manifests.of("Namespace")):
        yield "no namespace"
    for where, item in manifests.of("Namespace"):
        yield from _wrong(where, item["metadata"].get("labels", {}), wanted)


@rule
def pods_are_nobody_and_can_become_nobody_else(manifests: Manifests) -> Iterator[str]:
    """A high user, no capability, no way to more rights, a root file system that stays as it is."""
    for where, pod in manifests.pods():
        context = pod.get("securityContext", {})
        yield from _wrong(where, context, {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}})
        if context.get("runAsUser", 0) < 10000 or context.get("runAsGroup", 0) < 10000:
            yield f"{where} is user {context.get('runAsUser')}, group {context.get('runAsGroup')}"
    for where, container in manifests.containers():
        wanted = {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
        }  # fmt: skip
        context = container.get("securityContext", {})
        yield from _wrong(where, context, wanted)
        yield from (f"{where} has {key} of its own" for key in sorted(context.keys() - wanted.keys()))


@rule
def pods_share_nothing_with_their_node(manifests: Manifests) -> Iterator[str]:
    """Neither its network and processes nor its files; what they write has a limit."""
    for where, pod in manifests.pods():
        shared = ("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace")
        yield from (f"{where} has {key}" for key in shared if pod.get(key))
        for volume in pod.get("volumes", []):
            (kind,) = volume.keys() - {"name"}
            if kind not in ("emptyDir", "configMap", "secret"):
                yield f"{where} mounts {kind}"
            if kind == "emptyDir" and "sizeLimit" not in volume[kind]:
                yield f"{where} fills its node with {volume['name']}"
    for where, container in manifests.containers():
        if any("hostPort" in port for port in container.get("ports", [])):
            yield f"{where} has a port of its node"


@rule
def pods_have_no_token_of_the_cluster(manifests: Manifests) -> Iterator[str]:
    """Neither agent nor run has anything to ask the cluster's API."""
    for where, pod in manifests.pods():
        named = "agent" if manifests.role == AGENT else "run"
        yield from _wrong(where, pod, {"automountServiceAccountToken": False, "serviceAccountName": named})
    for where, item in manifests.of("ServiceAccount"):
        yield from _wrong(where, item, {"automountServiceAccountToken": False})


@rule
def images_are_named_by_digest(manifests: Manifests) -> Iterator[str]:
    """What was built is what runs."""
    for where, container in manifests.containers():
        if not re.fullmatch(r"[^@]+@sha256:[0-9a-f]{64}", container["image"]):
            yield f"{where} is {container['image']}"
        yield from _wrong(where, container, {"imagePullPolicy": "Always"})


@rule
def containers_are_bounded_and_looked_after(manifests: Manifests) -> Iterator[str]:
    """One that takes too much ends itself, not its neighbours; one that hangs is started again."""
    for where, container in manifests.containers():
        for side in ("requests", "limits"):
            missing = {"cpu", "memory", "ephemeral-storage"} - container.get("resources", {}).get(side, {}).keys()
            yield from (f"{where} has no {side} of {kind}" for kind in sorted(missing))
        probes = ("startupProbe", "livenessProbe", "readinessProbe") if manifests.role == AGENT else ("readinessProbe",)
        yield from (f"{where} has no {probe}" for probe in probes if probe not in container)


@rule
def secrets_are_files_by_reference(manifests: Manifests) -> Iterator[str]:
    """An environment is in `kubectl describe`, in crash reports, in every child process."""
    for where, container in manifests.containers():
        for item in container.get("env", []):
            secret = re.search("SECRET|TOKEN|PASSWORD|PRIVATE|CREDENTIAL|ACCESS_KEY|_KEY$", item["name"])
            if "secretKeyRef" in item.get("valueFrom", {}) or (secret and "value" in item):
                yield f"{where}: {item['name']}"
        if any("secretRef" in source for source in container.get("envFrom", [])):
            yield f"{where} has a Secret as its environment"
    for where, item in manifests.of("ConfigMap"):
        if "PRIVATE KEY" in str(item.get("data")):
            yield f"{where} holds a private key"


@rule
def nothing_passes_unless_a_policy_says_so(manifests: Manifests) -> Iterator[str]:
    """Every pod, both ways; the other policies name ports and private ranges, but for AWS's own services at 443."""
    if manifests.role == RUN:
        return
    policies = dict(manifests.of("NetworkPolicy"))
    both = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    if not any(item["spec"] == both for item in policies.values()):
        yield "no policy forbids everything to every pod"
    for where, item in policies.items():
        for side, other in (("ingress", "from"), ("egress", "to")):
            for way in item["spec"].get(side, []):
                if not way.get("ports") or not way.get(other):
                    yield f"{where} opens every port, or to everybody ({side})"
                aws = side == "egress" and way.get("ports") == [{"protocol": "TCP", "port": 443}]
                for peer in way.get(other, []):
                    block = ip_network(peer.get("ipBlock", {}).get("cidr", "0.0.0.0/0"))
                    inside = block.is_private and (not block.is_link_local or str(block) in OF_A_NODE)
                    if not inside and not (aws and "ipBlock" in peer):
                        yield f"{where} opens to {peer} ({side})"


@rule
def an_agent_listens_to_nobody_and_dials_the_server(manifests: Manifests) -> Iterator[str]:
    """Nothing comes in; out to one port beside what AWS needs."""
    if manifests.role != AGENT:
        return
    yield from (
        f"{where} lets something in" for where, item in manifests.of("NetworkPolicy") if "ingress" in item["spec"]
    )
    ways = [way for _, item in manifests.of("NetworkPolicy") for way in item["spec"].get("egress", [])]
    ports = sorted(port.get("port", 0) for way in ways for port in way.get("ports", []) if port["protocol"] == "TCP")
    if ports != [53, 80, 443, 9092]:
        yield f"it dials {ports}"
    yield from (f"{where} has ports" for where, container in manifests.containers() if container.get("ports"))


@rule
def the_load_balancer_is_for_the_hospitals(manifests: Manifests) -> Iterator[str]:
    """Internal, and with the ranges of their networks."""
    services = list(manifests.of("Service"))
    if manifests.role == "server" and len(services) != 1:
        yield f"{len(services)} services"
    for where, item in services:
        internal = {"service.beta.kubernetes.io/aws-load-balancer-internal": "true"}
        yield from _wrong(where, item["metadata"].get("annotations", {}), internal)
        wanted = {"type": "LoadBalancer", "externalTrafficPolicy": "Local", "selector": {"app.kubernetes.io/name": RUN}}
        yield from _wrong(where, item["spec"], wanted)
        ranges = item["spec"].get("loadBalancerSourceRanges", [])
        if not ranges or not all(ip_network(one).is_private for one in ranges):
            yield f"{where} is for {ranges or 'everybody'}"
        if "externalIPs" in item["spec"] or len(item["spec"]["ports"]) != 1:
            yield f"{where} has other addresses or ports"


@rule
def who_starts_runs_does_that_alone(manifests: Manifests) -> Iterator[str]:
    """In the namespace, by a list of verbs; neither Secrets nor a shell in a pod."""
    for where, item in manifests.of("Role"):
        for given in item["rules"]:
            for group in given["apiGroups"]:
                for resource in given["resources"]:
                    extra = set(given["verbs"]) - MAY.get((group, resource), set())
                    if extra:
                        yield f"{where} may {', '.join(sorted(extra))} {resource}"
    for where, item in manifests.of("RoleBinding"):
        if item["roleRef"]["kind"] != "Role" or item["subjects"] != [LAUNCHERS]:
            yield f"{where} gives {item['roleRef']['name']} to {item['subjects']}"


@rule
def a_run_ends_and_is_one(manifests: Manifests) -> Iterator[str]:
    """By its deadline, after some retries, at once where a retry is vain; never two servers; then it is tidied away."""
    for where, item in manifests.of("Job"):
        spec = item["spec"]
        for key, most in (("activeDeadlineSeconds", LONGEST), ("ttlSecondsAfterFinished", LONGEST)):
            if not 0 < spec.get(key, 0) <= most:
                yield f"{where}: {key} is {spec.get(key)}"
        if not 0 <= spec.get("backoffLimit", MOST_RETRIES + 1) <= MOST_RETRIES:
            yield f"{where} is retried {spec.get('backoffLimit')} times"
        yield from _wrong(where, spec, {"podReplacementPolicy": "Failed"})
        yield from _wrong(where, spec["template"]["spec"], {"restartPolicy": "Never"})
        if spec.get("parallelism", 1) != 1 or spec.get("completions", 1) != 1:
            yield f"{where} has several pods at once"
        ended = [one for one in spec.get("podFailurePolicy", {}).get("rules", []) if one["action"] == "FailJob"]
        if not any(ENDED in one.get("onExitCodes", {}).get("values", []) for one in ended):
            yield f"{where} is retried though it has ended"


@rule
def an_account_has_one_agent_at_a_time(manifests: Manifests) -> Iterator[str]:
    """Of two the server would turn one away."""
    for where, item in manifests.of("Deployment"):
        yield from _wrong(where, item["spec"], {"replicas": 1, "strategy": {"type": "Recreate"}})


@rule
def a_drain_asks_first(manifests: Manifests) -> Iterator[str]:
    """An agent may go at any time, a run that is going on may not."""
    if manifests.role == RUN:
        return
    named, limits = (RUN, {"minAvailable": 1}) if manifests.role == "server" else (AGENT, {"maxUnavailable": 1})
    wanted = {**limits, "selector": {"matchLabels": {"app.kubernetes.io/name": named}}}
    if [item["spec"] for _, item in manifests.of("PodDisruptionBudget")] != [wanted]:
        yield f"no budget for {named}"
