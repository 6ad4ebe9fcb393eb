# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # What the choices do to the model, and what a rare label does to a score
#
# The files do not say how a table is to be made of them. Somebody decides what stands for a hidden count, who is in, and what
# counts as fraud; a score that is published without these decisions says little. You will change them one by one.
#
# - **You will** build the table seven times, score a model on each, on another year, and at the natural rate of fraud.
# - **You will learn** which choices matter, why a test set of thousands may hold five positives, and what an investigator gets.
# - **You need** twenty minutes to read and try, and notebook 01 of this track.
#
# ![Four published files, each read once and added up by provider; joined by the provider's number; labelled by who was excluded later](../images/table.svg)

# %% tags=["parameters"]
BUDGETS = [25, 50, 100]  # how many providers somebody has time to look at
NATURAL = 0.0006  # share of positives in nature: 0.0003 to 0.0006, by years and codes
SEED = 0  # any whole number: splits and draws follow from it

# %% [markdown]
# | needs | makes |
# |---|---|
# | the files of notebook 01 | scores by choice, by year and by rate |

# %%
from pathlib import Path

import pandas as pd

from client_code import schema
from data_prep import split
from data_prep.cms import build
from data_prep.cms.recipe import Choices, codes
from workshop import problems, state
from workshop.lessons import provider_tables, show
from workshop.science import plots

(cms,) = state.load("cms")
problem = problems.load("fraud")
folder, home = Path(cms["files"]), state.home() / "cms"

# %% [markdown]
# ## What counts as fraud
# The list has some twenty reasons for an exclusion. The published table counts five of them; one, a lost licence, is the most
# frequent of all and often no fraud.

# %%
pd.set_option("display.max_colwidth", 110)
reasons = pd.DataFrame(codes()).T[["meaning", "fraud"]].fillna({"fraud": False})
show.prose(
    reasons.rename_axis("code").rename(columns={"fraud": "counts in the published table"})
)

# %% [markdown]
# ## One choice at a time
# Each line is a table of its own, and a model of its own, scored on three in ten of that table's providers, which it never saw.

# %%
strict = ("1128a1", "1128a3", "1128b7")
choices = {
    "as published": Choices(),
    "hidden is 0": Choices(fill="0"),
    "hidden lines out": Choices(fill="left out"),
    "in one file or more": Choices(join="outer"),
    "people only": Choices(providers="people"),
    "strict codes": Choices(codes=strict),
    "within a year": Choices(within=1),
}
effect = provider_tables.effects(folder, choices, problem, home / "choices", seed=SEED)
effect.round(3)

# %% [markdown]
# The columns hardly notice what stands for a hidden count. The label does: with fewer codes or a shorter time there are fewer
# positives, and a score on few positives moves by chance alone. Compare *average precision* with the base rate beside it, and
# never across lines.
#
# ## Your turn: halve the positives
# Write choices by which the table keeps nearly all its rows and has less than half of the positives. The reasons are in the first
# table, the names of all choices in `help(Choices)`.

# %% tags=["exercise"]
from workshop.lessons import exercises

mine = ...  # Choices(...)
as_it_was = effect.loc["as published", ["rows", "positive"]].astype(int).to_dict()
exercises.fewer_positives(mine, folder, home / "mine", **as_it_was)

# %% tags=["solution"]
mine = Choices(codes=("1128a3",))
exercises.fewer_positives(mine, folder, home / "mine", **as_it_was)

# %% [markdown]
# ## Years held out
# A random split lets a model know the year it is scored on. In use it knows the past. Train on 2018, with the exclusions that
# were known by the end of 2019, and score other providers by their claims of 2018 and of 2019.

# %%
years = {"train": 2018, "test": 2019}
apart = provider_tables.years_apart(
    folder, problem, home / "years", Choices(), **years, seed=SEED
)
apart.round(3)

# %% [markdown]
# ## At the natural rate
# Among all who bill Medicare three to six in ten thousand are excluded for fraud later. The published table holds nine in a
# hundred, since most others were left out. Thin the positives to the natural rate, and look what somebody finds who has time
# for so many providers.

# %%
frame = schema.read_table(Path(cms["table"]) / build.TABLE, problem)
rest, test = split.hold_out(frame, problem, 0.5, seed=SEED)
model = provider_tables.trained(rest, problem, seed=SEED)
rare = provider_tables.thinned(test, problem, NATURAL, seed=SEED)
print(
    f"{len(rare):,} providers to choose from, {rare[problem.label.name].sum()} of them positive"
)
provider_tables.budget(model, rare, problem, BUDGETS, seed=SEED).round(3)

# %% [markdown]
# The same model on the same providers with all positives left in, which is what a table with many positives shows:

# %%
many = provider_tables.budget(model, test, problem, BUDGETS, seed=SEED)
many.round(3)

# %%
features, labels = schema.to_arrays(test, problem)
plots.top_k(
    labels,
    model.probabilities(features),
    words=problem.words,
    title="Among those who rank highest, with all positives left in",
)

# %% [markdown]
# *From* and *to* hold nine in ten draws of the test rows. With one or two positives in the table the range is everything: no score of
# such a test set tells two models apart. That is no fault of the model; it is what a rare label leaves to be known.
#
# ## What others have published
# | study | rows | label | model | ROC AUC |
# |---|---|---|---|---|
# | Herland, Bauder and Khoshgoftaar 2018, J Big Data 5:29 | B, D and DMEPOS joined, 2012 to 2015 | LEIE, exclusion period by code | logistic regression | 0.816 |
# | the same | Part B alone | the same | logistic regression | 0.805 |
# | Bauder and Khoshgoftaar 2018, PMC6120851 | Part B, negatives under-sampled to 90:10 | the same | random forest | 0.873 |
#
# Generated rows are not comparable with any of these. Real files are, as far as label and years agree: theirs calls years fraud
# until the exclusion ends, ours counts who is excluded afterwards, which is harder and is what one wants to know.
#
# ## Check

# %%
assert (effect["positive"] > 0).all(), "a choice leaves no positive"
assert effect.loc["in one file or more", "rows"] >= effect.loc["as published", "rows"]
assert effect.loc["strict codes", "positive"] < effect.loc["as published", "positive"]
assert (many["found"] >= many["by chance"]).all(), "the model is worse than chance"
print(f"{len(effect)} tables built, {len(effect)} models scored")

# %% [markdown]
# ## What you saw
# The recipe is part of the result. Some of its choices do nothing, some change what is learnt, and the rarest thing in the
# table, the label, decides how much can be said at all.
#
# ## Three questions
# <details><summary>Why is recall at a budget more honest than ROC AUC?</summary>
#
# It says what somebody gets for their time. ROC AUC also counts how well the model ranks the ten thousands whom nobody will
# ever look at.
# </details>
# <details><summary>Would more years help?</summary>
#
# They bring more positives, and older ones. What was fraud then may be billed otherwise now: hold the years out in time and see.
# </details>
# <details><summary>Which of these choices must the owners of a federation agree on?</summary>
#
# All of them. A client that fills hidden counts with zeros trains another model than one that fills them with five, and nobody
# would see it in the sums. The manifest of each table names its choices: compare these, not the rows.
# </details>
#
# **Next:** [03_in_your_account](03_in_your_account.ipynb) builds the same table where the claims are.
