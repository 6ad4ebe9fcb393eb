"""Agents that stay: one process takes part in run after run, whatever servers and owners do in between."""

import contextlib
import threading
import time
from types import SimpleNamespace

import agent as agent_code
import connection
import numpy as np
import pytest
import status
from cohort import FRAUD, ROLE, Cohort, Job, Shelf, believed, wait_until
from flwr.client import Client
from flwr.common import Code, GetPropertiesRes
from flwr.common import Status as FlowerStatus

from client_code import edition
from workshop import federation
from workshop.errors import FederationError
from workshop.federation import events, tls
from workshop.federation.checkpoints import Checkpoints
from workshop.federation.identity import Caller, IdentityError
from workshop.files import REPOSITORY

TRAINING = {"max_iter": 3, "penalty": "l2", "seed": 0}


class Hospitals:
    """A server's place, and agents in threads who know it."""

    def __init__(self, folder, rows_folder, rows, monkeypatch) -> None:
        monkeypatch.setattr(agent_code.identity, "prove", believed)
        monkeypatch.setattr(agent_code, "AFTER_REFUSAL", 0.3)
        self.rows, self.folder, self.rows_folder = rows, folder, rows_folder
        self.place, self.certificates = federation.place("127.0.0.1"), tls.make_certificates("127.0.0.1")
        (folder / "authority.pem").write_bytes(self.certificates.authority)
        self.participants = {
            name: Job(name, f"{number:012d}", f"agent-{name}") for number, name in enumerate(rows.clients, 1)
        }
        self.agents, self.boards, self.shelves = {}, {}, {}

    def stand(self, name: str, **settings):
        """Have an agent stand and wait."""
        own = self.folder / name
        own.mkdir()
        chosen = agent_code.Settings(
            name, self.place.address, self.folder / "authority.pem", "a-bucket", own, **settings
        )
        self.boards[name] = status.Board(own, name=name)
        self.shelves[name] = Shelf(self.rows_folder / name)
        self.agents[name] = agent_code.Agent(chosen, self.shelves[name], problem=FRAUD, board=self.boards[name])
        act = lambda: agent_code.wait_and_work(self.agents[name], chosen, self.boards[name])  # noqa: E731
        threading.Thread(target=act, daemon=True).start()

    def caller(self, proof, nonce):
        for job in self.participants.values():
            if proof.get("job") == job.job_name and proof.get("nonce") == nonce:
                return Caller(job.account, ROLE, job.job_name)
        raise IdentityError("it brings no proof of its account")

    def run(self, run: str, *, invited=None, checkpoints=None, sinks=(), training=TRAINING, **terms):
        participants = [self.participants[name] for name in invited or self.participants]
        return federation.run(
            participants, listen=self.place.listen, certificates=self.certificates, caller=self.caller,
            test=self.rows.test, problem=FRAUD, terms=federation.Terms(**{"rounds": 3, "join": 20.0, **terms}),
            checkpoints=checkpoints, sinks=sinks, introduction={"run": run, **training},
        )  # fmt: skip

    def call(self, *, seconds=5.0):
        return federation.roll_call(
            list(self.participants.values()), listen=self.place.listen, certificates=self.certificates,
            caller=self.caller, seconds=seconds, introduction={"run": "rollcall"},
        )  # fmt: skip

    def shown(self, name: str) -> SimpleNamespace:
        return SimpleNamespace(**self.boards[name]._shown)


@pytest.fixture
def hospitals(tmp_path, three, three_folder, monkeypatch):
    made = Hospitals(tmp_path, three_folder, three, monkeypatch)
    yield made
    for board in made.boards.values():
        board.close()


@pytest.fixture
def agents(hospitals):
    for name in hospitals.rows.clients:
        hospitals.stand(name)
    return hospitals


