"""The console without a browser: every figure is the record's, every name is shown and none is run."""

import json
import re
import time

import numpy as np
import pandas as pd
import pytest
from made_records import finished, made_up

from workshop import state, tracking
from workshop.console import Console, html
from workshop.federation import events
from workshop.tracking import recorded, runner

MARKUP = "<img src=x onerror=alert(1)>"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKSHOP_HOME", str(tmp_path))
    return tmp_path


def shown(console, title):
    """Open a tab; return all HTML in it."""
    place = [panel.title for panel in console.panels].index(title)
    console.tabs.selected_index = place
    console.refresh()
    assert console.trouble.value == ""
    return texts(console.panels[place].widget)


def texts(widget):
    inner = "".join(texts(child) for child in getattr(widget, "children", ()))
    return inner + (str(widget.value) if type(widget).__name__ == "HTML" else "")


def two_runs(home):
    up = events.UpdateReceived(1, "a", 10, {"training_seconds": 0.25, "validation_auc": 0.8}, 0.5, 7)
    joined = events.Joined("a", "abcdefabcdef", 10, {"penalty": "l2", "max_iter": 4})
    made_up(
        home, "r1", joined, up, finished(1, score=0.71234567), events.Finished(1), began="2026-01-01T00:00:00+00:00"
    )
    made_up(
        home,
        "r2",
        joined,
        up,
        finished(1, score=0.81234567),
        events.Ended("why not"),
        began="2026-01-02T00:00:00+00:00",
    )


def test_runs_are_listed_filtered_and_compared(home):
    two_runs(home)
    console = Console()
    shown(console, "Runs")
    runs = console.runs
    assert [run for _, run in runs.list.options] == ["r2", "r1"]
    assert "ROC AUC 0.8123" in runs.list.options[0][0]
    runs.filter.value = "finished FedAvg"
    assert [run for _, run in runs.list.options] == ["r1"]
    runs.filter.value = ""
    runs.list.value = ["r1", "r2"]
    text = runs.shown.value
    told = recorded.compare([tracking.read("r1"), tracking.read("r2")])
    for score in told["ROC AUC"]:
        assert f">{score:.4f}</td>" in text
    assert "why not" in text
    assert "penalty l2, max_iter 4" in text


def test_every_figure_of_a_page_is_the_record_s(home):
    two_runs(home)
    console = Console()
    for run in ("r1", "r2"):
        told = tracking.read(run)
        console.live.run = run
        live = console.live
        live.refresh(recorded.runs().loc[[run]])
        for name, form in (("roc_auc", ".4f"), ("log_loss", ".4f"), ("seconds", ".4f")):
            for value in told.table()[name]:
                assert f">{value:{form}}</td>" in live.shown.value
    text = shown(console, "Timings")
    for value in tracking.read("r2").timings().to_numpy().ravel():
        assert f">{value:.3f}</td>" in text
    assert '<td class="n">10</td>' in shown(console, "Clients")


@pytest.mark.promise("F-26", "Whatever a name, a reason or a file holds is shown in the console, and never run")
def test_names_with_markup_in_them_are_shown_and_not_run(home):
    made_up(
        home, "r1", events.Joined(MARKUP), events.TurnedAway(MARKUP), finished(1, left_out={MARKUP: MARKUP}),
        events.Ended(MARKUP),
    )  # fmt: skip
    folder = home / "runs" / "r1"
    about = json.loads((folder / "run.json").read_text())
    about |= {"problem": MARKUP, "participants": [{"name": MARKUP, "account": MARKUP}], "data": {MARKUP: MARKUP}}
    about["terms"]["strategy"] = MARKUP
    (folder / "run.json").write_text(json.dumps(about))
    console = Console()
    console.runs.list.value = ["r1"]
    for title in ("Runs", "Live", "Timings", "Clients"):
        text = shown(console, title)
        assert "<img" not in text, title
    assert "&lt;img src=x" in shown(console, "Live")
    frame = pd.DataFrame({MARKUP: [MARKUP]}, index=pd.Index([MARKUP], name=MARKUP))
    assert "<img" not in html.table(frame, MARKUP) + html.say(MARKUP) + html.link(MARKUP, "", MARKUP)
    assert "<img" not in html.curves({MARKUP: pd.Series({1: 0.5})}, MARKUP)
    spent = pd.DataFrame([[1.0] * 4], index=[MARKUP], columns=list(html.KINDS))
    assert "<img" not in html.bars(spent, MARKUP)


def test_a_console_without_anything_says_what_to_do(home):
    console = Console()
    for title in ("Runs", "Live", "Timings", "Models", "Clients"):
        shown(console, title)
    assert "run 02_connect_accounts first" in shown(console, "New run")
    assert console.new.go.disabled


def connected():
    """As notebook 02 leaves it, so far as a form looks at it."""
    agents = [{"name": f"client-{n}", "account": str(n) * 12, "role": "FL-agent"} for n in (1, 2, 3)]
    state.save(accounts={"agents": agents}, data={"seed": 0})


