"""Commands ``fl track``: recorded runs in a terminal, and the tracker's page."""

from __future__ import annotations

import os

import boto3
import pandas as pd

from workshop.tracking import page as pages
from workshop.tracking import recorded as records
from workshop.tracking import sending

SERVED = ["roc_auc", "log_loss", "seconds", "clients"]


def runs() -> int:
    """Print one line per run."""
    table = records.runs()
    print(table.to_string(float_format="{:.3f}".format) if len(table) else "no run was recorded here yet")
    return 0


def show(run: str) -> int:
    """Print what a run was given, who took part, and its rounds."""
    recorded = records.read(run)
    print(f"run {run} of {recorded.about['problem']}: {recorded.status}", *filter(None, [recorded.reason]), sep=": ")
    for note in recorded.notes:
        print(f"  {note}")
    for name, why in recorded.left_out.items():
        print(f"  not in the last round: {name}: {why}")
    tables: list[pd.DataFrame] = [recorded.who(), recorded.table()[SERVED], recorded.timings()]
    for table in tables:
        print(f"\n{table.to_string(float_format='{:.3f}'.format)}")
    return 0


def send(run: str, where: str, *, wait: bool = False) -> int:
    """Send a run to a tracker; beside a run with the lowest priority."""
    if wait:
        os.nice(19)
    print(sending.send(run, where, wait=wait))
    return 0


def lead(run: str) -> int:
    """Lead a run that was asked for."""
    from workshop.tracking import runner  # brings all that reaches accounts and clusters

    return runner.lead(run)


def page(port: int, app: str | None = None) -> int:
    """Serve the tracker's page until it is interrupted; of an MLflow app, print where its page is."""
    if app:
        print(pages.of_app(boto3.Session(), app))
        return 0
    with pages.server(port) as address:
        pages.serve(address, "MLflow shows this machine's runs")
    return 0
