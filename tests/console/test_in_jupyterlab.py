"""The console where a notebook shows it: in JupyterLab, in a real browser, beside a run that another process leads."""

import json
import os
import secrets
import shutil
import sys
import time
import urllib.request
from pathlib import Path

import nbformat
import pytest
from made_records import finished, made_up

from workshop import tracking
from workshop.console import page as pages
from workshop.federation import events
from workshop.tracking.page import free_port, running

BROWSER = shutil.which("chromium") or shutil.which("google-chrome") or ""
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not BROWSER, reason="no Chromium is installed"),
]
SOON = 60_000  # milliseconds


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("WORKSHOP_HOME", str(folder))
        yield folder


@pytest.fixture(scope="module")
def lab(home):
    """JupyterLab over a folder with a notebook of one cell, which shows the console."""
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    cell = nbformat.v4.new_code_cell(pages.CELL, id="console")
    nbformat.write(nbformat.v4.new_notebook(cells=[cell], metadata=kernel), home / "look.ipynb")
    port, token = free_port(), secrets.token_urlsafe(24)
    config = home / "jupyter_server_config.json"
    config.write_text(json.dumps({"IdentityProvider": {"token": token}}))
    command = [
        str(Path(sys.executable).with_name("jupyter")), "lab", "--no-browser", "--allow-root",
        "--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}", f"--ServerApp.root_dir={home}",
        f"--ServerApp.config_file={config}",
    ]  # fmt: skip
    environ = os.environ | {"JUPYTER_CONFIG_DIR": str(home / "config"), "JUPYTER_DATA_DIR": str(home / "data")}

    def answers():
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api?token={token}", timeout=2) as answer:
                return answer.status == 200
        except OSError:
            return False

    with running(command, environ, log=home / "lab.log", answers=answers, what="JupyterLab"):
        yield f"http://127.0.0.1:{port}/lab/tree/look.ipynb?token={token}"


def test_a_notebook_shows_the_console_and_a_round_as_it_comes(lab, home, figure):
    from playwright.sync_api import sync_playwright

    folder = made_up(home, "abcd1234", events.Started())
    writing = tracking.Record(folder)  # as the process that leads the run
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.goto(lab)
        page.get_by_text("| Idle").wait_for(timeout=SOON)  # its kernel is up
        page.locator(".jp-CodeCell").first.click(timeout=SOON)
        page.keyboard.press("Shift+Enter")
        page.get_by_role("tab", name="Live").wait_for(timeout=SOON)
        page.get_by_role("tab", name="Live").click()
        page.get_by_text("run abcd1234").first.wait_for(timeout=SOON)
        waited = []
        for number, score in ((1, 0.7123), (2, 0.7456), (3, 0.7789)):
            began = time.monotonic()
            writing(finished(number, score=score))
            page.get_by_role("cell", name=f"{score:.4f}", exact=True).first.wait_for(timeout=SOON)
            waited.append(time.monotonic() - began)
        writing.close()
        browser.close()
    figure(f"a round is shown after {max(waited):.2f} s")


def test_a_jupyter_server_s_proxy_brings_the_page(lab, home):
    """As on a notebook instance, whose only way to a browser is its Jupyter server."""
    pytest.importorskip("jupyter_server_proxy")
    from playwright.sync_api import sync_playwright

    made_up(home, "beef5678", finished(1), events.Finished(1))
    with pages.server(proxied=True) as path, sync_playwright() as playwright:
        assert path.startswith("/proxy/absolute/")
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.goto(lab)  # whoever is let in there
        page.locator(".jp-CodeCell").first.wait_for(timeout=SOON)
        page.goto(lab.partition("/lab/")[0] + path)
        page.get_by_text("beef5678").first.wait_for(timeout=SOON)
        page.get_by_role("tab", name="Models").click()
        page.get_by_text("version").first.wait_for(timeout=SOON)
        browser.close()
