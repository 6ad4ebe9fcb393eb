"""Problem: a table and what is learnt from it, as one frozen value that is read from a TOML file.

It travels to a job as data: ``problem.toml`` beside the code. Nothing else in the kit knows a column by its name.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

KINDS = ("amount", "number", "count", "flag", "category")
TRANSFORMS = ("log1p", "none")


class ProblemError(ValueError):
    """A problem's file says something that cannot be, or is not served yet."""


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes
    ----------
    kind : {"amount", "number", "count", "flag", "category"}
        A real number from 0 on; any real number; a whole number from 0 on; 0 or 1; one of a few words.
    unit, meaning : str
        What a learner reads.
    missing : bool
        Whether a cell may be empty.
    """

    name: str
    kind: str
    unit: str
    meaning: str
    missing: bool = False

    @property
    def dtype(self) -> str:
        """How the column is stored."""
        return "int64" if self.kind in ("count", "flag") else "float64"


@dataclass(frozen=True)
class Words:
    """What rows and classes are called in messages, tables and figures."""

    subject: str  # one row: "provider"
    subjects: str
    negative: str  # label 0: "honest"
    positive: str  # label 1: "fraudulent"
    outcome: str  # what there is a share of: "fraud"

    @property
    def classes(self) -> tuple[str, str]:
        """The words of label 0 and 1."""
        return self.negative, self.positive


@dataclass(frozen=True)
class Floors:
    """The least rows that later steps need; ``shared`` counts all rows, the others those of each class."""

    shared: int  # to train on: sums over fewer are not sent
    training: int
    validation: int
    test: int
    rare: int  # of the rarer class, when a table is dealt to clients


@dataclass(frozen=True)
class Problem:
    """A table and what is learnt from it."""

    name: str
    label: Column
    features: tuple[Column, ...]
    words: Words
    transforms: tuple[str, ...]  # of every feature, before it is standardised
    largest: float  # no value is larger
    floors: Floors

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """All columns in the table's order, the label first."""
        return (self.label, *self.features)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of all columns in the table's order, the label first."""
        return tuple(column.name for column in self.columns)

    @cached_property
    def feature_names(self) -> tuple[str, ...]:
        """Names of all columns but the label."""
        return self.names[1:]

    @cached_property
    def transform_of(self) -> dict[str, str]:
        """The transform of every feature, by its name."""
        return dict(zip(self.feature_names, self.transforms, strict=True))

    @cached_property
    def flags(self) -> np.ndarray:
        """Which features are flags, shape ``(n_features,)``."""
        return np.array([column.kind == "flag" for column in self.features])

    @cached_property
    def limits(self) -> tuple[np.ndarray, np.ndarray]:
        """The smallest and the largest value that a feature may have, ``(n_features,)`` each."""
        low = [-self.largest if column.kind == "number" else 0.0 for column in self.features]
        high = [1.0 if column.kind == "flag" else self.largest for column in self.features]
        return np.array(low), np.array(high)

    def transform(self, features: np.ndarray) -> np.ndarray:
        """Return features, ``(..., n_features)``, as they are standardised: logarithms of ``1 + value``, or as is."""
        return self._changed(features, np.log1p)

    def inverse(self, transformed: np.ndarray) -> np.ndarray:
        """Return the features that :meth:`transform` turns into these."""
        return self._changed(transformed, np.expm1)

    def _changed(self, features: np.ndarray, function: np.ufunc) -> np.ndarray:
        logs = np.array([transform == "log1p" for transform in self.transforms])
        if logs.all():
            return function(features)
        changed = np.array(features, dtype=np.float64)
        changed[..., logs] = function(changed[..., logs])
        return changed


def load(path: Path) -> Problem:
    """Read a problem from its TOML file.

    Raises
    ------
    ProblemError
        Names the file, and what in it is missing, unknown, not possible or not served yet.
    """
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ProblemError(f"{path.name}: there is no such problem") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ProblemError(f"{path.name} is no TOML file: {error}") from error
    try:
        return _problem(entries)
    except ProblemError as error:
        raise ProblemError(f"{path.name}: {error}") from None


def _problem(entries: dict[str, Any]) -> Problem:
    parts = {"name", "label", "columns", "words", "transform", "limits", "floors"}
    if unknown := set(entries) - parts:
        raise ProblemError(f"{', '.join(sorted(unknown))}: unknown; there may be {', '.join(sorted(parts))}")
    if absent := parts - set(entries):
        raise ProblemError(f"{', '.join(sorted(absent))} must be there")
    label = _made(Column, entries["label"] | {"kind": "flag"}, "the label")
    features = tuple(_made(Column, entry, f"column number {n}") for n, entry in enumerate(entries["columns"], 1))
    for column in (label, *features):
        _check_column(column)
    names = [label.name, *(column.name for column in features)]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ProblemError(f"column {min(twice)} stands there twice")
    transforms = entries["transform"]
    for kind in {column.kind for column in features}:
        if transforms.get(kind) not in TRANSFORMS:
            raise ProblemError(f"transform of kind {kind}: choose one of {', '.join(TRANSFORMS)}")
    if transforms.get("number") == "log1p":
        raise ProblemError("transform of kind number: a number may be negative and has no logarithm then; choose none")
    return Problem(
        entries["name"], label, features, _made(Words, entries["words"], "words"),
        tuple(transforms[column.kind] for column in features), float(entries["limits"]["largest"]),
        _made(Floors, entries["floors"], "floors"),
    )  # fmt: skip


def _made(kind: type, entry: dict[str, Any], where: str) -> Any:
    known = {field.name for field in fields(kind)}
    needed = known - {"missing"}
    if wrong := (needed - set(entry)) or (set(entry) - known):
        verb = "is missing" if wrong <= needed else "is unknown"
        raise ProblemError(f"{where}: {', '.join(sorted(wrong))} {verb}")
    return kind(**entry)


def _check_column(column: Column) -> None:
    if column.kind not in KINDS:
        raise ProblemError(f"column {column.name}: kind {column.kind!r} is unknown; choose one of {', '.join(KINDS)}")
    if column.kind == "category":
        raise ProblemError(f"column {column.name}: categories are not served yet; write one flag per word instead")
    if column.missing:
        raise ProblemError(
            f"column {column.name}: missing cells are not served yet; fill them, and add a flag that says where"
        )
