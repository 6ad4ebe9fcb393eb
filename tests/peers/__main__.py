"""Benchmark against peers: four hospitals, three rounds, on NVFLARE's POC, Flower's SuperLink and this kit, in turn.

``python tests/peers``: installs NVFLARE into a folder of its own, changes nothing else. All three federate a logistic
regression: both peers over the same made-up rows of 13 columns, this kit over its synthetic patients, 26 inputs. A
peer's round is measured from its first question to the next round's first, this kit's as its record tells it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import rows
from rich.console import Console
from rich.table import Table

from workshop.aws.accounts import client_names

HERE = Path(__file__).parent
NVFLARE = ["nvflare==2.9.0", "scikit-learn==1.9.1", "numpy==2.4.6"]
CLIENTS, ROUNDS, FEATURES, ROWS = 4, 3, 13, 200
SECONDS = 900.0  # after which a framework is given up
ASKED = {"PROBLEM": "heart", "CLIENTS": str(CLIENTS)}
QUIET = {"FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1"}


def make(folder: Path, names: list[str]) -> None:
    """Write every client's rows: standardised columns, and labels that follow from them."""
    generator = np.random.default_rng(0)
    weights = generator.normal(size=FEATURES)
    for name in names:
        features = generator.normal(size=(ROWS, FEATURES))
        labels = (features @ weights + generator.logistic(size=ROWS) > 0).astype(int)
        np.savez(folder / f"{name}.npz", features=features, labels=labels)


def nvflare(folder: Path, names: list[str]) -> dict[str, float]:
    """Run on NVFLARE's POC."""
    python = folder / "nvflare" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", folder / "nvflare"], check=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", *NVFLARE], check=True)
    environment = os.environ | {
        "PATH": f"{python.parent}:{os.environ['PATH']}", "NVFLARE_POC_WORKSPACE": str(folder / "poc"),
        "HOME": str(folder), "PEERS": str(HERE), "PEERS_ROWS": str(folder),
    }  # fmt: skip
    arguments = [str(folder), ",".join(names), str(FEATURES), str(ROUNDS)]
    with (folder / "nvflare.log").open("w") as log:
        subprocess.run(
            [python, HERE / "nvflare_run.py", *arguments], env=environment, cwd=folder, stdout=log,
            stderr=subprocess.STDOUT, check=True, timeout=SECONDS,
        )  # fmt: skip
    told = json.loads((folder / "nvflare.json").read_text())
    if "COMPLETED" not in told["status"]:
        raise SystemExit(f"NVFLARE ended as {told['status']}:\n{(folder / 'nvflare.log').read_text()[-2000:]}")
    return {"from nothing to clients that wait": told["up"], "from start to model": told["run"]}


def superlink(folder: Path, names: list[str]) -> dict[str, float]:
    """Run on Flower's SuperLink with a SuperNode for every client, as they come, without TLS."""
    home, app = folder / "flwr", folder / "app"
    home.mkdir()
    shutil.copytree(HERE / "superlink_app", app)
    port = 18980
    (home / "config.toml").write_text(
        f'[superlink]\ndefault = "here"\n[superlink.here]\naddress = "127.0.0.1:{port}"\ninsecure = true\n'
    )
    environment = os.environ | QUIET | {"FLWR_HOME": str(home), "PEERS": str(HERE)}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    began, started = time.time(), []

    def flower(*command: str) -> dict:
        asked = [str(Path(sys.executable).with_name("flwr")), *command, "--format", "json"]
        done = subprocess.run(asked, env=environment, capture_output=True, text=True, timeout=120, check=False)
        return json.loads(done.stdout)

    try:
        with (folder / "superlink.log").open("w") as log:
            server = ["flower-superlink", "--insecure", "--port", str(port)]
            commands = [[*server, "--disable-runtime-dependency-installation"]]
            commands += [
                ["flower-supernode", "--insecure", "--superlink", f"127.0.0.1:{port}", "--port", str(port + number),
                 "--node-config", f'name="{name}"']
                for number, name in enumerate(names, 1)
            ]  # fmt: skip
            for command in commands:
                each = [str(Path(sys.executable).with_name(command[0])), *command[1:]]
                started.append(subprocess.Popen(each, env=environment, stdout=log, stderr=log, start_new_session=True))
        while sum(node["status"] == "online" for node in flower("supernode", "list", "here").get("nodes", ())) < len(
            names
        ):
            if time.time() > began + SECONDS:
                raise SystemExit(f"no SuperNodes:\n{(folder / 'superlink.log').read_text()[-2000:]}")
            time.sleep(0.5)
        up, begun = time.time() - began, time.time()
        config = f'rounds={ROUNDS} clients={len(names)} features={FEATURES} folder="{folder}"'
        told = flower("run", str(app), "here", "--run-config", config)
        if not told["success"]:
            raise SystemExit(f"SuperLink takes no run: {told}")
        while not (folder / "model.npy").exists():
            if time.time() > begun + SECONDS:
                raise SystemExit(f"no model:\n{(folder / 'superlink.log').read_text()[-2000:]}")
            time.sleep(0.1)
        return {"from nothing to clients that wait": up, "from start to model": time.time() - begun}
    finally:
        for process in started:
            process.terminate()
        for process in started:
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()


def kit() -> dict[str, float]:
    """Run on this kit: the heart problem's agents in embedded clusters, TLS, every client's role proven."""
    with tempfile.TemporaryDirectory() as home:
        command = ["-m", "embedded_aws", "--home", home, "--clients", str(CLIENTS), "run", "--"]
        measure = [sys.executable, "-m", "workshop", "bench-agents", "--json"]
        done = subprocess.run(
            [sys.executable, *command, *measure], env=os.environ | QUIET | ASKED,
            stdout=subprocess.PIPE, text=True, check=True, timeout=SECONDS,
        )  # fmt: skip
    told = json.loads(done.stdout.strip().splitlines()[-1])
    return {
        "from nothing to clients that wait": told["connected"], "from start to model": told["warm"],
        "a round": told["round"],
    }  # fmt: skip


def main() -> int:
    """Measure all three, print the table."""
    names, measured = client_names(CLIENTS), {}
    for label, framework in (("NVFLARE 2.9.0, POC", nvflare), ("Flower 1.41.0, SuperLink", superlink)):
        with tempfile.TemporaryDirectory() as scratch:
            make(Path(scratch), names)
            measured[label] = framework(Path(scratch), names)
            measured[label]["a round"] = median(rows.rounds(Path(scratch)))
    measured["this kit"] = kit()
    table = Table(title=f"{CLIENTS} clients, {ROUNDS} rounds, seconds")
    table.add_column("")
    for label in measured:
        table.add_column(label, justify="right")
    for what in ("from nothing to clients that wait", "from start to model", "a round"):
        table.add_row(what, *(f"{told[what]:.2f}" for told in measured.values()))
    ours = measured["this kit"]["a round"]
    table.add_row("a round, in rounds of this kit", *(f"{told['a round'] / ours:.0f}" for told in measured.values()))
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
