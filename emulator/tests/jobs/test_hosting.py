"""Models that are served: endpoints and transform jobs, under the contract of SageMaker's scikit-learn image."""

import json
import time

import pytest
from botocore.exceptions import ClientError
from training_desk import IMAGE, TRUST, bundle

PROGRAM = """
import json, os

def model_fn(folder):
    print("loading", sorted(os.listdir(folder)))
    return json.load(open(os.path.join(folder, "factor.json")))["factor"]

def input_fn(body, content_type):
    print(type(body).__name__, content_type)
    if content_type != "text/csv":
        raise UnsupportedFormatError(content_type)
    if "bad" in body:
        raise ValueError("a secret cell")
    return [float(line) for line in body.splitlines()]

def predict_fn(data, model):
    return [model * value for value in data]

def output_fn(prediction, accept):
    if accept == "text/csv":
        return "".join(f"{value}\\n" for value in prediction), accept
    return json.dumps(prediction), accept

class UnsupportedFormatError(Exception):
    pass
"""
ENVIRONMENT = {"SAGEMAKER_PROGRAM": "inference.py", "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code"}


def model(desk, name, program=PROGRAM, **changes):
    """Make a model that multiplies."""
    key = f"models/{name}.tar.gz"
    files = {"factor.json": '{"factor": 2}', "code/inference.py": program}
    desk.s3.put_object(Bucket=desk.bucket, Key=key, Body=bundle(files))
    container = {"Image": IMAGE, "ModelDataUrl": f"s3://{desk.bucket}/{key}", "Environment": ENVIRONMENT}
    request = {"ModelName": name, "PrimaryContainer": container, "ExecutionRoleArn": desk.role} | changes
    desk.sagemaker.create_model(**request)
    return name


def endpoint(desk, name, program=PROGRAM, **changes):
    """Bring a model up; return the endpoint's description when it is up, or has failed."""
    variant = {
        "VariantName": "AllTraffic", "ModelName": model(desk, name, program, **changes), "InitialInstanceCount": 1,
        "InstanceType": "ml.m5.large",
    }  # fmt: skip
    desk.sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
    desk.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    return settled(desk, name)


def settled(desk, name):
    give_up = time.monotonic() + 30
    while (told := desk.sagemaker.describe_endpoint(EndpointName=name))["EndpointStatus"] == "Creating":
        assert time.monotonic() < give_up
        time.sleep(0.02)
    return told


def gone(desk, name):
    """Wait until an endpoint that is being deleted is not there any more."""
    give_up = time.monotonic() + 10
    while name in [each["EndpointName"] for each in desk.sagemaker.list_endpoints(NameContains=name)["Endpoints"]]:
        assert time.monotonic() < give_up
        time.sleep(0.02)


def transformed(desk, name, body, *, files=None, given=(), taken=(), **changes):
    """Send objects through a model; return the job's description when it has ended."""
    for key, content in (files or {f"batch/{name}/rows.csv": body}).items():
        desk.s3.put_object(Bucket=desk.bucket, Key=key, Body=content)
    source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{desk.bucket}/batch/{name}/"}
    desk.sagemaker.create_transform_job(**{
        "TransformJobName": name, "ModelName": name,
        "TransformInput": {"DataSource": {"S3DataSource": source}, "ContentType": "text/csv", **dict(given)},
        "TransformOutput": {"S3OutputPath": f"s3://{desk.bucket}/scores/{name}", "Accept": "text/csv", **dict(taken)},
        "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1}, **changes,
    })  # fmt: skip
    give_up = time.monotonic() + 30
    while (told := desk.sagemaker.describe_transform_job(TransformJobName=name))["TransformJobStatus"] == "InProgress":
        assert time.monotonic() < give_up
        time.sleep(0.02)
    return told


def output(desk, name, file="rows.csv.out"):
    return desk.s3.get_object(Bucket=desk.bucket, Key=f"scores/{name}/{file}")["Body"].read()


def ask(desk, name, body=b"1\n2\n", **headers):
    runtime = desk.session.client("sagemaker-runtime")
    return runtime.invoke_endpoint(EndpointName=name, Body=body, **({"ContentType": "text/csv"} | headers))


