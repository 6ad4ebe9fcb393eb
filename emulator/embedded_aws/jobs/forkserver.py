"""Fork server: the process that jobs are forked from, with the image's libraries imported once, their memory shared.

Runs as ``python forkserver.py SOCKET_FD MODULE...`` in a session of its own, until the other end of the socket is
closed. For every message on it, which brings a job's pipes, two processes come into being: a supervisor with a session
of its own, and the script as its child. On the supervisor's standard input comes what to run, a :class:`Job` as JSON on
one line; later ``K`` asks for the job's end, and the end of that input means that the server is gone. On the status
pipe goes ``E<code>`` when the script has ended, and ``A`` when all is ended that it left. ``T`` is handed on to the
script as SIGTERM: a pod's process is asked before it is ended.

The supervisor is a child subreaper where there is such a thing (Linux): a daemon that has left the script's session and
group still becomes the supervisor's child when its parent ends, and ends with the job.
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
import time
import types
from collections.abc import Callable
from typing import NamedTuple, NoReturn

import setproctitle

# Elsewhere system libraries do not stand a fork: every job is a new interpreter.
FORKS = sys.platform.startswith("linux")
ADOPTS = sys.platform.startswith("linux")  # child subreapers
MESSAGE = b"job"
CLONE_NEWNET = 0x40000000
PR_SET_CHILD_SUBREAPER = 36
KILL, TERMINATE = b"K", b"T"
ALL_ENDED = b"A"
REAP_SECONDS = 5.0  # for processes that have been sent SIGKILL


class Job(NamedTuple):
    """What to run, and how."""

    command: list[str]  # the script and its arguments, as ``sys.argv`` shows them; or ``-m``, a module, its arguments
    cwd: str
    env: dict[str, str]
    name: str
    fresh: bool  # in an interpreter of its own, in which nothing is imported yet
    program: str = ""  # another program than Python, to be started with the arguments in ``command``


def load(modules: list[str]) -> None:
    """Import modules, in one thread: a fork takes along no other."""
    gc.disable()
    for library in modules:
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


def adopt_orphans() -> None:
    """Become a child subreaper: a descendant whose parent ends becomes this process's child, whatever its session."""
    if ADOPTS:
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def supervise(script: int, status: int) -> NoReturn:
    """Wait for the script's end, report it, and take along every process that it has left."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # a script may send them to its whole group
    _thread.start_new_thread(obey, (script, status))
    pid, ended = None, 0
    while pid != script:  # others are orphans that ended by themselves
        try:
            pid, ended = os.waitpid(-1, 0)
        except ChildProcessError:  # the other thread ends the job
            end_all(status)
    code = os.waitstatus_to_exitcode(ended)
    with contextlib.suppress(OSError):
        os.write(status, b"E%d\n" % (code if code >= 0 else 128 - code))
    end_all(status)


def obey(script: int, status: int) -> None:
    """Wait until the server wants the end, or is gone; then end every process of the job."""
    while os.read(0, 1) == TERMINATE:
        with contextlib.suppress(ProcessLookupError):
            os.kill(script, signal.SIGTERM)
    end_all(status)


def end_all(status: int) -> NoReturn:
    """Send SIGKILL to every descendant until there is none, then to this process group."""
    give_up = time.monotonic() + REAP_SECONDS
    while ADOPTS and time.monotonic() < give_up:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            with contextlib.suppress(OSError):
                os.write(status, ALL_ENDED)
            break
        for pid in descendants(os.getpid()):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.001)
    os.killpg(0, signal.SIGKILL)
    os._exit(1)  # not reached


def descendants(ancestor: int) -> list[int]:
    """Return the ids of all processes below one, as Linux tells them; elsewhere none."""
    children: dict[int, list[int]] = {}
    with contextlib.suppress(OSError):
        for name in filter(str.isdigit, os.listdir("/proc")):  # noqa: PTH208
            with contextlib.suppress(OSError, ValueError, IndexError):
                with open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123
                    # The command stands in brackets, and may hold brackets and blanks itself.
                    parent = int(file.read().rpartition(b")")[2].split()[1])
                children.setdefault(parent, []).append(int(name))
    below, ahead = [], [ancestor]
    while ahead:
        own = children.pop(ahead.pop(), [])
        below += own
        ahead += own
    return below


def run(job: Job) -> NoReturn:
    """Run the script in this process and end it, as ``python SCRIPT ARGUMENTS`` would."""
    setproctitle.setproctitle(" ".join(["python", *job.command]))
    gc.enable()
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed()  # else all jobs would draw the same numbers; ``random`` sees to it itself
    sys.excepthook = tell
    code = module(job) if job.command[0] == "-m" else script(job)
    leave(code, job.cwd)


def module(job: Job) -> int:
    """Run a module as ``python -m`` does; return the code to end with."""
    import runpy

    sys.argv = job.command[1:]
    sys.path.insert(0, job.cwd)
    return outcome(lambda: runpy.run_module(job.command[1], run_name="__main__", alter_sys=True))


def script(job: Job) -> int:
    """Run a script; return the code to end with."""
    path = os.path.join(job.cwd, job.command[0])  # noqa: PTH118 - pathlib is not needed here
    sys.argv = job.command
    # As the toolkit starts `python src/train.py` with the bundle's folder on PYTHONPATH.
    sys.path[:0] = dict.fromkeys([os.path.dirname(path), job.cwd])  # noqa: PTH120
    main = types.ModuleType("__main__")
    loader = importlib.machinery.SourceFileLoader("__main__", path)
    main.__dict__.update(__annotations__={}, __builtins__=builtins, __cached__=None, __file__=path, __loader__=loader)
    sys.modules["__main__"] = main
    # That is what a job is.
    return outcome(lambda: exec(compile(loader.get_data(path), path, "exec"), main.__dict__))  # noqa: S102


def outcome(run: Callable[[], object]) -> int:
    """Run something; return the code that a process ends with which runs just that."""
    try:
        run()
    except SystemExit as end:
        return exit_code(end)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return 1
    return 0


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
    while trace and (trace.tb_frame.f_code.co_filename == __file__ or "runpy" in trace.tb_frame.f_code.co_filename):
        trace = trace.tb_next
    sys.__excepthook__(kind, error.with_traceback(trace), trace)


def main() -> None:
    """Load and serve; in a new process, supervise or be the script."""
    setproctitle.getproctitle()  # finds its place in memory before anything is moved
    channel = socket.socket(fileno=int(sys.argv[1]))
    del sys.path[0]  # this file's folder
    if FORKS:
        load(sys.argv[2:])
    job, status = settle(serve(channel))
    adopt_orphans()
    if script := os.fork():
        setproctitle.setproctitle(f"supervisor of {job.name}")
        supervise(script, status)
    os.close(status)
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    if job.program:
        os.execvpe(job.program, [job.program, *job.command], os.environ)  # noqa: S606 - no shell
    if job.fresh or not FORKS:
        os.execve(sys.executable, [sys.executable, *job.command], os.environ)  # noqa: S606 - no shell
    run(job)


if __name__ == "__main__":
    main()
