"""The data track on other generated files than those of the committed notebooks, with its exercises solved."""

import pytest
from test_parameters_matter import verdicts, workshop


@pytest.mark.timeout(600)
def test_the_data_track_goes_through_on_other_files_and_its_solutions_are_right(tmp_path):
    run, summary = workshop(tmp_path, TRACK="data", SEED="3", SOLUTIONS="1")
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-2000:]
    assert len(summary["notebooks"]) == 3
    found = verdicts(tmp_path)
    without_spark = "your turn: Spark did not run here, so there is no second manifest"
    assert [name for name, said in found.items() if said == [without_spark]] in ([], ["03_in_your_account"])
    right = [each for said in found.values() for each in said if each.startswith("right: ")]
    assert len(right) >= 2
    assert all(said and not any(each.startswith("not yet") for each in said) for said in found.values()), found