def refused(call, *args, **kwargs):
    with pytest.raises(ClientError) as info:
        call(*args, **kwargs)
    return info.value.response["Error"]["Code"], info.value.response["Error"]["Message"]


@pytest.fixture(scope="module")
def up(desk):
    """An endpoint that several tests ask."""
    told = endpoint(desk, "fl-up")
    assert told["EndpointStatus"] == "InService"
    yield "fl-up"
    desk.sagemaker.delete_endpoint(EndpointName="fl-up")


def test_an_endpoint_answers_by_the_functions_of_the_program(desk, up):
    answer = ask(desk, up, Accept="text/csv")
    assert (answer["ContentType"], answer["Body"].read()) == ("text/csv", b"2.0\n4.0\n")
    assert answer["InvokedProductionVariant"] == "AllTraffic"
    assert json.loads(ask(desk, up)["Body"].read()) == [2.0, 4.0]  # JSON, where nothing is asked for
    told = desk.sagemaker.describe_endpoint(EndpointName=up)
    assert told["ProductionVariants"][0]["CurrentInstanceCount"] == 1


def test_a_body_is_text_where_its_type_says_so_and_bytes_elsewhere(desk, up):
    ask(desk, up)
    refused(ask, desk, up, ContentType="application/x-npy")
    lines = _log(desk, "/aws/sagemaker/Endpoints/fl-up")
    assert "str text/csv" in lines, "\n".join(lines)
    assert "bytes application/x-npy" in lines
    assert "loading ['code', 'factor.json']" in lines


def _log(desk, group, *, within=5.0):
    give_up, lines = time.monotonic() + within, []
    while time.monotonic() < give_up:
        streams = desk.logs.describe_log_streams(logGroupName=group)["logStreams"]
        lines = [
            event["message"]
            for stream in streams
            for event in desk.logs.get_log_events(
                logGroupName=group, logStreamName=stream["logStreamName"], startFromHead=True
            )["events"]
        ]
        if any("Error" in line for line in lines):
            break
        time.sleep(0.1)
    return lines


@pytest.mark.parametrize(("body", "headers", "status"), [(b"bad", {}, 500), (b"1", {"ContentType": "text/html"}, 415)])
def test_what_the_program_raises_is_a_model_error_and_its_text_stays_in_the_log(desk, up, body, headers, status):
    with pytest.raises(ClientError) as info:
        ask(desk, up, body, **headers)
    answer = info.value.response
    assert (answer["Error"]["Code"], answer["OriginalStatusCode"]) == ("ModelError", status)
    assert "secret" not in str(answer)


def test_an_endpoint_that_is_not_there(desk):
    code, message = refused(ask, desk, "fl-none")
    assert (code, message) == ("ValidationError", f"Endpoint fl-none of account {desk.role.split(':')[4]} not found.")


@pytest.mark.parametrize(
    "program",
    ["raise SystemExit(3)", "def model_fn(folder): raise ValueError('no model')", "def model_fn(f): return 1"],
)
def test_a_program_that_does_not_come_up_fails_the_endpoint(desk, name, program):
    told = endpoint(desk, name, program)
    assert told["EndpointStatus"] == "Failed"
    assert "AllTraffic did not pass the ping health check" in told["FailureReason"]
    desk.sagemaker.delete_endpoint(EndpointName=name)
    gone(desk, name)


def test_an_endpoint_that_is_deleted_is_gone_with_its_process(desk, name):
    endpoint(desk, name)
    desk.sagemaker.delete_endpoint(EndpointName=name)
    gone(desk, name)
    assert refused(ask, desk, name)[0] == "ValidationError"
    for delete, thing in (
        (desk.sagemaker.delete_endpoint_config, "EndpointConfig"),
        (desk.sagemaker.delete_model, "Model"),
    ):
        delete(**{f"{thing}Name": name})
        assert "Could not find" in refused(delete, **{f"{thing}Name": name})[1]