@pytest.mark.promise("G-01", "The same agents take part in run after run, each like a federation of jobs, bit by bit")
def test_agents_take_part_in_run_after_run(agents, three):
    first, second = agents.run("run1"), agents.run("run2")
    cohort = Cohort(three)
    cohort.join()
    of_jobs = cohort.run(rounds=3)
    for a, b in zip(first.parameters, second.parameters, strict=True):
        assert np.array_equal(a, b)
    assert first.client_rows == of_jobs.client_rows
    wait_until(lambda: set(agents.shelves["client-1"].models) == {"run1", "run2"})
    assert {*agents.shelves["client-1"].models["run1"]} >= {"model.joblib"}
    wait_until(lambda: agents.shown("client-1").phase == "waiting")


def test_settings_of_the_run_reach_the_agents(agents):
    short, long = agents.run("run1"), agents.run("run2", training={**TRAINING, "max_iter": 30})
    assert not np.array_equal(short.parameters[0], long.parameters[0])


@pytest.mark.promise("G-02", "A roll call says who is there, with which code and how many rows, and asks nothing else")
def test_a_roll_call_asks_for_nothing_but_who_is_there(hospitals):
    hospitals.stand("client-1")
    hospitals.stand("client-3")
    present = hospitals.call(seconds=4.0)
    assert set(present) == {"client-1", "client-3"}
    rows = len(hospitals.rows.clients["client-1"].real_features)
    assert (present["client-1"].rows, present["client-1"].code) == (rows, edition.of(REPOSITORY / "client_code"))
    assert hospitals.shelves["client-1"].models == {}


@pytest.mark.promise("G-03", "An agent that is not invited is told so, and takes part in the next run that wants it")
def test_an_agent_that_is_not_invited_is_told_and_comes_to_the_next_run(agents):
    seen = []
    agents.run("run1", invited=["client-1", "client-2"], sinks=[seen.append], rounds=2)
    assert any(
        "is not part of this federation" in event.reason for event in seen if isinstance(event, events.TurnedAway)
    )
    assert "the server refused" in agents.shown("client-3").error
    assert set(agents.run("run2").client_rows) == set(agents.participants)


@pytest.mark.promise("G-04", "A server that is killed and started again carries on with the agents it had, bit by bit")
def test_a_server_that_comes_back_finds_the_same_agents(agents, tmp_path):
    class Killed(BaseException):
        pass

    def kill(event):
        if isinstance(event, events.RoundFinished) and event.round == 2:
            raise Killed

    kept = lambda name: Checkpoints(tmp_path / name, name, settings="s")  # noqa: E731
    whole = agents.run("whole", rounds=4, checkpoints=kept("whole"))
    with pytest.raises(Killed):
        agents.run("broken", rounds=4, checkpoints=kept("broken"), sinks=[kill])
    seen = []
    resumed = agents.run("broken", rounds=4, checkpoints=kept("broken"), sinks=[seen.append])
    assert any(isinstance(event, events.Resumed) for event in seen)
    for a, b in zip(whole.parameters, resumed.parameters, strict=True):
        assert np.array_equal(a, b)


@pytest.mark.promise("G-16", "An agent that needs longer for its rows than a stranger is given takes part all the same")
def test_an_agent_proves_itself_at_once_and_then_has_time_for_its_rows(agents, monkeypatch):
    monkeypatch.setattr("workshop.federation.seats.INTRODUCTION", 1.0)
    shelf = agents.shelves["client-2"]
    fetch = shelf.fetch
    shelf.fetch = lambda folder: (time.sleep(2.5), fetch(folder))[1]
    seen = []
    assert set(agents.run("run1", sinks=[seen.append]).client_rows) == set(agents.participants)
    assert not [event for event in seen if isinstance(event, events.TurnedAway)]


