"""The provider table with pandas: which columns to read, and which are numbers, is told."""

import json
import sys
from functools import reduce
from pathlib import Path

import pandas as pd

about = json.loads(Path(sys.argv[1]).read_text())
frames = []
for file in about["files"]:
    npi, numbers = file["npi"], file["numbers"]
    lines = pd.read_csv(file["path"], usecols=[npi, *numbers], dtype={npi: str}, na_values=["*", "#"])
    if file["patients"]:
        lines[file["patients"]] = lines[file["patients"]].fillna(5)
    made = lines.groupby(npi)[numbers].agg(["mean", "sum", "std"])
    made.columns = ["_".join((file["kind"], *each)) for each in made.columns]
    frames.append(made.rename_axis("npi").reset_index())
table = reduce(lambda one, other: one.merge(other, on="npi"), frames)
listed = pd.read_csv(about["leie"], usecols=["NPI", "EXCLTYPE"], dtype=str)
table["fraud"] = table["npi"].isin(listed["NPI"]).astype(int)
table.sort_values("npi").to_csv(about["out"], index=False)
