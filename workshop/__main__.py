"""Commands behind the Makefile: ``python -m workshop run | render | bench | results``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def main() -> int:
    """Run one command; each is imported only when it is asked for."""
    parser = argparse.ArgumentParser(prog="python -m workshop", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="run every notebook in order; options come from the environment")
    run.add_argument("--output", type=Path, default=Path("build/workshop"))
    render = commands.add_parser("render", help="render notebooks/source/*.py to executed notebooks")
    render.add_argument("names", nargs="*", help="only these notebooks, such as 03")
    commands.add_parser("bench", help="measure the federation against the plain loop")
    results = commands.add_parser("results", help="render docs/results.md from five seeds")
    results.add_argument("table", help="the curated table")
    options = parser.parse_args()
    if options.command == "run":
        from workshop import run as command

        return command.main(options.output.resolve())
    if options.command == "render":
        from workshop import render as command

        return command.main(options.names)
    if options.command == "bench":
        from workshop import bench as command

        return command.main()
    from workshop import results as command

    return command.main(options.table)


if __name__ == "__main__":
    sys.exit(main())
