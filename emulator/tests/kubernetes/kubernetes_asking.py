"""What tests of clusters share: asking one, running kubectl against one, and small objects to put in."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedded_aws.kubernetes.cluster import Cluster
from embedded_aws.kubernetes.messages import Request
from embedded_aws.kubernetes.rbac import MASTERS, User

ADMIN = User("admin", (MASTERS,))
FIRST = "admin-token"
TOKENS = {FIRST: ADMIN, "ann-token": User("ann")}


class Asked:
    """Asks a cluster without a network between."""

    def __init__(self, cluster: Cluster, user: User | None = ADMIN) -> None:
        self.cluster, self.user = cluster, user

    def as_user(self, user: User | None) -> Asked:
        return Asked(self.cluster, user)

    def __call__(
        self, method: str, path: str, body: Any = None, *, kind: str = "application/json", **query: Any
    ) -> tuple[int, Any]:
        response = self.response(method, path, body, kind=kind, **query)
        assert isinstance(response.body, bytes)
        return response.status, json.loads(response.body)

    def response(
        self, method: str, path: str, body: Any = None, *, kind: str = "application/json", **query: Any
    ) -> Any:
        data = body if isinstance(body, bytes) else (b"" if body is None else json.dumps(body).encode())
        accept = query.pop("accept", "application/json")
        headers = {"content-type": kind, "accept": accept, "user-agent": "tests/1"}
        texts = {name: str(value) for name, value in query.items()}
        return self.cluster.api.answer(Request(method, path, texts, headers, data, self.user))


@dataclass(frozen=True)
class Served:
    """A cluster that is served: where, and with which certificate."""

    cluster: Cluster
    url: str
    authority: Path
    home: Path

    def kubectl(self, *arguments: str, token: str = FIRST, text: str = "", check: bool = True) -> str:
        """Run kubectl; return what it writes, errors included."""
        done = self.start(*arguments, token=token, text=text)
        said = done.stdout + done.stderr
        assert not check or done.returncode == 0, said
        return said

    def start(
        self, *arguments: str, token: str = FIRST, text: str = "", binary: str = "/usr/bin/kubectl"
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl."""
        options = (f"--server={self.url}", f"--certificate-authority={self.authority}", f"--token={token}")
        environment = {"HOME": str(self.home), "PATH": os.environ["PATH"]}
        return subprocess.run(
            [binary, *options, *arguments],
            env=environment,
            input=text,
            text=True,
            capture_output=True,
            timeout=60,
        )


def deployment(name: str = "web", **changes: Any) -> dict[str, Any]:
    """Return a Deployment of one container; ``changes`` are of its spec."""
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "a", "image": "nginx:1"}]}}
    spec = {"selector": {"matchLabels": labels}, "template": template} | changes
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


def pod(name: str = "p", **changes: Any) -> dict[str, Any]:
    """Return a Pod of one container; ``changes`` are of its spec."""
    spec = {"containers": [{"name": "a", "image": "nginx:1"}]} | changes
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
