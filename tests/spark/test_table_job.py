"""An owner's table in the owner's account: a Spark job under a role of its own makes what the laptop makes."""

import json
import os
import shutil

import pandas as pd
import pytest
from botocore.exceptions import ClientError

from data_prep.cms import build, generate, recipe
from workshop import state
from workshop.aws import accounts, blueprint, deployment
from workshop.aws.choices import Choices
from workshop.errors import AccountError, JobError
from workshop.owners import table_job

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("java") is None, reason="no Java is installed"),
    pytest.mark.skipif(
        not os.environ.get("EMBEDDED_AWS_SPARK_PYTHON"),
        reason="EMBEDDED_AWS_SPARK_PYTHON names no Python with pyspark; CI makes one",
    ),
]


@pytest.fixture(scope="module")
def place(own_accounts):
    """A client's account with the stacks that the job needs, and no other."""
    sessions = own_accounts(1)
    chosen = Choices(tables="built")
    members = deployment.meet(sessions, network="10.80.0.0/16", choices=chosen)
    deployment.deploy(members, blueprint.of(chosen).only(["storage", "table-job"]))
    return table_job.place("client-1", sessions["client-1"], members.outputs["client-1"])


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cms")
    generate.generate(generate.Made(providers=900, rate=0.05, seed=2), folder)
    return folder


@pytest.mark.promise(
    "B-08", "A Spark job of the owner's account makes the table that the laptop makes; nothing leaves it"
)
def test_a_job_in_the_account_makes_what_the_laptop_makes(place, files, tmp_path):
    choices = recipe.Choices(fill="0")
    table_job.upload(place, files, files / "UPDATED.csv")
    statuses = []
    prefix = table_job.run(place, choices, tell=statuses.append)
    assert statuses[-1] == "Completed"
    about = table_job.fetch(place, prefix, tmp_path / "there")
    here = build.build(files, files / "UPDATED.csv", tmp_path / "here", choices)
    assert about["sha256"] == here.about["sha256"]
    assert about["generated"] is True
    assert (tmp_path / "there" / build.TABLE).read_bytes() == (here.folder / build.TABLE).read_bytes()
    assert len(pd.read_csv(tmp_path / "there" / "wide.csv")) == about["rows"] > 600


def test_a_file_that_is_there_is_not_sent_again(place, files):
    told = []
    table_job.upload(place, files, files / "UPDATED.csv", lambda name, done, of: told.append((name, done, of)))
    assert told
    assert all(done == of for _, done, of in told)


def test_a_cell_that_is_no_number_is_told_by_the_job(place, files, tmp_path):
    shutil.copytree(files, tmp_path / "cms")
    path = next((tmp_path / "cms").glob("mup_dme*"))
    header, first, rest = path.read_text().split("\n", 2)
    cells = first.split(",")
    cells[-2] = "3008F"
    path.write_text("\n".join([header, ",".join(cells), rest]))
    table_job.upload(place, tmp_path / "cms", tmp_path / "cms" / "UPDATED.csv")
    with pytest.raises(
        JobError, match=r"account client-1: fl-table-\w+ is Failed: .*; its log: /aws/sagemaker/ProcessingJobs"
    ):
        table_job.run(place, recipe.Choices())
    logs = place.session.client("logs").filter_log_events(logGroupName=table_job.LOG_GROUP)["events"]
    assert any("3008F" in event["message"] for event in logs)


def test_the_job_s_role_reads_no_rows_and_is_nobody_else_s(place):
    iam, sts = place.session.client("iam"), place.session.client("sts")
    (policy,) = iam.list_role_policies(RoleName="FL-table-job")["PolicyNames"]
    document = iam.get_role_policy(RoleName="FL-table-job", PolicyName=policy)["PolicyDocument"]
    assert "/data/" not in json.dumps(document)
    with pytest.raises(ClientError, match="AccessDenied"):
        sts.assume_role(RoleArn=place.role, RoleSessionName="me")


def test_an_account_that_refuses_is_named(place, files):
    other = table_job.Place(**{**vars(place), "session": accounts.session("server"), "account": "server"})
    with pytest.raises(AccountError, match=r"account server: bucket .* does not take the files"):
        table_job.upload(other, files, files / "UPDATED.csv")


def test_the_command_does_all_of_it(place, files, tmp_path):
    from workshop.owners import provider_table

    asked = {"chosen": ["providers=people"], "instance_type": "ml.m5.xlarge", "instances": 1}
    assert provider_table.job("client-1", files, files / "UPDATED.csv", tmp_path / "out", **asked) == 0
    about = json.loads((tmp_path / "out" / build.MANIFEST).read_text())
    assert about["choices"]["providers"] == "people"
    assert state.home().is_dir()
