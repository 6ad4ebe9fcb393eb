"""Steps 1 to 4 of a first run: quotas and zones, network, peering, the notebook instance; and the last, deleting."""

from __future__ import annotations

import json
import time

from workshop.aws import cleanup, connections, flow_logs, peering, quotas, region
from workshop.errors import StackError
from workshop.first_run.run import Run, minutes, until
from workshop.owners import doctor

KIT_SECONDS = 900.0
NO_MACHINE = "not seen: behind the embedded AWS's instance is no machine"


def quotas_and_zones(run: Run, step: str) -> None:
    """Look at what AWS lets both accounts have; nothing is created.

    Raises
    ------
    StackError
        If a quota does not suffice: it has to be asked for first.
    """
    lacking = []
    for name, line in quotas.table(run.members.sessions, run.members.choices).iterrows():
        enough = line["has"] >= line["needed"]
        lacking += [] if enough else [name]
        run.report.add(
            step,
            f"{name}: {line['quota']}",
            line["has"],
            expected=f"{line['needed']} or more",
            as_expected=bool(enough),
        )
    for name, session in run.members.sessions.items():
        ids = {
            zone["ZoneName"]: zone["ZoneId"]
            for zone in run.client(name, "ec2").describe_availability_zones()["AvailabilityZones"]
        }
        fit = region.zones(session, name)
        zones = f"{', '.join(sorted(ids[zone] for zone in fit))}; lacking: " + (
            ", ".join(sorted(ids[zone] for zone in ids.keys() - set(fit))) or "none"
        )
        run.report.add(step, f"{name}: zones that have every service", zones, expected="two or more", as_expected=True)
    if lacking:
        remedy = "; ".join(f"python -m workshop quotas {name} --request" for name in lacking)
        raise StackError(f"the quotas of {', '.join(lacking)} do not suffice: {remedy}; AWS takes minutes to days")


def storage_and_network(run: Run, step: str) -> None:
    """Deploy buckets, keys and networks; is the flow log delivered?"""
    seconds = run.deploy("storage", "network", "endpoints")
    run.report.add(step, "time until the stacks stood", minutes(seconds))
    for name in run.members.sessions:
        groups = run.client(name, "logs").describe_log_groups(logGroupNamePrefix=flow_logs.GROUP)["logGroups"]
        there = "there" if groups else "missing"
        run.report.add(
            step, f"{name}: log group, with the account's key", there, expected="there", as_expected=bool(groups)
        )
        vpc = run.members.outputs[name]["fl-network"]["VpcId"]
        status = doctor.flow_log_status(run.members.sessions[name], vpc)
        run.report.add(step, f"{name}: flow log", status, expected="SUCCESS", as_expected=status == "SUCCESS")


def roles_and_peering(run: Run, step: str) -> None:
    """Deploy roles, the accepter and the peering; is it accepted by itself?"""
    seconds = run.deploy(
        "server-access", "client-job", "client-access", "peering-accepter", "peering", "peering-routes"
    )
    run.report.add(step, "time until the stacks stood", minutes(seconds))
    (line,) = peering.table(run.members.sessions, run.members.outputs).to_dict("records")
    for what, value in line.items():
        right = value is True or value == "active"
        expected = "active" if what == "peering" else "True"
        run.report.add(step, what, value, expected=expected, as_expected=right)


def notebook(run: Run, step: str) -> None:
    """Deploy the notebook instance; which Python has it, is the kit installed, does its address stay over a stop?"""
    seconds = run.deploy("notebook-instance")
    run.report.add(step, "time until the stack stood", minutes(seconds))
    outputs = run.members.outputs["server"]["fl-notebook-instance"]
    name, sagemaker = outputs["NotebookInstanceName"], run.client("server", "sagemaker")
    finding = NO_MACHINE if run.here else _installed(run, outputs["BundleSha256"])
    ready = None if run.here else finding.startswith("ready")
    run.report.add(step, "kit and Pythons on it", finding, expected="ready; 3.9 and 3.10, and ours", as_expected=ready)
    streams = cleanup.log_streams(run.client("server", "logs"), cleanup.NOTEBOOK_LOGS)
    finding = ", ".join(stream.partition("/")[2] for stream in streams) or "empty"
    run.report.add(
        step, f"log group {cleanup.NOTEBOOK_LOGS}", finding, expected="a stream per script", as_expected=bool(streams)
    )
    before = connections.server_host(run.members.sessions["server"], outputs)
    turns = ((sagemaker.stop_notebook_instance, "Stopped"), (sagemaker.start_notebook_instance, "InService"))
    for act, status in turns:
        act(NotebookInstanceName=name)
        until(
            lambda: sagemaker.describe_notebook_instance(NotebookInstanceName=name)["NotebookInstanceStatus"],
            lambda now, wanted=status: now in (wanted, "Failed"),
            seconds=KIT_SECONDS, what=f"the notebook instance to be {status}", say=run.say,
        )  # fmt: skip
    stays = connections.server_host(run.members.sessions["server"], outputs) == before
    run.report.add(step, "its address after a stop and start", "the same" if stays else "another one")


def delete(run: Run, step: str) -> None:
    """Delete all of it, with the clock: how long does SageMaker keep its interfaces, is nothing left?"""
    began, waited = time.monotonic(), [""]

    def progress(name: str, stack: str, status: str, *_) -> None:
        if status.startswith("waited"):
            waited[0] = f"{name}: {status}"
        if status.endswith("COMPLETE") or status.startswith("waited"):
            run.say(f"{name} {stack}: {status}")

    cleanup.delete_all(run.members.sessions, progress=progress)
    if run.ended and run.interface_seen is not None:
        seen = f"last seen {minutes(run.interface_seen)} after the job's end"
        run.report.add(step, "the job's interface", seen, expected="gone within 45 min")
    run.report.add(step, "waiting for interfaces when it was deleted", waited[0] or "none was left")
    run.report.add(step, "time until all was deleted", minutes(time.monotonic() - began))
    left = cleanup.left_over(run.members.sessions)
    remains = "; ".join(f"{line.kind} {line.name}" for line in left.itertuples(index=False)) or "nothing"
    run.report.add(step, "what is left", remains, expected="nothing", as_expected=left.empty)


def _installed(run: Run, digest: str) -> str:
    """Wait for what the instance writes down when the kit is installed, or could not be."""
    s3, bucket = run.client("server", "s3"), run.members.outputs["server"]["fl-storage"]["Bucket"]
    report: dict = {}

    def ask() -> str:
        try:
            report.update(json.loads(s3.get_object(Bucket=bucket, Key=doctor.KIT_REPORT)["Body"].read()))
        except (s3.exceptions.NoSuchKey, ValueError):
            return ""
        return "told" if report.get("bundle") == digest else ""

    until(ask, bool, seconds=KIT_SECONDS, what="the kit on the notebook instance", say=run.say)
    return f"{'ready' if report.get('ready') else 'NOT ready'}; {report.get('pythons')}"
