"""What the API server fills in where an object says nothing; controllers and clients rely on it.

Source: Kubernetes, API reference: the default that each field's description names.
"""

from __future__ import annotations

import base64
from typing import Any

from embedded_aws.kubernetes.kinds import Kind

Object = dict[str, Any]
_PROBE = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}
_POD = {
    "restartPolicy": "Always",
    "dnsPolicy": "ClusterFirst",
    "terminationGracePeriodSeconds": 30,
    "schedulerName": "default-scheduler",
}
_MODE = 0o644  # of files that volumes hold


def fill(kind: Kind, value: Object) -> None:
    """Fill in the defaults of an object, in place."""
    how = _FILL.get(kind.name)
    if how:
        how(value)


def pod_spec(spec: Object) -> None:
    """Fill in what a pod's or a template's ``spec`` leaves out."""
    _set(spec, _POD)
    spec.setdefault("securityContext", {})
    if "serviceAccountName" in spec:  # the old name of the same field
        spec.setdefault("serviceAccount", spec["serviceAccountName"])
    for container in [*spec.get("initContainers", ()), *spec.get("containers", ())]:
        _container(container)
    for volume in spec.get("volumes", ()):
        _volume(volume)


def _container(container: Object) -> None:
    image = container.get("image", "")
    tag = image.rpartition("/")[2].partition(":")[2]
    latest = "@" not in image and tag in ("", "latest")
    _set(
        container,
        {
            "imagePullPolicy": "Always" if latest else "IfNotPresent",
            "terminationMessagePath": "/dev/termination-log",
            "terminationMessagePolicy": "File",
        },
    )
    container.setdefault("resources", {})
    limits = container["resources"].get("limits")
    if limits:
        requests = container["resources"].setdefault("requests", {})
        _set(requests, limits)
    for port in container.get("ports", ()):
        port.setdefault("protocol", "TCP")
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        if name in container:
            _set(container[name], _PROBE)
            if "httpGet" in container[name]:
                _set(container[name]["httpGet"], {"path": "/", "scheme": "HTTP"})
    for variable in container.get("env", ()):
        if "fieldRef" in variable.get("valueFrom", {}):
            variable["valueFrom"]["fieldRef"].setdefault("apiVersion", "v1")


def _volume(volume: Object) -> None:
    if set(volume) == {"name"}:
        volume["emptyDir"] = {}
    for name in ("configMap", "secret", "downwardAPI", "projected"):
        if name in volume:
            volume[name].setdefault("defaultMode", _MODE)
    for source in volume.get("projected", {}).get("sources", ()):
        if "serviceAccountToken" in source:
            source["serviceAccountToken"].setdefault("expirationSeconds", 3600)


def _pod(value: Object) -> None:
    spec = value.setdefault("spec", {})
    spec.setdefault("serviceAccountName", spec.get("serviceAccount") or "default")
    pod_spec(spec)
    _set(spec, {"enableServiceLinks": True, "priority": 0, "preemptionPolicy": "PreemptLowerPriority"})


def _template(spec: Object) -> None:
    template = spec.get("template")
    if isinstance(template, dict):
        template.setdefault("metadata", {}).setdefault("creationTimestamp", None)
        template["metadata"].pop("creationTimestamp")
        if "spec" in template:
            pod_spec(template["spec"])


