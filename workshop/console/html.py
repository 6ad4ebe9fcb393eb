"""HTML of the console: tables and drawings as text; whatever a name holds is shown, and never run."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

# Dark to light, so that they differ in grey too; the third is a pattern, for whoever sees no difference.
KINDS = {"training": "#0072B2", "transport": "#56B4E9", "waiting": "#DDDDDD", "aggregation": "url(#stripes)"}
DASHES = ("", "7 3", "2 3", "9 3 2 3", "4 4", "1 3")
COLOURS = ("#0072B2", "#B34700", "#000000", "#7A5C00", "#5B5B5B", "#00664B")
STYLE = """<style>
.jupyter-widgets.widget-tab > .widget-tab-contents { overflow: visible; }
@media (max-width: 520px) { .lm-TabBar .lm-TabBar-tab { min-width: 0; padding: 0 4px; } }
.lm-TabBar .lm-TabBar-tabLabel, .jupyter-widgets label.widget-label { color: #222; }
.fed table { border-collapse: collapse; font-size: 14px; }
.fed caption { text-align: left; font-weight: bold; padding: 6px 0; }
.fed th, .fed td { text-align: left; padding: 3px 12px 3px 0; border-bottom: 1px solid #DDD; vertical-align: top; }
.fed th, .fed td, .fed caption { color: #222; }
.fed td.n { text-align: right; font-variant-numeric: tabular-nums; }
.fed[role=heading] { font-size: 20px; font-weight: bold; }
.fed { overflow-x: auto; max-width: 100%; color: #222; line-height: 1.45; font-size: 14px; }
.fed svg { max-width: 100%; height: auto; }
.fed .bad { border-left: 5px solid #B34700; padding-left: 8px; }
.fed .good { border-left: 5px solid #0072B2; padding-left: 8px; }
.fed a { color: #005A8C; text-decoration: underline; }
</style>"""


def block(*parts: str) -> str:
    """Put parts together, in the console's style."""
    return f'<div class="fed">{"".join(parts)}</div>'


def say(text: str, *, kind: str = "good") -> str:
    """Return a line of text that a screen reader tells when it changes; ``bad`` for what has gone wrong."""
    role = "alert" if kind == "bad" else "status"
    return f'<p class="{kind}" role="{role}">{html.escape(text)}</p>' if text else f'<p role="{role}"></p>'


def table(frame: pd.DataFrame, caption: str, *, digits: int = 4) -> str:
    """Return a table with a caption, its index as the first column.

    Parameters
    ----------
    digits : int
        Of numbers that are not whole.
    """
    columns = [str(frame.index.name or ""), *map(str, frame.columns)]
    head = "".join(f'<th scope="col">{html.escape(name)}</th>' if name else "<td></td>" for name in columns)
    rows = []
    for name, *cells in frame.itertuples(name=None):
        first = f'<th scope="row">{html.escape(str(name))}</th>'
        rows.append(f"<tr>{first}{''.join(_cell(cell, digits) for cell in cells)}</tr>")
    empty = "" if rows else f'<tr><td colspan="{len(columns)}">nothing yet</td></tr>'
    return (
        f"<table><caption>{html.escape(caption)}</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{''.join(rows)}{empty}</tbody></table>"
    )


def _cell(value: Any, digits: int) -> str:
    if isinstance(value, bool | np.bool_):
        return f"<td>{'yes' if value else 'no'}</td>"
    if isinstance(value, int | np.integer):
        return f'<td class="n">{value:,}</td>'
    if isinstance(value, float | np.floating):
        return f'<td class="n">{"none" if np.isnan(value) else f"{value:.{digits}f}"}</td>'
    return f"<td>{html.escape(str(value))}</td>"


def bars(spent: pd.DataFrame, title: str) -> str:
    """Draw what every client's seconds were spent on (``Recorded.timings``), a bar each, with its numbers below it."""
    if spent.empty:
        return ""
    most, wide, left = float(spent.sum(axis=1).max()) or 1.0, 460.0, 130
    parts, top = [], 40
    for name, line in spent.iterrows():
        parts.append(f'<text x="{left - 8}" y="{top + 15}" text-anchor="end">{html.escape(str(name))}</text>')
        x = float(left)
        for kind, seconds in line.items():
            width = wide * float(seconds) / most
            parts.append(
                f'<rect x="{x:.1f}" y="{top}" width="{width:.1f}" height="20" fill="{KINDS[str(kind)]}" stroke="#333" '
                'stroke-width="0.6"/>'
            )
            x += width
        parts.append(f'<text x="{x + 6:.1f}" y="{top + 15}">{line.sum():.2f} s</text>')
        top += 28
    for number, (kind, colour) in enumerate(KINDS.items()):
        x = left + number * 112
        parts.append(f'<rect x="{x}" y="8" width="14" height="14" fill="{colour}" stroke="#333" stroke-width="0.6"/>')
        parts.append(f'<text x="{x + 20}" y="20">{kind}</text>')
    stripes = (
        '<defs><pattern id="stripes" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
        '<rect width="6" height="6" fill="#FFF"/><rect width="3" height="6" fill="#B34700"/></pattern></defs>'
    )
    return _svg(left + wide + 80, top + 6, title, stripes + "".join(parts))


def curves(lines: Mapping[str, pd.Series], title: str) -> str:
    """Draw a figure by round, a line per name, each with its own dashes, and its last value at the end."""
    points = {name: values.dropna() for name, values in lines.items()}
    points = {name: values for name, values in points.items() if len(values)}
    if not points:
        return ""
    everything = np.concatenate([values.to_numpy(dtype=float) for values in points.values()])
    low, high = float(everything.min()), float(everything.max())
    low, high = (low, high) if high - low > 1e-9 else (low - 0.01, high + 0.01)
    last = max(int(values.index.max()) for values in points.values())
    left, wide, tall = 60, 420, 150

    def place(number: int, value: float) -> tuple[float, float]:
        return left + wide * (number - 1) / max(last - 1, 1), 30 + tall * (high - value) / (high - low)

    parts = [f'<text x="{left}" y="16" font-weight="bold">{html.escape(title)}</text>']
    for value in (low, high):
        y = place(1, value)[1]
        parts.append(f'<line x1="{left}" x2="{left + wide}" y1="{y:.1f}" y2="{y:.1f}" stroke="#CCC"/>')
        parts.append(f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{value:.3f}</text>')
    parts.append(f'<text x="{left}" y="{tall + 52}">round 1</text>')
    parts.append(f'<text x="{left + wide}" y="{tall + 52}" text-anchor="end">{last}</text>')
    ends: list[float] = []
    for (name, values), colour, dash in zip(points.items(), COLOURS * 9, DASHES * 9, strict=False):
        at = [place(int(number), float(value)) for number, value in values.items()]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in at)
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}"/>'
            f'<circle cx="{at[-1][0]:.1f}" cy="{at[-1][1]:.1f}" r="3.5" fill="{colour}"/>'
        )
        y = at[-1][1] + 4
        while any(abs(y - other) < 14 for other in ends):  # names do not lie over each other
            y += 14
        ends.append(y)
        parts.append(
            f'<text x="{left + wide + 10}" y="{y:.1f}">{html.escape(name)}: {float(values.iloc[-1]):.3f}</text>'
        )
    return _svg(left + wide + 250, max(tall + 62, max(ends) + 10), title, "".join(parts))


def _svg(width: float, height: float, title: str, content: str) -> str:
    return (
        f'<svg role="img" aria-label="{html.escape(title, quote=True)}" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}" font-family="Helvetica, Arial, sans-serif" font-size="12" '
        f'fill="#222">{content}</svg>'
    )


def link(name: str, content: str, text: str) -> str:
    """Return a link by which a browser saves a file; ``content`` is base64."""
    return (
        f'<p><a download="{html.escape(name, quote=True)}" href="data:application/zip;base64,{content}">'
        f"{html.escape(text)}</a></p>"
    )


def names(items: Sequence[str]) -> str:
    """Return names for a sentence."""
    return ", ".join(items) or "nobody"
