"""The provider table from published files: labels, choices, years; held against a calculation by pandas."""

import errno
import json
import signal
import subprocess
import sys

import cms_files
import numpy as np
import pandas as pd
import pytest
from cms_files import exclusion

from client_code import schema
from data_prep.cms import build, files, generate, layouts, recipe
from data_prep.cms.duck import DuckDB
from data_prep.cms.files import FilesError
from data_prep.cms.recipe import Choices, RecipeError
from workshop import problems

ONE, TWO, THREE = "1000000005", "1000000013", "1000000021"
ALL_THREE = (ONE, TWO, THREE)


def built(tmp_path, *exclusions, folder=None, **choices):
    folder = folder or cms_files.folder_of(tmp_path / "cms", npis=ALL_THREE)
    listed = cms_files.leie(tmp_path / "UPDATED.csv", *exclusions)
    made = build.build(folder, listed, tmp_path / "out", Choices(**choices))
    return pd.read_parquet(made.folder / build.WIDE).set_index("npi"), made.about


def labels(tmp_path, *exclusions, **choices):
    return built(tmp_path, *exclusions, **choices)[0]["fraudulent_provider"].to_dict()


def test_an_exclusion_after_the_claims_makes_a_provider_positive(tmp_path):
    assert labels(tmp_path, exclusion(ONE, excluded="20200101")) == {ONE: 1, TWO: 0, THREE: 0}


@pytest.mark.promise("B-05", "No label is from the past: who was excluded before the end of the claims has no row")
@pytest.mark.parametrize("day", ["20191231", "20190101", "20050505"])
def test_who_was_excluded_before_the_end_of_the_claims_has_no_row(tmp_path, day):
    """Its claims end with its exclusion: the label would be from the past."""
    assert labels(tmp_path, exclusion(ONE, excluded=day)) == {TWO: 0, THREE: 0}
    assert labels(tmp_path, exclusion(ONE, code="1128a4", excluded=day)) == {TWO: 0, THREE: 0}


def test_an_exclusion_counts_within_the_years_that_were_chosen(tmp_path):
    listed = exclusion(ONE, excluded="20211231"), exclusion(TWO, excluded="20220101")
    assert labels(tmp_path, *listed, within=2) == {ONE: 1, TWO: 0, THREE: 0}
    assert labels(tmp_path, *listed) == {ONE: 1, TWO: 1, THREE: 0}


def test_an_exclusion_for_something_else_is_what_was_chosen(tmp_path):
    listed = exclusion(ONE, code="1128a4"), exclusion(TWO, code="1128B7 ")
    assert labels(tmp_path, *listed) == {ONE: 0, TWO: 1, THREE: 0}
    assert labels(tmp_path, *listed, other_codes="left out") == {TWO: 1, THREE: 0}
    assert labels(tmp_path, *listed, codes=("1128a4",)) == {ONE: 1, TWO: 0, THREE: 0}


@pytest.mark.parametrize(("choice", "field"), [("reinstated", "REINDATE"), ("waived", "WAIVERDATE")])
def test_who_was_let_in_again_is_what_was_chosen(tmp_path, choice, field):
    listed = exclusion(ONE, **{field: "20240601"})
    assert labels(tmp_path, listed) == {ONE: 1, TWO: 0, THREE: 0}
    assert labels(tmp_path, listed, **{choice: "left out"}) == {TWO: 0, THREE: 0}


def test_two_exclusions_of_one_provider_make_one_row(tmp_path):
    table, about = built(tmp_path, exclusion(ONE), exclusion(ONE, code="1128b7"), exclusion(ONE, code="1128b4"))
    assert table.index.is_unique
    assert (about["rows"], about["positive"]) == (3, 1)


def test_what_the_labels_lost_is_counted(tmp_path):
    nobody = [exclusion(npi) for npi in ("0000000000", "", "0")]
    _, about = built(tmp_path, *nobody, exclusion(ONE), exclusion("1999999999"), exclusion(TWO, code="1128a4"))
    told = {name: about[name] for name in about if name.startswith(("exclusions", "of_them"))}
    assert told == {
        "exclusions": 6, "exclusions_of_these_codes": 5, "of_them_without_npi": 3, "of_them_in_table": 1,
    }  # fmt: skip


