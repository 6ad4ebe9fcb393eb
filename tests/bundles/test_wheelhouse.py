"""A job without internet gets Flower from the wheels that travel with its code."""

import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy
import pytest

from workshop.errors import BundleError
from workshop.packing import bundle, wheelhouse
from workshop.packing.wheelhouse import IMAGE, THIS


@pytest.fixture(scope="module")
def wheels(downloads):
    return wheelhouse.build(THIS)


def unpack(archive, folder):
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(folder, filter="data")
    return folder


def pins(lock):
    lines = [line.split(" ")[0] for line in lock.read_text().splitlines() if "==" in line and not line.startswith(" ")]
    return dict(line.split("==") for line in lines)


def test_the_lock_of_client_jobs_has_the_versions_of_the_kit_s_own():
    client, kit = pins(wheelhouse.CLIENT_LOCK), pins(wheelhouse.KIT_LOCK)
    assert client["flwr"] == "1.41.0"
    assert {name: kit.get(name) for name in client} == client
    assert "numpy" not in client  # the image's own: another would not fit its scikit-learn


def test_wheels_travel_with_the_code_and_are_the_only_source(tmp_path):
    (tmp_path / "a-1-py3-none-any.whl").write_bytes(b"wheel")
    packed = bundle.source_archive(wheels=tmp_path)
    assert packed == bundle.source_archive(wheels=tmp_path)
    code = unpack(packed, tmp_path / "code")
    lines = (code / "requirements.txt").read_text().splitlines()
    assert lines[:2] == ["--no-index", "--find-links wheels"]
    assert "flwr==1.41.0" in lines
    assert (code / "wheels" / "a-1-py3-none-any.whl").read_bytes() == b"wheel"


def test_a_wheel_that_is_not_the_locked_one_is_refused(downloads, tmp_path):
    lock = tmp_path / "false.lock"
    lock.write_text(f"iterators==0.0.2 --hash=sha256:{'0' * 64}\n")
    with pytest.raises(BundleError, match=r"no wheelhouse for this-python from false\.lock"):
        wheelhouse.build(THIS, lock=lock, folder=tmp_path / "wheels")


def test_without_network_a_clean_python_installs_flower_and_imports_the_client(wheels, offline, tmp_path):
    """As the image does it: ``pip install -r requirements.txt`` in the folder of the code."""
    code = unpack(bundle.source_archive(wheels=wheels), tmp_path / "code")
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True, timeout=120)
    base = Path(numpy.__file__).parents[1]
    (site,) = (tmp_path / "venv" / "lib").glob("python3.*/site-packages")
    for part in base.glob("numpy*"):  # the one package of the image's that Flower needs
        (site / part.name).symlink_to(part)
    install = [*offline, python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run = subprocess.run(
        [*install, "--requirement", "requirements.txt"], cwd=code, capture_output=True, text=True, timeout=240,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PIP_CONFIG_FILE": os.devnull},
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    # The rest of what the image brings comes last on the path: whatever the wheels brought is found before it.
    (site / "image.pth").write_text(f"{base}\n")
    asked = "import client, flwr, grpc, json; print(json.dumps([flwr.__file__, grpc.__file__, flwr.__version__]))"
    run = subprocess.run(
        [*offline, python, "-c", asked], cwd=code, capture_output=True, text=True, timeout=120,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    *files, version = json.loads(run.stdout.splitlines()[-1])
    assert all(file.startswith(str(tmp_path)) for file in files)
    assert version == "1.41.0"


def test_the_image_s_python_has_a_wheel_of_everything(downloads):
    """Python 3.12 on Linux, built on whatever machine this is; the names of the wheels say for whom they are."""
    names = [wheel.name for wheel in wheelhouse.build(IMAGE).glob("*.whl")]
    assert any(name.startswith("flwr-1.41.0") for name in names)
    for name in names:
        tags = name.removesuffix(".whl").split("-")[-3:]
        assert tags[2] == "any" or "manylinux" in tags[2], name
        assert tags[0].startswith(("py3", "py2.py3", "cp312")) or tags[1] == "abi3", name
