"""Figures, one function each: the title says one thing, and grey is enough to read it."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from sklearn.metrics import precision_recall_curve, roc_curve

from client_code.problem import Problem, Words

# Okabe and Ito's colours, dark to light, so that they differ in grey too.
BLUE, VERMILION, ORANGE, SKY, GREY = "#0072B2", "#D55E00", "#E69F00", "#56B4E9", "#999999"
STYLE: dict[Any, Any] = {
    "figure.dpi": 110,
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E6E6E6",
    "legend.frameon": False,
    "lines.linewidth": 1.8,
}
LINES = ("-", "--", "-.", ":")


def class_balance(counts: pd.DataFrame, *, words: Words, title: str) -> None:
    """Draw the rows of both classes per client, before and after balancing.

    Parameters
    ----------
    counts : DataFrame
        One line per client with the columns ``train_rows``, ``train_positives``, ``balanced_rows`` and
        ``balanced_positives``.
    """
    with plt.rc_context(STYLE):
        crowded = len(counts) > 4 or len(words.outcome) > 8
        _, axes = plt.subplots(1, 2, figsize=(7.5, 3.4 if crowded else 2.6), sharey=True, layout="constrained")
        for ax, kind, label in zip(axes, ("train", "balanced"), ("as they are", "after balancing"), strict=True):
            positives = counts[f"{kind}_positives"]
            negatives = counts[f"{kind}_rows"] - positives
            ax.bar(counts.index, negatives, color=SKY, width=0.6, label=words.negative)
            ax.bar(
                counts.index,
                positives,
                bottom=negatives,
                color=VERMILION,
                width=0.6,
                label=words.positive,
                hatch="//",
                edgecolor="white",
            )
            for place, share in enumerate(positives / counts[f"{kind}_rows"]):
                ax.annotate(
                    f"{share:.0%}" if crowded else f"{share:.0%} {words.outcome}",
                    (place, counts[f"{kind}_rows"].iloc[place]),
                    ha="center",
                    va="bottom",
                    rotation=90 if len(counts) > 8 else 0,
                )
            if crowded:
                ax.set_xticks(range(len(counts)), counts.index, rotation=90)
            ax.set(
                xlabel=f"{label}; share of {words.outcome} above each bar" if crowded else label,
                ylabel="training rows" if kind == "train" else None,
            )
            ax.grid(axis="x", visible=False)
            ax.margins(y=0.15)
        axes[0].set_title(title)
        axes[1].legend(loc="upper left", bbox_to_anchor=(1, 1))
        plt.show()


def smote(real: pd.DataFrame, balanced: pd.DataFrame, problem: Problem, *, x: str, y: str, title: str) -> None:
    """Draw one client's real rows and the rows that SMOTE put between those of label 1, in two columns."""
    made = balanced.iloc[len(real) :]
    negative, positive = (real[real[problem.label.name] == kind] for kind in (0, 1))
    words = problem.words
    with plt.rc_context(STYLE):
        _, ax = plt.subplots(figsize=(6, 3.6), layout="constrained")
        ax.scatter(negative[x], negative[y], s=5, color="#CCCCCC", label=f"{words.negative} ({len(negative):,})")
        ax.scatter(
            made[x],
            made[y],
            s=9,
            color=ORANGE,
            marker="x",
            linewidths=0.8,
            label=f"made by SMOTE ({len(made):,})",
        )
        ax.scatter(
            positive[x],
            positive[y],
            s=16,
            color=VERMILION,
            edgecolor="black",
            linewidths=0.4,
            label=f"{words.positive} ({len(positive):,})",
        )
        scale = {column.name: "log" if column.transform == "log1p" else "linear" for column in problem.encoding}
        ax.set(xscale=scale[x], yscale=scale[y], xlabel=x, ylabel=y, title=title)
        ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
        plt.show()


