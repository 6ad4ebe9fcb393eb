"""Processing jobs: a script between its inputs and its outputs, and Spark in the place of SageMaker's Spark image."""

import importlib.util
import json
import os
import shutil
import sys
import time
from pathlib import Path

import psutil
import pytest
from callers import ONCE, allow, as_arguments, document, refusal
from training_desk import IMAGE, TRUST, Desk

from embedded_aws.jobs import spark
from embedded_aws.jobs.container import JOB_SITE, JobFailed

GROUP = "/aws/sagemaker/ProcessingJobs"
SPARK_IMAGE = IMAGE.replace("sagemaker-scikit-learn:1.9-0", "sagemaker-spark-processing:3.5-cpu-py312-v1.0")
CODE, ROWS, OUT = (f"/opt/ml/processing/{name}" for name in ("input/code", "input/rows", "output"))
MACHINE = {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 5}
COUNT = """
import pathlib, sys
rows, out = map(pathlib.Path, sys.argv[1:3])
lines = [line for file in sorted(rows.rglob("*.csv")) for line in file.read_text().splitlines()[1:]]
print("counting", sorted(str(file.relative_to(rows)) for file in rows.rglob("*.csv")))
(out / "deep").mkdir()
(out / "deep" / "count.txt").write_text(str(len(lines)))
"""
PATIENT = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, {handler})
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("child", child.pid, flush=True)
while True:
    time.sleep(0.01)
