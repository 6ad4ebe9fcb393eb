"""The schema and its rules: each broken rule has its own message, and no message quotes a cell."""

import gzip

import pytest

from client_code import schema
from data_prep import owners, synthetic

SECRET = "8675309"


@pytest.fixture(scope="module")
def lines():
    frame = synthetic.generate(600, seed=1)
    kept = frame.groupby(schema.LABEL).head(30)
    return owners.csv_bytes(kept).decode().splitlines()


def write(path, lines, encoding="utf-8"):
    path.write_bytes("".join(f"{line}\n" for line in lines).encode(encoding))
    return path


def spoil(lines, cell, column="total_drug_cost_mean", rows=(3,)):
    place = schema.NAMES.index(column)
    damaged = list(lines)
    for row in rows:
        cells = damaged[row].split(",")
        cells[place] = cell
        damaged[row] = ",".join(cells)
    return damaged


def test_the_schema_has_the_columns_of_the_published_table(real_table_path):
    header = real_table_path.open().readline().strip().split(",")
    assert list(schema.NAMES) == header
    assert len(schema.FEATURES) == 49
    assert all(column.meaning and column.unit for column in schema.COLUMNS)


def test_the_published_table_keeps_the_rules(real_table_path):
    frame = schema.read_table(real_table_path)
    assert frame.shape == (5500, 50)
    features, labels = schema.to_arrays(frame)
    assert features.shape == (5500, 49)
    assert int(labels.sum()) == 500


def test_a_good_file_is_read_number_for_number(lines, tmp_path):
    frame = schema.read_table(write(tmp_path / "rows.csv", lines))
    for row, line in enumerate(lines[1:]):
        assert frame.iloc[row].tolist() == [float(cell) for cell in line.split(",")]


@pytest.mark.parametrize("first", ["# a stamp", "\ufeff"])
def test_a_stamp_and_a_byte_order_mark_are_no_rows(lines, tmp_path, first):
    text = [first + lines[0], *lines[1:]] if first == "\ufeff" else [first, *lines]
    assert len(schema.read_table(write(tmp_path / "rows.csv", text))) == len(lines) - 1


BAD = {
    "empty file": (lambda lines: [], "the file is empty", None, None),
    "header only": (lambda lines: lines[:1], "no row below the header", None, None),
    "missing label": (
        lambda lines: [line.partition(",")[2] for line in lines],
        "label column is missing",
        schema.LABEL,
        None,
    ),
    "missing column": (
        lambda lines: [line.rpartition(",")[0] for line in lines],
        "column is missing",
        schema.NAMES[-1],
        None,
    ),
    "unknown column": (
        lambda lines: [f"{lines[0]},npi", *(f"{line},{SECRET}" for line in lines[1:])],
        "number 51",
        None,
        None,
    ),
    "no header": (lambda lines: lines[1:], "label column is missing", schema.LABEL, None),
    "short row": (lambda lines: [*lines[:3], lines[3].rpartition(",")[0], *lines[4:]], "as many cells", None, 1),
    "long row": (lambda lines: [*lines[:3], f"{lines[3]},{SECRET}", *lines[4:]], "as many cells", None, 1),
    "all rows long": (lambda lines: [lines[0], *(f"{line},{SECRET}" for line in lines[1:])], "as many cells", None, 60),
    "text": (lambda lines: spoil(lines, f"no {SECRET}", rows=(3, 7)), "text stands", "total_drug_cost_mean", 2),
    "thousands": (lambda lines: spoil(lines, '"8,675,309"'), "text stands", "total_drug_cost_mean", 1),
    "too large": (lambda lines: spoil(lines, "1e300"), "a value is above 1e+20", "total_drug_cost_mean", 1),
    "semicolons": (lambda lines: [line.replace(",", ";") for line in lines], "no commas between the names", None, None),
    "capitals": (lambda lines: [lines[0].upper(), *lines[1:]], "blanks or capitals in the names", None, None),
    "a sign": (lambda lines: spoil(lines, "-"), "text stands", "total_drug_cost_mean", 1),
    "other digits": (lambda lines: spoil(lines, "\uff17\u0667"), "text stands", "total_drug_cost_mean", 1),
    "open quote": (lambda lines: spoil(lines, f'"{SECRET}'), "as many cells", None, 1),
    "open quote, long file": (lambda lines: [*spoil(lines, f'"{SECRET}'), *lines[1:] * 9], "too long", None, None),
    "long header": (lambda lines: [f"{lines[0]}{SECRET * 30_000}", *lines[1:]], "too long", None, None),
    "empty cell": (lambda lines: spoil(lines, "", rows=(3, 4, 5)), "empty or not a number", "total_drug_cost_mean", 3),
    "NaN": (lambda lines: spoil(lines, "NaN"), "empty or not a number", "total_drug_cost_mean", 1),
    "Inf": (lambda lines: spoil(lines, "-inf"), "infinite", "total_drug_cost_mean", 1),
    "negative": (lambda lines: spoil(lines, f"-{SECRET}"), "negative", "total_drug_cost_mean", 1),
    "female 2": (lambda lines: spoil(lines, "2", column="female"), "neither 0 nor 1", "female", 1),
    "label 0.5": (lambda lines: spoil(lines, "0.5", column=schema.LABEL), "neither 0 nor 1", schema.LABEL, 1),
    "three rows": (lambda lines: lines[:4], "only 3 rows, 50 are needed", None, None),
    "one class": (lambda lines: [line for line in lines if not line.startswith("1,")] * 2, None, None, None),
}


