"""The console as a page: Voila over a notebook of one cell, on loopback, behind a token."""

from __future__ import annotations

import json
import os
import secrets
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat

from workshop import state
from workshop.files import write_text
from workshop.tracking.page import free_port, running, serve

CELL = "from workshop.console import Console\n\nConsole().show()"
TEMPLATE = Path(__file__).with_name("template")
# Every visit starts a kernel, and only a page that says good-bye ends it: those that nobody looks at are ended. Of what
# else is installed for JupyterLab nothing belongs here. A kernel is kept ready for the next visit.
SETTINGS = (
    "--no-browser", "--Voila.ip=127.0.0.1", "--template=federation", "--VoilaConfiguration.allow_template_override=NO",
    "--preheat_kernel=True", "--pool_size=1",
    "--VoilaConfiguration.extension_allowlist=@jupyter-widgets/jupyterlab-manager",
    "--VoilaConfiguration.extension_allowlist=@voila-dashboards/widgets-manager8",
    "--MappingKernelManager.cull_idle_timeout=600", "--MappingKernelManager.cull_interval=60",
)  # fmt: skip


@contextmanager
def server(port: int = 0, *, proxied: bool = False) -> Iterator[str]:
    """Yield the page's address, with its token, while the block runs.

    Parameters
    ----------
    proxied : bool
        Whether a Jupyter server brings the page to a browser elsewhere, by jupyter-server-proxy; the address is then
        that below the Jupyter server's.

    Raises
    ------
    WorkshopError
        If it does not answer in time.
    """
    place = state.home() / "console"
    place.mkdir(exist_ok=True)
    cell = nbformat.v4.new_code_cell(CELL, id="console")
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=[cell], metadata=kernel), place / "console.ipynb")
    port, token = port or free_port(), secrets.token_urlsafe(24)
    voila = Path(sys.executable).with_name("voila")
    # A command line is for everybody on this machine to read. A Jupyter server in front has a login cookie of its own.
    told = {"Voila": {"token": token}, "IdentityProvider": {"cookie_name": f"federation-console-{port}"}}
    write_text(place / "voila.json", json.dumps(told), private=True)
    base = f"/proxy/absolute/{port}/" if proxied else "/"
    command = [
        str(voila),
        str(place / "console.ipynb"),
        f"--port={port}",
        f"--Voila.base_url={base}",
        f"--Voila.config_file_paths={place}",
        *SETTINGS,
    ]
    environ = os.environ | {
        "JUPYTER_PATH": os.pathsep.join(filter(None, [str(TEMPLATE), os.environ.get("JUPYTER_PATH", "")])),
        "WORKSHOP_HOME": str(state.home()),
    }
    answers, log = lambda: _answers(f"http://127.0.0.1:{port}{base}", token), place / "page.log"
    with running(command, environ, log=log, answers=answers, what="the console's page"):
        yield f"{base}?token={token}" if proxied else f"http://127.0.0.1:{port}/?token={token}"


def _answers(address: str, token: str) -> bool:
    """Ask for a file: a page would start a kernel."""
    file = f"{address}voila/static/voila.js?token={token}"
    try:
        with urllib.request.urlopen(file, timeout=2) as answer:  # noqa: S310 (loopback)
            return answer.status == 200
    except OSError:
        return False


def main(port: int, *, proxied: bool = False) -> int:
    """Serve the console until it is interrupted."""
    with server(port, proxied=proxied) as address:
        serve(address, f"the federation's console is{' below your Jupyter server' if proxied else ''}")
    return 0
