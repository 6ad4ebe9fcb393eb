"""The columns that ``kubectl get`` shows of each kind, and what is in them; a star before those of ``-o wide``."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

Object = dict[str, Any]
Cells = Callable[[Object, datetime], list[Any]]
_NONE, _UNSET, _UNKNOWN = "<none>", "<unset>", "<unknown>"


def of(name: str) -> tuple[tuple[str, ...], Cells]:
    """Return the columns of a kind, and what makes a row's cells."""
    return _COLUMNS.get(name, (("Name", "Age"), _plain))


def duration(seconds: float) -> str:
    """Write a span of time as ``kubectl`` does.

    >>> duration(61), duration(3 * 60 + 5), duration(3 * 3600), duration(50 * 3600), duration(9 * 86400)
    ('61s', '3m5s', '3h', '2d2h', '9d')
    """
    whole = int(seconds)
    if whole < 0:
        return "<invalid>" if whole < -1 else "0s"
    for limit, unit, smaller in _SPANS:
        if whole < limit:
            many, rest = divmod(whole, _UNITS[unit])
            less = rest // _UNITS[smaller] if smaller else 0
            return f"{many}{unit}{less}{smaller}" if less else f"{many}{unit}"
    return f"{whole // _UNITS['y']}y"


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "y": 365 * 86400}
# Up to which time: in which unit, and which smaller one beside it.
_SPANS = (
    (2 * 60, "s", ""),
    (10 * 60, "m", "s"),
    (3 * 3600, "m", ""),
    (8 * 3600, "h", "m"),
    (48 * 3600, "h", ""),
    (8 * 86400, "d", "h"),
    (2 * 365 * 86400, "d", ""),
    (8 * 365 * 86400, "y", "d"),
)


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC) if text else None


def _age(value: Object, now: datetime) -> str:
    return _since(value["metadata"].get("creationTimestamp"), now)


def _since(text: str | None, now: datetime) -> str:
    moment = _time(text)
    return duration((now - moment).total_seconds()) if moment else _UNKNOWN


def _name(value: Object) -> str:
    return value["metadata"].get("name", "")


def _plain(value: Object, now: datetime) -> list[Any]:
    return [_name(value), _age(value, now)]


def _pod(value: Object, now: datetime) -> list[Any]:
    spec, status = value.get("spec", {}), value.get("status", {})
    states = status.get("containerStatuses") or []
    ready = sum(bool(state.get("ready")) for state in states)
    gates = [gate["conditionType"] for gate in spec.get("readinessGates", ())]
    met = {c["type"] for c in status.get("conditions", ()) if c.get("status") == "True"}
    return [
        _name(value),
        f"{ready}/{len(spec.get('containers', ()))}",
        _pod_state(value),
        _restarts(states, now),
        _age(value, now),
        status.get("podIP") or _NONE,
        spec.get("nodeName") or _NONE,
        status.get("nominatedNodeName") or _NONE,
        f"{sum(gate in met for gate in gates)}/{len(gates)}" if gates else _NONE,
    ]


def _pod_state(value: Object) -> str:
    status = value.get("status", {})
    said = status.get("reason") or status.get("phase", "")
    for position, state in enumerate(status.get("initContainerStatuses") or []):
        now = state.get("state", {})
        if now.get("terminated", {}).get("exitCode") == 0:
            continue
        many = len(value["spec"].get("initContainers", ()))
        waiting = now.get("waiting", {}).get("reason")
        ended = _ended(now["terminated"]) if "terminated" in now else None
        other = waiting if waiting and waiting != "PodInitializing" else None
        said = f"Init:{ended or other}" if ended or other else f"Init:{position}/{many}"
        break
    else:
        running = False
        for state in reversed(status.get("containerStatuses") or []):
            now = state.get("state", {})
            if now.get("waiting", {}).get("reason"):
                said = now["waiting"]["reason"]
            elif "terminated" in now:
                said = _ended(now["terminated"])
            elif state.get("ready") and "running" in now:
                running = True
        if said == "Completed" and running:
            said = "Running"
    return "Terminating" if value["metadata"].get("deletionTimestamp") else said


def _ended(state: Object) -> str:
    if state.get("reason"):
        return state["reason"]
    return f"Signal:{state['signal']}" if state.get("signal") else f"ExitCode:{state.get('exitCode', 0)}"


def _restarts(states: list[Object], now: datetime) -> str:
    many = sum(state.get("restartCount", 0) for state in states)
    ends = [state.get("lastState", {}).get("terminated", {}).get("finishedAt") for state in states]
    last = max((end for end in ends if end), default=None)
    return f"{many} ({_since(last, now)} ago)" if many and last else str(many)


def _containers(spec: Object) -> list[str]:
    every = spec.get("template", {}).get("spec", {}).get("containers", ())
    return [",".join(one.get("name", "") for one in every), ",".join(one.get("image", "") for one in every)]


