"""Schema inference: a problem file drafted from a table, with what was guessed and why; no cell of the table is in it.

The words of a category are cells: only those of columns that the owner names are written.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from client_code import schema
from data_prep.errors import DataError

# What stands for nothing, in any capitals. Another word among numbers is told, and not taken for one.
MISSING_WORDS = {"?", "na", "n/a", "#n/a", "nan", "null", "none", "missing", "unknown", "-", "--", "."}
MOST_WORDS = 20  # of a category; a column with more is text
_DATE = re.compile(r"\d{4}-\d{1,2}-\d{1,2}([ T].*)?|\d{1,2}[/.]\d{1,2}[/.]\d{2,4}")
_WIDE = 20  # the 95th percentile of an amount is at least so many times the 5th
_FLOORS = {"shared": 50, "training": 2, "validation": 1, "test": 5, "rare": 5, "category": 5}


class DraftError(DataError):
    """No problem can be drafted from a table; says why."""


@dataclass(frozen=True)
class Guess:
    """What one column is taken for: a kind, or why it is none; whether cells are missing; its words."""

    name: str
    kind: str  # empty: it reaches no model
    why: str
    missing: bool = False
    words: tuple[str, ...] = ()
    low: bool = False  # 0 is the least

    @property
    def unconfirmed(self) -> bool:
        """Whether it is a category whose words the owner has not let out."""
        return self.kind == "category" and not self.words


@dataclass(frozen=True)
class _About:
    """A table, as its owner has described it."""

    file: str
    rows: int
    positives: int
    label: str
    label_words: tuple[str, ...]  # for 0 and for 1, where these are words
    identifiers: tuple[str, ...]
    owner: str
    missing: tuple[str, ...]


def draft(
    path: Path,
    *,
    label: str,
    positive: str = "",
    identifiers: Sequence[str] = (),
    categories: Sequence[str] = (),
    owner: str = "",
) -> str:
    """Return the text of a problem file for a table.

    Parameters
    ----------
    path : Path
        A CSV file with a header.
    label : str
        The column to be learnt, of 0 and 1, or of two words.
    positive : str
        Of two words the one that is looked for; both are written into the file then.
    identifiers : sequence of str
        Columns that name a row's subject and must not reach a model.
    categories : sequence of str
        Columns of words whose words may be written into the file: every client will read them.
    owner : str
        The column that says whose row it is, where the table is of several owners.

    Raises
    ------
    DraftError
        If a column that is named is not there, or the label is none.
    client_code.schema.TableError
        If the file is no table.
    """
    table, missing = _read(path)
    kept = tuple(dict.fromkeys(filter(None, (*identifiers, owner))))
    if absent := [name for name in (label, *kept, *categories) if name not in table.columns]:
        raise DraftError(f"{path.name} has no column {absent[0]}; it has {', '.join(table.columns)}")
    words = _label_words(table[label], positive, path.name)
    guesses = [_guess(table[name], name in categories) for name in table.columns if name not in (label, *kept)]
    if all(guess.unconfirmed or not guess.kind for guess in guesses):
        raise DraftError(f"{path.name}: no column but the label is of a kind that a model can learn from")
    positives = int((table[label] == words[1] if words else pd.to_numeric(table[label]) == 1).sum())
    about = _About(path.name, len(table), positives, label, words, kept, owner, tuple(missing))
    return "\n".join(_lines(about, guesses)) + "\n"


def _read(path: Path) -> tuple[pd.DataFrame, list[str]]:
    """Return all cells as text, with NaN for what is missing, and the words that stand for that."""
    names, skipped = schema.header_of(path)
    if twice := {name for name in names if names.count(name) > 1}:
        raise DraftError(f"{path.name}: column {min(twice)} stands there twice: keep one of the two")
    table = pd.read_csv(
        path, skiprows=skipped, dtype=object, index_col=False, encoding="utf-8-sig", na_values=[""],
        keep_default_na=False,
    )  # fmt: skip
    if not len(table):
        raise DraftError(f"{path.name}: there is no row below the header")
    strange = {word for _, cells in table.items() for word in _no_numbers(cells) if word.casefold() in MISSING_WORDS}
    words = sorted(word for word in strange if any(_means_nothing(cells, word) for _, cells in table.items()))
    return table.replace(dict.fromkeys(words, pd.NA)), words


def _means_nothing(cells: pd.Series, word: str) -> bool:
    """Tell whether a word stands for nothing: among numbers, or where it is one that nobody uses for something."""
    found = cells == word
    used = {"-", "--", ".", "none", "missing", "unknown"}
    return bool(found.any()) and (word.casefold() not in used or _numbers(cells[~_nothing(cells)]))


def _nothing(cells: pd.Series) -> pd.Series:
    return cells.astype(str).str.casefold().isin(MISSING_WORDS) | cells.isna()


def _no_numbers(cells: pd.Series) -> list[str]:
    """Return the different words of a column that are no numbers."""
    return [
        word for word in map(str, cells.dropna().unique()) if not schema.is_number(word) or word.casefold() == "nan"
    ]


def _numbers(cells: pd.Series) -> bool:
    known = cells.dropna().astype(str)
    return len(known) > 0 and bool(known.map(schema.is_number).all())


def _label_words(cells: pd.Series, positive: str, file: str) -> tuple[str, ...]:
    """Return what a label says for 0 and for 1; nothing where these are the numbers themselves."""
    where = f"{file}, label {cells.name}"
    if empty := int(cells.isna().sum()):
        raise DraftError(f"{where}: {empty:,} cells are empty; leave these rows out")
    if not positive and _numbers(cells) and set(pd.to_numeric(cells)) == {0, 1}:
        return ()
    words = sorted(cells.unique())
    if positive in words and len(words) == 2:
        return next(word for word in words if word != positive), positive
    what = f"{len(words):,} different {'numbers' if _numbers(cells) else 'words'} stand there"
    if positive and len(words) == 2:
        raise DraftError(f"{where}: {what}, and {positive!r} is none of them, with its capitals and blanks")
    if len(words) == 2:
        raise DraftError(f"{where}: {what}; say which of them you look for: --positive WORD")
    raise DraftError(f"{where}: {what}; write 1 for what you look for and 0 for the rest")


def _guess(cells: pd.Series, confirmed: bool) -> Guess:
    """Say what a column is taken for."""
    name, known, gaps = str(cells.name), cells.dropna(), bool(cells.isna().any())
    if not len(known):
        return Guess(name, "", "no row has a value")
    if _numbers(cells) and not confirmed:
        return _guess_number(name, pd.to_numeric(known), gaps)
    words = known.astype(str)
    distinct = words.nunique()
    if words.map(lambda word: bool(_DATE.fullmatch(word))).mean() > 0.9:
        return Guess(name, "", "dates: make a number of it, such as days before the day of the label")
    if not confirmed and (text := int((~words.map(schema.is_number)).sum())) < len(words) / 2:
        why = f"numbers, but for {text:,} rows: empty those cells, or correct them, and draft again"
        return Guess(name, "", why)
    if confirmed or distinct <= MOST_WORDS:
        spellings = words.str.strip().groupby(words.str.strip().str.casefold()).agg(lambda same: same.mode()[0])
        odd = ""
        if len(spellings) < distinct:
            odd = f"; {distinct - len(spellings)} of them by capitals or blanks alone: the most frequent is kept"
        return Guess(name, "category", f"{distinct} different words{odd}", gaps, tuple(sorted(spellings)) * confirmed)
    return Guess(name, "", f"{distinct:,} different words: text, or something that names the row")


def _guess_number(name: str, values: pd.Series, gaps: bool) -> Guess:
    whole, distinct = bool((values % 1 == 0).all()), values.nunique()
    if set(values) <= {0, 1}:
        return Guess(name, "flag", "0 and 1 alone", gaps)
    if whole and distinct == len(values) and len(values) > MOST_WORDS:
        return Guess(name, "", "a whole number that is another one in every row: it names the row")
    if (values < 0).any():
        return Guess(name, "number", "some are negative", gaps)
    if whole:
        return Guess(name, "count", "whole numbers from 0 on; a code (such as a region) would be a category", gaps)
    some = values[values > 0]
    if len(some) and some.quantile(0.95) < _WIDE * some.quantile(0.05):
        return Guess(name, "number", "numbers from 0 on, of much the same size: no logarithm", gaps, low=True)
    return Guess(name, "amount", "numbers from 0 on, a few much larger than most", gaps)


def _lines(about: _About, guesses: Sequence[Guess]) -> Iterator[str]:
    """Yield the lines of the problem file."""
    label = about.label
    yield f"# Drafted from {about.file}, {about.rows:,} rows, {about.positives:,} with {label} = 1: read every line."
    left_out = [guess for guess in guesses if not guess.kind or guess.unconfirmed]
    yield f"name = {_quoted(re.sub('[^a-z0-9]+', '-', Path(about.file).stem.lower()).strip('-') or 'mine')}"
    if about.identifiers:
        yield f"identifiers = [{', '.join(map(_quoted, about.identifiers))}] # whose row it is; they reach no model"
    if left_out:
        yield f"ignored = [{', '.join(_quoted(guess.name) for guess in left_out)}] # they reach no model either"
    for guess in left_out:
        more = f"; its words are cells of your table: confirm them, --categories {guess.name}" * guess.unconfirmed
        yield f"# {guess.name} reaches no model: {guess.why}{more}"
    if about.owner:
        yield f"owner = {_quoted(about.owner)} # whose row it is: one client each"
    if about.missing:
        yield f"missing = [{', '.join(map(_quoted, about.missing))}] # what stands in a cell for nothing"
    yield ""
    yield "[words] # what rows and classes are called in messages, lessons and figures: write your own"
    no, yes = ("no", "yes") if not about.label_words else about.label_words
    plain = {no.casefold(), yes.casefold()} <= {"no", "yes", "n", "y", "false", "true", "0", "1", "2", "-1"}
    classes = {"negative": f"not {label}", "positive": label} if plain else {"negative": no, "positive": yes}
    words = {"subject": "row", "subjects": "rows", **classes, "outcome": label}
    yield from (f"{name} = {_quoted(word)}" for name, word in words.items())
    yield f"about = {_quoted(f'One row is one row of {about.file}.')} # a sentence for the notebooks: say what a row is"
    yield ""
    yield "[transform] # of each kind, before it is standardised: log1p where a few values are very large, else none"
    kinds = {"amount": "log1p", "count": "log1p", "flag": "none", "number": "none"}
    yield from (f"{kind} = {_quoted(transform)}" for kind, transform in kinds.items())
    yield ""
    yield "[limits]"
    yield "largest = 1e20 # no value is larger"
    yield ""
    yield "[floors] # the least rows: to share sums of; of each class to train, validate and test with; of a word"
    yield from (f"{name} = {least}" for name, least in _FLOORS.items())
    yield ""
    yield "[label]"
    yield f"name = {_quoted(label)}"
    yield f"unit = {_quoted(' or '.join(about.label_words or ('0', '1')))}"
    yield f"meaning = {_quoted(f'{about.label_words[1] if about.label_words else 1}: {label}')} # say what it means"
    if about.label_words:
        yield f"categories = [{', '.join(map(_quoted, about.label_words))}] # what stands in the table for 0 and for 1"
    for guess in (guess for guess in guesses if guess not in left_out):
        yield from _column(guess)


def _column(guess: Guess) -> Iterator[str]:
    yield ""
    yield "[[columns]]"
    yield f"name = {_quoted(guess.name)}"
    yield f"kind = {_quoted(guess.kind)} # {guess.why}"
    if guess.words:
        yield f"categories = [{', '.join(map(_quoted, guess.words))}]"
    yield f"unit = {_quoted({'flag': '0 or 1', 'category': 'word'}.get(guess.kind, 'number'))} # what it is measured in"
    yield f"meaning = {_quoted(guess.name)} # say what it means"
    if guess.low:
        yield "low = 0"
    if guess.missing:
        yield "missing = true"
        yield "indicator = true # the model is told where it is missing; false where that says nothing"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
