"""The console's page in a real browser: runs that are started, watched and stopped, whatever happens to the page."""

import contextlib
import shutil
import time

import psutil
import pytest
from made_records import finished, made_up
from waiting import wait_until

from workshop import tracking
from workshop.aws import accounts
from workshop.console import page as pages
from workshop.federation import events
from workshop.lessons import rehearsal
from workshop.tracking import record, registry, runner

BROWSER = shutil.which("chromium") or shutil.which("google-chrome") or ""
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not BROWSER, reason="no Chromium is installed"),
]
QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
MARKUP = "<img src=x onerror=alert(1)>"
SOON = 30_000  # milliseconds


@pytest.fixture(scope="module")
def stage(own_accounts):
    own_accounts(3)
    return rehearsal.connect_accounts(n_clients=3, seed=0)


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=BROWSER, args=QUIET)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def address(stage):
    with pages.server() as served:
        yield served


@pytest.fixture
def visit(browser, address):
    """Return a function that opens the page; what it should not do fails the test."""
    bad, opened = [], []

    def go(width=1200):
        page = browser.new_page(viewport={"width": width, "height": 900})
        opened.append(page)
        page.on("dialog", lambda dialog: (bad.append(f"dialog {dialog.message}"), dialog.dismiss()))
        page.on("request", lambda request: bad.append(request.url) if _outside(request.url) else None)
        page.on("pageerror", lambda error: bad.append(str(error)))
        page.goto(address)
        page.get_by_role("tab", name="Runs").wait_for(timeout=SOON)
        return page

    yield go
    for page in opened:
        page.close()
    for run in runner.running():
        runner.stop(run)
    wait_until(lambda: not runner.running(), seconds=60)
    assert not bad


def _outside(url):
    return not url.startswith(("http://127.0.0.1", "ws://127.0.0.1", "data:", "blob:"))


def tab(page, name):
    page.get_by_role("tab", name=name).click()


def ask(page, *, rounds, iterations=1):
    """Fill in the form for a run."""
    tab(page, "New run")
    for label, value in (("Rounds, 1", rounds), ("Iterations a round", iterations)):
        field = page.get_by_label(label)
        field.fill(str(value))
        field.press("Enter")
    page.get_by_text("usable answers").wait_for(timeout=SOON)


def start(page, **terms):
    """Start a run; return its id once the page shows that it runs."""
    before = set(tracking.runs().index)
    ask(page, **terms)
    page.get_by_role("button", name="Start the run").click()
    page.get_by_text("running").first.wait_for(timeout=SOON)
    (run,) = set(tracking.runs().index) - before
    return run


def over(run):
    wait_until(lambda: not tracking.read(run).led, seconds=60)
    return tracking.read(run)


@pytest.mark.promise(
    "F-28", "A run is started, watched and stopped on a page; reload it, open it twice: nothing is lost"
)
def test_a_run_is_started_and_watched_to_its_end(visit, figure):
    began = time.monotonic()
    page = visit()
    ready = time.monotonic() - began
    ask(page, rounds=4, iterations=3)
    began = time.monotonic()
    page.get_by_role("button", name="Start the run").click()
    page.get_by_text("is starting").or_(page.get_by_text("running")).first.wait_for(timeout=SOON)
    clicked = time.monotonic() - began
    page.get_by_text("FedAvg, 4 x 3: finished").wait_for(timeout=60_000)
    told = over(tracking.runs().index[0])
    assert list(told.history) == [1, 2, 3, 4]
    for value in told.table()["roc_auc"]:
        page.get_by_role("cell", name=f"{value:.4f}", exact=True).first.wait_for(timeout=SOON)
    assert registry.of_run("fraud", told.run)
    figure(f"page {ready:.1f} s, click {clicked:.1f} s")


def test_a_run_is_stopped(visit):
    page = visit()
    run = start(page, rounds=900)
    page.get_by_role("button", name="Stop this run").click(timeout=SOON)
    page.get_by_text(f"run {run}, FedAvg, 900 x 1: ended early").wait_for(timeout=60_000)
    assert over(run).status == "ended early"


def test_the_page_is_reloaded_and_opened_twice_while_a_run_goes_on(visit):
    page = visit()
    run = start(page, rounds=900)
    page.reload()
    page.get_by_role("tab", name="Runs").wait_for(timeout=SOON)
    tab(page, "Live")
    page.get_by_text(f"run {run}, FedAvg, 900 x 1: running").wait_for(timeout=SOON)
    other = visit()
    ask(other, rounds=2)
    other.get_by_role("button", name="Start the run").click()
    other.get_by_text(f"run {run} is going on: wait for its end, or stop it").wait_for(timeout=SOON)
    tab(other, "Live")
    other.get_by_role("button", name="Stop this run").click(timeout=SOON)
    page.get_by_text(f"run {run}, FedAvg, 900 x 1: ended early").wait_for(timeout=60_000)
    over(run)


