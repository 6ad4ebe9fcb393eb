"""The client as it runs in SageMaker's image 1.9-0: Python 3.12, scikit-learn 1.9.0, against this server."""

import io
import os
import subprocess
import tarfile
from datetime import UTC, datetime

import boto3
import numpy as np
import pytest
from moto.moto_server.threaded_moto_server import ThreadedMotoServer

from client_code import schema
from client_code.identity import QUESTION
from data_prep import prepare, sources
from embedded_aws.gate import signature
from workshop import federation, problems
from workshop.federation import tls
from workshop.federation.identity import Caller
from workshop.federation.participants import Phase, Status
from workshop.packing import bundle
from workshop.science import baselines

FRAUD = problems.load()

SECRET = "a secret of this test"


class Job:
    """A participant that runs outside the embedded AWS."""

    name, account, role = "client-1", "444455556666", "FL-client-job-execution"
    job_name, pace = "fl-client-1-image", 0.2

    def status(self):
        return Status(Phase.RUNNING, since=datetime.now(UTC))

    def stop(self):
        """The test ends its process."""


def signed_by_its_botocore(proof, nonce):
    """Do what STS does: believe a proof only if its signature is right."""
    headers = {name.lower(): value for name, value in proof.items()} | {"host": "sts.us-east-1.amazonaws.com"}
    found = signature.read(headers, "")
    signature.verify(
        found, secret=SECRET, method="POST", path="/", query="", headers=headers, body=QUESTION.encode(),
        now=datetime.now(UTC),
    )  # fmt: skip
    assert {"x-fl-nonce", "x-fl-federation", "x-fl-job"} <= set(found.signed_headers)
    assert headers["x-fl-nonce"] == nonce
    return Caller("444455556666", "FL-client-job-execution", headers["x-fl-job"])


@pytest.fixture
def image_python():
    python = os.environ.get("SAGEMAKER_IMAGE_PYTHON")
    if not python:
        pytest.skip("SAGEMAKER_IMAGE_PYTHON names no Python with the image's packages; CI makes one")
    return python


KEYS = {"aws_access_key_id": "k", "aws_secret_access_key": "s"}


@pytest.fixture
def storage():
    """Return the address of an S3 that has the owner's bucket, and nobody else's business."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    address = "http://{}:{}".format(*server.get_host_and_port())
    boto3.client("s3", "us-east-1", endpoint_url=address, **KEYS).create_bucket(Bucket="bucket-of-the-owner")
    yield address
    server.stop()


def test_the_client_trains_in_the_images_python(image_python, storage, tmp_path):
    table = sources.load("synthetic", FRAUD, seed=0, cache=tmp_path)
    prepare.prepare(table, n_clients=1, how="iid", balance="smote", seed=0, folder=tmp_path)
    code, model, output = (tmp_path / name for name in ("code", "model", "output"))
    for folder in (code, model, output):
        folder.mkdir()
    with tarfile.open(fileobj=io.BytesIO(bundle.source_archive())) as archive:
        archive.extractall(code, filter="data")
    place, certificates = federation.place("127.0.0.1"), tls.make_certificates("127.0.0.1")
    arguments = ["--server-address", place.address, "--ca-certificate", certificates.authority_hyperparameter()]
    arguments += ["--bucket", "bucket-of-the-owner"]
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "TRAINING_JOB_NAME": "fl-client-1-image",
        "SM_CHANNEL_TRAIN": str(tmp_path / "client-1"),
        "SM_MODEL_DIR": str(model),
        "SM_OUTPUT_DIR": str(output),
        "AWS_ACCESS_KEY_ID": "ASIAOFTHEIMAGESPYTHON",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_SESSION_TOKEN": "token",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_S3": storage,
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    process = subprocess.Popen([image_python, "client.py", *arguments], cwd=code, env=environment)
    try:
        test = schema.to_arrays(schema.read_table(tmp_path / "server" / "test.csv", FRAUD), FRAUD)
        result = federation.run(
            [Job()], listen=place.listen, certificates=certificates, caller=signed_by_its_botocore, test=test,
            problem=FRAUD, terms=federation.Terms(rounds=2),
        )  # fmt: skip
        assert process.wait(timeout=60) == 0
    finally:
        process.kill()
        process.wait()
    by_hand = baselines.federated_by_hand([baselines.ClientRows.read(tmp_path / "client-1", FRAUD)], FRAUD, rounds=2)
    np.testing.assert_allclose(result.scaler.mean, by_hand.scaler.mean, atol=1e-12)
    np.testing.assert_allclose(result.parameters[0], by_hand.parameters[0], atol=1e-12)
    assert (model / "model.joblib").exists()
    told = boto3.client("s3", "us-east-1", endpoint_url=storage, **KEYS).list_objects_v2(Bucket="bucket-of-the-owner")
    assert [item["Key"] for item in told["Contents"]] == ["told/sums.json"]
