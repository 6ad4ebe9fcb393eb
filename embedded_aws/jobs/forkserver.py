"""The process that jobs are forked from: what the image has installed is imported once, and its memory is shared.

Runs as ``python forkserver.py SOCKET_FD`` in a session of its own, until the other end of the socket is closed. For
every message on it, which brings a job's pipes, two processes come into being: a supervisor with a session of its own,
and the script as its child. On the supervisor's standard input comes what to run, a :class:`Job` as JSON on one line;
later ``T`` asks for SIGTERM, and its end means that the server is gone. On the status pipe goes ``T`` back, and
``E<code>`` when the script has ended.
"""

import _thread
import atexit
import builtins
import contextlib
import ctypes
import gc
import importlib
import importlib.machinery
import json
import os
import signal
import socket
import sys
import threading
import types
from typing import NamedTuple, NoReturn

import setproctitle

# Elsewhere system libraries do not stand a fork: every job is a new interpreter.
FORKS = sys.platform.startswith("linux")
# Of the libraries in SageMaker's scikit-learn image and of Flower, those that take long.
LIBRARIES = ("pandas", "sklearn.linear_model", "sklearn.pipeline", "botocore.session", "flwr.client")
MESSAGE = b"job"
CLONE_NEWNET = 0x40000000
END_OF_SERVER = b""


class Job(NamedTuple):
    """What to run, and how."""

    command: list[str]  # the script and its arguments, as ``sys.argv`` shows them
    cwd: str
    env: dict[str, str]
    name: str
    fresh: bool  # in an interpreter of its own, in which nothing is imported yet


def load() -> None:
    """Import the libraries, in one thread: a fork takes along no other."""
    gc.disable()
    for library in LIBRARIES:
        with contextlib.suppress(ImportError):
            importlib.import_module(library)
    gc.freeze()  # the collector would write to pages that jobs share


def serve(channel: socket.socket) -> list[int]:
    """Fork for every message; return in the new process only, with its pipes."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # supervisors are nobody's zombies
    while True:
        message, pipes, _, _ = socket.recv_fds(channel, len(MESSAGE), 5)
        if not message:
            os._exit(0)
        if (pid := os.fork()) == 0:
            channel.close()
            return pipes
        for pipe in pipes:
            os.close(pipe)
        with contextlib.suppress(OSError):  # the server is gone; the next message says so
            channel.sendall(pid.to_bytes(8))


def settle(pipes: list[int]) -> tuple[Job, int]:
    """Become a job's supervisor; return the job and the status pipe."""
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    *streams, status = pipes[:4]
    for number, pipe in enumerate(streams):
        os.dup2(pipe, number)
        os.close(pipe)
    for namespace in pipes[4:]:
        if ctypes.CDLL(None, use_errno=True).setns(namespace, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "cannot enter the job's network namespace")
        os.close(namespace)
    with open(0, "rb", buffering=0, closefd=False) as wishes:
        job = Job(**json.loads(wishes.readline()))
    os.chdir(job.cwd)
    os.environ.clear()
    os.environ.update(job.env)
    return job, status


def supervise(script: int, status: int) -> NoReturn:
    """Wait for the script's end, report it, and take what is left of the group along."""
    _thread.start_new_thread(obey, (script, status))
    _, ended = os.waitpid(script, 0)
    code = os.waitstatus_to_exitcode(ended)
    with contextlib.suppress(OSError):
        os.write(status, b"E%d\n" % (code if code >= 0 else 128 - code))
    os.killpg(0, signal.SIGKILL)


def obey(script: int, status: int) -> None:
    """Read the server's wishes until it is gone; then end everything in this process group."""
    while (wish := os.read(0, 1)) != END_OF_SERVER:
        if wish == b"T":
            with contextlib.suppress(OSError):
                os.write(status, b"T")  # the server looks at its clock anew
    os.killpg(0, signal.SIGKILL)


def run(job: Job) -> NoReturn:
    """Run the script in this process and end it, as ``python SCRIPT ARGUMENTS`` would."""
    setproctitle.setproctitle(" ".join(["python", *job.command]))
    gc.enable()
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed()  # else all jobs would draw the same numbers; ``random`` sees to it itself
    path = os.path.join(job.cwd, job.command[0])  # noqa: PTH118 - pathlib is not needed here
    sys.argv = job.command
    sys.path.insert(0, job.cwd)
    main = types.ModuleType("__main__")
    loader = importlib.machinery.SourceFileLoader("__main__", path)
    main.__dict__.update(__annotations__={}, __builtins__=builtins, __cached__=None, __file__=path, __loader__=loader)
    sys.modules["__main__"] = main
    sys.excepthook = tell
    try:
        exec(compile(loader.get_data(path), path, "exec"), main.__dict__)  # noqa: S102 - that is what a job is
        code = 0
    except SystemExit as end:
        code = exit_code(end)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    leave(code, job.cwd)


def exit_code(end: SystemExit) -> int:
    """Return what a process ends with that ends so; print what is no number."""
    if end.code is None or isinstance(end.code, int):
        return (end.code or 0) & 0xFF
    print(end.code, file=sys.stderr)
    return 1


def leave(code: int, folder: str) -> NoReturn:
    """End this process as Python does, but leave alone what is shared: taking that down would make a copy of all."""
    threading._shutdown()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os.dup2(0, 1)  # what threads of the script complain of from here on is of no interest
    os.dup2(0, 2)
    for module in list(sys.modules.values()):
        names = getattr(module, "__dict__", {})
        if str(names.get("__file__")).startswith(folder):
            names.clear()  # closes the files that the script has left open
    gc.collect()
    os._exit(code)


def tell(kind: type[BaseException], error: BaseException, trace: types.TracebackType | None) -> None:
    """Print a traceback that begins in the script."""
    while trace and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    sys.__excepthook__(kind, error.with_traceback(trace), trace)


def main() -> None:
    """Load and serve; in a new process, supervise or be the script."""
    setproctitle.getproctitle()  # finds its place in memory before anything is moved
    channel = socket.socket(fileno=int(sys.argv[1]))
    del sys.path[0]  # this file's folder
    if FORKS:
        load()
    job, status = settle(serve(channel))
    if script := os.fork():
        setproctitle.setproctitle(f"supervisor of {job.name}")
        supervise(script, status)
    os.close(status)
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    if job.fresh or not FORKS:
        os.execve(sys.executable, [sys.executable, *job.command], os.environ)  # noqa: S606 - no shell
    run(job)


if __name__ == "__main__":
    main()
