"""A client's bad input ends its own job, with one line that names file, column and rule, and quotes no cell."""

import pytest

from client_code import schema
from workshop import jobs, rehearsal, state
from workshop.errors import FederationError

SECRET = "8675309"  # stands in a bad cell: it must not come out

# name of the case: (what is done to the text of train_balanced.csv, what the failure must say besides the file)
CASES = {
    "empty file": (lambda lines: [], ["empty"]),
    "header only": (lambda lines: lines[:1], ["row"]),
    "missing label": (lambda lines: [line.partition(",")[2] for line in lines], [schema.LABEL]),
    "one class": (lambda lines: [lines[0], *(line for line in lines[1:] if line.startswith("0,"))], [schema.LABEL]),
    "NaN": (lambda lines: spoil(lines, "nan"), ["total_drug_cost_mean"]),
    "Inf": (lambda lines: spoil(lines, "inf"), ["total_drug_cost_mean"]),
    "text in a number column": (lambda lines: spoil(lines, f"no {SECRET}"), ["total_drug_cost_mean"]),
    "latin-1": (lambda lines: spoil(lines, f"caf\xe9 {SECRET}"), ["UTF-8"]),
    "columns in another order": (lambda lines: [swap(line) for line in lines], ["order"]),
    "three rows": (lambda lines: lines[:4], ["3"]),
}


def spoil(lines, cell):
    """Put a bad cell into the third row of one amount."""
    place = ["x", *schema.FEATURES].index("total_drug_cost_mean")
    cells = lines[3].split(",")
    cells[place] = cell
    return [*lines[:3], ",".join(cells), *lines[4:]]


def swap(line):
    cells = line.split(",")
    cells[5], cells[6] = cells[6], cells[5]
    return ",".join(cells)


@pytest.fixture(scope="module")
def failed(stage):
    """Start one job per case in client-1's account, all at once; return their descriptions."""
    client, session = stage.clients[0], stage.sessions["client-1"]
    folder = state.home() / "data" / "client-1"
    good = {path.name: path.read_bytes() for path in folder.glob("*.csv")}
    text = [line for line in good["train_balanced.csv"].decode().splitlines() if not line.startswith("#")]
    storage, started = session.client("s3"), {}
    for number, (case, (damage, _)) in enumerate(CASES.items()):
        body = "".join(f"{line}\n" for line in damage(text)).encode("latin-1")
        for name, content in (good | {"train_balanced.csv": body}).items():
            storage.put_object(Bucket=client.bucket, Key=f"data/bad-{number}/{name}", Body=content)
        request = jobs.training_request(
            client, name=f"fl-bad-{number}", image=rehearsal.IMAGE, server_address="127.0.0.1:9",
            ca_certificate="MII", join_deadline=1,
        )  # fmt: skip
        source = request["InputDataConfig"][0]["DataSource"]["S3DataSource"]
        source["S3Uri"] = f"s3://{client.bucket}/data/bad-{number}/"
        started[case] = jobs.start(client, session, request)
    with pytest.raises(jobs.JobError):
        jobs.wait(list(started.values()), deadline=200)
    return {case: job.describe() for case, job in started.items()}


@pytest.mark.parametrize("case", CASES)
def test_the_failure_reason_names_file_column_and_rule(failed, case):
    description = failed[case]
    assert description["TrainingJobStatus"] == "Failed"
    reason = description["FailureReason"]
    assert "train_balanced.csv" in reason
    for word in CASES[case][1]:
        assert word in reason
    assert "unforeseen" not in reason
    assert SECRET not in reason
    assert len(reason) <= 1024
    assert len(reason.splitlines()) <= 2  # SageMaker's own prefix, and our line


def test_the_server_shows_a_clients_bad_rows_while_it_waits(stage):
    place, certificates = rehearsal.stand(stage)
    client, session = stage.clients[1], stage.sessions["client-2"]
    session.client("s3").put_object(Bucket=client.bucket, Key="data/train.csv", Body=b"nothing,of,the,kind\n1,2,3,4\n")
    started = rehearsal.kick_off(stage, certificates=certificates, address=place.address)
    with pytest.raises(FederationError, match="client-2 ended before it joined") as error:
        rehearsal.lead(stage, started, place=place, certificates=certificates)
    assert "train.csv" in str(error.value)
    assert "column" in str(error.value)
