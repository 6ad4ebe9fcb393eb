"""Stop this notebook instance when no cell has run and nobody has typed in a terminal for some minutes.

A forgotten ml.t3.medium costs $36 a month. Started on the instance by ``install-on-notebook.sh``; it asks the
instance's own Jupyter, and stops nothing as long as that does not answer.
Source: Jupyter Server REST API, ``/api/kernels`` and ``/api/terminals``; AWS's samples of lifecycle configurations for
the address.
"""

from __future__ import annotations

import argparse
import json
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime

import boto3

JUPYTER = "https://localhost:8443"  # with a certificate of its own making
LOOK_SECONDS = 60.0


def last_activity(jupyter: str, *, now: datetime) -> datetime | None:
    """Return when something happened last; now while a cell runs, None where there is no kernel and no terminal.

    Raises
    ------
    OSError
        If Jupyter does not answer.
    """
    kernels, terminals = (_asked(f"{jupyter}/api/{kind}") for kind in ("kernels", "terminals"))
    if any(kernel["execution_state"] == "busy" for kernel in kernels):
        return now
    moments = [datetime.fromisoformat(one["last_activity"]) for one in [*kernels, *terminals]]
    return max(moments, default=None)


def _asked(url: str) -> list[dict]:
    # On loopback nobody stands between, and Jupyter's certificate names nobody.
    context = ssl._create_unverified_context() if url.startswith("https:") else None  # noqa: S323
    with urllib.request.urlopen(url, timeout=10, context=context) as answer:  # noqa: S310 - two schemes, from below
        return json.load(answer)


def watch(
    stop: Callable[[], None], *, minutes: float, jupyter: str = JUPYTER, look: float = LOOK_SECONDS,
    sleep: Callable[[float], None] = time.sleep,
) -> None:  # fmt: skip
    """Look every ``look`` seconds; call ``stop`` once, when nothing has happened for ``minutes``."""
    latest, answers = datetime.now(UTC), True
    while True:
        now = datetime.now(UTC)
        try:
            latest = max(latest, last_activity(jupyter, now=now) or latest)
            answers = True
        except (OSError, ValueError, KeyError) as error:
            latest = now  # who knows what runs
            if answers:
                print(f"{jupyter} does not say whether somebody works ({error}): the instance goes on", flush=True)
            answers = False
        if (now - latest).total_seconds() >= 60 * minutes:
            print(f"nothing has happened for {minutes:.0f} minutes: the instance stops", flush=True)
            stop()
            return
        sleep(look)


def main() -> None:
    """Watch until the instance stops."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="the notebook instance")
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--region", required=True)
    options = parser.parse_args()
    sagemaker = boto3.Session(profile_name="fl-server", region_name=options.region).client("sagemaker")
    watch(lambda: sagemaker.stop_notebook_instance(NotebookInstanceName=options.name), minutes=options.minutes)


if __name__ == "__main__":
    main()
