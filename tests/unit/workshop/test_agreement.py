"""What owners agree on; here the port, which must be nobody's when the server wants it."""

from pathlib import Path

from workshop import state
from workshop.aws import agreement

IDS = {"server": "111122223333", "client-1": "444455556666"}
RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def test_the_port_is_none_that_a_call_of_this_machine_may_be_given(tmp_path, monkeypatch):
    """Such a port is taken for as long as that call's connection stands, which looks like another program."""
    monkeypatch.setenv("WORKSHOP_HOME", str(tmp_path))
    state.save(target={"name": "embedded", "clients": 1})
    drawn = set()
    for _ in range(20):
        agreement._path().unlink(missing_ok=True)
        drawn.add(agreement.agree(IDS, network="10.80.0.0/16", requester="arn:aws:iam::111122223333:role/x").port)
    assert len(drawn) > 15
    first = int(RANGE.read_text().split()[0]) if RANGE.exists() else 49_152
    assert max(drawn) < first
    assert min(drawn) > 1024
