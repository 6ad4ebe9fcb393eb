"""Notebook execution in order, as a learner would, and how it went (``make workshop``)."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import papermill
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbconvert import HTMLExporter
from papermill.exceptions import PapermillExecutionError
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from client_code.problem import Problem
from workshop import problems, state
from workshop.errors import WorkshopError
from workshop.files import NOTEBOOKS, REPOSITORY, write_text
from workshop.lessons import kernels, tracks

MODEL = "model"  # folder beside the pages
QUIET_KERNEL = ["--log-level=CRITICAL"]  # nothing about loopback sockets, and no traceback of zmq's after a Ctrl-C
UNREACHABLE = 'Could not connect to the endpoint URL: "http://localhost:'  # botocore's words
# What may be set from outside, as make variables or in the environment, and its type.
OPTIONS: dict[str, Callable] = {
    "PROBLEM": str, "DATA": str, "PARTITION": str, "BALANCE": str, "CLIENTS": int, "ROUNDS": int, "MAX_ITER": int,
    "SEED": int,
}  # fmt: skip


class NotebookFailed(WorkshopError):
    """A notebook's cell raised an error."""


@dataclass(frozen=True)
class Executed:
    """One notebook that ran to its end."""

    name: str
    seconds: float
    cells: int


def options_from(environment: dict[str, str]) -> dict[str, object]:
    """Read the options that are set, each in its type.

    Raises
    ------
    WorkshopError
        If a number is not one or out of range, or a table's path leads nowhere.
    """
    chosen: dict[str, Any] = {}
    for name, kind in OPTIONS.items():
        if text := environment.get(name):
            try:
                chosen[name] = kind(text)
            except ValueError as error:
                raise WorkshopError(f"{name}={text} is not a whole number") from error
    for name, least, most in (
        ("CLIENTS", 1, 999),
        ("ROUNDS", 1, 10_000),
        ("MAX_ITER", 1, 1000),
        ("SEED", 0, 2**32 - 1),
    ):
        if not least <= chosen.get(name, least) <= most:
            raise WorkshopError(f"{name}={chosen[name]} is not between {least:,} and {most:,}")
    described = problems.load(word) if (word := chosen.get("PROBLEM")) else None
    if word and word.endswith(".toml"):
        chosen["PROBLEM"] = str(Path(word).expanduser().resolve())
    fraud = described is None or described.name == problems.FRAUD
    known = ("synthetic", described.published if described else "curated", *(["cms"] if fraud else []))
    if (data := chosen.get("DATA")) and data not in known:
        path = Path(str(data)).expanduser().resolve()
        if not path.exists():
            raise WorkshopError(f"DATA={data} is no file; give a path, {' or '.join(filter(None, known))}")
        chosen["DATA"] = str(path)
    if described and described.owner:
        chosen.setdefault("PARTITION", "given")
    _check_table(chosen, described)
    return chosen


def _check_table(chosen: dict[str, Any], described: Problem | None) -> None:
    """Look at a table of one's own before anything starts; who owns rows is a client, so their number is known.

    Raises
    ------
    WorkshopError
        Tells all that is wrong with it.
    """
    path = Path(str(chosen.get("DATA", "")))
    if not path.is_file():
        return
    from client_code import schema  # pandas and scikit-learn: only who brings a table waits for them
    from data_prep import validation

    described = described or problems.load(problems.FRAUD)
    if wrong := list(validation.findings(path, described)):
        raise WorkshopError("\n  ".join([f"DATA={path.name} does not fit problem {described.name}:", *wrong]))
    if described.owner and chosen["PARTITION"] == "given":
        chosen.setdefault("CLIENTS", schema.read_identifier(path, described, described.owner).nunique())


def track_from(environment: dict[str, str]) -> tuple[str, dict[str, object]]:
    """Read which track is to run, and the options: those that are set, and else what the track asks for.

    Raises
    ------
    WorkshopError
        If there is no such track, it has another problem, or for what :func:`options_from` refuses.
    """
    track = environment.get("TRACK") or "fraud"
    tracks.check(track)
    problem = environment.get("PROBLEM")
    if track != "fraud" and problem not in (None, "", tracks.of(track)):
        raise WorkshopError(f"TRACK={track} has a problem of its own: leave out TRACK, or PROBLEM={problem}")
    own = {"PROBLEM": tracks.of(track)} if track != "fraud" else {}
    return track, tracks.SETTINGS[track] | options_from(environment | own)