def test_who_has_not_proven_itself_hears_nothing_of_a_run(agents):
    heard = []

    class Curious(Client):
        def get_properties(self, ins):
            heard.append(dict(ins.config))
            return GetPropertiesRes(FlowerStatus(Code.OK, ""), {"instance": "somebody", "job": "agent-client-1"})

    def listen():
        with contextlib.suppress(connection.ServerError):
            connection.stay(
                Curious(), agents.place.address, root_certificates=agents.certificates.authority, deadline=5.0
            )

    stranger = threading.Thread(target=listen)
    stranger.start()
    agents.run("run1", rounds=2)
    stranger.join()
    assert heard
    assert {name for config in heard for name in config} <= {"nonce", "refused", "again"}


def test_an_owner_bounds_the_runs_of_an_hour(hospitals):
    for name in hospitals.rows.clients:
        hospitals.stand(name, runs_per_hour=1)
    hospitals.run("run1")
    seen = []
    with pytest.raises(FederationError, match="did not join"):
        hospitals.run("run2", join=2.0, sinks=[seen.append])
    reasons = {event.reason for event in seen if isinstance(event, events.TurnedAway)}
    assert "it declines: its owner lets it take part in 1 runs an hour, no more" in reasons
    assert "the server refused this job: it declines" in hospitals.shown("client-1").error  # and so it waits a while


@pytest.mark.parametrize(
    ("setting", "wrong", "says"),
    [
        ("max_iter", 1001, "max_iter must be a whole number from 1 to 1000"),
        ("max_iter", "10", "max_iter must be"),
        ("penalty", "elasticnet", "penalty must be one of l2, l1, none"),
        ("seed", -1, "seed must be"),
    ],
)
def test_what_a_server_may_not_set_is_declined(agents, setting, wrong, says):
    seen = []
    with pytest.raises(FederationError, match="did not join"):
        agents.run("run1", join=1.5, sinks=[seen.append], training={**TRAINING, setting: wrong})
    assert any(says in event.reason for event in seen if isinstance(event, events.TurnedAway))


def test_rows_that_change_between_two_runs_are_the_next_run_s(agents):
    before = agents.run("run1").client_rows["client-1"]
    table = agents.shelves["client-1"].folder / "train.csv"
    lines = table.read_text().splitlines(keepends=True)
    table.write_text("".join(lines[:-5]))
    try:
        assert agents.run("run2").client_rows["client-1"] == before - 5
    finally:
        table.write_text("".join(lines))


def test_what_goes_wrong_in_one_run_is_told_and_the_agent_stays(agents, monkeypatch):
    def refuse(rows, *, key, floor):
        raise agent_code.job.ledger.NotTold("the rows differ by about 3 from rows whose sums were told before")

    shelf = agents.shelves["client-2"]
    shelf.tell = refuse
    seen = []
    agents.run("run1", start_with=2, quorum=2, sinks=[seen.append])
    reasons = [event.reason for event in seen if isinstance(event, events.LeftOut)]
    assert reasons == ["it declines: the rows differ by about 3 from rows whose sums were told before"]
    del shelf.tell
    assert "client-2" in agents.run("run2").client_rows


def test_settings_that_are_missing_or_make_no_sense_are_named():
    with pytest.raises(agent_code.job.JobError, match="AGENT_NAME is missing; AGENT_BUCKET is missing") as error:
        agent_code.Settings.read({"AGENT_SERVER": "nowhere", "AGENT_AUTHORITY": "x", "AGENT_STATUS_PORT": "one"})
    assert "AGENT_SERVER is 'nowhere', not host:port" in str(error.value)
    assert "AGENT_STATUS_PORT is 'one'" in str(error.value)


def test_the_probe_answers_while_the_agent_lives(hospitals, capsys):
    hospitals.stand("client-1")
    assert status.main([str(hospitals.folder / "client-1")]) == 0
    assert '"phase": "waiting"' in capsys.readouterr().out
    hospitals.boards["client-1"].close()
    assert status.main([str(hospitals.folder / "client-1")]) == 1
    assert connection.PAUSE < agent_code.LONGEST_PAUSE
