"""Program of the Spark job: builds an owner's table from the files that the job has been given."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from data_prep.cms import recipe, spark
from data_prep.errors import DataError

INPUT, OUTPUT = Path("/opt/ml/processing/input"), Path("/opt/ml/processing/output")


def main() -> int:
    """Build; say in a line what is wrong, where something is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=Path, default=INPUT / "files", help="folder of CMS's files")
    parser.add_argument(
        "--leie", type=Path, default=INPUT / "leie" / "UPDATED.csv", help="the OIG's list of exclusions"
    )
    parser.add_argument("--output", type=Path, default=OUTPUT, help="folder of the table")
    parser.add_argument("--choices", default="{}", help="JSON: years, fill, join, ...")
    given = parser.parse_args()
    from pyspark.sql import SparkSession  # pyright: ignore[reportMissingImports]  (a cluster has it)

    session = SparkSession.builder.appName("provider table").getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    try:
        made = spark.build_on(
            session, given.files, given.leie, given.output, recipe.Choices.of(json.loads(given.choices)), tell=_tell
        )
    except DataError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    finally:
        session.stop()
    print(f"{made.about['rows']} providers, {made.about['positive']} of them excluded later", flush=True)
    return 0


def _tell(name: str, _: int, size: int) -> None:
    print(f"reads {name}, {size:,} bytes", flush=True)


if __name__ == "__main__":
    sys.exit(main())