def tracks_from(environment: dict[str, str]) -> list[tuple[str, dict[str, object]]]:
    """Read which tracks are to run, each with its options: all that train where nothing is chosen that concerns one.

    Raises
    ------
    WorkshopError
        As :func:`track_from`; and if a track that was asked for needs a program that is not there.
    """
    if any(environment.get(name) for name in ("TRACK", *OPTIONS) if name != "SEED"):
        track, options = track_from(environment)
        if lacking := tracks.missing(track):
            raise WorkshopError(lacking)
        return [(track, options)]
    return [track_from(environment | {"TRACK": track}) for track in tracks.FOLDERS if track not in tracks.ALONE]


def write_page(notebook: Path) -> None:
    """Write an executed notebook as HTML beside it."""
    notebook.with_suffix(".html").write_text(page(nbformat.read(notebook, 4)))


def execute(
    notebook: Path,
    output: Path,
    parameters: dict[str, object],
    on_cell: Callable[[str], None],
    *,
    folder: Path = NOTEBOOKS,
    show_page: Callable[[Path], object] = write_page,
) -> Executed:
    """Run one notebook in a folder, with those of the parameters that it declares; write notebook and page.

    Raises
    ------
    NotebookFailed
        Names the notebook, the cell, its heading and the error; the copy up to there is written all the same.
    """
    declared = papermill.inspect_notebook(notebook)
    source = nbformat.read(notebook, as_version=4)
    titles = headings(source)
    started, under = time.monotonic(), ""  # the heading of the running cell

    def begin(cell: nbformat.NotebookNode, cell_index: int) -> None:
        nonlocal under
        under = titles.get(str(cell.get("id")), under)
        on_cell(under)

    try:
        papermill.execute_notebook(
            notebook,
            output,
            parameters={name: value for name, value in parameters.items() if name in declared},
            cwd=folder,
            progress_bar=False,
            kernel_name="python3",
            execution_timeout=900,
            extra_arguments=QUIET_KERNEL,
            on_cell_start=begin,
        )
    except PapermillExecutionError as error:
        reason = f"{error.ename}: {error.evalue}"
        if UNREACHABLE in reason:
            reason += f"\n  the embedded AWS has ended; its log: {state.home() / 'embedded' / 'server.log'}"
        raise NotebookFailed(_message(notebook, output, f" in cell [{error.exec_count}]", under, reason)) from None
    except (CellTimeoutError, DeadKernelError) as error:
        raise NotebookFailed(_message(notebook, output, "", under, str(error).splitlines()[0])) from None
    else:
        executed = nbformat.read(output, as_version=4)
        if hidden := kernels.undrawn(executed):
            reason = f"the cell that begins with {hidden[0]!r} draws a figure, and no picture came out"
            raise NotebookFailed(_message(notebook, output, "", under, reason))
        if wrong := unsolved(executed):
            raise NotebookFailed(_message(notebook, output, "", "Your turn", f"a solution solves nothing: {wrong[0]}"))
    finally:
        if output.exists():
            show_page(output)
    cells = sum(cell.cell_type == "code" for cell in source.cells)
    return Executed(notebook.stem, round(time.monotonic() - started, 1), cells)


def unsolved(notebook: nbformat.NotebookNode) -> list[str]:
    """Return the verdicts on solutions that are not right."""
    cells = [cell for cell in notebook.cells if tracks.SOLUTION in cell.metadata.get("tags", ())]
    verdicts = [output["data"]["text/plain"] for cell in cells for output in cell.outputs if "data" in output]
    return [verdict for verdict in verdicts if verdict.startswith("not yet")]


def _message(notebook: Path, output: Path, cell: str, under: str, what: str) -> str:
    return f"{notebook.stem} failed{cell}, under “{under}”\n  {what}\n  the copy up to that cell: {output}"


def page(notebook: nbformat.NotebookNode) -> str:
    """Return a notebook as one HTML file, which fetches nothing from anywhere when it is opened."""
    exporter = HTMLExporter(require_js_url="", jquery_url="", mathjax_url="")
    text, _ = exporter.from_notebook_node(_folded(_linked(notebook)))

    def inside(match: re.Match[str]) -> str:
        picture = base64.b64encode((NOTEBOOKS / match[1]).read_bytes()).decode()  # all tracks' are there
        kind = {".svg": "svg+xml", ".png": "png"}[Path(match[1]).suffix]
        return f'src="data:image/{kind};base64,{picture}"'

    # nbconvert's own embedding of pictures unfolds what is folded.
    return re.sub(r'src="(?:\.\./)?(images/\w+\.(?:svg|png))"', inside, text)


