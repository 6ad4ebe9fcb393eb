"""What a notebook instance runs at its starts, run for real: no network, old Pythons only, the kit at the end."""

import base64
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from data_prep.download import DownloadError, Remote
from workshop.packing import bundle

TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}

VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
# All that the scripts may find besides aws, and the Pythons of AWS's page on notebook instances (AL2023).
COMMANDS = [
    "bash",
    "cat",
    "chown",
    "cp",
    "dirname",
    "env",
    "grep",
    "gzip",
    "mkdir",
    "mv",
    "nohup",
    "rm",
    "runuser",
    "sha256sum",
    "tar",
    "touch",
    "tr",
    "uname",
]
NOT_OURS = ("3.9", "3.10")


@pytest.fixture(scope="module")
def interpreter(tmp_path_factory):
    """Serve this very Python, packed as a relocatable one is, on loopback; return where it is."""
    folder = tmp_path_factory.mktemp("interpreter")
    base = Path(sys.base_prefix)
    library = base / "lib" / f"python{VERSION}"
    left_out = {"test", "tests", "__pycache__", "site-packages", "idlelib", "turtledemo"}
    with tarfile.open(folder / "python.tar.gz", "w:gz", compresslevel=1) as tar:
        tar.add(base / "bin" / f"python{VERSION}", f"python/bin/python{VERSION}")
        link = tarfile.TarInfo("python/bin/python3")
        link.type, link.linkname = tarfile.SYMTYPE, f"python{VERSION}"
        tar.addfile(link)
        keep = lambda member: None if left_out & set(Path(member.name).parts) else member  # noqa: E731
        tar.add(library, f"python/lib/python{VERSION}", filter=keep)
        for shared in base.glob("lib/libpython*.so*"):
            tar.add(shared, f"python/lib/{shared.name}")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(folder)))
    Thread(target=server.serve_forever, daemon=True).start()
    packed = folder / "python.tar.gz"
    yield Remote(
        url=f"http://127.0.0.1:{server.server_port}/python.tar.gz", sha256=bundle.sha256(packed),
        size=packed.stat().st_size, name="a Python", remedy="mend the test",
    )  # fmt: skip
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def kit(downloads, interpreter, tmp_path_factory):
    target = tmp_path_factory.mktemp("bundle") / "kit.tar"
    return target, bundle.kit(target, interpreter=interpreter, python=VERSION)