@pytest.mark.parametrize(("fill", "total", "mean"), [("5", 16, 8), ("0", 11, 5.5), ("left out", 11, 11)])
def test_what_stands_for_a_hidden_count_is_a_choice(tmp_path, fill, total, mean):
    folder = cms_files.folder_of(tmp_path / "cms", part_d=[{"bene_count": ""}, {"bene_count": "11"}])
    row = built(tmp_path, folder=folder, fill=fill)[0].loc[ONE]
    assert (row["bene_count_sum"], row["bene_count_mean"]) == (total, mean)


def test_a_column_of_hidden_counts_alone_is_zero_where_lines_are_left_out(tmp_path):
    folder = cms_files.folder_of(tmp_path / "cms", part_d=[{"bene_count": "*"}, {"bene_count": "#"}])
    row = built(tmp_path, folder=folder, fill="left out")[0].loc[ONE]
    assert (row["bene_count_sum"], row["bene_count_mean"], row["bene_count_standard_deviation"]) == (0, 0, 0)


def test_a_provider_of_two_files_is_in_the_outer_table_alone(tmp_path):
    folder = cms_files.folder_of(tmp_path / "cms", npis=(ONE, TWO), dmepos=[{"npi": ONE}])
    assert list(built(tmp_path, folder=folder)[0].index) == [ONE]
    outer = built(tmp_path, folder=folder, join="outer")[0]
    assert list(outer.index) == [ONE, TWO]
    assert outer.loc[TWO, ["tot_suplrs_sum", "tot_suplrs_mean", "tot_suplrs_standard_deviation"]].tolist() == [0, 0, 0]


def test_organisations_are_left_out_where_people_are_chosen(tmp_path):
    firm = {"entity": "O", "gender": ""}
    folder = cms_files.folder_of(
        tmp_path / "cms",
        npis=(ONE, TWO),
        part_b=[{"npi": ONE}, {"npi": TWO, **firm}],
        dmepos=[{"npi": ONE}, {"npi": TWO, **firm}],
    )
    assert list(built(tmp_path, folder=folder)[0].index) == [ONE, TWO]
    assert list(built(tmp_path, folder=folder, providers="people")[0].index) == [ONE]


def test_years_are_added_up_as_if_they_were_one_file(tmp_path):
    folder = cms_files.folder_of(tmp_path / "cms", year=18, part_b=[{"line_svc_cnt": "1"}, {"line_svc_cnt": "3"}])
    cms_files.folder_of(folder, year=19, part_b=[{"line_svc_cnt": "8", "state": "NV"}])
    row = built(tmp_path, folder=folder)[0].loc[ONE]
    assert row["line_svc_cnt_sum"] == 12
    assert row["line_svc_cnt_standard_deviation"] == pytest.approx(np.std([1, 3, 8], ddof=1), rel=1e-15)
    assert row["state"] == "NV"  # of the last year
    assert row["change_of_paid"] == pytest.approx(np.log((8 * 40.25 + 1) / (4 * 40.25 + 1)), rel=1e-15)
    (alone,) = built(tmp_path, folder=folder, years=(2018,))[0]["line_svc_cnt_sum"]
    assert alone == 4


def test_a_spread_of_nearly_equal_numbers_is_not_lost_in_their_size(tmp_path):
    """Floating point would lose it: the sum of squares has fifteen digits more."""
    costs = ["100000000.01", "100000000.02", "100000000.03"]
    folder = cms_files.folder_of(tmp_path / "cms", part_d=[{"total_drug_cost": cost} for cost in costs])
    row = built(tmp_path, folder=folder)[0].loc[ONE]
    assert row["total_drug_cost_standard_deviation"] == pytest.approx(0.01, rel=1e-14)


def test_equal_numbers_have_no_spread_at_all(tmp_path):
    folder = cms_files.folder_of(tmp_path / "cms", part_b=[{"average_submitted_chrg_amt": "33.33333333"}] * 7)
    assert built(tmp_path, folder=folder)[0].loc[ONE, "average_submitted_chrg_amt_standard_deviation"] == 0


def test_the_share_of_patients_with_medicaid_needs_the_file_by_provider(tmp_path):
    folder = cms_files.folder_of(tmp_path / "cms", npis=ALL_THREE)
    assert built(tmp_path, folder=folder)[0]["dual_share"].isna().all()
    of = cms_files.layout("part_b_provider")
    rows = [
        {"npi": ONE, "dual": "30", "not_dual": "90"}, {"npi": TWO, "dual": "", "not_dual": ""},
        {"npi": THREE, "dual": "*", "not_dual": "#"},
    ]  # fmt: skip
    cms_files.write(folder / cms_files.NAMES["part_b_provider"].format(year=19), of, rows)
    shares = built(tmp_path, folder=folder)[0]["dual_share"]
    assert shares[ONE] == 0.25
    assert shares[[TWO, THREE]].isna().all()


