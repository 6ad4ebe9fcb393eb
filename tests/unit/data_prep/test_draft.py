"""A problem drafted from a table of a domain that is in no file of ours, then taken through the kit as it is."""

import numpy as np
import pandas as pd
import pytest

from client_code import problem, schema
from data_prep import draft, marginals, prepare, sources, split, validation
from data_prep.errors import DataError
from workshop.lessons import experiments
from workshop.science import baselines

SECRETS = ("C000", "2020-", "note of")  # what stands in cells that must not be in a draft


@pytest.fixture(scope="module")
def path(customers, tmp_path_factory):
    path = tmp_path_factory.mktemp("customers") / "customers.csv"
    customers.to_csv(path, index=False, na_rep="NA")
    return path


def drafted(path, *, categories=("plan", "region", "channel"), label="churned", **more):
    text = draft.draft(path, label=label, identifiers=["customer_id"], categories=categories, **more)
    file = path.with_name("mine.toml")
    file.write_text(text)
    return text, problem.load(file)


def test_kinds_are_guessed_and_the_reason_told(path):
    text, described = drafted(path)
    kinds = {column.name: column.kind for column in described.features}
    assert kinds == {
        **{f"balance_{i}": "number" for i in range(6)},
        **{f"volume_{i}": "amount" for i in range(6)},
        **dict.fromkeys(("plan", "region", "channel"), "category"),
        "visits": "count",
        "vip": "flag",
    }
    gaps = [column.name for column in described.features if column.missing]
    assert gaps == ["balance_3", "volume_1", "plan", "visits"]
    assert described.missing_words == ("NA",)
    assert described.identifiers == ("customer_id",)
    assert described.ignored == ("since", "remark")
    assert "# since reaches no model: dates: make a number of it" in text
    assert "# remark reaches no model: 3,000 different words: text, or something that names the row" in text
    assert 'kind = "number" # some are negative' in text
    assert "3,000 rows, 600 with churned = 1" in text


def test_no_cell_is_in_it_but_categories_that_were_confirmed(path):
    text, described = drafted(path, categories=["plan"])
    for secret in (*SECRETS, "north", "shop"):
        assert secret not in text
    assert [column.name for column in described.features if column.kind == "category"] == ["plan"]
    assert "# region reaches no model: 4 different words; its words are cells of your table" in text
    assert "--categories region" in text


def test_the_table_goes_through_the_kit_as_it_is(path, tmp_path):
    _, described = drafted(path)
    table = sources.load(str(path), described, seed=0, cache=tmp_path)
    assert table.frame.shape == (3000, 18)
    prepare.prepare(table, n_clients=3, how="iid", balance="smote", seed=0, folder=tmp_path)
    clients = [baselines.ClientRows.read(tmp_path / f"client-{number}", described) for number in (1, 2, 3)]
    test = schema.read_table(tmp_path / "server" / "test.csv", described)
    features, labels = schema.to_arrays(test, described)
    scores = baselines.federated_by_hand(clients, described).probabilities(features)
    ranks = pd.Series(scores).rank()
    positives = int(labels.sum())
    auc = (ranks[labels == 1].sum() - positives * (positives + 1) / 2) / (positives * (len(labels) - positives))
    assert 0.8 < auc < 0.95  # the risk's own noise leaves no more than about 0.9


def test_an_owner_column_makes_clients(customers, tmp_path):
    path = tmp_path / "customers.csv"
    customers.assign(shop=np.where(np.arange(len(customers)) % 3 == 0, "A", "B")).to_csv(path, index=False)
    _, described = drafted(path, owner="shop")
    assert (described.owner, described.identifiers[:2]) == ("shop", ("customer_id", "shop"))
    table = sources.load(str(path), described, seed=0, cache=tmp_path)
    prepared = prepare.prepare(table, n_clients=2, how="given", balance="none", seed=0, folder=tmp_path)
    assert prepared.whose == {"client-1": "A", "client-2": "B"}


@pytest.mark.parametrize(
    ("change", "label", "told"),
    [
        ({"churned": "yes"}, "churned", "label churned: 1 different words stand there; write 1 for what you look for"),
        ({"churned": 7}, "churned", "label churned: 1 different numbers stand there"),
        ({}, "gone", "has no column gone; it has customer_id, balance_0"),
        ({"churned": ""}, "churned", "label churned: 3,000 cells are empty; leave these rows out"),
    ],
)
def test_what_is_no_label_is_told(customers, tmp_path, change, label, told):
    path = tmp_path / "customers.csv"
    customers.assign(**change).to_csv(path, index=False)
    with pytest.raises(draft.DraftError, match=told):
        draft.draft(path, label=label)


