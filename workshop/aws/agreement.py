"""Agreement of the owners before anything is created: who takes part, addresses, a port, a word."""

from __future__ import annotations

import ipaddress
import json
import random
import secrets
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from itertools import combinations
from types import MappingProxyType

from workshop import state
from workshop.errors import AgreementError, MissingStep
from workshop.files import read_object, write_text

PORT = 8080  # on AWS, where the notebook instance has all its ports to itself
_PORTS = 20_000, 32_000  # below what Linux (32768) and macOS (49152) give to calls
SIZE = 24  # of each account's network: 256 addresses


@dataclass(frozen=True)
class Agreement:
    """Account ids and addresses by member, the server's port, who deploys for it, and an external id per client."""

    ids: dict[str, str]
    cidrs: dict[str, str]
    port: int
    requester: str  # ARN of the user or role that deploys in the server's account
    requester_id: str  # its unique id: one that is made anew has another
    external_ids: dict[str, str] = field(repr=False)

    def subnets(self, name: str) -> tuple[str, str]:
        """Return the two halves of an account's addresses, one for each zone."""
        first, second = ipaddress.ip_network(self.cidrs[name]).subnets(prefixlen_diff=1)
        return str(first), str(second)

    def for_client(self, name: str) -> Agreement:
        """Return what one client has to know: nothing about the others but that there are some."""
        return Agreement(
            {member: self.ids[member] for member in ("server", name)},
            {member: self.cidrs[member] for member in ("server", name)},
            self.port,
            self.requester,
            self.requester_id,
            {name: self.external_ids[name]},
        )


def agree(
    ids: Mapping[str, str],
    *,
    network: str,
    requester: str,
    requester_id: str = "",
    port: int = 0,
    own: Mapping[str, str] = MappingProxyType({}),
) -> Agreement:
    """Give every account its own part of a network, and every client an external id; keep both for the next time.

    Parameters
    ----------
    ids : mapping
        Account ids by name: ``"server"`` first, then the clients.
    network : str
        Addresses that nothing else uses which one of the accounts is connected to.
    requester, requester_id : str
        ARN and unique id of the user or role that deploys in the server's account.
    port : int
        Where the Flower server will listen; 0 keeps the port of the last time, or takes 8080, on the embedded AWS any
        that is free on this machine.
    own : mapping
        Addresses of accounts that have a VPC already, by name; the others get theirs from the network.

    Raises
    ------
    AgreementError
        If two members are one account, the network is too small or not private, or two accounts' addresses overlap.
    """
    for (name, first), (other, second) in combinations(ids.items(), 2):
        if first == second:
            raise AgreementError(f"{name} and {other} are both account {first}: every member needs one of its own")
    try:
        whole = ipaddress.ip_network(network)
        parts = list(whole.subnets(new_prefix=SIZE))
    except ValueError as error:
        raise AgreementError(f"NETWORK {network!r} is no network of at least /{SIZE}: {error}") from error
    if not whole.is_private or len(parts) < len(ids):
        raise AgreementError(
            f"NETWORK {network} must be private and hold {len(ids)} networks of size /{SIZE}, such as 10.80.0.0/16"
        )
    known = _read()
    words = known.get("external_ids", {})
    external_ids = {name: words.get(name) or secrets.token_urlsafe(24) for name in ids if name != "server"}
    cidrs = dict(zip(ids, map(str, parts), strict=False)) | _networks(own, ids)
    agreed = Agreement(
        dict(ids), cidrs, port or known.get("port") or _any_port(), requester, requester_id, external_ids
    )
    save(agreed)
    return agreed


def rotate(name: str) -> Agreement:
    """Draw a new external id for a client; the old one opens its role until the client has deployed the new one.

    Raises
    ------
    MissingStep, AgreementError
        If nothing is agreed on yet, or not with this client.
    """
    agreed = load()
    if name not in agreed.external_ids:
        raise AgreementError(f"{name} is no client; the agreement knows {', '.join(agreed.external_ids)}")
    agreed = replace(agreed, external_ids=agreed.external_ids | {name: secrets.token_urlsafe(24)})
    save(agreed)
    return agreed


def _networks(own: Mapping[str, str], ids: Mapping[str, str]) -> dict[str, str]:
    """Check addresses that owners bring along."""
    if unknown := sorted(own.keys() - ids.keys()):
        raise AgreementError(f"addresses of {unknown[0]}, who is no member: {', '.join(ids)} are")
    for name, text in own.items():
        try:
            network = ipaddress.ip_network(text)
        except ValueError as error:
            raise AgreementError(f"{name}'s addresses {text!r}: {error}") from error
        if network.version != 4 or not 16 <= network.prefixlen <= 27:
            raise AgreementError(f"{name}'s addresses {text}: a VPC of this kit has IPv4 addresses, /16 to /27")
    return dict(own)


def check(agreed: Agreement) -> None:
    """Refuse addresses that overlap, before anything is created: AWS would not peer such networks.

    Raises
    ------
    AgreementError
        Names the two accounts.
    """
    for (name, first), (other, second) in combinations(agreed.cidrs.items(), 2):
        if ipaddress.ip_network(first).overlaps(ipaddress.ip_network(second)):
            raise AgreementError(f"{name} ({first}) and {other} ({second}) overlap: give one of them other addresses")


def save(agreed: Agreement) -> None:
    """Keep an agreement, readable by nobody else, if its addresses do not overlap."""
    check(agreed)
    write_text(_path(), json.dumps(asdict(agreed), indent=1), private=True)


def members() -> set[str]:
    """Return the clients with whom something was agreed on; none before that."""
    return set(_read().get("external_ids", {}))


def load() -> Agreement:
    """Return what was agreed on.

    Raises
    ------
    MissingStep
        If nothing was yet.
    """
    if not (known := _read()):
        raise MissingStep(
            "nothing is agreed on yet. Who has all accounts runs 02_connect_accounts.ipynb; the server's owner runs "
            "`python -m workshop agree`; a client's owner asks the server's for a card, which `python -m workshop card "
            "server --for client-1` writes, and joins it: `python -m workshop join FILE`"
        )
    try:
        return Agreement(**known)
    except TypeError as error:
        raise MissingStep(
            f"{_path().name} was written by another version ({error}): agree again, with the same addresses; external "
            "ids are kept"
        ) from error


def _path():
    return state.home() / "agreement.json"


def _read() -> dict:
    return read_object(_path(), remedy="agree again: run 02_connect_accounts.ipynb, or `python -m workshop agree`")


def _any_port() -> int:
    (target,) = state.load("target")
    if target["name"] == "aws":
        return PORT
    # Not one that the system would choose: calls of this machine get such ports too, later, as their own end.
    for port in random.SystemRandom().sample(range(*_PORTS), 100):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AgreementError(f"100 ports from {_PORTS[0]} to {_PORTS[1]} are taken on this machine: choose PORT")
