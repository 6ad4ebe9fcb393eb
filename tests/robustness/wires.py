"""Federations whose clients are processes at the ends of cables: to be cut, to lose packets, to be slow, to be tapped.

The server and every client have a network namespace of their own; the kernel removes it with the last who holds it.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import shutil
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cohort import ROLE, Cohort, Job, Rows, unpacked

from embedded_aws.network import netns
from workshop import federation
from workshop.federation import tls
from workshop.federation.identity import Caller, IdentityError

SERVER = "10.99.0.1"
ALL_PROTOCOLS = 3  # ETH_P_ALL


def missing() -> str | None:
    """Name what this machine lacks, or None."""
    if lacking := netns.missing():
        return lacking
    if shutil.which("tc") is None:
        return "slow cables need the command tc (package iproute2)"
    try:
        with Wires(["probe"]) as wires, wires.lossy("probe", 1), wires.slow("probe", "1mbit"):
            return None
    except netns.NamespacesError as error:
        return f"the kernel lacks something for cables: {error}"


class Wires:
    """A namespace for the server and one per client; a cable between each client and the server's switch."""

    def __init__(self, names: list[str]) -> None:
        self.server: netns.Namespace
        self.clients: dict[str, netns.Namespace] = {}
        self.ports = {name: f"port{number}" for number, name in enumerate(names, 2)}
        self.open = contextlib.ExitStack()

    def __enter__(self) -> Wires:
        with contextlib.ExitStack() as stack:
            self.server = self._namespace(stack)
            self.server.run(["ip", "link", "add", "name", "switch", "type", "bridge", "forward_delay", "0"])
            self.server.ip([f"address add {SERVER}/24 dev switch", "link set switch up"])
            for number, (name, port) in enumerate(self.ports.items(), 2):
                space = self.clients[name] = self._namespace(stack)
                self.server.ip([
                    f"link add {port} type veth peer name eth0 netns {space.path}",
                    f"link set {port} master switch up",
                ])  # fmt: skip
                space.ip([f"address add 10.99.0.{number}/24 dev eth0", "link set eth0 up"])
            self.open = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.open.close()

    @contextlib.contextmanager
    def down(self, name: str) -> Iterator[None]:
        """Pull a client's cable out."""
        self.server.ip([f"link set {self.ports[name]} down"])
        try:
            yield
        finally:
            self.server.ip([f"link set {self.ports[name]} up"])

    @contextlib.contextmanager
    def mute(self, name: str, which: str = "") -> Iterator[None]:
        """Drop what comes from a client: all of it, or the packets that a rule picks."""
        with _dropping(self.server, self.ports[name], which):
            yield

    @contextlib.contextmanager
    def deaf(self, name: str, which: str = "") -> Iterator[None]:
        """Drop what goes to a client: all of it, or the packets that a rule picks."""
        with _dropping(self.clients[name], "eth0", which):
            yield

    @contextlib.contextmanager
    def lossy(self, name: str, percent: int) -> Iterator[None]:
        """Drop some packets at random, both ways."""
        rule = f"numgen random mod 100 < {percent}"
        with self.mute(name, rule), self.deaf(name, rule):
            yield

    @contextlib.contextmanager
    def slow(self, name: str, rate: str) -> Iterator[None]:
        """Let no more through than a rate, each way."""
        for space, device in self._ends(name):
            shaper = ["tbf", "rate", rate, "burst", "2kb", "latency", "400ms"]
            space.run(["tc", "qdisc", "add", "dev", device, "root", *shaper])
        try:
            yield
        finally:
            for space, device in self._ends(name):
                space.run(["tc", "qdisc", "del", "dev", device, "root"])

    def dropped(self, name: str) -> int:
        """Return how many packets of a client's cable have been dropped."""
        ends = [(space, f"at_{device}") for space, device in self._ends(name)]
        told = [space.run(["nft", "list", "table", "netdev", table]) for space, table in ends]
        return sum(int(count) for text in told for count in re.findall(r"packets (\d+)", text))

    def delayed(self, name: str) -> int:
        """Return how often a packet had to wait because the cable is slow."""
        told = [space.run(["tc", "-s", "qdisc", "show", "dev", device]) for space, device in self._ends(name)]
        return sum(int(count) for text in told for count in re.findall(r"overlimits (\d+)", text))

    @contextlib.contextmanager
    def tapped(self, name: str) -> Iterator[Tap]:
        """Write down what goes over a client's cable, both ways."""
        tap = Tap(self.server, self.ports[name])
        try:
            yield tap
        finally:
            tap.close()

    def _ends(self, name: str) -> list[tuple[netns.Namespace, str]]:
        return [(self.server, self.ports[name]), (self.clients[name], "eth0")]

    @staticmethod
    def _namespace(stack: contextlib.ExitStack) -> netns.Namespace:
        space = netns.Namespace()
        stack.callback(space.close)
        return space


