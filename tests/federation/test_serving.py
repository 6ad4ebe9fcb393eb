"""A version of the model in the server's account: a batch and an endpoint say what the pipeline says."""

import json
import time

import numpy as np
import pytest
from botocore.exceptions import ClientError

from client_code import schema
from workshop import problems, serving, state
from workshop.aws import cleanup
from workshop.errors import AccountError, ModelError
from workshop.lessons import rehearsal
from workshop.science import model
from workshop.tracking import registry

FRAUD = problems.load()
IMAGE = rehearsal.IMAGE


def trust(account):
    here = {"aws:SourceAccount": account}
    allow = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
    return {"Version": "2012-10-17", "Statement": [allow | {"Condition": {"StringEquals": here}}]}


def rights(bucket, key):
    """What docs/serve-models.md says that the role needs."""
    text = (problems.REPOSITORY / "docs" / "serve-models.md").read_text()
    document = text.partition("```json\n")[2].partition("```")[0]
    return document.replace("BUCKET", bucket).replace("KEY_ARN", key)


@pytest.fixture(scope="module")
def served(stage):
    """The model of a federation, in the server's account; who may do what is what the page says."""
    result, _ = rehearsal.federate(stage, rounds=2)
    about = {"run": "serving1", "source": "synthetic", "seed": 0}
    folder = state.home() / "model"
    model.save(folder, result.parameters, result.scaler, FRAUD, threshold=result.threshold, about=about)
    version = registry.register(folder, FRAUD)
    owner = stage.sessions["server"]
    outputs = stage.accounts.outputs["server"]["fl-storage"]
    iam, account = owner.client("iam"), owner.client("sts").get_caller_identity()["Account"]
    role = iam.create_role(RoleName="FL-serving", AssumeRolePolicyDocument=json.dumps(trust(account)))["Role"]["Arn"]
    document = rights(outputs["Bucket"], outputs["KeyArn"])
    iam.put_role_policy(RoleName="FL-serving", PolicyName="serving", PolicyDocument=document)
    made = serving.make(owner, outputs["Bucket"], version, role=role, image=IMAGE)
    yield owner, made, version
    serving.forget(owner, made)
    iam.delete_role_policy(RoleName="FL-serving", PolicyName="serving")
    iam.delete_role(RoleName="FL-serving")


@pytest.fixture(scope="module")
def table():
    return schema.read_table(state.home() / "data" / "server" / "test.csv", FRAUD)


@pytest.mark.promise("F-31", "A table scored in a batch and by an endpoint gets the pipeline's probabilities, to 1e-12")
def test_both_ways_say_what_the_pipeline_says(served, table):
    owner, made, version = served
    here = model.load(version.folder).pipeline.predict_proba(table[list(FRAUD.feature_names)])[:, 1]
    in_a_batch = serving.batch(owner, made, table)
    with serving.endpoint(owner, made) as ask:
        at_once = ask(table)
        one = ask(table.iloc[:1])
        assert ask(table.iloc[:0]).size == 0
    np.testing.assert_allclose(in_a_batch, here, rtol=1e-12)
    np.testing.assert_allclose(at_once, here, rtol=1e-12)
    np.testing.assert_allclose(one, here[:1], rtol=1e-12)


def test_nothing_is_left_of_an_endpoint_whatever_happens(served, table):
    owner, made, _ = served
    sagemaker = owner.client("sagemaker")
    with pytest.raises(ZeroDivisionError), serving.endpoint(owner, made):
        raise ZeroDivisionError
    give_up = time.monotonic() + 10
    while sagemaker.list_endpoints()["Endpoints"] and time.monotonic() < give_up:  # they take a moment to go
        time.sleep(0.05)
    for listed, member in (
        (sagemaker.list_endpoints, "Endpoints"),
        (sagemaker.list_endpoint_configs, "EndpointConfigs"),
    ):
        assert listed()[member] == []


def test_a_table_that_the_model_does_not_take_is_told_and_the_log_says_why(served, table):
    owner, made, _ = served
    first = FRAUD.feature_names[0]
    odd = table.astype({first: object})
    odd.loc[odd.index[2], first] = "secret"
    with serving.endpoint(owner, made) as ask, pytest.raises(ModelError, match="does not take the table") as info:
        ask(odd)
    assert "secret" not in str(info.value)
    with pytest.raises(ModelError, match=r"is Failed: AlgorithmError: See job logs .*/aws/sagemaker/TransformJobs"):
        serving.batch(owner, made, odd)
    events = owner.client("logs").filter_log_events(logGroupName="/aws/sagemaker/TransformJobs")["events"]
    assert any(f"row 3, column {first}: not a number" in event["message"] for event in events)
    assert not any("secret" in event["message"] for event in events)


def test_a_role_that_may_not_read_is_told_by_whom_and_what(served):
    owner, made, version = served
    iam = owner.client("iam")
    account = owner.client("sts").get_caller_identity()["Account"]
    blind = iam.create_role(RoleName="FL-blind", AssumeRolePolicyDocument=json.dumps(trust(account)))["Role"]["Arn"]
    with pytest.raises(AccountError, match=r"account server: version \d+ of fraud .* does not become a model"):
        serving.make(owner, made.bucket, version, role=blind, image=IMAGE)
    iam.delete_role(RoleName="FL-blind")


def test_a_client_s_account_may_not_ask_the_server_s_model(stage, served):
    owner, made, _ = served
    with serving.endpoint(owner, made) as ask:
        other = stage.sessions["client-1"].client("sagemaker-runtime")
        with pytest.raises(ClientError, match="not found"):  # endpoints are an account's own
            other.invoke_endpoint(EndpointName=ask.name, Body=b"", ContentType="text/csv")


def test_what_is_forgotten_is_gone(served):
    owner, _, version = served
    role = owner.client("iam").get_role(RoleName="FL-serving")["Role"]["Arn"]
    again = serving.make(owner, served[1].bucket, version, role=role, image=IMAGE)
    for _ in range(2):
        serving.forget(owner, again)
    left = owner.client("s3").list_objects_v2(Bucket=again.bucket, Prefix=f"model/serving/{again.name}/")
    assert left["KeyCount"] == 0


def test_a_clean_up_finds_what_is_served_and_takes_it_down(served):
    owner, made, version = served
    sagemaker = owner.client("sagemaker")
    role = owner.client("iam").get_role(RoleName="FL-serving")["Role"]["Arn"]
    again = serving.make(owner, made.bucket, version, role=role, image=IMAGE)
    variant = {
        "VariantName": "A", "ModelName": again.name, "InitialInstanceCount": 1, "InstanceType": "ml.m5.large",
    }  # fmt: skip
    sagemaker.create_endpoint_config(EndpointConfigName=again.name, ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName=again.name, EndpointConfigName=again.name)  # and nobody waits for it
    left = cleanup.left_over({"server": owner})
    kinds = {"model endpoint", "endpoint configuration", "model"}
    assert kinds <= set(left["kind"][left["name"] == again.name])
    cleanup.delete_served(owner)
    assert not kinds & set(cleanup.left_over({"server": owner})["kind"])
