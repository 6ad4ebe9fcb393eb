"""The parts of a write that look at nothing but the objects: what is new, what stays, what a patch makes."""

from __future__ import annotations

import copy
import random
from typing import Any

from embedded_aws.kubernetes import defaults, merging
from embedded_aws.kubernetes.kinds import Kind
from embedded_aws.kubernetes.messages import Request, Target
from embedded_aws.kubernetes.refusals import Refusal
from embedded_aws.kubernetes.schemas import Node, Schemas

Object = dict[str, Any]
APPLY = "application/apply-patch+yaml"
_JSON, _MERGE, _STRATEGIC = (
    f"application/{name}+json" for name in ("json-patch", "merge-patch", "strategic-merge-patch")
)
_OWN = ("uid", "creationTimestamp", "generation", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink")
_LETTERS = "bcdfghjklmnpqrstvwxz2456789"  # of generated names: no vowels, so no words
PATCHES = (_JSON, _MERGE, _STRATEGIC)


def begun(kind: Kind, value: Object, uid: str) -> Object:
    """Make what a client sends a new object, in place; return what it was without the server's part."""
    metadata = value["metadata"]
    if metadata.get("resourceVersion"):
        raise Refusal(500, "resourceVersion should not be set on objects to be created", reason="Unknown")
    for name in (*_OWN, "managedFields", "resourceVersion"):
        metadata.pop(name, None)
    if "status" in kind.subresources and kind.name != "Node":  # a status is written at its own path
        value.pop("status", None)
    config = copy.deepcopy(value)
    if "status" in kind.subresources:
        value.setdefault("status", {})
    if not metadata.get("name") and metadata.get("generateName"):
        metadata["name"] = metadata["generateName"][:58] + "".join(random.choices(_LETTERS, k=5))  # noqa: S311
    metadata.setdefault("name", "")
    defaults.fill(kind, value)
    if kind.name == "Pod":
        value["status"] = {"phase": "Pending", "qosClass": quality(value["spec"])}
    if kind.name == "Job":
        metadata["uid"] = uid
        defaults.own_job(value)
    return config


def patch_of(content_type: str, old: Object, patch: Any, node: Node | None, schemas: Schemas) -> Any:
    """Return what a patch makes of an object.

    Raises
    ------
    Refusal
        422, if it does not fit.
    """
    try:
        if content_type == _JSON:
            if not isinstance(patch, list):
                raise Refusal(
                    400, "error decoding patch: json: cannot unmarshal object into Go value of type jsonpatch.Patch"
                )
            return merging.json_patch(old, patch)
        if content_type == _MERGE:
            return merging.merge(old, patch)
        return merging.strategic(old, patch, node, schemas)
    except merging.PatchError as error:
        message = "the server rejected our request due to an error in our request"
        causes = [{"reason": "UnexpectedServerResponse", "message": str(error)}]
        raise Refusal(422, message, details={"causes": causes}) from None


def dry(request: Request) -> bool:
    """Tell whether a request only wants to know what would be.

    Raises
    ------
    Refusal
        400, if it says so in another way than ``All``.
    """
    given = request.query.get("dryRun")
    if given not in (None, "", "All"):
        message = f'dryRun: Unsupported value: "{given}": supported values: "All"'
        raise Refusal(422, f'PatchOptions.meta.k8s.io "" is invalid: {message}')
    return given == "All"


def quality(spec: Object) -> str:
    """Return the quality of service that a pod's requests and limits make."""
    every = [*spec.get("initContainers", ()), *spec.get("containers", ())]
    given = [one.get("resources", {}) for one in every]
    if not any(one.get("requests") or one.get("limits") for one in given):
        return "BestEffort"
    guaranteed = all(
        {"cpu", "memory"} <= {*(one.get("limits") or ())} and one.get("requests", one["limits"]) == one["limits"]
        for one in given
    )
    return "Guaranteed" if guaranteed else "Burstable"


def same_name(value: Object, target: Target) -> None:
    """Refuse an object that has another name than its path.

    Raises
    ------
    Refusal
        400.
    """
    name = value["metadata"].get("name", target.name)
    if name != target.name:
        raise Refusal(400, f"the name of the object ({name}) does not match the name on the URL ({target.name})")


def noted(target: Target) -> str:
    """Return the subresource that ``managedFields`` names for a path."""
    return target.subresource if target.subresource in ("status", "scale") else ""


def kept(new: Object, old: Object, target: Target) -> Object:
    """Return the new object with what its path does not change as it was."""
    metadata = new["metadata"]
    for name in _OWN:
        metadata.pop(name, None)
        if name in old["metadata"]:
            metadata[name] = old["metadata"][name]
    metadata["name"] = old["metadata"]["name"]
    if target.subresource == "status":
        kept = {name: value for name, value in old.items() if name != "status"}
        kept["metadata"] = old["metadata"] | {k: metadata[k] for k in ("managedFields",) if k in metadata}
        return kept | ({"status": new["status"]} if "status" in new else {})
    if target.subresource == "finalize":
        return old | {"spec": new.get("spec", {"finalizers": []})}
    if "status" in target.kind.subresources:
        new.pop("status", None)
        if "status" in old:
            new["status"] = old["status"]
    if target.kind.name == "Namespace":
        new.setdefault("spec", {})["finalizers"] = old["spec"].get("finalizers", [])
    if target.kind.name == "Service":
        for name in ("clusterIP", "clusterIPs"):
            if not new["spec"].get(name) and old["spec"].get(name):
                new["spec"][name] = old["spec"][name]
    if target.kind.name == "Job" and "template" in new.get("spec", {}):
        _job_kept(new, old)
    return new


def _job_kept(new: Object, old: Object) -> None:
    """Keep the selector and the labels that the server has given the job, when a client applies it without them."""
    spec, before = new["spec"], old["spec"]
    spec.setdefault("selector", before.get("selector"))
    labels = spec["template"].setdefault("metadata", {}).setdefault("labels", {})
    for key, value in before["template"].get("metadata", {}).get("labels", {}).items():
        if key.removeprefix("batch.kubernetes.io/") in ("controller-uid", "job-name"):
            labels.setdefault(key, value)
