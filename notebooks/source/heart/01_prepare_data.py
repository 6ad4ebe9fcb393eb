# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # Prepare four hospitals' data: the same columns, and little else alike
#
# ${about} Four hospitals filled in the same form between 1981 and 1987, each in its own way. None of them will show its
# rows to another. You look at what differs, leave every row where it belongs, and let the four agree on one way to
# prepare their columns without showing a row.
#
# - **You will** read the tables, look at gaps and shares, give every row to its hospital, and add up four sets of sums.
# - **You will learn** what makes sites unlike, how a mean over everybody's rows is made from sums, and what a gap gives
#   away.
# - **You need** fifteen minutes to read and try, and notebook 00 with `CLIENTS = 4`.
#
# ![Each hospital counts, averages and sums its own rows; the server adds the sums up and returns one mean and one scale for each input](../images/sums.svg)

# %% tags=["parameters"]
DATA = "synthetic"  # synthetic | uci (fetches the published files) | path of their folder, or of a CSV file
SEED = 0  # any whole number: every draw in the workshop follows from it
BALANCE = "none"  # none | smote | smote_undersample
LOOK_AT = "cholesterol"  # cholesterol | heart_rate | st_depression | age | ...

# %% [markdown]
# | needs | makes |
# |---|---|
# | four client accounts, chosen in 00 | a folder of CSV files and a manifest for the server and for every hospital |
#
# ## Read the tables
# `synthetic` rows are drawn from statistics of the published ones: per hospital and class the same shares, spreads and
# gaps, and no patient's row. `uci` fetches the published files themselves: Janosi, Steinbrunn, Pfisterer and Detrano,
# *Heart Disease*, UCI Machine Learning Repository, CC BY 4.0, [doi 10.24432/C52P4X](https://doi.org/10.24432/C52P4X).

# %%
import numpy as np
import pandas as pd

from client_code import task
from data_prep import prepare, sources
from workshop import problems, state
from workshop.lessons import show
from workshop.science import baselines, plots

(target,) = state.load("target")
problem = problems.choose("heart")
known = {"cache": state.home() / "cache", "statistics": problems.statistics()}
table = sources.load(DATA, problem, seed=SEED, **known)
hospitals = table.frame.groupby(problem.owner, sort=False)
print(f"{table.source} rows: {len(table.frame):,}, {len(hospitals)} hospitals")

# %%
pd.set_option("display.max_colwidth", None)
described = pd.DataFrame(problem.columns).set_index("name")
show.prose(described[["kind", "unit", "missing", "meaning"]])

# %% [markdown]
# ## Look at who is sent there
# In one hospital a third of the patients is ill, in another nearly everybody. A model that learns at the second alone
# has hardly seen a healthy heart.

# %%
shares = hospitals[problem.label.name].agg(patients="size", ill="sum", share="mean")
shares.round(2)

# %% [markdown]
# ## Your turn: where is accuracy worth least?
# In which hospital would the same answer for every patient be right most often?

# %% tags=["exercise"]
from workshop.lessons import exercises

hospital = ...  # its name, in quotes
exercises.one_sided(hospital, shares["share"])

# %% tags=["solution"]
hospital = np.maximum(shares["share"], 1 - shares["share"]).idxmax()
exercises.one_sided(hospital, shares["share"])

# %% [markdown]
# ## Look at the gaps
# What is asked for is not what was measured. The published files write `?` where nothing was, and a *cholesterol of 0*,
# which no living patient has: both are gaps here. Dark is where a column is mostly empty.

# %%
empty = table.frame[list(problem.feature_names)].isna()
gaps = empty.groupby(table.frame[problem.owner], sort=False).mean().T
plots.grid(gaps, title="What each hospital did not measure")

# %% [markdown]
# ## Look at one column
# Choose another one by `LOOK_AT`. Each dot is a patient. The black bars are what each hospital would call the average
# patient: they differ, since the patients do.

# %%
plots.by_owner(table.frame, LOOK_AT, problem, title=f"{LOOK_AT}, hospital by hospital")

# %% [markdown]
# ## Leave every row where it is
# In the other track rows are dealt to clients. Here nobody deals: a row belongs to the hospital that wrote it. Twins are
# dropped first, a fifth of the rows is held out as the server's test table, and each hospital splits its own rest.
# Nothing is balanced: the rows are few, and both classes are common overall.

# %%
prepared = prepare.prepare(
    table,
    n_clients=target["clients"],
    how="given",
    balance=BALANCE,
    seed=SEED,
    folder=state.home() / "data",
)
prepared.steps

