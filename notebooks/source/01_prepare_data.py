# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # Prepare the data: who owns which row
#
# ${about}
# You follow the rows from the table to their owners, and see where a careless step would spoil every result.
#
# - **You will** read a table, deduplicate it, hold out a test table, give every other row one owner, and balance the
#   training rows with SMOTE.
# - **You will learn** why each step stands where it stands.
# - **You need** twelve minutes to read and try, and notebook 00.
#
# ![Deduplicate, hold out the server's test table, give every row one owner, split in validation and training, apply SMOTE to training rows only](images/rows.svg)

# %% tags=["parameters"]
PROBLEM = "fraud"  # fraud | heart | path of a .toml file that describes your own table
DATA = "synthetic"  # synthetic | curated, cms (fraud) | uci (heart) | path of a CSV file with these columns
SEED = 0  # any whole number: every draw in the workshop follows from it
PARTITION = "iid"  # iid | similar_providers | label_skew | given (by its owner column) | of cms: state, specialty, npi
BALANCE = "smote"  # smote | smote_undersample | none

# %% [markdown]
# | needs | makes |
# |---|---|
# | the accounts chosen in 00 | a folder of CSV files and a manifest for the server and for every client |
#
# ## Read the table
# `synthetic` rows are drawn from a generator that knows a table's shape, and nobody's row; they are stamped as
# synthetic wherever they go. `curated` is the published table of the fraud problem, `cms` the one that `make table` has
# built from CMS's own files (or from generated ones, where it has not), a path your own. Either way the ${n_columns}
# columns are checked against the problem's file (${name}): a table that breaks it is refused with file, column, rule
# and row count.

# %%
import pandas as pd

from client_code import schema
from data_prep import prepare, sources
from workshop import files, problems, state
from workshop.science import plots

(target,) = state.load("target")
problem = problems.choose(PROBLEM)
known = {"cache": state.home() / "cache", "statistics": problems.statistics()}
table = sources.load(DATA, problem, seed=SEED, built=files.CMS_TABLE, **known)
rare = table.frame[problem.label.name].sum()
print(
    f"{table.source} rows: {len(table.frame):,}, of them {problem.words.positive}: {rare:,}"
)

# %%
from workshop.lessons import show

pd.set_option("display.max_colwidth", None)
described = pd.DataFrame(problem.columns).set_index("name")[["unit", "meaning"]]
shown = described.iloc[[*range(5), *range(-3, 0)]] if len(described) > 15 else described
show.prose(shown)

# %% [markdown]
# ## Look at the numbers
# Of what reaches over several powers of ten, as amounts of money do, the model sees the logarithm. How far would one
# column alone tell ${positive} ${subjects} from ${negative} ones? Where the curves overlap, not at all.

# %%
plots.columns(
    problem.shown,
    table.frame,
    problem,
    title="How far one column tells them apart",
)

# %% [markdown]
# ## Give every row one owner
# The steps run in this order, all from one seed:
#
# 1. **Deduplicate.** A table may hold a ${subject} twice. A copy in training and its twin in the test table would be an
#    exam whose questions were handed out before. (In the fraud table all copies are of fraudulent providers: whoever made it
#    drew some of them more than once. So that is no mistake of the count below.)
# 2. **Hold out** the server's test table: rows as they stand, never resampled, seen by no client.
# 3. **Assign** every other row to one client. `iid` deals them like cards; `similar_providers` gives each client its
#    own kind of ${subject} (by k-means, whatever the table); `label_skew` gives some clients much more ${outcome} than others.
# 4. **Split** each client's rows in training and validation.
# 5. **Balance** the training rows, and only these.

# %%
prepared = prepare.prepare(
    table,
    n_clients=target["clients"],
    how=PARTITION,
    balance=BALANCE,
    seed=SEED,
    folder=state.home() / "data",
)
prepared.steps

# %%
prepared.counts

# %% [markdown]
# ## What SMOTE does
# Where ${outcome} is rare, a model that calls everybody ${negative} is right most of the time. SMOTE puts new rows on
# the lines between ${positive} neighbours. It works on what the model sees, of amounts on logarithms, or the largest
# amounts would choose the neighbours alone.

# %%
plots.class_balance(
    prepared.counts,
    words=problem.words,
    title="Training rows, in each client's own account",
)

# %%
folder = state.home() / "data" / "client-1"
plots.smote(
    schema.read_table(folder / "train.csv", problem),
    schema.read_table(folder / "train_balanced.csv", problem),
    problem,
    x=problem.shown[0],
    y=problem.shown[1],
    title=f"New rows lie between {problem.words.positive} neighbours",
)

# %% [markdown]
# ## Why SMOTE comes after the split
# Try it the wrong way round, on a forest: balance first, split afterwards. The validation rows are then neighbours'
# children of training rows, and the forest recognises the family. The score looks wonderful and means nothing.

# %%
from workshop.lessons import experiments

leak = experiments.smote_before_and_after_the_split(prepared.rest, problem, seed=SEED)
leak.round(2)

# %% [markdown]
# ## Your turn: how many rows are nobody's?
# From the table of counts above: how many rows has SMOTE made, in all accounts together?

# %% tags=["exercise"]
from workshop.lessons import exercises

made = ...  # a whole number
exercises.rows_made(made, prepared.counts)

# %% tags=["solution"]
totals = prepared.counts.sum()
made = totals["balanced_rows"] - totals["train_rows"]
exercises.rows_made(made, prepared.counts)

# %% [markdown]
# ## Keep the choices

# %%
state.save(data=prepared.record())

# %% [markdown]
# ## Check

# %%
counts = prepared.counts
assert (
    counts["train_rows"].sum() + counts["validation_rows"].sum() + prepared.test_rows
    == prepared.steps["rows"].iloc[1]
)
assert (
    counts["balanced_positives"] >= counts["train_positives"]
).all() or BALANCE != "smote", "SMOTE took rows away"
gap = leak["ROC AUC"].diff().iloc[-1]
rate = table.frame[problem.label.name].mean()
assert gap < 0 or rate > 0.4, "the leak does not show"  # little is made there
print("every row has exactly one owner, and the test table was never resampled")

# %% [markdown]
# ## What you saw
# Each owner has a folder with its rows and a manifest: rows, those of label 1, SHA-256, source and seed. Nothing else of
# this notebook is handed on.
#
# ## Three questions
# <details><summary>Which rows may SMOTE look at, and which not?</summary>
#
# Training rows of one client. Not another client's (they are in another account), not validation, not test.
# </details>
# <details><summary>Why does the server get a test table of its own?</summary>
#
# So that somebody can say what the global model is worth without asking any client for rows.
# </details>
# <details><summary>What changes when you set <code>PARTITION = "label_skew"</code>?</summary>
#
# Some clients see hardly any ${outcome}, and learn little alone: they gain. Others may lose, for the common model is pulled
# to where there is little ${outcome}. Try it, and read 04's paired differences client by client before you call it worth it.
# </details>
#
# **Next:** [02_connect_accounts](02_connect_accounts.ipynb) brings the files to their owners' buckets.
