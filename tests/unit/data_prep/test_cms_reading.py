"""Files as CMS and the OIG publish them: what every odd cell becomes, and what is refused, and how it is said."""

import zipfile

import cms_files
import pandas as pd
import pytest
from cms_files import DMEPOS, PART_B, PART_D, exclusion, layout, write

from data_prep.cms import build, files, layouts
from data_prep.cms.files import FilesError
from data_prep.cms.layouts import LayoutError

ONE, TWO, THREE = "1000000005", "1000000013", "1000000021"


def built(tmp_path, folder=None, *exclusions, choices=None):
    listed = cms_files.leie(tmp_path / "UPDATED.csv", *(exclusions or [exclusion("0000000000")]))
    made = build.build(folder or cms_files.folder_of(tmp_path / "cms"), listed, tmp_path / "out", choices)
    return pd.read_parquet(made.folder / build.WIDE).set_index("npi")


def one(tmp_path, **lines):
    return built(tmp_path, cms_files.folder_of(tmp_path / "cms", **lines)).loc[ONE]


def test_mean_sum_and_spread_of_a_provider_s_lines(tmp_path):
    row = one(tmp_path, part_b=[{"line_svc_cnt": "1"}, {"line_svc_cnt": "2.5"}, {"line_svc_cnt": "4"}])
    assert row["line_svc_cnt_sum"] == 7.5
    assert row["line_svc_cnt_mean"] == 2.5
    assert row["line_svc_cnt_standard_deviation"] == 1.5
    assert row["tot_suplrs_standard_deviation"] == 0  # a single line has none


@pytest.mark.parametrize("hidden", ["", "*", "#", " "])
def test_a_hidden_count_of_patients_is_what_was_chosen(tmp_path, hidden):
    row = one(tmp_path, part_d=[{"bene_count": hidden}, {"bene_count": "11"}])
    assert (row["bene_count_sum"], row["bene_count_mean"]) == (16, 8)


def test_a_true_zero_stays_zero(tmp_path):
    row = one(tmp_path, part_d=[{"bene_count": "0", "total_drug_cost": "0"}])
    assert (row["bene_count_sum"], row["total_drug_cost_sum"]) == (0, 0)


def test_a_blank_that_is_no_count_of_patients_stops_the_build_and_names_the_file(tmp_path):
    with pytest.raises(FilesError, match=r"MUP_DPR_RY25_P04_V10_DY19_NPIBN.csv: .*blank"):
        one(tmp_path, part_d=[{"total_drug_cost": ""}])


@pytest.mark.promise("B-07", "No cell is guessed a type: what is no number stops the build and names the file")
@pytest.mark.parametrize("cell", ["3008F", "nan", "inf", "12a", "$5"])
def test_what_is_no_number_stops_the_build(tmp_path, cell):
    with pytest.raises(FilesError, match=r"Prov_Svc.csv: .*" + cell.replace("$", r"\$")):
        one(tmp_path, part_b=[{"line_svc_cnt": cell}])


def test_a_thousand_s_comma_in_quotes_is_no_decimal_point(tmp_path):
    assert one(tmp_path, part_d=[{"total_drug_cost": "1,234,567.5"}])["total_drug_cost_sum"] == 1234567.5


def test_a_fraction_after_many_whole_numbers_stays_a_fraction(tmp_path):
    """DuckDB that guesses from the first 20,480 rows would read 3."""
    lines = [{"line_svc_cnt": "2"}] * 25_000 + [{"line_svc_cnt": "2.5"}]
    assert one(tmp_path, part_b=lines)["line_svc_cnt_sum"] == 50_002.5


def test_odd_text_in_other_columns_shifts_nothing(tmp_path):
    names = {
        "commas": "SMITH, JR", "quotes": 'SMITH, JR "BUD"', "ends in a backslash": "PO BOX 1\\", "a hash": "#1 SHOP",
        "letters of others": "PEÑA", "a line break": "ONE\nTWO", "an apostrophe": "O'NEIL",
    }  # fmt: skip
    lines = [
        {"Rndrng_Prvdr_Last_Org_Name": name, "Rndrng_Prvdr_St1": name, "HCPCS_Cd": "3008F"} for name in names.values()
    ]
    row = one(tmp_path, part_b=lines)
    assert row["line_svc_cnt_sum"] == 25.5 * len(names)
    assert (row["state"], row["specialty"]) == ("CA", "Cardiology")