class Notebook:
    """The instance of the template, on the embedded AWS: which scripts a start would run is read from its log."""

    def __init__(self, aws):
        self.session = aws.session("client-4")
        self.sagemaker, self.stacks = self.session.client("sagemaker"), self.session.client("cloudformation")
        body = (bundle.REPOSITORY / "cloudformation" / "notebook-instance.yaml").read_text()
        # Its network is a test of its own.
        body = body.replace("List<AWS::EC2::Subnet::Id>", "String").replace("AWS::EC2::SecurityGroup::Id", "String")
        for line in ("SubnetId: !Select [0, !Ref SubnetIds]", "SecurityGroupIds: [!Ref FederationGroupId]"):
            body = body.replace(f"      {line}\n", "")
        self.body = body.replace("DirectInternetAccess: Disabled", "DirectInternetAccess: Enabled")
        iam = self.session.client("iam")
        logs = {"Effect": "Allow", "Action": "logs:*", "Resource": "*"}
        role = iam.create_role(RoleName="bundles", AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
        iam.put_role_policy(
            RoleName="bundles", PolicyName="logs",
            PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [logs]}),
        )  # fmt: skip
        self.values = {
            "SubnetIds": "none", "FederationGroupId": "none", "RoleArn": role, "BucketName": "the-bucket",
            "KeyArn": "arn:aws:kms:us-east-1:1:key/none", "IdleMinutes": "0",
        }  # fmt: skip

    def deploy(self, digest):
        """Make the stack, or change it; return the scripts that AWS would run because of that, oldest first."""
        before = len(self._events())
        values = self.values | {"BundleSha256": digest, "BundleName": digest[:12]}
        request = {"StackName": "bundles", "TemplateBody": self.body}
        request["Parameters"] = [{"ParameterKey": key, "ParameterValue": value} for key, value in values.items()]
        there = any(one["StackName"] == "bundles" for one in self.stacks.describe_stacks()["Stacks"])
        (self.stacks.update_stack if there else self.stacks.create_stack)(**request)
        kind = "stack_update_complete" if there else "stack_create_complete"
        self.stacks.get_waiter(kind).wait(StackName="bundles", WaiterConfig={"Delay": 1, "MaxAttempts": 30})
        told = self.sagemaker.describe_notebook_instance(NotebookInstanceName="fl-notebook")
        name = told["NotebookInstanceLifecycleConfigName"]
        config = self.sagemaker.describe_notebook_instance_lifecycle_config(NotebookInstanceLifecycleConfigName=name)
        scripts = [base64.b64decode(one["Content"]) for part in ("OnCreate", "OnStart") for one in config.get(part, [])]
        known = {hashlib.sha256(script).hexdigest(): script.decode() for script in scripts}
        return [known[event.rpartition(" ")[2]] for event in self._events()[before:]]

    def _events(self):
        logs, group = self.session.client("logs"), "/aws/sagemaker/NotebookInstances"
        if not logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]:
            return []
        streams = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix="fl-notebook/")["logStreams"]
        found = [
            event
            for one in streams
            for event in logs.get_log_events(logGroupName=group, logStreamName=one["logStreamName"])["events"]
        ]
        return [event["message"] for event in sorted(found, key=lambda event: event["timestamp"])]

    def delete(self):
        self.stacks.delete_stack(StackName="bundles")
        self.stacks.get_waiter("stack_delete_complete").wait(
            StackName="bundles", WaiterConfig={"Delay": 1, "MaxAttempts": 30}
        )
        iam = self.session.client("iam")
        iam.delete_role_policy(RoleName="bundles", PolicyName="logs")
        iam.delete_role(RoleName="bundles")
        logs, group = self.session.client("logs"), "/aws/sagemaker/NotebookInstances"
        if logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]:
            logs.delete_log_group(logGroupName=group)


@pytest.fixture
def notebook(aws):
    notebook = Notebook(aws)
    yield notebook
    notebook.delete()


class Instance:
    """A clean folder that plays the machine: no network, a home of its own, and ``aws s3 cp`` from and to a folder."""

    def __init__(self, folder, offline, *, kit):
        self.root, self.offline, self.bucket = folder, offline, folder / "bucket"
        commands = folder / "bin"
        for part in (commands, self.bucket / "bundle", self.bucket / "model", folder / "SageMaker"):
            part.mkdir(parents=True)
        for name in COMMANDS:
            (commands / name).symlink_to(shutil.which(name))
        for name, version in {"python3": "3.9", **{f"python{version}": version for version in NOT_OURS}}.items():
            found = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python{version}"))
            if found:
                (commands / name).symlink_to(found[0])
            else:
                self._script(commands / name, f'[ "$1" = --version ] && echo "Python {version}.1"')
        self._script(
            commands / "aws",
            '[ "$1 $2 $3 $4 $5" = "s3 cp --no-progress --region us-east-1" ] || exit 9\n'
            f'cp "${{6/#s3:\\/\\/the-bucket/{self.bucket}}}" "${{7/#s3:\\/\\/the-bucket/{self.bucket}}}"',
        )
        self.environment = {
            "PATH": str(commands), "HOME": str(folder), "WORKSHOP_USER_HOME": str(folder),
            "WORKSHOP_ROOT": str(folder / "SageMaker"), "WORKSHOP_USER": "root",
        }  # fmt: skip
        self.put(kit)

    def put(self, kit):
        """Ship a bundle, as ``fl deploy`` does."""
        (self.bucket / "bundle" / "kit.tar").unlink(missing_ok=True)
        (self.bucket / "bundle" / "kit.tar").symlink_to(kit)

    @property
    def home(self):
        return self.root / "SageMaker" / "federated-learning"

    @property
    def report(self):
        """What the doctor reads; it is sent after the log's last line."""
        path, give_up = self.bucket / "model" / "kit.json", time.monotonic() + 30
        while not path.exists() and time.monotonic() < give_up:
            time.sleep(0.05)
        return json.loads(path.read_text())

    @staticmethod
    def _script(path, text):
        path.write_text(f"#!{shutil.which('bash')}\n{text}\n")
        path.chmod(0o755)

    def run(self, script):
        return subprocess.run(
            [*(shutil.which(self.offline[0]), *self.offline[1:]), shutil.which("bash"), "-c", script],
            env=self.environment, capture_output=True, text=True, timeout=300, cwd=self.root,
        )  # fmt: skip

    def start(self, scripts, *, word="ready: "):
        """Run what AWS would run; return the installation's log when a word is in it, or its last state."""
        path, give_up = self.root / "SageMaker" / "install.log", time.monotonic() + 300
        path.unlink(missing_ok=True)
        for script in scripts:
            ran = self.run(script)
            assert ran.returncode == 0, ran.stdout + ran.stderr
        while time.monotonic() < give_up:
            if path.exists() and word in (text := path.read_text()):
                return text
            time.sleep(0.2)
        return path.read_text() if path.exists() else ""


