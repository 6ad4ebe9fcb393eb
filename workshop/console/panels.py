"""Panels of the console, a class for each tab: what is shown comes from records, what is clicked goes to the runner."""

from __future__ import annotations

import base64
import io
import secrets
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import ipywidgets as widgets
import pandas as pd

from client_code import schema
from workshop import problems, state
from workshop.console import html
from workshop.errors import WorkshopError
from workshop.federation import events
from workshop.federation.strategy import NAMES
from workshop.tracking import recorded, registry, runner
from workshop.tracking.record import folder

ROUNDS = {"roc_auc": "ROC AUC", "log_loss": "log-loss", "seconds": "seconds", "clients": "clients"}
BY_ROUND = {
    "seconds": "seconds",
    "aggregation_seconds": "aggregation",
    "bytes_up": "bytes up",
    "bytes_down": "bytes down",
}
SHOWN = 50  # rounds in the table of a run that goes on
LAST = 50  # runs from which clients are put together
MOST = 6  # runs that are compared at once
WIDE = widgets.Layout(width="auto", max_width="1000px")
FIELD = widgets.Layout(width="auto", max_width="420px")
WORDS = {"description_width": "150px"}


def column(*children: widgets.Widget) -> widgets.VBox:
    """Return widgets below each other, each as wide as it needs to be."""
    return widgets.VBox(children, layout=widgets.Layout(align_items="stretch", grid_gap="4px"))


def row(*children: widgets.Widget) -> widgets.HBox:
    """Return widgets beside each other, in as many lines as it takes."""
    return widgets.HBox(children, layout=widgets.Layout(flex_flow="row wrap", grid_gap="4px"))


def offer(menu: widgets.Dropdown, options: tuple) -> None:
    """Give a menu its options; what was chosen stays chosen, else it is the first."""
    if options == menu.options:
        return
    before, values = menu.value, [value for _, value in options]
    menu.options = options
    menu.value = before if before in values else values[0] if values else None


class Panel(Protocol):
    """One tab."""

    title: str
    widget: widgets.Widget

    def refresh(self, runs: pd.DataFrame) -> None:
        """Show what the records say now; ``runs`` is their list."""


def button(text: str, does: Callable[[], object], *, says: str, style: str = "") -> widgets.Button:
    """Return a button; what goes wrong in its errand is the errand's to tell."""
    made = widgets.Button(description=text, tooltip=says, button_style=style, layout=widgets.Layout(width="auto"))
    made.on_click(lambda _: does())
    return made


class Runs:
    """Every run that was recorded here; those that are chosen, side by side."""

    title = "Runs"

    def __init__(self) -> None:
        self.filter = widgets.Text(
            description="Filter", placeholder="a word, such as finished", style=WORDS, layout=FIELD
        )
        self.list = widgets.SelectMultiple(description="Runs", rows=8, style=WORDS, layout=WIDE)
        self.shown = widgets.HTML()
        self.table = pd.DataFrame()
        self.filter.observe(lambda _: self._fill(), "value")
        self.list.observe(lambda _: self._show(), "value")
        self.widget = column(self.filter, self.list, self.shown)

    def refresh(self, runs: pd.DataFrame) -> None:
        """Show the list; what is chosen stays chosen."""
        if not runs.equals(self.table):
            self.table = runs
            self._fill()
            self._show()

    def _fill(self) -> None:
        wanted = self.filter.value.lower().split()
        lines = [(_line(str(run), line), run) for run, line in self.table.iterrows()]
        options = tuple((text, run) for text, run in lines if all(word in text.lower() for word in wanted))
        if options != self.list.options:
            kept = [run for _, run in options if run in self.list.value]
            self.list.options = options
            self.list.value = kept
        self.list.description = f"Runs ({len(options)})"

    def _show(self) -> None:
        chosen = list(self.list.value)[:MOST]
        if not chosen:
            self.shown.value = html.block(html.say("Choose a run to see it, or several to compare them."))
            return
        told = [recorded.read(run) for run in chosen]
        title = {each.run: f"{each.title} ({each.run})" for each in told}
        parts = [html.table(recorded.compare(told).rename(index=title), "Side by side")] if len(told) > 1 else []
        for score, name in (
            ("roc_auc", "ROC AUC, on the server's rows"),
            ("log_loss", "Log-loss, on the server's rows"),
        ):
            parts.append(html.curves({title[each.run]: each.table()[score] for each in told}, name))
        for each in told:
            parts.append(html.say(f"{title[each.run]}: {each.status} {each.reason}", kind=_kind(each)))
            parts += [html.say(note) for note in each.notes]
            parts.append(html.table(each.who(), f"Clients of {each.run}"))
        self.shown.value = html.block(*parts)


