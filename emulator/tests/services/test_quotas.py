"""Quotas of SageMaker: what an account may have at once, what counts, and who asks for more."""

import time

import pytest
from botocore.exceptions import ClientError
from training_desk import Desk

CODE = "L-611FA074"  # ml.m5.large for training job usage
OF = {"ServiceCode": "sagemaker", "QuotaCode": CODE}


@pytest.fixture(scope="module")
def new(serve_aws, tmp_path_factory):
    """Return an embedded AWS whose accounts are new, and in which a script that is stopped has four seconds."""
    process, aws = serve_aws(
        tmp_path_factory.mktemp("new"), n_clients=2, EMBEDDED_AWS_QUOTA="0", EMBEDDED_AWS_STOP_GRACE="4"
    )
    yield aws
    process.terminate()
    process.wait(10)


def granted(quotas, code, value, *, within=10):
    quotas.request_service_quota_increase(ServiceCode="sagemaker", QuotaCode=code, DesiredValue=value)
    give_up = time.monotonic() + within
    while quotas.get_service_quota(ServiceCode="sagemaker", QuotaCode=code)["Quota"]["Value"] < value:
        assert time.monotonic() < give_up
        time.sleep(0.02)


def test_a_new_account_starts_nothing_before_it_has_asked(new):
    session = new.session("client-1")
    quotas, desk = session.client("service-quotas"), Desk.open(session, "jobs-of-a-new-account")
    assert quotas.get_service_quota(**OF)["Quota"]["Value"] == 0
    assert quotas.get_service_quota(**OF)["Quota"]["QuotaName"] == "ml.m5.large for training job usage"
    with pytest.raises(ClientError) as refused:
        desk.start("import time; time.sleep(60)", name="fl-one")
    assert refused.value.response["Error"]["Code"] == "ResourceLimitExceeded"
    assert "'ml.m5.large for training job usage' is 0 Instances" in str(refused.value)
    granted(quotas, CODE, 1)
    assert quotas.get_aws_default_service_quota(**OF)["Quota"]["Value"] == 0
    (asked,) = quotas.list_requested_service_quota_change_history_by_quota(**OF)["RequestedQuotas"]
    assert (asked["Status"], asked["DesiredValue"]) == ("APPROVED", 1)

    desk.start(
        "import signal, time; signal.signal(15, signal.SIG_IGN); print('on', flush=True); time.sleep(60)", name="fl-one"
    )
    desk.says("fl-one", "on")
    with pytest.raises(ClientError, match="with current utilization of 1 Instances"):
        desk.start("", name="fl-two")
    # What is stopping has its machine still.
    desk.sagemaker.stop_training_job(TrainingJobName="fl-one")
    assert desk.describe("fl-one")["TrainingJobStatus"] == "Stopping"
    with pytest.raises(ClientError, match="with current utilization of 1 Instances"):
        desk.start("", name="fl-two")
    desk.ended("fl-one")
    assert desk.run("", name="fl-two")["TrainingJobStatus"] == "Completed"


def test_a_notebook_instance_needs_a_quota_of_its_own(new):
    session = new.session("client-2")
    quotas, desk = session.client("service-quotas"), Desk.open(session, "notebooks-of-a-new-account")
    request = {"NotebookInstanceName": "n", "InstanceType": "ml.t3.medium", "RoleArn": desk.role}
    with pytest.raises(ClientError, match=r"ml\.t3\.medium for notebook instance usage' is 0 Instances"):
        desk.sagemaker.create_notebook_instance(**request)
    pages = quotas.get_paginator("list_service_quotas").paginate(ServiceCode="sagemaker")
    codes = {one["QuotaName"]: one["QuotaCode"] for page in pages for one in page["Quotas"]}
    assert len(codes) > 300
    granted(quotas, codes["ml.t3.medium for notebook instance usage"], 1)
    desk.sagemaker.create_notebook_instance(**request)
    assert quotas.get_service_quota(**OF)["Quota"]["Value"] == 0


def test_what_is_no_quota_and_what_is_no_increase_is_refused(new):
    quotas = new.session("server").client("service-quotas")
    with pytest.raises(ClientError, match="NoSuchResource"):
        quotas.get_service_quota(ServiceCode="sagemaker", QuotaCode="L-00000000")
    with pytest.raises(ClientError, match="greater than the current quota value"):
        quotas.request_service_quota_increase(**OF, DesiredValue=0)
