"""Steps 5 and 6 of a first run: a job that tells what it is given and is stopped, and where its packets went."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Sequence
from pathlib import Path

from workshop.aws import accounts, connections, flow_logs, images, jobs, kickoff, region, uploads
from workshop.aws.pace import pauses
from workshop.errors import JobError
from workshop.federation import tls
from workshop.federation.participants import report
from workshop.first_run import flows, probe
from workshop.first_run.run import CLIENT, Run, minutes, until
from workshop.packing import bundle

ARCHIVE = "code/source.tar.gz"  # where the owner's machine takes the code from
JOB_SECONDS, STOP_SECONDS = 900.0, 300.0
AGGREGATED = 60.0  # seconds that a record of the flow log is about, by network.yaml
LOG_SECONDS = {"aws": 30.0, "embedded": 0.0}  # until the last lines of a log can be read
FLOW_SECONDS = {"aws": 900.0, "embedded": 2.0}  # AWS delivers flow logs within minutes, this AWS at once


def job(run: Run, step: str) -> None:
    """Start a job in the client's account as the server does; what is it given, and what does it see of a stop?"""
    began = time.monotonic()
    run.look()
    client = connections.client_account(run.members, CLIENT)
    s3 = run.client(CLIENT, "s3")
    s3.put_object(Bucket=client.bucket, Key="data/first-run.txt", Body=b"no row of anybody\n")
    archive = bundle.source_archive(wheels=uploads.wheels(), also={"client.py": Path(probe.__file__).read_bytes()})
    s3.put_object(Bucket=client.bucket, Key=ARCHIVE, Body=archive)
    server = run.members.sessions["server"]
    host = connections.server_host(server, run.members.outputs["server"]["fl-notebook-instance"])
    role = run.members.outputs["server"]["fl-server-access"]["NotebookRoleArn"]
    lent = accounts.borrow(accounts.notebook_session(role), client, session_name="first-run")
    (run.job,) = (started,) = kickoff.kick_off(
        [client], {CLIENT: lent}, run=secrets.token_hex(4), image=images.training_image(client.region),
        server_address=f"{host}:{run.members.agreed.port}",
        ca_certificate=tls.make_certificates(host).authority_hyperparameter(),
    )  # fmt: skip
    facts = _facts_when_ready(run, started)
    run.report.add(step, "time until its first line", minutes(time.monotonic() - began))
    run.look()
    _report_facts(run, step, facts, client.region)
    _stop(run, step, started)


def packets(run: Run, step: str) -> None:
    """Read the flow logs: which endpoints carried a packet, what was refused, and how long interfaces stay."""
    give_up = time.monotonic() + FLOW_SECONDS[accounts.target()]
    whole = run.ended - AGGREGATED  # records up to here: the job's are all there
    for pause in pauses(most=15.0):
        records = {name: flow_logs.messages(session) for name, session in run.members.sessions.items()}
        _watch_interface(run)
        if all(flows.latest(lines) >= whole for lines in records.values()) or time.monotonic() > give_up:
            break
        if pause >= 10:
            run.say("waiting for flow logs, which AWS delivers within minutes")
        time.sleep(pause)
    cidrs = run.members.agreed.cidrs
    for name, lines in records.items():
        places = {"S3": _s3_addresses(run, name)} | {f"{member}'s network": [cidr] for member, cidr in cidrs.items()}
        table = flows.table(lines, run.interfaces.get(name, {}), places=places)
        if table.empty:
            run.report.add(step, f"{name}: records", "none yet")
        for line in table.itertuples(index=False):
            run.report.add(
                step, f"{name}: {line.interface} with {line[1]}", f"{line.action}, {line.bytes} bytes",
                as_expected=False if line.action == "REJECT" and line.interface == "job" else None,
            )  # fmt: skip
        spoke = set(table["interface"])
        # Here, what a job or a notebook says to AWS goes past its endpoints' interfaces.
        for interface in run.interfaces.get(name, {}).values() if lines and not run.here else ():
            if interface.of.startswith("endpoint") and interface.of not in spoke:
                run.report.add(step, f"{name}: {interface.of}", "0 bytes")


