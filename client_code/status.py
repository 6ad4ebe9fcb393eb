"""Status page of an agent, on loopback: what it does now, for its owner's probes and eyes; Kubernetes cannot see it.

``python status.py FOLDER`` is the probe: it asks the page, prints it, and ends with 0 if it answers. The page tells
nothing of the rows but how many there are.
"""

from __future__ import annotations

import http.client
import json
import sys
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

PORT = "status-port"  # the file that says at which port the page is
SECONDS = 2.0  # for an answer


class Board:
    """What there is to see, served at ``/status`` on 127.0.0.1.

    Parameters
    ----------
    folder : Path
        Where the port is written down.
    port : int
        0 for one that is free.
    """

    def __init__(self, folder: Path, *, port: int = 0, **shown: Any) -> None:
        self._shown = {"phase": "waiting", "run": "", "round": 0, "error": "", **shown}
        self._lock = threading.Lock()
        self.show()
        board = self

        class Page(BaseHTTPRequestHandler):
            timeout = SECONDS

            def do_GET(self) -> None:
                body = board.json().encode() if self.path == "/status" else b"{}"
                self.send_response(200 if self.path == "/status" else 404)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Page)
        self._server.daemon_threads = True
        self.address = f"127.0.0.1:{self._server.server_port}"
        (folder / PORT).write_text(str(self._server.server_port))
        threading.Thread(target=self._server.serve_forever, name="status", daemon=True).start()

    def show(self, **changes: Any) -> None:
        """Change what there is to see."""
        with self._lock:
            self._shown |= changes | {"since": datetime.now(UTC).isoformat(timespec="seconds")}

    def json(self) -> str:
        """Return the page."""
        with self._lock:
            return json.dumps(self._shown)

    def close(self) -> None:
        """Serve no longer."""
        self._server.shutdown()
        self._server.server_close()


def main(argv: list[str]) -> int:
    """Ask the page of the agent that works in a folder."""
    try:
        connection = http.client.HTTPConnection("127.0.0.1", int(Path(argv[0], PORT).read_text()), timeout=SECONDS)
        connection.request("GET", "/status")
        answer = connection.getresponse()
        print(answer.read().decode())
    except (OSError, ValueError, IndexError, http.client.HTTPException) as error:
        print(f"no answer: {type(error).__name__}")
        return 1
    return 0 if answer.status == 200 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
