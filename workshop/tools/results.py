"""Headline results: five seeds on the curated and on the synthetic table, rendered to ``docs/results.md``."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd

from client_code import schema
from data_prep import prepare, sources
from data_prep.errors import DataError
from workshop import problems, state
from workshop.errors import WorkshopError
from workshop.files import REPOSITORY
from workshop.science import baselines, evaluation, plots

SEEDS = (0, 1, 2, 3, 4)
PARTITIONS = ("iid", "similar_providers", "label_skew")
README = REPOSITORY / "README.md"
DOCS = README.parent / "docs"
MEASURES = ("roc_auc", "average_precision")


def measure(data: str, *, how: str, seeds: Sequence[int] = SEEDS, n_clients: int = 3) -> dict[str, pd.DataFrame]:
    """Train and score every model on several seeds, with the plain loop that the federation equals to 1e-12.

    Parameters
    ----------
    data : str
        ``synthetic``, ``curated`` or a path; the split, and for synthetic the rows, follow from each seed.
    how : str
        How rows are given to clients.

    Returns
    -------
    dict of DataFrame
        Per measure one line per seed and one column per model.
    """
    lines: dict[str, list[dict[str, float]]] = {name: [] for name in MEASURES}
    for seed in seeds:
        for name, scores in _one_seed(data, how=how, seed=seed, n_clients=n_clients).items():
            lines[name].append(scores)
    return {name: pd.DataFrame(rows, index=pd.Index(seeds, name="seed")) for name, rows in lines.items()}


def page(measured: dict[tuple[str, str], dict[str, pd.DataFrame]]) -> str:
    """Lay the measurements out as Markdown: mean and standard deviation over seeds."""
    text = [
        "# Results",
        "",
        f"Mean ± standard deviation over {len(SEEDS)} seeds; every seed draws test table, owners and folds anew.",
        "Three clients, three rounds of ten iterations. Made by `make results`; a test repeats the numbers.",
        "",
        "![ROC AUC of every model over five seeds on the curated table](results.png)",
        "",
        "- **global**: the federation. **centralised**: the same training on all rows in one place.",
        "- **local, mean**: each client alone, averaged over clients. **local, worst**: the weakest of them.",
        "- **published recipe**: raw amounts and undersampling, as in the sample this workshop grew from.",
        "- **paired**: ROC AUC of the global model minus this one's, seed by seed, and in how many seeds it is ahead.",
        "  A hard test table is hard for every model: the ± of a score says little about a difference.",
    ]
    for (source, how), tables in measured.items():
        models = tables["roc_auc"].columns
        text += [
            "",
            f"## {source} rows, {how}",
            "",
            "| model | ROC AUC | average precision | paired |",
            "|---|---|---|---|",
        ]
        for model in models:
            cells = [f"{tables[name][model].mean():.3f} ± {tables[name][model].std():.3f}" for name in MEASURES]
            text.append(f"| {model} | {' | '.join(cells)} | {_paired(tables['roc_auc'], model)} |")
    return "\n".join(text) + "\n"


def _paired(scores: pd.DataFrame, model: str) -> str:
    if model == "global":
        return ""
    away = scores["global"] - scores[model]
    return f"{away.mean():+.4f} ± {away.std():.4f}, {(away > 0).sum()} of {len(away)}"


def hospitals(folder: str, *, seeds: Sequence[int] = range(20)) -> dict[str, pd.DataFrame]:
    """Train on UCI's four hospitals, twenty rounds of two iterations, and score every model.

    Parameters
    ----------
    folder : str
        Of the published files, or ``"uci"``.

    Returns
    -------
    dict of DataFrame
        ``all``: ROC AUC on all hospitals' test rows, one line per seed and one column per model; ``sites``: by site and
        model the mean over the seeds in which it is defined, and in how many that is.
    """
    problem, lines, sites = problems.load("heart"), [], []
    for seed in seeds:
        with tempfile.TemporaryDirectory() as made:
            cache = state.home() / "cache"
            table = sources.load(folder, problem, seed=seed, cache=cache)
            prepared = prepare.prepare(table, n_clients=4, how="given", balance="none", seed=seed, folder=Path(made))
            clients = {name: baselines.ClientRows.read(Path(made) / name, problem) for name in prepared.whose}
            test = Path(made) / "server" / "test.csv"
            features, labels = schema.to_arrays(schema.read_table(test, problem), problem)
            whose = schema.read_identifier(test, problem, problem.owner)
        groups = {"global": list(clients.values()), "centralised": [baselines.pool(list(clients.values()))]}
        groups |= {f"{prepared.whose[name]} alone": [own] for name, own in clients.items()}
        ranked = {
            name: baselines.federated_by_hand(rows, problem, rounds=20, max_iter=2, seed=seed).probabilities(features)
            for name, rows in groups.items()
        }
        lines.append({name: evaluation.score(labels, each, threshold=0.5).roc_auc for name, each in ranked.items()})
        sites.append(evaluation.by_site(labels, ranked, list(whose)))
    together = pd.concat(sites).drop(columns=["rows", "positives"]).groupby(level=0, sort=False)
    counted = together.count().iloc[:, :1].rename(columns=lambda _: "defined in")
    return {"all": pd.DataFrame(lines, index=pd.Index(seeds, name="seed")), "sites": together.mean().join(counted)}


def hospitals_page(measured: dict[str, pd.DataFrame]) -> str:
    """Lay the hospitals' figures out as Markdown."""
    scores, sites = measured["all"], measured["sites"]
    text = [
        "",
        "## Heart disease, four hospitals",
        f"UCI's 920 rows, each hospital one client, twenty rounds of two iterations, {len(scores)} splits.",
        "ROC AUC on all hospitals' test rows:",
        "",
        "| model | ROC AUC | paired |",
        "|---|---|---|",
    ]
    for model in scores:
        text.append(f"| {model} | {scores[model].mean():.3f} ± {scores[model].std():.3f} | {_paired(scores, model)} |")
    text += [
        "",
        "By whose test rows, the mean over the splits in which both classes are among them:",
        "",
        f"| test rows of | {' | '.join(scores)} | defined in |",
        f"|---|{'---|' * (len(scores.columns) + 1)}",
    ]
    for site, line in sites.iterrows():
        cells = " | ".join(f"{line[model]:.3f}" for model in scores)
        text.append(f"| {site} | {cells} | {line['defined in']:.0f} of {len(scores)} |")
    return "\n".join(text) + "\n"