def _line(run: str, line: pd.Series) -> str:
    score = "" if pd.isna(line["roc_auc"]) else f"  ROC AUC {line['roc_auc']:.4f}"
    done = f"{line['rounds']} of {line['of']} rounds, {line['clients']} clients"
    return f"{line['began']}  {line['problem']}  {run}  {line['status']}{score}  {line['strategy']}, {done}"


def _kind(told: recorded.Recorded) -> str:
    return "bad" if told.status in (recorded.ENDED, recorded.CUT_OFF) else "good"


class NewRun:
    """A form for a run: who, and on which terms; what cannot be kept is said before anything starts."""

    title = "New run"

    def __init__(
        self, started: Callable[[str], None], later: Callable[[Callable[[], Any], Callable[[Any], None]], None]
    ) -> None:
        self.started, self.later = started, later
        self.refused = False  # the last start was
        self.run = secrets.token_hex(4)  # drawn now: a second click on Start asks for the same run
        self.clients = widgets.SelectMultiple(description="Clients", rows=5, style=WORDS, layout=FIELD)
        number = {"style": WORDS, "layout": FIELD}
        self.rounds = widgets.BoundedIntText(3, min=1, max=1000, description="Rounds, 1 to 1000", **number)
        self.max_iter = widgets.BoundedIntText(10, min=1, max=10_000, description="Iterations a round", **number)
        self.penalty = widgets.Dropdown(options=runner.PENALTIES, description="Penalty", **number)
        self.strategy = widgets.Dropdown(options=NAMES, value="FedAvg", description="Strategy", **number)
        self.hostile = widgets.BoundedIntText(0, min=0, max=100, description="Hostile clients", **number)
        self.quorum = widgets.BoundedIntText(0, min=0, max=1000, description="Quorum; 0: over half", **number)
        self.whole = widgets.BoundedFloatText(3600, min=10, max=86_400, description="Deadline, seconds", **number)
        self.fields = [self.rounds, self.max_iter, self.penalty, self.strategy, self.hostile, self.quorum, self.whole]
        for each in (self.clients, *self.fields):
            each.observe(lambda _: self.complain(), "value")
        self.call = button("Roll call", self._call, says="ask who is there, before anything starts")
        self.go = button("Start the run", self.start, says="start a run on these terms", style="primary")
        self.said, self.present = widgets.HTML(), widgets.HTML()
        self.widget = column(self.clients, row(self.call), self.present, *self.fields, self.said, row(self.go))
        self.complain()

    def request(self) -> runner.Request:
        """Return what the form asks for."""
        return runner.Request(
            tuple(self.clients.value), rounds=self.rounds.value, max_iter=self.max_iter.value,
            penalty=self.penalty.value, strategy=self.strategy.value, hostile=self.hostile.value,
            quorum=self.quorum.value, whole=self.whole.value,
        )  # fmt: skip

    def refresh(self, runs: pd.DataFrame) -> None:
        """Show who is connected; what was refused stays until something is changed."""
        known = tuple(_or_nothing(runner.invited))
        if known != self.clients.options:
            self.clients.options = known
            self.clients.value = known
        if not self.refused:
            self.complain()

    def complain(self) -> None:
        """Say what cannot be kept; while there is something, there is no start."""
        self.refused = False
        if not self.clients.options:
            self._tell("no client is connected yet: run 02_connect_accounts first")
            return
        try:
            terms = self.request().checked()
        except WorkshopError as error:
            self._tell(str(error))
            return
        self.go.disabled = False
        self.said.value = html.block(
            html.say(f"{len(self.clients.value)} clients; a round needs {terms.quorum} usable answers")
        )

    def start(self) -> None:
        """Start the run that this form stands for, once."""
        try:
            run = runner.start(self.request(), run=self.run)
        except WorkshopError as error:
            self.refused = True
            self._tell(str(error), final=False)
            return
        self.run = secrets.token_hex(4)
        self.started(run)

    def _tell(self, text: str, *, final: bool = True) -> None:
        self.go.disabled = final
        self.said.value = html.block(html.say(text, kind="bad"))

    def _call(self) -> None:
        self.call.disabled = True
        self.present.value = html.block(html.say("asking every client"))

        def show(answer: Any) -> None:
            self.call.disabled = False
            bad = isinstance(answer, Exception)
            text = html.say(str(answer), kind="bad") if bad else html.table(answer, "Who is there")
            self.present.value = html.block(text)

        self.later(runner.roll_call, show)


