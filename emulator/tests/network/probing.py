"""What jobs and the server of the live tests do: knock at addresses, greet who comes."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from embedded_aws.network import netns

SECONDS = 1.5  # after which nothing has answered
# Through the proxy that the job's variables name, else straight; as any gRPC client decides.
DIAL = """
import base64, concurrent.futures, json, os, socket, sys, time
from urllib.parse import urlsplit

def dial(host, port, seconds):
    proxy = os.environ.get("grpc_proxy")
    if not proxy:
        return socket.create_connection((host, port), timeout=seconds)
    url = urlsplit(proxy)
    connection = socket.create_connection((url.hostname, url.port), timeout=seconds)
    word = base64.b64encode(f"{url.username}:{url.password}".encode()).decode()
    connection.sendall(f"CONNECT {host}:{port} HTTP/1.1\\r\\nProxy-Authorization: Basic {word}\\r\\n\\r\\n".encode())
    answer = b""
    while not answer.endswith(b"\\r\\n\\r\\n"):  # and not a byte more: the rest is the server's
        byte = connection.recv(1)
        if not byte:
            raise OSError("the proxy hung up")
        answer += byte
    if b" 502 " in answer:
        raise ConnectionRefusedError
    if b" 200 " not in answer:
        raise OSError(answer)
    return connection
"""
KNOCK = (
    DIAL
    + """
def knock(host, port):
    try:
        with dial(host, port, SECONDS) as connection:
            return "open" if connection.recv(6) == b"hello\\n" else "silent"
    except ConnectionRefusedError:
        return "refused"
    except TimeoutError:
        return "dropped"
    except OSError:
        return "unreachable"

with concurrent.futures.ThreadPoolExecutor(16) as pool:
    print(json.dumps(dict(zip(TARGETS, pool.map(lambda target: knock(*target), TARGETS.values())))))
"""
)
# Says "echo" for every line that comes back, until nothing does for a second; then waits for more.
TALK = (
    DIAL
    + """
connection = dial(HOST, PORT, 5)
connection.settimeout(None)
lines = connection.makefile("rwb", buffering=0)
assert lines.readline() == b"hello\\n"
for number in range(2_000):
    lines.write(b"%d\\n" % number)
    assert int(lines.readline()) == number
    if number < 3:
        print("echo", flush=True)
    time.sleep(0.02)
"""
)


def knocking(targets: dict[str, tuple[str, int]], *, seconds: float = SECONDS) -> str:
    """Return the script of a job that knocks at every target at once and prints what came of it as JSON."""
    return f"SECONDS, TARGETS = {seconds}, {json.dumps(targets)}\n{KNOCK}"


def talking(host: str, port: int) -> str:
    """Return the script of a job that holds one connection and sends lines over it."""
    return f"HOST, PORT = {host!r}, {port}\n{TALK}"


class Greeter:
    """A server that greets whoever comes, and sends every line back."""

    def __init__(self, listening: socket.socket) -> None:
        self._listening = listening
        self.lines = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.sendall(b"hello\n")
            for line in connection.makefile("rb"):
                self.lines += 1
                connection.sendall(line)

    def close(self) -> None:
        """Stop listening."""
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()


def inside(path: str | None, function: Callable[[], Any]) -> Any:
    """Call a function in the namespace of a path, or right here."""
    if path is None:
        return function()
    results = []

    def call() -> None:
        with Path(path).open() as namespace:
            netns.enter(namespace.fileno())
        try:
            results.append(function())
        except OSError as error:
            results.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    if isinstance(results[0], OSError):
        raise results[0]
    return results[0]


def addresses() -> str:
    """Return the addresses of this network."""
    return subprocess.run(["ip", "-o", "-4", "addr"], capture_output=True, text=True, check=True).stdout


@contextlib.contextmanager
def greeting(path: str | None, *addresses: tuple[str, int]) -> Iterator[list[Greeter]]:
    """Greet at some addresses, in a namespace or right here."""
    greeters = []
    try:
        for address in addresses:
            greeters.append(Greeter(inside(path, lambda address=address: socket.create_server(address))))
        yield greeters
    finally:
        for greeter in greeters:
            greeter.close()


def free_ports(n: int) -> list[int]:
    """Return ports that are free now, all different."""
    with contextlib.ExitStack() as stack:
        return [stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1] for _ in range(n)]
