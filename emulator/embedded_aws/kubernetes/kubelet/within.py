"""Doing something in a pod's network: a thread of its own enters the namespace, for a thread cannot leave one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from embedded_aws.network import netns


def within(namespace: int | None, act: Callable[[], Any]) -> Any:
    """Return what ``act`` returns in a network namespace; raise what it raises.

    Parameters
    ----------
    namespace : int, optional
        Its descriptor; None: this process's own network.
    """
    if namespace is None:
        return act()
    outcome: list[Any] = []

    def run() -> None:
        try:
            netns.enter(namespace)
            outcome.append((act(), None))
        except BaseException as error:
            outcome.append((None, error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join()
    result, error = outcome[0]
    if error is not None:
        raise error
    return result