def test_latin_letters_of_an_old_file_are_read_over(tmp_path):
    folder = cms_files.folder_of(tmp_path / "cms", part_b=[{"Rndrng_Prvdr_Last_Org_Name": "PEÑA"}])
    path = next(folder.glob("MUP_PHY*"))
    path.write_bytes(path.read_bytes().replace("Ñ".encode(), b"\xd1"))
    assert built(tmp_path, folder).loc[ONE, "line_svc_cnt_sum"] == 25.5


def test_zip_codes_of_nine_digits_and_leading_zeros_are_text(tmp_path):
    lines = [{"Rndrng_Prvdr_Zip5": "021381234"}, {"Rndrng_Prvdr_Zip5": "02138"}]
    assert one(tmp_path, part_b=lines)["line_svc_cnt_sum"] == 51


def test_rows_without_a_provider_are_left_out(tmp_path):
    folder = cms_files.folder_of(tmp_path / "cms", part_b=[{}, {"npi": "0000000000"}, {"npi": ""}])
    assert list(built(tmp_path, folder).index) == [ONE]


def test_the_text_release_of_2012_is_read_without_its_copyright(tmp_path):
    folder = cms_files.folder_of(tmp_path / "cms", year=13)
    (folder / cms_files.NAMES["part_b"].format(year=13)).unlink()
    old = layout("part_b", "long names, 2012 and 2013")
    rows = [
        {"npi": "0000000001", "nppes_provider_last_org_name": "CPT copyright 2011 American Medical Association."},
        {"npi": ONE, **PART_B, "average_submitted_chrg_amt": "135.2500000001", "stdev_medicare_allowed_amt": "0"},
    ]
    write(folder / "Medicare_Provider_Util_Payment_PUF_CY2013.txt", old, rows)
    row = built(tmp_path, folder).loc[ONE]
    assert row["average_submitted_chrg_amt_sum"] == 135.25  # of dollars a service eight places are kept
    assert row["female"] == 1


@pytest.mark.parametrize("names", [str.upper, str.lower])
def test_the_case_of_a_header_does_not_matter(tmp_path, names):
    folder = cms_files.folder_of(tmp_path / "cms")
    path = next(folder.glob("MUP_PHY*"))
    header, _, rest = path.read_text().partition("\n")
    path.write_text(f"\ufeff{names(header)}\n{rest}")
    assert built(tmp_path, folder).loc[ONE, "line_svc_cnt_sum"] == 25.5


def test_since_2023_part_b_tells_no_gender_and_dmepos_may(tmp_path):
    folder = tmp_path / "cms"
    folder.mkdir()
    lacking = {"part_b": ["Rndrng_Prvdr_Gndr"]}
    for kind, line in (("part_b", PART_B), ("part_d", PART_D), ("dmepos", DMEPOS)):
        row = {name: value for name, value in line.items() if name != "gender" or kind != "part_b"}
        write(
            folder / cms_files.NAMES[kind].format(year=23),
            layout(kind),
            [{"npi": ONE, **row}],
            lacking=lacking.get(kind, ()),
        )
    assert built(tmp_path, folder).loc[ONE, "female"] == 1


