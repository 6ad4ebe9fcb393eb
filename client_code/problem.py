"""Problem: a table and what is learnt from it, as one frozen value that is read from a TOML file.

It travels to a job as data: ``problem.toml`` beside the code. Nothing else in the kit knows a column by its name.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

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
    indicator : bool
        Whether the model is told where one is.
    categories : tuple of str
        The words of a category, in the order in which they are counted; of a label, what files say for 0 and for 1.
    low, high : float or None
        The smallest and the largest value, where the kind's own limits are too wide.
    """

    name: str
    kind: str
    unit: str
    meaning: str
    missing: bool = False
    indicator: bool = False
    categories: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None

    @property
    def dtype(self) -> str:
        """How the column is stored."""
        if self.kind == "category":
            return "category"
        return "int64" if self.kind in ("count", "flag") else "float64"


class Encoded(NamedTuple):
    """How one column becomes inputs of a model: itself, or one per word; and one that says where it is missing."""

    name: str
    transform: str
    categories: tuple[str, ...]
    missing: bool
    indicator: bool

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the inputs, in their order."""
        own = tuple(f"{self.name}={word}" for word in self.categories) or (self.name,)
        return (*own, f"{self.name} is missing") if self.indicator else own


@dataclass(frozen=True)
class Words:
    """What rows and classes are called in messages, tables and figures."""

    subject: str  # one row: "provider"
    subjects: str
    negative: str  # label 0: "honest"
    positive: str  # label 1: "fraudulent"
    outcome: str  # what there is a share of: "fraud"
    about: str = ""  # a sentence: what one row is

    @property
    def classes(self) -> tuple[str, str]:
        """The words of label 0 and 1."""
        return self.negative, self.positive


@dataclass(frozen=True)
class Floors:
    """The least rows that later steps need; ``shared`` counts all rows, the next four those of each class."""

    shared: int  # to train on: sums over fewer are not sent
    training: int
    validation: int
    test: int
    rare: int  # of the rarer class, when a table is dealt to clients
    category: int = 1  # of one word: a smaller count is told as none


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
    identifiers: tuple[str, ...] = ()  # columns that name whose row it is; they reach no model
    ignored: tuple[str, ...] = ()  # other columns that may stand in a file and reach no model
    published: str = ""  # the source of the table that everybody can have, a word of data_prep/sources.py
    owner: str = ""  # the one of them that says whose row it is, where a table is of several owners
    pictured: tuple[str, ...] = ()  # columns that a lesson draws
    missing_words: tuple[str, ...] = ()  # what stands in a cell for nothing, beside nothing itself

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """All columns in the table's order, the label first."""
        return (self.label, *self.features)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of all columns in the table's order, the label first."""
        return tuple(column.name for column in self.columns)

    @cached_property
    def shown(self) -> tuple[str, ...]:
        """Columns that a lesson draws: the three that the problem names, or the first of numbers."""
        numbers = [column.name for column in self.features if column.kind not in ("category", "flag")]
        return (*self.pictured, *(name for name in numbers if name not in self.pictured))[:3]

    @cached_property
    def left_out(self) -> tuple[str, ...]:
        """Columns of a file that reach no model."""
        return (*self.identifiers, *self.ignored)

    @cached_property
    def feature_names(self) -> tuple[str, ...]:
        """Names of all columns but the label."""
        return self.names[1:]

    @cached_property
    def encoding(self) -> tuple[Encoded, ...]:
        """How every feature becomes inputs of the model."""
        return tuple(
            Encoded(column.name, transform, column.categories, column.missing, column.indicator)
            for column, transform in zip(self.features, self.transforms, strict=True)
        )

    @cached_property
    def input_names(self) -> tuple[str, ...]:
        """Names of the model's inputs: those of the features where these are numbers and never missing."""
        return tuple(name for encoded in self.encoding for name in encoded.inputs)

    @cached_property
    def places(self) -> tuple[slice, ...]:
        """Where the inputs of every feature stand, without that which says where it is missing."""
        ends = np.cumsum([0, *(len(encoded.inputs) for encoded in self.encoding)])
        pairs = zip(ends[:-1].tolist(), ends[1:].tolist(), self.encoding, strict=True)
        return tuple(slice(begin, end - encoded.indicator) for begin, end, encoded in pairs)

    @cached_property
    def plain(self) -> bool:
        """Whether every feature is one input, with a value in every row."""
        return not any(column.missing or column.categories for column in self.features)

    @cached_property
    def flags(self) -> np.ndarray:
        """Which inputs are 0 or 1, shape ``(n_inputs,)``."""
        flags = np.ones(len(self.input_names), dtype=bool)
        for column, place in zip(self.features, self.places, strict=True):
            flags[place] = column.kind in ("flag", "category")
        return flags

    @cached_property
    def limits(self) -> tuple[np.ndarray, np.ndarray]:
        """The smallest and the largest value of every feature, of a category its codes: ``(n_features,)`` each."""
        pairs = [self.limits_of(column) for column in self.features]
        return np.array([low for low, _ in pairs]), np.array([high for _, high in pairs])

    def limits_of(self, column: Column) -> tuple[float, float]:
        """Return the smallest and the largest value of one column."""
        if column.kind == "category":
            return 0.0, len(column.categories) - 1.0
        low = -self.largest if column.kind == "number" else 0.0
        high = 1.0 if column.kind == "flag" else self.largest
        return low if column.low is None else column.low, high if column.high is None else column.high

    @cached_property
    def input_limits(self) -> tuple[np.ndarray, np.ndarray]:
        """The smallest and the largest value that an input may have, ``(n_inputs,)`` each."""
        low, high = np.zeros(len(self.input_names)), np.ones(len(self.input_names))
        ends = [self._changed(limit, np.log1p) for limit in self.limits]
        for number, place in enumerate(self.places):
            if not self.features[number].categories:
                low[place], high[place] = ends[0][number], ends[1][number]
        return low, high

    def parts(self, most: int) -> Iterator[tuple[Problem, slice]]:
        """Yield the problem in parts of so many features, each with their places: what goes column by column."""
        for begin in range(0, len(self.features), most):
            own = slice(begin, begin + most)
            yield replace(self, features=self.features[own], transforms=self.transforms[own]), own

    def transform(self, features: np.ndarray) -> np.ndarray:
        """Return the inputs, ``(..., n_inputs)``, of features, ``(..., n_features)``, before they are standardised.

        Logarithms of ``1 + value``, or values as they are; of a category, whose features are codes from 0 on, 1 for its
        word and 0 for the others. What is missing is NaN.
        """
        changed = self._changed(features, np.log1p)
        if self.plain:
            return changed
        inputs = np.empty((*changed.shape[:-1], len(self.input_names)), order="F")  # written column by column
        numbers = [number for number, column in enumerate(self.features) if not column.categories]
        inputs[..., [self.places[number].start for number in numbers]] = changed[..., numbers]
        for number, (column, place) in enumerate(zip(self.features, self.places, strict=True)):
            if column.categories:
                codes = changed[..., number, None]
                inputs[..., place] = np.where(np.isnan(codes), np.nan, codes == np.arange(len(column.categories)))
            if column.indicator:
                inputs[..., place.stop] = np.isnan(changed[..., number])
        return inputs

    def inverse(self, inputs: np.ndarray) -> np.ndarray:
        """Return the features that :meth:`transform` turns into these; of a category the code of the largest input."""
        if self.plain:
            return self._changed(inputs, np.expm1)
        features = np.empty((*inputs.shape[:-1], len(self.features)))
        for number, (column, place) in enumerate(zip(self.features, self.places, strict=True)):
            own = inputs[..., place]
            features[..., number] = own.argmax(axis=-1) if column.categories else own[..., 0]
        return self._changed(features, np.expm1)

    def filled(self, inputs: np.ndarray, mean: np.ndarray) -> np.ndarray:
        """Return inputs without a gap: the mean in the place of what is missing, of a category its most frequent word.

        Parameters
        ----------
        inputs : ndarray, shape (n_rows, n_inputs)
            From :meth:`transform`; filled in place.
        mean : ndarray, shape (n_inputs,)
            Of a category, the share of each word.
        """
        for column, place in zip(self.features, self.places, strict=True):
            if column.missing:
                own = inputs[:, place]
                own[np.isnan(own[:, 0])] = self.fill_of(column, mean[place])
        return inputs

    def halfway(self, number: int) -> float:
        """Return what lies half-way between 0 and 1 of a feature, as it is transformed."""
        return float(np.log1p(1.0) / 2) if self.transforms[number] == "log1p" else 0.5

    @staticmethod
    def fill_of(column: Column, mean: np.ndarray) -> np.ndarray:
        """Return what stands in the inputs of one column where it is missing."""
        return (np.arange(len(mean)) == mean.argmax()).astype(float) if column.categories else mean

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
    needed = {"name", "label", "columns", "words", "transform", "limits", "floors"}
    parts = needed | {"identifiers", "ignored", "missing", "owner", "published", "pictured"}
    if unknown := set(entries) - parts:
        raise ProblemError(f"{', '.join(sorted(unknown))}: unknown; there may be {', '.join(sorted(parts))}")
    if absent := needed - set(entries):
        raise ProblemError(f"{', '.join(sorted(absent))} must be there")
    label = _label(entries["label"])
    features = tuple(_made(Column, entry, f"column number {n}") for n, entry in enumerate(entries["columns"], 1))
    if not features:
        raise ProblemError("columns: there must be one at least")
    for column in (replace(label, kind="category") if label.categories else label, *features):
        _check_column(column)
    identifiers, ignored = (_texts(entries.get(which, []), which) for which in ("identifiers", "ignored"))
    pictured = _texts(entries.get("pictured", []), "pictured")
    drawn = {column.name for column in features if column.kind not in ("category", "flag")}
    if foreign := [name for name in pictured if name not in drawn]:
        raise ProblemError(f"pictured: {foreign[0]} is no column of numbers")
    if (owner := entries.get("owner", "")) not in ("", *identifiers):
        raise ProblemError(f"owner {owner!r}: it must be one of the identifiers")
    names = [label.name, *(column.name for column in features), *identifiers, *ignored]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ProblemError(f"column {min(twice)} stands there twice")
    transforms = entries["transform"]
    for kind in sorted({column.kind for column in features} - {"category"}):
        if transforms.get(kind) not in TRANSFORMS:
            raise ProblemError(
                f"[transform] must say what becomes of kind {kind}: add {kind} = one of {', '.join(TRANSFORMS)}"
            )
    if transforms.get("number") == "log1p":
        raise ProblemError("transform of kind number: a number may be negative and has no logarithm then; choose none")
    return Problem(
        entries["name"], label, features, _made(Words, entries["words"], "words"),
        tuple("none" if column.categories else transforms[column.kind] for column in features),
        float(entries["limits"]["largest"]), _made(Floors, entries["floors"], "floors"), identifiers,
        ignored, entries.get("published", ""), owner, pictured,
        _texts(entries.get("missing", []), "missing"),
    )  # fmt: skip