def test_the_form_complains_before_anything_starts(home):
    connected()
    console = Console()
    assert "3 clients; a round needs 2 usable answers" in shown(console, "New run")
    form = console.new
    form.strategy.value, form.hostile.value = "Krum", 2
    assert form.go.disabled
    assert 'role="alert"' in form.said.value
    form.strategy.value, form.hostile.value = "FedAvg", 0
    assert not form.go.disabled
    form.clients.value = ()
    assert "nobody is invited" in form.said.value
    assert not (home / "runs").exists()


def test_a_second_click_asks_for_the_same_run(home, monkeypatch):
    connected()
    asked = []
    monkeypatch.setattr(runner, "start", lambda request, *, run: asked.append(run) or run)
    console = Console()
    console.new.started = lambda run: None
    first = console.new.run
    console.new.go.click()
    assert asked == [first]
    assert console.new.run != first


def test_what_is_refused_is_told_and_the_form_stays(home, monkeypatch):
    connected()

    def refused(request, *, run):
        raise runner.FederationError("run r9 is going on: wait for its end, or stop it")

    monkeypatch.setattr(runner, "start", refused)
    console = Console()
    shown(console, "New run")
    before = console.new.run
    console.new.go.click()
    assert "run r9 is going on" in console.new.said.value
    assert console.new.run == before
    console.new.refresh(recorded.runs())
    assert "run r9 is going on" in console.new.said.value  # it stays to be read
    console.new.rounds.value += 1
    assert "usable answers" in console.new.said.value


def test_a_run_that_a_notebook_leads_is_not_stopped_from_here(home):
    from workshop.tracking.record import Record

    folder = made_up(home, "r1", events.Joined("a"), events.Waiting("round 1", ("a",)))
    writing = Record(folder)
    console = Console()
    text = shown(console, "Live")
    assert console.live.stop.disabled
    assert "a notebook&#x27;s kernel leads it" in text
    assert "waited for: a" in text
    writing.close()
    assert "cut off" in shown(console, "Live")


@pytest.mark.promise("F-27", "A thousand runs are listed in the console; what has ended is read once")
def test_a_thousand_runs_are_listed_in_a_moment(home, monkeypatch, figure):
    for number in range(1000):
        made_up(
            home,
            f"r{number:04d}",
            finished(1),
            events.Finished(1),
            began=f"2026-01-01T00:{number // 60:02d}:{number % 60:02d}+00:00",
        )
    recorded.runs()
    began = time.perf_counter()
    console = Console()
    assert len(console.runs.list.options) == 1000
    figure(f"{time.perf_counter() - began:.2f} s")
    opened = []
    monkeypatch.setattr(recorded, "_header", opened.append)
    console.refresh()
    assert opened == []  # what has ended is not read again


def test_a_record_that_grows_is_read_again(home):
    folder = made_up(home, "r1", finished(1))
    console = Console()
    assert "1 of 3 rounds" in console.runs.list.options[0][0]
    with (folder / "events.jsonl").open("a") as file:
        file.write(json.dumps({"at": 1.0} | json.loads(events.to_json(finished(2)))) + "\n")
    console.refresh()
    assert "2 of 3 rounds" in console.runs.list.options[0][0]


@pytest.mark.parametrize("names", [1, 2, 6, 9])
def test_names_at_a_drawing_s_end_do_not_lie_over_each_other(names):
    lines = {f"run {number}": pd.Series({1: 0.5, 2: 0.5 + number / 1e4}) for number in range(names)}
    drawn = html.curves(lines, "a title")
    places = sorted(float(y) for y in re.findall(r'<text x="490" y="([\d.]+)">', drawn))
    assert len(places) == names
    assert (np.diff(places) > 11).all()
    assert float(re.search(r'viewBox="0 0 \d+ (\d+)"', drawn)[1]) >= places[-1]


def test_numbers_are_right_and_words_are_left():
    frame = pd.DataFrame({"n": [1234], "x": [0.5], "w": ["a"], "b": [True], "none": [np.nan]})
    text = html.table(frame, "c")
    for cell in ('<td class="n">1,234</td>', '<td class="n">0.5000</td>', "<td>a</td>", "<td>yes</td>"):
        assert cell in text
    assert '<td class="n">none</td>' in text


def test_a_page_that_was_closed_is_not_looked_after_for_ever(home, monkeypatch):
    """Its kernel would be ended by nobody: what it tells the page counts as work."""
    import asyncio

    from workshop.console import app

    console, looks = Console(), []
    monkeypatch.setattr(app, "LOOK", 0.001)
    monkeypatch.setattr(console, "refresh", lambda: looks.append(1))
    assert not console.closed  # in a notebook nothing ever tells of itself
    console.seen.value = "here"
    assert not console.closed
    console.last_seen -= app.UNSEEN + 1
    assert console.closed
    asyncio.run(asyncio.wait_for(console._look(), timeout=5))
    assert looks == []
    console.seen.value = "here again"
    with pytest.raises(TimeoutError):
        asyncio.run(asyncio.wait_for(console._look(), timeout=0.2))
    assert looks


def test_records_that_stay_the_same_are_not_read_again(home):
    folder = made_up(home, "r1", finished(1))
    recorded.runs()
    before = recorded.signature()
    assert recorded.signature() == before
    with (folder / "events.jsonl").open("a") as file:
        file.write("{}\n")
    assert recorded.signature() != before
