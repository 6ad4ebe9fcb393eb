"""The schema and its rules: each broken rule has its own message, and no message quotes a cell."""

import gzip

import pytest

from client_code import schema
from data_prep import owners, synthetic
from workshop import problems

FRAUD = problems.load()

SECRET = "8675309"


@pytest.fixture(scope="module")
def lines():
    frame = synthetic.generate(FRAUD, 600, seed=1)
    kept = frame.groupby(FRAUD.label.name).head(30)
    return owners.csv_bytes(kept).decode().splitlines()


def write(path, lines, encoding="utf-8"):
    path.write_bytes("".join(f"{line}\n" for line in lines).encode(encoding))
    return path


def spoil(lines, cell, column="total_drug_cost_mean", rows=(3,)):
    place = FRAUD.names.index(column)
    damaged = list(lines)
    for row in rows:
        cells = damaged[row].split(",")
        cells[place] = cell
        damaged[row] = ",".join(cells)
    return damaged


def test_the_schema_has_the_columns_of_the_published_table(real_table_path):
    header = real_table_path.open().readline().strip().split(",")
    assert list(FRAUD.names) == header
    assert len(FRAUD.feature_names) == 49
    assert all(column.meaning and column.unit for column in FRAUD.columns)


def test_the_published_table_keeps_the_rules(real_table_path):
    frame = schema.read_table(real_table_path, FRAUD)
    assert frame.shape == (5500, 50)
    features, labels = schema.to_arrays(frame, FRAUD)
    assert features.shape == (5500, 49)
    assert int(labels.sum()) == 500


def test_a_good_file_is_read_number_for_number(lines, tmp_path):
    frame = schema.read_table(write(tmp_path / "rows.csv", lines), FRAUD)
    for row, line in enumerate(lines[1:]):
        assert frame.iloc[row].tolist() == [float(cell) for cell in line.split(",")]


@pytest.mark.parametrize("first", ["# a stamp", "\ufeff"])
def test_a_stamp_and_a_byte_order_mark_are_no_rows(lines, tmp_path, first):
    text = [first + lines[0], *lines[1:]] if first == "\ufeff" else [first, *lines]
    assert len(schema.read_table(write(tmp_path / "rows.csv", text), FRAUD)) == len(lines) - 1


BAD = {
    "empty file": (lambda lines: [], "the file is empty", None, None),
    "header only": (lambda lines: lines[:1], "no row below the header", None, None),
    "missing label": (
        lambda lines: [line.partition(",")[2] for line in lines],
        "label column is missing",
        FRAUD.label.name,
        None,
    ),
    "missing column": (
        lambda lines: [line.rpartition(",")[0] for line in lines],
        "column is missing",
        FRAUD.names[-1],
        None,
    ),
    "unknown column": (
        lambda lines: [f"{lines[0]},npi", *(f"{line},{SECRET}" for line in lines[1:])],
        "number 51",
        None,
        None,
    ),
    "no header": (lambda lines: lines[1:], "one without a header", FRAUD.label.name, None),
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
    "label 0.5": (lambda lines: spoil(lines, "0.5", column=FRAUD.label.name), "neither 0 nor 1", FRAUD.label.name, 1),
    "three rows": (lambda lines: lines[:4], "only 3 rows, 50 are needed", None, None),
    "one class": (lambda lines: [line for line in lines if not line.startswith("1,")] * 2, None, None, None),
}


@pytest.mark.parametrize("case", [case for case in BAD if case != "one class"])
def test_a_broken_rule_is_named_with_file_column_and_rows(lines, tmp_path, case):
    damage, rule, column, rows = BAD[case]
    with pytest.raises(schema.TableError) as error:
        schema.read_table(write(tmp_path / "rows.csv", damage(lines)), FRAUD, minimum_rows=50)
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
        schema.read_table(path, FRAUD)
    assert len(schema.read_table(path, FRAUD, both_classes=False)) == 30


def test_two_columns_that_changed_places_are_found(lines, tmp_path):
    swapped = []
    for line in lines:
        cells = line.split(",")
        cells[5], cells[6] = cells[6], cells[5]
        swapped.append(",".join(cells))
    with pytest.raises(schema.TableError, match="another order") as error:
        schema.read_table(write(tmp_path / "rows.csv", swapped), FRAUD)
    assert error.value.column == FRAUD.names[6]


def test_latin_1_is_refused_without_quoting_a_byte(lines, tmp_path):
    path = write(tmp_path / "rows.csv", spoil(lines, f"caf\xe9 {SECRET}"), encoding="latin-1")
    with pytest.raises(schema.TableError, match="not UTF-8 in 1 row") as error:
        schema.read_table(path, FRAUD)
    assert SECRET not in str(error.value)


def test_a_compressed_file_is_named_as_one(lines, tmp_path):
    path = tmp_path / "rows.csv"
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    with pytest.raises(schema.TableError, match=r"the file is compressed \(gzip\); unpack it"):
        schema.read_table(path, FRAUD)


