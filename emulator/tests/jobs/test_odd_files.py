"""Odd names, folders and files: what a bundle, an S3 prefix and a script's folders may hold, and where it ends up."""

import os

import pytest
from test_training_jobs import channel, wheel

from embedded_aws.jobs import folders, transfer

NAMES = ["a?b", "a#b", "a%20b", "a b", "a+b", "a%2Fb", "ä", "a&b=c", "a;b", "a\\b", "a\nb", "?acl", "😀", "x" * 255]


def keys_below(desk, prefix):
    pages = desk.s3.get_paginator("list_objects_v2").paginate(Bucket=desk.bucket, Prefix=prefix)
    return {item["Key"].removeprefix(prefix) for page in pages for item in page.get("Contents", [])}


@pytest.mark.parametrize("fresh", [False, True])
def test_a_script_in_a_folder_sees_its_neighbours_and_the_bundle_s_top(desk, name, fresh):
    """`python src/train.py` has `src` first on its path; the toolkit puts the bundle's folder on PYTHONPATH."""
    script = """
import subprocess, sys
import helper, top
print(helper.WORD, top.WORD, sys.argv[0], flush=True)
subprocess.run([sys.executable, "-c", "import top; print(top.WORD)"], check=True, cwd="/")
"""
    files = {"src/train.py": script, "src/helper.py": "WORD = 'neighbour'", "top.py": "WORD = 'top'"}
    if fresh:
        files["wheels/fl_brought-1.5-py3-none-any.whl"] = wheel("fl_brought", "1.5", "")
    program = {"sagemaker_program": "src/train.py"}
    job = desk.run(name=name, files=files, HyperParameters=program)
    assert job["TrainingJobStatus"] == "Completed", job
    assert desk.lines(name) == ["neighbour top src/train.py", "top"]


@pytest.mark.parametrize("odd", ["set#2", "set?2", "set%202", "set 2", "set;2", "set&2=3"])
def test_a_prefix_is_what_stands_after_the_bucket_s_slash(desk, name, odd):
    """Amazon SageMaker API reference, S3DataSource: all objects whose keys begin with the prefix, and no others."""
    for key, body in ((f"{name}/{odd}/rows.csv", "right"), (f"{name}/set/rows.csv", "no"), (f"{name}/set", "no")):
        desk.s3.put_object(Bucket=desk.bucket, Key=key, Body=body)
    script = """
import os, pathlib
folder = pathlib.Path(os.environ["SM_CHANNEL_TRAIN"])
print({str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()})
"""
    desk.run(script, name=name, InputDataConfig=channel(f"s3://{desk.bucket}/{name}/{odd}/"))
    assert desk.lines(name) == ["{'rows.csv': 'right'}"]


@pytest.mark.parametrize("odd", ["team#1/models", "team?1", "team%201/", "team#1"])
def test_an_artefact_is_where_the_description_says(desk, name, odd):
    script = "import os; open(os.environ['SM_MODEL_DIR'] + '/m', 'w').write('saved')"
    job = desk.run(script, name=name, OutputDataConfig={"S3OutputPath": f"s3://{desk.bucket}/{odd}"})
    uri = job["ModelArtifacts"]["S3ModelArtifacts"]
    assert uri == f"s3://{desk.bucket}/{odd.removesuffix('/')}/{name}/output/model.tar.gz"
    assert desk.artefact(uri) == {"m": b"saved"}


def test_a_bundle_s_key_may_be_odd(desk, name):
    request = desk.request("print('ran')", name=name)
    source = {"Bucket": desk.bucket, "Key": f"code/{name}.tar.gz"}
    desk.s3.copy_object(Bucket=desk.bucket, Key=f"{name}#1?%20/source.tar.gz", CopySource=source)
    where = {"sagemaker_submit_directory": f"s3://{desk.bucket}/{name}#1?%20/source.tar.gz"}
    desk.sagemaker.create_training_job(**request | {"HyperParameters": request["HyperParameters"] | where})
    desk.ended(name)
    assert desk.lines(name) == ["ran"]


