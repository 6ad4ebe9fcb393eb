"""The console: six tabs over records and runner, made anew from the files; a page that is reloaded loses nothing."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import Callable
from typing import Any

import ipywidgets as widgets
from IPython.display import display

from workshop.console import html
from workshop.console.panels import Clients, Live, Models, NewRun, Panel, Runs, Timings
from workshop.errors import WorkshopError
from workshop.tracking import recorded

HEAD = '<div class="fed" role="heading" aria-level="1">Federation console</div>'
LOOK = 0.25  # seconds between two looks at the records
BEAT = 8  # looks between two signs of life, and between two looks at what is no record
UNSEEN = 300.0  # seconds after which a page that has told of itself is taken for closed; one in the background is slow


class Console:
    """What an operator sees; show it in a notebook by ``Console().show()``, or as a page by ``make console``.

    Attributes
    ----------
    widget : Widget
        All of it.
    """

    def __init__(self) -> None:
        self.live = Live()
        self.runs, self.new = Runs(), NewRun(self._started, self._later)
        self.panels: list[Panel] = [self.runs, self.new, self.live, Timings(), Models(), Clients()]
        self.tabs = widgets.Tab([each.widget for each in self.panels], titles=[each.title for each in self.panels])
        self.trouble, self.beat = widgets.HTML(), widgets.HTML()
        # The page writes into it while it is open (``page.py``'s template); a notebook does not.
        self.seen, self.last_seen = widgets.Text(layout=widgets.Layout(display="none")), 0.0
        self.seen.add_class("fed-seen")
        self.seen.observe(self._see, "value")
        self.widget = widgets.VBox([widgets.HTML(f"{html.STYLE}{HEAD}"), self.trouble, self.tabs, self.beat, self.seen])
        self.tabs.observe(lambda _: self.refresh(), "selected_index")
        self.refresh()

    def refresh(self) -> None:
        """Show what the records say now, in the tab that is open; what cannot be read is said above it."""
        try:
            self.panels[self.tabs.selected_index or 0].refresh(recorded.runs())
            self.trouble.value = ""
        except (WorkshopError, OSError) as error:
            self.trouble.value = html.block(html.say(str(error), kind="bad"))

    def show(self) -> None:
        """Display it, and look at the records while the kernel lives."""
        display(self.widget)
        self._looking = asyncio.get_running_loop().create_task(self._look())

    @property
    def closed(self) -> bool:
        """Whether the page that showed this has been closed: a kernel that says nothing any more is ended by Voila."""
        return self.last_seen > 0 and time.monotonic() - self.last_seen > UNSEEN

    def _see(self, _: Any) -> None:
        self.last_seen = time.monotonic()

    async def _look(self) -> None:
        before: Any = None
        for look in itertools.count():
            if self.closed:
                return
            with contextlib.suppress(Exception):  # the next look may succeed; what it is about is told by refresh
                now = recorded.signature()
                if now != before or look % BEAT == 0:
                    self.refresh()
                before = now
            if look % BEAT == 0:  # a page that does not see this change says that it may be old
                self.beat.value = f'<span data-beat="{look}"></span>'
            await asyncio.sleep(LOOK)

    def _started(self, run: str) -> None:
        self.live.run = run
        self.tabs.selected_index = self.panels.index(self.live)
        self.refresh()

    def _later(self, work: Callable[[], Any], show: Callable[[Any], None]) -> None:
        """Do what takes seconds beside the page; then show its answer, or its error."""

        async def wait() -> None:
            try:
                answer: Any = await asyncio.to_thread(work)
            except WorkshopError as error:
                answer = error
            show(answer)

        self._working = asyncio.get_running_loop().create_task(wait())
