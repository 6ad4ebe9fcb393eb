# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # Evaluate the global model: global, local, centralised, nobody
#
# A score means little alone. Here the global model stands beside the model that each client could have trained by
# itself, beside the one that all rows in one place would have given, and beside doing nothing at all.
#
# - **You will** load `model.joblib`, compare, choose nothing on the test table, and look at mistakes and probabilities.
# - **You will learn** why accuracy misleads, what a base rate is, and what federating was worth.
# - **You need** twenty minutes to read and try, and notebook 03.

# %% tags=["parameters"]
TOP_K = 50  # rows that somebody has time to look at, 1 or more

# %% [markdown]
# | needs | makes |
# |---|---|
# | `model.joblib` (03), the test table (01) | the table of all models |
#
# ## Load the model
# The manifest's checksum is compared before the file is opened. The pipeline takes the ${n_features} raw columns as they
# stand in the table.

# %%
import numpy as np
import pandas as pd

from client_code import schema
from workshop import problems, state
from workshop.science import baselines, evaluation, model, plots

(data,) = state.load("data")
trained = model.load(state.home() / "model")
problem = problems.load()
test = schema.read_table(state.home() / "data" / "server" / "test.csv", problem)
features, labels = schema.to_arrays(test, problem)
trained.pipeline

# %%
probabilities = trained.pipeline.predict_proba(test[list(problem.feature_names)])[:, 1]
scores = {
    "global": evaluation.score(labels, probabilities, threshold=trained.threshold, k=TOP_K)
}
evaluation.comparison(scores).T.round(3)

# %% [markdown]
# Read every line beside the last one, the base rate: it is what picking at random would score in *average precision*
# and in *precision at k*. (The *Brier score* is about probabilities, not about ranking, and looks bad here: further down you see
# why, and mend it.) Accuracy is not in the table: calling everybody ${negative} would reach one minus the base rate.
#
# ## Train what it must be compared with
# Only a workshop can do this, since it needs everybody's rows in one place. The same ten-line loop trains all of them:
# over all clients it is the federation done by hand, over one client it is that client alone, over one heap of rows it
# is the centralised model. All have as many iterations as the federation had.

# %%
settings = {name: trained.about[name] for name in ("rounds", "max_iter", "penalty", "seed")}
plain = trained.about["strategy"] == "FedAvg" and trained.about["complete"]
clients = {
    name: baselines.ClientRows.read(state.home() / "data" / name, problem)
    for name in data["clients"]
}
rows = list(clients.values())
by_hand = baselines.federated_by_hand(rows, problem, **settings)
centralised = baselines.federated_by_hand([baselines.pool(rows)], problem, **settings)
alone = {
    name: baselines.federated_by_hand([own], problem, **settings)
    for name, own in clients.items()
}

# %% [markdown]
# First, is the federation what it claims to be? If everybody took part in every round of plain averaging, its
# probabilities and those of the loop in one process may differ by rounding only.

# %%
difference = np.abs(probabilities - by_hand.probabilities(features)).max()
print("federation and plain loop agree to 1e-12:", bool(difference < 1e-12))

# %% [markdown]
# ## Compare

# %%
others = {"centralised": centralised}
others |= {f"{name} alone": own for name, own in alone.items()}
scores |= {
    name: evaluation.score(
        labels, other.probabilities(features), threshold=other.threshold, k=TOP_K
    )
    for name, other in others.items()
}
scores["nobody"] = evaluation.nobody(labels)
table = evaluation.comparison(scores)
table.round(3)

# %%
ranked = {"global": probabilities}
ranked |= {name: other.probabilities(features) for name, other in others.items()}
spread = evaluation.intervals(labels, ranked, seed=data["seed"])
title = "The global model, and what it is compared with"
plots.comparison(spread, base_rate=labels.mean(), title=title)

# %% [markdown]
# The lines say how far a score would move on another test table like this one. They overlap, and yet a difference may be
# plain: a hard table is hard for every model. So look at *paired* differences, on the same rows: what does each client
# gain over what it could have trained alone?

# %%
print(evaluation.gains(spread).replace("; ", "\n"))

# %% [markdown]
# This is one split and one seed. The page `docs/results.md` repeats the comparison over five, for the tables of the kit.
#
# Where the table says whose each row is, every model is scored on every owner's rows alone. Where an owner's test rows are
# of one class there is no ROC AUC, and none is made up.

# %%
if problem.owner:
    path = state.home() / "data" / "server" / "test.csv"
    whose = list(schema.read_identifier(path, problem, problem.owner))
    sites = evaluation.by_site(labels, ranked, whose).round(3)
else:
    sites = "this table does not say whose each row is"
sites

# %% [markdown]
# ## Where the model is right
# Both curves show every threshold at once. The left one hardly notices how rare ${outcome} is; the right one does, and
# that is what somebody feels who must look into the flagged ones.

