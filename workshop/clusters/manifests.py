"""Manifests of one owner: the bases of ``kubernetes/`` with this owner's values, and kubectl, which applies them.

The folder holds all that is applied and no secret; an owner can read it, keep it, hand it to a deployment tool.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from workshop import state
from workshop.aws import accounts
from workshop.aws.cleanup import CLUSTER
from workshop.clusters import access
from workshop.errors import StackError
from workshop.files import MANIFESTS, write_text

FIELD_MANAGER = "federation"
KUBECTL_SECONDS = 120.0
_credentials: dict[str, tuple[int, float, str]] = {}  # by account: for which file of kubectl, made when, what


@dataclass(frozen=True)
class AgentValues:
    """What a hospital's manifests are filled in with.

    Attributes
    ----------
    name, bucket : str
        The client's, and its bucket.
    server, port, server_cidr
        What the agent dials, and the range in which that is.
    authority : str
        The federation's certificate authority, PEM.
    image : str
        ``repository@sha256:...`` of this owner's registry.
    """

    name: str
    bucket: str
    server: str
    port: int
    server_cidr: str
    authority: str
    image: str


@dataclass(frozen=True)
class ServerValues:
    """What the server's manifests are filled in with: the port, and the ranges of the hospitals' networks."""

    port: int
    client_cidrs: tuple[str, ...]
    own_cidr: str


def write_agent(folder: Path, values: AgentValues) -> Path:
    """Write a hospital's folder; return it."""
    repository, digest = by_digest(values.image)
    settings = {
        "AGENT_NAME": values.name, "AGENT_SERVER": f"{values.server}:{values.port}", "AGENT_BUCKET": values.bucket,
    }  # fmt: skip
    kustomization = {
        "images": [{"name": "agent", "newName": repository, "digest": digest}],
        # Their names end with a hash of what is in them: an agent whose settings change is started again.
        "configMapGenerator": [
            {"name": "agent", "literals": [f"{name}={value}" for name, value in settings.items()]},
            {"name": "authority", "files": ["authority.pem"]},
        ],
        "patches": [_patch("NetworkPolicy", "agent", {
            "/spec/egress/0/to/0/ipBlock/cidr": values.server_cidr,
            "/spec/egress/0/ports/0/port": values.port,
        })],
    }  # fmt: skip
    _write(folder, "agent", kustomization)
    write_text(folder / "authority.pem", values.authority)
    return folder


def by_digest(image: str) -> tuple[str, str]:
    """Return repository and digest of an image's name.

    Raises
    ------
    StackError
        If it is named by anything else: a tag may mean another image tomorrow.
    """
    match = re.fullmatch(r"([\w./:-]+)@(sha256:[0-9a-f]{64})", image)
    if match is None:
        raise StackError(f"image {image!r} is not named by its digest, as repository@sha256:...")
    return match[1], match[2]


def write_server(folder: Path, values: ServerValues) -> Path:
    """Write the server's folder; return it."""
    # The load balancer itself asks whether the pod is there, from its own network.
    ranges = [{"ipBlock": {"cidr": cidr}} for cidr in (*values.client_cidrs, values.own_cidr)]
    kustomization = {
        "patches": [
            _patch("Service", "federation", {
                "/spec/loadBalancerSourceRanges": list(values.client_cidrs), "/spec/ports/0/port": values.port,
            }),
            _patch("NetworkPolicy", "run", {
                "/spec/ingress/0/from": ranges, "/spec/ingress/0/ports/0/port": values.port,
            }),
        ]
    }  # fmt: skip
    _write(folder, "server", kustomization)
    return folder


def _patch(kind: str, name: str, values: dict[str, Any]) -> dict[str, Any]:
    steps = [{"op": "replace", "path": path, "value": value} for path, value in values.items()]
    return {"target": {"kind": kind, "name": name}, "patch": json.dumps(steps)}


def _write(folder: Path, role: str, kustomization: dict[str, Any]) -> None:
    for base in ("base", role):
        shutil.copytree(MANIFESTS / base, folder / base, dirs_exist_ok=True)
    whole = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": "federation",
        "resources": [role],
        **kustomization,
    }
    write_text(folder / "kustomization.yaml", yaml.safe_dump(whole, sort_keys=False))


def kubeconfig() -> Path:
    """Return where the file is that kubectl reads."""
    return state.home() / "clusters" / "kubeconfig"


def kubectl(account: str, arguments: Sequence[str], *, seconds: float = KUBECTL_SECONDS, given: str = "") -> str:
    """Run kubectl on an account's cluster; return what it prints.

    Raises
    ------
    StackError
        If there is no kubectl, or it fails; with its own words.
    """
    command = ["kubectl", "--kubeconfig", str(kubeconfig()), "--context", account, *arguments]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=seconds, check=False, input=given or None,
            env=os.environ
            | {"KUBECACHEDIR": str(state.home() / "clusters" / "cache"), access.CREDENTIAL: _credential(account)},
        )  # fmt: skip
    except FileNotFoundError as error:
        raise StackError("there is no kubectl: install 1.32 or later (kubernetes.io/docs/tasks/tools)") from error
    except subprocess.TimeoutExpired as error:
        raise StackError(f"account {account}: kubectl {arguments[0]} does not end within {seconds:.0f} s") from error
    if done.returncode:
        raise StackError(f"account {account}: kubectl {' '.join(arguments[:2])}: {done.stderr.strip()[-2000:]}")
    return done.stdout


def _credential(account: str) -> str:
    """Return what kubectl needs to be let in, made anew before it ends, or when the clusters are others."""
    written = kubeconfig().stat().st_mtime_ns if kubeconfig().exists() else 0
    known = _credentials.get(account)
    if known is None or known[0] != written or time.monotonic() - known[1] > access.WORTH / 2:
        text = access.exec_credential(accounts.session(account), CLUSTER)
        known = _credentials[account] = written, time.monotonic(), text
    return known[2]


def apply(account: str, folder: Path) -> list[str]:
    """Apply an owner's folder; return one line per object, with what was done."""
    arguments = ["apply", "--server-side", "--field-manager", FIELD_MANAGER, "-k", str(folder)]
    return kubectl(account, arguments).splitlines()