def _facts(lines: Sequence[str]) -> dict:
    """Put the lines of ``probe.py`` together; of those that repeat, the last one counts."""
    facts: dict = {}
    for line in lines:
        if line.startswith(f"{probe.MARK} "):
            facts |= json.loads(line.removeprefix(probe.MARK))
    return facts


def _facts_when_ready(run: Run, started: jobs.TrainingJob) -> dict:
    facts: dict = {}

    def ask() -> str:
        facts.update(_facts(jobs.log_tail(run.members.sessions[CLIENT], started.job_name, 500)))
        status = started.describe()
        return "ready" if facts.get("ready") else status["TrainingJobStatus"] + f" ({status['SecondaryStatus']})"

    ends = ("ready", *jobs.FINISHED)
    answer = until(ask, lambda now: now.startswith(ends), seconds=JOB_SECONDS, what="the job's first line", say=run.say)
    if answer != "ready":
        raise JobError(report(started))
    return facts


def _report_facts(run: Run, step: str, facts: dict, region_name: str) -> None:
    regions = facts["regions"]
    variables = ", ".join(f"{name}={value or 'not set'}" for name, value in regions.items())
    right = regions["SAGEMAKER_REGION"] == region_name
    run.report.add(
        step, "region in its environment", variables, expected="SAGEMAKER_REGION is the region", as_expected=right
    )
    run.report.add(step, "can it prove who it is", facts["signs"], expected="yes", as_expected=facts["signs"] == "yes")
    question = "do packets arrive at the server, where nobody listens yet"
    arrives = facts["server"] == "refused"
    run.report.add(step, question, facts["server"], expected="refused", as_expected=arrives)
    run.report.add(step, "Python, user, first process", f"{facts['python']}, {facts['user']}, {facts['first']}")
    run.report.add(step, "packages", ", ".join(f"{name} {version}" for name, version in facts["packages"].items()))
    run.report.add(step, "names in its environment", ", ".join(facts["environment"]))


def _stop(run: Run, step: str, started: jobs.TrainingJob) -> None:
    """Stop the job and see how long it lives on, and whether its script hears of it."""
    asked = time.time()
    started.stop()
    until(
        lambda: started.describe()["TrainingJobStatus"], lambda now: now in jobs.FINISHED,
        seconds=STOP_SECONDS, what="the job's end", say=run.say,
    )  # fmt: skip
    run.ended = time.time()
    run.report.add(step, "time from StopTrainingJob to Stopped", minutes(run.ended - asked))
    time.sleep(LOG_SECONDS[accounts.target()])
    facts = _facts(jobs.log_tail(run.members.sessions[CLIENT], started.job_name, 1000))
    run.report.add(
        step, "does the script hear SIGTERM", "yes" if "sigterm" in facts else "no", expected="no",
        as_expected="sigterm" not in facts,
    )  # fmt: skip
    run.report.add(step, "how long it went on meanwhile", f"about {facts['alive'] - asked:.0f} s", expected="120 s")


def _watch_interface(run: Run) -> None:
    """Note how long after the job's end its network interface was still there."""
    vpc = run.members.outputs[CLIENT]["fl-network"]["VpcId"]
    if any(interface.of == "job" for interface in flows.interfaces(run.client(CLIENT, "ec2"), vpc).values()):
        run.interface_seen = time.time() - run.ended
    elif run.interface_seen is None:
        run.interface_seen = 0.0


def _s3_addresses(run: Run, name: str) -> list[str]:
    prefixes = region.s3_prefix_list(run.members.sessions[name], name)
    pages = run.client(name, "ec2").get_paginator("get_managed_prefix_list_entries").paginate(PrefixListId=prefixes)
    return [entry["Cidr"] for page in pages for entry in page["Entries"]]
