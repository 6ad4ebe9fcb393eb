"""The watcher that stops a forgotten notebook instance, against a real Jupyter server on loopback."""

import importlib.util
import json
import subprocess
import sys
import time
import urllib.request
from datetime import UTC, datetime

import pytest

from workshop.packing import bundle


@pytest.fixture(scope="module")
def watcher():
    path = bundle.REPOSITORY / "cloudformation" / "stop_when_idle.py"
    spec = importlib.util.spec_from_file_location("stop_when_idle", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def jupyter(tmp_path_factory):
    """Start a Jupyter server without a password, as the instance's own lets its machine in; return its address."""
    folder = tmp_path_factory.mktemp("jupyter")
    command = [
        sys.executable, "-m", "jupyter_server", "--no-browser", "--ServerApp.port=0", "--ServerApp.token=",
        "--ServerApp.password=", "--ServerApp.disable_check_xsrf=True", "--ServerApp.ip=127.0.0.1", "--allow-root",
        f"--ServerApp.root_dir={folder}", "--ServerApp.port_retries=0",
    ]  # fmt: skip
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "JUPYTER_RUNTIME_DIR": str(folder / "runtime")}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
    give_up = time.monotonic() + 60
    while not (found := list((folder / "runtime").glob("jpserver-*.json"))):
        assert process.poll() is None and time.monotonic() < give_up, (folder / "log").read_text()
        time.sleep(0.1)
    address = json.loads(found[0].read_text())["url"].rstrip("/")
    while True:
        try:
            urllib.request.urlopen(f"{address}/api/kernels", timeout=5).close()
            break
        except OSError:
            assert time.monotonic() < give_up, (folder / "log").read_text()
            time.sleep(0.1)
    yield address
    process.terminate()
    process.wait(20)


def ask(jupyter, path, body=None, method="GET"):
    request = urllib.request.Request(f"{jupyter}{path}", data=body and json.dumps(body).encode(), method=method)
    with urllib.request.urlopen(request, timeout=30) as answer:
        text = answer.read()
    return json.loads(text) if text else None


def test_activity_is_what_kernels_say(watcher, jupyter):
    now = datetime.now(UTC)
    assert watcher.last_activity(jupyter, now=now) is None
    kernel = ask(jupyter, "/api/kernels", {"name": "python3"}, "POST")
    told = watcher.last_activity(jupyter, now=now)
    assert abs((told - now).total_seconds()) < 60
    ask(jupyter, f"/api/kernels/{kernel['id']}", method="DELETE")


def test_it_stops_once_when_nothing_has_happened_for_a_while(watcher, jupyter, capsys):
    stopped = []
    watcher.watch(lambda: stopped.append(time.monotonic()), minutes=1 / 60, jupyter=jupyter, look=0.1)
    assert len(stopped) == 1
    assert "the instance stops" in capsys.readouterr().out


def test_a_running_cell_keeps_it_up_and_so_does_a_jupyter_that_does_not_answer(watcher, monkeypatch, capsys):
    class Enough(Exception):
        pass

    looks = iter(range(5))

    def sleep(_):
        if next(looks, None) is None:
            raise Enough

    busy = {"execution_state": "busy", "last_activity": "2020-01-01T00:00:00Z"}
    monkeypatch.setattr(watcher, "_asked", lambda url: [busy] if "kernels" in url else [])
    with pytest.raises(Enough):
        watcher.watch(pytest.fail, minutes=0.0001, look=0, sleep=sleep)
    looks = iter(range(5))

    def silent(url):
        raise OSError("refused")

    monkeypatch.setattr(watcher, "_asked", silent)
    with pytest.raises(Enough):
        watcher.watch(pytest.fail, minutes=0.0001, look=0, sleep=sleep)
    assert capsys.readouterr().out.count("does not say whether somebody works") == 1
