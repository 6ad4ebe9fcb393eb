"""A client's bad input ends its own job, with one line that names file, column and rule, and quotes no cell."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from data_prep import owners, synthetic
from workshop import problems, state
from workshop.aws import jobs, kickoff, uploads
from workshop.errors import FederationError
from workshop.lessons import rehearsal

FRAUD = problems.load()

REPOSITORY = Path(__file__).resolve().parents[2]
SECRET = "8675309"  # stands in a bad cell: it must not come out

# name of the case: (what is done to the text of train_balanced.csv, what the failure must say besides the file)
CASES = {
    "empty file": (lambda lines: [], ["empty"]),
    "header only": (lambda lines: lines[:1], ["row"]),
    "missing column": (lambda lines: [line.rpartition(",")[0] for line in lines], [FRAUD.names[-1]]),
    "missing label": (lambda lines: [line.partition(",")[2] for line in lines], [FRAUD.label.name]),
    "one class": (lambda lines: [lines[0], *(line for line in lines[1:] if line.startswith("0,"))], [FRAUD.label.name]),
    "NaN": (lambda lines: spoil(lines, "nan"), ["total_drug_cost_mean"]),
    "Inf": (lambda lines: spoil(lines, "inf"), ["total_drug_cost_mean"]),
    "text in a number column": (lambda lines: spoil(lines, f"no {SECRET}"), ["total_drug_cost_mean"]),
    "separators for thousands": (lambda lines: spoil(lines, '"8,675,309"'), ["total_drug_cost_mean", "separators"]),
    "a cell too few": (lambda lines: [*lines[:3], lines[3].rpartition(",")[0], *lines[4:]], ["columns (50) in 1 row"]),
    "a cell too many": (lambda lines: [*lines[:3], f"{lines[3]},{SECRET}", *lines[4:]], ["columns (50) in 1 row"]),
    "a negative amount": (lambda lines: spoil(lines, f"-{SECRET}"), ["total_drug_cost_mean", "negative"]),
    "latin-1": (lambda lines: spoil(lines, f"caf\xe9 {SECRET}"), ["UTF-8"]),
    "columns in another order": (lambda lines: [swap(line) for line in lines], ["order"]),
    "three rows": (lambda lines: lines[:4], ["only 3 rows, 50 are needed"]),
}
# What may look odd and is right.
GOOD = {
    "a byte order mark": lambda lines: [f"\xef\xbb\xbf{lines[0]}", *lines[1:]],
    "rows that stand there twice": lambda lines: [*lines, *lines[1:]],
    "line ends of Windows": lambda lines: [f"{line}\r" for line in lines],
}


def spoil(lines, cell):
    """Put a bad cell into the third row of one amount."""
    place = ["x", *FRAUD.feature_names].index("total_drug_cost_mean")
    cells = lines[3].split(",")
    cells[place] = cell
    return [*lines[:3], ",".join(cells), *lines[4:]]


def swap(line):
    cells = line.split(",")
    cells[5], cells[6] = cells[6], cells[5]
    return ",".join(cells)


@pytest.fixture(scope="module")
def failed(stage):
    """Start one job per case in client-1's account, all at once; return their descriptions.

    No server is there: that is what good rows fail for.
    """
    client, session = stage.clients[0], stage.sessions["client-1"]
    folder = state.home() / "data" / "client-1"
    good = {path.name: path.read_bytes() for path in (*folder.glob("*.csv"), folder / "salt")}
    text = [line for line in good["train_balanced.csv"].decode().splitlines() if not line.startswith("#")]
    storage, started = session.client("s3"), {}
    damages = {case: damage for case, (damage, _) in CASES.items()} | GOOD
    for number, (case, damage) in enumerate(damages.items()):
        body = "".join(f"{line}\n" for line in damage(text)).encode("latin-1")
        for name, content in (good | {"train_balanced.csv": body}).items():
            storage.put_object(Bucket=client.bucket, Key=f"data/bad-{number}/{name}", Body=content)
        request = kickoff.training_request(
            client, name=f"fl-bad-{number}", image=rehearsal.IMAGE, server_address="127.0.0.1:9",
            ca_certificate="MII=", join_deadline=1,
        )  # fmt: skip
        source = request["InputDataConfig"][0]["DataSource"]["S3DataSource"]
        source["S3Uri"] = f"s3://{client.bucket}/data/bad-{number}/"
        started[case] = kickoff.start(client, session, request)
    del request["InputDataConfig"]
    started["no channel"] = kickoff.start(client, session, request | {"TrainingJobName": "fl-bad-no-channel"})
    for job in started.values():
        with pytest.raises(jobs.JobError):
            jobs.wait([job], deadline=200)
    return {case: job.describe() for case, job in started.items()}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.promise(
    "D-01", "Bad rows end the client's own job with one line: channel, file, column and rule, no cell value"
)
def test_the_failure_reason_names_file_column_and_rule(failed, case):
    description = failed[case]
    assert description["TrainingJobStatus"] == "Failed"
    reason = description["FailureReason"]
    assert reason.startswith("AlgorithmError: channel train, train_balanced.csv")
    assert reason.endswith(", exit code: 1")
    for word in CASES[case][1]:
        assert word in reason
    assert "unforeseen" not in reason
    assert SECRET not in reason.replace(",", "")
    assert len(reason) <= 1024
    assert len(reason.splitlines()) <= 2  # SageMaker's own prefix, and our line


@pytest.mark.parametrize("case", GOOD)
@pytest.mark.promise("D-02", "Rows that only look odd are taken")
def test_rows_that_only_look_odd_are_taken(failed, case):
    assert failed[case]["FailureReason"].startswith("AlgorithmError: no Flower server at 127.0.0.1:9 within 1 s")


@pytest.mark.promise("D-03", "A job without its channel says so")
def test_a_job_without_the_channel_says_so(failed):
    assert failed["no channel"]["FailureReason"].startswith("AlgorithmError: channel train is missing: ")
    assert failed["no channel"]["FailureReason"].endswith(", exit code: 1")


@pytest.mark.promise("D-04", "The server shows a client's bad rows while it waits")
def test_the_server_shows_a_clients_bad_rows_while_it_waits(stage):
    place, certificates = rehearsal.stand(stage)
    client, session = stage.clients[1], stage.sessions["client-2"]
    session.client("s3").put_object(Bucket=client.bucket, Key="data/train.csv", Body=b"nothing,of,the,kind\n1,2,3,4\n")
    began = time.monotonic()
    started = rehearsal.kick_off(stage, certificates=certificates, address=place.address)
    with pytest.raises(FederationError, match="client-2 ended before it joined") as error:
        rehearsal.lead(stage, started, place=place, certificates=certificates)
    assert time.monotonic() - began < 30
    assert "channel train, train.csv, column" in str(error.value)


@pytest.mark.promise("P-07", "Sums of rows that differ by a few from rows told before are not told")
def test_rows_that_lack_one_of_the_last_run_tell_no_sums_until_their_owner_says_so(stage):
    """The difference attack, from bucket to job: what is learnt of the second sums is that there are none."""
    bucket, storage = stage.clients[2].bucket, stage.sessions["client-3"].client("s3")
    uploads.upload("client-2", stage.sessions["client-2"], stage.clients[1].bucket)  # as it was before the tests above
    rehearsal.federate(stage, rounds=1)
    kept = storage.get_object(Bucket=bucket, Key="data/train.csv")["Body"].read()
    storage.put_object(Bucket=bucket, Key="data/train.csv", Body=b"".join(kept.splitlines(keepends=True)[:-1]))
    with pytest.raises(FederationError, match="client-3 ended before it joined") as error:
        rehearsal.federate(stage, rounds=1)
    assert "the rows differ by about 1 from rows whose sums were told before" in str(error.value)
    storage.put_object(Bucket=bucket, Key="data/train.csv", Body=kept)
    rehearsal.federate(stage, rounds=1)  # the same rows as before
    assert storage.list_objects_v2(Bucket=bucket, Prefix="told/")["KeyCount"] == 1
    uploads.upload("client-3", stage.sessions["client-3"], bucket, tell_again=True)
    assert storage.list_objects_v2(Bucket=bucket, Prefix="told/")["KeyCount"] == 0


READ = """
import re, sys
from pathlib import Path
import psutil
sys.path.insert(0, "client_code")
import client
fraud = client.problems.load(Path("problems/fraud.toml"))
before = psutil.Process().memory_info().rss
Path("/proc/self/clear_refs").write_text("5")  # the peak is measured from here on
client.load_data(sys.argv[1], problem=fraud)
peak = int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024
print(peak - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="a process's peak of memory is read from Linux's /proc")
@pytest.mark.promise("D-14", "A large file takes about twice its size of memory")
def test_a_large_file_takes_about_twice_its_size_of_memory(tmp_path):
    lines = owners.csv_bytes(synthetic.generate(FRAUD, 5000, seed=1)).splitlines(keepends=True)
    (tmp_path / "salt").write_bytes(bytes(32))
    for small in ("train.csv", "validation.csv"):
        (tmp_path / small).write_bytes(b"".join(lines))
    with (tmp_path / "train_balanced.csv").open("wb") as file:
        file.write(lines[0])
        while file.tell() < 50_000_000:
            file.writelines(lines[1:])
        size = file.tell()
    command = [sys.executable, "-c", READ, str(tmp_path)]
    taken = int(subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout)
    assert 0.5 * size < taken < 2.2 * size
