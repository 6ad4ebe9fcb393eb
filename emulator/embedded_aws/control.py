"""Process control: start, find and end the embedded AWS from outside; imports neither moto nor boto3."""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NoReturn

import psutil

from embedded_aws import names, settings
from embedded_aws.jobs import folders
from embedded_aws.network import netns

NETWORK = "EMBEDDED_AWS_NETWORK"
NETWORKS = ("gateway", "namespaces")  # the first is the default; the other needs root on Linux
HEALTH = "/_embedded_aws/health"
READY_SECONDS = 60.0
ANSWER_SECONDS = 5.0
LOCK_SECONDS = 0.5  # whoever looks whether the lock is free has it for a moment


class EmbeddedAWSError(Exception):
    """The embedded AWS cannot be started or ended; says what to do."""


@dataclass(frozen=True)
class Files:
    """Everything that one embedded AWS keeps on disk, below ``<home>/embedded``."""

    home: Path

    @property
    def folder(self) -> Path:
        """Readable by nobody else."""
        return self.home / "embedded"

    @property
    def config(self) -> Path:
        """The AWS config file with the profiles."""
        return self.folder / "aws-config"

    @property
    def record(self) -> Path:
        """Process id, port and token of the running server."""
        return self.folder / "server.json"

    @property
    def log(self) -> Path:
        """What the server says."""
        return self.folder / "server.log"

    @property
    def lock(self) -> Path:
        """Held by the running server, whose process id is in it."""
        return self.folder / "lock"

    @property
    def jobs(self) -> Path:
        """Folders of running jobs."""
        return self.folder / "jobs"


@dataclass(frozen=True)
class Running:
    """A server that answers."""

    pid: int
    port: int
    started: float
    namespace: str | None = None  # the network in which the server's commands run; None: this machine's

    @property
    def endpoint(self) -> str:
        """Its URL, for whoever stands in no VPC."""
        return f"http://{names.OUTSIDE}:{self.port}"


