"""A version of the model in the server's account: a batch and an endpoint say what the pipeline says."""

import time

import numpy as np
import pytest
from botocore.exceptions import ClientError

from client_code import schema
from workshop import problems, serving, state
from workshop.aws import accounts, cleanup
from workshop.errors import AccountError, ModelError
from workshop.lessons import rehearsal
from workshop.science import model
from workshop.tracking import registry

FRAUD = problems.load()
IMAGE = rehearsal.IMAGE


@pytest.fixture(scope="module")
def served(stage):
    """The model of a federation, in the server's account; who may do what is what the templates say."""
    result, _ = rehearsal.federate(stage, rounds=2)
    about = {"run": "serving1", "source": "synthetic", "seed": 0}
    folder = state.home() / "model"
    model.save(folder, result.parameters, result.scaler, FRAUD, threshold=result.threshold, about=about)
    version = registry.register(folder, FRAUD)
    caller = accounts.notebook_session(outputs(stage, "fl-server-access")["NotebookRoleArn"])
    made = serving.make(caller, outputs(stage, "fl-storage")["Bucket"], version, role=model_role(stage), image=IMAGE)
    yield caller, made, version
    serving.forget(caller, made)


def outputs(stage, stack):
    return stage.accounts.outputs["server"][stack]


def model_role(stage):
    return outputs(stage, "fl-serving")["ModelRoleArn"]


@pytest.fixture(scope="module")
def table():
    return schema.read_table(state.home() / "data" / "server" / "test.csv", FRAUD)


@pytest.mark.promise("F-31", "A table scored in a batch and by an endpoint gets the pipeline's probabilities, to 1e-12")
def test_both_ways_say_what_the_pipeline_says(served, table):
    caller, made, version = served
    here = model.load(version.folder).pipeline.predict_proba(table[list(FRAUD.feature_names)])[:, 1]
    in_a_batch = serving.batch(caller, made, table)
    with serving.endpoint(caller, made) as ask:
        at_once = ask(table)
        one = ask(table.iloc[:1])
        assert ask(table.iloc[:0]).size == 0
    np.testing.assert_allclose(in_a_batch, here, rtol=1e-12)
    np.testing.assert_allclose(at_once, here, rtol=1e-12)
    np.testing.assert_allclose(one, here[:1], rtol=1e-12)


def test_nothing_is_left_of_an_endpoint_whatever_happens(stage, served):
    caller, made, _ = served
    sagemaker = stage.sessions["server"].client("sagemaker")
    with pytest.raises(ZeroDivisionError), serving.endpoint(caller, made):
        raise ZeroDivisionError
    give_up = time.monotonic() + 10
    while sagemaker.list_endpoints()["Endpoints"] and time.monotonic() < give_up:  # they take a moment to go
        time.sleep(0.05)
    for listed, member in (
        (sagemaker.list_endpoints, "Endpoints"),
        (sagemaker.list_endpoint_configs, "EndpointConfigs"),
    ):
        assert listed()[member] == []


def test_a_table_that_the_model_does_not_take_is_told_and_the_log_says_why(stage, served, table):
    caller, made, _ = served
    first = FRAUD.feature_names[0]
    odd = table.astype({first: object})
    odd.loc[odd.index[2], first] = "secret"
    with serving.endpoint(caller, made) as ask, pytest.raises(ModelError, match="does not take the table") as info:
        ask(odd)
    assert "secret" not in str(info.value)
    with pytest.raises(ModelError, match=r"is Failed: AlgorithmError: See job logs .*/aws/sagemaker/TransformJobs"):
        serving.batch(caller, made, odd)
    events = (
        stage.sessions["server"].client("logs").filter_log_events(logGroupName="/aws/sagemaker/TransformJobs")["events"]
    )
    assert any(f"row 3, column {first}: not a number" in event["message"] for event in events)
    assert not any("secret" in event["message"] for event in events)


def test_whoever_has_tables_scored_can_do_no_more(stage, served):
    """The policy's conditions: another role, a model with a network, another machine, another model."""
    caller, made, _ = served
    sagemaker, other = caller.client("sagemaker"), outputs(stage, "fl-server-access")["NotebookRoleArn"]
    told = stage.sessions["server"].client("sagemaker").describe_model(ModelName=made.name)
    model_like = {
        "ModelName": "fl-odd", "PrimaryContainer": told["PrimaryContainer"], "ExecutionRoleArn": model_role(stage),
        "EnableNetworkIsolation": True,
    }  # fmt: skip
    variant = {"VariantName": "A", "ModelName": made.name, "InitialInstanceCount": 1, "InstanceType": "ml.p4d.24xlarge"}
    for call, request in (
        (sagemaker.create_model, {**model_like, "ExecutionRoleArn": other}),
        (sagemaker.create_model, {**model_like, "EnableNetworkIsolation": False}),
        (sagemaker.create_model, {**model_like, "ModelName": "theirs"}),
        (sagemaker.create_endpoint_config, {"EndpointConfigName": "fl-odd", "ProductionVariants": [variant]}),
        (sagemaker.delete_model, {"ModelName": "theirs"}),
        (caller.client("s3").delete_object, {"Bucket": made.bucket, "Key": "data/test.csv"}),
    ):
        with pytest.raises(ClientError, match="AccessDenied"):
            call(**request)


def test_a_role_that_may_not_be_handed_over_is_told_by_whom_and_what(stage, served):
    caller, made, version = served
    other = outputs(stage, "fl-server-access")["NotebookRoleArn"]
    with pytest.raises(AccountError, match=r"account server: version \d+ of fraud .* does not become a model") as info:
        serving.make(caller, made.bucket, version, role=other, image=IMAGE)
    assert "iam:PassRole" in str(info.value)


def test_a_client_s_account_may_not_ask_the_server_s_model(stage, served):
    caller, made, _ = served
    with serving.endpoint(caller, made) as ask:
        other = stage.sessions["client-1"].client("sagemaker-runtime")
        with pytest.raises(ClientError, match="not found"):  # endpoints are an account's own
            other.invoke_endpoint(EndpointName=ask.name, Body=b"", ContentType="text/csv")


def test_what_is_forgotten_is_gone(stage, served):
    caller, made, version = served
    again = serving.make(caller, made.bucket, version, role=model_role(stage), image=IMAGE)
    for _ in range(2):
        serving.forget(caller, again)
    left = (
        stage.sessions["server"]
        .client("s3")
        .list_objects_v2(Bucket=again.bucket, Prefix=f"model/serving/{again.name}/")
    )
    assert left["KeyCount"] == 0


def test_a_clean_up_finds_what_is_served_and_takes_it_down(stage, served):
    caller, made, version = served
    owner, sagemaker = stage.sessions["server"], caller.client("sagemaker")
    again = serving.make(caller, made.bucket, version, role=model_role(stage), image=IMAGE)
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
    groups = [each["logGroupName"] for each in owner.client("logs").describe_log_groups()["logGroups"]]
    logs = {name for name in groups if name.startswith(cleanup.ENDPOINT_LOGS)}
    assert logs  # what endpoints have said; a clean-up lists it, and deletes it
    assert logs <= set(cleanup.left_over({"server": owner})["name"])
    cleanup._delete_logs(owner)
    left = cleanup.left_over({"server": owner})
    assert not left["kind"].isin(["log stream"]).any()
    assert not logs & set(left["name"])
