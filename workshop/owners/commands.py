"""Commands of an owner who works alone in one account: agree, card, join, deploy, upload, doctor, delete."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from client_code import schema
from data_prep import prepare as preparation
from data_prep import sources
from data_prep.errors import DataError
from workshop import problems, state
from workshop.aws import (
    accounts,
    agreement,
    blueprint,
    choices,
    cleanup,
    connections,
    images,
    quotas,
    stacks,
    uploads,
)
from workshop.aws.choices import Choices
from workshop.aws.members import Members
from workshop.aws.stacks import Change, Stack
from workshop.aws.steps import Placement
from workshop.clusters import emptying
from workshop.errors import AgreementError
from workshop.owners import cards, doctor, own_cluster


def agree(clients: Sequence[str], *, network: str, port: int, cidrs: Sequence[str]) -> int:
    """The server's owner names the clients; addresses and external ids are drawn and kept."""
    pairs = {name: account for name, _, account in (client.partition("=") for client in clients)}
    if len(pairs) < len(clients) or any(name != f"client-{number}" for number, name in enumerate(pairs, 1)):
        raise AgreementError("name the clients client-1, client-2, ... in this order, each once")
    if not 0 <= port < 65536:
        raise AgreementError(f"--port {port} is no port")
    wrong = [name for name, account in pairs.items() if not (len(account) == 12 and account.isdigit())]
    if wrong:
        raise AgreementError(f"{wrong[0]}={pairs[wrong[0]]}: an account id has 12 digits")
    server = accounts.session("server")
    ids = {"server": accounts.identity("server", server).account, **pairs}
    requester, requester_id = accounts.principal("server", server)
    agreed = agreement.agree(
        ids, network=network, requester=requester, requester_id=requester_id, port=port, own=_pairs(cidrs, "--cidr")
    )
    for name, cidr in agreed.cidrs.items():
        print(f"{name:10} {ids[name]}  {cidr}")
    return 0


def rotate(name: str) -> int:
    """The server's owner draws a new external id for a client, who learns it from the next card."""
    agreement.rotate(name)
    print(f"{name} has a new external id. Now, in this order:")
    print(f"  send its owner a new card (card server --for {name}): join, deploy {name}")
    print("  upload server: the notebook instance learns it too; until then it cannot borrow the role")
    return 0


def card(name: str, for_client: str) -> int:
    """Print a card, to be sent over a way that only its reader can read."""
    print(json.dumps(cards.write(name, for_client=for_client), indent=1))
    return 0


def join(paths: Sequence[Path]) -> int:
    """Keep the cards that others have sent."""
    for path in paths:
        print(f"{cards.read(path)}'s card is kept")
    return 0


def show_quotas(name: str, *, ask: bool, instance_type: str | None) -> int:
    """Print what an account needs of AWS's quotas and has, before anything is created; ask for what it lacks."""
    chosen = choices.choose(instance_type=instance_type)
    session, need = accounts.session(name), quotas.needed(name, chosen)
    has = quotas.value(session, need.quota)
    print(f"{need.quota}: {has:.0f}, needed are {need.at_least}")
    if has >= need.at_least:
        return 0
    print(quotas.request(session, need) if ask else "the same with --request asks AWS for it: minutes to days")
    return 1


def deploy(
    name: str, *, parameters: Sequence[str], tags: Sequence[str], yes: bool = False, **chosen: str | int | None
) -> int:
    """Deploy as far as the others' cards allow; a change of a standing stack is shown and asked about first."""
    named, tracker = _pairs(parameters, "--set"), str(chosen.get("tracker") or "here")
    blueprint.check(Choices(parameters=named, tracker=tracker))
    choices.choose(parameters=named, tags=_pairs(tags, "--tag"), **chosen)

    def progress(place: Placement, status: str, done: int, of: int) -> None:
        if not status.endswith("_IN_PROGRESS"):
            print(f"  {Stack(place.step.template, place.account, peer=place.peer).name}: {status}", flush=True)

    def review(place: Placement, changes: tuple[Change, ...]) -> None:
        print(f"{place.step.template} would change:")
        for change in changes:
            anew = " (made anew)" if change.replacement == "True" else ""
            print(f"  {change.action} {change.resource} ({change.type}){anew}")
        if not yes and (not sys.stdin.isatty() or input("make these changes? [y/N] ").lower() != "y"):
            raise AgreementError("nothing was changed; --yes changes without asking")

    done, missing = cards.deploy(name, progress=progress, review=review)
    for stack, did in done:
        print(f"{stack:32} {did}")
    if missing:
        print(f"waiting: {missing}")
        return 3
    print(f"all stacks of {name} stand; send your card to the others if they wait for it")
    return 0