def _selector(selector: Object | None) -> str:
    if not selector:
        return _NONE
    parts = [f"{key}={value}" for key, value in sorted((selector.get("matchLabels") or {}).items())]
    for rule in selector.get("matchExpressions") or ():
        values = ",".join(rule.get("values") or ())
        key, operator = rule["key"], rule["operator"]
        written = {"In": f"{key} in ({values})", "NotIn": f"{key} notin ({values})", "Exists": key}
        parts.append(written.get(operator, f"!{key}"))
    return ",".join(parts) or _NONE


def _deployment(value: Object, now: datetime) -> list[Any]:
    spec, status = value.get("spec", {}), value.get("status", {})
    return [
        _name(value),
        f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 0)}",
        status.get("updatedReplicas", 0),
        status.get("availableReplicas", 0),
        _age(value, now),
        *_containers(spec),
        _selector(spec.get("selector")),
    ]


def _replicas(value: Object, now: datetime) -> list[Any]:
    spec, status = value.get("spec", {}), value.get("status", {})
    counts = [spec.get("replicas", 0), status.get("replicas", 0), status.get("readyReplicas", 0)]
    return [_name(value), *counts, _age(value, now), *_containers(spec), _selector(spec.get("selector"))]


def _job(value: Object, now: datetime) -> list[Any]:
    spec, status = value.get("spec", {}), value.get("status", {})
    done, wanted, parallel = status.get("succeeded", 0), spec.get("completions"), spec.get("parallelism", 1)
    shown = f"{done}/{1 if wanted is None else wanted}"
    if wanted is None and parallel > 1:
        shown += f" of {parallel}"
    true = {c["type"] for c in status.get("conditions", ()) if c.get("status") == "True"}
    state = next((name for name in ("Complete", "Failed") if name in true), "Running")
    if state == "Running":
        later = {"Suspended": "Suspended" in true, "Terminating": "deletionTimestamp" in value["metadata"]}
        later |= {"SuccessCriteriaMet": "SuccessCriteriaMet" in true, "FailureTarget": "FailureTarget" in true}
        order = ("Terminating", "Suspended", "FailureTarget", "SuccessCriteriaMet")
        state = next((name for name in order if later[name]), "Running")
    start, end = _time(status.get("startTime")), _time(status.get("completionTime"))
    took = duration(((end or now) - start).total_seconds()) if start else ""
    return [_name(value), state, shown, took, _age(value, now), *_containers(spec), _selector(spec.get("selector"))]


def _service(value: Object, now: datetime) -> list[Any]:
    spec = value.get("spec", {})
    ports = []
    for port in spec.get("ports", ()):
        node = f":{port['nodePort']}" if port.get("nodePort") else ""
        ports.append(f"{port.get('port')}{node}/{port.get('protocol', 'TCP')}")
    waiting = "<pending>" if spec.get("type") == "LoadBalancer" else _NONE
    outside = ",".join(spec.get("externalIPs", ())) or spec.get("externalName") or waiting
    entries = value.get("status", {}).get("loadBalancer", {}).get("ingress") or ()
    if entries:
        outside = ",".join(str(entry.get("ip") or entry.get("hostname")) for entry in entries)
    return [
        _name(value),
        spec.get("type", ""),
        spec.get("clusterIP") or _NONE,
        outside,
        ",".join(ports) or _NONE,
        _age(value, now),
        _selector({"matchLabels": spec.get("selector", {})}),
    ]


def _node(value: Object, now: datetime) -> list[Any]:
    status, labels = value.get("status", {}), value["metadata"].get("labels", {})
    ready = next((c for c in status.get("conditions", ()) if c["type"] == "Ready"), None)
    state = "Unknown" if ready is None else ("Ready" if ready["status"] == "True" else "NotReady")
    if value.get("spec", {}).get("unschedulable"):
        state += ",SchedulingDisabled"
    prefix = "node-role.kubernetes.io/"
    roles = sorted(key.removeprefix(prefix) for key in labels if key.startswith(prefix))
    info = status.get("nodeInfo", {})
    addresses = {entry["type"]: entry["address"] for entry in status.get("addresses", ())}
    return [
        _name(value),
        state,
        ",".join(roles) or _NONE,
        _age(value, now),
        info.get("kubeletVersion", ""),
        addresses.get("InternalIP", _NONE),
        addresses.get("ExternalIP", _NONE),
        info.get("osImage") or _UNKNOWN,
        info.get("kernelVersion") or _UNKNOWN,
        info.get("containerRuntimeVersion") or _UNKNOWN,
    ]


def _event(value: Object, now: datetime) -> list[Any]:
    about = value.get("involvedObject", {})
    first = value.get("firstTimestamp") or value.get("eventTime")
    last = value.get("lastTimestamp") or first
    source = value.get("source", {})
    from_host = f", {source['host']}" if source.get("host") else ""
    return [
        _since(last, now),
        value.get("type", ""),
        value.get("reason", ""),
        f"{about.get('kind', '').lower()}/{about.get('name', '')}",
        value.get("message", "").strip(),
        about.get("fieldPath", ""),
        f"{source.get('component') or value.get('reportingComponent', '')}{from_host}",
        _since(first, now),
        str(value.get("count") or 1),
        _name(value),
    ]


