"""Two owners, each alone with one account, one cluster and the other's card, as docs/run-on-eks.md tells them."""

import json
import shutil
import subprocess

import pytest

from data_prep import sources
from workshop import problems
from workshop.clusters import images
from workshop.errors import MissingStep

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
FRAUD = problems.load()


@pytest.fixture(scope="module")
def told(owners, tmp_path_factory):
    """Go through the page step by step; return what every step said."""
    mail = tmp_path_factory.mktemp("mail")

    def send(sender, reader, *options):
        (mail / sender).write_text(owners(sender, "card", sender, *options))
        owners(reader, "join", mail / sender)

    rows = sources.load("synthetic", FRAUD, seed=0, cache=mail).frame
    rows.iloc[::2].to_csv(mail / "client.csv", index=False)
    rows.iloc[1::2].to_csv(mail / "server.csv", index=False)
    said, platform = {}, ("--platform", "kubernetes")
    owners("server", "agree", f"client-1={owners.aws.accounts['client-1']}")
    said["server 1"] = owners("server", "deploy", "server", *platform, code=3)
    send("server", "client-1", "--for", "client-1")
    said["client 1"] = owners("client-1", "deploy", "client-1", *platform, code=3)
    said["too early"] = owners("client-1", "cluster", "client-1", code=1)
    send("client-1", "server")
    said["server 2"] = owners("server", "deploy", "server")
    owners("server", "prepare", "server", mail / "server.csv")
    said["upload"] = owners("server", "upload", "server")
    said["address"] = owners("server", "cluster", "server")
    send("server", "client-1", "--for", "client-1")
    owners("client-1", "deploy", "client-1")
    owners("client-1", "prepare", "client-1", mail / "client.csv")
    owners("client-1", "upload", "client-1")
    said["agent"] = owners("client-1", "cluster", "client-1")
    said["doctor of the client"] = owners("client-1", "doctor", "client-1")
    said["doctor of the server"] = owners("server", "doctor", "server")
    said["card"] = (mail / "server").read_text()
    return said


def test_each_is_told_whom_it_waits_for(told):
    assert "server's stack peering needs VpcId of client-1's stack fl-network" in told["server 1"]
    assert "client-1's stack peering-routes needs PeeringId" in told["client 1"]
    assert "the server's card does not tell where agents dial" in told["too early"]


def test_the_server_s_card_tells_where_to_dial_and_no_secret(told):
    card = json.loads(told["card"])
    assert card["outputs"]["cluster"]["Authority"].startswith("-----BEGIN CERTIFICATE-----")
    assert "PRIVATE KEY" not in told["card"]
    assert card["outputs"]["cluster"]["Host"] in told["address"]
    assert "1 agents may be invited" in told["address"]


def test_the_agent_waits_and_the_doctors_find_nothing(told):
    assert "the agent is up and waits for runs at" in told["agent"]
    for doctor, what in (("client", "agent"), ("server", "address")):
        assert "WRONG" not in told[f"doctor of the {doctor}"]
        assert f" {what} " in told[f"doctor of the {doctor}"]


def test_an_owner_s_own_image_is_taken_and_the_last_one_found(owners, told):
    layout = owners.homes["server"] / "clusters" / "image"
    assert owners("server", "cluster", "server", "--image", layout) == told["address"]
    session = owners.aws.session("server")
    assert images.newest(session, "fl-federation", account="server")[:19] in told["address"]


def test_a_registry_without_an_image_says_how_to_build_one(owners, told):
    session = owners.aws.session("client-1")
    session.client("ecr").create_repository(repositoryName="nothing-yet", imageTagMutability="IMMUTABLE")
    with pytest.raises(MissingStep, match=r"client-1: .* Containerfile.* `fl cluster client-1 --image FOLDER`"):
        images.newest(session, "nothing-yet", account="client-1")
    session.client("ecr").delete_repository(repositoryName="nothing-yet")


def test_the_doctor_names_an_agent_that_is_not_there(owners, told):
    config = owners.homes["client-1"] / "clusters" / "kubeconfig"
    scale = ["kubectl", "--kubeconfig", str(config), "-n", "federation", "scale", "deployment/agent"]
    environment = owners.environment("client-1")
    subprocess.run([*scale, "--replicas=0"], check=True, env=environment, capture_output=True)
    findings = owners("client-1", "doctor", "client-1", code=1)
    assert "agent            0 of 1 up" in findings
    assert "`fl cluster client-1`" in findings
    subprocess.run([*scale, "--replicas=1"], check=True, env=environment, capture_output=True)


def test_each_deletes_its_own(owners, told):
    for name in ("client-1", "server"):
        assert f"nothing is left in {name}" in owners(name, "delete", name, "--yes")