@pytest.mark.parametrize("uri", ["", "/", "/checkpoints", "/checkpoints/"])
def test_checkpoints_go_below_their_uri_and_come_back(aws, desk, name, uri):
    bucket = f"{name}-{len(uri)}"
    desk.s3.create_bucket(Bucket=bucket)
    policy = """{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}"""
    desk.session.client("iam").put_role_policy(
        RoleName=desk.role.split("/")[1], PolicyName="all", PolicyDocument=policy
    )
    script = """
import os, pathlib
folder = pathlib.Path(os.environ["SM_MODEL_DIR"]).parent / "checkpoints"
print(sorted(path.name for path in folder.iterdir()))
(folder / "round-1").write_text("1")
"""
    for number in (1, 2):
        desk.run(script, name=f"{name}-{number}", CheckpointConfig={"S3Uri": f"s3://{bucket}{uri}"})
    assert desk.lines(f"{name}-2") == ["['round-1']"]
    (key,) = [item["Key"] for item in desk.s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert key == f"{uri.strip('/')}/round-1".lstrip("/")


def test_checkpoints_elsewhere_are_refused_by_name(desk, name):
    config = {"S3Uri": f"s3://{desk.bucket}/c", "LocalPath": "/opt/ml/input/mine"}
    with pytest.raises(desk.sagemaker.exceptions.ClientError, match="checkpoints in /opt/ml/checkpoints"):
        desk.start(name=name, CheckpointConfig=config)


def test_a_folder_of_checkpoints_that_nobody_asked_for_is_the_script_s_own(desk, name):
    script = "import os; os.mkdir('../checkpoints'); open('../checkpoints/x', 'w').write('1')"
    job = desk.run(script, name=name)
    assert job["TrainingJobStatus"] == "Completed", job


CHECKPOINTS = """
import os
for name in {names!r}:
    os.makedirs(os.path.dirname(os.path.join(b"../checkpoints", name)), exist_ok=True)
    open(os.path.join(b"../checkpoints", name), "w").write("1")
"""


def test_checkpoints_with_odd_names_are_stored_under_these_names_and_come_back(desk, name):
    config = {"S3Uri": f"s3://{desk.bucket}/odd#1/{name}"}
    script = CHECKPOINTS.format(names=[one.encode() for one in NAMES])
    job = desk.run(script, name=name, CheckpointConfig=config)
    assert job["TrainingJobStatus"] == "Completed", job
    assert keys_below(desk, f"odd#1/{name}/") == set(NAMES)
    desk.run("import os; print(ascii(sorted(os.listdir('../checkpoints'))))", name=f"{name}-2", CheckpointConfig=config)
    assert desk.lines(f"{name}-2") == [ascii(sorted(NAMES))]


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (b"caf\xe9.bin", [r"'caf\udce9.bin'", "not UTF-8"]),
        (b"sub\xff/x", [r"'sub\udcff/x'", "not UTF-8"]),
        # 4 * 255 bytes and three slashes fit, with the prefix they do not.
        (b"/".join([b"y" * 255] * 4), ["yyyy", "more than 1024 bytes"]),
    ],
)
def test_a_checkpoint_that_s3_cannot_hold_is_named_and_the_others_are_stored(desk, name, bad, words):
    config = {"S3Uri": f"s3://{desk.bucket}/kept/{name}"}
    script = CHECKPOINTS.format(names=[b"a", bad, b"z/z"])
    job = desk.run(script, name=name, CheckpointConfig=config)
    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("ClientError: Failed to upload: ")
    assert all(word in job["FailureReason"] for word in words), job["FailureReason"]
    assert keys_below(desk, f"kept/{name}/") == {"a", "z/z"}
    assert job["ModelArtifacts"]["S3ModelArtifacts"]


def test_many_bad_checkpoints_are_counted(desk, name):
    script = CHECKPOINTS.format(names=[b"\xff%d" % number for number in range(40)])
    job = desk.run(script, name=name, CheckpointConfig={"S3Uri": f"s3://{desk.bucket}/many/{name}"})
    assert job["FailureReason"].endswith("and 35 files more")
    assert len(job["FailureReason"]) <= 1024


ODD_MODELS = {
    "names of all kinds": ("for n in (b'\\xff', b'a?#%20', b'a\\nb'): open(os.path.join(M, n), 'w').write('1')", 3),
    "a pipe, a socket": (
        """
os.mkfifo(os.path.join(M, b"pipe"))
import socket
os.chdir(M)
socket.socket(socket.AF_UNIX).bind("socket")
open("m", "w").write("1")
""",
        1,
    ),
    "links": ("os.symlink('/nowhere', os.path.join(M, b'dead')); os.symlink(M, os.path.join(M, b'loop'))", 0),
    "a hard link": (
        "open(os.path.join(M, b'm'), 'w').write('1'); os.link(os.path.join(M, b'm'), os.path.join(M, b'n'))",
        1,  # and a link, which the archive keeps as one
    ),
    "a file like a folder": ("os.mkdir(os.path.join(M, b'model.tar.gz')); os.mkdir('../output/failure')", 0),
    "nothing": ("os.rmdir(M); os.rmdir('../output/data')", 0),
    "a deep tree": (
        "os.chdir(M)\nfor _ in range(1500):\n    os.mkdir('d'); os.chdir('d')\nopen('m', 'w').write('1')",
        1,
    ),
    "read-only": (
        "os.mkdir(os.path.join(M, b'r')); open(os.path.join(M, b'r/m'), 'w'); os.chmod(os.path.join(M, b'r'), 0o500)",
        1,
    ),
    "a failure that is a pipe": ("os.mkfifo('../output/failure')", 0),
}


@pytest.mark.parametrize("what", ODD_MODELS)
def test_a_model_folder_of_any_kind_is_packed(desk, aws, name, what):
    lines, files = ODD_MODELS[what]
    job = desk.run(f"import os\nM = os.environb[b'SM_MODEL_DIR']\n{lines}", name=name)
    assert job["TrainingJobStatus"] == "Completed", job
    packed = desk.artefact(job["ModelArtifacts"]["S3ModelArtifacts"])
    assert len(packed) == files
    assert not (aws.home / "embedded" / "jobs" / "000400040004" / name).exists()