@contextlib.contextmanager
def _dropping(space: netns.Namespace, device: str, which: str) -> Iterator[None]:
    """Drop packets as they come in at a device; nobody on either side is told."""
    hook = f"type filter hook ingress device {device} priority 0"
    space.run(["nft", "-f", "-"], f"table netdev at_{device} {{ chain drops {{ {hook}; {which} counter drop; }}; }}")
    try:
        yield
    finally:
        space.run(["nft", "delete", "table", "netdev", f"at_{device}"])


class Tap:
    """What has passed at a device."""

    def __init__(self, space: netns.Namespace, device: str) -> None:
        self.frames: list[bytes] = []
        self.socket = space.call(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ALL_PROTOCOLS)))
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self.socket.bind((device, 0))
        self.socket.settimeout(0.2)
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._listen, daemon=True)
        self.thread.start()

    def close(self) -> None:
        """Listen no more."""
        self.over.set()
        self.thread.join()
        self.socket.close()

    def _listen(self) -> None:
        while not self.over.is_set():
            with contextlib.suppress(TimeoutError):
                self.frames.append(self.socket.recv(1 << 17))


def streams(frames: list[bytes]) -> dict[tuple, bytes]:
    """Put every TCP connection together, each way, by addresses and ports; nothing of it may be missing."""
    parts: dict[tuple, dict[int, bytes]] = {}
    for frame in frames:
        if frame[12:14] != b"\x08\x00" or frame[23] != socket.IPPROTO_TCP:
            continue
        header = 14 + (frame[14] & 15) * 4
        ends, sequence = (frame[26:34], frame[header : header + 4]), struct.unpack_from("!I", frame, header + 4)[0]
        payload = frame[header + (frame[header + 12] >> 4) * 4 : 14 + struct.unpack_from("!H", frame, 16)[0]]
        if payload:
            known = parts.setdefault(ends, {})
            known[sequence] = max(payload, known.get(sequence, b""), key=len)
    return {ends: _joined(known) for ends, known in parts.items()}


def _joined(parts: dict[int, bytes]) -> bytes:
    start, whole = next(iter(parts)), b""
    for sequence, payload in sorted(parts.items(), key=lambda part: (part[0] - start) % 2**32):
        offset = (sequence - start) % 2**32
        assert offset <= len(whole), "the tap has missed something"
        whole = whole[:offset] + payload + whole[offset + len(payload) :]
    return whole


