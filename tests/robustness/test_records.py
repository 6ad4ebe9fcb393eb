"""Records of runs: complete, true to the last digit, readable whatever happened to the process that wrote them."""

import subprocess
import sys

import pytest
from cohort import FRAUD, Cohort
from made_records import finished, made_up

from client_code import edition
from workshop import federation, tracking
from workshop.errors import FederationError, MissingStep, WorkshopError
from workshop.federation import events
from workshop.files import REPOSITORY
from workshop.tracking import record, recorded, sheets

TRAINING = {"max_iter": 10, "penalty": "l2", "seed": 0}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKSHOP_HOME", str(tmp_path))
    return tmp_path


def begin(cohort, run="abcd1234", **terms):
    settled = federation.Terms(**terms).checked(len(cohort.jobs))
    return tracking.begin(
        run, problem=FRAUD, participants=list(cohort.jobs.values()), training=TRAINING, terms=settled,
        data={"source": "synthetic", "seed": 0},
    )  # fmt: skip


def recorded_run(rows, run="abcd1234", **terms):
    cohort = Cohort(rows)
    writing = begin(cohort, run, **terms)
    cohort.join()
    result = cohort.run(sinks=[writing], **terms)
    cohort.leave()
    writing.close()
    return result


@pytest.mark.promise("F-20", "Every run is recorded: what was given, used, measured, and who was left out and why")
def test_a_record_says_what_the_result_says(three):
    result = recorded_run(three, rounds=2)
    told = tracking.read("abcd1234")
    assert told.status == "finished"
    assert [each for _, each in told.history.values()] == list(result.history)
    assert told.table().equals(result.table())
    assert told.measured("validation_auc").equals(result.measured("validation_auc"))
    calm = [
        e.event for e in told.entries if not isinstance(e.event, events.Started | events.Waiting | events.Gathering)
    ]
    assert calm == list(result.events)
    assert told.about["terms"] | {"rounds": 2, "strategy": "FedAvg", "quorum": 2} == told.about["terms"]
    assert told.about["code"] == edition.of(REPOSITORY / "client_code")
    who = told.who()
    assert who["rows"].to_dict() == result.client_rows
    assert set(who["trains with"]) == {"penalty l2, solver lbfgs, max_iter 10, seed 0"}
    assert set(who["code"]) == {told.about["code"]}
    assert who["version of its rows"].str.fullmatch("[0-9a-f]{12}").all()
    assert set(who["rounds"]) == {2}


def test_seconds_are_told_apart_and_add_up(three):
    result = recorded_run(three, rounds=3)
    spent = tracking.read("abcd1234").timings()
    assert set(spent.index) == three.clients.keys()
    assert (spent >= 0).all(axis=None)
    whole = sum(each.seconds for each in result.history)
    assert spent.sum(axis=1).to_numpy() == pytest.approx(whole, abs=0.02 * 3 + 0.1 * whole)


def test_a_sheet_per_client_and_one_for_the_server(three):
    result = recorded_run(three, rounds=2)
    told = tracking.read("abcd1234")
    parent, *children = sheets.sheets(told)
    assert [sheet.who for sheet in children] == sorted(three.clients)
    for entry in result.history:
        _, values = parent.points[entry.round]
        assert values["Test:AUC"] == entry.roc_auc
        assert values["Test:Loss"] == entry.log_loss
        for sheet in children:
            at, own = sheet.points[entry.round]
            sent = told.updates[entry.round, sheet.who][1].metrics
            assert own["Training:Loss"] == sent["training_loss"]
            assert own["Validation:AUC"] == sent["validation_auc"]
            assert at <= told.history[entry.round][0]
    assert children[0].parameters == {
        "penalty": "l2", "solver": "lbfgs", "max_iter": "10", "seed": "0",
        "rows": str(result.client_rows[children[0].who]),
    }  # fmt: skip
    assert parent.parameters["asked.max_iter"] == "10"


def test_an_auc_that_there_is_not_is_left_out_and_said(home):
    sent = {"training_loss": 0.5, "validation_loss": 0.6}
    made_up(
        home, "r1", events.Joined("a", rows=10), events.UpdateReceived(1, "a", 10, sent, 0.1, 5),
        finished(1, left_out={"b": "too slow"}), events.Finished(1),
    )  # fmt: skip
    _, child = sheets.sheets(tracking.read("r1"))
    assert "Validation:AUC" not in child.points[1][1]
    assert child.tags["Validation:AUC"] == "there is none: its validation rows are of one class"


def test_why_a_client_was_left_out_is_on_its_sheet(home):
    made_up(home, "r1", events.Joined("a"), finished(1, left_out={"a": "a NaN"}), finished(2), events.Ended("x"))
    parent, child = sheets.sheets(tracking.read("r1"))
    assert child.tags["left out"] == "round 1: a NaN"
    assert (parent.tags["status"], parent.tags["reason"]) == ("ended early", "x")
    assert tracking.read("r1").who()["rounds"].to_dict() == {"a": 1}