def _label(entry: dict[str, Any]) -> Column:
    label = _made(Column, entry | {"kind": "flag"}, "the label")
    if len(label.categories) not in (0, 2):
        raise ProblemError(f"label {label.name}: categories are two words, that of 0 first; or leave them out")
    if label.missing:
        raise ProblemError(
            f"label {label.name}: it may not be missing: nothing is learnt from such a row, leave it out"
        )
    return label


def _made(kind: type, entry: dict[str, Any], where: str) -> Any:
    known = {field.name for field in fields(kind)}
    needed = {field.name for field in fields(kind) if field.default is MISSING}
    if wrong := (needed - set(entry)) or (set(entry) - known):
        verb = "is missing" if wrong <= needed else "is unknown"
        raise ProblemError(f"{where}: {', '.join(sorted(wrong))} {verb}")
    if "categories" in entry:
        entry = entry | {"categories": _texts(entry["categories"], f"{where}: categories")}
    return kind(**entry)


def _texts(values: Any, where: str) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise ProblemError(f"{where}: must be a list of words in quotation marks")
    return tuple(values)


def _check_column(column: Column) -> None:
    for wrong, rule in _rules(column):
        if wrong:
            raise ProblemError(f"column {column.name}: {rule}")


def _rules(column: Column) -> Iterator[tuple[bool, str]]:
    """Yield what a column's description may not be, each with whether this one is."""
    words, ends = column.categories, (column.low, column.high)
    yield column.kind not in KINDS, f"kind {column.kind!r} is unknown; choose one of {', '.join(KINDS)}"
    yield column.kind == "category" and len(words) < 2, "a category needs at least two words, as categories = [...]"
    yield column.kind != "category" and bool(words), f"a {column.kind} has no categories"
    yield len(set(words)) < len(words), "a category stands there twice"
    yield any(word != word.strip() or not word for word in words), "a category is empty, or begins or ends with a blank"
    yield column.indicator and not column.missing, "an indicator says where a cell is missing: missing = true as well"
    yield column.kind in ("flag", "category") and ends != (None, None), f"a {column.kind} has no limits of its own"
    numbers = [end for end in ends if end is not None]
    yield any(not isinstance(end, int | float) or isinstance(end, bool) for end in numbers), "low and high are numbers"
    yield numbers != sorted(numbers), "low is above high"
    yield column.kind in ("amount", "count") and any(end < 0 for end in numbers), "it starts at 0"
