# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # Evaluate it hospital by hospital: one score would hide too much
#
# A score over all hospitals' patients mixes two abilities: to tell the ill from the healthy *within* a hospital, and to
# tell hospitals apart, of which some see hardly anybody healthy. Only the first helps a doctor.
#
# - **You will** compare global, local and centralised models, site by site, with intervals and paired differences.
# - **You will learn** what one hospital's test rows can say, who gains from the federation, and how a model cheats without
#   meaning to.
# - **You need** twenty minutes to read and try, and heart/03.
#
# ![A score over all sites rewards knowing the site; within a site only the patients differ](../images/sites.svg)

# %% tags=["parameters"]
TIMES = 200  # test tables that the bootstrap draws, 50 or more

# %% [markdown]
# | needs | makes |
# |---|---|
# | `model.joblib` (heart/03), the test table (heart/01) | the table of all models, over all and by hospital |
#
# ## Load the model
# The pipeline takes the columns as a hospital writes them: it turns words into inputs, fills gaps and scales.

# %%
import numpy as np
import pandas as pd

from client_code import schema
from workshop import problems, state
from workshop.science import baselines, evaluation, model, plots

(data,) = state.load("data")
trained = model.load(state.home() / "model")
problem = problems.load()
path = state.home() / "data" / "server" / "test.csv"
test = schema.read_table(path, problem)
features, labels = schema.to_arrays(test, problem)
whose = list(schema.read_identifier(path, problem, problem.owner))
trained.pipeline

# %% [markdown]
# ## Train what it must be compared with
# Each hospital alone, and all rows in one heap: the same loop, as many rounds and iterations as the federation had.

# %%
settings = {name: trained.about[name] for name in ("rounds", "max_iter", "penalty", "seed")}
plain = trained.about["strategy"] == "FedAvg" and trained.about["complete"]
clients = {
    entry["owner"]: baselines.ClientRows.read(state.home() / "data" / name, problem)
    for name, entry in data["clients"].items()
}
rows = list(clients.values())
by_hand = baselines.federated_by_hand(rows, problem, **settings)
others = {
    "centralised": baselines.federated_by_hand([baselines.pool(rows)], problem, **settings)
}
others |= {
    f"{name} alone": baselines.federated_by_hand([own], problem, **settings)
    for name, own in clients.items()
}

# %%
ranked = {"global": trained.pipeline.predict_proba(test[list(problem.feature_names)])[:, 1]}
difference = np.abs(ranked["global"] - by_hand.probabilities(features)).max()
print("federation and plain loop agree to 1e-12:", bool(difference < 1e-12))
ranked |= {name: other.probabilities(features) for name, other in others.items()}

# %% [markdown]
# ## Over all hospitals' patients
# Dots are scores, lines say how far they would move on another test table like this one, class by class.

# %%
spread = evaluation.intervals(labels, ranked, seed=data["seed"], times=TIMES)
title = "Over all hospitals' patients"
plots.comparison(spread, base_rate=labels.mean(), title=title)

# %% [markdown]
# The lines overlap, and yet a difference may be plain, for a hard table is hard for every model. So look at the *paired*
# differences, on the same patients: what does each hospital gain over what it could have trained alone?

# %%
print(evaluation.gains(spread).replace("; ", "\n"))

# %% [markdown]
# ## Hospital by hospital
# Every model on every hospital's test rows alone. Where a hospital's test rows are of one class there is no ROC AUC, and
# none is made up. Look at the counts before you believe a cell: three healthy patients make a jumpy score.

# %%
sites = evaluation.by_site(labels, ranked, whose)
plots.grid(sites[list(ranked)], title="ROC AUC, by whose patients", form=".2f", low=0.4)

# %%
precision = evaluation.by_site(labels, ranked, whose, measure="average_precision")
precision.round(2)

# %% [markdown]
# Average precision has a floor of its own in every line, the share of ill patients there: 0.95 is nothing where nineteen
# of twenty are ill.
#
# ## Your turn: which cell would you not believe?
# At which hospital does a single patient move the ROC AUC most? The counts are in `sites`: `rows`, and `positives` among them.

# %% tags=["exercise"]
from workshop.lessons import exercises