def rounds(history: pd.DataFrame, *, base_rate: float, title: str) -> None:
    """Draw what the global model was worth after every round, on the server's test table."""
    with plt.rc_context(STYLE):
        _, axes = plt.subplots(1, 3, figsize=(8.4, 2.5), layout="constrained")
        panels = (
            ("roc_auc", "ROC AUC", 0.5, "chance"),
            ("average_precision", "average precision", base_rate, "chance"),
            ("log_loss", "log-loss", float(np.log(2)), "untrained"),
        )
        for ax, (column, label, floor, word) in zip(axes, panels, strict=True):
            ax.plot([0, *history.index], [floor, *history[column]], color=BLUE, marker="o", clip_on=False)
            ax.axhline(floor, color=GREY, linestyle=":", linewidth=1.2)
            ax.annotate(word, (1, floor), xycoords=("axes fraction", "data"), ha="right", va="bottom", color="#666666")
            ax.set(xlabel="round", ylabel=label)
            ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes[0].set_title(title)
        plt.show()


def comparison(table: pd.DataFrame, *, base_rate: float, title: str) -> None:
    """Draw ROC AUC and average precision of every model with their intervals, beside what chance gives.

    Parameters
    ----------
    table : DataFrame
        From ``evaluation.intervals``.
    """
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, 2, figsize=(8, 0.36 * len(table) + 1.4), sharey=True, layout="constrained")
        figure.supxlabel("dot: this test table; line: where 95 % of test tables like it lie", fontsize=9)
        panels = {"roc_auc": ("ROC AUC", 0.5), "average_precision": ("average precision", base_rate)}
        for ax, (measure, (label, floor)) in zip(axes, panels.items(), strict=True):
            for place, (name, line) in enumerate(table[measure].iterrows()):
                colour = BLUE if name == "global" else "#666666"
                ax.plot([line["low"], line["high"]], [place, place], color=colour, linewidth=2)
                ax.plot(line["value"], place, "o", color=colour, markersize=6)
                ax.annotate(f"{line['value']:.3f}", (line["value"], place - 0.16), ha="center", va="bottom", fontsize=8)
            ax.axvline(floor, color="black", linestyle=":", linewidth=1.2)
            ax.annotate(" chance", (floor, len(table) - 0.55), va="bottom", color="#666666", fontsize=8)
            ax.set(xlabel=label)
            ax.grid(axis="y", visible=False)
        axes[0].set_yticks(range(len(table)), table.index)
        axes[0].set_ylim(len(table) - 0.4, -0.6)
        axes[0].set_title(title)
        plt.show()


def broken(table: pd.DataFrame, *, title: str) -> None:
    """Draw what two federations were worth after each accident; a word stands where there was no model.

    Parameters
    ----------
    table : DataFrame
        One line per accident and one column per federation: ROC AUC, or a word.
    """
    marks = zip(table, (BLUE, VERMILION), ("o", "s"), ("bottom", "top"), strict=True)
    with plt.rc_context(STYLE):
        _, ax = plt.subplots(figsize=(7.5, 0.45 * len(table) + 1), layout="constrained")
        ax.axvline(0.5, color="black", linestyle=":", linewidth=1.2)
        ax.annotate(" chance", (0.5, -0.6), va="top", color="#666666", fontsize=8)
        for column, colour, mark, above in marks:
            values = pd.to_numeric(table[column], errors="coerce")
            ax.plot(values, range(len(table)), mark, color=colour, markersize=6, label=column, fillstyle="none")
            for place, (value, word) in enumerate(zip(values, table[column], strict=True)):
                text, x = (str(word), 0.0) if np.isnan(value) else (f"{value:.3f}", value)
                ax.annotate(text, (x, place), (0, 5 if above == "bottom" else -5), textcoords="offset points",
                            ha="left" if np.isnan(value) else "center", va=above, color=colour, fontsize=8)  # fmt: skip
        ax.set(yticks=range(len(table)), yticklabels=table.index, xlabel="ROC AUC on the test table", title=title)
        ax.set(xlim=(-0.02, 1.02), ylim=(len(table) - 0.4, -0.6))
        ax.grid(axis="x", visible=False)
        ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
        plt.show()