@pytest.fixture
def instance(tmp_path, offline, kit):
    if os.geteuid() or not shutil.which("runuser"):
        pytest.skip("the lifecycle scripts run as root and hand over to a user (runuser)")
    return Instance(tmp_path, offline, kit=kit[0])


def test_the_bundle_holds_the_repository_a_python_a_wheel_for_each_pin_and_no_private_thing(kit):
    target, digest = kit
    with tarfile.open(target) as tar:
        names = tar.getnames()
    assert digest == bundle.sha256(target)
    assert {"README.md", "notebooks/03_run_federation.ipynb", "requirements.lock", "workshop/aws/stacks.py"} <= set(
        names
    )
    assert "python.tar.gz" in names
    assert any(name.startswith("wheelhouse/flwr-1.41.0") for name in names)
    assert not [name for name in names if name.startswith((".workshop", "build/", ".venv")) or name.endswith(".pem")]


def test_the_python_of_the_bundle_is_pinned_as_its_maker_publishes_it():
    folder = os.environ.get("PUBLISHED_DATA")
    if not folder:
        pytest.skip("PUBLISHED_DATA names no folder with pbs_installer; CI makes one (.ci/run)")
    listed = json.loads((Path(folder) / "pbs_installer" / "versions.json").read_text())
    files = {file["url"]: file["sha256"] for version in listed for file in version["files"]}
    assert files[bundle.INTERPRETER.url] == bundle.INTERPRETER.sha256
    assert f"cpython-{bundle.PYTHON}." in bundle.INTERPRETER.url


def test_another_python_than_the_pinned_one_is_not_packed(interpreter, tmp_path):
    other = replace(interpreter, sha256="0" * 64)
    with pytest.raises(DownloadError, match="it is another file"):
        bundle.kit(tmp_path / "kit.tar", interpreter=other, python=VERSION)
    assert not list(tmp_path.glob("*.tar*"))


def test_an_instance_with_old_pythons_ends_with_the_kit_ready_and_the_second_start_is_quick(instance, notebook, kit):
    log = instance.start(notebook.deploy(kit[1]))
    assert "ready: open federated-learning/notebooks/00_start_here.ipynb" in log
    assert f"installing with Python {VERSION}" in log
    asked = "import workshop.federation, json, flwr, sys; print(json.dumps([workshop.__file__, flwr.__file__]))"
    run = instance.run(f"cd /; '{instance.home}/.venv/bin/python' -c '{asked}'")
    assert run.returncode == 0, run.stderr
    for file in json.loads(run.stdout.splitlines()[-1]):
        assert file.startswith(str(instance.home))
    kernel = json.loads((instance.root / ".local/share/jupyter/kernels/python3/kernel.json").read_text())
    assert kernel["argv"][0] == f"{instance.home}/.venv/bin/python"
    assert "[profile fl-server]\nregion = us-east-1" in (instance.root / ".aws" / "config").read_text()
    assert (instance.home / ".workshop" / "server-bucket").read_text() == "the-bucket\n"
    assert (instance.report["bundle"], instance.report["ready"]) == (kit[1], True)
    assert "Python 3.9" in instance.report["pythons"]  # what was there, for who asks

    notebook.sagemaker.stop_notebook_instance(NotebookInstanceName="fl-notebook")
    notebook.sagemaker.get_waiter("notebook_instance_stopped").wait(
        NotebookInstanceName="fl-notebook", WaiterConfig={"Delay": 1, "MaxAttempts": 10}
    )
    notebook.sagemaker.start_notebook_instance(NotebookInstanceName="fl-notebook")
    notebook.sagemaker.get_waiter("notebook_instance_in_service").wait(
        NotebookInstanceName="fl-notebook", WaiterConfig={"Delay": 1, "MaxAttempts": 10}
    )
    began = time.monotonic()
    assert "installing with" not in instance.start([on_start(notebook)])
    assert time.monotonic() - began < 60