"""
SAVES = "lambda *_: (open(sys.argv[1] + '/saved', 'w').close(), sys.exit(0))"


def moved(name, uri, path, **changes):
    source = {"S3Uri": uri, "LocalPath": path, "S3DataType": "S3Prefix", "S3InputMode": "File"}
    return {"InputName": name, "S3Input": source | changes}


def stored(uri, path=OUT, **changes):
    return {"OutputName": "out", "S3Output": {"S3Uri": uri, "LocalPath": path, "S3UploadMode": "EndOfJob"} | changes}


def request(desk, name, script, *arguments, image=IMAGE, entrypoint=("python3", f"{CODE}/script.py"), **changes):
    """Store a script and some rows; return the request of a job that runs the one on the others."""
    for key, body in (("code/script.py", script), ("rows/a.csv", "x,y\n1,2\n3,4\n"), ("rows/deep/b.csv", "x,y\n5,6\n")):
        desk.s3.put_object(Bucket=desk.bucket, Key=f"{name}/{key}", Body=body.encode())
    here = f"s3://{desk.bucket}/{name}"
    application = {"ImageUri": image, "ContainerEntrypoint": list(entrypoint), "ContainerArguments": list(arguments)}
    return {
        "ProcessingJobName": name,
        "RoleArn": desk.role,
        "AppSpecification": {member: value for member, value in application.items() if value},
        "ProcessingInputs": [moved("code", f"{here}/code/script.py", CODE), moved("rows", f"{here}/rows/", ROWS)],
        "ProcessingOutputConfig": {"Outputs": [stored(f"{here}/out")]},
        "ProcessingResources": {"ClusterConfig": MACHINE},
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
        **changes,
    }


def ended(desk, name, *, within=30):
    give_up = time.monotonic() + within
    while (job := desk.sagemaker.describe_processing_job(ProcessingJobName=name))["ProcessingJobStatus"] in (
        "InProgress", "Stopping",
    ):  # fmt: skip
        assert time.monotonic() < give_up, "\n".join(desk.lines(name, GROUP))
        time.sleep(0.02)
    return job


def run(desk, name, script, *arguments, within=30, **changes):
    """Run a job; return its description when it has ended."""
    desk.sagemaker.create_processing_job(**request(desk, name, script, *arguments, **changes))
    return ended(desk, name, within=within)


def outputs(desk, name):
    listed = desk.s3.list_objects_v2(Bucket=desk.bucket, Prefix=f"{name}/out/").get("Contents", [])
    keys = [entry["Key"] for entry in listed]
    read = {
        key: desk.s3.get_object(Bucket=desk.bucket, Key=key)["Body"].read().decode(errors="replace") for key in keys
    }
    return {key.removeprefix(f"{name}/out/"): text for key, text in read.items()}


@pytest.fixture
def alone(desk, name):
    """Return a function that makes a role which may write its log and pull images, and what it is told."""

    def make(*statements):
        iam = desk.session.client("iam")
        role = iam.create_role(RoleName=f"{name}-role", AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
        every = allow(["logs:*", "ecr:*"])
        granted = document(every, *statements)
        iam.put_role_policy(RoleName=f"{name}-role", PolicyName="p", PolicyDocument=granted)
        return role

    return make


def test_a_script_reads_its_inputs_and_writes_its_outputs_as_its_role(desk, name):
    tags = [{"Key": "team", "Value": "heart"}]
    job = run(desk, name, COUNT, ROWS, OUT, Environment={"SPOKEN": "yes"}, Tags=tags)
    assert job["ProcessingJobStatus"] == "Completed", job
    assert outputs(desk, name) == {"deep/count.txt": "3"}
    assert "counting ['a.csv', 'deep/b.csv']" in desk.lines(name, GROUP)
    (stream,) = desk.logs.describe_log_streams(logGroupName=GROUP, logStreamNamePrefix=f"{name}/")["logStreams"]
    assert stream["logStreamName"].startswith(f"{name}/algo-1-1")
    assert job["ProcessingJobArn"].endswith(f":processing-job/{name}")
    assert job["CreationTime"] <= job["ProcessingStartTime"] < job["ProcessingEndTime"] == job["LastModifiedTime"]
    assert job["Environment"] == {"SPOKEN": "yes"}
    assert not {"FailureReason", "ExitMessage"} & job.keys()
    assert desk.sagemaker.list_tags(ResourceArn=job["ProcessingJobArn"])["Tags"] == tags


SEEN = """
import boto3, json, os, sys
config = os.path.join(sys.argv[1], "config")
who = boto3.client("sts", os.environ["AWS_REGION"]).get_caller_identity()["Arn"] if "AWS_REGION" in os.environ else ""
files = {name: json.load(open(os.path.join(config, name))) for name in sorted(os.listdir(config))}
told = {"files": files, "who": who, "training": "TRAINING_JOB_ARN" in os.environ, "spoken": os.environ.get("SPOKEN")}
json.dump(told, open(os.path.join(sys.argv[2], "told.json"), "w"))
"""


def test_the_container_is_told_what_it_runs_and_by_whom(desk, name):
    given = request(desk, name, SEEN, "/opt/ml", OUT, Environment={"SPOKEN": "yes"})
    desk.sagemaker.create_processing_job(**given)
    job = ended(desk, name)
    told = json.loads(outputs(desk, name)["told.json"])
    config = told["files"]["processingjobconfig.json"]
    assert (config["ProcessingJobArn"], config["RoleArn"]) == (job["ProcessingJobArn"], desk.role)
    assert config["AppSpecification"] == given["AppSpecification"]
    assert config["ProcessingResources"]["ClusterConfig"] == MACHINE | {"VolumeKmsKeyId": None}
    assert config["ProcessingInputs"] == given["ProcessingInputs"]
    assert told["files"]["resourceconfig.json"] == {"current_host": "algo-1", "hosts": ["algo-1"]}
    assert told["who"].endswith(f":assumed-role/{desk.role.rpartition('/')[2]}/SageMaker")
    # SageMaker's SDK takes a process with a training job's ARN for one of a training job.
    assert (told["training"], told["spoken"]) == (False, "yes")


def program(name):
    """Return a program of the job's site, as a module."""
    spec = importlib.util.spec_from_file_location(name, JOB_SITE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def has_a_view(tmp_path_factory):
    """Tell whether this machine gives a process a view of its own."""
    folder = tmp_path_factory.mktemp("view")
    (folder / "opt" / "ml").mkdir(parents=True)
    (folder / "stage").mkdir()
    return program("inside").may_move_in(str(folder))


def test_what_a_script_itself_calls_opt_ml_is_the_job_s(desk, name, has_a_view):
    if not has_a_view:
        pytest.skip("this machine gives a process no mount namespace")
    before = beside()
    script = f"""
import os
print(sorted(os.listdir("/opt")))
open("{OUT}/rows", "w").write(open("{ROWS}/a.csv").read())
"""
    assert run(desk, name, script)["ProcessingJobStatus"] == "Completed", desk.lines(name, GROUP)
    assert outputs(desk, name) == {"rows": "x,y\n1,2\n3,4\n"}
    # All else that stands beside it is there, and nothing of it is seen outside.
    assert desk.lines(name, GROUP) == [str(sorted({*before, "ml"}))]
    assert beside() == before


def beside():
    return sorted(path.name for path in Path("/opt").iterdir())


def test_without_a_view_paths_in_arguments_and_variables_are_the_folder_s(monkeypatch, capfd, tmp_path):
    told, became = program("inside"), []
    monkeypatch.setattr(told, "may_move_in", lambda _: False)
    monkeypatch.setattr(os, "execvpe", lambda *called: became.append(called))
    monkeypatch.setenv("WHERE", "/opt/ml/processing/input")
    told.main(str(tmp_path), ["python", f"{CODE}/script.py", f"--rows={ROWS}", "/opt/mlx"])
    ((python, words, environment),) = became
    below = f"{tmp_path}/opt/ml/processing"
    script, rows = f"{below}/input/code/script.py", f"--rows={below}/input/rows"
    assert (python, words) == ("python", ["python", script, rows, "/opt/mlx"])
    assert environment["WHERE"] == f"{below}/input"
    assert "gives a process no /opt/ml of its own" in capfd.readouterr().err


def test_a_role_that_may_not_read_fails_the_job_and_so_does_one_that_may_not_write(desk, name, alone):
    objects, bucket = f"arn:aws:s3:::{desk.bucket}/*", f"arn:aws:s3:::{desk.bucket}"
    role = alone(allow("s3:ListBucket", bucket), allow("s3:GetObject", f"{objects[:-1]}*/code/*"))
    job = run(desk, name, COUNT, ROWS, OUT, RoleArn=role)
    assert job["ProcessingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("ClientError: Data download failed: AccessDenied")
    given = document(allow("s3:ListBucket", bucket), allow("s3:GetObject", objects), allow(["logs:*", "ecr:*"]))
    desk.session.client("iam").put_role_policy(RoleName=f"{name}-role", PolicyName="p", PolicyDocument=given)
    job = run(desk, f"{name}-2", COUNT, ROWS, OUT, RoleArn=role)
    assert job["FailureReason"].startswith("ClientError: Failed to upload: AccessDenied")
    assert outputs(desk, f"{name}-2") == {}


def test_an_input_that_is_not_there_fails_the_job(desk, name):
    uri = f"s3://{desk.bucket}/nothing-here/"
    given = request(desk, name, COUNT)
    desk.sagemaker.create_processing_job(**given | {"ProcessingInputs": [moved("rows", uri, ROWS)]})
    reason = ended(desk, name)["FailureReason"]
    assert reason.startswith(f"ClientError: Data download failed: No S3 objects found under S3 URL {uri}")


def test_a_script_that_fails_leaves_a_message_and_no_outputs(desk, name):
    script = """
import pathlib, sys
root = pathlib.Path(sys.argv[1])
(root / "processing" / "output" / "half").write_text("1")
(root / "output" / "message").write_text("the seventh row is odd" + "\\N{EURO SIGN}" * 400)
sys.exit("boom")
"""
    job = run(desk, name, script, "/opt/ml")
    assert (job["ProcessingJobStatus"], job["FailureReason"]) == (
        "Failed", "AlgorithmError: See job logs for more information",
    )  # fmt: skip
    # The first kilobyte; the sign that it would cut in two is left out.
    assert job["ExitMessage"] == "the seventh row is odd" + "\N{EURO SIGN}" * 334
    assert desk.lines(name, GROUP)[-1] == "boom"
    assert outputs(desk, name) == {}
    script = "import sys; open(sys.argv[1] + '/output/message', 'wb').write(b'\\xff')"
    assert "not UTF-8" in run(desk, f"{name}-2", script, "/opt/ml")["FailureReason"]


@pytest.mark.parametrize(("handler", "kept"), [(SAVES, {"saved": ""}), ("signal.SIG_IGN", {})])
def test_a_stopped_job_hears_sigterm_and_is_killed_after_the_grace(desk, name, handler, kept):
    desk.sagemaker.create_processing_job(**request(desk, name, PATIENT.format(handler=handler), OUT))
    child = spoken(desk, name)
    with pytest.raises(desk.sagemaker.exceptions.ResourceInUse, match="stop it first"):
        desk.sagemaker.delete_processing_job(ProcessingJobName=name)
    desk.sagemaker.stop_processing_job(ProcessingJobName=name)
    job = ended(desk, name)
    assert job["ProcessingJobStatus"] == "Stopped"
    assert "FailureReason" not in job
    assert outputs(desk, name) == kept
    assert not psutil.pid_exists(child)
    told = refusal(desk.sagemaker.stop_processing_job, ProcessingJobName=name)
    assert told["Message"].endswith("the processing job is in status Stopped.")
    desk.sagemaker.delete_processing_job(ProcessingJobName=name)
    told = refusal(desk.sagemaker.describe_processing_job, ProcessingJobName=name)
    assert told["Message"] == f"Could not find requested job with name: {name}"


def spoken(desk, name):
    """Wait until a patient script has told the id of its child."""
    give_up = time.monotonic() + 20
    while True:
        groups = desk.logs.describe_log_groups(logGroupNamePrefix=GROUP)["logGroups"]
        for line in desk.lines(name, GROUP) if groups else []:
            if line.startswith("child "):
                return int(line.split()[1])
        assert time.monotonic() < give_up
        time.sleep(0.02)


def test_a_job_out_of_time_is_stopped(desk, name):
    script = PATIENT.format(handler="signal.SIG_DFL")
    job = run(desk, name, script, StoppingCondition={"MaxRuntimeInSeconds": 1})
    assert job["ProcessingJobStatus"] == "Stopped"
    assert (job["ProcessingEndTime"] - job["ProcessingStartTime"]).total_seconds() >= 1


def test_no_job_outlives_the_server(serve_aws, tmp_path):
    process, own = serve_aws(tmp_path)
    try:
        desk = Desk.open(own.session("client-1"), "jobs")
        desk.sagemaker.create_processing_job(**request(desk, "fl-left", PATIENT.format(handler="signal.SIG_IGN")))
        child = psutil.Process(spoken(desk, "fl-left"))
        script = child.parent()
        os.kill(own.pid, 9)
        assert psutil.wait_procs([script, child], timeout=5)[1] == []
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def somebody(desk, name):
    """Return a function that makes a user with some permissions, and their SageMaker."""

    def make(*statements):
        iam = desk.session.client("iam")
        iam.create_user(UserName=f"{name}-ann")
        iam.put_user_policy(UserName=f"{name}-ann", PolicyName="p", PolicyDocument=document(*statements))
        keys = iam.create_access_key(UserName=f"{name}-ann")["AccessKey"]
        return desk.session.client("sagemaker", config=ONCE, **as_arguments({"SessionToken": None, **keys}))

    return make


def test_a_caller_needs_the_action_on_the_job_and_pass_role(desk, name, somebody):
    account = desk.role.split(":")[4]
    arn = f"arn:aws:sagemaker:us-east-1:{account}:processing-job/{name}"
    to_sagemaker = {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
    passing = allow("iam:PassRole", desk.role, Condition=to_sagemaker)
    given = request(desk, name, COUNT, ROWS, OUT)
    sagemaker = somebody(allow("sagemaker:CreateProcessingJob", arn))
    assert "iam:PassRole" in refusal(sagemaker.create_processing_job, **given)["Message"]
    grant = document(allow("sagemaker:CreateProcessingJob", arn), passing)
    desk.session.client("iam").put_user_policy(UserName=f"{name}-ann", PolicyName="p", PolicyDocument=grant)
    other = given | {"ProcessingJobName": f"{name}-other"}
    assert f"sagemaker:CreateProcessingJob on resource: {arn}-other" in refusal(
        sagemaker.create_processing_job, **other
    )["Message"]  # fmt: skip
    sagemaker.create_processing_job(**given)
    assert ended(desk, name)["ProcessingJobStatus"] == "Completed"


LONGER = {"StoppingCondition": {"MaxRuntimeInSeconds": 61}}
OTHER_MACHINE = {"ProcessingResources": {"ClusterConfig": MACHINE | {"InstanceType": "ml.c5.xlarge"}}}


@pytest.mark.parametrize(
    ("condition", "changes"),
    [
        ({"ForAllValues:StringEquals": {"sagemaker:InstanceTypes": "ml.m5.large"}}, OTHER_MACHINE),
        ({"NumericLessThanEquals": {"sagemaker:MaxRuntimeInSeconds": "60"}}, LONGER),
        ({"Bool": {"sagemaker:NetworkIsolation": "true"}}, {"NetworkConfig": {"EnableNetworkIsolation": False}}),
    ],
)
def test_condition_keys_are_filled_from_the_request(desk, name, somebody, condition, changes):
    asked = allow("sagemaker:CreateProcessingJob", Condition=condition)
    sagemaker = somebody(asked, allow("iam:PassRole", desk.role))
    isolated = {"EnableNetworkIsolation": True}
    given = request(desk, name, COUNT, ROWS, OUT, NetworkConfig=isolated)
    told = refusal(sagemaker.create_processing_job, **given | changes)
    assert (told["Code"], "sagemaker:CreateProcessingJob" in told["Message"]) == ("AccessDeniedException", True)
    sagemaker.create_processing_job(**given)
    ended(desk, name)


def test_outputs_are_encrypted_with_the_key_that_was_asked_for(desk, name):
    key = desk.session.client("kms").create_key()["KeyMetadata"]["Arn"]
    output = {"Outputs": [stored(f"s3://{desk.bucket}/{name}/out")], "KmsKeyId": key}
    refused = run(desk, name, COUNT, ROWS, OUT, ProcessingOutputConfig=output)
    assert "kms:GenerateDataKey" in refused["FailureReason"]


def test_an_isolated_job_has_no_credentials_and_its_data_is_moved_all_the_same(desk, name):
    isolated = {"EnableNetworkIsolation": True}
    script = "import os, sys; open(sys.argv[1] + '/told', 'w').write(str([k for k in os.environ if 'AWS_SE' in k]))"
    job = run(desk, name, script, OUT, NetworkConfig=isolated)
    assert job["NetworkConfig"] == isolated
    assert outputs(desk, name) == {"told": "[]"}


def test_a_job_in_a_vpc_moves_its_data_through_it(desk, name):
    ec2 = desk.session.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/24")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.0.0/24")["Subnet"]["SubnetId"]
    group = ec2.create_security_group(GroupName="job", Description="job", VpcId=vpc)["GroupId"]
    network = {"VpcConfig": {"SecurityGroupIds": [group], "Subnets": [subnet]}}
    reason = run(desk, name, COUNT, ROWS, OUT, NetworkConfig=network)["FailureReason"]
    assert "S3 cannot be reached from the job's VPC" in reason
    table = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["RouteTables"][0]["RouteTableId"]
    s3 = {"ServiceName": "com.amazonaws.us-east-1.s3", "RouteTableIds": [table]}
    ec2.create_vpc_endpoint(VpcId=vpc, VpcEndpointType="Gateway", **s3)
    job = run(desk, f"{name}-2", COUNT, ROWS, OUT, NetworkConfig=network)
    assert (job["ProcessingJobStatus"], job["NetworkConfig"]) == ("Completed", network)


def test_jobs_are_listed_newest_first_page_by_page_and_names_are_used_once(desk, name):
    for letter in "ab":
        run(desk, f"{name}-listed-{letter}", "raise SystemExit(1)")
    asked = {"NameContains": f"{name}-listed", "StatusEquals": "Failed", "MaxResults": 1}
    first = desk.sagemaker.list_processing_jobs(**asked)
    second = desk.sagemaker.list_processing_jobs(**asked, NextToken=first["NextToken"])
    pages = [[job["ProcessingJobName"] for job in page["ProcessingJobSummaries"]] for page in (first, second)]
    assert pages == [[f"{name}-listed-b"], [f"{name}-listed-a"]]
    assert "NextToken" not in second
    completed = desk.sagemaker.list_processing_jobs(**asked | {"StatusEquals": "Completed"})
    assert completed["ProcessingJobSummaries"] == []
    with pytest.raises(desk.sagemaker.exceptions.ResourceInUse, match="must be unique within an AWS account"):
        desk.sagemaker.create_processing_job(**request(desk, f"{name}-listed-a", ""))


def cluster(**changes):
    return {"ProcessingResources": {"ClusterConfig": MACHINE | changes}}


def application(*entrypoint, image=IMAGE):
    return {"AppSpecification": {"ImageUri": image, "ContainerEntrypoint": list(entrypoint)}}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"ExperimentConfig": {"ExperimentName": "e"}}, "the member ExperimentConfig"),
        (cluster(InstanceCount=2), "one machine per processing job"),
        (cluster(VolumeKmsKeyId="x"), "ClusterConfig.VolumeKmsKeyId"),
        ({"ProcessingInputs": [moved("a", "s3://b/", ROWS, S3InputMode="Pipe")]}, "S3InputMode File"),
        ({"ProcessingInputs": [moved("a", "s3://b/", ROWS, S3DataType="ManifestFile")]}, "S3DataType S3Prefix"),
        ({"ProcessingInputs": [moved("a", "s3://b/", ROWS, S3DataDistributionType="ShardedByS3Key")]}, "FullyReplic"),
        ({"ProcessingInputs": [moved("a", "s3://b/", ROWS, S3CompressionType="Gzip")]}, "S3CompressionType None"),
        ({"ProcessingInputs": [moved("a", "s3://b/", "/opt/ml/processing/../x")]}, "LocalPath that begins with"),
        ({"ProcessingInputs": [moved("a", "s3://b/", "/etc")]}, "LocalPath that begins with /opt/ml/processing/"),
        ({"ProcessingInputs": [moved(n, "s3://b/", ROWS) for n in "ab"]}, "a LocalPath of its own for each input"),
        ({"ProcessingInputs": [{"InputName": "a", "DatasetDefinition": {"LocalPath": ROWS}}]}, "DatasetDefinition"),
        ({"ProcessingOutputConfig": {"Outputs": [stored("s3://b/", S3UploadMode="Continuous")]}}, "EndOfJob"),
        (application("python3", "x.py", image="busybox"), "ImageUri: a SageMaker scikit-learn or Spark"),
        (application("/bin/bash", "run.sh"), "ContainerEntrypoint python3 and a script"),
        (application("python3", "x.py", image=SPARK_IMAGE), "ContainerEntrypoint smspark-submit"),
    ],
)
def test_what_is_not_acted_on_is_refused_by_name(desk, name, changes, told):
    refused = refusal(desk.sagemaker.create_processing_job, **request(desk, name, COUNT) | changes)
    assert (refused["Code"], told in refused["Message"]) == ("NotImplemented", True), refused


