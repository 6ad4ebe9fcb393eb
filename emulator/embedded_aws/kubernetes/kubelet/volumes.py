"""Volumes of a pod as folders: ConfigMaps, Secrets, the pod's own fields, empty space, and several of these in one.

Source: Kubernetes documentation, "Volumes" and "Projected Volumes".
"""

from __future__ import annotations

import base64
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from embedded_aws.kubernetes.kinds import named
from embedded_aws.kubernetes.store import Store

Object = dict[str, Any]
CONFIGMAP, SECRET = named("ConfigMap"), named("Secret")


class Missing(Exception):
    """Something that a pod mounts or reads is not there, in the kubelet's words."""


class Volumes:
    """The folders of one pod.

    Parameters
    ----------
    store : Store
    pod : dict
    folder : Path
        Below which they are.
    """

    def __init__(self, store: Store, pod: Object, folder: Path) -> None:
        self.store, self.pod, self.folder = store, pod, folder
        self.space = pod["metadata"]["namespace"]
        self._written: dict[str, dict[str, bytes]] = {}

    def fill(self) -> None:
        """Make every folder, and write what has changed since the last time.

        Raises
        ------
        Missing
            Names the volume and what it lacks.
        """
        for volume in self.pod["spec"].get("volumes", ()):
            target = self.folder / volume["name"]
            target.mkdir(parents=True, exist_ok=True)
            files = self._files(volume)
            if files is not None and files != self._written.get(volume["name"]):
                _write(target, files, self._written.get(volume["name"], {}))
                self._written[volume["name"]] = files

    def mounts(self, container: Object) -> dict[str, Path]:
        """Return the folder, or file, behind each path that a container mounts."""
        return {
            mount["mountPath"].rstrip("/"): self.folder / mount["name"] / mount.get("subPath", "")
            for mount in container.get("volumeMounts", ())
        }

    def remove(self) -> None:
        """Remove all of it."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _files(self, volume: Object) -> dict[str, bytes] | None:
        """Return what is to be in a volume; None for space that is the containers' own."""
        name = volume["name"]
        if "emptyDir" in volume:
            return None
        if "configMap" in volume:
            return self._chosen(name, volume["configMap"], self._config_map(name, volume["configMap"]))
        if "secret" in volume:
            about = {**volume["secret"], "name": volume["secret"].get("secretName")}
            return self._chosen(name, about, self._secret(name, about))
        if "downwardAPI" in volume:
            return dict(self._fields(volume["downwardAPI"]))
        if "projected" in volume:
            files: dict[str, bytes] = {}
            for source in volume["projected"].get("sources", ()):
                files |= self._files({"name": name, **source}) or {}
            return files
        kind = next(key for key in volume if key != "name")
        raise Missing(f'MountVolume.SetUp failed for volume "{name}" : the embedded cluster has no volumes of {kind}')

    def _config_map(self, volume: str, about: Object) -> dict[str, bytes] | None:
        value = self.store.find(CONFIGMAP, self.space, about.get("name", ""))
        if value is None:
            return self._absent(volume, about, "configmap", "configmaps")
        text = {key: content.encode() for key, content in (value.get("data") or {}).items()}
        return text | {key: base64.b64decode(content) for key, content in (value.get("binaryData") or {}).items()}

    def _secret(self, volume: str, about: Object) -> dict[str, bytes] | None:
        value = self.store.find(SECRET, self.space, about.get("name") or "")
        if value is None:
            return self._absent(volume, about, "secret", "secrets")
        return {key: base64.b64decode(content) for key, content in (value.get("data") or {}).items()}

    def _absent(self, volume: str, about: Object, kind: str, _: str) -> dict[str, bytes] | None:
        if about.get("optional"):
            return None
        raise Missing(f'MountVolume.SetUp failed for volume "{volume}" : {kind} "{about.get("name")}" not found')

    def _chosen(self, volume: str, about: Object, files: dict[str, bytes] | None) -> dict[str, bytes]:
        if files is None or "items" not in about:
            return files or {}
        if gone := [item["key"] for item in about["items"] if item["key"] not in files]:
            raise Missing(f'MountVolume.SetUp failed for volume "{volume}" : references non-existent key: {gone[0]}')
        return {item["path"]: files[item["key"]] for item in about["items"]}

    def _fields(self, about: Object) -> Iterator[tuple[str, bytes]]:
        for item in about.get("items", ()):
            if "fieldRef" in item:
                yield item["path"], field_of(self.pod, item["fieldRef"]["fieldPath"]).encode()


def field_of(pod: Object, path: str) -> str:
    """Return a field of a pod as environments and volumes name it.

    >>> field_of({"metadata": {"name": "a", "labels": {"b": "c"}}}, "metadata.labels['b']")
    'c'
    """
    if path.endswith("']"):
        group, _, key = path.removesuffix("']").partition("['")
        return pod["metadata"].get(group.removeprefix("metadata."), {}).get(key, "")
    value: Any = pod
    for step in path.split("."):
        value = value.get(step, "") if isinstance(value, dict) else ""
    if isinstance(value, dict):
        return "\n".join(f'{key}="{text}"' for key, text in sorted(value.items()))
    return str(value)


def _write(folder: Path, files: dict[str, bytes], before: dict[str, bytes]) -> None:
    for name in before.keys() - files.keys():
        (folder / name).unlink(missing_ok=True)
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.draft")
        draft.write_bytes(content)
        draft.replace(path)  # a reader sees the old content or the new
