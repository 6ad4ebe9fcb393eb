"""One text of SQL on two engines: DuckDB and Spark make the same table of the same files."""

import json
import os
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from data_prep.cms import build, generate, recipe, spark

ROOT = Path(__file__).resolve().parents[2]
PYTHON = os.environ.get("EMBEDDED_AWS_SPARK_PYTHON", "")
LOCAL = (
    "--master local[2] --driver-memory 2g --conf spark.sql.shuffle.partitions=2 --conf spark.ui.enabled=false "
    "--conf spark.driver.host=127.0.0.1 --conf spark.driver.bindAddress=127.0.0.1 pyspark-shell"
)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON, reason="EMBEDDED_AWS_SPARK_PYTHON names no Python with pyspark; CI makes one"),
    pytest.mark.skipif(shutil.which("java") is None, reason="no Java is installed"),
]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """200,000 lines of two years, one file of them packed."""
    folder = tmp_path_factory.mktemp("cms")
    generate.generate(generate.Made(providers=4200, years=(2018, 2019), rate=0.03, seed=1), folder)
    packed = next(folder.glob("MUP_DPR*DY18*"))
    with zipfile.ZipFile(packed.with_suffix(".zip"), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(packed, packed.name)
    packed.unlink()
    return folder


def on_spark(program, *arguments):
    """Run a program of one Spark session; the Python with pyspark has nothing else."""
    environ = {"PATH": os.environ["PATH"], "HOME": str(Path.home()), "PYTHONPATH": str(ROOT)}
    environ |= {"PYSPARK_SUBMIT_ARGS": LOCAL, "OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        [PYTHON, *program, *map(str, arguments)], env=environ, capture_output=True, text=True, timeout=280, check=False
    )
    assert run.returncode == 0, run.stderr[-3000:]
    return run.stdout


@pytest.mark.promise("B-01", "DuckDB and Spark make the same table of the same files, to the last of ten digits")
def test_both_engines_make_the_same_table(files, tmp_path):
    choices = {"join": "outer", "fill": "0", "other_codes": "left out"}
    here = build.build(files, files / "UPDATED.csv", tmp_path / "duckdb", recipe.Choices.of(choices))
    there = tmp_path / "spark"
    given = "--files", files, "--leie", files / "UPDATED.csv", "--output", there, "--choices", json.dumps(choices)
    told = on_spark(["-m", "data_prep.cms.spark_job"], *given)
    assert f"{here.about['rows']} providers, {here.about['positive']} of them excluded later" in told
    about = json.loads((there / build.MANIFEST).read_text())
    assert about["sha256"] == here.about["sha256"]
    assert {key: about[key] for key in about if key != "engine"} == {
        key: json.loads(json.dumps(here.about[key])) for key in here.about if key != "engine"
    }
    wide = pd.read_csv(there / spark.WIDE, dtype={"npi": str})
    expected = pd.read_parquet(here.folder / build.WIDE)
    assert len(wide) > 4000
    pd.testing.assert_frame_equal(wide, expected, check_dtype=False, rtol=1e-9)


PLAN = """
import sys
from pathlib import Path
from pyspark.sql import SparkSession
from data_prep.cms import plan, recipe, spark
session = SparkSession.builder.config("spark.sql.adaptive.enabled", "false").getOrCreate()
session.conf.set("spark.sql.maxMetadataStringLength", "10000")  # whole paths
session.conf.set("spark.sql.autoBroadcastJoinThreshold", "-1")
folder = Path(sys.argv[1])
planned = plan.plan(folder, folder / "UPDATED.csv", recipe.Choices(years=(2019,)))
print(spark.table(session, planned, Path(sys.argv[2]))._jdf.queryExecution().executedPlan().toString())
session.stop()
"""


@pytest.mark.promise("B-02", "Spark reads each file once and shuffles it once; the joins need no other shuffle")
def test_a_file_is_read_once_and_its_lines_are_shuffled_once(files, tmp_path):
    """By the provider's number; the joins stand on the same shuffles, and nothing is shuffled for them."""
    plan = on_spark(["-c", PLAN], files, tmp_path)
    places = re.findall(r"Location: \w+\(1 paths\)\[([^\]]+)", plan)
    assert len(places) == len(set(places)) == 5  # claims of three kinds, the file by provider, the list of exclusions
    assert plan.count("Exchange hashpartitioning(npi#") == plan.count("Exchange ") == 5
    assert plan.count("SortMergeJoin") == 4


def test_a_cell_that_is_no_number_stops_spark_too_and_names_the_file(files, tmp_path):
    folder = tmp_path / "cms"
    shutil.copytree(files, folder)
    path = next(folder.glob("mup_dme*dy19*"))
    header, first, *rest = path.read_text().splitlines()
    cells = first.split(",")
    cells[-2] = "3008F"
    path.write_text("\n".join([header, ",".join(cells), *rest]) + "\n")
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(Path.home()),
        "PYTHONPATH": str(ROOT),
        "PYSPARK_SUBMIT_ARGS": LOCAL,
    }
    run = subprocess.run(
        [PYTHON, "-m", "data_prep.cms.spark_job", "--files", folder, "--leie", folder / "UPDATED.csv",
         "--output", tmp_path / "out"],
        env=environ, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert run.returncode == 1
    assert "3008F" in run.stderr
    assert not (tmp_path / "out" / build.TABLE).exists()