@pytest.mark.parametrize(
    ("choice", "says"),
    [
        ({"fill": "3"}, "fill is '3': choose 5 or 0 or left out"),
        ({"codes": ("1128x",)}, "1128x unknown; there are 1128a1"),
        ({"codes": ()}, "nobody would be positive"),
        ({"years": (19,)}, "four digits"),
        ({"join": "left"}, "inner or outer"),
    ],
)
def test_a_choice_that_there_is_not_is_refused(choice, says):
    with pytest.raises(RecipeError, match=says):
        Choices(**choice)


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cms")
    generate.generate(generate.Made(providers=1500, years=(2018, 2019), rate=0.04, seed=3), folder)
    return folder


def by_hand(folder, years):
    """The fifty columns by pandas, in floating point, from the same files."""
    parts = {}
    for kind in layouts.BILLED:
        frames = []
        for source in files.find(folder):
            if source.kind == kind and source.year in years:
                frame = pd.read_csv(source.path, sep=source.layout.delimiter, dtype=str, keep_default_na=False)
                frames.append(frame.rename(columns={theirs: ours for ours, theirs in source.layout.reads.items()}))
        lines = pd.concat(frames)
        for name in recipe.QUANTITIES[kind]:
            lines[name] = pd.to_numeric(lines[name].where(lines[name] != "", "5"))
        groups = lines.groupby("npi")[list(recipe.QUANTITIES[kind])]
        told = {"standard_deviation": groups.std().fillna(0), "mean": groups.mean(), "sum": groups.sum()}
        parts[kind] = pd.concat(told, axis=1)
        parts[kind].columns = [f"{name}_{what}" for what, name in parts[kind].columns]
        if kind == "part_b":
            parts["female"] = (lines.groupby("npi")["gender"].max() == "F").astype(int).rename("female").to_frame()
    table = pd.concat([parts["female"], parts["dmepos"], parts["part_b"], parts["part_d"]], axis=1, join="inner")
    listed = pd.read_csv(folder / "UPDATED.csv", dtype=str, keep_default_na=False)
    last = f"{max(years)}1231"
    before = set(listed["NPI"][listed["EXCLDATE"] <= last])
    counts = listed["EXCLTYPE"].isin(Choices().codes) & (listed["EXCLDATE"] > last)
    table = table[~table.index.isin(before)].sort_index()
    return table.assign(fraudulent_provider=table.index.isin(set(listed["NPI"][counts])).astype(int))


@pytest.mark.promise("B-06", "The table is what pandas makes of the same files, to 1e-9, labels exactly")
@pytest.mark.parametrize("years", [(2019,), (2018, 2019)])
def test_the_table_is_what_pandas_makes_of_the_same_files(generated, tmp_path, years):
    made = build.build(generated, generated / "UPDATED.csv", tmp_path / "out", Choices(years=years))
    table, expected = pd.read_parquet(made.folder / build.WIDE).set_index("npi"), by_hand(generated, years)
    assert list(table.index) == list(expected.index)
    assert (table["fraudulent_provider"] == expected["fraudulent_provider"]).all()
    assert table["fraudulent_provider"].sum() > 20
    for name in build.FIFTY[1:]:
        np.testing.assert_allclose(table[name], expected[name], rtol=1e-9, atol=1e-9, err_msg=name)


def test_the_fifty_columns_are_the_fraud_problem_s(generated, tmp_path):
    made = build.build(generated, generated / "UPDATED.csv", tmp_path / "out")
    problem = problems.load("fraud")
    frame = schema.read_table(made.folder / build.TABLE, problem)
    assert list(frame.columns) == list(build.FIFTY) == list(problem.names)
    assert len(frame) == made.about["rows"]
    assert json.loads((made.folder / build.MANIFEST).read_text()) == json.loads(json.dumps(made.about))


@pytest.mark.promise("B-03", "Sums are exact: neither threads nor a limit of memory change a digit of the table")
def test_threads_and_memory_do_not_change_a_digit(generated, tmp_path):
    sums = set()
    for threads, memory in ((1, "700MB"), (2, "700MB"), (3, "120MB")):
        out = tmp_path / f"{threads}"
        out.mkdir()
        engine = DuckDB(out, threads=threads, memory=memory)
        made = build.build(generated, generated / "UPDATED.csv", out, engine=engine)
        sums.add((made.about["sha256"], pd.util.hash_pandas_object(pd.read_parquet(out / build.WIDE)).sum()))
    assert len(sums) == 1


