"""File layouts of CMS and the OIG (``layouts.toml``): which table a header belongs to, and what differs if to none."""

from __future__ import annotations

import csv
import io
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from data_prep.errors import DataError

TABLE = Path(__file__).with_name("layouts.toml")
BILLED = ("part_b", "part_d", "dmepos")  # what a provider's lines are in
YEARLY = (*BILLED, "part_b_provider")


class LayoutError(DataError):
    """A file has a header, or a name, that no layout describes."""


@dataclass(frozen=True)
class Layout:
    """How one release of a file is laid out.

    Attributes
    ----------
    kind : str
        ``part_b``, ``part_b_provider``, ``part_d``, ``dmepos`` or ``leie``.
    columns : tuple of str
        In the order in which they come; case does not matter.
    lacking : frozenset of str
        Those that some releases do not have.
    open : bool
        Whether other columns may stand there.
    reads : mapping
        The recipe's name of a column to the file's.
    copyright : str
        The NPI of a row that is no provider's; empty where there is none.
    """

    kind: str
    name: str
    delimiter: str
    columns: tuple[str, ...]
    reads: Mapping[str, str]
    lacking: frozenset[str] = frozenset()
    open: bool = False
    copyright: str = ""

    def differs(self, header: Sequence[str]) -> tuple[list[str], list[str]]:
        """Return the columns that a header lacks, and those that it has and should not."""
        mine = {name.lower(): name for name in self.columns}
        theirs = {name.lower(): name for name in header}
        missing = [name for key, name in mine.items() if key not in theirs and name not in self.lacking]
        more = [] if self.open else [name for key, name in theirs.items() if key not in mine]
        return missing, more


@dataclass(frozen=True)
class Kind:
    """One of the published files: what it is called, where it is, how its name tells the year."""

    name: str
    title: str
    page: str
    file: str
    names: str
    rows: str
    layouts: tuple[Layout, ...]

    def year(self, name: str) -> int | None:
        """Return the year of the claims that a file's name tells."""
        found = re.search(self.names, name)
        told = [value for value in found.groupdict().values() if value] if found else []
        return int(told[0]) if told and len(told[0]) == 4 else 2000 + int(told[0]) if told else None


@cache
def kinds() -> Mapping[str, Kind]:
    """Return what is published, by name.

    >>> kinds()["part_b"].year("MUP_PHY_R25_P05_V20_D23_Prov_Svc.csv")
    2023
    >>> kinds()["part_b"].year("PHY_R26_P05_V10_D24_Prov_Svc.csv")
    2024
    >>> kinds()["part_d"].year("PartD_Prescriber_PUF_NPI_Drug_13.txt")
    2013
    """
    told = tomllib.loads(TABLE.read_text())
    return {name: Kind(name, layouts=_layouts(name, rest.pop("layouts")), **rest) for name, rest in told.items()}


def _layouts(kind: str, entries: Sequence[dict]) -> tuple[Layout, ...]:
    made = []
    for entry in entries:
        columns, lacking = entry.pop("columns").split(), frozenset(entry.pop("lacking", "").split())
        made.append(Layout(kind, columns=tuple(columns), lacking=lacking, **entry))
    return tuple(made)


def header_of(line: str) -> tuple[str, list[str]]:
    """Return the delimiter of a first line, tab or comma, and the names in it."""
    delimiter = "\t" if line.count("\t") > line.count(",") else ","
    return delimiter, [
        name.strip() for name in next(csv.reader(io.StringIO(line.lstrip("\ufeff")), delimiter=delimiter))
    ]


def recognise(line: str, *, file: str) -> tuple[Layout, list[str]]:
    """Return the layout that a first line belongs to, and its columns as they stand there.

    Raises
    ------
    LayoutError
        If it belongs to none; says which layout is the nearest, and what differs.
    """
    delimiter, header = header_of(line)
    if len({name.lower() for name in header}) != len(header):
        raise LayoutError(f"{file}: a column stands there twice: {', '.join(header)}")
    known = [layout for kind in kinds().values() for layout in kind.layouts if layout.delimiter == delimiter]
    fits = [layout for layout in known if layout.differs(header) == ([], [])]
    if fits:  # an open layout is the less telling one
        return min(fits, key=lambda layout: layout.open), header
    nearest = min(known, key=lambda layout: sum(map(len, layout.differs(header))))
    missing, more = nearest.differs(header)
    raise LayoutError(
        f"{file}: no known layout has this header. The nearest is {kinds()[nearest.kind].title}, {nearest.name}"
        + (f"; missing: {', '.join(missing[:8])}{' ...' * (len(missing) > 8)}" if missing else "")
        + (f"; unknown: {', '.join(more[:8])}{' ...' * (len(more) > 8)}" if more else "")
        + f". A new release is a new entry in {TABLE.name}"
    )