def _or_nothing(ask: Callable[[], list[str]]) -> list[str]:
    try:
        return ask()
    except WorkshopError:
        return []


class Live:
    """The run that is going on, or the last one: its rounds, who is in it, who is late; and its stop."""

    title = "Live"

    def __init__(self) -> None:
        self.run = ""
        self.bar = widgets.IntProgress(0, min=0, max=1, description="Rounds", style=WORDS, layout=FIELD)
        self.shown, self.said = widgets.HTML(), widgets.HTML()
        self.stop = button("Stop this run", self._stop, says="end the run that is shown")
        self.widget = column(self.said, self.bar, row(self.stop), self.shown)

    def refresh(self, runs: pd.DataFrame) -> None:
        """Show the run that was started last, as far as its record goes."""
        going = list(runs.index[runs["status"] == recorded.RUNNING])
        last = going[:1] or list(runs.index[:1])
        if self.run not in going and last and self.run not in runner.running():
            self.run = last[0]
        if not self.run or self.run not in runs.index:
            self.stop.disabled = True
            self.said.value = html.block(html.say(f"run {self.run} is starting" if self.run else "no run yet"))
            return
        told = recorded.read(self.run)
        running = told.status == recorded.RUNNING
        self.bar.max, self.bar.value = told.about["terms"]["rounds"], len(told.history)
        ours = (folder() / self.run / runner.REQUEST).exists()
        self.stop.disabled = not (running and ours) or (folder() / self.run / runner.STOP).exists()
        led = "" if ours or not running else "; a notebook's kernel leads it: interrupt that to stop it"
        text = f"run {self.run}, {told.title}: {told.status} {told.reason}{led}".strip()
        self.said.value = html.block(html.say(text, kind=_kind(told)))
        table = told.table()[list(ROUNDS)].rename(columns=ROUNDS)
        self.shown.value = html.block(
            _present(told, running), *(html.say(note, kind="bad") for note in told.notes),
            html.curves({"server's rows": table["ROC AUC"]}, "ROC AUC by round"),
            html.table(table.iloc[: -SHOWN - 1 : -1], f"Rounds, the last one first, at most {SHOWN}"),
        )  # fmt: skip

    def _stop(self) -> None:
        try:
            runner.stop(self.run)
        except WorkshopError as error:
            self.said.value = html.block(html.say(str(error), kind="bad"))
        self.stop.disabled = True


def _present(told: recorded.Recorded, running: bool) -> str:
    here = sorted({entry.event.client for entry in told.entries if isinstance(entry.event, events.Joined)})
    absent = [name for name in told.clients if name not in here]
    last = told.entries[-1].event if told.entries else None
    late = list(last.missing) if running and isinstance(last, events.Waiting | events.Gathering) else []
    text = f"here: {html.names(here)}; not here yet: {html.names(absent)}; waited for: {html.names(late)}"
    out = [f"not in the last round: {name}: {why}" for name, why in told.left_out.items()]
    return html.say(text) + "".join(html.say(line, kind="bad") for line in out)


class Timings:
    """Where the seconds of a run went, client by client."""

    title = "Timings"

    def __init__(self) -> None:
        self.choose = widgets.Dropdown(description="Run", style=WORDS, layout=FIELD)
        self.shown = widgets.HTML()
        self.choose.observe(lambda _: self._show(), "value")
        self.widget = column(self.choose, self.shown)

    def refresh(self, runs: pd.DataFrame) -> None:
        """Offer the runs; the newest unless another was chosen."""
        options = tuple((f"{run}, {line['began']}", run) for run, line in runs.head(200).iterrows())
        offer(self.choose, options)
        self._show()

    def _show(self) -> None:
        if not self.choose.value:
            self.shown.value = html.block(html.say("no run yet"))
            return
        told = recorded.read(self.choose.value)
        spent = told.timings()
        told_by = html.say("training is the client's word; waiting is for the slowest of the others")
        self.shown.value = html.block(
            html.bars(spent, f"What every client's seconds were spent on, run {told.run}"), told_by,
            html.table(spent, "Seconds, all rounds together", digits=3),
            html.table(told.table()[list(BY_ROUND)].rename(columns=BY_ROUND), "By round", digits=3),
        )  # fmt: skip


