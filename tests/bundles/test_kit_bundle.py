"""The notebook instance's lifecycle scripts, run for real: no network, a clean folder, the kit ready at the end."""

import base64
import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from workshop import bundle

VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture(scope="module")
def kit(downloads, tmp_path_factory):
    target = tmp_path_factory.mktemp("bundle") / "kit.tar"
    return target, bundle.kit(target, pythons=[VERSION])


@pytest.fixture(scope="module")
def scripts(aws, kit):
    """Return the lifecycle scripts as the deployed stack has them."""
    _, digest = kit
    return lifecycle(aws, digest)


def lifecycle(aws, digest):
    """Deploy the template in an account of its own network; return OnCreate and OnStart."""
    session = aws.session("client-4")
    body = (bundle.REPOSITORY / "cloudformation" / "notebook-instance.yaml").read_text()
    # Only the lifecycle configuration: the instance itself, and the network it stands in, is a test of its own.
    only = body[: body.index("  Notebook:\n")]
    only = only.replace("List<AWS::EC2::Subnet::Id>", "String").replace("AWS::EC2::SecurityGroup::Id", "String")
    values = {
        "SubnetIds": "none",
        "FederationGroupId": "none",
        "RoleArn": f"arn:aws:iam::{aws.accounts['client-4']}:role/none",
        "BucketName": "the-bucket",
        "KeyArn": "arn:aws:kms:us-east-1:1:key/none",
        "BundleSha256": digest,
    }
    client, name = session.client("cloudformation"), f"lifecycle-{digest[:6] or 'none'}"
    client.create_stack(
        StackName=name,
        TemplateBody=only,
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in values.items()],
    )
    client.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    sagemaker = session.client("sagemaker")
    found = sagemaker.describe_notebook_instance_lifecycle_config(NotebookInstanceLifecycleConfigName="fl-install-kit")
    client.delete_stack(StackName=name)
    client.get_waiter("stack_delete_complete").wait(StackName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    return [base64.b64decode(found[part][0]["Content"]).decode() for part in ("OnCreate", "OnStart")]


class Instance:
    """A clean folder that plays a notebook instance: no network, a home of its own, and ``aws s3 cp`` from a folder."""

    def __init__(self, folder, offline, *, object_=None):
        self.root, self.offline = folder, offline
        commands = folder / "bin"
        commands.mkdir()
        stub = commands / "aws"
        stub.write_text(
            f'#!/bin/bash\n[ "$1 $2 $4" = "s3 cp s3://the-bucket/bundle/kit.tar" ] || exit 9\ncp "{object_}" "$5"\n'
        )
        stub.chmod(0o755)
        (folder / "SageMaker").mkdir()
        self.environment = {
            "PATH": f"{commands}:{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
            "HOME": str(folder), "WORKSHOP_USER_HOME": str(folder),
            "WORKSHOP_ROOT": str(folder / "SageMaker"), "WORKSHOP_USER": "root",
            "WORKSHOP_PYTHON": sys.executable,
        }  # fmt: skip

    def run(self, script, **more):
        return subprocess.run(
            [*self.offline, "bash", "-c", script], env=self.environment | more, capture_output=True, text=True,
            timeout=300, cwd=self.root,
        )  # fmt: skip

    def log(self, word, *, seconds=300):
        """Return the installation's log when a word is in it, or its last state."""
        path, give_up = self.root / "SageMaker" / "install.log", time.monotonic() + seconds
        while time.monotonic() < give_up:
            if path.exists() and word in (text := path.read_text()):
                return text
            time.sleep(0.2)
        return path.read_text() if path.exists() else ""


@pytest.fixture
def instance(tmp_path, offline, kit):
    if os.geteuid() or not shutil.which("runuser"):
        pytest.skip("the lifecycle scripts run as root and hand over to a user (runuser)")
    return Instance(tmp_path, offline, object_=kit[0])


def test_the_bundle_holds_the_repository_and_a_wheel_for_each_pin_and_no_private_thing(kit):
    target, digest = kit
    with tarfile.open(target) as tar:
        names = tar.getnames()
    assert digest == bundle.sha256(target)
    assert {"README.md", "notebooks/03_run_federation.ipynb", "requirements.lock", "workshop/stacks.py"} <= set(names)
    assert any(name.startswith("wheelhouse/flwr-1.41.0") for name in names)
    assert not [name for name in names if name.startswith((".workshop", "build/", ".venv")) or name.endswith(".pem")]


def test_the_instance_ends_with_the_kit_ready_and_the_second_start_is_quick(instance, scripts):
    on_create, on_start = scripts
    created = instance.run(on_create)
    assert created.returncode == 0, created.stderr
    started = instance.run(on_start)
    assert started.returncode == 0, started.stderr
    assert "ready: open federated-learning/notebooks/00_start_here.ipynb" in instance.log("ready: ")
    home = instance.root / "SageMaker" / "federated-learning"
    asked = "import workshop.federation, json, flwr, sys; print(json.dumps([workshop.__file__, flwr.__file__]))"
    run = instance.run(f"cd /; '{home}/.venv/bin/python' -c '{asked}'")
    assert run.returncode == 0, run.stderr
    for file in json.loads(run.stdout.splitlines()[-1]):
        assert file.startswith(str(home))
    kernel = json.loads((instance.root / ".local/share/jupyter/kernels/python3/kernel.json").read_text())
    assert kernel["argv"][0] == f"{home}/.venv/bin/python"
    assert "[profile fl-server]\nregion = us-east-1" in (instance.root / ".aws" / "config").read_text()
    assert (home / ".workshop" / "server-bucket").read_text() == "the-bucket\n"
    (instance.root / "SageMaker" / "install.log").unlink()
    began = time.monotonic()
    instance.run(on_start)
    assert "installing with" not in instance.log("ready: ")
    assert time.monotonic() - began < 60


def test_another_bundle_is_refused_and_nothing_of_it_unpacked(instance, scripts, tmp_path):
    (tmp_path / "evil.tar").write_bytes(b"not the kit")
    other = Instance.__new__(Instance)
    other.__dict__ |= instance.__dict__
    (tmp_path / "bin" / "aws").write_text(f'#!/bin/bash\ncp "{tmp_path}/evil.tar" "$5"\n')
    run = other.run(scripts[0])
    assert run.returncode != 0
    assert "FAILED" in run.stdout + run.stderr
    assert not (tmp_path / "SageMaker" / "federated-learning").exists()


def test_without_a_digest_nothing_is_installed(aws, instance):
    on_create, on_start = lifecycle(aws, "")
    assert "no kit is installed" in instance.run(on_create).stdout
    assert instance.run(on_start).returncode == 0
    assert not (instance.root / "SageMaker" / "federated-learning").exists()


def test_an_instance_without_a_fitting_python_says_what_to_do(tmp_path):
    script = bundle.REPOSITORY / "cloudformation" / "install-on-notebook.sh"
    (tmp_path / "bin").mkdir()
    for name in ("bash", "dirname", "mkdir", "grep", "cat"):
        (tmp_path / "bin" / name).symlink_to(shutil.which(name))
    run = subprocess.run(
        ["bash", str(script), "us-east-1"], env={"PATH": str(tmp_path / "bin"), "HOME": str(tmp_path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if Path("/opt/conda/bin/python").exists():
        pytest.skip("this machine has a Python where a notebook instance would have one")
    assert run.returncode == 1
    assert "no Python 3.11 or 3.12" in run.stderr
    assert "WORKSHOP_PYTHON=/path/to/python" in run.stderr