def headline(measured: dict[tuple[str, str], dict[str, pd.DataFrame]]) -> str:
    """Lay out the README's numbers: alike clients on the curated table, and what a learner sees by default."""
    tables, default = measured["curated", "iid"], measured["synthetic", "iid"]["roc_auc"]["global"]
    text = ["| five seeds, [curated table](docs/results.md) | ROC AUC | average precision |", "|---|---|---|"]
    for model in ("global", "centralised", "local, mean", "published recipe"):
        cells = [f"{tables[name][model].mean():.3f} ± {tables[name][model].std():.3f}" for name in MEASURES]
        text.append(f"| {model} | {' | '.join(cells)} |")
    roc_auc = f"{default.mean():.3f} ± {default.std():.3f}"
    text += [
        "",
        f"On synthetic rows, which `make workshop` uses, the global model's ROC AUC is {roc_auc} over five seeds.",
    ]
    return "\n".join(text)


def main(table: str, heart: str) -> int:
    """Measure published and synthetic rows; write ``docs/results.md``, its figure and the README's numbers."""
    mpl.use("agg")
    try:
        cache = state.home() / "cache"
        known = table and sources.load(table, problems.load(problems.FRAUD), seed=0, cache=cache).source == "curated"
    except schema.TableError as error:
        raise DataError(str(error)) from error
    if not known:
        reason = "is not the published table: `make results DATA=curated`, or the path of that file"
        raise WorkshopError(f"DATA={table} {reason}")
    measured = {
        (source, how): measure(data, how=how)
        for source, data in (("curated", table), ("synthetic", "synthetic"))
        for how in PARTITIONS
    }
    text = page(measured) + hospitals_page(hospitals(heart))
    (DOCS / "results.md").write_text(text)
    iid = measured["curated", "iid"]["roc_auc"]
    plots.seeds(iid, title="Federated training gives what pooling the rows would give").savefig(
        DOCS / "results.png", dpi=150
    )
    before, _, rest = README.read_text().partition("<!-- results -->")
    _, _, after = rest.partition("<!-- end of results -->")
    README.write_text(f"{before}<!-- results -->\n{headline(measured)}\n<!-- end of results -->{after}")
    print(text)
    return 0


def _one_seed(data: str, *, how: str, seed: int, n_clients: int) -> dict[str, dict[str, float]]:
    with tempfile.TemporaryDirectory() as folder:
        problem = problems.load(problems.FRAUD)
        table = sources.load(data, problem, seed=seed, cache=Path(folder))
        prepare.prepare(table, n_clients=n_clients, how=how, balance="smote", seed=seed, folder=Path(folder))
        names = [f"client-{number}" for number in range(1, n_clients + 1)]
        clients = [baselines.ClientRows.read(Path(folder) / name, problem) for name in names]
        real = pd.concat([schema.read_table(Path(folder) / name / "train.csv", problem) for name in names])
        features, labels = schema.to_arrays(schema.read_table(Path(folder) / "server" / "test.csv", problem), problem)
    models = {"global": clients, "centralised": [baselines.pool(clients)]}
    probabilities = {
        n: baselines.federated_by_hand(rows, problem, seed=seed).probabilities(features) for n, rows in models.items()
    }
    probabilities["published recipe"] = baselines.published_recipe(real, features, problem, seed=seed)
    alone = [baselines.federated_by_hand([own], problem, seed=seed).probabilities(features) for own in clients]
    scores: dict[str, dict[str, float]] = {}
    for name in MEASURES:
        local = [getattr(evaluation.score(labels, own, threshold=0.5), name) for own in alone]
        line = {model: getattr(evaluation.score(labels, p, threshold=0.5), name) for model, p in probabilities.items()}
        recipe = line.pop("published recipe")
        scores[name] = line | {
            "local, mean": float(np.mean(local)),
            "local, worst": min(local),
            "published recipe": recipe,
        }
    return scores