def test_an_archive_is_read_in_place_and_gives_the_same_table(tmp_path):
    plain = cms_files.folder_of(tmp_path / "plain")
    packed = tmp_path / "packed"
    packed.mkdir()
    for path in plain.iterdir():
        with zipfile.ZipFile(packed / f"{path.stem}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.write(path, path.name)
            archive.writestr("readme.pdf", b"%PDF")
    first, second = built(tmp_path / "1", plain), built(tmp_path / "2", packed)
    pd.testing.assert_frame_equal(first, second)
    assert not list((tmp_path / "2" / "out").glob("*.csv.part"))


@pytest.fixture(autouse=True)
def rooms(tmp_path):
    for name in ("1", "2"):
        (tmp_path / name).mkdir()


def test_an_unknown_header_is_refused_with_what_differs(tmp_path):
    folder = cms_files.folder_of(tmp_path / "cms")
    path = next(folder.glob("MUP_DPR*"))
    path.write_text(path.read_text().replace("Tot_Drug_Cst", "Tot_Drug_Cost", 1))
    with pytest.raises(
        LayoutError, match=r"Part D .*missing: Tot_Drug_Cst; unknown: tot_drug_cost|unknown: Tot_Drug_Cost"
    ):
        files.find(folder)


def test_a_file_whose_name_tells_no_year_is_told_how_it_should_be_called(tmp_path):
    folder = cms_files.folder_of(tmp_path / "cms")
    next(folder.glob("MUP_DPR*")).rename(folder / "partd.csv")
    with pytest.raises(LayoutError, match=r"partd.csv: its name does not tell the year .*MUP_DPR"):
        files.find(folder)


def test_two_releases_of_a_year_are_both_named(tmp_path):
    folder = cms_files.folder_of(tmp_path / "cms")
    path = next(folder.glob("MUP_DPR*"))
    (folder / path.name.replace("RY25", "RY24")).write_bytes(path.read_bytes())
    with pytest.raises(FilesError, match=r"RY24.* and .*RY25.* are both Medicare Part D .* of 2019"):
        files.find(folder)


def test_a_missing_file_is_named_with_its_year(tmp_path):
    folder = cms_files.folder_of(tmp_path / "cms")
    next(folder.glob("mup_dme*")).unlink()
    with pytest.raises(FilesError, match=r"missing: Medicare Durable .* of 2019 \(mup_dme_.*there are 2019"):
        built(tmp_path, folder)


def test_a_download_that_broke_off_is_named(tmp_path):
    folder = cms_files.folder_of(tmp_path / "cms")
    path = next(folder.glob("MUP_DPR*"))
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(FilesError, match=r"MUP_DPR_RY25_P04_V10_DY19_NPIBN.csv"):
        built(tmp_path, folder)


def test_an_archive_that_broke_off_is_named(tmp_path):
    folder = cms_files.folder_of(tmp_path / "cms")
    path = next(folder.glob("MUP_DPR*"))
    with zipfile.ZipFile(folder / f"{path.stem}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(path, path.name)
    path.unlink()
    whole = (folder / f"{path.stem}.zip").read_bytes()
    (folder / f"{path.stem}.zip").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FilesError, match=r"NPIBN.zip is no whole ZIP archive"):
        built(tmp_path, folder)


def test_an_archive_with_a_damaged_byte_is_named(tmp_path):
    folder = cms_files.folder_of(tmp_path / "cms", part_d=[{}] * 500)
    path = next(folder.glob("MUP_DPR*"))
    archive = folder / f"{path.stem}.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as packed:
        packed.write(path, path.name)
    path.unlink()
    content = bytearray(archive.read_bytes())
    content[len(content) // 2] ^= 1
    archive.write_bytes(content)
    with pytest.raises(FilesError, match=r"NPIBN.zip: .*download it again|NPIBN.zip: .*"):
        built(tmp_path, folder)
    assert not (tmp_path / "out" / build.TABLE).exists()


def test_an_empty_folder_and_none_at_all_are_told(tmp_path):
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "empty", tmp_path / "nowhere"):
        with pytest.raises(FilesError, match=r"docs/cms-files.md"):
            files.find(folder)


def test_the_list_of_exclusions_in_the_place_of_claims_is_told(tmp_path):
    folder = cms_files.folder_of(tmp_path / "cms")
    with pytest.raises(FilesError, match=r"and no list of exclusions"):
        build.build(folder, next(folder.glob("MUP_DPR*")), tmp_path / "out")


def test_every_layout_names_its_columns_once_and_reads_what_it_has():
    for kind in layouts.kinds().values():
        for each in kind.layouts:
            assert len({name.lower() for name in each.columns}) == len(each.columns)
            assert set(each.reads.values()) <= set(each.columns)
            assert each.lacking <= set(each.columns)
            line = each.delimiter.join(each.columns)
            assert layouts.recognise(line, file="x")[0] is each