def test_no_link_of_an_artefact_shows_a_path_of_this_machine(desk, aws, name):
    import io
    import tarfile

    script = "import os; M = os.environ['SM_MODEL_DIR']; open(M + '/m', 'w'); os.symlink(M + '/m', M + '/link')"
    job = desk.run(script, name=name)
    key = job["ModelArtifacts"]["S3ModelArtifacts"].removeprefix(f"s3://{desk.bucket}/")
    body = desk.s3.get_object(Bucket=desk.bucket, Key=key)["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(body)) as tar:
        assert tar.getmember("link").linkname == "/opt/ml/model/m"


@pytest.mark.parametrize("folder", ["model", "checkpoints", "output/data"])
def test_a_file_in_the_place_of_a_folder_is_named(desk, name, folder):
    script = f"import shutil; shutil.rmtree('../{folder}'); open('../{folder}', 'w').write('1')"
    job = desk.run(script, name=name, CheckpointConfig={"S3Uri": f"s3://{desk.bucket}/none/{name}"})
    reason = f"ClientError: Failed to upload: /opt/ml/{folder} is not a folder any more"
    assert job["FailureReason"] == reason


def test_what_can_be_stored_is_stored_though_the_model_cannot(desk, name):
    script = "import os; os.rmdir('../model'); open('../model', 'w'); open('../checkpoints/c', 'w').write('1')"
    config = {"S3Uri": f"s3://{desk.bucket}/stored/{name}"}
    job = desk.run(f"{script}; open('../output/data/d', 'w').write('1')", name=name, CheckpointConfig=config)
    assert job["TrainingJobStatus"] == "Failed"
    assert "ModelArtifacts" not in job
    assert keys_below(desk, f"stored/{name}/") == {"c"}
    assert desk.artefact(f"s3://{desk.bucket}/out/{name}/output/output.tar.gz") == {"d": b"1"}


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (["a", "a/b"], "cannot be a file of the channel: "),
        (["a/", "a/x/y", "a/x"], "cannot be a file of the channel: "),
        (["n" * 300], "File name too long"),
        (["../x"], "points out of the channel"),
    ],
)
def test_keys_that_are_no_files_are_named_without_a_path_of_this_machine(desk, aws, name, keys, words):
    for key in keys:
        desk.s3.put_object(Bucket=desk.bucket, Key=f"{name}/{key}", Body=b"1")
    job = desk.run(name=name, InputDataConfig=channel(f"s3://{desk.bucket}/{name}/"))
    assert job["FailureReason"].startswith("ClientError: Data download failed: the key ")
    assert words in job["FailureReason"]
    assert str(aws.home) not in job["FailureReason"]


def test_the_failure_file_s_paths_are_those_of_a_container(desk, aws, name):
    script = "import os, sys; open('../output/failure', 'w').write(os.getcwd()); sys.exit(1)"
    assert desk.run(script, name=name)["FailureReason"] == "AlgorithmError: /opt/ml/code, exit code: 1"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_cannot_be_read_is_named(desk, name):
    script = "import os; M = os.environ['SM_MODEL_DIR']; open(M + '/m', 'w'); os.chmod(M + '/m', 0)"
    assert "'m': Permission denied" in desk.run(script, name=name)["FailureReason"]


def test_a_file_that_goes_while_it_is_walked_is_passed_over_and_an_unreadable_one_is_told(monkeypatch, tmp_path):
    for file in "abc":
        (tmp_path / file).touch()
    plain = os.lstat

    def lstat(path, **options):
        if path == tmp_path / "a":
            raise FileNotFoundError
        if path == tmp_path / "b":
            raise PermissionError(13, "Permission denied")
        return plain(path, **options)

    monkeypatch.setattr(folders.os, "lstat", lstat)
    walked = dict(folders.walk(tmp_path))
    assert list(walked) == ["b", "c"]
    assert isinstance(walked["b"], PermissionError)


def test_every_uri_is_split_at_the_first_slash_after_the_bucket():
    assert transfer.split_uri("s3://b/a//b#c?d%20e/") == ("b", "a//b#c?d%20e/")
    assert transfer.split_uri("s3://b") == ("b", "")
    assert transfer.split_uri("s3://b/") == ("b", "")


def test_a_folder_that_is_a_link_is_removed_and_not_what_it_leads_to(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "kept").touch()
    (tmp_path / "job").symlink_to(tmp_path / "mine")
    folders.remove(tmp_path / "job")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    (tmp_path / "job").mkdir()
    (tmp_path / "job" / "link").symlink_to(tmp_path / "mine")
    folders.remove(tmp_path / "job")
    assert (tmp_path / "mine" / "kept").exists()
    assert not (tmp_path / "job").exists()
    folders.remove(tmp_path / "job")  # nothing to do
