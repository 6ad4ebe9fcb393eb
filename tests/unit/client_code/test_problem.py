"""Problem files: the one that comes with the kit, and what is refused in others."""

import dataclasses
import hashlib
import io
import pickle
import tarfile

import numpy as np
import pytest

from client_code import problem
from workshop import problems
from workshop.errors import WorkshopError
from workshop.packing import bundle

FRAUD = problems.load()


def changed(tmp_path, *changes):
    text = problems.path().read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    (tmp_path / "mine.toml").write_text(text)
    return tmp_path / "mine.toml"


def test_the_published_table_is_described_column_by_column():
    kinds = [column.kind for column in FRAUD.features]
    assert (len(kinds), kinds.count("flag"), kinds.count("count"), kinds.count("amount")) == (49, 1, 30, 18)
    assert FRAUD.label.name == "fraudulent_provider"
    assert all(column.unit and column.meaning for column in FRAUD.columns)


def test_every_feature_of_the_published_table_is_learnt_from_as_its_logarithm():
    features = np.random.default_rng(0).lognormal(5, 3, size=(40, 49))
    assert (FRAUD.transform(features) == np.log1p(features)).all()
    assert FRAUD.floors.shared == 50
    assert FRAUD.largest == 1e20


def test_a_problem_is_a_value():
    assert problems.load() == FRAUD
    assert hash(problems.load()) == hash(FRAUD)
    assert pickle.loads(pickle.dumps(FRAUD)) == FRAUD  # noqa: S301 - its own bytes, as another process gets them
    with pytest.raises(dataclasses.FrozenInstanceError):
        FRAUD.largest = 1.0


def test_it_travels_with_the_code_as_data(tmp_path, monkeypatch):
    packed = bundle.source_archive()
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        travelled = archive.extractfile("problem.toml").read()
    assert travelled == problems.path().read_bytes()
    file = changed(tmp_path, ("largest = 1e20", "largest = 1e19"))
    monkeypatch.setattr(problems, "FOLDER", tmp_path)
    other = bundle.source_archive(problem=file.stem)
    assert hashlib.sha256(other).digest() != hashlib.sha256(packed).digest()


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('name = "fraud"', "name = fraud", "mine.toml is no TOML file"),
        ('name = "fraud"\n', "", "mine.toml: name must be there"),
        ("[limits]", "[limit]", "mine.toml: limit: unknown"),
        ('subject = "provider"\n', "", "mine.toml: words: subject is missing"),
        ("shared = 50", "share = 50", "floors: shared is missing"),
        ('kind = "flag"\n', "", "column number 1: kind is missing"),
        ('kind = "flag"', 'kind = "flag"\ncolour = "red"', "column number 1: colour is unknown"),
        ('kind = "flag"', 'kind = "date"', "column female: kind 'date' is unknown; choose one of amount, number"),
        ('kind = "flag"', 'kind = "category"', "column female: a category needs at least two words, as categories = ["),
        ('kind = "flag"', 'kind = "flag"\ncategories = ["a", "b"]', "column female: a flag has no categories"),
        ('kind = "flag"', 'kind = "category"\ncategories = ["a", "a"]', "column female: a category stands there twice"),
        ('kind = "flag"', 'kind = "category"\ncategories = ["a", " b"]', "is empty, or begins or ends with a blank"),
        ('kind = "flag"', 'kind = "category"\ncategories = [1, 2]', "categories: must be a list of words in quotation"),
        ('kind = "flag"', 'kind = "flag"\nindicator = true', "says where a cell is missing: missing = true as well"),
        ('kind = "flag"', 'kind = "flag"\nlow = 0', "column female: a flag has no limits of its own"),
        ('kind = "flag"', 'kind = "amount"\nlow = 2\nhigh = 1', "column female: low is above high"),
        ('kind = "flag"', 'kind = "amount"\nlow = -2', "column female: it starts at 0"),
        ('kind = "flag"', 'kind = "amount"\nlow = "2"', "column female: low and high are numbers"),
        ('name = "fraud"', 'name = "fraud"\nidentifiers = ["female"]', "column female stands there twice"),
        ("[label]", "[label]\nmissing = true", "label fraudulent_provider: it may not be missing"),
        ('name = "tot_suplrs_mean"', 'name = "female"', "column female stands there twice"),
        (
            'count = "log1p"',
            'count = "sqrt"',
            "[transform] must say what becomes of kind count: add count = one of log1p, none",
        ),
        ('count = "log1p"\n', "", "must say what becomes of kind count"),
        ('number = "none"', 'number = "log1p"', "a number may be negative and has no logarithm then"),
    ],
)
def test_what_cannot_be_is_named_with_the_file(tmp_path, old, new, told):
    with pytest.raises(problem.ProblemError) as error:
        problem.load(changed(tmp_path, (old, new)))
    assert str(error.value).startswith("mine.toml")
    assert told in str(error.value)


def test_an_unknown_problem_lists_those_that_there_are():
    with pytest.raises(WorkshopError, match="problem 'storms' is unknown; choose one of fraud, heart"):
        problems.load("storms")


def test_no_module_but_the_problems_names_a_column_or_a_class():
    """What is particular to the fraud table stands in its file and in the generator of its rows."""
    texts = {
        path.name: path.read_text()
        for package in ("client_code", "data_prep", "workshop/federation", "workshop/science")
        for path in (problems.FOLDER.parent / package).glob("*.py")
        if path.name not in ("curated.py", "synthetic.py")
    }
    assert len(texts) > 25
    for name in FRAUD.names:
        assert not [file for file, text in texts.items() if f'"{name}"' in text], name
    for word in (*FRAUD.words.classes, FRAUD.words.subjects, FRAUD.words.outcome):
        quoted = [file for file, text in texts.items() if f'"{word}"' in text]
        assert quoted in ([], ["problem.py"]), word  # there it is an example in a comment
