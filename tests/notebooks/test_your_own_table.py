"""docs/your-own-table.md as it is written, on a table of a domain that is in no file of ours; and four hospitals."""

import html
import re
import subprocess
import sys

import pytest
from test_parameters_matter import verdicts, workshop

from data_prep import uci_heart

DRAFT = ["--label", "churned", "--id", "customer_id", "--categories", "plan", "region", "channel"]


def shown(folder, name):
    """Return what a notebook's outputs show, as text."""
    page = (folder / "build" / "workshop" / f"{name}.html").read_text()
    return html.unescape(re.sub(r"<[^>]+>", " ", page))


@pytest.mark.timeout(600)
def test_a_table_of_ones_own_goes_from_the_draft_to_the_last_notebook(customers, tmp_path):
    table, mine = tmp_path / "customers.csv", tmp_path / "my.toml"
    customers.to_csv(table, index=False)
    for command in (["draft", table, *DRAFT, "--output", mine], ["check", mine, table]):
        done = subprocess.run(
            [sys.executable, "-m", "workshop", "table", *map(str, command)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert "3,000 rows, 17 columns" in done.stdout
    run, summary = workshop(tmp_path, PROBLEM=str(mine), DATA=str(table), CLIENTS="2", ROUNDS="2")
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-2000:]
    assert (summary["data"]["rows"], summary["data"]["positives"]) == (3000, 600)
    metrics = summary["metrics"]
    assert metrics["global"]["roc_auc"] > 0.85
    assert metrics["nobody"]["average_precision"] == pytest.approx(0.2, abs=0.01)  # the table's own base rate
    page = shown(tmp_path, "01_prepare_data")
    assert "file rows: 3,000, of them churned: 600" in page
    assert "One row is one row of customers.csv." in page
    assert "a model that calls everybody not churned is right" in page


@pytest.mark.timeout(600)
def test_the_hospitals_track_goes_through_its_notebooks_with_other_parameters(tmp_path):
    run, summary = workshop(tmp_path, TRACK="heart", ROUNDS="10", SEED="7", SOLUTIONS="1")
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-2000:]
    assert [client["owner"] for client in summary["clients"]] == list(uci_heart.HOSPITALS.values())
    assert summary["data"]["source"] == "synthetic"
    metrics = summary["metrics"]
    assert metrics["global"]["roc_auc"] == pytest.approx(metrics["centralised"]["roc_auc"], abs=0.03)
    assert metrics["global"]["roc_auc"] > max(line["roc_auc"] for line in metrics["local"].values())
    assert (summary["rounds"], summary["seed"]) == (10, 7)
    found = verdicts(tmp_path)
    assert len(found) == 8
    assert all(said and all(each.startswith("right: ") for each in said) for said in found.values()), found
    assert "synthetic rows: 918, 4 hospitals" in shown(tmp_path, "01_prepare_data")
    first = shown(tmp_path, "00_start_here")
    assert "tells ill patients from healthy ones" in first
    assert "fraud" not in first