def _deployment(value: Object) -> None:
    spec = value.setdefault("spec", {})
    _set(spec, {"replicas": 1, "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600})
    strategy = spec.setdefault("strategy", {})
    strategy.setdefault("type", "RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        _set(strategy.setdefault("rollingUpdate", {}), {"maxUnavailable": "25%", "maxSurge": "25%"})
    _template(spec)


def _replicas(value: Object) -> None:
    value.setdefault("spec", {}).setdefault("replicas", 1)
    _template(value["spec"])


def _job(value: Object) -> None:
    spec = value.setdefault("spec", {})
    if "completions" not in spec and "parallelism" not in spec:
        spec["completions"] = 1
    _set(spec, {"parallelism": 1, "completionMode": "NonIndexed", "suspend": False, "manualSelector": False})
    if not spec["manualSelector"]:
        del spec["manualSelector"]
    if "backoffLimitPerIndex" not in spec:
        spec.setdefault("backoffLimit", 6)
    if "podFailurePolicy" in spec:
        spec.setdefault("podReplacementPolicy", "Failed")
    else:
        spec.setdefault("podReplacementPolicy", "TerminatingOrFailed")
    restart = spec.get("template", {}).get("spec", {}).get("restartPolicy")
    _template(spec)
    if restart is None and "spec" in spec.get("template", {}):
        # The default of pods, Always, is none that a Job may have: the check then says so.
        spec["template"]["spec"]["restartPolicy"] = "Always"


def own_job(value: Object) -> None:
    """Give a Job that is being created, and has its uid, the selector and the labels of its own pods."""
    spec, metadata = value["spec"], value["metadata"]
    if spec.get("manualSelector") or "template" not in spec:
        return
    uid, name = metadata["uid"], metadata["name"]
    labels = {
        "batch.kubernetes.io/controller-uid": uid,
        "batch.kubernetes.io/job-name": name,
        "controller-uid": uid,
        "job-name": name,
    }
    spec["template"].setdefault("metadata", {}).setdefault("labels", {}).update(labels)
    spec["selector"] = {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}


def _service(value: Object) -> None:
    spec = value.setdefault("spec", {})
    _set(spec, {"type": "ClusterIP", "sessionAffinity": "None"})
    if spec["type"] != "ExternalName":
        spec.setdefault("internalTrafficPolicy", "Cluster")
        _set(spec, {"ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack"})
    if spec["type"] in ("NodePort", "LoadBalancer"):
        spec.setdefault("externalTrafficPolicy", "Cluster")
    for port in spec.get("ports", ()):
        port.setdefault("protocol", "TCP")
        if "port" in port:
            port.setdefault("targetPort", port["port"])
    value.setdefault("status", {}).setdefault("loadBalancer", {})


def _secret(value: Object) -> None:
    value.setdefault("type", "Opaque")
    for key, text in value.pop("stringData", {}).items():
        value.setdefault("data", {})[key] = base64.b64encode(text.encode()).decode()


def _namespace(value: Object) -> None:
    value["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = value["metadata"].get("name", "")
    value.setdefault("spec", {}).setdefault("finalizers", ["kubernetes"])
    value.setdefault("status", {}).setdefault("phase", "Active")


def _policy(value: Object) -> None:
    spec = value.setdefault("spec", {})
    for rule in [*spec.get("ingress", ()), *spec.get("egress", ())]:
        for port in rule.get("ports", ()):
            port.setdefault("protocol", "TCP")
    spec.setdefault("policyTypes", ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"])


def _claim(value: Object) -> None:
    value.setdefault("spec", {}).setdefault("volumeMode", "Filesystem")
    value.setdefault("status", {}).setdefault("phase", "Pending")


def _binding(value: Object) -> None:
    group = "rbac.authorization.k8s.io"
    value.get("roleRef", {}).setdefault("apiGroup", group)
    for subject in value.get("subjects", ()):
        if subject.get("kind") in ("User", "Group"):
            subject.setdefault("apiGroup", group)


def _budget(value: Object) -> None:
    status = value.setdefault("status", {})
    _set(status, dict.fromkeys(("currentHealthy", "desiredHealthy", "disruptionsAllowed", "expectedPods"), 0))


_FILL = {
    "Pod": _pod,
    "Deployment": _deployment,
    "ReplicaSet": _replicas,
    "Job": _job,
    "Service": _service,
    "Secret": _secret,
    "Namespace": _namespace,
    "NetworkPolicy": _policy,
    "PersistentVolumeClaim": _claim,
    "PodDisruptionBudget": _budget,
    "RoleBinding": _binding,
    "ClusterRoleBinding": _binding,
}


def _set(into: Object, values: Object) -> None:
    for name, value in values.items():
        into.setdefault(name, value)
