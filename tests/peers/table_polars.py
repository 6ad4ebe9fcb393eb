"""The provider table with polars, streaming: which columns to read, and which are numbers, is told."""

import json
import sys
from functools import reduce
from pathlib import Path

import polars as pl  # pyright: ignore[reportMissingImports]  (the benchmark installs it)

about = json.loads(Path(sys.argv[1]).read_text())
frames = []
for file in about["files"]:
    npi, numbers = file["npi"], file["numbers"]
    types = {npi: pl.String, **dict.fromkeys(numbers, pl.Float64)}
    lines = pl.scan_csv(file["path"], null_values=["*", "#"], schema_overrides=types)
    lines = lines.select(pl.col(npi).alias("npi"), *numbers)
    if file["patients"]:
        lines = lines.with_columns(pl.col(file["patients"]).fill_null(5))
    each = [
        getattr(pl.col(name), how)().alias(f"{file['kind']}_{name}_{how}")
        for name in numbers
        for how in ("mean", "sum", "std")
    ]
    frames.append(lines.group_by("npi").agg(each))
table = reduce(lambda one, other: one.join(other, on="npi"), frames)
listed = pl.scan_csv(about["leie"], infer_schema=False).select(pl.col("NPI").alias("npi"), pl.lit(1).alias("fraud"))
made = table.join(listed.unique(), on="npi", how="left").sort("npi")
made.collect(engine="streaming").write_csv(about["out"])