# %%
curves = {
    "global": probabilities,
    "centralised": centralised.probabilities(features),
    "client-1 alone": alone["client-1"].probabilities(features),
}
plots.roc_and_precision(
    labels, curves, words=problem.words, title="How they rank, at every threshold"
)

# %% [markdown]
# ## Where the model is wrong
# The threshold was chosen by the clients, on their validation rows. It is applied here, once, to rows it never saw.

# %%
words = problem.words
counts = evaluation.confusion(labels, probabilities, words, threshold=trained.threshold)
plots.confusion(counts, words=words, title=f"At threshold {trained.threshold:.2f}")

# %% [markdown]
# ## Can the probabilities be taken at their word?
# Trained on balanced rows, the model believes that ${outcome} is common. Its ranking is fine, its probabilities are not.
# Two numbers that the clients may share, the share of ${outcome} before and after SMOTE, are enough to correct them.

# %%
totals = pd.DataFrame(data["clients"].values()).sum(numeric_only=True)
corrected = evaluation.recalibrate(
    probabilities,
    real_rate=totals["train_positives"] / totals["train_rows"],
    trained_rate=totals["balanced_positives"] / totals["balanced_rows"],
)
promises = {"as trained": probabilities, "corrected": corrected}
title = "What is promised, and what comes true"
plots.calibration(labels, promises, words=words, title=title)

# %%
brier = {
    "as trained": probabilities,
    "corrected": corrected,
    "base rate for all": np.full(len(labels), labels.mean()),
}
pd.Series(
    {name: float(np.mean((promise - labels) ** 2)) for name, promise in brier.items()},
    name="Brier score",
).round(3).to_frame()

# %% [markdown]
# ## What somebody with little time gets
# Nobody looks into a thousand ${subjects}. Take those that rank highest first: how many of them are ${positive}?

# %%
plots.top_k(
    labels,
    probabilities,
    words=words,
    title=f"{scores['global'].precision_at_k:.0%} of the {TOP_K} that rank highest are {words.positive}",
)

# %% [markdown]
# ## Your turn: how far down the list?
# Ten investigators close five cases a week each, and begin with those that rank highest. How many cases must they open until they
# have found half of all ${positive} ${subjects} of the test table? Try numbers, or work it out from `labels` and `probabilities`.

# %% tags=["exercise"]
from workshop.lessons import exercises

cases = ...  # a whole number
exercises.investigators(cases, labels, probabilities, words)

# %% tags=["solution"]
hits = labels[np.argsort(-probabilities, kind="stable")].cumsum()
cases = int(np.searchsorted(hits, hits[-1] / 2)) + 1
exercises.investigators(cases, labels, probabilities, words)

# %% [markdown]
# ## What the corrections are worth
# The sample that this workshop grew from trains on raw amounts, undersamples, and stops after the same number of
# iterations. Here amounts become logarithms, all columns get a common scale, and no row is thrown away. What that is
# worth depends on the table: most where amounts are large and label 1 is rare.

# %%
real = pd.concat(
    [
        schema.read_table(state.home() / "data" / name / "train.csv", problem)
        for name in clients
    ]
)
published = baselines.published_recipe(real, features, problem, seed=data["seed"])
scores["published recipe"] = evaluation.score(labels, published, threshold=0.5, k=TOP_K)
evaluation.comparison(scores).loc[
    ["published recipe", "global"], ["roc_auc", "average_precision"]
].round(3)

# %% [markdown]
# ## Keep the table

# %%
state.save(evaluation=evaluation.record(scores))

# %% [markdown]
# ## Check

# %%
assert difference < 1e-12 or not plain, (
    f"the federation differs from the plain loop by {difference:.1e}"
)
assert scores["global"].roc_auc > 0.5, (
    "the global model ranks no better than chance on this table"
)
assert scores["global"].average_precision > scores["nobody"].average_precision, (
    "no better than picking at random"
)
print("the federation is what it claims to be, and the global model beats doing nothing")

# %% [markdown]
# ## What you saw
# One model from the rows of all clients, and no row was moved. It ranks like the centralised one when the clients are
# alike.
#
# ## Three questions
# <details><summary>Why is there no accuracy in the table?</summary>
#
# The model that flags nobody is right about every ${subject} that is ${negative}, which may be nearly all, and useless.
# </details>
# <details><summary>Does SMOTE make the ranking better?</summary>
#
# No: set `BALANCE = "none"` in notebook 01 and compare. The ranking is about as good, often a little better without; what SMOTE
# moves are the probabilities, and with them the threshold.
# </details>
# <details><summary>May you choose the threshold that looks best on the test table?</summary>
#
# Not if you want to report its score on the same table. That is why the clients chose it.
# </details>
#
# **Next:** [05_break_it](05_break_it.ipynb) breaks the federation in six ways.
