"""What the owners of the accounts agree on before anything is created: addresses, a port, one secret word per pair."""

from __future__ import annotations

import ipaddress
import json
import secrets
import socket
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import combinations

from workshop import state
from workshop.errors import AgreementError

PORT = 8080  # on AWS, where the notebook instance has all its ports to itself
SIZE = 24  # of each account's network: 256 addresses


@dataclass(frozen=True)
class Agreement:
    """The addresses of every account, the server's port, and an external id per client."""

    cidrs: dict[str, str]
    port: int
    external_ids: dict[str, str] = field(repr=False)

    def subnets(self, name: str) -> tuple[str, str]:
        """Return the two halves of an account's addresses, one for each zone."""
        first, second = ipaddress.ip_network(self.cidrs[name]).subnets(prefixlen_diff=1)
        return str(first), str(second)


def agree(names: Sequence[str], *, network: str, port: int = 0) -> Agreement:
    """Give every account its own part of a network, and every client an external id; keep both for the next time.

    Parameters
    ----------
    names : sequence of str
        ``"server"`` and the clients.
    network : str
        Addresses that nothing else uses which one of the accounts is connected to.
    port : int
        Where the Flower server will listen; 0 keeps the port of the last time, or takes 8080, on the embedded AWS any
        that is free on this machine.

    Raises
    ------
    AgreementError
        If the network is too small or not private, or two accounts' addresses overlap.
    """
    try:
        whole = ipaddress.ip_network(network)
        parts = list(whole.subnets(new_prefix=SIZE))
    except ValueError as error:
        raise AgreementError(f"NETWORK {network!r} is no network of at least /{SIZE}: {error}") from error
    if not whole.is_private or len(parts) < len(names):
        raise AgreementError(
            f"NETWORK {network} must be private and hold {len(names)} networks of size /{SIZE}, such as 10.80.0.0/16"
        )
    known = _read()
    words = known.get("external_ids", {})
    external_ids = {name: words.get(name) or secrets.token_urlsafe(24) for name in names if name != "server"}
    cidrs = dict(zip(names, map(str, parts), strict=False))
    agreed = Agreement(cidrs, port or known.get("port") or _any_port(), external_ids)
    check(agreed)
    state.write_text(_path(), json.dumps(asdict(agreed), indent=1), private=True)
    return agreed


def check(agreed: Agreement) -> None:
    """Refuse addresses that overlap, before anything is created: AWS would not peer such networks.

    Raises
    ------
    AgreementError
        Names the two accounts.
    """
    for (one, first), (other, second) in combinations(agreed.cidrs.items(), 2):
        if ipaddress.ip_network(first).overlaps(ipaddress.ip_network(second)):
            raise AgreementError(f"{one} ({first}) and {other} ({second}) overlap: give one of them other addresses")


def _path():
    return state.home() / "agreement.json"


def _read() -> dict:
    return json.loads(_path().read_text()) if _path().exists() else {}


def _any_port() -> int:
    (target,) = state.load("target")
    if target["name"] == "aws":
        return PORT
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
