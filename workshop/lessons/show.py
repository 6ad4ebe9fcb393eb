"""Tables of words: prose stands at the left of its column, where pandas puts everything at the right."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import pandas as pd

LEFT = [("text-align", "left")]


@dataclass(frozen=True, repr=False)
class Prose:
    """A table to look at; what computes with it takes ``frame``."""

    frame: pd.DataFrame

    def __repr__(self) -> str:
        return repr(self.frame)

    def _repr_html_(self) -> str:
        told = self.frame.index.names != [None]  # an index that says what its lines are is a column
        shown = self.frame.reset_index(drop=not told)
        words = [name for name, kind in shown.dtypes.items() if not pd.api.types.is_numeric_dtype(kind)]
        places = [place for place, name in enumerate(shown.columns) if name in words]
        styles = [{"selector": f"th.col{place}, td.col{place}", "props": LEFT} for place in places]
        # Without a name of its own a table has one by chance, and the page would be another one each time.
        styled = shown.style.set_uuid(f"{zlib.crc32(repr(list(shown.columns)).encode()):08x}")
        styled = styled.format(lambda cell: f"{cell:g}" if isinstance(cell, float) else cell, escape="html")
        return styled.set_table_styles(styles).hide(axis="index").to_html()


def prose(frame: pd.DataFrame) -> Prose:
    """Return a table whose words stand at the left; an index without a name is left out."""
    return Prose(frame)