def test_a_name_that_stands_twice_and_a_table_without_rows_are_told(tmp_path):
    (tmp_path / "twice.csv").write_text("a,b,a\n1,2,3\n")
    with pytest.raises(draft.DraftError, match="column a stands there twice"):
        draft.draft(tmp_path / "twice.csv", label="b")
    (tmp_path / "none.csv").write_text("a,b\n")
    with pytest.raises(draft.DraftError, match="there is no row below the header"):
        draft.draft(tmp_path / "none.csv", label="b")
    (tmp_path / "packed.csv").write_bytes(b"\x1f\x8b" + bytes(50))
    with pytest.raises(schema.TableError, match="compressed"):
        draft.draft(tmp_path / "packed.csv", label="b")


def test_what_looks_like_a_key_reaches_no_model(tmp_path):
    path = tmp_path / "keys.csv"
    rows = pd.DataFrame({"number": range(100), "code": [1, 2] * 50, "minus": ["-", "x"] * 50, "y": [0, 1] * 50})
    rows.to_csv(path, index=False)
    text = draft.draft(path, label="y", categories=["code"])
    assert "# number reaches no model: a whole number that is another one in every row" in text
    assert 'categories = ["1", "2"]' in text
    assert "missing" not in text  # among words "-" is a word


def test_synthetic_rows_are_like_the_table_and_nobody_of_it(path, tmp_path):
    _, described = drafted(path)
    table = sources.load(str(path), described, seed=0, cache=tmp_path)
    derived = marginals.derive(split.deduplicate(table.frame, described), described)
    drawn = marginals.generate(derived, described, seed=1)
    assert list(schema.findings(drawn, described, file="drawn")) == []
    assert drawn["churned"].sum() == 600
    for column in described.features:
        real, made = table.frame[column.name], drawn[column.name]
        assert abs(real.isna().mean() - made.isna().mean()) < 0.02
        if column.categories:
            shares = [cells.value_counts(normalize=True) for cells in (real, made)]
            assert (shares[0] - shares[1]).abs().max() < 0.04
        elif column.kind != "flag":
            spread = real.quantile(0.9) - real.quantile(0.1)
            assert abs(real.median() - made.median()) < 0.1 * spread
    features = [schema.to_features(rows, described) for rows in (table.frame, drawn)]
    assert not {tuple(row) for row in features[0]} & {tuple(row) for row in features[1]}
    pd.testing.assert_frame_equal(drawn, marginals.generate(derived, described, seed=1))
    assert not drawn.equals(marginals.generate(derived, described, seed=2))
    with pytest.raises(DataError, match="the statistics are of problem customers, whose columns are others"):
        marginals.generate(derived, drafted(path, categories=["plan"])[1], seed=1)


def test_statistics_of_a_few_rows_are_not_derived(path, tmp_path):
    _, described = drafted(path)
    few = sources.load(str(path), described, seed=0, cache=tmp_path).frame.groupby("churned").head(4)
    with pytest.raises(DataError, match="4 not churned rows are too few for statistics of them"):
        marginals.derive(few, described)


@pytest.mark.parametrize(("words", "positive"), [(("no", "yes"), "yes"), (("1", "2"), "2"), (("gone", "kept"), "gone")])
def test_a_label_of_two_words_is_learnt_as_0_and_1(customers, words, positive, tmp_path):
    no = next(word for word in words if word != positive)
    path = tmp_path / "customers.csv"
    customers.assign(churned=customers["churned"].map({0: no, 1: positive})).to_csv(path, index=False, na_rep="NA")
    _, described = drafted(path, positive=positive)
    assert described.label.categories == (no, positive)
    table = sources.load(str(path), described, seed=0, cache=tmp_path)
    assert table.frame["churned"].tolist() == customers["churned"].tolist()
    prepared = prepare.prepare(table, n_clients=2, how="iid", balance="smote", seed=0, folder=tmp_path / "data")
    train = tmp_path / "data" / "client-1" / "train.csv"
    assert set(pd.read_csv(train, comment="#", dtype=str)["churned"]) == set(words)  # as the owner writes it
    counted = schema.read_table(train, described)["churned"]
    assert (len(counted), counted.sum()) == tuple(prepared.counts.loc["client-1", ["train_rows", "train_positives"]])