def test_a_comma_too_many_in_every_row_is_refused(lines, tmp_path):
    with pytest.raises(schema.TableError, match="as many cells"):
        schema.read_table(write(tmp_path / "rows.csv", [lines[0], *(f"{line}," for line in lines[1:])]), FRAUD)


def test_a_misspelt_column_is_found_by_its_place(lines, tmp_path):
    misspelt = [lines[0].replace("total_drug_cost_mean", f"drug{SECRET}"), *lines[1:]]
    with pytest.raises(schema.TableError, match="column number 45 has a name") as error:
        schema.read_table(write(tmp_path / "rows.csv", misspelt), FRAUD)
    assert error.value.column == "total_drug_cost_mean"
    assert SECRET not in str(error.value)


def test_a_header_in_latin_1_is_refused_as_such(lines, tmp_path):
    with pytest.raises(schema.TableError, match="not UTF-8 in the header"):
        schema.read_table(write(tmp_path / "rows.csv", [f"{lines[0]},caf\xe9", *lines[1:]], encoding="latin-1"), FRAUD)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(schema.TableError, match=r"nothing\.csv: there is no such file"):
        schema.read_table(tmp_path / "nothing.csv", FRAUD)


def test_the_error_behind_a_refusal_is_not_shown(lines, tmp_path):
    """pandas quotes the cell: its error must not travel along as the cause."""
    with pytest.raises(schema.TableError) as error:
        schema.read_table(write(tmp_path / "rows.csv", spoil(lines, f"no {SECRET}")), FRAUD)
    assert error.value.__cause__ is None
    assert error.value.__suppress_context__


def other_header(lines, names):
    return [",".join(names), *lines[1:]]


def test_all_differences_of_a_header_are_told_at_once(lines, tmp_path):
    """Twelve names with capitals, one column more, and two that changed places."""
    names = [name.upper() if 10 <= number < 22 else name for number, name in enumerate(FRAUD.names)]
    names[30], names[31] = names[31], names[30]
    path = write(tmp_path / "rows.csv", other_header(lines, [*names, f"npi {SECRET}"]))
    with pytest.raises(schema.TableError) as error:
        schema.read_table(path, FRAUD)
    told = str(error.value)
    assert "blanks or capitals in the names of columns: " + ", ".join(FRAUD.names[10:22]) in told
    assert "column number 51 has a name that the schema does not know" in told
    assert f"another order, from {FRAUD.names[31]} on" in told
    assert SECRET not in told
    assert len(told) < 1024  # what SageMaker keeps of a reason


@pytest.mark.parametrize(
    "respell",
    [
        str.upper,
        str.title,
        lambda name: f" {name}",
        lambda name: f"{name}\t",
        lambda name: name.replace("_", " "),
        lambda name: name.replace("_", "-").capitalize(),
        lambda name: f'" {name} "',
    ],
)
def test_names_in_another_spelling_are_one_message(lines, tmp_path, respell):
    path = write(tmp_path / "rows.csv", other_header(lines, map(respell, FRAUD.names)))
    with pytest.raises(schema.TableError, match=r"blanks or capitals in the names .* and 3[78] more; write"):
        schema.read_table(path, FRAUD)


@pytest.mark.parametrize("marks", [", ", " ,", " , "])
def test_a_header_with_blanks_around_its_commas_is_one_message(lines, tmp_path, marks):
    with pytest.raises(schema.TableError, match=r"blanks or capitals .* and 3[678] more"):
        schema.read_table(write(tmp_path / "rows.csv", other_header(lines, [marks.join(FRAUD.names)])), FRAUD)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda names: [*names[:3], *names[5:]], f"2 columns are missing: {FRAUD.names[3]}, {FRAUD.names[4]};"),
        (lambda names: [*names[:3], *names[4:]], f"column {FRAUD.names[3]}: the column is missing"),
        (lambda names: [*names, names[7]], f"column {FRAUD.names[7]}: the column stands there twice"),
        (lambda names: [*names, names[7].upper()], f"stands there twice: {FRAUD.names[7]}; blanks or capitals"),
        (lambda names: [*names[::-1]], f"another order, from {FRAUD.names[-1]} on"),
        (lambda names: [names[0], *names[2:], names[1]], f"another order, from {FRAUD.names[2]} on"),
        (lambda names: ["id", *names, "x", "y"], "column number 1, 52, 53 has a name"),
        (lambda names: ["id", *names[1:]], "the label column is missing; column number 1 has a name"),
        (lambda names: ["index", *names[4:], names[2].title()], "3 columns are missing"),
        (
            lambda names: ["a", "b"],
            "the label column is missing, and 49 of the 49 other columns; this is another table",
        ),
        (lambda names: [], "the label column is missing, and 49 of"),
    ],
)
def test_a_header_that_differs_is_explained(change, told):
    with pytest.raises(schema.TableError) as error:
        schema._check_names(change(list(FRAUD.names)), FRAUD, file="rows.csv")
    assert told in str(error.value)
