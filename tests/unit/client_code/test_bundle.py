"""What travels to a client's job: the same bytes each time, and nothing it needs stays behind."""

import io
import subprocess
import sys
import tarfile

import pytest

from workshop.packing import bundle


def test_the_same_files_give_the_same_bytes(tmp_path):
    for folder in (tmp_path / "one", tmp_path / "two"):
        folder.mkdir()
        (folder / "b.py").write_text("B = 2\n")
        (folder / "a.py").write_text("A = 1\n")
        (folder / "__pycache__").mkdir()
    assert bundle.source_archive(tmp_path / "one") == bundle.source_archive(tmp_path / "two")


def test_another_content_gives_other_bytes(tmp_path):
    (tmp_path / "a.py").write_text("A = 1\n")
    before = bundle.source_archive(tmp_path)
    (tmp_path / "a.py").write_text("A = 2\n")
    assert bundle.source_archive(tmp_path) != before


@pytest.mark.slow
def test_the_bundle_imports_with_nothing_else_of_the_repository_on_the_path(tmp_path):
    with tarfile.open(fileobj=io.BytesIO(bundle.source_archive())) as archive:
        archive.extractall(tmp_path, filter="data")
    # -I: neither the working folder nor PYTHONPATH; the repository's own packages are made unimportable.
    program = (
        "import sys; sys.path.insert(0, '.');"
        "sys.modules.update(dict.fromkeys(['workshop', 'data_prep', 'embedded_aws', 'client_code']));"
        "import client; print(client.FlowerClient.__mro__[1].__name__, client.__file__)"
    )
    run = subprocess.run(
        [sys.executable, "-I", "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("NumPyClient")
    assert str(tmp_path) in run.stdout


def test_the_names_of_the_original_sample_are_kept():
    source = (bundle.CLIENT_CODE / "client.py").read_text() + (bundle.CLIENT_CODE / "task.py").read_text()
    for name in (
        "FlowerClient",
        "get_model_parameters",
        "set_model_params",
        "set_initial_params",
        "load_data",
        "save_model",
    ):
        assert f"def {name}(" in source or f"class {name}(" in source
