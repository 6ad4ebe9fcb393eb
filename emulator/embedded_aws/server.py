"""Server process: moto with this distribution's services on a free port of 127.0.0.1, until it is told to end.

``python -m embedded_aws.server HOME N_CLIENTS [PARENT_PID [LIFELINE_FD]]``, in an environment made by ``control``. It
ends with its parent, in whatever way that ends, and with the end of the lifeline; ``PARENT_PID`` 0 means that it stays.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import sys
from pathlib import Path

from embedded_aws import PARENT, control, models
from embedded_aws.jobs import folders, forkserver, process, serving

PARENT_SECONDS = 0.5


def main(argv: list[str]) -> int:
    """Serve until SIGTERM, SIGINT, the end of the lifeline or of the parent."""
    files, n_clients = control.Files(Path(argv[0])), int(argv[1])
    parent = int(argv[2]) if len(argv) > 2 else PARENT
    lifeline = int(argv[3]) if len(argv) > 3 else None
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    files.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = control.take_lock(files, patience=control.LOCK_SECONDS)
    if lock is None:
        print(f"an embedded AWS runs for {files.home} already (see {files.record})", file=sys.stderr)
        return 1
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    folders.remove(files.jobs)  # left by a server that was killed
    forkserver.adopt_orphans()  # of jobs whose supervisor is killed
    wake = _on_signals()
    models.install()  # before moto is imported, which reads the same at once
    from embedded_aws import application

    server = application.serve(files, n_clients)
    try:
        _wait(wake, lifeline=lifeline, parent=parent)
    finally:
        process.kill_all()
        serving.leave_nothing()
        files.record.unlink(missing_ok=True)
        files.config.unlink(missing_ok=True)
        folders.remove(files.jobs)
        server.socket.close()
    # Request and job threads need no good-bye, and would delay the end.
    sys.stderr.flush()
    os._exit(0)


def _on_signals() -> int:
    """Return a pipe that becomes readable when this process is asked to end."""
    readable, writable = os.pipe()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup
            signal.signal(number, lambda *_: os.write(writable, b"."))
    return readable


def _wait(wake: int, *, lifeline: int | None, parent: int) -> None:
    watched = [wake] if lifeline is None else [wake, lifeline]
    while True:
        readable, _, _ = select.select(watched, [], [], PARENT_SECONDS if parent else None)
        if readable or (parent and os.getppid() != parent):
            return


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
