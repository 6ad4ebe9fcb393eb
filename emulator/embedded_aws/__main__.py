"""Command line: ``python -m embedded_aws [OPTIONS] run -- CMD | start | status | stop | serve``."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from embedded_aws import PARENT, control, settings
from embedded_aws.gate import organization


def main(argv: list[str] | None = None) -> int:
    """Do what the command line says; return the exit code."""
    try:
        os.environ[settings.VARIABLE] = settings.read().dumps()  # for whatever is started from here
    except settings.SettingsError as error:
        print(error, file=sys.stderr)
        return 1
    options = _parse(sys.argv[1:] if argv is None else argv)
    files = control.Files((options.home or control.default_home()).resolve())
    if options.network:
        os.environ[control.NETWORK] = options.network  # for the server, which is a process of its own
    if options.control_policy:
        os.environ[organization.VARIABLE] = os.pathsep.join(str(path.resolve()) for path in options.control_policy)
    try:
        organization.control_policies()
        return _COMMANDS[options.command](files, options)
    except (control.EmbeddedAWSError, organization.ControlPolicyError) as error:
        print(error, file=sys.stderr)
    except OSError as error:
        print(f"cannot use {error.filename or files.folder}: {error.strerror or error}", file=sys.stderr)
    return 1


def _parse(argv: list[str]) -> argparse.Namespace:
    chosen = settings.read()
    parser = argparse.ArgumentParser(prog="python -m embedded_aws", description="AWS on loopback, without an account")
    parser.add_argument("--home", type=Path, help=f"default: ${chosen.home_variable} or {chosen.home}")
    parser.add_argument("--clients", type=int, default=10, metavar="N", help="client accounts (default: 10)")
    parser.add_argument(
        "--network",
        choices=control.NETWORKS,
        help="how jobs meet routes and security groups: through a proxy, or in namespaces of the kernel (root, Linux)",
    )
    parser.add_argument(
        "--control-policy", type=Path, action="append", default=[], metavar="FILE",
        help="a service control policy of the organisation that all accounts belong to; several: give it again",
    )  # fmt: skip
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="run a command with an embedded AWS that ends with it")
    run.add_argument("cmd", nargs=argparse.REMAINDER, metavar="-- CMD", help="the command and its arguments")
    commands.add_parser("start", help="start an embedded AWS in the background, which stays until it is told to stop")
    commands.add_parser("status", help="say whether one runs")
    commands.add_parser("stop", help="end it, with its jobs")
    serve = commands.add_parser("serve", help="run one in the foreground, which ends with whoever started it")
    serve.add_argument(
        "--lifeline", type=int, metavar="FD", help="end with the end of this descriptor, such as a pipe's, too"
    )
    options = parser.parse_args(argv)
    if not 1 <= options.clients <= 999:
        parser.error("--clients takes 1 to 999")
    if options.command == "run":
        options.cmd = options.cmd[1:] if options.cmd[:1] == ["--"] else options.cmd
        if not options.cmd:
            run.error("a command is needed: run -- CMD")
    return options


def _run(files: control.Files, options: argparse.Namespace) -> int:
    control.run(files, options.cmd, n_clients=options.clients)


def _start(files: control.Files, options: argparse.Namespace) -> int:
    running = control.start(files, n_clients=options.clients)
    print(f"embedded AWS at {running.endpoint}, process {running.pid}; use it with:")
    chosen = settings.read()
    profile = chosen.profile.format(chosen.first)
    print(f"  export AWS_CONFIG_FILE={files.config} AWS_SHARED_CREDENTIALS_FILE={files.config} AWS_PROFILE={profile}")
    if running.namespace:
        print(f"start the server's notebook where its network interface is:\n  nsenter --net={running.namespace} CMD")
    print(f"stop it with:\n  python -m embedded_aws --home {files.home} stop")
    return 0


def _status(files: control.Files, options: argparse.Namespace) -> int:
    if running := control.find(files):
        print(f"running at {running.endpoint}, process {running.pid}, for {time.time() - running.started:.0f} s")
        return 0
    if process := control.silent(files):
        print(f"runs, does not answer (process {process.pid}); end it with:")
        print(f"  python -m embedded_aws --home {files.home} stop")
    else:
        print("not running")
    return 1


def _stop(files: control.Files, options: argparse.Namespace) -> int:
    print("stopped" if control.stop(files) else "was not running")
    return 0


def _serve(files: control.Files, options: argparse.Namespace) -> int:
    control.network_mode()
    command = control.server_command(files, n_clients=options.clients, parent=PARENT, lifeline=options.lifeline)
    if options.lifeline is not None:
        os.set_inheritable(options.lifeline, True)
    os.execve(command[0], command, control.server_environment())  # noqa: S606 - a list, no shell


_COMMANDS = {"run": _run, "start": _start, "status": _status, "stop": _stop, "serve": _serve}

if __name__ == "__main__":
    sys.exit(main())
