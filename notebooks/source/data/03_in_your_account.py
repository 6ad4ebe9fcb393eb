# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # The same table in an owner's account: a Spark job that sees one folder
#
# Real claims lie in their owner's account and stay there. The same SQL runs on Spark, as a SageMaker Processing job: the owner
# puts the files and the recipe into its bucket, a role of the job's own reads them and writes the table beside them, and the
# job has no network. The embedded AWS runs it for real, where this machine has Java and pyspark.
#
# - **You will** deploy two stacks, read the job's rights, run it, and compare its table with that of notebook 01.
# - **You will learn** why two engines agree to the last digit, and what a job needs to be allowed.
# - **You need** ten minutes, and notebook 01 of this track. On AWS: ten more, and an administrator's profile.
#
# ![Four published files, each read once and added up by provider; joined by the provider's number; labelled by who was excluded later](../images/table.svg)

# %% tags=["parameters"]
TARGET = "embedded"  # embedded | aws
NETWORK = "10.80.0.0/16"  # private addresses that none of the accounts uses yet

# %% [markdown]
# | needs | makes |
# |---|---|
# | the files and the table of notebook 01 | the same table, in an owner's bucket |
#
# ## Two stacks
# A bucket with a key of its own, and a role. Nothing else stands in the account, and neither costs anything worth naming.

# %%
from pathlib import Path

import pandas as pd

from data_prep.cms import plan
from workshop import state
from workshop.aws import access, accounts, blueprint, choices, cleanup, deployment
from workshop.lessons import provider_tables, show
from workshop.owners import table_job

# %%
(cms,) = state.load("cms")
state.save(target={"name": TARGET, "clients": 1})
sessions = {name: accounts.session(name) for name in accounts.at_hand(1)}
chosen = choices.Choices(tables="built")
members = deployment.meet(sessions, network=NETWORK, choices=chosen)
steps = blueprint.of(chosen).only(["storage", "table-job"])
deployment.deploy(members, steps)[["did"]]

# %% [markdown]
# ## What the job may do
# It reads what lies under `cms/` and writes a table there. It cannot see the rows that a training job reads, nor those of
# another account, and only SageMaker may take the role.

# %%
pd.set_option("display.max_colwidth", 100)
own = members.outputs["client-1"]
role = own["fl-table-job"]["TableJobRoleArn"].rpartition("/")[2]
show.prose(access.statements(sessions["client-1"], role)[["allows", "conditions"]])

# %% [markdown]
# ## Upload, run, fetch
# What travels is the recipe, a few files of Python and two tables; Spark's image brings the rest.

# %%
place = table_job.place("client-1", sessions["client-1"], own)
table_job.upload(place, Path(cms["files"]), Path(cms["files"]) / "UPDATED.csv")
pd.Series(
    {name: len(body) for name, body in table_job.program().items()}, name="bytes"
).to_frame()

# %%
built = provider_tables.built_there(place, state.home() / "cms" / "there")
print(built.told)

# %% [markdown]
# ## Compare
# DuckDB added the lines up on this machine, Spark in the account, in other orders and on other threads. Sums of decimals do not
# mind.

# %%
here = pd.read_json(Path(cms["table"]) / plan.MANIFEST, typ="series")
engines = {
    "DuckDB": here["sha256"][:16],
    "Spark": built.about.get("sha256", "did not run")[:16],
}
pd.Series(engines, name="SHA-256 of table.csv").to_frame()

# %% [markdown]
# ## Your turn: read the manifests
# Two tables are the same, byte for byte. Which entry of their manifests says that they were made in two ways? The entries are
# `list(here.index)`.

# %% tags=["exercise"]
from workshop.lessons import exercises

entry = ...  # its name, in quotes
exercises.manifests_differ(entry, here.to_dict(), built.about)

# %% tags=["solution"]
entry = "engine"
exercises.manifests_differ(entry, here.to_dict(), built.about)

# %% [markdown]
# ## Check
# And nothing stays: bucket, key, role and table go.

# %%
deleted = cleanup.delete_all(sessions)
assert cleanup.left_over(sessions).empty, "something is left in an account"
assert built.about.get("sha256", here["sha256"]) == here["sha256"], (
    "the engines made two tables"
)
assert built.about or "Java" in built.told or "pyspark" in built.told, built.told
compared = "one recipe, one table" if built.about else "Spark did not run, nothing compared"
print(f"{compared}; the accounts are empty again")

# %% [markdown]
# ## What you saw
# A job that sees one folder and calls nobody, and two engines that agree to the last digit because nothing in the sums is
# rounded. Each owner of a federation can do this alone, with its own claims; what they compare is the manifest.
#
# ## Three questions
# <details><summary>Why does the job not read the list of exclusions from the OIG's site itself?</summary>
#
# It would need a way to the internet, past everything that keeps claims in. The owner brings the list, once a month, and the
# manifest says which one it was.
# </details>
# <details><summary>When is Spark worth its while?</summary>
#
# Not on one machine: there DuckDB is several times as fast, and ten million lines take it ten seconds. Where claims are too many for
# one machine, or may not leave the account, it is what AWS has ready.
# </details>
# <details><summary>What would make the two tables differ?</summary>
#
# Floating-point sums, words that each engine sorts or rounds in its own way, a cell that one of them guesses to be a number.
# The recipe uses none of these; a test compares the tables byte for byte.
# </details>
#
# **Next:** `make workshop DATA=cms PARTITION=state` trains the [fraud track](../01_prepare_data.ipynb) on such a table.
