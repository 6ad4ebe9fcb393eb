#!/usr/bin/env bash
# duckdb 2.0.1, pyspark 4.3.0 (PyPI), Python 3.11; Java 17 or later on PATH, for Spark
#
# What happens: one text of SQL squares a DECIMAL(18, 8), as a sum of squares does. Both engines call the scale of the
# product 16. Spark makes the product as wide as it can become, DECIMAL(37, 16). DuckDB keeps a product of two numbers of
# at most 18 digits within 18 digits, so that two are left before the point: 12.5 times 12.5 overflows. With one factor
# cast to DECIMAL(19, 8) DuckDB widens too, and both give the same number.
#
# Seen:              DuckDB: OutOfRangeException for 12.5 squared, 156.25 with the cast; Spark: 156.25 both times
# The good guess:    a product of decimals has the digits of both factors together, as the SQL engines say of themselves
#
# Exits 0 while that is so, 1 when it changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-compile duckdb==2.0.1 pyspark==4.3.0
cat > "$folder/multiply.py" << 'PYTHON'
import sys

import duckdb
from pyspark.sql import SparkSession

NARROW = "select x * x as y from (select cast('12.5' as decimal(18, 8)) as x) as t"
WIDE = "select cast(x as decimal(19, 8)) * x as y from (select cast('12.5' as decimal(18, 8)) as x) as t"
session = (
    SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false")
    .config("spark.driver.host", "127.0.0.1").config("spark.driver.bindAddress", "127.0.0.1").getOrCreate()
)
seen = {}
for name, sql in (("narrow", NARROW), ("wide", WIDE)):
    try:
        seen["duckdb", name] = str(duckdb.execute(sql).fetchall()[0][0].normalize())
    except duckdb.OutOfRangeException as error:
        seen["duckdb", name] = type(error).__name__
    seen["spark", name] = str(session.sql(sql).first()[0].normalize())
session.stop()
for key, value in seen.items():
    print(*key, value)
expected = {("duckdb", "narrow"): "OutOfRangeException", ("duckdb", "wide"): "156.25", ("spark", "narrow"): "156.25"}
sys.exit(0 if seen == expected | {("spark", "wide"): "156.25"} else 1)
PYTHON
"$folder/venv/bin/python" "$folder/multiply.py" 2> "$folder/log" || { tail -n 3 "$folder/log"; exit 1; }