PROGRAM = """
import os, signal, sys
from pathlib import Path
from data_prep.cms import build
folder, out, ends_at = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
whole = []
def tell(name, done, of):
    whole.append(done == of)
    if sum(whole) == ends_at:
        os.kill(os.getpid(), signal.SIGKILL)
build.build(folder, folder / "UPDATED.csv", out, tell=tell)
"""


@pytest.mark.promise("B-04", "A build that is killed goes on with the files that are done, to the same table")
@pytest.mark.parametrize("ends_at", [1, 4, 9])
def test_a_build_that_is_killed_goes_on_with_the_files_that_are_done(generated, tmp_path, ends_at):
    whole = build.build(generated, generated / "UPDATED.csv", tmp_path / "whole")
    out = tmp_path / "out"
    command = [sys.executable, "-c", PROGRAM, str(generated), str(out), str(ends_at)]
    assert subprocess.run(command, timeout=60, check=False).returncode == -signal.SIGKILL
    assert not (out / build.TABLE).exists()
    done = {path.name: path.stat().st_mtime_ns for path in (out / "files").glob("*.parquet")}
    assert len(done) == ends_at - 1  # the one that was being read is read again
    again = build.build(generated, generated / "UPDATED.csv", out)
    kept = {path.name: path.stat().st_mtime_ns for path in (out / "files").glob("*.parquet")}
    assert done.items() <= kept.items()
    assert again.about == whole.about
    assert not [path for end in ("*.part", "*.pipe") for path in out.rglob(end)]


def test_a_folder_that_is_full_is_named_and_what_is_done_is_kept(generated, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(DuckDB, "csv", full)
        with pytest.raises(FilesError, match=r"No space left on device: is the disk full\? Build again"):
            build.build(generated, generated / "UPDATED.csv", tmp_path / "out")
    assert len(list((tmp_path / "out" / "files").glob("*.parquet"))) == 9
    assert build.build(generated, generated / "UPDATED.csv", tmp_path / "out").about["rows"] > 900


def test_a_file_that_was_changed_is_read_again(tmp_path):
    folder = cms_files.folder_of(tmp_path / "cms")
    before = built(tmp_path, folder=folder)[0].loc[ONE, "line_svc_cnt_sum"]
    cms_files.folder_of(folder, part_b=[{"line_svc_cnt": "7.5"}])
    assert (before, built(tmp_path, folder=folder)[0].loc[ONE, "line_svc_cnt_sum"]) == (25.5, 7.5)


def test_the_same_seed_gives_the_same_files_and_nobody_s_number(generated, tmp_path):
    generate.generate(generate.Made(providers=1500, years=(2018, 2019), rate=0.04, seed=3), tmp_path)
    for path in sorted(generated.glob("*.csv")):
        assert path.read_bytes() == (tmp_path / path.name).read_bytes()
    numbers = pd.read_csv(next(generated.glob("MUP_PHY*Svc*")), dtype=str)["Rndrng_NPI"].unique()
    assert len(numbers) == 1500
    assert all(int(npi[9]) != generate.check_digit(npi[:9]) for npi in numbers)


def test_every_release_can_be_generated_and_read(tmp_path):
    for year in (2012, 2013, 2017, 2023, 2024):
        folder = tmp_path / str(year)
        generate.generate(generate.Made(providers=120, years=(year,), rate=0.1), folder)
        made = build.build(folder, folder / "UPDATED.csv", tmp_path / f"out{year}")
        assert made.about["rows"] >= 75
    assert {path.suffix for path in (tmp_path / "2013").iterdir()} == {".txt", ".csv", ".md"}


def test_generated_counts_are_hidden_about_as_often_as_published(generated):
    lines = pd.read_csv(next(generated.glob("MUP_DPR*")), dtype=str, keep_default_na=False)
    assert 0.4 < (lines["Tot_Benes"] == "").mean() < 0.75  # 0.589 of one state's lines
    assert (lines["GE65_Sprsn_Flag"] == "*").any()
    assert (pd.to_numeric(lines["Tot_Clms"]) >= 11).all()
    listed = pd.read_csv(generated / "UPDATED.csv", dtype=str, keep_default_na=False)
    assert set(listed["EXCLTYPE"]) <= set(recipe.codes())
