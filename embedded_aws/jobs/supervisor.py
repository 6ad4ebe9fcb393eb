"""Stand between the embedded AWS and one job's script: start it, pass SIGTERM on, end the group with the server.

Runs as ``python -I -S supervisor.py STATUS_FD SCRIPT...`` in a session of its own. Standard input is a pipe from
the server: ``T`` asks for SIGTERM, its end means that the server is gone. ``STATUS_FD`` carries ``T`` back, and
``E<code>`` when the script has ended. The standard library only, and little of it: there is one per job.
"""

import _thread
import contextlib
import os
import signal
import sys

END_OF_SERVER = b""


def obey(script: int, status: int) -> None:
    """Read the server's wishes until it is gone; then end everything in this process group."""
    while (wish := os.read(0, 1)) != END_OF_SERVER:
        if wish == b"T":
            with contextlib.suppress(OSError):
                os.kill(script, signal.SIGTERM)
                os.write(status, b"T")
    os.killpg(0, signal.SIGKILL)


def main() -> None:
    """Start the script, wait for its end, report it, and take what is left of the group along."""
    status, command = int(sys.argv[1]), sys.argv[2:]
    os.set_inheritable(status, False)
    no_input = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)]
    script = os.posix_spawn(command[0], command, os.environ, file_actions=no_input)
    _thread.start_new_thread(obey, (script, status))
    _, ended = os.waitpid(script, 0)
    code = os.waitstatus_to_exitcode(ended)
    with contextlib.suppress(OSError):
        os.write(status, b"E%d\n" % (code if code >= 0 else 128 - code))
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
