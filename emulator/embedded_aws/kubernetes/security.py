"""Pod Security Admission: what a namespace's labels allow its pods, in the words of the API server.

Source: Kubernetes documentation, "Pod Security Standards" and "Pod Security Admission". The versions of the standards
are not told apart: every one is taken for the latest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

Object = dict[str, Any]
_LABEL = "pod-security.kubernetes.io/"
_DEFAULT_CAPABILITIES = {
    "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP",
    "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
}  # fmt: skip
_VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret",
}  # fmt: skip
_PROFILES = ("RuntimeDefault", "Localhost")


def violation(labels: Mapping[str, str], mode: str, pod: Object) -> str:
    """Return which standard of its namespace a pod violates, and how; "" if it may be.

    Parameters
    ----------
    labels : mapping
        The namespace's.
    mode : str
        ``enforce`` or ``warn``. What is enforced is warned of, too, where nothing else is said.
    pod : mapping
        A pod or a pod template.

    >>> violation({"pod-security.kubernetes.io/enforce": "baseline"}, "enforce", {"spec": {"hostPID": True}})
    'PodSecurity "baseline:latest": host namespaces (hostPID=true)'
    """
    if _LABEL + mode not in labels and mode == "warn":
        mode = "enforce"
    level = labels.get(_LABEL + mode, "privileged")
    version = labels.get(f"{_LABEL}{mode}-version", "latest")
    if level not in ("baseline", "restricted"):
        return ""
    checks = [*_BASELINE, *(_RESTRICTED if level == "restricted" else [_unconfined])]
    said = [text for check in checks for text in check(pod.get("spec", {}))]
    return f'PodSecurity "{level}:{version}": {", ".join(said)}' if said else ""


def _containers(spec: Object) -> list[Object]:
    return [*spec.get("initContainers", ()), *spec.get("containers", ()), *spec.get("ephemeralContainers", ())]


def _context(value: Object) -> Object:
    return value.get("securityContext") or {}


def _said(found: Sequence[Object], which: str = "container") -> str:
    listed = ", ".join(f'"{one["name"]}"' for one in found)
    return f"{which}{'s' if len(found) > 1 else ''} {listed}"


def _host(spec: Object) -> Iterator[str]:
    used = [f"{name}=true" for name in ("hostNetwork", "hostPID", "hostIPC") if spec.get(name)]
    if used:
        yield f"host namespaces ({', '.join(used)})"


def _privileged(spec: Object) -> Iterator[str]:
    found = [one for one in _containers(spec) if _context(one).get("privileged")]
    if found:
        yield f"privileged ({_said(found)} must not set securityContext.privileged=true)"


def _capabilities(spec: Object) -> Iterator[str]:
    added = {name for one in _containers(spec) for name in _added(one)} - _DEFAULT_CAPABILITIES
    found = [one for one in _containers(spec) if set(_added(one)) - _DEFAULT_CAPABILITIES]
    if found:
        names = ", ".join(f'"{name}"' for name in sorted(added))
        yield f"non-default capabilities ({_said(found)} must not include {names} in securityContext.capabilities.add)"


def _added(container: Object) -> list[str]:
    return (_context(container).get("capabilities") or {}).get("add") or []


def _host_paths(spec: Object) -> Iterator[str]:
    found = [volume for volume in spec.get("volumes", ()) if "hostPath" in volume]
    if found:
        yield f"hostPath volumes ({_said(found, 'volume')})"


def _host_ports(spec: Object) -> Iterator[str]:
    ports = {str(p["hostPort"]) for one in _containers(spec) for p in one.get("ports", ()) if p.get("hostPort")}
    found = [one for one in _containers(spec) if any(p.get("hostPort") for p in one.get("ports", ()))]
    if found:
        verb, word = ("use", "hostPorts") if len(found) > 1 or len(ports) > 1 else ("uses", "hostPort")
        yield f"hostPort ({_said(found)} {verb} {word} {', '.join(sorted(ports, key=int))})"


def _unconfined(spec: Object) -> Iterator[str]:
    def bad(value: Object) -> bool:
        return (_context(value).get("seccompProfile") or {}).get("type") == "Unconfined"

    found = [one for one in _containers(spec) if bad(one)]
    who = (["pod"] if bad(spec) else []) + ([_said(found)] if found else [])
    if who:
        yield f'seccompProfile ({" and ".join(who)} must not set securityContext.seccompProfile.type to "Unconfined")'


def _escalation(spec: Object) -> Iterator[str]:
    found = [one for one in _containers(spec) if _context(one).get("allowPrivilegeEscalation") is not False]
    if found:
        where = "securityContext.allowPrivilegeEscalation=false"
        yield f"allowPrivilegeEscalation != false ({_said(found)} must set {where})"


def _dropped(spec: Object) -> Iterator[str]:
    keeps, adds = [], []
    for one in _containers(spec):
        if "ALL" not in ((_context(one).get("capabilities") or {}).get("drop") or []):
            keeps.append(one)
        if set(_added(one)) - {"NET_BIND_SERVICE"}:
            adds.append(one)
    said = [f'{_said(keeps)} must set securityContext.capabilities.drop=["ALL"]'] if keeps else []
    if adds:
        names = sorted({name for one in adds for name in _added(one)} - {"NET_BIND_SERVICE"})
        listed = ", ".join(f'"{name}"' for name in names)
        said.append(f"{_said(adds)} must not include {listed} in securityContext.capabilities.add")
    if said:
        yield f"unrestricted capabilities ({'; '.join(said)})"


def _volumes(spec: Object) -> Iterator[str]:
    odd = [(v, sorted(set(v) - {"name"} - _VOLUMES)) for v in spec.get("volumes", ())]
    found = [(volume, types) for volume, types in odd if types]
    if found:
        types = ", ".join(f'"{name}"' for name in sorted({name for _, types in found for name in types}))
        many = len(found) > 1
        uses = f"use restricted volume types {types}" if many else f"uses restricted volume type {types}"
        yield f"restricted volume types ({_said([v for v, _ in found], 'volume')} {uses})"


def _non_root(spec: Object) -> Iterator[str]:
    pod = _context(spec).get("runAsNonRoot")
    explicit = [one for one in _containers(spec) if _context(one).get("runAsNonRoot") is False]
    unset = [one for one in _containers(spec) if _context(one).get("runAsNonRoot") is None]
    if pod is False or explicit:
        who = (["pod"] if pod is False else []) + ([_said(explicit)] if explicit else [])
        yield f"runAsNonRoot != true ({' and '.join(who)} must not set securityContext.runAsNonRoot=false)"
    elif pod is not True and unset:
        yield f"runAsNonRoot != true (pod or {_said(unset)} must set securityContext.runAsNonRoot=true)"


def _user(spec: Object) -> Iterator[str]:
    found = [one for one in _containers(spec) if _context(one).get("runAsUser") == 0]
    who = (["pod"] if _context(spec).get("runAsUser") == 0 else []) + ([_said(found)] if found else [])
    if who:
        yield f"runAsUser=0 ({' and '.join(who)} must not set runAsUser=0)"


def _profile(spec: Object) -> Iterator[str]:
    def profile(value: Object) -> Any:
        return (_context(value).get("seccompProfile") or {}).get("type")

    explicit = [one for one in _containers(spec) if profile(one) not in (None, *_PROFILES)]
    unset = [one for one in _containers(spec) if profile(one) is None]
    if explicit or profile(spec) not in (None, *_PROFILES):
        yield from _unconfined(spec)
    elif profile(spec) is None and unset:
        allowed = '"RuntimeDefault" or "Localhost"'
        yield f"seccompProfile (pod or {_said(unset)} must set securityContext.seccompProfile.type to {allowed})"


_Check = Callable[[Object], Iterator[str]]
_BASELINE: list[_Check] = [_host, _host_paths, _host_ports, _privileged, _capabilities]
_RESTRICTED: list[_Check] = [_escalation, _dropped, _volumes, _non_root, _user, _profile]
