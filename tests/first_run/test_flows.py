"""Flow-log records as AWS writes them, added up by interface and neighbour; and a report that tells no id."""

import pytest

from workshop.first_run import flows
from workshop.first_run.flows import Interface
from workshop.first_run.report import Report, without_ids

JOB, STS = "eni-0a1b2c3d4e5f60718", "eni-1235b8ca123456789"
KNOWN = {JOB: Interface("10.80.1.12", "job"), STS: Interface("10.80.1.30", "endpoint sts")}
PLACES = {"S3": ["52.216.0.0/15"], "client-1's network": ["10.80.1.0/24"], "server's network": ["10.80.0.0/24"]}


def record(interface, source, target, *, port=443, size=4249, action="ACCEPT"):
    """Write a record in AWS's default format."""
    return f"2 444455556666 {interface} {source} {target} 20641 {port} 6 20 {size} 1764300000 1764300060 {action} OK"


def test_bytes_are_added_up_by_neighbour_both_ways():
    lines = [
        record(JOB, "10.80.1.12", "52.217.3.4", size=100),
        record(JOB, "52.217.3.4", "10.80.1.12", size=1000),
        record(JOB, "10.80.1.12", "10.80.0.7", port=8080, size=7),
        record(JOB, "10.80.1.12", "198.51.100.9", size=40, action="REJECT"),
        record(JOB, "10.80.1.12", "10.80.1.30", size=5),
        record(STS, "10.80.1.12", "10.80.1.30", size=5),
    ]
    told = {tuple(line[:3]): tuple(line[3:]) for line in flows.table(lines, KNOWN, places=PLACES).to_numpy()}
    assert told == {
        ("job", "S3", "ACCEPT"): (2, 1100),
        ("job", "server's network", "ACCEPT"): (1, 7),
        ("job", "elsewhere", "REJECT"): (1, 40),
        ("job", "endpoint sts", "ACCEPT"): (1, 5),
        ("endpoint sts", "job", "ACCEPT"): (1, 5),
    }


def test_minutes_without_data_and_strangers_count_for_nothing():
    lines = [
        f"2 444455556666 {JOB} - - - - - - - 1764300000 1764300060 - NODATA",
        f"2 444455556666 {JOB} - - - - - - - 1764300000 1764300060 - SKIPDATA",
        record("eni-0ffffffffffffffff", "10.80.1.77", "10.80.0.7"),
        record(JOB, "2001:db8::1", "2001:db8::2"),
        "",
    ]
    told = flows.table(lines, KNOWN, places=PLACES)
    assert told.values.tolist() == [["job", "elsewhere", "ACCEPT", 1, 4249]]
    assert flows.table([], KNOWN, places=PLACES).empty
    assert flows.latest(lines) == 1764300060
    assert flows.latest([]) == 0


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("User: arn:aws-us-gov:iam::444455556666:user/ann.lee is not authorized", "User: <arn> is not authorized"),
        ("account 444455556666, role AROAEXAMPLEEXAMPLE123", "account <account>, role <id>"),
        ("subnet-0a1b2c3d4e5f60718 and vpc-1a2b3c4d at 10.80.1.7/24", "<id> and <id> at <address>"),
        ("key 1234abcd-12ab-34cd-56ef-1234567890ab of ann@example.org", "key <id> of <mail>"),
        ("bucket fl-storage-bucket-1x2y3z refused data/", "bucket <bucket> refused data/"),
        ("host ip-10-80-1-7.ec2.internal", "host <host>.ec2.internal"),
        ("drawn: q8Zc1-abcDEFghiJKLmnop", "drawn: <word of theirs>"),
        ("Python 3.12.15, 120 s, use1-az3, boto3 1.44.5", "Python 3.12.15, 120 s, use1-az3, boto3 1.44.5"),
    ],
)
def test_no_id_is_told_and_what_matters_is(text, told):
    assert without_ids(text, {"q8Zc1-abcDEFghiJKLmnop": "<word of theirs>"}) == told


def test_a_report_is_there_from_the_first_finding_on(tmp_path):
    report = Report(tmp_path / "report.md", "On AWS", names={"444455556666": "<client-1>"})
    report.add("5 job", "a | b", "of 444455556666\nline two", expected="x", as_expected=False)
    text = (tmp_path / "report.md").read_text()
    assert "| 5 job | a \\| b | of <client-1><br>line two | x | **otherwise** |" in text
    assert [finding.question for finding in report.otherwise] == ["a | b"]