class Middle:
    """What keeps connections of its own on both sides, as load balancers do, and says nothing when one is dead."""

    def __init__(self, space: netns.Namespace, server: str) -> None:
        host, port = server.split(":")
        self.dial = lambda: space.call(lambda: socket.create_connection((host, int(port))))
        self.listener = space.call(lambda: socket.create_server((SERVER, 0)))
        self.listener.settimeout(0.2)
        self.address = f"{SERVER}:{self.listener.getsockname()[1]}"
        self.passing: list[threading.Event] = []
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._listen, daemon=True)
        self.thread.start()

    @contextlib.contextmanager
    def swallow(self) -> Iterator[None]:
        """Take everything and pass nothing on, on the connections that there are; later ones are good."""
        for passing in self.passing:
            passing.clear()
        yield

    def close(self) -> None:
        """Take no connection any more."""
        self.over.set()
        self.thread.join()
        self.listener.close()

    def _listen(self) -> None:
        while not self.over.is_set():
            with contextlib.suppress(OSError):
                threading.Thread(target=self._carry, args=(self.listener.accept()[0],), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        passing = threading.Event()
        passing.set()
        self.passing.append(passing)
        with contextlib.suppress(OSError), client, self.dial() as server:
            other = {client: server, server: client}
            while other:
                for end in select.select(list(other), [], [])[0]:
                    if data := end.recv(1 << 16):
                        if passing.is_set():
                            other[end].sendall(data)
                    elif passing.is_set():
                        return
                    else:
                        del other[end]


@dataclass
class ProcessJob(Job):
    """A participant that is a process."""

    process: subprocess.Popen | None = None

    def status(self):
        code = self.process.poll() if self.process else None
        self.outcome = "" if code is None else "Failed" if code else "Completed"
        return super().status()

    def stop(self):
        """As SageMaker does: ask it to end."""
        if self.process:
            self.process.terminate()


NO_LEDGER = """class NotTold(Exception): pass
class Ledger:
    def __init__(self, bucket, session): pass
    def tell(self, rows, *, key, floor): pass
"""


class Wired(Cohort):
    """A federation over cables, its server in a thread and its clients as processes of ``client.py``.

    Parameters
    ----------
    rows : Rows
        Of these clients.
    data : Path
        The folder that has been prepared with them.
    home : Path
        Where the jobs write to.
    behind : str, optional
        Which client comes through the middle.
    """

    def __init__(self, rows: Rows, *, data: Path, home: Path, behind: str = "") -> None:
        super().__init__(rows)
        self.behind, self.middle = behind, None
        self.data, self.home, self.wires = data, home, Wires(list(rows.clients))
        self.certificates = tls.make_certificates(SERVER)
        self.jobs = {
            name: ProcessJob(name, f"{number:012d}", f"fl-{name}-0") for number, name in enumerate(rows.clients, 1)
        }

    def __enter__(self) -> Wired:
        self.wires.__enter__()
        self.place = self.wires.server.call(lambda: federation.place(SERVER, forwarded=False))
        if self.behind:
            self.middle = Middle(self.wires.server, self.place.address)
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        if self.middle:
            self.middle.close()
        self.wires.__exit__()

    def caller(self, proof, nonce):
        """Believe the name of a job in a proof that is made for this connection."""
        told = {name.lower(): value for name, value in proof.items()}
        for job in self.jobs.values():
            if (told.get("x-fl-job"), told.get("x-fl-nonce")) == (job.job_name, nonce):
                return Caller(job.account, ROLE, job.job_name)
        raise IdentityError("it brings no proof of its account")

    def join(self, *names: str) -> None:
        """Start clients, each in its namespace."""
        for name in names or self.rows.clients:
            self.jobs[name].process = self.wires.clients[name].call(lambda name=name: self._start(name))

    def run(self, progress=None, checkpoints=None, **terms) -> federation.FederationResult:
        """Be the server, in its namespace."""
        return self.wires.server.call(lambda: Cohort.run(self, progress, checkpoints, **terms))

    def leave(self) -> None:
        """Wait until every client has ended."""
        for job in self.jobs.values():
            job.process.wait(timeout=20)

    def end(self) -> None:
        """End every client."""
        for job in self.jobs.values():
            if job.process:
                job.process.kill()
                job.process.wait()

    def _start(self, name: str) -> subprocess.Popen:
        folder = self.home / name
        (folder / "model").mkdir(parents=True)
        own = {
            "TRAINING_JOB_NAME": self.jobs[name].job_name,
            "SM_CHANNEL_TRAIN": str(self.data / name),
            "SM_MODEL_DIR": str(folder / "model"),
            "SM_OUTPUT_DIR": str(folder),
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "example",
        }
        environment = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")} | own
        address = self.middle.address if name == self.behind else self.place.address
        script = unpacked(folder / "code") / "client.py"
        # No AWS is on these cables: what the ledger of told sums does is a test of its own.
        script.with_name("ledger.py").write_text(NO_LEDGER)
        command = [sys.executable, str(script), "--server-address", address, "--bucket", "none"]
        command += ["--ca-certificate", self.certificates.authority_hyperparameter()]
        with (folder / "log").open("wb") as log:
            return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