def test_a_client_that_goes_away_is_named(visit, stage):
    page = visit()
    run = start(page, rounds=900)
    wait_until(lambda: tracking.read(run).history, seconds=60)
    owner = accounts.session("client-3").client("sagemaker")
    (job,) = owner.list_training_jobs(StatusEquals="InProgress")["TrainingJobSummaries"]
    owner.stop_training_job(TrainingJobName=job["TrainingJobName"])
    page.get_by_text("not in the last round: client-3").first.wait_for(timeout=60_000)
    page.get_by_role("button", name="Stop this run").click(timeout=SOON)
    over(run)


def test_a_kernel_that_dies_takes_no_run_along_and_the_page_says_that_it_is_old(visit, stage):
    page = visit()
    run = start(page, rounds=900)
    before = len(tracking.read(run).history)
    kernel = page.evaluate("JSON.parse(document.getElementById('jupyter-config-data').textContent).kernelId")
    for each in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):  # some have ended meanwhile
            if kernel in " ".join(each.cmdline()):
                each.kill()
    page.get_by_text("What you see may be old").wait_for(timeout=SOON)
    wait_until(lambda: len(tracking.read(run).history) > before, seconds=30)
    page.reload()
    page.get_by_role("tab", name="Runs").wait_for(timeout=SOON)
    tab(page, "Live")
    page.get_by_text(f"run {run}, FedAvg, 900 x 1: running").wait_for(timeout=SOON)
    page.get_by_role("button", name="Stop this run").click(timeout=SOON)
    over(run)


def test_a_server_that_dies_is_told_of_on_the_page(browser, stage):
    with pages.server() as served:
        page = browser.new_page()
        page.goto(served)
        page.get_by_role("tab", name="Runs").wait_for(timeout=SOON)
        (voila,) = [
            each for each in psutil.Process().children() if served.split(":")[2].split("/")[0] in str(each.cmdline())
        ]
        kernels = voila.children(recursive=True)
        voila.kill()
        page.get_by_text("What you see may be old").wait_for(timeout=SOON)
        page.close()
        for each in kernels:  # of a server that was killed
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()


def test_names_with_markup_and_a_thousand_runs(visit, stage, tmp_path):
    made = [made_up(record.folder().parent, f"many{n:04d}", finished(1), events.Finished(1)) for n in range(1000)]
    made.append(
        made_up(
            record.folder().parent,
            "markup",
            events.Joined("a"),
            events.Ended(MARKUP),
            began="2099-01-01T00:00:00+00:00",
        )
    )
    try:
        page = visit()
        page.get_by_text("Runs (1").wait_for(timeout=SOON)
        page.get_by_label("Runs (").select_option(index=0)
        page.get_by_text(f"ended early {MARKUP}").wait_for(timeout=SOON)
        page.get_by_label("Filter").fill("many0999")
        page.get_by_text("Runs (1)", exact=True).wait_for(timeout=SOON)
    finally:
        for folder in made:
            shutil.rmtree(folder)


@pytest.mark.promise("F-29", "The console is for everybody: no serious finding of axe-core, from 400 to 1600 pixels")
def test_every_tab_is_for_everybody(visit):
    from axe_playwright_python.sync_playwright import Axe

    page = visit()
    page.get_by_label("Runs (").select_option(index=0)
    page.get_by_text("Clients of").wait_for(timeout=SOON)
    for name in ("Runs", "New run", "Live", "Timings", "Models", "Clients"):
        tab(page, name)
        for width in (400, 800, 1600):
            page.set_viewport_size({"width": width, "height": 900})
            page.wait_for_timeout(300)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (name, width)
            found = Axe().run(page).response["violations"]
            serious = [each for each in found if each["impact"] in ("serious", "critical")]
            assert not serious, (name, width)


def test_without_a_mouse(visit):
    page = visit()
    tab(page, "New run")
    page.get_by_label("Rounds, 1").focus()
    page.keyboard.press("Control+A")
    page.keyboard.type("2")
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.innerText") == "Start the run":
            break
    page.keyboard.press("Enter")
    page.get_by_text("2 x 10: finished").wait_for(timeout=60_000)
    over(tracking.runs().index[0])


def test_the_page_tells_its_kernel_that_somebody_looks(visit):
    page = visit()
    page.wait_for_function("document.querySelector('.fed-seen input')?.value > 0", timeout=SOON)


def test_a_stranger_on_this_machine_is_not_let_in(address, browser):
    page = browser.new_page()
    answer = page.goto(address.split("?")[0])
    assert "Federation console" not in page.content()
    assert answer.status in (401, 403) or "login" in page.url
    page.close()