def test_jobs_have_a_quota_of_their_own(serve_aws, tmp_path, monkeypatch):
    monkeypatch.setenv("EMBEDDED_AWS_QUOTA", "0")
    process, own = serve_aws(tmp_path)
    try:
        desk = Desk.open(own.session("client-1"), "jobs")
        told = refusal(desk.sagemaker.create_processing_job, **request(desk, "fl-1", COUNT))
        assert told["Code"] == "ResourceLimitExceeded"
        assert "'ml.m5.large for processing job usage' is 0 Instances" in told["Message"]
    finally:
        process.kill()
        process.wait()


SUBMIT = ("smspark-submit", "--py-files", "/opt/ml/processing/input/modules")
SPARK = """
import sys
from pyspark.sql import SparkSession
import helping
spark = SparkSession.builder.appName("count").getOrCreate()
rows = spark.read.option("header", True).option("recursiveFileLookup", True).csv(sys.argv[1])
print("rows", rows.count(), helping.WORD, spark.sparkContext.master)
rows.coalesce(1).write.csv(sys.argv[2] + "/table")
spark.stop()
"""


def spark_job(desk, name, script, *arguments, entrypoint=(*SUBMIT, f"{CODE}/script.py"), **changes):
    given = request(desk, name, script, *arguments, image=SPARK_IMAGE, entrypoint=entrypoint, **changes)
    key = f"{name}/modules/helping.py"
    desk.s3.put_object(Bucket=desk.bucket, Key=key, Body=b"WORD = 'helped'")
    given["ProcessingInputs"].append(moved("m", f"s3://{desk.bucket}/{key}", "/opt/ml/processing/input/modules"))
    desk.sagemaker.create_processing_job(**given)
    return ended(desk, name, within=120)