def test_a_label_of_two_words_is_asked_for_and_no_cell_is_told(customers, tmp_path):
    path = tmp_path / "customers.csv"
    customers.assign(churned=customers["churned"].map({0: "stayed", 1: "left"})).to_csv(path, index=False)
    with pytest.raises(
        DataError, match="2 different words stand there; say which of them you look for: --positive"
    ) as no:
        drafted(path)
    assert "stayed" not in str(no.value)
    with pytest.raises(DataError, match="'Left' is none of them, with its capitals and blanks"):
        drafted(path, positive="Left")
    text, described = drafted(path, positive="left")
    assert (described.words.negative, described.words.positive) == ("stayed", "left")
    assert "3,000 rows, 600 with churned = 1" in text


def test_other_spellings_of_a_labels_words_are_told_apart(customers, tmp_path):
    path = tmp_path / "customers.csv"
    words = customers["churned"].map({0: "no", 1: "yes"})
    customers.assign(churned=words).to_csv(path, index=False)
    _, described = drafted(path, positive="yes")
    words[:3], words[3], words[4] = "Yes", "maybe", None
    customers.assign(churned=words).to_csv(path, index=False)
    assert [str(finding).partition(": ")[2] for finding in schema.findings_in(path, described)] == [
        "a cell is empty in 1 row; fill it or drop the rows",
        "a word is none of the 2 categories but for capitals or blanks in 3 rows; write one of: no, yes",
        "a word is none of the 2 categories in 1 row; write one of: no, yes",
    ]
    with pytest.raises(schema.TableError) as error:  # at once, as the command tells them
        sources.load(str(path), described, seed=0, cache=tmp_path)
    assert len(str(error.value).splitlines()) == 3


def test_spellings_of_nothing_and_of_one_word_are_known(customers, tmp_path):
    path = tmp_path / "customers.csv"
    marked = customers.astype(object)
    marked.loc[:40, "visits"], marked.loc[41:60, "visits"], marked.loc[:9, "balance_0"] = "n/a", "Unknown", "about 5"
    marked.loc[:9, "plan"] = marked.loc[:9, "plan"].str.upper()
    marked["steady"] = np.linspace(300, 900, len(marked)).round(1)
    marked.to_csv(path, index=False, na_rep="")
    text, described = drafted(path, owner="region", categories=("plan", "channel"))
    assert set(described.missing_words) == {"n/a", "Unknown"}
    kinds = {column.name: column.kind for column in described.features}
    assert (kinds["visits"], kinds["steady"], kinds["volume_0"]) == ("count", "number", "amount")
    assert "# balance_0 reaches no model: numbers, but for 10 rows: empty those cells" in text
    plan = next(column for column in described.features if column.name == "plan")
    assert plan.categories == tuple(sorted(customers["plan"].dropna().unique()))
    assert "3 of them by capitals or blanks alone: the most frequent is kept" in text
    told = list(validation.findings(path, described))
    assert len(told) == 1
    assert "column plan: a word is none of the 3 categories but for capitals or blanks in" in told[0]


def test_owners_rows_are_balanced_each_for_itself(customers, tmp_path):
    path = tmp_path / "customers.csv"
    customers.to_csv(path, index=False, na_rep="NA")
    _, described = drafted(path, owner="region", categories=("plan", "channel"))
    assert list(validation.findings(path, described)) == []  # dates and remarks name nobody
    table = sources.load(str(path), described, seed=0, cache=tmp_path)
    owners = table.frame["region"].nunique()
    with pytest.raises(DataError, match=rf"has the rows of {owners} \(region\): CLIENTS={owners} gives each its own"):
        prepare.prepare(table, n_clients=2, how="given", balance="smote", seed=0, folder=tmp_path / "data")
    prepared = prepare.prepare(table, n_clients=owners, how="given", balance="smote", seed=0, folder=tmp_path / "data")
    assert (prepared.counts["balanced_positives"] > prepared.counts["train_positives"]).all()
    scores = experiments.smote_before_and_after_the_split(prepared.rest, described, seed=0)
    assert scores["ROC AUC"].diff().iloc[-1] < 0


def test_the_label_may_stand_anywhere_and_other_columns_in_the_files_order(customers, tmp_path):
    path = tmp_path / "customers.csv"
    customers.to_csv(path, index=False, na_rep="NA")
    _, described = drafted(path)
    names = [name for name in customers if name != "churned"]
    for order in (["churned", *names], [*names, "churned"]):
        customers[order].to_csv(path, index=False, na_rep="NA")
        assert schema.read_table(path, described)["churned"].sum() == 600
    moved = customers[["churned", *names[::-1]]].astype(object)
    moved.loc[7, "visits"] = "many"
    moved.to_csv(path, index=False, na_rep="NA")
    told = [str(finding) for finding in schema.findings_in(path, described)]
    assert ["another order" in told[0], "column visits: text stands in a number column in 1 row" in told[1]] == [
        True
    ] * 2
