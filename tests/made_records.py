"""Records of runs as a process might have left them, for tests of whatever reads them."""

import json

from workshop.federation import events
from workshop.federation.rounds import Round


def line(at, event):
    return json.dumps({"at": at} | json.loads(events.to_json(event)))


def made_up(home, run, *happened, began="2026-01-01T00:00:00.000+00:00", torn=""):
    """A record on disk, as a killed process might have left it."""
    about = {
        "run": run, "problem": "fraud", "began": began, "participants": [{"name": "a", "account": "111122223333"}],
        "training": {}, "terms": {"rounds": 3, "strategy": "FedAvg"}, "data": {}, "code": "", "versions": {},
    }  # fmt: skip
    folder = home / "runs" / run
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps(about))
    lines = [line(1767225600 + second, event) for second, event in enumerate(happened)]
    (folder / "events.jsonl").write_text("".join(text + "\n" for text in lines) + torn)
    return folder


def a_round(number, score=0.8, **more):
    return Round(number, score, 0.2, 0.4, 1.0, 10, 20, 1, **more)


def finished(number, **more):
    return events.RoundFinished(number, 3, a_round(number, **more))