def test_a_spark_job_without_java_is_told_plainly(desk, name):
    job = spark_job(desk, name, SPARK, ROWS, OUT, Environment={"PATH": "/nowhere"})
    assert job["ProcessingJobStatus"] == "Failed"
    assert "this machine has no Java on the job's PATH. Install a Java runtime" in job["FailureReason"]


def test_a_spark_job_without_pyspark_is_told_plainly(monkeypatch, tmp_path):
    java, python = tmp_path / "java", tmp_path / "python"
    for program in (java, python):
        program.write_text("#!/bin/sh\nexit 1\n")
        program.chmod(0o755)
    monkeypatch.setenv(spark.PYTHON, str(python))
    with pytest.raises(JobFailed, match=r"EMBEDDED_AWS_SPARK_PYTHON names has no pyspark\. Install it there"):
        spark.environment({"PATH": str(tmp_path)}, tmp_path)


@pytest.fixture(scope="module")
def runs_spark():
    if shutil.which("java") is None:
        pytest.skip("this machine has no Java")
    if spark.home(os.environ.get(spark.PYTHON) or sys.executable) is None:
        pytest.skip(f"no pyspark in this Python, and {spark.PYTHON} names no other")


@pytest.mark.timeout(180)
def test_a_spark_job_counts_rows_and_leaves_its_events(desk, name, runs_spark):
    events = "/opt/ml/processing/events"
    entrypoint = (*SUBMIT, "--local-spark-event-logs-dir", events, f"{CODE}/script.py")
    here = f"s3://{desk.bucket}/{name}/out"
    both = {"Outputs": [stored(here), stored(f"{here}/events", events) | {"OutputName": "events"}]}
    job = spark_job(desk, name, SPARK, ROWS, OUT, entrypoint=entrypoint, ProcessingOutputConfig=both)
    lines = desk.lines(name, GROUP)
    assert job["ProcessingJobStatus"] == "Completed", "\n".join(lines)
    assert "rows 3 helped local[*]" in lines
    found = outputs(desk, name)
    (part,) = [text for key, text in found.items() if key.startswith("table/part-")]
    assert sorted(part.split()) == ["1,2", "3,4", "5,6"]
    assert any("SparkListenerApplicationEnd" in text for key, text in found.items() if key.startswith("events/"))


