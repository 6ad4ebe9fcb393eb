"""Command line ``fl``: commands behind the Makefile, and those with which an owner works alone.

``fl COMMAND --help`` or ``python -m workshop COMMAND --help``.
"""

from __future__ import annotations

import argparse
import importlib
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from data_prep.errors import DataError
from workshop.errors import WorkshopError
from workshop.files import CMS_TABLE, IS_CLONE

OWNERS = "owners.commands"
# These read or write notebooks, pages or the whole kit, which an installed wheel does not hold.
NEED_A_CLONE = {"run", "lab", "render", "results", "blueprint", "rooms", "bundle", "privacy"}
Add = Callable[[str, str, Callable, str], argparse.ArgumentParser]  # name, module, what it calls, help


def arguments() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="fl" if Path(sys.argv[0]).name == "fl" else "python -m workshop", description=__doc__
    )
    commands = parser.add_subparsers(dest="command", required=True)

    def command(name: str, module: str, call: Callable, text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.set_defaults(module=module, call=call)
        return added

    _for_makers(command)
    _for_owners(command)
    _for_tables(command)
    _for_runs(command)
    return parser


def main() -> int:
    """Run one command; its module is imported only when it is asked for."""
    options = arguments().parse_args()
    try:
        if options.command in NEED_A_CLONE and not IS_CLONE:
            raise WorkshopError(f"`fl {options.command}` works on the repository's files: run it in a clone")
        return options.call(importlib.import_module(f"workshop.{options.module}"), options)
    except (WorkshopError, DataError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; the same command again does no harm", file=sys.stderr)
        return 128 + signal.SIGINT


def _for_makers(command: Add) -> None:
    run = command("run", "lessons.run", lambda m, o: m.main(o.output.resolve()), "run every notebook in order")
    run.add_argument("--output", type=Path, default=Path("build/workshop"))
    command("lab", "lessons.kernels", lambda m, o: m.main(), "open JupyterLab to follow step by step")
    render = command("render", "lessons.render", lambda m, o: m.main(o.names, o.track), "render notebooks/source/")
    render.add_argument(
        "names", nargs="*", help="only these notebooks, such as 03, of the fraud track if none is named"
    )
    render.add_argument("--track", default="", help="only this track, such as heart")
    command("bench", "tools.bench", lambda m, o: m.main(), "measure the federation against the plain loop")
    agents = command("bench-agents", "tools.bench_agents", lambda m, o: m.main(o.json), "measure agents that wait")
    agents.add_argument("--json", action="store_true", help="a line of JSON in the place of a table")
    wide = command("bench-table", "tools.wide", lambda m, o: m.main(o.rows, o.columns), "measure reading a wide table")
    wide.add_argument("--rows", type=int, default=1_000_000)
    wide.add_argument("--columns", type=int, default=200)
    results = command("results", "tools.results", lambda m, o: m.main(o.table, o.heart), "render docs/results.md")
    results.add_argument("table", help="the curated table")
    results.add_argument("heart", nargs="?", default="uci", help="the folder of UCI's heart files; else fetched")
    command("blueprint", "aws.blueprint", lambda m, o: m.main(), "write the table of cloudformation/README.md")
    command("rooms", "tools.rooms", lambda m, o: m.main(), "draw docs/rooms.md from the imports")
    command("privacy", "federation.crossing", lambda m, o: m.main(), "write docs/privacy.md: what crosses the line")
    wheels = command("wheelhouse", "packing.wheelhouse", lambda m, o: m.main(o.versions), "collect the wheels of jobs")
    wheels.add_argument("versions", nargs="*", help="Python versions; else the image's and this one")
    command("bundle", "packing.bundle", lambda m, o: m.main(), "pack the kit, and a Python, for a notebook instance")


def _agree(module: ModuleType, options: argparse.Namespace) -> int:
    return module.agree(options.clients, network=options.network, port=options.port, cidrs=options.cidr)


def _prepare(module: ModuleType, options: argparse.Namespace) -> int:
    return module.prepare(options.name, options.table, seed=options.seed, problem=options.problem)


def _for_owners(command: Add) -> None:
    machine = "of this account's job: ml.m5.large (the default), ml.m5.xlarge, ml.t3.large or ml.t3.medium"
    agree = command("agree", OWNERS, _agree, "server: begin")
    agree.add_argument("clients", nargs="+", metavar="NAME=ACCOUNT", help="such as client-1=444455556666")
    agree.add_argument("--network", default="10.80.0.0/16", help="private addresses that none of the accounts uses")
    agree.add_argument("--port", type=int, default=0)
    agree.add_argument(
        "--cidr", action="append", default=[], metavar="NAME=CIDR", help="of who has a VPC already; may be given again"
    )
    rotate = command("rotate", OWNERS, lambda m, o: m.rotate(o.name), "server: a new external id for a client")
    rotate.add_argument("name", help="the client's name")
    card = command("card", OWNERS, lambda m, o: m.card(o.name, o.for_client), "print what the others must know")
    card.add_argument("name", help="your account's name")
    card.add_argument("--for", dest="for_client", default="", help="the server's card: for which client")
    join = command("join", OWNERS, lambda m, o: m.join(o.cards), "read cards that others have sent")
    join.add_argument("cards", nargs="+", type=Path)
    quota = command(
        "quotas", OWNERS, lambda m, o: m.show_quotas(o.name, ask=o.request, instance_type=o.instance_type),
        "what AWS lets your account have, before anything is created",
    )  # fmt: skip
    quota.add_argument("name", help="your account's name")
    quota.add_argument("--request", action="store_true", help="ask AWS for what is missing")
    quota.add_argument("--instance-type", help=machine)
    deploy = command(
        "deploy", OWNERS,
        lambda m, o: m.deploy(
            o.name, yes=o.yes, instance_type=o.instance_type, endpoints=o.endpoints, idle_minutes=o.idle_minutes,
            tracker=o.tracker, tables=o.tables,
            kick_off=o.kick_off, platform=o.platform, parameters=o.set, tags=o.tag,
        ),
        "deploy your account's stacks",
    )  # fmt: skip
    deploy.add_argument("name", help="your account's name")
    deploy.add_argument("--instance-type", help=machine)
    deploy.add_argument("--tables", help="client: brought (the default), or built: a role for `fl cms job`")
    deploy.add_argument("--tracker", help="server: here (the default), or app: an MLflow app of SageMaker's as well")
    deploy.add_argument("--endpoints", help="needed (the default), or all: every service, two zones, $0.14 an hour")
    deploy.add_argument("--kick-off", help="who writes a job's request: owner (the default), or published: the server")
    deploy.add_argument("--platform", help="sagemaker (the default): jobs; or kubernetes: an agent in a cluster")
    deploy.add_argument(
        "--idle-minutes", type=int, help="server: after which the idle notebook instance stops; 0 never"
    )
    deploy.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE",
        help="a parameter of the templates, such as PermissionsBoundary (docs/platform-team.md); may be given again",
    )  # fmt: skip
    deploy.add_argument("--tag", action="append", default=[], metavar="KEY=VALUE", help="a tag of all that is made")
    deploy.add_argument("--yes", action="store_true", help="make changes to standing stacks without asking")
    cluster = command(
        "cluster",
        OWNERS,
        lambda m, o: m.cluster(o.name, image=o.image),
        "push your image, apply your manifests (docs/run-on-eks.md)",
    )
    cluster.add_argument("name", help="your account's name")
    cluster.add_argument("--image", type=Path, metavar="FOLDER", help="the image that you have built, an OCI layout")
    prepare = command("prepare", OWNERS, _prepare, "write your own files")
    prepare.add_argument("name", help="your account's name")
    prepare.add_argument("table", help="your table: a CSV file with the columns of the problem")
    prepare.add_argument("--problem", default="", help="fraud (the default), heart, or the path of a .toml file")
    prepare.add_argument("--seed", type=int, default=0)
    upload = command(
        "upload", OWNERS, lambda m, o: m.upload(o.name, tell_again=o.tell_again), "upload your files; 01 wrote them"
    )
    upload.add_argument("name", help="your account's name")
    upload.add_argument("--tell-again", action="store_true", help="tell sums of rows that differ by a few from others")
    delete = command("delete", OWNERS, lambda m, o: m.delete(o.name, yes=o.yes), "delete everything in your account")
    delete.add_argument("name", help="your account's name")
    delete.add_argument("--yes", action="store_true", help="do not ask")
    first = command(
        "first-run", "first_run",
        lambda m, o: m.main(o.report, yes=o.yes, instance_type=o.instance_type, endpoints=o.endpoints),
        "for who holds two accounts: try all that nobody could know, clean up, write a report without ids",
    )  # fmt: skip
    first.add_argument("--report", type=Path, default=Path("first-run.md"))
    first.add_argument("--yes", action="store_true", help="do not ask")
    first.add_argument("--instance-type", help=machine)
    first.add_argument("--endpoints", help="needed (the default), or all: then the report tells which carry a packet")
    doctor = command("doctor", OWNERS, lambda m, o: m.examine(o.names), "look at everything that must be right")
    doctor.add_argument("names", nargs="*", help="the accounts at hand; else all")


def _for_tables(command: Add) -> None:
    text = "a table of your own: draft, check, statistics"
    table = command("table", "owners.tables", lambda m, o: o.does(m, o), text)
    actions = table.add_subparsers(required=True, metavar="draft | check | statistics")

    def action(name: str, does: Callable, text: str) -> argparse.ArgumentParser:
        added = actions.add_parser(name, help=text, description=text)
        added.set_defaults(does=does)
        return added

    draft = action(
        "draft",
        lambda m, o: m.draft(
            o.table,
            o.output,
            label=o.label,
            identifiers=o.id,
            categories=o.categories,
            owner=o.owner,
            positive=o.positive,
            force=o.force,
        ),
        "write a problem file from a table, with what was guessed and why, and no cell of it",
    )
    draft.add_argument("table", type=Path, help="a CSV file with a header")
    draft.add_argument("--label", required=True, help="the column to be learnt, of 0 and 1, or of two words")
    draft.add_argument("--positive", default="", metavar="WORD", help="of a label of two words the one looked for")
    draft.add_argument("--id", nargs="+", default=[], help="columns that name a row's subject; they reach no model")
    draft.add_argument("--categories", nargs="+", default=[], help="columns whose words every client may read")
    draft.add_argument("--owner", default="", help="the column that says whose row it is, if there are several owners")
    draft.add_argument("--output", type=Path, help="the file to write, such as my.toml; else it is printed")
    draft.add_argument("--force", action="store_true", help="write over the file that is there")
    check = action("check", lambda m, o: m.check(o.problem, o.table), "tell all that is wrong with a table, at once")
    statistics = action(
        "statistics",
        lambda m, o: m.statistics(o.problem, o.table, o.output),
        "write what synthetic rows can be drawn from: marginals and correlations",
    )
    for added in (check, statistics):
        added.add_argument("problem", type=Path, help="a problem file, such as my.toml")
        added.add_argument("table", type=Path, help="a CSV file")
    statistics.add_argument("--output", type=Path, help="the file to write; else my.statistics.json beside my.toml")
    cms = command(
        "cms", "owners.provider_table", lambda m, o: o.does(m, o), "the provider table, from the files of CMS"
    )
    actions = cms.add_subparsers(required=True, metavar="build | generate | job | columns")
    build = action(
        "build",
        lambda m, o: m.build(o.folder, o.leie, o.output, chosen=o.choose),
        "build the table from published files",
    )
    job = action(
        "job",
        lambda m, o: m.job(
            o.name, o.folder, o.leie, o.output, chosen=o.choose, instance_type=o.instance_type, instances=o.instances
        ),
        "build it in your account, by a Spark job on what is in your bucket (`fl deploy NAME --tables built` before)",
    )
    job.add_argument("name", help="your account's name")
    job.add_argument(
        "--instance-type", default="ml.m5.xlarge", help="of the job: ml.m5.xlarge (the default), or another"
    )
    job.add_argument("--instances", type=int, default=1, help="machines of the job")
    for added in (build, job):
        added.add_argument("folder", type=Path, help="with the files, unpacked or not: docs/cms-files.md says which")
        added.add_argument(
            "--leie", type=Path, required=True, metavar="UPDATED.csv", help="the OIG's list of exclusions"
        )
        added.add_argument("--output", type=Path, default=CMS_TABLE, help="folder; build/cms unless you say so")
        added.add_argument(
            "--choose", action="append", default=[], metavar="NAME=VALUE", help="such as fill=0; may be given again"
        )
    generate = action(
        "generate",
        lambda m, o: m.generate(o.folder, providers=o.providers, years=o.years, rate=o.rate, seed=o.seed),
        "write files in the layout of CMS and the OIG, of nobody",
    )
    generate.add_argument("folder", type=Path)
    generate.add_argument("--providers", type=int, default=12_000)
    generate.add_argument("--years", type=int, nargs="+", default=[2018, 2019])
    generate.add_argument("--rate", type=float, default=0.0006, help="excluded for fraud after the last year")
    generate.add_argument("--seed", type=int, default=0)
    action("columns", lambda m, o: m.write_columns(), "write docs/cms-columns.md: what each column means")


def _for_runs(command: Add) -> None:
    console = command(
        "console",
        "console.page",
        lambda m, o: m.main(o.port, proxied=o.proxied),
        "serve the console: start runs, watch them",
    )
    console.add_argument("--port", type=int, default=0, help="0 (the default): a free one")
    console.add_argument("--proxied", action="store_true", help="on a notebook instance: for jupyter-server-proxy")
    text = "runs that were recorded here: list, show, send to a tracker, open the tracker's page"
    track = command("track", "tracking.commands", lambda m, o: o.does(m, o), text)
    actions = track.add_subparsers(required=True, metavar="runs | show | send | page")

    def action(name: str, does: Callable, text: str) -> argparse.ArgumentParser:
        added = actions.add_parser(name, help=text, description=text)
        added.set_defaults(does=does)
        return added

    action("runs", lambda m, o: m.runs(), "list every run, the last one first")
    show = action("show", lambda m, o: m.show(o.run), "tell what a run was given, and what became of it")
    send = action(
        "send", lambda m, o: m.send(o.run, o.to, wait=o.wait), "write a run into a tracker; twice does no harm"
    )
    lead = action("lead", lambda m, o: m.lead(o.run), "lead a run that the console has asked for")
    for added in (show, send, lead):
        added.add_argument("run", help="its id, as `fl track runs` lists it")
    send.add_argument(
        "--to", default="here", help="here, an MLflow server's address, the ARN of an MLflow app, or experiments"
    )
    send.add_argument(
        "--wait", action="store_true", help="stay until the run is over, and send every round as it comes"
    )
    page = action("page", lambda m, o: m.page(o.port, o.app), "open MLflow's page on this machine's runs")
    page.add_argument("--port", type=int, default=0, help="0 (the default): a free one")
    page.add_argument(
        "--app", help="ARN of an MLflow app: print an address of its page, good once and for five minutes"
    )


if __name__ == "__main__":
    sys.exit(main())