@pytest.mark.parametrize("case", [case for case in BAD if case != "one class"])
def test_a_broken_rule_is_named_with_file_column_and_rows(lines, tmp_path, case):
    damage, rule, column, rows = BAD[case]
    with pytest.raises(schema.TableError) as error:
        schema.read_table(write(tmp_path / "rows.csv", damage(lines)), minimum_rows=50)
    assert error.value.file == "rows.csv"
    assert error.value.column == column
    assert error.value.rows == rows
    assert rule in str(error.value)
    assert "rows.csv" in str(error.value)
    assert SECRET not in str(error.value).replace(",", "")
    assert "\n" not in str(error.value)


def test_rows_of_one_class_are_refused_unless_allowed(lines, tmp_path):
    honest = [line for line in lines if not line.startswith("1,")]
    path = write(tmp_path / "rows.csv", honest)
    with pytest.raises(schema.TableError, match="one class in 30 rows"):
        schema.read_table(path)
    assert len(schema.read_table(path, both_classes=False)) == 30


def test_two_columns_that_changed_places_are_found(lines, tmp_path):
    swapped = []
    for line in lines:
        cells = line.split(",")
        cells[5], cells[6] = cells[6], cells[5]
        swapped.append(",".join(cells))
    with pytest.raises(schema.TableError, match="another order") as error:
        schema.read_table(write(tmp_path / "rows.csv", swapped))
    assert error.value.column == schema.NAMES[6]


def test_latin_1_is_refused_without_quoting_a_byte(lines, tmp_path):
    path = write(tmp_path / "rows.csv", spoil(lines, f"caf\xe9 {SECRET}"), encoding="latin-1")
    with pytest.raises(schema.TableError, match="not UTF-8 in 1 row") as error:
        schema.read_table(path)
    assert SECRET not in str(error.value)


def test_a_compressed_file_is_named_as_one(lines, tmp_path):
    path = tmp_path / "rows.csv"
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    with pytest.raises(schema.TableError, match="the file is compressed; unpack it"):
        schema.read_table(path)


def test_a_comma_too_many_in_every_row_is_refused(lines, tmp_path):
    with pytest.raises(schema.TableError, match="as many cells"):
        schema.read_table(write(tmp_path / "rows.csv", [lines[0], *(f"{line}," for line in lines[1:])]))


def test_a_misspelt_column_is_found_by_its_place(lines, tmp_path):
    misspelt = [lines[0].replace("total_drug_cost_mean", f"drug{SECRET}"), *lines[1:]]
    with pytest.raises(schema.TableError, match="column number 45 has a name") as error:
        schema.read_table(write(tmp_path / "rows.csv", misspelt))
    assert error.value.column == "total_drug_cost_mean"
    assert SECRET not in str(error.value)


def test_a_header_in_latin_1_is_refused_as_such(lines, tmp_path):
    with pytest.raises(schema.TableError, match="not UTF-8 in the header"):
        schema.read_table(write(tmp_path / "rows.csv", [f"{lines[0]},caf\xe9", *lines[1:]], encoding="latin-1"))


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(schema.TableError, match=r"nothing\.csv: there is no such file"):
        schema.read_table(tmp_path / "nothing.csv")


def test_the_error_behind_a_refusal_is_not_shown(lines, tmp_path):
    """pandas quotes the cell: its error must not travel along as the cause."""
    with pytest.raises(schema.TableError) as error:
        schema.read_table(write(tmp_path / "rows.csv", spoil(lines, f"no {SECRET}")))
    assert error.value.__cause__ is None
    assert error.value.__suppress_context__
