"""A client that leaves a pickle which runs code, in the place of its model: the server never opens it."""

import io
import tarfile

import joblib
import pytest

from client_code import schema
from workshop import problems, state
from workshop.lessons import rehearsal
from workshop.packing import bundle
from workshop.science import model

FRAUD = problems.load()

EVIL = """

class Opened:
    def __reduce__(self):
        import os
        return (os.mkdir, ({canary!r},))

def save_model(model_dir, pipeline):
    for compress in (0, 3):
        joblib.dump(Opened(), f"{{model_dir}}/model-{{compress}}.joblib", compress=compress)
    return joblib.dump(Opened(), f"{{model_dir}}/model.joblib")[0]
"""


@pytest.fixture
def canary(stage, tmp_path):
    """Let client-1's code save an evil model; return the folder that exists when somebody has opened it."""
    canary, client = tmp_path / "opened", stage.clients[0]
    code = tmp_path / "code"
    code.mkdir()
    for path in bundle.CLIENT_CODE.iterdir():
        if path.suffix in (".py", ".txt"):
            (code / path.name).write_text(path.read_text())
    with (code / "task.py").open("a") as file:
        file.write(EVIL.format(canary=str(canary)))
    storage = stage.sessions["client-1"].client("s3")
    storage.put_object(Bucket=client.bucket, Key="code/source.tar.gz", Body=bundle.source_archive(code))
    yield canary
    storage.put_object(Bucket=client.bucket, Key="code/source.tar.gz", Body=bundle.source_archive())


@pytest.mark.promise("A-01", "What another account pickled is never opened")
def test_what_another_account_pickled_is_never_opened(stage, canary, tmp_path):
    result, started = rehearsal.federate(stage, rounds=1)
    path = model.save(tmp_path / "model", result.parameters, result.scaler, FRAUD, threshold=result.threshold, about={})
    pipeline = model.load(path.parent).pipeline
    test = schema.read_table(state.home() / "data" / "server" / "test.csv", FRAUD)
    assert pipeline.predict_proba(test[list(FRAUD.feature_names)]).shape == (len(test), 2)
    assert not canary.exists()

    # The positive control: the artefact is there, and whoever opens it runs the client's code.
    artefact = started[0].describe()["ModelArtifacts"]["S3ModelArtifacts"].removeprefix("s3://")
    bucket, _, key = artefact.partition("/")
    packed = stage.sessions["client-1"].client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        joblib.load(tar.extractfile("model.joblib"))
    assert canary.exists()


@pytest.mark.promise("A-04", "A model that was swapped is not opened")
def test_a_model_of_the_server_s_that_was_swapped_in_its_folder_is_not_opened(tmp_path, stage):
    result, _ = rehearsal.federate(stage, rounds=1)
    path = model.save(tmp_path / "model", result.parameters, result.scaler, FRAUD, threshold=result.threshold, about={})
    canary = tmp_path / "opened"
    scope = {"joblib": joblib}
    exec(EVIL.format(canary=str(canary)), scope)  # noqa: S102 - what the evil client would run
    scope["save_model"](path.parent, None)
    with pytest.raises(model.ModelError, match=r"model\.joblib is not the file"):
        model.load(path.parent)
    assert not canary.exists()