def test_a_model_without_a_network_has_no_credentials_and_reaches_nothing(desk, name):
    program = PROGRAM.replace("return [model * value for value in data]", "return sorted(reached())") + REACHED
    endpoint(desk, name, program, EnableNetworkIsolation=True)
    assert json.loads(ask(desk, name)["Body"].read()) == []
    assert desk.sagemaker.describe_model(ModelName=name)["EnableNetworkIsolation"] is True
    desk.sagemaker.delete_endpoint(EndpointName=name)
    endpoint(desk, f"{name}-open", program)
    assert "AWS_ACCESS_KEY_ID" in json.loads(ask(desk, f"{name}-open")["Body"].read())
    desk.sagemaker.delete_endpoint(EndpointName=f"{name}-open")


# What a program finds of AWS: credentials, and an answer at the other end of the network.
REACHED = """
def reached():
    import urllib.request
    found = {key for key in os.environ if key.startswith("AWS_")}
    try:
        urllib.request.urlopen("http://10.80.0.10/", timeout=2)
        found.add("network")
    except Exception as error:
        if getattr(error, "code", 0) == 200:
            found.add("network")
    return found
"""


def test_a_batch_stores_what_the_endpoint_would_say(desk, name):
    model(desk, name)
    told = transformed(desk, name, b"1\n2\n3\n")
    assert told["TransformJobStatus"] == "Completed"
    assert told["TransformStartTime"] <= told["TransformEndTime"]
    assert output(desk, name) == b"2.0\n4.0\n6.0\n"


def test_every_object_has_an_output_of_its_own_below_the_same_name(desk, name):
    model(desk, name)
    files = {f"batch/{name}/a.csv": b"1\n", f"batch/{name}/deep/b.csv": b"2\n"}
    transformed(desk, name, b"", files=files)
    assert output(desk, name, "a.csv.out") == b"2.0\n"
    assert output(desk, name, "deep/b.csv.out") == b"4.0\n"


@pytest.mark.parametrize(("strategy", "requests"), [("SingleRecord", 3), ("MultiRecord", 1)])
def test_lines_are_sent_one_by_one_or_together(desk, name, strategy, requests):
    program = PROGRAM.replace("return [model * value for value in data]", "return [float(len(data))]")
    model(desk, name, program)
    transformed(desk, name, b"1\n2\n3\n", given={"SplitType": "Line"}, BatchStrategy=strategy)
    assert output(desk, name).splitlines() == ([b"1.0"] * 3 if requests == 3 else [b"3.0"])


def test_answers_are_put_together_with_lines_between_them(desk, name):
    program = PROGRAM.replace('"".join(f"{value}\\n" for value in prediction)', '",".join(map(str, prediction))')
    model(desk, name, program)
    settings = {"given": {"SplitType": "Line"}, "taken": {"AssembleWith": "Line"}, "BatchStrategy": "SingleRecord"}
    transformed(desk, name, b"1\n2\n", **settings)
    assert output(desk, name) == b"2.0\n4.0\n"


def test_an_object_that_the_program_refuses_fails_the_job_and_the_others_are_stored(desk, name):
    model(desk, name)
    files = {f"batch/{name}/a.csv": b"bad\n", f"batch/{name}/b.csv": b"2\n"}
    told = transformed(desk, name, b"", files=files)
    assert (told["TransformJobStatus"], told["FailureReason"]) == (
        "Failed", "AlgorithmError: See job logs for more information",
    )  # fmt: skip
    assert output(desk, name, "b.csv.out") == b"4.0\n"
    keys = desk.s3.list_objects_v2(Bucket=desk.bucket, Prefix=f"scores/{name}/")["Contents"]
    assert [entry["Key"] for entry in keys] == [f"scores/{name}/b.csv.out"]