def test_a_run_that_carries_on_counts_every_round_once(home):
    before, after = finished(1), finished(2)
    made_up(
        home, "r1", before, events.UpdateReceived(2, "a", 1, {}, 9.0), events.Resumed((before.result,)),
        events.UpdateReceived(2, "a", 1, {}, 1.0), after, events.Finished(2),
    )  # fmt: skip
    told = tracking.read("r1")
    assert list(told.history) == [1, 2]
    assert told.history[1][0] == 1767225600  # when it was, not when it was taken up again
    assert told.updates[2, "a"][1].seconds == 1.0


def test_a_run_that_begins_anew_forgets_its_rounds(home):
    made_up(home, "r1", finished(1, score=0.1), events.BegunAnew(), finished(1, score=0.9), events.Finished(1))
    assert tracking.read("r1").table()["roc_auc"].to_list() == [0.9]


def test_a_line_that_was_cut_off_is_none_and_the_next_writer_begins_a_new_one(home, three):
    folder = made_up(home, "abcd1234", finished(1), torn='{"at": 17')
    told = tracking.read("abcd1234")
    assert (told.status, list(told.history)) == ("cut off", [1])
    writing = record.Record(folder)
    assert tracking.read("abcd1234").status == "running"
    writing(finished(2))
    writing.close()
    assert list(tracking.read("abcd1234").history) == [1, 2]


def test_what_only_repeats_itself_is_written_once(home):
    folder = made_up(home, "r1")
    writing = record.Record(folder)
    for _ in range(3):
        writing(events.Waiting("round 1", ("a",)))
    writing(events.Waiting("round 1", ("b",)))
    writing.close()
    assert len(tracking.read("r1").entries) == 2


def test_two_processes_do_not_write_one_record(home):
    folder = made_up(home, "r1")
    writing = record.Record(folder)
    with pytest.raises(FederationError, match="another process writes the record of run r1"):
        record.Record(folder)
    writing.close()


def test_the_record_of_a_process_that_was_killed_is_cut_off(home):
    folder = made_up(home, "r1", finished(1))
    code = (
        "import pathlib, sys, time\nfrom workshop.tracking.record import Record\n"
        "record = Record(pathlib.Path(sys.argv[1]))\nprint('open', flush=True)\ntime.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(folder)], cwd=REPOSITORY, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"open\n"
    assert tracking.read("r1").status == "running"
    process.kill()
    process.wait()
    process.stdout.close()
    assert tracking.read("r1").status == "cut off"


class Full:
    """A file on a disk without room, for some lines."""

    def __init__(self, file, lines):
        self.file, self.left = file, lines

    def write(self, text):
        if self.left:
            self.left -= 1
            raise OSError(28, "No space left on device")
        return self.file.write(text)

    def __getattr__(self, name):
        return getattr(self.file, name)


def test_a_full_disk_ends_no_run_and_loses_no_event(home, caplog):
    folder = made_up(home, "r1")
    writing = record.Record(folder)
    writing._file = Full(writing._file, 2)
    for number in (1, 2, 3):
        writing(finished(number))
    writing.close()
    assert list(tracking.read("r1").history) == [1, 2, 3]
    assert [message for message in caplog.messages if "waits for its disk" in message] == caplog.messages
    assert len(caplog.messages) == 1


def test_a_record_that_is_none_is_not_listed(home):
    made_up(home, "good", finished(1), events.Finished(1))
    for name, content in {"torn": "{", "list": "[]", "other": '{"run": "another"}'}.items():
        (home / "runs" / name).mkdir()
        (home / "runs" / name / "run.json").write_text(content)
        with pytest.raises(MissingStep, match="fl track runs"):
            tracking.read(name)
    assert list(tracking.runs().index) == ["good"]


def test_runs_are_listed_last_first_as_their_records_tell(home):
    made_up(home, "r1", finished(1), finished(2, score=0.7), events.Finished(2), began="2026-01-01T00:00:00+00:00")
    made_up(home, "r2", events.Ended("nobody came"), began="2026-01-02T00:00:00+00:00")
    table = tracking.runs()
    assert table["status"].to_dict() == {"r2": "ended early", "r1": "finished"}
    assert list(table.index) == ["r2", "r1"]
    assert table.loc["r1", ["rounds", "of", "roc_auc"]].to_list() == [2, 3, 0.7]


def test_of_a_long_record_the_list_reads_the_end(home):
    many = [events.TurnedAway(f"{number} {'x' * 200}") for number in range(200)]
    made_up(home, "r1", *many, finished(7), events.Finished(7))
    assert (home / "runs" / "r1" / "events.jsonl").stat().st_size > recorded.TAIL
    assert tracking.runs().loc["r1", "rounds"] == 7


def test_a_tracker_that_is_none_is_refused_before_anything_starts():
    with pytest.raises(WorkshopError, match="TRACKER is 'wandb': choose here"):
        tracking.follow("r1", "wandb")
    tracking.follow("r1", "none")


def test_what_comes_after_the_end_does_not_hide_it(home):
    made_up(home, "r1", events.Finished(1), events.Unknown("when a job was started", "no answer"))
    assert tracking.read("r1").status == "finished"


def test_a_run_that_is_taken_up_again_in_the_same_kernel_runs(three):
    cohort = Cohort(three)
    begin(cohort)(events.Ended("too few"))
    assert tracking.read("abcd1234").status == "ended early"
    again = begin(cohort)
    assert tracking.read("abcd1234").status == "running"
    again.close()