@pytest.mark.timeout(180)
def test_a_spark_job_that_fails_says_so_as_the_image_does(desk, name, runs_spark):
    job = spark_job(desk, name, "raise ValueError('boom')")
    assert job["FailureReason"] == "AlgorithmError: See job logs for more information"
    assert job["ExitMessage"].startswith("Algorithm Error: (caused by CalledProcessError)")
    assert "returned non-zero exit status 1" in job["ExitMessage"]
    assert "ValueError: boom" in desk.lines(name, GROUP)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--conf", "a=b", "x.py"], "does not act on --conf of smspark-submit"),
        (["--spark-event-logs-s3-uri", "s3://b/", "x.py"], "does not act on --spark-event-logs-s3-uri"),
        (["--jars", "s3://b/x.jar", "x.py"], "s3://b/x.jar must come as an input of the job"),
        (["--files", "/opt/ml/none", "x.py"], "file path /opt/ml/none does not exist"),
        (["--class", "Main"], "missing parameter: app"),
    ],
)
def test_options_that_are_not_acted_on_are_refused_by_name(monkeypatch, tmp_path, options, told):
    smspark = program("smspark")
    monkeypatch.setenv("SPARK_HOME", str(tmp_path))
    (tmp_path / "output").mkdir()
    assert smspark.main(str(tmp_path), options) == 1
    assert told in (tmp_path / "output" / "message").read_text()