def test_a_batch_is_stopped(desk, name):
    program = "import time\n" + PROGRAM.replace("return [model * value", "time.sleep(0.2)\n    return [model * value")
    model(desk, name, program)
    desk.s3.put_object(Bucket=desk.bucket, Key=f"batch/{name}/rows.csv", Body=b"1\n")
    for number in range(50):
        desk.s3.put_object(Bucket=desk.bucket, Key=f"batch/{name}/{number}.csv", Body=b"1\n")
    source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{desk.bucket}/batch/{name}/"}
    desk.sagemaker.create_transform_job(
        TransformJobName=name, ModelName=name,
        TransformInput={"DataSource": {"S3DataSource": source}, "ContentType": "text/csv"},
        TransformOutput={"S3OutputPath": f"s3://{desk.bucket}/scores/{name}", "Accept": "text/csv"},
        TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 1},
    )  # fmt: skip
    desk.sagemaker.stop_transform_job(TransformJobName=name)
    give_up = time.monotonic() + 20
    while (told := desk.sagemaker.describe_transform_job(TransformJobName=name))["TransformJobStatus"] != "Stopped":
        assert told["TransformJobStatus"] == "Stopping"
        assert time.monotonic() < give_up
        time.sleep(0.02)
    assert "TransformEndTime" in told
    assert refused(desk.sagemaker.stop_transform_job, TransformJobName=name)[0] == "ValidationException"


def test_names_are_taken_once(desk, name):
    endpoint(desk, name)
    transformed(desk, name, b"1\n")
    variant = {"VariantName": "A", "ModelName": name, "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
    sagemaker = desk.sagemaker
    again = {
        "already existing model": lambda: model(desk, name),
        "already existing endpoint configuration": lambda: sagemaker.create_endpoint_config(
            EndpointConfigName=name, ProductionVariants=[variant]
        ),
        "already existing endpoint ": lambda: sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name),
        "must be unique": lambda: transformed(desk, name, b"1\n"),
    }
    for words, create in again.items():
        assert words in refused(create)[1]
    sagemaker.delete_endpoint(EndpointName=name)


def test_what_a_request_names_must_be_there(desk, name):
    variant = {"VariantName": "A", "ModelName": "fl-none", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
    config = {"EndpointConfigName": name, "ProductionVariants": [variant]}
    assert 'Could not find model "arn' in refused(desk.sagemaker.create_endpoint_config, **config)[1]
    missing = {"EndpointName": name, "EndpointConfigName": "fl-none"}
    assert "Could not find endpoint configuration" in refused(desk.sagemaker.create_endpoint, **missing)[1]
    with pytest.raises(ClientError, match="Could not find model data at s3://"):
        container = {"Image": IMAGE, "ModelDataUrl": f"s3://{desk.bucket}/none.tar.gz", "Environment": ENVIRONMENT}
        desk.sagemaker.create_model(ModelName=name, PrimaryContainer=container, ExecutionRoleArn=desk.role)


def test_a_role_that_may_not_read_the_model_is_refused(desk, name):
    iam = desk.session.client("iam")
    role = iam.create_role(RoleName=f"{name}-blind", AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
    allow = {"Effect": "Allow", "Action": ["ecr:*", "logs:*"], "Resource": "*"}
    document = {"Version": "2012-10-17", "Statement": [allow]}
    iam.put_role_policy(RoleName=f"{name}-blind", PolicyName="p", PolicyDocument=json.dumps(document))
    code, message = refused(model, desk, name, ExecutionRoleArn=role)
    assert code == "ValidationException"
    assert 'ensure that the role has "s3:GetObject" permissions' in message


@pytest.mark.parametrize(
    "changes",
    [
        {"VpcConfig": {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}},
        {"InferenceExecutionConfig": {"Mode": "Serial"}},
    ],
)
def test_what_is_not_acted_on_is_refused_by_name(desk, name, changes):
    _, message = refused(model, desk, name, **changes)
    assert next(iter(changes)) in message
    assert not desk.sagemaker.list_models(NameContains=name)["Models"]


def test_each_quota_is_its_own(desk, name):
    from embedded_aws.services.servicequotas import quotas

    assert quotas.transform("ml.m5.large") == "ml.m5.large for transform job usage"
    assert quotas.endpoint("ml.m5.large") == "ml.m5.large for endpoint usage"
    known = {entry["QuotaName"] for page in _pages(desk) for entry in page["Quotas"]}
    assert {quotas.transform("ml.m5.large"), quotas.endpoint("ml.m5.large")} <= known


def _pages(desk):
    client, token = desk.session.client("service-quotas"), {}
    while True:
        page = client.list_aws_default_service_quotas(ServiceCode="sagemaker", **token)
        yield page
        if "NextToken" not in page:
            return
        token = {"NextToken": page["NextToken"]}
