"""Probes: commands, connections and pages by which a kubelet finds out how a container is.

Source: Kubernetes documentation, "Configure Liveness, Readiness and Startup Probes". gRPC probes are not done.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from embedded_aws.kubernetes.kubelet.environment import PYTHON

Object = dict[str, Any]
Result = TypeVar("Result")
Within = Callable[[Callable[[], Any]], Any]  # does something in the container's network
MESSAGE = 300  # characters of what a probe says


@dataclass(frozen=True)
class Target:
    """A container as its probes meet it.

    Attributes
    ----------
    environment, folder
        Of its process.
    address : str
        At which it listens.
    ports : mapping
        Numbers by name.
    real : callable
        Puts paths of this machine in the place of the container's.
    within : callable
    """

    environment: Mapping[str, str]
    folder: Path
    address: str
    ports: Mapping[str, int]
    real: Callable[[str], str]
    within: Within


def ask(probe: Object, target: Target) -> str:
    """Probe once; return why it failed, empty if it did not."""
    seconds = float(probe.get("timeoutSeconds", 1))
    with contextlib.suppress(KeyError):
        if "exec" in probe:
            return target.within(lambda: _command(probe["exec"].get("command", []), target, seconds))
        if "tcpSocket" in probe:
            return target.within(lambda: _connect(target, probe["tcpSocket"]["port"], seconds))
        if "httpGet" in probe:
            return target.within(lambda: _page(target, probe["httpGet"], seconds))
    return "this embedded cluster knows no such probe"


def _command(words: list[str], target: Target, seconds: float) -> str:
    words = [target.real(word) for word in words]
    if words and PYTHON.fullmatch(words[0]):
        words[0] = sys.executable
    try:
        done = subprocess.run(
            words, cwd=target.folder, env=dict(target.environment), timeout=seconds, capture_output=True, check=False,
            stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"command timed out after {seconds:g}s"
    except OSError as error:
        return f"{words[0] if words else 'no command'}: {os.strerror(error.errno or 0)}"
    return "" if done.returncode == 0 else (done.stdout + done.stderr).decode(errors="replace").strip()[:MESSAGE] or (
        f"exit code {done.returncode}"
    )  # fmt: skip


def _connect(target: Target, port: str | int, seconds: float) -> str:
    try:
        socket.create_connection((target.address, _number(target, port)), timeout=seconds).close()
    except OSError as error:
        return f"dial tcp {target.address}:{_number(target, port)}: {error.strerror or error}"
    return ""


def _page(target: Target, about: Object, seconds: float) -> str:
    port = _number(target, about["port"])
    connection = http.client.HTTPConnection(about.get("host", target.address), port, timeout=seconds)
    try:
        with contextlib.closing(connection):
            headers = {each["name"]: each["value"] for each in about.get("httpHeaders", ())}
            connection.request("GET", about.get("path", "/"), headers=headers)
            code = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return f"Get http://{target.address}:{port}{about.get('path', '/')}: {error}"
    return "" if 200 <= code < 400 else f"HTTP probe failed with statuscode: {code}"


def _number(target: Target, port: str | int) -> int:
    return target.ports[port] if isinstance(port, str) and not port.isdigit() else int(port)
