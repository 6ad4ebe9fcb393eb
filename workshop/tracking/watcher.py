"""File watcher: stands beside a run in 10 MB, and becomes the process that sends it once it is over, or has gone on.

Run as a script, for importing this package would take a second of the processor that the run trains on.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time

LOOK = 0.2  # seconds


def written(events: str) -> bool:
    """Tell whether a process holds the record open for writing."""
    try:
        with open(events) as file:  # noqa: PTH123 (pathlib takes as long to import as all the rest)
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def main(events: str, live_after: str, *command: str) -> None:
    """Wait until the record is closed, or so many seconds have passed; then run the command in this process's place."""
    os.nice(19)
    give_up = time.monotonic() + float(live_after)
    while written(events) and time.monotonic() < give_up:
        time.sleep(LOOK)
    os.execv(command[0], command)  # noqa: S606 (the command is ours)


if __name__ == "__main__":
    main(*sys.argv[1:])
