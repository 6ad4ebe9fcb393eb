"""Model registry: a version for every finished run, a champion that is in use, and the one that challenges it.

A version is a folder with ``model.joblib``, its twin without pickle and the manifest; what versions are called, and
why, is in a file beside them. Trackers get copies; what they say is decided here.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from client_code import schema
from client_code.problem import Problem
from workshop import state
from workshop.errors import ModelError
from workshop.files import locked, read_object, unwritable, write_text
from workshop.science import evaluation, model

CHAMPION, CHALLENGER = "champion", "challenger"
_ALIASES = "aliases.json"


@dataclass(frozen=True)
class Version:
    """A registered model.

    Attributes
    ----------
    problem : str
        Whose model it is.
    number : int
        From 1, in the order of registration.
    about : dict
        The manifest's: run, rounds, source and seed of the rows.
    """

    problem: str
    number: int
    folder: Path
    about: dict[str, Any]

    @property
    def run(self) -> str:
        """The run that it came from."""
        return str(self.about.get("run", ""))

    def __str__(self) -> str:
        """Word it for a sentence."""
        return f"version {self.number} of {self.problem} (run {self.run})"


@dataclass(frozen=True)
class Duel:
    """A challenger beside the champion, on the same test rows: ROC AUC, and 95 % of the drawn differences."""

    challenger: Version
    champion: Version | None
    gain: float = np.nan
    low: float = np.nan
    high: float = np.nan

    @property
    def better(self) -> bool:
        """Whether the challenger should be the champion: there is none, or it is better on nearly every drawn table."""
        return self.champion is None or self.low > 0

    @property
    def verdict(self) -> str:
        """In a few words."""
        return "is better" if self.better else "is worse" if self.high < 0 else "is not told apart"

    def __str__(self) -> str:
        """Say what came out, in a line."""
        if self.champion is None:
            return f"{self.challenger} has nobody to beat"
        if self.champion == self.challenger:
            return f"{self.challenger} is the champion itself"
        between = f"by {self.gain:+.4f} in ROC AUC ({self.low:+.4f} to {self.high:+.4f})"
        return f"{self.challenger} {self.verdict}, {between} beside {self.champion}"


def register(folder: Path, problem: Problem) -> Version:
    """Keep a copy of a saved model as a new version; of a run that has one already, return that.

    Parameters
    ----------
    folder : Path
        Where ``science.model.save`` wrote it, with the run's id among what the manifest says.

    Raises
    ------
    ModelError
        If it is not what its manifest describes.
    WorkshopError
        If the disk takes no copy.
    """
    about = model.load_twin(folder).about
    home = _home(problem.name)
    try:
        home.mkdir(parents=True, exist_ok=True)
        with locked(home / _ALIASES):
            known = versions(problem.name)
            for version in known:
                if about.get("run") and version.run == about["run"]:
                    return version
            number = max((version.number for version in known), default=0) + 1
            made = home / f"{number}.tmp"
            shutil.rmtree(made, ignore_errors=True)
            shutil.copytree(folder, made)
            made.rename(home / str(number))
            _name(problem.name, CHALLENGER, number, "the newest")
    except OSError as error:
        raise unwritable(home, error) from error
    return Version(problem.name, number, home / str(number), about)


def versions(problem: str) -> list[Version]:
    """Return all versions, the oldest first."""
    numbers = sorted(int(path.name) for path in _home(problem).glob("*") if path.name.isdigit())
    folders = [_home(problem) / str(number) for number in numbers]
    known = [read_object(folder / model.MANIFEST, remedy="train again").get("about", {}) for folder in folders]
    return [Version(problem, *each) for each in zip(numbers, folders, known, strict=True)]


def table(problem: str) -> pd.DataFrame:
    """Return one line per version, the newest first: its run, how it was trained, what it is called."""
    names = {number: alias for alias, number in aliases(problem).items()}
    lines = [
        (each.number, names.get(each.number, ""), each.run, *(each.about.get(key, "") for key in _SHOWN))
        for each in reversed(versions(problem))
    ]
    return pd.DataFrame(lines, columns=["version", "called", "run", *_SHOWN]).set_index("version")


_SHOWN = ("source", "seed", "rounds", "max_iter", "strategy")


def aliases(problem: str) -> dict[str, int]:
    """Return which version is called champion, and which challenger; a champion challenges nobody."""
    known = read_object(_home(problem) / _ALIASES, remedy="promote again").get("aliases", {})
    return {alias: number for alias, number in known.items() if alias == CHAMPION or number != known.get(CHAMPION)}


def find(problem: str, which: str | int = CHAMPION) -> Version:
    """Return a version by its number or by what it is called.

    Raises
    ------
    ModelError
        If there is none; says which there are.
    """
    known = {version.number: version for version in versions(problem)}
    number = which if isinstance(which, int) else aliases(problem).get(which, 0)
    if number not in known:
        there = ", ".join(map(str, known)) or "none: run 03_run_federation.ipynb"
        raise ModelError(
            f"{problem} has no {which if isinstance(which, str) else f'version {which}'}; versions: {there}"
        )
    return known[number]


def of_run(problem: str, run: str) -> Version:
    """Return the version that came from a run.

    Raises
    ------
    ModelError
        If there is none.
    """
    for version in versions(problem):
        if version.run == run:
            return version
    raise ModelError(f"{problem} has no version of run {run!r}: run 03_run_federation.ipynb again")


def digest(test: pd.DataFrame, problem: Problem) -> str:
    """Return a digest of a test table, for the manifest: models beside different ones are not compared."""
    features, labels = schema.to_arrays(test, problem)
    return hashlib.sha256(features.tobytes() + labels.tobytes()).hexdigest()[:12]


def duel(challenger: Version, test: pd.DataFrame, problem: Problem, *, seed: int = 0, times: int = 200) -> Duel:
    """Score a version and the champion on the same test rows, and draw these again and again.

    Parameters
    ----------
    test : DataFrame
        The server's own rows, with the label.
    times : int
        Test tables that the bootstrap draws.

    Raises
    ------
    ModelError
        If the two were not trained beside this very test table: rows of it may have been among the training rows of
        one, which would win by that.
    """
    if CHAMPION not in aliases(problem.name):
        return Duel(challenger, None)
    champion = find(problem.name)
    split = [{key: each.about.get(key) for key in ("source", "seed", "test")} for each in (challenger, champion)]
    if split[0] != split[1]:
        raise ModelError(
            f"{challenger} and {champion} were trained beside different test tables: rows of this one may have been "
            "among the training rows of the other. Train again with the same DATA and SEED, or promote by hand"
        )
    features, labels = test[list(problem.feature_names)], test[problem.label.name].to_numpy()
    ranked = {
        name: model.load(each.folder).pipeline.predict_proba(features)[:, 1]
        for name, each in ((CHALLENGER, challenger), (CHAMPION, champion))
    }
    drawn = evaluation.intervals(labels, ranked, reference=CHALLENGER, seed=seed, times=times)
    line = drawn["roc_auc"].loc[CHAMPION]
    return Duel(challenger, champion, line["gain"], line["gain_low"], line["gain_high"])


def promote(version: Version, *, because: str) -> None:
    """Make a version the champion; why is written down.

    Raises
    ------
    WorkshopError
        If it cannot be written.
    """
    with locked(_home(version.problem) / _ALIASES):
        _name(version.problem, CHAMPION, version.number, because)


def promotions(problem: str) -> pd.DataFrame:
    """Return how versions came to be called what they are, the last line last."""
    known = read_object(_home(problem) / _ALIASES, remedy="promote again").get("history", [])
    return pd.DataFrame(known, columns=["at", "alias", "version", "because"])


def download(version: Version, to: Path) -> Path:
    """Copy a version without its pickle, with a manifest, for another account; return the folder.

    Who receives it opens it with ``science.model.load_twin``: arrays, no code.

    Raises
    ------
    ModelError
        If it is not what its manifest describes.
    WorkshopError
        If it cannot be written.
    """
    model.load_twin(version.folder)
    manifest: dict[str, Any] = json.loads((version.folder / model.MANIFEST).read_text())
    manifest["files"] = {model.TWIN: manifest["files"][model.TWIN]}
    try:
        to.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(version.folder / model.TWIN, to / model.TWIN)
    except OSError as error:
        raise unwritable(to, error) from error
    write_text(to / model.MANIFEST, json.dumps(manifest, indent=1, sort_keys=True))
    return to


def _home(problem: str) -> Path:
    return state.home() / "models" / problem


def _name(problem: str, alias: str, number: int, because: str) -> None:
    path = _home(problem) / _ALIASES
    known: Mapping[str, Any] = read_object(path, remedy="promote again")
    entry = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"), "alias": alias, "version": number, "because": because,
    }  # fmt: skip
    aliases = {**known.get("aliases", {}), alias: number}
    write_text(path, json.dumps({"aliases": aliases, "history": [*known.get("history", []), entry]}, indent=1))
