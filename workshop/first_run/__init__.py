"""The first run on AWS, for who holds two accounts: the blueprint once through, looked at, deleted, and a report.

What stands in AWS's documentation is tried elsewhere; here it is what nobody could know without an account.
"""

from __future__ import annotations

import platform
import sys
import time
from dataclasses import replace
from pathlib import Path

import boto3

from workshop.aws import accounts, agreement, choices, cleanup, deployment, uploads
from workshop.aws.members import Members
from workshop.errors import AgreementError, WorkshopError
from workshop.first_run import deploying, working
from workshop.first_run.report import Report
from workshop.first_run.run import CLIENT, Run
from workshop.packing import bundle

STEPS = {
    "1 quotas, zones": deploying.quotas_and_zones,
    "2 storage, network": deploying.storage_and_network,
    "3 accepter, peering": deploying.roles_and_peering,
    "4 notebook instance": deploying.notebook,
    "5 job": working.job,
    "6 flow logs": working.packets,
}
DELETE = "7 delete"
ACCOUNTS = ("server", CLIENT)
NETWORK = "10.80.0.0/16"
PRICE = "less than $1: an hour of a small notebook instance and of three endpoints, and one small training job"


def main(report: Path, *, yes: bool = False, **chosen: str | None) -> int:
    """Do every step in the accounts ``fl-server`` and ``fl-client-1``; return 0 if all was as expected.

    Whatever happens on the way, both accounts are cleaned up, and the report holds what was seen until then.

    Raises
    ------
    WorkshopError
        If an account cannot be reached, or holds something of this kit already, or this machine has agreed with more
        clients; nothing is created or kept then.
    """
    sessions = {name: accounts.session(name) for name in ACCOUNTS}
    _ready(sessions)
    members = deployment.meet(sessions, network=NETWORK, choices=_chosen(chosen))
    _confirm(members, yes=yes)
    names = {account: f"<{name}>" for name, account in members.ids.items()}
    names |= dict.fromkeys(members.agreed.external_ids.values(), "<external id>")
    began = time.monotonic()

    def say(line: str) -> None:
        print(f"{(time.monotonic() - began) / 60:6.1f} min  {line}", flush=True)

    run = Run(members, Report(report, _heading(sessions["server"], members.choices), names=names), say)
    try:
        done = all(_do(run, name, step) for name, step in STEPS.items())
    finally:  # also after Ctrl-C
        deleted = _do(run, DELETE, deploying.delete)
    for finding in run.report.otherwise:
        print(f"otherwise: {finding.step}: {finding.question}: {finding.found} (expected: {finding.expected})")
    if not deleted:
        print("not everything is deleted: " + " and ".join(f"`python -m workshop delete {name}`" for name in ACCOUNTS))
    print(f"{report} holds {len(run.report.findings)} findings and no id; read it before you send it to anybody")
    return 0 if done and deleted and not run.report.otherwise else 1


def _do(run: Run, name: str, step) -> bool:
    """Do one step; return whether it went through."""
    run.say(f"{name}: {step.__doc__.splitlines()[0]}")
    try:
        step(run, name)
    except Exception as error:  # nobody has been here before: whatever it is, it is told, and all is deleted
        reason = error if isinstance(error, WorkshopError) else f"{type(error).__name__}: {error}"
        run.report.add(name, "went through", reason, expected="yes", as_expected=False)
        return False
    return True


def _chosen(given: dict[str, str | None]) -> choices.Choices:
    """Return the owner's choices with those of this run; these are not kept for later deployments."""
    return replace(choices.load(), **{name: value for name, value in given.items() if value is not None})


def _ready(sessions: dict[str, boto3.Session]) -> None:
    """Refuse what would fail later, and what would delete something that somebody works with."""
    if others := agreement.members() - {CLIENT}:
        raise AgreementError(
            f"this machine has agreed with {', '.join(sorted(others))} too, and would forget it: set WORKSHOP_HOME to "
            "another folder for the first run"
        )
    there = cleanup.left_over(sessions)
    if len(there):
        owners = ", ".join(sorted(set(there["account"])))
        raise AgreementError(
            f"there is something of this kit in {owners} ({there.iloc[0]['kind']} {there.iloc[0]['name']}, ...), and a "
            "first run ends with deleting all of it: use accounts without, or `python -m workshop delete` first"
        )
    if accounts.target() == "aws":
        uploads.wheels()
        if not bundle.kit_digest():
            raise AgreementError("the notebook instance needs the kit: run `make bundle` first")


def _confirm(members: Members, *, yes: bool) -> None:
    print(f"in {', '.join(f'{name} ({account})' for name, account in members.ids.items())}: {PRICE}")
    if not yes and (not sys.stdin.isatty() or input("create it, look, and delete all again? [y/N] ").lower() != "y"):
        raise AgreementError("nothing was created; --yes goes on without asking")


def _heading(session: boto3.Session, chosen: choices.Choices) -> str:
    where = "AWS" if accounts.target() == "aws" else "the embedded AWS"
    return (
        f"On {where}, {time.strftime('%Y-%m-%d', time.gmtime())}, {session.region_name}; "
        f"jobs on {chosen.instance_type}, endpoints: {chosen.endpoints}; Python {platform.python_version()}, "
        f"boto3 {boto3.__version__}, bundle {bundle.kit_digest()[:12] or 'none'}. Times are those of one run."
    )