def _claim(value: Object, now: datetime) -> list[Any]:
    spec, status = value.get("spec", {}), value.get("status", {})
    short: dict[str, str] = {
        "ReadWriteOnce": "RWO",
        "ReadOnlyMany": "ROX",
        "ReadWriteMany": "RWX",
        "ReadWriteOncePod": "RWOP",
    }
    modes = ",".join(str(short.get(mode, mode)) for mode in status.get("accessModes", ()))
    state = "Terminating" if value["metadata"].get("deletionTimestamp") else status.get("phase", "")
    return [
        _name(value),
        state,
        spec.get("volumeName", ""),
        status.get("capacity", {}).get("storage", ""),
        modes,
        spec.get("storageClassName", ""),
        spec.get("volumeAttributesClassName") or _UNSET,
        _age(value, now),
        spec.get("volumeMode") or _UNSET,
    ]


def _budget(value: Object, now: datetime) -> list[Any]:
    spec = value.get("spec", {})
    least, most = (str(spec.get(name, "N/A")) for name in ("minAvailable", "maxUnavailable"))
    return [_name(value), least, most, value.get("status", {}).get("disruptionsAllowed", 0), _age(value, now)]


def _binding(value: Object, now: datetime) -> list[Any]:
    ref, subjects = value.get("roleRef", {}), value.get("subjects") or ()

    def listed(kind: str) -> str:
        names = (
            f"{one.get('namespace', '')}/{one['name']}" if kind == "ServiceAccount" else one["name"]
            for one in subjects
            if one.get("kind") == kind
        )
        return ", ".join(names)

    role = f"{ref.get('kind')}/{ref.get('name')}"
    return [_name(value), role, _age(value, now), *(listed(kind) for kind in ("User", "Group", "ServiceAccount"))]


def _role(value: Object, now: datetime) -> list[Any]:
    return [_name(value), value["metadata"].get("creationTimestamp", "")]


_WORKLOAD = ("*Containers", "*Images", "*Selector")
_ROLE = ("Name", "Created At")
_BINDING = ("Name", "Role", "Age", "*Users", "*Groups", "*ServiceAccounts")
_COLUMNS: dict[str, tuple[tuple[str, ...], Cells]] = {
    "Pod": (
        ("Name", "Ready", "Status", "Restarts", "Age", "*IP", "*Node", "*Nominated Node", "*Readiness Gates"),
        _pod,
    ),
    "Deployment": (("Name", "Ready", "Up-to-date", "Available", "Age", *_WORKLOAD), _deployment),
    "ReplicaSet": (("Name", "Desired", "Current", "Ready", "Age", *_WORKLOAD), _replicas),
    "Job": (("Name", "Status", "Completions", "Duration", "Age", *_WORKLOAD), _job),
    "Service": (("Name", "Type", "Cluster-IP", "External-IP", "Port(s)", "Age", "*Selector"), _service),
    "Node": (
        ("Name", "Status", "Roles", "Age", "Version", "*Internal-IP", "*External-IP", "*OS-Image", "*Kernel-Version",
         "*Container-Runtime"),
        _node,
    ),
    "Event": (
        ("Last Seen", "Type", "Reason", "Object", "Message", "*Subobject", "*Source", "*First Seen", "*Count", "*Name"),
        _event,
    ),
    "Namespace": (("Name", "Status", "Age"), lambda v, now: [_name(v), v.get("status", {}).get("phase"), _age(v, now)]),
    "ConfigMap": (
        ("Name", "Data", "Age"),
        lambda v, now: [_name(v), len(v.get("data") or ()) + len(v.get("binaryData") or ()), _age(v, now)],
    ),
    "Secret": (
        ("Name", "Type", "Data", "Age"),
        lambda v, now: [_name(v), v.get("type"), len(v.get("data") or ()), _age(v, now)],
    ),
    "ServiceAccount": (
        ("Name", "Secrets", "Age"),
        lambda v, now: [_name(v), len(v.get("secrets") or ()), _age(v, now)],
    ),
    "PersistentVolumeClaim": (
        ("Name", "Status", "Volume", "Capacity", "Access Modes", "StorageClass", "VolumeAttributesClass", "Age",
         "*VolumeMode"),
        _claim,
    ),
    "NetworkPolicy": (
        ("Name", "Pod-Selector", "Age"),
        lambda v, now: [_name(v), _selector(v.get("spec", {}).get("podSelector")), _age(v, now)],
    ),
    "PodDisruptionBudget": (("Name", "Min Available", "Max Unavailable", "Allowed Disruptions", "Age"), _budget),
    "Role": (_ROLE, _role),
    "ClusterRole": (_ROLE, _role),
    "RoleBinding": (_BINDING, _binding),
    "ClusterRoleBinding": (_BINDING, _binding),
}  # fmt: skip