def roc_and_precision(labels: np.ndarray, models: Mapping[str, np.ndarray], *, words: Words, title: str) -> None:
    """Draw ROC and precision-recall curves of several models' probabilities, each ``(n_rows,)``."""
    with plt.rc_context(STYLE):
        _, (left, right) = plt.subplots(1, 2, figsize=(8, 3.4), layout="constrained")
        for (name, scores), colour, line in zip(models.items(), (BLUE, VERMILION, ORANGE, GREY), LINES, strict=False):
            false_alarms, hits, _ = roc_curve(labels, scores)
            left.plot(false_alarms, hits, line, color=colour, label=name)
            precision, recall, _ = precision_recall_curve(labels, scores)
            right.plot(recall, precision, line, color=colour, label=name)
        left.plot([0, 1], [0, 1], color=GREY, linewidth=0.8)
        right.axhline(labels.mean(), color=GREY, linewidth=0.8)
        label = f"share of {words.outcome} found"
        left.set(xlabel=f"share of {words.negative} {words.subjects} flagged", ylabel=label, title=title)
        right.set(xlabel=f"{label} (recall)", ylabel=f"share of flags that are {words.outcome} (precision)")
        right.legend()
        plt.show()


def calibration(labels: np.ndarray, models: Mapping[str, np.ndarray], *, words: Words, title: str) -> None:
    """Draw what models promise against what comes true, in ten groups of equal size, on axes of square roots."""
    ticks = (0, 0.01, 0.05, 0.1, 0.2, 0.4, 0.7, 1)
    with plt.rc_context(STYLE):
        _, ax = plt.subplots(figsize=(5.2, 4.2), layout="constrained")
        ax.plot(line := np.linspace(0, 1, 50), line, color=GREY, linewidth=0.8, label="perfectly calibrated")
        for (name, scores), colour, mark in zip(models.items(), (VERMILION, BLUE), ("s", "o"), strict=False):
            groups = np.array_split(np.argsort(scores, kind="stable"), 10)
            promised = np.array([scores[group].mean() for group in groups])
            true = np.array([labels[group].mean() for group in groups])
            low, high = _wilson(true, np.array([len(group) for group in groups]))
            ax.vlines(promised, low, high, color=colour, linewidth=1.2)
            ax.plot(promised, true, mark, markersize=4.5, color=colour, label=name)
        # Most promises are small: on plain axes they would lie on one another.
        ax.set_xscale("function", functions=(_root, np.square))
        ax.set_yscale("function", functions=(_root, np.square))
        ax.set(xticks=ticks, yticks=ticks, xlim=(0, 1), ylim=(0, 1), title=title)
        ax.set(xlabel=f"predicted probability of {words.outcome}", ylabel=f"share that is {words.outcome}")
        ax.legend(loc="upper left")
        plt.show()


def _root(value: np.ndarray) -> np.ndarray:
    return np.sqrt(np.maximum(value, 0))


