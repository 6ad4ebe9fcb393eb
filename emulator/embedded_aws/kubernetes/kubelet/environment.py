"""Environment and command of a container, as its pod, its image and its ConfigMaps say them.

Source: Kubernetes documentation, "Define Environment Variables for a Container", "Define a Command and Arguments".
"""

from __future__ import annotations

import base64
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from embedded_aws.kubernetes.kinds import named
from embedded_aws.kubernetes.kubelet.host import Image
from embedded_aws.kubernetes.kubelet.volumes import Missing, field_of
from embedded_aws.kubernetes.store import Store

Object = dict[str, Any]
CONFIGMAP, SECRET = named("ConfigMap"), named("Secret")
_REFERENCE = re.compile(r"\$\$|\$\(([A-Za-z_.-][\w.-]*)\)")
PYTHON = re.compile(r"(.*/)?python(3(\.\d+)?)?")


def variables(store: Store, pod: Object, container: Object, image: Image) -> dict[str, str]:
    """Return the variables that a container asks for, those of its image first.

    Raises
    ------
    Missing
        If a ConfigMap, a Secret or a key is not there, in the kubelet's words.
    """
    space, found = pod["metadata"]["namespace"], dict(image.environment)
    for source in container.get("envFrom", ()):
        about = source.get("configMapRef") or source.get("secretRef")
        data = _data(store, space, "configmap" if "configMapRef" in source else "secret", about)
        found |= {f"{source.get('prefix', '')}{key}": value for key, value in data.items()}
    for entry in container.get("env", ()):
        if "valueFrom" not in entry:
            found[entry["name"]] = expand(entry.get("value", ""), found)
            continue
        value = _value(store, pod, entry["valueFrom"])
        if value is not None:
            found[entry["name"]] = value
    return found


def _value(store: Store, pod: Object, source: Object) -> str | None:
    if "fieldRef" in source:
        return field_of(pod, source["fieldRef"]["fieldPath"])
    for name, kind in (("configMapKeyRef", "configmap"), ("secretKeyRef", "secret")):
        if about := source.get(name):
            data = _data(store, pod["metadata"]["namespace"], kind, about)
            if about["key"] not in data and not about.get("optional"):
                raise Missing(f"couldn't find key {about['key']} in {kind} {about['name']}")
            return data.get(about["key"])
    raise Missing(f"the embedded cluster knows no {next(iter(source))} in an environment")


def _data(store: Store, space: str, kind: str, about: Object) -> dict[str, str]:
    value = store.find(CONFIGMAP if kind == "configmap" else SECRET, space, about["name"])
    if value is None:
        if about.get("optional"):
            return {}
        raise Missing(f'{kind} "{about["name"]}" not found')
    if kind == "configmap":
        return dict(value.get("data") or {})
    return {key: base64.b64decode(text).decode(errors="replace") for key, text in (value.get("data") or {}).items()}


def expand(text: str, known: Mapping[str, str]) -> str:
    """Put variables in the place of ``$(NAME)``; ``$$`` is a dollar, what is not known stays as it is.

    >>> expand("$(A)-$$(A)-$(B)", {"A": "1"})
    '1-$(A)-$(B)'
    """
    return _REFERENCE.sub(lambda match: "$" if match[0] == "$$" else known.get(match[1], match[0]), text)


def command(container: Object, image: Image, known: Mapping[str, str]) -> list[str]:
    """Return what a container runs: its own command and arguments, else its image's."""
    if "command" in container:
        words = [*container["command"], *container.get("args", ())]
    elif "args" in container:
        words = [*image.entrypoint, *container["args"]]
    else:
        words = [*image.entrypoint, *image.command]
    return [expand(word, known) for word in words]


class Paths:
    """The folders of this machine behind the paths that a container sees.

    Parameters
    ----------
    image : Image
    mounts : mapping
        Folder by path.
    """

    def __init__(self, image: Image, mounts: Mapping[str, Path]) -> None:
        self.image, self.mounts = image, mounts

    def real(self, text: str) -> str:
        """Return a text in which a mounted path is that of this machine; any other stays."""
        for path in sorted(self.mounts, key=len, reverse=True):
            if text == path or text.startswith(f"{path}/"):
                return str(self.mounts[path]) + text[len(path) :]
        return text

    def folder(self, path: str) -> Path:
        """Return the folder in which a container's process begins."""
        real = self.real(path)
        return Path(real) if real != path else self.image.root / path.lstrip("/")

    def seen(self, text: str) -> str:
        """Return a text without paths of this machine: what a container would have written."""
        for path, real in self.mounts.items():
            text = text.replace(str(real), path)
        return text.replace(str(self.image.root), "")


def machine(home: Path) -> dict[str, str]:
    """Return what every process has of this machine: where its Python is, and a folder for temporary files."""
    kept = {name: os.environ[name] for name in ("LANG", "LC_ALL", "TZ", "SYSTEMROOT") if name in os.environ}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    return {**kept, "PATH": path, "HOME": str(home), "TMPDIR": str(home)}
