"""Cards: the small JSON files that owners who share no account send each other, one each way."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import boto3

from workshop import state
from workshop.aws import accounts, agreement, blueprint, choices, deployment, stacks
from workshop.aws.agreement import Agreement
from workshop.aws.members import Members
from workshop.aws.stacks import Stack
from workshop.aws.steps import PER_CLIENT
from workshop.errors import AgreementError, MissingStep
from workshop.files import read_object, write_text
from workshop.owners import own_cluster


def federation(names: Sequence[str]) -> Members:
    """Return the federation as the owner of some accounts sees it: own sessions, the others' cards.

    Raises
    ------
    MissingStep
        If nothing is agreed on yet.
    """
    if not agreement.members() and names and "server" not in names:
        raise MissingStep(
            f"{names[0]} has no card of the server's yet: ask its owner for one (`python -m workshop card server --for "
            f"{names[0]}` writes it there) and join it: `python -m workshop join FILE`; then run this again"
        )
    agreed = agreement.load()
    unknown = [name for name in names if name not in agreed.ids]
    if unknown:
        raise AgreementError(f"{unknown[0]} is no member; the agreement knows {', '.join(agreed.ids)}")
    return Members(
        {name: own_session(name, agreed) for name in names},
        agreed,
        {name: card_values(name) for name in agreed.ids},
        choices.load(),
    )


def own_session(name: str, agreed: Agreement) -> boto3.Session:
    """Return an owner's session, if it is in the account that was agreed on.

    Raises
    ------
    AgreementError
        If the profile leads to another account: nothing may be made or deleted there.
    """
    session = accounts.session(name)
    actual, expected = accounts.identity(name, session).account, agreed.ids[name]
    if actual != expected:
        raise AgreementError(
            f"profile fl-{name} is account {actual}, the agreement says {expected}: correct the profile"
        )
    return session


def write(name: str, *, for_client: str = "") -> dict[str, Any]:
    """Return an account's card: outputs of its stacks; the server's also tells one client what was agreed on.

    Parameters
    ----------
    name : str
        Whose card; its session must be at hand.
    for_client : str
        For the server's card: who will read it. It holds this client's external id and nothing about the others.
    """
    session, mine = accounts.session(name), agreement.load()
    if name == "server" and for_client not in mine.external_ids:
        raise AgreementError(f"whose is this card? --for {' | '.join(mine.external_ids)}")
    wanted = [Stack(step.template, name) for step in blueprint.ALL if step.where != PER_CLIENT]
    wanted += [Stack("peering", name, peer=for_client)] if name == "server" else []
    there = set(stacks.names(session))
    card: dict[str, Any] = {"name": name, "account": accounts.identity(name, session).account}
    card["outputs"] = {stack.name: stacks.outputs(session, stack) for stack in wanted if stack.name in there}
    if name == "server":
        card["outputs"] |= own_cluster.for_card()
        card["agreed"] = asdict(mine.for_client(for_client))
    return card


def read(path: Path) -> str:
    """Keep a card that somebody sent; return whose it is.

    Raises
    ------
    AgreementError
        If it is no card, of nobody we know, of another account or with other addresses than were agreed on, or if it
        would make this machine forget what was agreed on with others. Nothing is kept then.
    """
    try:
        card = json.loads(path.read_text())
        name, account = card["name"], card["account"]
        agreed = Agreement(**card["agreed"]) if name == "server" and "agreed" in card else None
        cidr = card["outputs"].get("fl-network", {}).get("VpcCidr")
        named = [str(value) for stack in card["outputs"].values() for value in stack.values()]
    except FileNotFoundError as error:
        raise AgreementError(f"there is no file {path}") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise AgreementError(f"{path} is no card of this kit ({error!r}): ask its owner to send it again") from error
    known = agreed or agreement.load()
    if known.ids.get(name) != account:
        has = known.ids.get(name, "nobody of that name")
        raise AgreementError(f"{path} is {name}'s card, of account {account}; the agreement has {has}")
    if cidr not in (None, known.cidrs[name]):
        raise AgreementError(f"{path}: {name}'s network has the addresses {cidr}; agreed on are {known.cidrs[name]}")
    if foreign := [arn for arn in named if arn.startswith("arn:") and arn.split(":")[4:5] not in ([""], [account])]:
        raise AgreementError(f"{path}: {name}'s card names something of another account: {foreign[0]}")
    if agreed is not None:
        if lost := agreement.members() - agreed.external_ids.keys():
            raise AgreementError(
                f"{path} is the server's card for {', '.join(agreed.external_ids)}; this machine has agreed with "
                f"{', '.join(sorted(lost))} too and would forget it"
            )
        agreement.save(agreed)
    write_text(_folder() / f"{name}.json", json.dumps(card, indent=1), private=True)
    return name


def deploy(name: str, *, progress: deployment.Progress = lambda *_: None, review=lambda *_: None) -> tuple[list, str]:
    """Deploy an owner's stacks as far as the others' cards allow.

    Returns
    -------
    tuple
        One ``(stack, what was done)`` per stack, and what is missing to go on ("" if nothing is).
    """
    mine, done = federation([name]), []
    for step in blueprint.of(mine.choices):
        try:
            table = deployment.deploy(mine, [step], progress=progress, review=review)
        except MissingStep as missing:
            return done, str(missing)
        done += [(stack, line["did"]) for (_, stack), line in table.iterrows()]
    return done, ""


def _folder() -> Path:
    folder = state.home() / "cards"
    folder.mkdir(exist_ok=True, mode=0o700)
    return folder


def card_values(name: str) -> dict[str, Any]:
    """Return the outputs by stack that an account's last card told; nothing if there is no card."""
    path = _folder() / f"{name}.json"
    return read_object(path, remedy=f"join {name}'s card again").get("outputs", {})