def _wilson(share: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the interval in which 95 % of such shares' true values lie.

    Source: Wilson 1927, Probable inference, the law of succession, and statistical inference.

    >>> [round(float(end), 3) for end in _wilson(np.array(0.0), np.array(10))]
    [0.0, 0.278]
    """
    z2 = 1.96**2 / n
    middle, half = (share + z2 / 2) / (1 + z2), np.sqrt(z2 * share * (1 - share) + z2**2 / 4) / (1 + z2)
    return np.maximum(middle - half, 0), np.minimum(middle + half, 1)


def top_k(labels: np.ndarray, probabilities: np.ndarray, *, words: Words, most: int = 200, title: str) -> None:
    """Draw how many of the k rows that rank highest are of label 1, and how far that would move by chance."""
    order = np.argsort(-probabilities, kind="stable")[:most]
    k = np.arange(1, len(order) + 1)
    share = np.cumsum(labels[order]) / k
    with plt.rc_context(STYLE):
        _, ax = plt.subplots(figsize=(5.6, 2.8), layout="constrained")
        ax.fill_between(k, *_wilson(share, k), color=SKY, alpha=0.35, linewidth=0, label="95 % interval")
        ax.plot(k, share, color=BLUE, label="global model")
        ax.axhline(labels.mean(), color="#666666", linestyle=":", label=f"picked at random ({labels.mean():.1%})")
        ax.set(
            xlabel=f"{words.subjects} looked into, those that rank highest first",
            ylabel=f"share that is {words.outcome}",
            xlim=(1, max(len(k), 2)),
            ylim=(0, 1.02),
            title=title,
        )
        ax.legend()
        plt.show()


def confusion(counts: pd.DataFrame, *, words: Words, title: str) -> None:
    """Draw a confusion matrix with counts, shaded by the share of the row."""
    shares = counts.div(counts.sum(axis=1), axis=0)
    with plt.rc_context(STYLE), plt.rc_context({"axes.grid": False}):
        _, ax = plt.subplots(figsize=(3.8, 2.6), layout="constrained")
        ax.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        for row, column in np.ndindex(counts.shape):
            dark = shares.iloc[row, column] > 0.5
            text = f"{counts.iloc[row, column]:,}\n({shares.iloc[row, column]:.0%})"
            ax.text(column, row, text, ha="center", va="center", color="white" if dark else "black")
        ax.set_xticks(range(2), counts.columns)
        ax.set_yticks(range(2), counts.index)
        ax.set(xlabel="the model says", ylabel=f"the {words.subject} is", title=title)
        plt.show()


def seeds(table: pd.DataFrame, *, title: str) -> Figure:
    """Draw one measure of several models over seeds: every seed a dot, the mean a bar; return the figure.

    Parameters
    ----------
    table : DataFrame
        One line per seed, one column per model.
    """
    with plt.rc_context(STYLE):
        figure, ax = plt.subplots(figsize=(6.4, 0.42 * len(table.columns) + 1.1), layout="constrained")
        for place, name in enumerate(table.columns):
            ax.barh(place, table[name].mean(), color=BLUE if name == "global" else SKY, height=0.6)
            ax.plot(table[name], np.full(len(table), place), "o", color="black", markersize=3, alpha=0.7)
            ax.annotate(f"  {table[name].mean():.3f}", (table[name].max(), place), va="center")
        ax.set_yticks(range(len(table.columns)), table.columns)
        ax.invert_yaxis()
        ax.set(xlabel="ROC AUC on the test table (bar: mean, dots: seeds)", xlim=(0.4, 1.0), title=title)
        ax.axvline(0.5, color="black", linestyle=":", linewidth=1.2)
        ax.grid(axis="y", visible=False)
        return figure


def columns(names: Sequence[str], table: pd.DataFrame, problem: Problem, *, title: str) -> None:
    """Draw the distribution of a few columns by class; on log axes those whose logarithm the model sees."""
    logs = {column.name: column.transform == "log1p" for column in problem.encoding}
    with plt.rc_context(STYLE):
        _, axes = plt.subplots(1, len(names), figsize=(8.4, 2.4), layout="constrained")
        for ax, name in zip(axes, names, strict=True):
            shown = np.log10(table[name] + 1) if logs[name] else table[name]
            edges = np.histogram_bin_edges(shown.dropna(), bins=30)
            for kind, colour, line, word in (
                (0, "#666666", "-", problem.words.negative),
                (1, VERMILION, "--", problem.words.positive),
            ):
                ax.hist(
                    shown[table[problem.label.name] == kind].dropna(),
                    bins=edges,
                    density=True,
                    histtype="step",
                    color=colour,
                    linestyle=line,
                    label=word,
                    linewidth=1.5,
                )
            unit = next(column.unit for column in problem.columns if column.name == name)
            ax.set(xlabel=f"{name}\n{'log10(1 + ' + unit + ')' if logs[name] else unit}", yticks=[])
        axes[0].set(ylabel="density", title=title)
        axes[-1].legend()
        plt.show()


def grid(table: pd.DataFrame, *, title: str, form: str = ".0%", low: float = 0.0) -> None:
    """Draw a table of numbers from ``low`` to 1, darker where larger; a cell without a number says so.

    Parameters
    ----------
    table : DataFrame
        One line per row of cells; names stand at its sides.
    form : str
        How a number is written.
    """
    values = table.to_numpy(dtype=float)
    with plt.rc_context(STYLE):
        size = 2.6 + 1.05 * table.shape[1], 1.0 + 0.27 * len(table)
        _, ax = plt.subplots(figsize=size, layout="constrained")
        ax.imshow(values, cmap="Blues", vmin=low, vmax=1.1, aspect="auto")
        for (row, column), value in np.ndenumerate(values):
            text = "none" if np.isnan(value) else f"{value:{form}}"
            dark = value > low + 0.65 * (1.1 - low)
            ax.text(column, row, text, ha="center", va="center", color="white" if dark else "#333333")
        ax.set_xticks(range(table.shape[1]), [textwrap.fill(str(name), 16) for name in table.columns])
        ax.set_yticks(range(len(table)), table.index)
        ax.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
        ax.spines[:].set_visible(False)
        ax.grid(visible=False)
        ax.set_title(title, loc="left", pad=10)
        plt.show()


def by_owner(table: pd.DataFrame, name: str, problem: Problem, *, title: str, seed: int = 0) -> None:
    """Draw one column of numbers owner by owner: a dot per row, by class, and the mean as a bar."""
    owners = list(dict.fromkeys(table[problem.owner]))
    rng, words = np.random.default_rng(seed), problem.words
    unit = next(column.unit for column in problem.columns if column.name == name)
    with plt.rc_context(STYLE):
        _, ax = plt.subplots(figsize=(7.5, 0.8 + 0.55 * len(owners)), layout="constrained")
        for place, owner in enumerate(owners):
            rows = table[table[problem.owner] == owner]
            for kind, colour, mark in ((0, BLUE, "o"), (1, VERMILION, "x")):
                values = rows.loc[rows[problem.label.name] == kind, name].dropna()
                away = place + rng.uniform(-0.28, 0.28, len(values))
                label = words.classes[kind] if place == 0 else None
                ax.scatter(values, away, s=10, color=colour, marker=mark, linewidths=0.8, alpha=0.6, label=label)
            if rows[name].notna().any():
                ax.plot([rows[name].mean()] * 2, [place - 0.4, place + 0.4], color="black", linewidth=2.5)
            else:
                ax.annotate("nobody measured it", (0.5, place), xycoords=("axes fraction", "data"), ha="center")
        ax.set_yticks(range(len(owners)), owners)
        ax.set_ylim(len(owners) - 0.5, -0.5)
        ax.set(xlabel=f"{name}, {unit}; black: the owner's mean", title=title)
        ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
        plt.show()


def lines(table: pd.DataFrame, *, label: str, title: str) -> None:
    """Draw one line per column over the rounds, each with its name at its end."""
    with plt.rc_context(STYLE):
        _, ax = plt.subplots(figsize=(7.5, 3.0), layout="constrained")
        styles = zip(table, (BLUE, VERMILION, ORANGE, SKY, GREY, "black"), [*LINES, "-", "--"], strict=False)
        for name, colour, style in styles:
            ax.plot(table.index, table[name], color=colour, linestyle=style, label=name)
        ax.set(xlabel="round", ylabel=label, title=title)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
        plt.show()


def timings(spent: pd.DataFrame, *, title: str) -> None:
    """Draw what every client's seconds were spent on, a bar each.

    Parameters
    ----------
    spent : DataFrame
        Seconds, one line per client, one column per kind of work (``Recorded.timings``).
    """
    kinds = zip(spent.columns, (BLUE, SKY, "#DDDDDD", ORANGE), ("", "..", "", "//"), strict=True)
    with plt.rc_context(STYLE):
        _, ax = plt.subplots(figsize=(7.2, 1.1 + 0.32 * len(spent)), layout="constrained")
        left = np.zeros(len(spent))
        for kind, colour, hatch in kinds:
            ax.barh(spent.index, spent[kind], left=left, color=colour, hatch=hatch, edgecolor="white", label=kind)
            left += spent[kind].to_numpy()
        ax.set(xlabel="seconds, all rounds together", title=title)
        ax.invert_yaxis()
        ax.grid(axis="y", visible=False)
        ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
        plt.show()
