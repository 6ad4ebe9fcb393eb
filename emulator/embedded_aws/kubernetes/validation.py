"""What an object must be beyond what its schema says: names, selectors that match, fields that stay as they are.

Source: Kubernetes, API reference; the words are those that the API server answers with.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from embedded_aws.kubernetes import names, pods
from embedded_aws.kubernetes.kinds import Kind
from embedded_aws.kubernetes.refusals import Cause
from embedded_aws.kubernetes.schemas import Schemas
from embedded_aws.kubernetes.selectors import matches

Object = dict[str, Any]
_IMMUTABLE = "Forbidden: field is immutable when `immutable` is set"
_LARGEST = 1024 * 1024  # bytes of data in a Secret or ConfigMap


def check(kind: Kind, value: Object, schemas: Schemas, old: Object | None = None) -> list[Cause]:
    """Return everything that is wrong with an object, or with what it becomes.

    Parameters
    ----------
    kind : Kind
    value : mapping
        With its defaults filled in.
    schemas : Schemas
    old : mapping, optional
        What is there now.
    """
    causes = list(_metadata(kind, value["metadata"]))
    causes += schemas.missing(kind, value)
    if causes and any(cause.reason == "FieldValueRequired" for cause in causes):
        return causes  # what is missing would be missed again
    if kind.name in _CHECKS:
        causes += _CHECKS[kind.name](value)
    if old is not None and kind.name in _CHANGES:
        causes += _CHANGES[kind.name](value, old)
    return causes


def _metadata(kind: Kind, metadata: Object) -> Iterator[Cause]:
    how = {"Namespace": names.label, "Service": names.old_label}.get(kind.name, names.subdomain)
    if kind.group == "rbac.authorization.k8s.io":
        how = names.segment
    if not metadata.get("name"):
        yield Cause("metadata.name", "Required value: name or generateName is required", "FieldValueRequired")
    yield from how(metadata.get("name"), "metadata.name")
    yield from names.labels(metadata.get("labels", {}), "metadata.labels")
    for key in metadata.get("annotations", {}):
        yield from names.qualified(key.lower(), "metadata.annotations")
    for finalizer in metadata.get("finalizers", ()):
        yield from names.qualified(finalizer, "metadata.finalizers")


def _pod(value: Object) -> Iterator[Cause]:
    yield from pods.spec(value["spec"], "spec")


def _template(value: Object) -> Iterator[Cause]:
    template = value["spec"]["template"]
    labels = template.get("metadata", {}).get("labels", {})
    yield from names.labels(labels, "spec.template.metadata.labels")
    if not template.get("spec"):
        yield Cause("spec.template.spec.containers", "Required value", "FieldValueRequired")
    yield from pods.spec(template.get("spec", {}), "spec.template.spec")


def _workload(value: Object) -> Iterator[Cause]:
    selector = value["spec"]["selector"]
    labels = value["spec"]["template"].get("metadata", {}).get("labels", {})
    yield from _selector(selector, "spec.selector")
    if not any(selector.get(field) for field in ("matchLabels", "matchExpressions")):
        message = f"Invalid value: {_text(selector)}: empty selector is invalid for {value['kind'].lower()}"
        yield Cause("spec.selector", message)
    elif not matches(selector, labels):
        message = f"Invalid value: {_text(labels)}: `selector` does not match template `labels`"
        yield Cause("spec.template.metadata.labels", message)
    yield from _template(value)
    policy = value["spec"]["template"].get("spec", {}).get("restartPolicy")
    yield from pods.one_of(policy, ("Always",), "spec.template.spec.restartPolicy")
    yield from _not_negative(value, "replicas", "minReadySeconds", "revisionHistoryLimit")


def _deployment(value: Object) -> Iterator[Cause]:
    yield from _workload(value)
    strategy = value["spec"].get("strategy", {})
    yield from pods.one_of(strategy.get("type"), ("Recreate", "RollingUpdate"), "spec.strategy.type")
    if strategy.get("type") == "Recreate" and "rollingUpdate" in strategy:
        message = "Forbidden: may not be specified when strategy `type` is 'Recreate'"
        yield Cause("spec.strategy.rollingUpdate", message, "FieldValueForbidden")
    rolling = strategy.get("rollingUpdate", {})
    if rolling and all(str(rolling.get(name)) in ("0", "0%") for name in ("maxSurge", "maxUnavailable")):
        message = f"Invalid value: {_text(rolling['maxUnavailable'])}: may not be 0 when `maxSurge` is 0"
        yield Cause("spec.strategy.rollingUpdate.maxUnavailable", message)


def _job(value: Object) -> Iterator[Cause]:
    yield from _template(value)
    policy = value["spec"]["template"].get("spec", {}).get("restartPolicy")
    if policy in (None, "", "Always"):
        message = 'Required value: valid values: "OnFailure", "Never"'
        yield Cause("spec.template.spec.restartPolicy", message, "FieldValueRequired")
    numbers = ("completions", "parallelism", "backoffLimit", "activeDeadlineSeconds", "ttlSecondsAfterFinished")
    yield from _not_negative(value, *numbers)
    modes = ("NonIndexed", "Indexed")
    yield from pods.one_of(value["spec"].get("completionMode"), modes, "spec.completionMode")
    if value["spec"].get("completionMode") == "Indexed" and "completions" not in value["spec"]:
        message = "Required value: when completion mode is Indexed"
        yield Cause("spec.completions", message, "FieldValueRequired")
    selector = value["spec"].get("selector")
    labels = value["spec"]["template"].get("metadata", {}).get("labels", {})
    if value["metadata"].get("uid") and selector is not None and not matches(selector, labels):
        message = f"Invalid value: {_text(labels)}: `selector` does not match template `labels`"
        yield Cause("spec.template.metadata.labels", message)


def _service(value: Object) -> Iterator[Cause]:
    spec = value["spec"]
    kinds = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
    yield from pods.one_of(spec.get("type"), kinds, "spec.type")
    ports = spec.get("ports", ())
    if not ports and spec.get("clusterIP") != "None" and spec.get("type") != "ExternalName":
        yield Cause("spec.ports", "Required value", "FieldValueRequired")
    yield from pods.once([port.get("name") for port in ports], "spec.ports", "name")
    for position, port in enumerate(ports):
        path = f"spec.ports[{position}]"
        if len(ports) > 1 and not port.get("name"):
            yield Cause(f"{path}.name", "Required value", "FieldValueRequired")
        yield from pods.port(port.get("port"), f"{path}.port")
        yield from pods.port(port.get("targetPort"), f"{path}.targetPort")
        yield from pods.one_of(port.get("protocol"), ("SCTP", "TCP", "UDP"), f"{path}.protocol")
    yield from names.labels(spec.get("selector", {}), "spec.selector")


def _data(value: Object) -> Iterator[Cause]:
    size = 0
    for field in ("data", "binaryData"):
        for key, text in value.get(field, {}).items():
            yield from names.data_key(key, field)
            size += len(text)
            if field == "binaryData" and key in value.get("data", {}):
                yield Cause(f"data[{key}]", f'Invalid value: "{key}": duplicate of key present in binaryData')
    if size > _LARGEST:
        yield Cause("data" if value["kind"] == "Secret" else "", f"Too long: may not be more than {_LARGEST} bytes")


def _policy(value: Object) -> Iterator[Cause]:
    spec = value.get("spec", {})
    yield from _selector(spec.get("podSelector", {}), "spec.podSelector")
    for position, name in enumerate(spec.get("policyTypes", ())):
        yield from pods.one_of(name, ("Egress", "Ingress"), f"spec.policyTypes[{position}]")
    for field, peers in (("ingress", "from"), ("egress", "to")):
        for position, rule in enumerate(spec.get(field, ())):
            for number, peer in enumerate(rule.get(peers, ())):
                path = f"spec.{field}[{position}].{peers}[{number}]"
                if not peer:
                    yield Cause(path, "Required value: must specify a peer", "FieldValueRequired")
                if "ipBlock" in peer and len(peer) > 1:
                    message = "Forbidden: may not specify both ipBlock and another peer"
                    yield Cause(path, message, "FieldValueForbidden")


def _budget(value: Object) -> Iterator[Cause]:
    spec = value.get("spec", {})
    if "minAvailable" in spec and "maxUnavailable" in spec:
        yield Cause("spec", f"Invalid value: {_text(spec)}: minAvailable and maxUnavailable cannot be both set")
    for field in ("minAvailable", "maxUnavailable"):
        given = spec.get(field)
        if isinstance(given, int) and given < 0:
            message = f"Invalid value: {given}: must be greater than or equal to 0"
            yield Cause(f"spec.{field}", message)
        if isinstance(given, str) and not (given.endswith("%") and given[:-1].isdigit() and int(given[:-1]) <= 100):
            message = (
                f"Invalid value: \"{given}\": a valid percent string must be a numeric string followed by an ending '%'"
            )
            yield Cause(f"spec.{field}", message)
    yield from _selector(spec.get("selector", {}), "spec.selector")


def _binding(value: Object) -> Iterator[Cause]:
    kinds = ("Role", "ClusterRole") if value["kind"] == "RoleBinding" else ("ClusterRole",)
    yield from pods.one_of(value["roleRef"].get("kind"), kinds, "roleRef.kind")
    for position, subject in enumerate(value.get("subjects", ())):
        path = f"subjects[{position}]"
        yield from pods.one_of(subject.get("kind"), ("ServiceAccount", "User", "Group"), f"{path}.kind")
        if subject.get("kind") == "ServiceAccount" and not subject.get("namespace") and value["kind"] != "RoleBinding":
            yield Cause(f"{path}.namespace", "Required value", "FieldValueRequired")


def _role(value: Object) -> Iterator[Cause]:
    for position, rule in enumerate(value.get("rules") or ()):
        if not rule.get("verbs"):
            message = "Required value: verbs must contain at least one value"
            yield Cause(f"rules[{position}].verbs", message, "FieldValueRequired")


def _claim(value: Object) -> Iterator[Cause]:
    spec = value.get("spec", {})
    if not spec.get("accessModes"):
        message = "Required value: at least 1 access mode is required"
        yield Cause("spec.accessModes", message, "FieldValueRequired")
    if "storage" not in spec.get("resources", {}).get("requests", {}):
        yield Cause("spec.resources[storage]", "Required value", "FieldValueRequired")


def _selector(selector: Object, path: str) -> Iterator[Cause]:
    yield from names.labels(selector.get("matchLabels", {}), f"{path}.matchLabels")
    for position, rule in enumerate(selector.get("matchExpressions", ())):
        at, operator = f"{path}.matchExpressions[{position}]", rule.get("operator")
        if operator not in ("In", "NotIn", "Exists", "DoesNotExist"):
            yield Cause(f"{at}.operator", f'Invalid value: "{operator}": not a valid selector operator')
        elif operator in ("In", "NotIn") and not rule.get("values"):
            message = "Required value: must be specified when `operator` is 'In' or 'NotIn'"
            yield Cause(f"{at}.values", message, "FieldValueRequired")


def _not_negative(value: Object, *fields: str) -> Iterator[Cause]:
    for field in fields:
        given = value["spec"].get(field, 0)
        if given < 0:
            yield Cause(f"spec.{field}", f"Invalid value: {given}: must be greater than or equal to 0")


def _fixed(*paths: str) -> Callable[[Object, Object], Iterator[Cause]]:
    def compare(new: Object, old: Object) -> Iterator[Cause]:
        for path in paths:
            now, before = new, old
            for step in path.split("."):
                now, before = (now or {}).get(step), (before or {}).get(step)
            if now != before:
                yield Cause(path, f"Invalid value: {_text(now)}: field is immutable")

    return compare


def _job_change(new: Object, old: Object) -> Iterator[Cause]:
    yield from _fixed("spec.selector", "spec.completionMode", "spec.backoffLimitPerIndex")(new, old)
    if old["spec"].get("suspend") is not True:  # a suspended job's template may still get resources and nodes
        yield from _fixed("spec.template")(new, old)
    if old["spec"].get("completionMode") != "Indexed":
        yield from _fixed("spec.completions")(new, old)


def _service_change(new: Object, old: Object) -> Iterator[Cause]:
    before, now = old["spec"].get("clusterIP"), new["spec"].get("clusterIP")
    if before and now != before and "ExternalName" not in (old["spec"]["type"], new["spec"]["type"]):
        yield Cause("spec.clusterIPs[0]", f"Invalid value: {_text([now or ''])}: may not change once set")


def _data_change(new: Object, old: Object) -> Iterator[Cause]:
    if old["kind"] == "Secret" and new.get("type") != old.get("type"):
        yield Cause("type", f"Invalid value: {_text(new.get('type'))}: field is immutable")
    if old.get("immutable"):
        for field in ("immutable", "data", "binaryData"):
            if new.get(field) != old.get(field):
                yield Cause(field, _IMMUTABLE, "FieldValueForbidden")


def _role_ref(new: Object, old: Object) -> Iterator[Cause]:
    if new.get("roleRef") != old.get("roleRef"):
        yield Cause("roleRef", f"Invalid value: {_text(new.get('roleRef'))}: cannot change roleRef")


def _claim_change(new: Object, old: Object) -> Iterator[Cause]:
    def rest(value: Object) -> Object:
        return {k: v for k, v in value["spec"].items() if k not in ("resources", "volumeName")}

    if rest(new) != rest(old):
        message = "Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName "
        yield Cause("spec", message + "for bound claims", "FieldValueForbidden")


def _text(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), sort_keys=True)


_CHECKS: dict[str, Callable[[Object], Iterator[Cause]]] = {
    "Pod": _pod,
    "Deployment": _deployment,
    "ReplicaSet": _workload,
    "Job": _job,
    "Service": _service,
    "Secret": _data,
    "ConfigMap": _data,
    "NetworkPolicy": _policy,
    "PodDisruptionBudget": _budget,
    "PersistentVolumeClaim": _claim,
    "Role": _role,
    "ClusterRole": _role,
    "RoleBinding": _binding,
    "ClusterRoleBinding": _binding,
}
_CHANGES: dict[str, Callable[[Object, Object], Iterator[Cause]]] = {
    "Pod": pods.change,
    "Deployment": _fixed("spec.selector"),
    "ReplicaSet": _fixed("spec.selector"),
    "Job": _job_change,
    "Service": _service_change,
    "Secret": _data_change,
    "ConfigMap": _data_change,
    "RoleBinding": _role_ref,
    "ClusterRoleBinding": _role_ref,
    "PersistentVolumeClaim": _claim_change,
}
