"""Waiting for something to come true, with a deadline."""

import time


def wait_until(condition, *, seconds: float = 20.0) -> None:
    """Return when a condition is true; fail when it is not in time."""
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, "it did not come true"
        time.sleep(0.02)
