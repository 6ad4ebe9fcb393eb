"""An MLflow app in the server's account: a step where it is chosen; its page's address is asked for.

Nothing here runs one: requests are held against AWS's own description of the operation.
"""

import boto3
import pytest
from botocore.stub import Stubber

from embedded_aws.stacks import documents
from workshop.aws import accounts, blueprint, costs
from workshop.aws.choices import Choices
from workshop.errors import AccountError, AgreementError, WorkshopError
from workshop.files import TEMPLATES
from workshop.tracking import page, sending

APP = "arn:aws:sagemaker:eu-central-1:111122223333:mlflow-app/app-ABC123"


class Session:
    """A session of one client, which answers what it was told to."""

    def __init__(self):
        keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x"}
        self.sagemaker = boto3.client("sagemaker", "eu-central-1", **keys)
        self.asked = {}

    def client(self, service, **asked):
        self.asked = {"service": service, **asked}
        return self.sagemaker


def test_an_address_is_asked_for_where_the_app_is():
    session = Session()
    with Stubber(session.sagemaker) as stub:
        answer = {"AuthorizedUrl": "https://example.com/auth?token=x"}
        stub.add_response("create_presigned_mlflow_app_url", answer, {"Arn": APP, "ExpiresInSeconds": 300})
        assert page.of_app(session, APP) == answer["AuthorizedUrl"]
        stub.assert_no_pending_responses()
    assert session.asked == {"service": "sagemaker", "region_name": "eu-central-1"}


def test_a_refusal_names_the_app():
    session = Session()
    with Stubber(session.sagemaker) as stub:
        stub.add_client_error("create_presigned_mlflow_app_url", "AccessDeniedException", "you may not")
        with pytest.raises(AccountError, match=rf"the page of {APP} cannot be opened: .*you may not"):
            page.of_app(session, APP)


@pytest.mark.parametrize(
    "arn", ["fl-runs", APP.replace("mlflow-app", "mlflow-tracking-server"), APP.rpartition("/")[0]]
)
def test_what_is_no_app_is_told_where_to_look(arn):
    with pytest.raises(WorkshopError, match="TrackerArn of the stack fl-tracker"):
        page.of_app(Session(), arn)


@pytest.mark.parametrize("platform", ["sagemaker", "kubernetes"])
def test_it_is_a_step_where_it_is_chosen_and_nowhere_else(platform):
    without, chosen = Choices(platform=platform), Choices(platform=platform, tracker="app")
    assert "tracker" not in {step.template for step in blueprint.of(without)}
    assert [step.template for step in blueprint.of(chosen)][-1] == "tracker"
    assert "tracker" in costs.table(2, chosen).index
    assert "tracker" in {step.template for step in blueprint.ALL}  # who tidies up looks for it


def test_the_embedded_aws_says_that_it_has_none(monkeypatch):
    monkeypatch.setattr(accounts, "target", lambda: "embedded")
    with pytest.raises(AgreementError, match="the embedded AWS has no MLflow app"):
        blueprint.check(Choices(tracker="app"))
    monkeypatch.setattr(accounts, "target", lambda: "aws")
    blueprint.check(Choices(tracker="app"))


def test_what_the_stack_gives_back_is_what_a_notebook_takes():
    template = documents.parse((TEMPLATES / "tracker.yaml").read_text())
    assert template["Outputs"]["TrackerArn"]["Value"] in ({"Fn::GetAtt": ["App", "Arn"]}, {"Fn::GetAtt": "App.Arn"})
    sending.check(APP)
