"""The first run's training job: write down what a job is given here, then work until it is stopped.

It reads no row. It travels in the place of ``client.py``, which is what the owner's state machine starts.
"""

from __future__ import annotations

import argparse
import base64
import importlib.metadata
import json
import os
import platform
import signal
import ssl
import sys
import time
from pathlib import Path

MARK = "first-run"
REGIONS = ("SAGEMAKER_REGION", "AWS_REGION", "AWS_DEFAULT_REGION")
PACKAGES = ("numpy", "scikit-learn", "pandas", "protobuf", "grpcio", "flwr", "cryptography", "boto3")
SECONDS = 600.0  # then it ends by itself
DIAL_SECONDS = 15.0


def say(**facts: object) -> None:
    """Write one line of the log that the first run reads."""
    print(MARK, json.dumps(facts), flush=True)


def versions() -> dict[str, str]:
    """Return which of the packages are here, in which version."""
    installed = {}
    for package in PACKAGES:
        try:
            installed[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            installed[package] = "none"
    return installed


def signs() -> str:
    """Try to prove who this job is; return what came of it, and not the proof."""
    import identity  # pyright: ignore[reportMissingImports] (beside it in a job)

    try:
        identity.prove("nonce", federation="first-run", job=os.environ.get("TRAINING_JOB_NAME", ""))
    except identity.NoIdentity as error:
        return str(error)
    return "yes"


def reaches(address: str, authority: str) -> str:
    """Dial the server's address, where nobody listens yet: refused means that the packets arrived."""
    import connection  # pyright: ignore[reportMissingImports] (beside it in a job)
    import grpc

    pem = ssl.DER_cert_to_PEM_cert(base64.b64decode(authority))
    with connection.dial(address, pem.encode()) as channel:
        try:
            channel.unary_unary("/federation/AreYouThere")(b"", timeout=DIAL_SECONDS)
        except grpc.RpcError as error:
            text = f"{error.code().name} {error.details()}".lower()
            if "refused" in text or "response code 502" in text:  # the latter is the embedded AWS's way to say it
                return "refused"
            return "no answer" if any(word in text for word in ("deadline_exceeded", "timed out", "timeout")) else text
    return "answered"


def attempt(what, *given) -> str:
    """Return what a question brings, or the kind of its error: one that fails must not hide the others."""
    try:
        return what(*given)
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def main() -> None:
    """Tell the facts, then a sign of life every second; SIGTERM is told too, if it comes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server-address", default="")
    parser.add_argument("--ca-certificate", default="")
    options, _ = parser.parse_known_args()
    started, stopped = time.monotonic(), []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(time.monotonic() - started))
    say(python=platform.python_version(), user=os.getuid(), first=_first_process())
    say(regions={name: os.environ.get(name, "") for name in REGIONS})
    say(environment=sorted(os.environ))
    say(packages=versions())
    say(signs=attempt(signs))
    say(server=attempt(reaches, options.server_address, options.ca_certificate))
    say(ready=True)
    reported = False
    while time.monotonic() - started < SECONDS:
        if stopped and not reported:
            say(sigterm=round(stopped[0], 1))
            reported = True
        say(alive=round(time.time(), 1))
        time.sleep(1)


def _first_process() -> str:
    try:
        return Path("/proc/1/comm").read_text().strip()
    except OSError:
        return "unknown"


if __name__ == "__main__":
    sys.exit(main())