def _folded(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Put the source of solutions into words that are unfolded by a click."""
    cells = []
    for cell in notebook.cells:
        if tracks.SOLUTION in cell.metadata.get("tags", ()):
            text = f"<details><summary>Solution</summary>\n\n```python\n{cell.source}\n```\n\n</details>"
            cells.append(nbformat.v4.new_markdown_cell(text))
            cell.metadata["transient"] = {"remove_source": True}  # nbconvert's own mark
        cells.append(cell)
    notebook.cells = cells
    return notebook


def _linked(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Let links to other notebooks lead to their pages, which lie in one folder."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = re.sub(r"\]\((?:\w+/|\.\./)?(\w+)\.ipynb\)", r"](\1.html)", cell.source)
    return notebook


def headings(notebook: nbformat.NotebookNode) -> dict[str, str]:
    """Return, by cell id, the last heading above each cell."""
    title, titles = "", {}
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            lines = [line.lstrip("# ") for line in cell.source.splitlines() if line.startswith("#")]
            title = lines[-1] if lines else title
        titles[cell.get("id")] = title
    return titles


def run_all(output: Path, parameters: dict[str, object], track: str, *, solutions: bool = False) -> dict:
    """Run a track's notebooks from a clean start, write copies, pages, model and summary; return the summary.

    With ``solutions`` the exercises are solved, for an instructor.
    """
    output.mkdir(parents=True, exist_ok=True)
    if before := set_aside(output / MODEL):
        print(f"the model of the run before is kept in {os.path.relpath(before)}")
    olds = [
        *output.glob("*.ipynb"),
        *output.glob("*.html"),
        output.parent / "summary.json",
        state.home() / "state.json",
    ]
    for old in olds:
        old.unlink(missing_ok=True)
    for folder in ("data", "model"):
        shutil.rmtree(state.home() / folder, ignore_errors=True)
    problem = problems.load(str(parameters.get("PROBLEM", tracks.of(track))))
    notebooks = _in_words(tracks.sources(track), problem, output, solutions=solutions)
    if parameters.get("CLIENTS") == 1:  # there is nobody who could go on when the only client is disturbed
        notebooks = [pair for pair in notebooks if pair[0].stem != "05_break_it"]
    started, executed = time.monotonic(), []
    pages: list[Future[None]] = []  # written while the next notebook runs
    with ThreadPoolExecutor(max_workers=1) as writer, _display(len(notebooks)) as show:

        def show_page(path: Path) -> None:
            pages.append(writer.submit(write_page, path))

        for number, (notebook, folder) in enumerate(notebooks, start=1):
            label = f"notebook {number} of {len(notebooks)}  {notebook.stem}"
            show(label, "starting its kernel", number - 1)
            executed.append(
                execute(notebook, output / notebook.name, parameters,
                        lambda doing, label=label, number=number: show(label, doing, number - 1), folder=folder,
                        show_page=show_page)
            )  # fmt: skip
        for written in pages:
            written.result()
        show(f"{len(notebooks)} notebooks", "all done", len(notebooks))
    seconds = time.monotonic() - started
    if track in tracks.ALONE:
        summary = {"seconds": {"total": round(seconds, 1)}, "notebooks": [vars(entry) for entry in executed]}
    else:
        shutil.copytree(state.home() / "model", output / MODEL)  # the next track begins with an empty home
        summary = summarise(executed, seconds, output)
    write_text(output.parent / "summary.json", json.dumps(summary, indent=1))
    return summary


def _in_words(sources: list[Path], problem: Problem, output: Path, *, solutions: bool) -> list[tuple[Path, Path]]:
    """Return notebooks to run, each with its folder.

    Copies are made of those that speak of another problem, in its words, and of all if they are to have solutions.
    """
    found = []
    for source in sources:
        notebook = tracks.notebook_of(source)
        found.append((notebook, notebook.parent))
        if solutions or tracks.problem_of(source) != problem:
            copy = output / notebook.name
            nbformat.write(tracks.convert(source, problem, solutions=solutions), copy)
            found[-1] = copy, notebook.parent
    return found


def set_aside(folder: Path) -> Path | None:
    """Give an earlier run's folder another name, in the place of an older one; return where it is now, or None."""
    kept = folder.with_name(f"{folder.name}-before")
    if not folder.is_dir():
        return None
    shutil.rmtree(kept, ignore_errors=True)
    return folder.rename(kept)


def summarise(executed: list[Executed], seconds: float, output: Path) -> dict:
    """Put together what the notebooks left in the state file: one dictionary for scripts."""
    data, federation, evaluation = state.load("data", "federation", "evaluation")
    clients = [data["clients"][name] | entry for name, entry in federation["clients"].items()]
    return {
        "data": {key: data[key] for key in ("source", "sha256", "rows", "positives")},
        "clients": clients,
        "rounds": federation["rounds"],
        "seed": data["seed"],
        "metrics": evaluation["metrics"],
        "history": federation["history"],
        "seconds": {"total": round(seconds, 1), "federation": federation["seconds"]},
        "model": os.path.relpath(output / MODEL / Path(federation["model"]).name, REPOSITORY),
        "notebooks": [vars(entry) for entry in executed],
    }


def closing_table(summary: dict) -> Table:
    """Lay out the models of a summary: ROC AUC, average precision, and the real rows each was trained on."""
    rows = {client["name"]: client["train_rows"] for client in summary["clients"]}
    metrics = summary["metrics"]
    rounds = summary["rounds"]
    title = f"{summary['data']['source']} rows, seed {summary['seed']}, {rounds} round{'s' if rounds > 1 else ''}"
    table = Table(title=title)
    for column in ("model", "ROC AUC", "average precision", "training rows"):
        table.add_column(column, justify="left" if column == "model" else "right")
    lines = [
        ("global", metrics["global"], sum(rows.values())),
        ("centralised", metrics["centralised"], sum(rows.values())),
    ]
    lines += [(f"{name} alone", scores, rows[name]) for name, scores in metrics["local"].items()]
    lines += [("nobody flagged", metrics["nobody"], 0)]
    for name, scores, n_rows in lines:
        table.add_row(name, f"{scores['roc_auc']:.3f}", f"{scores['average_precision']:.3f}", f"{n_rows:,}")
    return table


def main(output: Path) -> int:
    """Run the workshop; print the closing table and the paths to open; return the exit status."""
    console = Console(width=None if sys.stdout.isatty() else 110)
    try:
        chosen = tracks_from(dict(os.environ))
        for number, (track, parameters) in enumerate(chosen):
            folder = output / track if number else output
            if lacking := tracks.missing(track):
                console.print(f"\n[bold]The track {track} was not run:[/bold] {lacking}", highlight=False)
                continue
            summary = run_all(folder, parameters, track, solutions=bool(os.environ.get("SOLUTIONS")))
            _close(console, summary, folder)
    except WorkshopError as error:
        console.print(f"\n[bold]The workshop stopped.[/bold] {error}", highlight=False, soft_wrap=True)
        return 1
    return 0


def _close(console: Console, summary: dict, output: Path) -> None:
    """Print a track's closing table, and where to look."""
    here = os.path.relpath(output)
    seconds = summary["seconds"]
    if "model" not in summary:
        first, last = (summary["notebooks"][number]["name"] for number in (0, -1))
        console.print(
            f"finished in {seconds['total']:.0f} s\nread:  {here}/{first}.html ... {last}.html", highlight=False
        )
        return
    console.print(closing_table(summary))
    console.print(
        f"finished in {seconds['total']:.0f} s, of which the federation {seconds['federation']:.0f} s\n"
        f"read:  {here}/00_start_here.html ... 99_clean_up.html\n"
        f"model: {summary['model']}\n"
        f"all numbers: {os.path.relpath(output.parent / 'summary.json')}",
        highlight=False,
    )


class _display:
    """Progress for people: a moving line on a terminal, one line per heading in a log."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.started = time.monotonic()
        self.last = ""
        self.bar: Progress | None = None

    def __enter__(self) -> Callable[[str, str, int], None]:
        if sys.stdout.isatty():
            columns = (TimeElapsedColumn(), BarColumn(bar_width=20), TextColumn("{task.description}"))
            self.bar = Progress(*columns)
            self.task = self.bar.add_task("", total=self.total)
            self.bar.start()
        return self.show

    def show(self, label: str, doing: str, done: int) -> None:
        text = f"{label}: {doing}"
        if self.bar:
            self.bar.update(self.task, description=text, completed=done)
        elif text != self.last:
            print(f"{time.monotonic() - self.started:6.1f} s  {text}", flush=True)
        self.last = text

    def __exit__(self, *_) -> None:
        if self.bar:
            self.bar.stop()