class Models:
    """Versions of the model: which is in use and why, what challenges it, a copy to take away."""

    title = "Models"

    def __init__(self) -> None:
        self.insisted, self.complaint = 0, ""
        self.choose = widgets.Dropdown(description="Version", style=WORDS, layout=FIELD)
        self.shown, self.said = widgets.HTML(), widgets.HTML()
        self.try_it = button("Compare with the champion", self._duel, says="score both on the same test rows")
        self.promote = button("Take into use", self._promote, says="make this version the champion", style="primary")
        self.take = button("Download", self._download, says="a copy without pickle, with its manifest")
        self.widget = column(self.choose, row(self.try_it, self.promote, self.take), self.said, self.shown)

    def refresh(self, runs: pd.DataFrame) -> None:
        """Show all versions of the problem at hand."""
        known = problems.load().name
        names = {number: alias for alias, number in registry.aliases(known).items()}
        options = tuple(
            (f"{each.number} {names.get(each.number, '')}".strip() + f", run {each.run}", each.number)
            for each in reversed(registry.versions(known))
        )
        offer(self.choose, options)
        for each in (self.try_it, self.promote, self.take):
            each.disabled = not options
        history = registry.promotions(known).iloc[::-1].set_index("at")
        self.shown.value = html.block(
            html.table(registry.table(known), f"Versions of {known}"), html.table(history, "Why they are called so")
        )

    def _version(self) -> registry.Version:
        return registry.find(problems.load().name, int(self.choose.value))

    def _duel(self) -> registry.Duel | None:
        try:
            problem, (data,) = problems.load(), state.load("data")
            test = schema.read_table(state.home() / "data" / "server" / "test.csv", problem)
            duel = registry.duel(self._version(), test, problem, seed=data["seed"])
        except (WorkshopError, schema.TableError) as error:
            self.complaint = str(error)
            self.said.value = html.block(html.say(self.complaint, kind="bad"))
            return None
        self.said.value = html.block(html.say(str(duel), kind="good" if duel.better else "bad"))
        return duel

    def _promote(self) -> None:
        """Promote what is better; what is not, when it is asked for a second time."""
        version = self._version()
        if self.insisted == version.number:
            self._done(version, "by hand, though it was not better")
            return
        duel = self._duel()
        if duel is not None and duel.better:
            self._done(version, str(duel))
            return
        self.insisted = version.number
        why = f"{duel}." if duel else f"{self.complaint}."
        self.said.value = html.block(html.say(f"{why} Press once more to take it into use all the same", kind="bad"))

    def _done(self, version: registry.Version, because: str) -> None:
        registry.promote(version, because=because)
        self.insisted = 0
        self.refresh(pd.DataFrame())
        self.said.value = html.block(html.say(f"{version} is the champion"))

    def _download(self) -> None:
        version = self._version()
        away = Path(tempfile.mkdtemp())
        try:
            packed = io.BytesIO()
            with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
                for path in sorted(registry.download(version, away).iterdir()):
                    archive.write(path, path.name)
            name = f"{version.problem}-{version.number}.zip"
            content = base64.b64encode(packed.getvalue()).decode()
            self.said.value = html.block(
                html.link(name, content, f"Save {name}: the model without pickle, its manifest")
            )
        except WorkshopError as error:
            self.said.value = html.block(html.say(str(error), kind="bad"))
        finally:
            shutil.rmtree(away, ignore_errors=True)


class Clients:
    """Who takes part: account, code, rows, when they were last seen, and how often they kept to the terms."""

    title = "Clients"

    def __init__(self) -> None:
        self.widget = self.shown = widgets.HTML()
        self.table = pd.DataFrame()

    def refresh(self, runs: pd.DataFrame) -> None:
        """Put together what the last runs say of every client."""
        if runs.equals(self.table) and self.shown.value:
            return
        self.table = runs
        lines: dict[str, dict[str, Any]] = {}
        for run in runs.index[:LAST][::-1]:
            told = recorded.read(run)
            for name, line in told.who().iterrows():
                known = lines.setdefault(
                    str(name), {"account": "", "code": "", "rows": 0, "last seen": "never", "rounds": 0, "of": 0}
                )
                known["account"], known["of"] = line["account"], known["of"] + len(told.history)
                known["rounds"] += line["rounds"]
                if line["code"]:
                    known |= {"code": line["code"], "rows": line["rows"], "last seen": runs.loc[run, "began"]}
        table = pd.DataFrame.from_dict(
            lines, orient="index", columns=["account", "code", "rows", "last seen", "rounds", "of"]
        )
        table = table.rename(columns={"rounds": "in so many rounds", "of": "of"}).rename_axis("client")
        self.shown.value = html.block(
            html.table(table.sort_index(), f"Clients of the last {min(len(runs), LAST)} runs")
        )
