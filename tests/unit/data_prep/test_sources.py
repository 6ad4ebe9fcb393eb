"""Where the table comes from: words, paths, and what is refused."""

import pytest

from client_code import schema
from data_prep import owners, sources, synthetic
from workshop import problems

FRAUD = problems.load()


def test_synthetic_rows_follow_from_the_seed_and_say_so(tmp_path):
    one, two = (sources.load("synthetic", FRAUD, seed=seed, cache=tmp_path) for seed in (1, 2))
    assert one.source == "synthetic"
    assert one.sha256 != two.sha256
    assert one.sha256 == sources.load("synthetic", FRAUD, seed=1, cache=tmp_path).sha256


def test_a_file_gives_its_own_rows_and_checksum(tmp_path):
    frame = synthetic.generate(FRAUD, 300, seed=1)
    (tmp_path / "mine.csv").write_bytes(owners.csv_bytes(frame))
    table = sources.load(str(tmp_path / "mine.csv"), FRAUD, seed=9, cache=tmp_path)
    assert table.source == "file"
    assert len(table.sha256) == 64
    assert table.frame.equals(frame)


def test_the_published_table_is_known_by_its_checksum(real_table_path, tmp_path):
    table = sources.load(str(real_table_path), FRAUD, seed=0, cache=tmp_path)
    assert table.source == "curated"
    assert len(table.frame) == 5500


def test_a_word_that_is_no_source_lists_the_choices(tmp_path):
    with pytest.raises(sources.SourceError, match="choose synthetic, curated or the path"):
        sources.load("kaggle", FRAUD, seed=0, cache=tmp_path)


def test_a_file_that_breaks_the_schema_is_refused(tmp_path):
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(schema.TableError, match=r"other\.csv, column fraudulent_provider"):
        sources.load(str(tmp_path / "other.csv"), FRAUD, seed=0, cache=tmp_path)


def test_a_stamped_file_stays_synthetic(tmp_path):
    (tmp_path / "kept.csv").write_bytes(owners.csv_bytes(synthetic.generate(FRAUD, 300, seed=1), stamp=owners.STAMP))
    assert sources.load(str(tmp_path / "kept.csv"), FRAUD, seed=0, cache=tmp_path).source == "synthetic"