def on_start(notebook):
    told = notebook.sagemaker.describe_notebook_instance(NotebookInstanceName="fl-notebook")
    config = notebook.sagemaker.describe_notebook_instance_lifecycle_config(
        NotebookInstanceLifecycleConfigName=told["NotebookInstanceLifecycleConfigName"]
    )
    return base64.b64decode(config["OnStart"][0]["Content"]).decode()


def test_another_bundle_takes_the_former_one_s_place_and_its_runs_go_on(instance, notebook, kit, tmp_path):
    """OnCreate runs once in an instance's life; what a deployment changes must be done at a start."""
    notebook.deploy("0" * 64)
    old, new = fake_kit(tmp_path / "old.tar", "first"), fake_kit(tmp_path / "new.tar", "second")
    instance.put(tmp_path / "old.tar")
    assert "first is installed" in instance.start(notebook.deploy(old), word="installed")
    (instance.home / ".workshop" / "federation").mkdir()
    (instance.home / ".workshop" / "federation" / "run").write_text("of the first")
    (instance.home / "my-notes.ipynb").write_text("mine")
    instance.put(tmp_path / "new.tar")
    scripts = notebook.deploy(new)
    assert len(scripts) == 1  # the deployment has stopped and started it
    assert "second is installed" in instance.start(scripts, word="installed")
    assert (instance.home / ".workshop" / "federation" / "run").read_text() == "of the first"
    assert (instance.home / ".workshop" / "bundle").read_text() == f"{new}\n"
    before = instance.home.with_name("federated-learning.before")
    assert (before / "my-notes.ipynb").read_text() == "mine"


def fake_kit(path, word):
    """Write a bundle whose installation only says a word; return its digest."""
    with tarfile.open(path, "w") as tar:
        text = f"echo {word} is installed".encode()
        member = tarfile.TarInfo("cloudformation/install-on-notebook.sh")
        member.size = len(text)
        tar.addfile(member, io.BytesIO(text))
    return bundle.sha256(path)


def test_the_emulator_runs_oncreate_at_the_first_start_only(aws, notebook):
    notebook.body = notebook.body.replace(
        "      OnStart:\n", '      OnCreate: [{Content: {"Fn::Base64": "once"}}]\n      OnStart:\n', 1
    )
    digests = ["1" * 64, "2" * 64]
    assert [script == "once" for script in notebook.deploy(digests[0])] == [True, False]
    assert [script == "once" for script in notebook.deploy(digests[1])] == [False]


def test_a_bundle_that_is_not_the_named_one_is_refused_and_nothing_of_it_unpacked(instance, notebook, kit, tmp_path):
    scripts = notebook.deploy(kit[1])
    (tmp_path / "evil.tar").write_bytes(b"not the kit")
    instance.put(tmp_path / "evil.tar")
    run = instance.run(scripts[-1])
    assert run.returncode != 0
    assert "FAILED" in run.stdout + run.stderr
    assert not instance.home.exists()


def test_without_a_digest_nothing_is_installed(instance, notebook):
    (script,) = notebook.deploy("")
    assert "no kit is installed" in instance.run(script).stdout
    assert not instance.home.exists()


def test_an_installation_that_fails_says_so_where_the_doctor_reads_it(instance, notebook, kit):
    with tarfile.open(kit[0]) as tar:
        names = [name for name in tar.getnames() if not name.startswith("wheelhouse/flwr-")]
        with tarfile.open(instance.root / "less.tar", "w") as less:
            for name in names:
                member = tar.getmember(name)
                less.addfile(member, tar.extractfile(member))
    instance.put(instance.root / "less.tar")
    log = instance.start(notebook.deploy(bundle.sha256(instance.root / "less.tar")), word="run it again")
    assert "the installation ended in line" in log
    assert instance.report["ready"] is False
