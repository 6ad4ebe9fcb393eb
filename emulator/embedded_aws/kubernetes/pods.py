"""What a pod's ``spec`` must be beyond its types: names that are there once, volumes that exist, limits that hold."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from embedded_aws.kubernetes import names
from embedded_aws.kubernetes.quantities import amount
from embedded_aws.kubernetes.refusals import Cause

Object = dict[str, Any]
MOVABLE = (
    "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,"
    "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing "
    "tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
).removeprefix("spec: ")
_POLICIES = ("Always", "OnFailure", "Never")
_DNS = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
_PULL = ("Always", "IfNotPresent", "Never")
# Valid on a cluster, and of consequence there: nothing here acts on them, so that taking them would be a promise.
_WITHOUT_EFFECT = (
    "affinity", "dnsConfig", "evictionResponders", "hostAliases", "hostnameOverride", "overhead", "resourceClaims",
    "runtimeClassName", "schedulingGates", "schedulingGroup", "shareProcessNamespace", "topologySpreadConstraints",
)  # fmt: skip
_WITHOUT_EFFECT_IN_A_CONTAINER = ("lifecycle", "restartPolicyRules", "volumeDevices")
_PROTOCOLS = ("SCTP", "TCP", "UDP")


def spec(value: Object, path: str) -> Iterator[Cause]:
    """Yield what is wrong with a pod's or a template's ``spec``, and what it asks for that no pod gets here."""
    yield from _not_here(value, _WITHOUT_EFFECT, path)
    volumes = value.get("volumes", ())
    yield from once([volume.get("name") for volume in volumes], f"{path}.volumes", "name")
    for position, volume in enumerate(volumes):
        yield from names.label(volume.get("name"), f"{path}.volumes[{position}].name")
        if len(volume) > 2:
            yield Cause(f"{path}.volumes[{position}]", "Forbidden: may not specify more than 1 volume type", _FORBIDDEN)
    every = [*value.get("initContainers", ()), *value.get("containers", ())]
    yield from once([one.get("name") for one in every], f"{path}.containers", "name", len(every) - len(_main(value)))
    for field in ("initContainers", "containers"):
        for position, container in enumerate(value.get(field, ())):
            yield from _not_here(container, _WITHOUT_EFFECT_IN_A_CONTAINER, f"{path}.{field}[{position}]")
            yield from _container(container, f"{path}.{field}[{position}]", {v.get("name") for v in volumes})
    yield from one_of(value.get("restartPolicy"), _POLICIES, f"{path}.restartPolicy")
    yield from one_of(value.get("dnsPolicy"), _DNS, f"{path}.dnsPolicy")
    if value.get("serviceAccountName"):
        yield from names.subdomain(value["serviceAccountName"], f"{path}.serviceAccountName")
    if value.get("activeDeadlineSeconds", 1) < 1:
        yield Cause(f"{path}.activeDeadlineSeconds", _between(value["activeDeadlineSeconds"], 1, 2**31 - 1))


def _not_here(value: Object, fields: Sequence[str], path: str) -> Iterator[Cause]:
    for field in fields:
        if value.get(field):
            yield Cause(f"{path}.{field}", "Forbidden: the embedded cluster does not act on it", _FORBIDDEN)


def change(new: Object, old: Object) -> Iterator[Cause]:
    """Yield what a pod that exists may not become."""
    if _fixed(new["spec"]) != _fixed(old["spec"]):
        yield Cause("spec", MOVABLE, _FORBIDDEN)
    kept, now = old["spec"].get("tolerations", []), new["spec"].get("tolerations", [])
    if any(toleration not in now for toleration in kept):
        yield Cause(
            "spec.tolerations", "Forbidden: existing toleration can not be modified except its tolerationSeconds"
        )


def once(given: Sequence[Any], path: str, field: str, start: int = 0) -> Iterator[Cause]:
    """Yield the values of a list that come more than once."""
    seen = set()
    for position, name in enumerate(given):
        if name and name in seen:
            yield Cause(f"{path}[{position - start}].{field}", f'Duplicate value: "{name}"', "FieldValueDuplicate")
        seen.add(name)


def one_of(value: Any, allowed: Sequence[str], path: str) -> Iterator[Cause]:
    """Yield that a value is none of those that there are."""
    if value is not None and value not in allowed:
        every = ", ".join(f'"{name}"' for name in allowed)
        yield Cause(path, f'Unsupported value: "{value}": supported values: {every}', "FieldValueNotSupported")


def port(value: Any, path: str) -> Iterator[Cause]:
    """Yield that a number is no port."""
    if isinstance(value, int) and not 1 <= value <= 65535:
        yield Cause(path, _between(value, 1, 65535))


_FORBIDDEN = "FieldValueForbidden"


def _main(value: Object) -> Sequence[Object]:
    return value.get("containers", ())


def _container(value: Object, path: str, volumes: set[Any]) -> Iterator[Cause]:
    yield from names.label(value.get("name"), f"{path}.name")
    if not value.get("image"):
        yield Cause(f"{path}.image", "Required value", "FieldValueRequired")
    elif value["image"] != value["image"].strip():
        yield Cause(f"{path}.image", f'Invalid value: "{value["image"]}": must not have leading or trailing whitespace')
    yield from one_of(value.get("imagePullPolicy"), _PULL, f"{path}.imagePullPolicy")
    yield from once([port.get("name") for port in value.get("ports", ())], f"{path}.ports", "name")
    for position, given in enumerate(value.get("ports", ())):
        yield from port(given.get("containerPort"), f"{path}.ports[{position}].containerPort")
        yield from port(given.get("hostPort"), f"{path}.ports[{position}].hostPort")
        yield from one_of(given.get("protocol"), _PROTOCOLS, f"{path}.ports[{position}].protocol")
    for position, variable in enumerate(value.get("env", ())):
        if variable.get("value") and variable.get("valueFrom"):
            message = 'Invalid value: "": may not be specified when `value` is not empty'
            yield Cause(f"{path}.env[{position}].valueFrom", message)
    mounts = value.get("volumeMounts", ())
    yield from _paths([mount.get("mountPath") for mount in mounts], path)
    for position, mount in enumerate(mounts):
        if mount.get("name") and mount["name"] not in volumes:
            message = f'Not found: "{mount["name"]}"'
            yield Cause(f"{path}.volumeMounts[{position}].name", message, "FieldValueNotFound")
    yield from _resources(value.get("resources", {}), f"{path}.resources")
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        yield from _probe(value.get(name), f"{path}.{name}")


def _paths(given: Sequence[Any], path: str) -> Iterator[Cause]:
    for position, where in enumerate(given):
        if where and where in given[:position]:
            yield Cause(f"{path}.volumeMounts[{position}].mountPath", f'Invalid value: "{where}": must be unique')


def _resources(value: Object, path: str) -> Iterator[Cause]:
    for field in ("limits", "requests"):
        for name, given in value.get(field, {}).items():
            much = amount(given)
            if much is not None and much < 0:
                message = f'Invalid value: "{given}": must be greater than or equal to 0'
                yield Cause(f"{path}.{field}[{name}]", message)
    for name, wanted in value.get("requests", {}).items():
        limit = value.get("limits", {}).get(name)
        asked, allowed = amount(wanted), amount(limit) if limit is not None else None
        if asked is not None and allowed is not None and asked > allowed:
            message = f'Invalid value: "{wanted}": must be less than or equal to {name} limit of {limit}'
            yield Cause(f"{path}.requests", message)


def _probe(value: Object | None, path: str) -> Iterator[Cause]:
    if value is None:
        return
    handlers = [name for name in ("exec", "httpGet", "tcpSocket", "grpc") if name in value]
    if not handlers:
        yield Cause(path, "Required value: must specify a handler type", "FieldValueRequired")
    for name in handlers[1:]:
        message = "Forbidden: may not specify more than 1 handler type"
        yield Cause(f"{path}.{name}", message, _FORBIDDEN)


def _between(value: Any, least: int, most: int) -> str:
    return f"Invalid value: {value}: must be between {least} and {most}, inclusive"


def _fixed(value: Object) -> str:
    free = ("tolerations", "activeDeadlineSeconds", "terminationGracePeriodSeconds")
    rest = {name: inner for name, inner in value.items() if name not in free}
    for field in ("containers", "initContainers"):
        if field in rest:
            rest[field] = [{k: v for k, v in one.items() if k != "image"} for one in rest[field]]
    return json.dumps(rest, sort_keys=True)
