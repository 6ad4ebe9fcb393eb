"""Sheets: a recorded run as trackers hold it, one parent run for the federation and a child run for every client."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from workshop.federation import events
from workshop.tracking.recorded import Recorded

SERVER = "server"
# What clients say of themselves, by the names that trackers show.
CLIENT = {
    "training_loss": "Training:Loss",
    "validation_loss": "Validation:Loss",
    "validation_auc": "Validation:AUC",
    "training_seconds": "Seconds:Training",
}


@dataclass(frozen=True)
class Sheet:
    """One run of a tracker.

    Attributes
    ----------
    who : str
        ``server``, for the parent run, or the client's name.
    name : str
        What the tracker shows.
    parameters, tags : mapping
        Texts by name: what was used, and what it is about.
    points : mapping
        Metrics by round: when, in seconds since 1970, and values by name. A score that there is not is left out.
    """

    who: str
    name: str
    parameters: Mapping[str, str]
    tags: Mapping[str, str]
    points: Mapping[int, tuple[float, Mapping[str, float]]] = field(default_factory=dict)


def sheets(recorded: Recorded) -> list[Sheet]:
    """Return the parent's sheet, then one per client that has joined."""
    joined = {entry.event.client: entry.event for entry in recorded.entries if isinstance(entry.event, events.Joined)}
    about = recorded.about
    common = {"federation.run": recorded.run, "problem": about["problem"], "status": recorded.status}
    asked = {f"asked.{name}": value for name, value in about["training"].items()}
    data = {f"data.{name}": value for name, value in about["data"].items()}
    versions = {f"version.{name}": value for name, value in about["versions"].items()}
    tags = common | {"role": "aggregator", "code": about["code"], "reason": recorded.reason}
    if recorded.notes:
        tags["notes"] = "\n".join(recorded.notes)
    parent = Sheet(
        SERVER, f"{recorded.title} ({recorded.run})", _texts(about["terms"] | asked | data | versions), _texts(tags),
        {number: (at, _of_server(result)) for number, (at, result) in recorded.history.items()},
    )  # fmt: skip
    accounts = {each["name"]: each["account"] for each in about["participants"]}
    children = [
        Sheet(
            who, f"{who} ({recorded.run})", _texts({**told.settings, "rows": told.rows}),
            _texts(common | _of_client(recorded, told) | {"account": accounts.get(who, "")}), _points(recorded, who),
        )
        for who, told in sorted(joined.items())
    ]  # fmt: skip
    return [parent, *children]


def _of_server(result) -> dict[str, float]:
    return {
        "Test:AUC": result.roc_auc,
        "Test:Loss": result.log_loss,
        "Test:AveragePrecision": result.average_precision,
        "Seconds:Round": result.seconds,
        "Seconds:Aggregation": result.aggregation_seconds,
        "Bytes:Up": result.bytes_up,
        "Bytes:Down": result.bytes_down,
        "Clients": result.clients,
    }


def _of_client(recorded: Recorded, told: events.Joined) -> dict[str, str]:
    """Return tags of a client: its versions, and why it was left out of which rounds; why it has no AUC."""
    tags = {"role": "client", "code": told.code, "version of its rows": told.table}
    reasons = {
        n: result.left_out[told.client] for n, (_, result) in recorded.history.items() if told.client in result.left_out
    }
    if reasons:
        tags["left out"] = "; ".join(f"round {number}: {reason}" for number, reason in reasons.items())
    measured = [event.metrics for (_, who), (_, event) in recorded.updates.items() if who == told.client]
    if measured and not any("validation_auc" in metrics for metrics in measured):
        tags["Validation:AUC"] = "there is none: its validation rows are of one class"
    return tags


def _points(recorded: Recorded, who: str) -> dict[int, tuple[float, dict[str, float]]]:
    points = {}
    for (number, client), (at, event) in recorded.updates.items():
        if client == who:
            values = {CLIENT[name]: value for name, value in event.metrics.items() if name in CLIENT}
            spent = {"Seconds:Answer": event.seconds, "Bytes:Up": float(event.bytes)}
            points[number] = at, values | spent
    return points


def _texts(values: Mapping[str, object]) -> dict[str, str]:
    return {name: str(value) for name, value in values.items() if value not in ("", None)}
