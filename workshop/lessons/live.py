"""Live view of a federation in a notebook: one line that changes, a table and a curve that grow."""

from __future__ import annotations

import html
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import cast

import pandas as pd
from IPython.display import HTML, DisplayHandle, display

from workshop.aws.steps import Placement
from workshop.federation import words
from workshop.federation.events import Event
from workshop.federation.rounds import Round
from workshop.tracking.recorded import Recorded


class LiveRounds:
    """Sink that shows how a federation is going; hand it to ``federation.run`` as one of the ``sinks``."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.view = _show("waiting for the first client")
        self.narrate = words.narrate(self.show)

    def __call__(self, event: Event) -> None:
        """Take an event."""
        self.narrate(event)

    def show(self, message: str, history: Sequence[Round]) -> None:
        """Replace the display by the message, the seconds so far, a curve and one line per finished round."""
        text = f"<p>{time.monotonic() - self.started:.0f} s: {html.escape(message)}</p>"
        if history:
            table = pd.DataFrame([asdict(entry) for entry in history]).set_index("round")
            text += curve([0.5, *table["roc_auc"]])
            text += table.to_html(float_format=lambda value: f"{value:.3f}")
        self.view.update(HTML(text))

    def show_record(self, recorded: Recorded) -> None:
        """Show how a run is going that another process leads; hand it to ``runner.wait``."""
        history = [each for _, each in recorded.history.values()]
        said = [words.STEPS[type(event)](event) for _, event in recorded.entries if type(event) in words.STEPS]
        self.show("; ".join([*said[-1:], *recorded.notes[-3:]]) or "starting", history)


class LiveStacks:
    """A grid of accounts and stacks that a deployment or a clean-up fills in; hand it over as ``progress``."""

    def __init__(self) -> None:
        self.cells: dict[tuple[str, str], str] = {}
        self.lock = threading.Lock()
        self.view = _show("asking what is there")

    def __call__(self, account: str, stack: str, status: str, done: int, of: int) -> None:
        """Write how far one stack of an account is."""
        with self.lock:
            self.cells[stack, account] = _mark(status, done, of)
            table = pd.Series(self.cells).unstack(fill_value="").rename_axis(index="stack", columns="")
            order = dict.fromkeys(name for name, _ in self.cells)
            self.view.update(HTML(table.loc[list(order)].to_html()))

    def deploying(self, place: Placement, status: str, done: int, of: int) -> None:
        """Write how far a placement of the blueprint is; a peering stands in the server's column, by client."""
        self(place.account, "-".join(filter(None, (place.step.template, place.peer))), status, done, of)


def _show(text: str) -> DisplayHandle:
    """Show a text that can be replaced."""
    return cast(DisplayHandle, display(HTML(text), display_id=True))


def _mark(status: str, done: int, of: int) -> str:
    if status.endswith("_COMPLETE") and "ROLLBACK" not in status:
        return "gone" if status.startswith("DELETE") else f"{of} of {of}"
    return f"{done} of {of}" if status.endswith("_IN_PROGRESS") else status.lower().replace("_", " ")


def curve(values: Sequence[float], *, width: int = 300, height: int = 80) -> str:
    """Return a small SVG of ROC AUC by round, from 0.4 at the bottom to 1 at the top.

    Drawn by hand: a matplotlib figure in every round would cost more time than the round itself.
    """
    step = width / max(len(values) - 1, 1)
    points = [(number * step, height * (1 - (value - 0.4) / 0.6)) for number, value in enumerate(values)]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in points)
    return (
        f'<svg role="img" aria-label="ROC AUC by round" width="{width + 130}" height="{height + 10}" '
        f'viewBox="-5 -5 {width + 130} {height + 10}" fill="#0072B2">'
        f'<polyline points="{path}" fill="none" stroke="#0072B2" stroke-width="2"/>{dots}'
        f'<text x="{points[-1][0] + 8:.1f}" y="{points[-1][1] + 4:.1f}" font-size="12">'
        f"ROC AUC {values[-1]:.3f}</text></svg>"
    )
