# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # From the files that CMS publishes to one row a provider
#
# The fraud track's table was made by somebody else, years ago. Here you make it: from three files that CMS, who runs
# Medicare, publishes every year, ten million lines each, and from the list of those who may not bill Medicare any more, which
# the Office of Inspector General (OIG) keeps. Every owner of claims in such files can do the same with its own.
#
# - **You will** look at the files as they come, build the table, read the SQL that made it, and break a file.
# - **You will learn** why no cell may be guessed a type, what CMS hides and how, and what a build must write down.
# - **You need** fifteen minutes to read and try, and no account.
#
# ![Four published files, each read once and added up by provider; joined by the provider's number; labelled by who was excluded later](../images/table.svg)

# %% tags=["parameters"]
CMS = "generated"  # generated: files of nobody in the same layouts | a folder of files that you have downloaded
PROVIDERS = 6000  # how many are generated, 1000 or more
RATE = 0.04  # share of generated providers who are excluded for fraud one day; of real ones it is 0.0003 to 0.0006
SEED = 0  # any whole number: generated files follow from it

# %% [markdown]
# | needs | makes |
# |---|---|
# | nothing, or a folder of downloads (`docs/cms-files.md` says which) | the table of fifty columns, a wider one, a manifest |
#
# ## The files
# *Part B* has a line for each service of a provider, *Part D* for each drug, *DMEPOS* for each piece of equipment that it sent
# patients to get. Every few years the columns get other names. What a header must be stands in a table of this kit
# (`data_prep/cms/layouts.toml`); one that is not in it is refused.

# %%
from pathlib import Path

import pandas as pd

from data_prep.cms import build, generate, recipe
from workshop import state
from workshop.lessons import provider_tables

pd.set_option("display.max_colwidth", 110)
home = state.home() / "cms"
folder = home / "files" if CMS == "generated" else Path(CMS)
if CMS == "generated":
    wanted = generate.Made(PROVIDERS, years=(2018, 2019), rate=RATE, seed=SEED)
    generate.generate(wanted, folder)
provider_tables.contents(folder)

# %% [markdown]
# This is how they look. Names say SYNTHETIC, and the numbers of providers fail their check digit, so that none is anybody's.
# In the second file the count of patients is empty where there were fewer than eleven: CMS hides it.

# %%
print(provider_tables.head(folder, "part_b"))
print(provider_tables.head(folder, "part_d"))

# %% [markdown]
# ## Why no cell is guessed a type
# A program that guesses looks at the first lines and decides. Procedure code `3008F` is a number to Java, a leading zero of a
# ZIP code is lost, and a column of whole numbers with one `2.5` far below is rounded by one engine and refused by the next. So
# every column is read as text, and the recipe casts by hand: what is no number stops the build, with the file's name.

# %%
print(recipe.per_provider("part_d", recipe.Choices())[-1050:])

# %% [markdown]
# The numbers are *decimals*. Floating-point sums depend on the order in which lines are added, so that two engines, or two
# threads, would give two tables. These sums are exact; only the last division and the root are rounded.
#
# ## Build it
# Each file is read once. A build that is cut off goes on with the files that are done.

# %%
made = build.build(folder, folder / "UPDATED.csv", home / "table")
table = pd.read_parquet(made.folder / build.WIDE)
print(f"{len(table):,} providers, {table['fraudulent_provider'].sum():,} excluded later")

# %%
table.drop(columns="npi").iloc[:4, [0, 1, 4, 21, 36, *range(-11, 0)]].T

# %% [markdown]
# A row is one provider, over all years: of each of sixteen quantities mean, sum and spread over its lines. Below them the wider
# set, which the published table does not have; what each column means stands in `docs/cms-columns.md`.
#
# ## What the build wrote down
# Which files, with their checksums; which choices; how many rows; and what the labels lost. Most entries of the OIG's list name
# no provider number, and are matched to nobody.

# %%
about = made.about
lost = {key: about[key] for key in about if key.startswith(("exclusions", "of_them"))}
pd.Series(lost, name="entries of the list").to_frame()

# %% [markdown]
# ## Break a file
# Rename a column, as a new release might, and look who notices.

# %%
broken = home / "broken"
provider_tables.with_a_change(folder, broken, "part_d", "Tot_Drug_Cst", "Drug_Cost")
print(provider_tables.complaint(broken, home / "none"))

# %% [markdown]
# ## Your turn: break it otherwise
# Choose a text that stands in the second line of the Part D file shown above, and what is to stand there in its place, so that the
# build stops for another reason than its header. Then find one that it does not notice, and say whether it should have.

# %% tags=["exercise"]
from workshop.lessons import exercises

change = ("...", ...)  # the old text and the new one, in quotes
exercises.broken_file(change, folder, broken)

# %% tags=["solution"]
cost = provider_tables.head(folder, "part_d").splitlines()[1].split(",")[-9]
change = (f",{cost},", ",many,")
exercises.broken_file(change, folder, broken)

# %% [markdown]
# ## Check

# %%
again = build.build(folder, folder / "UPDATED.csv", home / "again")
assert again.about["sha256"] == about["sha256"], "the same files gave another table"
assert len(table) == table["npi"].nunique(), "a provider has two rows"
assert not table[list(build.FIFTY)].isna().any().any(), (
    "a cell of the fifty columns is empty"
)
state.save(cms={"files": str(folder), "table": str(made.folder), "seed": SEED})
print(f"built twice: the same {len(table):,} rows of fifty columns, to the last digit")

# %% [markdown]
# ## What you saw
# A table that anybody can make again from public files, with a manifest that says of what. Where something was odd the build
# stopped and said so, before it could become a number in a model.
#
# ## Three questions
# <details><summary>Why is a blank count of patients not zero?</summary>
#
# Because it is not: it is one to ten, hidden so that no patient can be recognised. A true zero is printed as 0. What stands for
# a hidden count is a choice, which the next notebook changes.
# </details>
# <details><summary>Why does a provider with an exclusion in the years of its claims have no row?</summary>
#
# It was caught before its claims end. Its label would be from the past, and its columns from a part of a year.
# </details>
# <details><summary>May the owner of real claims use this?</summary>
#
# With claims in the same layout, yes: each owner builds its table where its claims are, and nothing is collected. Real claims
# are not public, though: what may be done with them is for their owner to say.
# </details>
#
# **Next:** [02_choices_and_labels](02_choices_and_labels.ipynb) asks what the choices do to the model.