def default_home(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder that the settings name, by an environment variable or below the current one."""
    chosen = settings.read(environ)
    return Path(environ.get(chosen.home_variable) or chosen.home)


def network_mode(environ: Mapping[str, str] = os.environ) -> str:
    """Return how jobs are kept to what AWS's network would let through.

    Raises
    ------
    EmbeddedAWSError
        If there is no such way, or this machine lacks what it needs.
    """
    mode = environ.get(NETWORK) or NETWORKS[0]
    if mode not in NETWORKS:
        raise EmbeddedAWSError(f"{NETWORK} is {mode!r}; it takes {' or '.join(NETWORKS)}")
    if mode == "namespaces" and (lacking := netns.missing()):
        raise EmbeddedAWSError(lacking)
    return mode


def find(files: Files) -> Running | None:
    """Return the server that runs for this home: its token proves that the process is the one on record."""
    try:
        record = json.loads(files.record.read_text())
        connection = http.client.HTTPConnection("127.0.0.1", record["port"], timeout=ANSWER_SECONDS)
        with contextlib.closing(connection):
            connection.request("GET", HEALTH)
            health = json.loads(connection.getresponse().read())
        if (health["pid"], health["token"]) == (record["pid"], record["token"]):
            return Running(record["pid"], record["port"], health["started"], record.get("namespace"))
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError, http.client.HTTPException):
        pass
    return None


def silent(files: Files) -> psutil.Process | None:
    """Return the server that has this home's lock; ask when :func:`find` finds none, as it does not answer then.

    Raises
    ------
    EmbeddedAWSError
        If something else has the lock.
    """
    if not files.lock.exists():
        return None
    give_up = time.monotonic() + LOCK_SECONDS
    while time.monotonic() < give_up:
        if (lock := take_lock(files)) is not None:
            lock.close()
            return None
        with contextlib.suppress(OSError, ValueError, psutil.Error):
            process = psutil.Process(int(files.lock.read_text()))
            if "embedded_aws.server" in process.cmdline():
                return process
        time.sleep(0.02)  # it may just have taken the lock
    raise EmbeddedAWSError(f"another process holds {files.lock}, and it is no embedded AWS: see `lsof {files.lock}`")


def _does_not_answer(files: Files, process: psutil.Process) -> EmbeddedAWSError:
    return EmbeddedAWSError(
        f"an embedded AWS runs for {files.home} (process {process.pid}) and does not answer: "
        f"`python -m embedded_aws --home {files.home} stop` ends it"
    )


def _check_files(files: Files) -> None:
    """Refuse what is in the way of the files that a server writes."""
    for path in (files.record, files.config, files.lock, files.log):
        if path.is_dir():
            raise EmbeddedAWSError(f"{path} is a folder, where the embedded AWS keeps a file: move it away")
    for path in (files.home, files.folder, files.jobs):
        if path.exists() and not path.is_dir():
            raise EmbeddedAWSError(f"{path} is no folder, where the embedded AWS keeps one: move it away")


def start(files: Files, *, n_clients: int) -> Running:
    """Start a server that outlives this process, or return the one that runs already.

    Raises
    ------
    EmbeddedAWSError
        If it does not come up; with the tail of its log.
    """
    _check_files(files)
    give_up = time.monotonic() + READY_SECONDS
    while True:
        if running := find(files):
            return running
        process = silent(files)
        if process is None:
            return _wait_ready(files, _spawn(files, n_clients=n_clients, parent=0))
        # Somebody else may have started one just now.
        if time.monotonic() > give_up or process.status() == psutil.STATUS_STOPPED:
            raise _does_not_answer(files, process)
        time.sleep(0.1)


def stop(files: Files, *, patience: float = 10.0) -> bool:
    """End the server of this home, whether it answers or not, and wait until it and its jobs are gone.

    Returns
    -------
    bool
        False if none runs.

    Raises
    ------
    EmbeddedAWSError
        If it does not end.
    """
    _check_files(files)
    process = silent(files)
    if process is None:
        return False
    jobs = process.children(recursive=True)
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)
            process.send_signal(signal.SIGCONT)  # one that is stopped hears of nothing else
        give_up = time.monotonic() + patience
        while time.monotonic() < give_up:
            # The lock is free when the process is gone, and not before: its id proves nothing any more.
            if (lock := take_lock(files)) is not None:
                with lock:
                    _end(jobs, patience)
                    _clean_up(files)
                return True
            time.sleep(0.02)
    raise EmbeddedAWSError(f"process {process.pid} does not end: see {files.log}")


def _end(jobs: list[psutil.Process], patience: float) -> None:
    """Wait until the processes below a server that is gone are gone, too; they end by themselves."""
    _, left = psutil.wait_procs(jobs, timeout=patience / 2)
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(left, timeout=patience / 2)


def _clean_up(files: Files) -> None:
    """Remove what a server removes at its end; of one that was killed it is still there."""
    files.record.unlink(missing_ok=True)
    files.config.unlink(missing_ok=True)
    folders.remove(files.jobs)


def take_lock(files: Files, *, patience: float = 0.0) -> IO[str] | None:
    """Take the lock of this home for as long as the returned file stays open; None when a server has it."""
    give_up = time.monotonic() + patience
    lock = files.lock.open("a")
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= give_up:
                lock.close()
                return None
            time.sleep(0.02)
        else:
            return lock


def run(files: Files, command: list[str], *, n_clients: int) -> NoReturn:
    """Start a server, then become ``command``; the server ends when this process does, in whatever way.

    Raises
    ------
    EmbeddedAWSError
        If the server does not come up, or there is no such command.
    """
    _check_files(files)
    if find(files):
        raise EmbeddedAWSError(
            f"an embedded AWS runs for {files.home} already: `python -m embedded_aws --home {files.home} stop` ends it"
        )
    if process := silent(files):
        raise _does_not_answer(files, process)
    lifeline, kept = os.pipe()
    server = _spawn(files, n_clients=n_clients, parent=os.getpid(), lifeline=lifeline)
    os.close(lifeline)
    try:
        running = _wait_ready(files, server)
        if running.namespace:
            # The command stands where the server's network interface is.
            with open(running.namespace) as namespace:  # noqa: PTH123 - a descriptor
                netns.enter(namespace.fileno())
        # The write end lives as long as the command does. Its own children get it too where they are not started
        # by Python, hence the server also watches whether this process is still its parent.
        os.set_inheritable(kept, True)
        os.execvpe(command[0], command, user_environment(files))  # noqa: S606 - a list, no shell
    except OSError as error:
        raise EmbeddedAWSError(f"cannot run {command[0]}: {error.strerror}") from error
    finally:
        os.close(kept)


def user_environment(files: Files, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return an environment in which boto3 finds the profiles of this AWS, and no other AWS."""
    environment = {name: value for name, value in environ.items() if not name.startswith("AWS_")}
    for name in ("NO_PROXY", "no_proxy"):
        environment[name] = ",".join(filter(None, [environ.get(name), "127.0.0.1,localhost"]))
    return environment | {
        "AWS_CONFIG_FILE": str(files.config),
        "AWS_SHARED_CREDENTIALS_FILE": str(files.config),
        "AWS_EC2_METADATA_DISABLED": "true",
        settings.read(environ).home_variable: str(files.home),
    }


def server_environment(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return an environment without the user's AWS settings and proxies, and with moto's switches."""
    foreign = ("AWS_", "MOTO_", "BOTO_")
    environment = {name: value for name, value in environ.items() if not name.startswith(foreign)}
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        environment.pop(name, None)
        environment.pop(name.lower(), None)
    return environment | {
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        settings.VARIABLE: settings.read(environ).dumps(),
        "MALLOC_ARENA_MAX": "2",  # a thread per request needs no heap of its own
        "MOTO_EC2_LOAD_DEFAULT_AMIS": "false",  # a thousand images for every account, and no machine is ever started
        "MOTO_DISABLE_GLOBAL_CORS": "true",  # no web page may call this AWS from a browser
    }


def server_command(files: Files, *, n_clients: int, parent: int, lifeline: int | None = None) -> list[str]:
    """Return the command line of the server process.

    Parameters
    ----------
    files : Files
        Of its home.
    n_clients : int
        Client accounts.
    parent : int
        Process with which the server ends, its parent; 0 for one that outlives everybody.
    lifeline : int, optional
        Descriptor with whose end it ends, too: the read end of a pipe, say.
    """
    command = [sys.executable, "-m", "embedded_aws.server", str(files.home), str(n_clients), str(parent)]
    return [*command, str(lifeline)] if lifeline is not None else command


def log_tail(files: Files, n_lines: int = 15) -> str:
    """Return the last lines of the server's log."""
    with contextlib.suppress(OSError):
        return "\n".join(files.log.read_text(errors="replace").splitlines()[-n_lines:])
    return ""


def _spawn(files: Files, *, n_clients: int, parent: int, lifeline: int | None = None) -> subprocess.Popen[bytes]:
    network_mode()
    files.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with files.log.open("ab") as log:
        return subprocess.Popen(
            server_command(files, n_clients=n_clients, parent=parent, lifeline=lifeline),
            cwd=files.folder,
            env=server_environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # a Ctrl-C at the terminal is for the command
            pass_fds=() if lifeline is None else (lifeline,),
        )


def _wait_ready(files: Files, process: subprocess.Popen[bytes]) -> Running:
    give_up = time.monotonic() + READY_SECONDS
    while process.poll() is None and time.monotonic() < give_up:
        running = find(files)
        if running and running.pid == process.pid:
            return running
        time.sleep(0.05)
    ended = process.poll()
    process.kill()
    process.wait(READY_SECONDS)
    what = "did not answer in time" if ended is None else f"ended with exit code {ended}"
    raise EmbeddedAWSError(f"the embedded AWS {what}; its log ({files.log}) ends so:\n{log_tail(files)}")