hospital = ...  # its name, in quotes
exercises.fewest(hospital, sites)

# %% tags=["solution"]
rarer = np.minimum(sites["positives"], sites["rows"] - sites["positives"])
hospital = rarer[rarer > 0].idxmin()
exercises.fewest(hospital, sites)

# %% [markdown]
# ## How a model cheats
# The model is told where a value is missing. That helps, and it also says which hospital a patient is from, for each
# leaves out other things. Train once more without these inputs, and look at both kinds of score.

# %%
from workshop.lessons import experiments

blind = experiments.without_indicators(problem)
without = baselines.federated_by_hand(rows, blind, **settings)
told = {"told what is missing": by_hand, "not told": without}
seen = {name: each.probabilities(features) for name, each in told.items()}
within = evaluation.by_site(labels, seen, whose)[list(seen)].mean()
over_all = evaluation.by_site(labels, seen, ["all"] * len(whose)).T["all"][list(seen)]
cheat = {"over all hospitals": over_all, "mean within a hospital": within}
pd.DataFrame(cheat).round(3)

# %% [markdown]
# Another way to see it: score a patient by nothing but the share of ill patients in the hospital's training rows. This
# "model" has not looked at a single patient.

# %%
rates = {name: own.real[1].mean() for name, own in clients.items()}
by_rate = {"hospital's rate alone": np.array([rates[name] for name in whose])}
line = evaluation.intervals(labels, by_rate | ranked, times=TIMES)["roc_auc", "value"]
line[["hospital's rate alone", "global"]].round(3).to_frame("ROC AUC over all")

# %% [markdown]
# ## At the threshold
# The hospitals chose the threshold together, on their validation rows. It is applied once, to rows it never saw.

# %%
words = problem.words
counts = evaluation.confusion(labels, ranked["global"], words, threshold=trained.threshold)
plots.confusion(counts, words=words, title=f"At threshold {trained.threshold:.2f}")

# %% [markdown]
# ## Keep the table

# %%
chosen = {"global": trained, **others}
scores = {
    name: evaluation.score(labels, ranked[name], threshold=each.threshold)
    for name, each in chosen.items()
}
scores["nobody"] = evaluation.nobody(labels)
evaluation.comparison(scores).round(3)

# %%
owners = {
    f"{entry['owner']} alone": f"{name} alone" for name, entry in data["clients"].items()
}
by_client = {owners.get(name, name): entry for name, entry in scores.items()}
state.save(evaluation=evaluation.record(by_client))

# %% [markdown]
# ## Check

# %%
assert difference < 1e-12 or not plain, f"the federation differs by {difference:.1e}"
assert scores["global"].roc_auc > 0.7, "the global model ranks no better than chance"
undefined = sites[list(ranked)].isna().all(axis=1)
single = (sites["positives"] == 0) | (sites["positives"] == sites["rows"])
assert (undefined == single).all(), "a ROC AUC was made up"
assert line["global"] > line["hospital's rate alone"], "it knows no more than the hospital"
print("the federation is what it claims to be, and knows more than the hospital's name")

# %% [markdown]
# ## What you saw
# Over all hospitals the global model ranks like one that had all rows in a heap, and most hospitals gain. Within a
# hospital the differences are smaller, and one hospital's healthy patients are too few to say anything.
#
# This is one split. The page [results](../../docs/results.md) repeats it twenty times with the published rows.
#
# ## Three questions
# <details><summary>A hospital has one healthy patient among its test rows. What is its ROC AUC worth?</summary>
#
# It says where that one patient ranks, nothing else. The next patient may rank last. Count before you compare.
# </details>
# <details><summary>Is it wrong to tell the model what is missing?</summary>
#
# Not in itself: that nobody ordered a test is news about a patient. But it is news about the hospital too, and a fifth
# hospital would order other tests. Score within hospitals, and on a hospital that took no part.
# </details>
# <details><summary>Which hospital should leave the federation?</summary>
#
# One that does not gain has lost nothing but time; its patients may be what the others gain from. That is for the
# hospitals to talk about, not for a score to decide.
# </details>
#
# **Next:** [99_clean_up](../99_clean_up.ipynb) takes everything down again; [05_break_it](../05_break_it.ipynb) breaks it first.