def cluster(name: str, *, image: Path | None = None) -> int:
    """Push an owner's image and apply its manifests: the server's address, or a hospital's agent.

    Parameters
    ----------
    image : Path
        The image as an OCI layout, a folder.
    """
    for line in own_cluster.bring_up(name, cards.federation([name]), layout=image):
        print(line)
    return 0


def _pairs(given: Sequence[str], option: str) -> dict[str, str]:
    if wrong := [pair for pair in given if not pair.partition("=")[0] or "=" not in pair]:
        raise AgreementError(f"{option} {wrong[0]}: write NAME=VALUE; NAME= takes back what was chosen before")
    return dict(pair.split("=", 1) for pair in given)


def prepare(name: str, table: str, *, seed: int, problem: str = "") -> int:
    """Split, balance and write an owner's own rows; of the server's the whole table is for testing."""
    if (known := agreement.members()) and name not in {"server", *known}:
        raise AgreementError(f"{name} is not in the agreement: {', '.join(sorted({'server', *known}))} are")
    try:
        described = problems.choose(problem) if problem else problems.load()
        rows = sources.load(table, described, seed=seed, cache=state.home() / "cache", statistics=problems.statistics())
        counts = preparation.prepare_one(rows, name=name, seed=seed, folder=state.home() / "data")
    except schema.TableError as error:
        raise DataError(str(error)) from error
    for part, count in counts.items():
        print(f"{part:22} {count}")
    if name == "server":
        clients = dict.fromkeys(member for member in agreement.load().ids if member != "server")
        state.save(data={"source": rows.source, "sha256": rows.sha256, "seed": seed, "clients": clients})
    return 0


def upload(name: str, *, tell_again: bool = False) -> int:
    """Upload an owner's files; the server's notebook finds there what it has to know."""
    mine = cards.federation([name])
    session = mine.sessions[name]
    bucket = stacks.outputs(session, Stack("storage", name))["Bucket"]
    print(uploads.upload(name, session, bucket, tell_again=tell_again).to_string())
    if name == "server":
        mine.outputs["server"] = {
            stack: stacks.outputs(session, Stack(stack.removeprefix(stacks.PREFIX), "server"))
            for stack in stacks.names(session)
        }
        if choices.load().platform == "sagemaker":  # of clusters, `fl cluster server` writes it down
            state.save(accounts=connections.connection_data(mine, image=images.training_image(session.region_name)))
        elif not state.entry("accounts"):
            state.save(accounts={})
        print(", ".join(uploads.publish(session, bucket)), "are ready for the notebook instance")
    return 0


def examine(names: Sequence[str]) -> int:
    """Print the doctor's findings; return 1 if something is wrong."""
    agreed = agreement.load()
    outputs = {name: cards.card_values(name) for name in agreed.ids}
    wanted = names or [name for name in agreed.ids if accounts.has_profile(name)]
    members = Members({name: accounts.session(name) for name in wanted}, agreed, outputs, choices.load())
    findings = doctor.examine(members)
    for of, line in findings.iterrows():
        print(f"{'ok   ' if line['ok'] else 'WRONG'} {of:13} {line['checked']:16} {line['found']}")
        if not line["ok"]:
            print(f"      -> {line['remedy']}")
    return 0 if findings["ok"].all() else 1


def delete(name: str, *, yes: bool = False) -> int:
    """Delete everything of the workshop in one account, once that is confirmed, and show that nothing is left."""
    agreed = agreement.load() if agreement.members() else None
    sessions = {name: cards.own_session(name, agreed) if agreed else accounts.session(name)}
    there = cleanup.left_over(sessions)
    print(f"account {accounts.identity(name, sessions[name]).account}, to be deleted:")
    for kind, items in there.groupby("kind", sort=False):
        print(f"  {len(items)} x {kind}: {', '.join(items['name'][:5])}{', ...' * (len(items) > 5)}")
    if len(there) and not yes and (not sys.stdin.isatty() or input("delete all of it? [y/N] ").lower() != "y"):
        raise AgreementError("nothing was deleted; --yes deletes without asking")

    def show(_: str, stack: str, status: str, *__: int) -> None:
        if status.endswith("COMPLETE"):
            print(f"  {stack}: {status}")

    emptying.empty(sessions, progress=show)
    cleanup.delete_all(sessions, progress=show)
    left = cleanup.left_over(sessions)
    print(left.to_string() if len(left) else f"nothing is left in {name}")
    return 1 if len(left) else 0
