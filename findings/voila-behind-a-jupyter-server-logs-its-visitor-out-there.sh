#!/usr/bin/env bash
# voila 0.5.13, jupyter_server 2.21.1, jupyter-server-proxy 4.6.0 (PyPI), Python 3.11
#
# What happens: a Jupyter server brings a Voila page to a browser by jupyter-server-proxy. Both are jupyter_server, and both
# name their login cookie after the Host header, which the proxy passes on unchanged: it is the same name. Voila finds a
# cookie under that name which it cannot read, takes it for an expired one of its own, and answers with the order to delete
# it. The page comes, and whoever looks at it is no longer logged in at the Jupyter server: every script of the page is
# answered by the login form, so that it stays empty.
#
# Seen:              before the page 200 from the Jupyter server, the page itself 200, after it 403
# The good guess:    cookies are told apart by the port in their name, as between two servers on one machine
# The way out:       IdentityProvider.cookie_name of Voila's own
#
# Exits 0 while that is so, 1 when it changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill $(jobs -p) 2> /dev/null || true; wait; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  voila==0.5.13 jupyter_server==2.21.1 jupyter-server-proxy==4.6.0 ipykernel requests
export JUPYTER_CONFIG_DIR="$folder/config" JUPYTER_DATA_DIR="$folder/data" HOME="$folder"
cat > "$folder/visit.py" << 'PYTHON'
import json
import socket
import subprocess
import sys
import time
from pathlib import Path

import requests

folder = Path(sys.argv[1])
notebook = {"cells": [], "metadata": {"kernelspec": {"name": "python3", "display_name": "x"}}, "nbformat": 4, "nbformat_minor": 5}
(folder / "page.ipynb").write_text(json.dumps(notebook))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until_it_answers(url):
    for _ in range(300):
        try:
            return requests.get(url, timeout=2).status_code
        except requests.RequestException:
            time.sleep(0.2)
    sys.exit(f"{url} does not answer")


front, page = free_port(), free_port()
bin_ = Path(sys.executable).parent
base = f"/proxy/absolute/{page}/"
started = [
    subprocess.Popen(
        [bin_ / "jupyter", "server", "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1", f"--ServerApp.port={front}",
         "--IdentityProvider.token=a-token", f"--ServerApp.root_dir={folder}"],
        stderr=subprocess.DEVNULL,
    ),
    subprocess.Popen(
        [bin_ / "voila", folder / "page.ipynb", "--no-browser", f"--port={page}", f"--Voila.base_url={base}", "--Voila.ip=127.0.0.1"],
        stderr=subprocess.DEVNULL,
    ),
]
try:
    server = f"http://127.0.0.1:{front}"
    until_it_answers(f"{server}/api")
    until_it_answers(f"http://127.0.0.1:{page}{base}")
    visitor = requests.Session()
    visitor.get(f"{server}/api/status?token=a-token", timeout=10)  # logs in: a cookie from here on
    before = visitor.get(f"{server}/api/status", timeout=10).status_code
    shown = visitor.get(f"{server}{base}", timeout=60).status_code
    after = visitor.get(f"{server}/api/status", timeout=10).status_code
finally:
    for each in started:
        each.terminate()
        each.wait()
print(f"before the page {before}, the page {shown}, after it {after}")
sys.exit(0 if (before, shown, after) == (200, 200, 403) else 1)
PYTHON
"$folder/venv/bin/python" "$folder/visit.py" "$folder"