# %%
whose = pd.Series(prepared.whose, name="hospital")
counts = prepared.counts.join(whose).set_index("hospital", append=True)
counts[["train_rows", "train_positives", "validation_rows", "validation_positives"]]

# %% [markdown]
# ## Add up, do not collect
# A model needs columns on one scale, and gaps filled: with the mean over *all* patients, of words with the most frequent
# one. Nobody has all patients. But a mean is a sum divided by a count, and sums can be added up. Each hospital sends four
# lists: its rows, how many values each input has, their mean, and the sum of the squared deviations from it. Here for one
# input; a hospital without any value sends a count of 0, and a mean that then counts for nothing.

# %%
rows = {
    name: baselines.ClientRows.read(state.home() / "data" / name, problem)
    for name in prepared.whose
}
sent = {name: task.statistics(own.real[0], problem) for name, own in rows.items()}
scaler = task.pooled_scaler(list(sent.values()), problem)
place = problem.input_names.index(LOOK_AT)
values, means = (
    {name: arrays[which][place] for name, arrays in sent.items()} for which in (1, 2)
)
told = pd.DataFrame({"values": values, "mean": means}).join(whose).set_index("hospital")
told.loc["all, from the sums"] = told["values"].sum(), scaler.mean[place]
told.astype({"values": int}).round(1)

# %% [markdown]
# Is it the mean that one heap of all rows would have given, with gaps filled the same way? Only a workshop can look.

# %%
heap = np.concatenate([own.real[0] for own in rows.values()])
inputs = problem.transform(heap)
inputs = problem.filled(inputs, task.moments(inputs)[2])
away = np.abs(scaler.mean - inputs.mean(axis=0)).max()
wide = np.abs(scaler.scale - np.where(inputs.std(axis=0) > 0, inputs.std(axis=0), 1)).max()
print(f"equal to the pooled preparation to 1e-12: {max(away, wide) < 1e-12}")
print(
    f"{len(problem.features)} columns became {len(problem.input_names)} inputs of the model"
)

# %% [markdown]
# ## What if each hospital scaled by itself?
# Take one patient, average in every number. Scaled by each hospital's own mean and spread, the same patient looks
# different in every hospital, and a common model would have to believe all four.

# %%
alone = {
    prepared.whose[name]: task.pooled_scaler([arrays], problem)
    for name, arrays in sent.items()
}
numbers = [name for name in problem.shown if name in problem.input_names]
columns = [problem.input_names.index(name) for name in numbers]
seen = {
    name: (scaler.mean[columns] - own.mean[columns]) / own.scale[columns]
    for name, own in alone.items()
}
pd.DataFrame(seen, index=numbers).T.round(2)

# %% [markdown]
# ## Keep the choices

# %%
state.save(data=prepared.record())

# %% [markdown]
# ## Check

# %%
dealt = prepared.counts["train_rows"].sum() + prepared.counts["validation_rows"].sum()
assert dealt + prepared.test_rows == prepared.steps["rows"].iloc[1], "a row has no owner"
assert list(prepared.whose.values()) == list(shares.index), "a row was dealt to another"
assert max(away, wide) < 1e-12, "the sums are not those of all rows"
assert max(np.abs(line).max() for line in seen.values()) > 0.1, "the hospitals are alike"
print("every row stayed where it was, and four hospitals share one scale")

# %% [markdown]
# ## What you saw
# Four tables with the same columns, and other patients, other gaps, other shares of illness. What the hospitals agree on
# is a mean and a scale for each input; what they showed for it is counts and sums.
#
# ## Three questions
# <details><summary>Cholesterol was measured at one hospital for nobody. What does its model learn of it?</summary>
#
# Every patient there gets the mean of the other hospitals' patients, so the column says nothing about them; that it is
# missing is an input of its own. Alone, the hospital would have no mean to fill in.
# </details>
# <details><summary>What does the input "cholesterol is missing" give away?</summary>
#
# Nearly which hospital a patient was in, and with it how ill patients there are. It makes a score over all hospitals
# better without helping any single one: notebook 04 takes it away and looks.
# </details>
# <details><summary>Could a hospital be picked out of the sums?</summary>
#
# The server sees each hospital's sums, not only their total: counts, means, spreads. It sees no row. Below 50 rows a
# hospital's job refuses, for sums over few rows say too much about a single one.
# </details>
#
# **Next:** [02_connect_accounts](../02_connect_accounts.ipynb) brings the files to their owners' buckets.
