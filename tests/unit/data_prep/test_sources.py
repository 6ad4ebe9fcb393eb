"""Where the table comes from: words, paths, and what is refused."""

import pytest

from client_code import schema
from data_prep import owners, prepare, sources, split, synthetic
from data_prep.cms import build, generate
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


@pytest.fixture(scope="module")
def cms(tmp_path_factory):
    """The table that is generated and built where none was."""
    return sources.load("cms", FRAUD, seed=0, cache=tmp_path_factory.mktemp("cache"))


def test_the_table_of_cms_s_files_is_generated_where_none_was_built_and_says_so(cms):
    assert cms.source == "synthetic"
    assert set(FRAUD.names) < set(cms.frame.columns)
    assert 200 < cms.frame["fraudulent_provider"].sum() < 600


@pytest.mark.parametrize("how", ["state", "specialty", "npi"])
def test_a_group_of_providers_is_one_client_s_whole(cms, tmp_path, how):
    made = prepare.prepare(cms, n_clients=3, how=how, balance="none", seed=0, folder=tmp_path)
    parts = split.assign(cms.frame, cms.problem, 3, how=how, seed=0)
    groups = [set(part[how]) for part in parts]
    assert not groups[0] & groups[1] | groups[0] & groups[2] | groups[1] & groups[2]
    assert sum(map(len, parts)) == len(cms.frame)
    assert max(map(len, parts)) < 1.3 * min(map(len, parts))
    assert made.record()["partition"] == how
    for file in ("server/test.csv", "client-1/train.csv"):
        frame = schema.read_table(tmp_path / file, FRAUD)  # neither number nor state is in it
        assert list(frame.columns) == list(FRAUD.names)


def test_a_table_that_was_built_is_taken_as_it_is(cms, tmp_path):
    files = tmp_path / "files"
    generate.generate(generate.Made(providers=300, rate=0.1), files)
    (files / "SYNTHETIC.md").unlink()
    build.build(files, files / "UPDATED.csv", tmp_path / "built")
    table = sources.load("cms", FRAUD, seed=0, cache=tmp_path, built=tmp_path / "built")
    assert table.source == "cms"
    assert len(table.frame) < 301


def test_a_partition_that_the_table_cannot_have_is_refused(tmp_path):
    table = sources.load("synthetic", FRAUD, seed=0, cache=tmp_path)
    with pytest.raises(split.SplitError, match="PARTITION 'state' is unknown"):
        prepare.prepare(table, n_clients=3, how="state", balance="none", seed=0, folder=tmp_path)


def test_more_clients_than_groups_are_refused(cms, tmp_path):
    with pytest.raises(split.SplitError, match="CLIENTS is 17, and there are 16 kinds of state"):
        prepare.prepare(cms, n_clients=17, how="state", balance="none", seed=0, folder=tmp_path)
