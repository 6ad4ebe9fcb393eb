# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # Train across the hospitals: many short rounds, since they are so unlike
#
# Four hospitals train one model, each in its own cluster, on patients that nobody else sees. The agents are up and wait;
# a run is started in the server's cluster, and is over seconds later. What needs thought is how far the hospitals' models
# would run apart if they were let, and what each of them says of the common one.
#
# - **You will** start a run as a Kubernetes Job, follow twenty rounds, and watch the model through the eyes of every
#   hospital.
# - **You will learn** why unlike sites need short rounds, and why one score cannot speak for all of them.
# - **You need** twenty minutes to read and try, heart/01 and heart/02.
#
# ![Join, proof of identity, sums for the scaler, then each round the global model and the trained model, at the end the threshold](../images/round.svg)

# %% tags=["parameters"]
ROUNDS = 20  # rounds of federated averaging, 1 or more
MAX_ITER = 2  # solver iterations per hospital and round
PENALTY = "l2"  # l2 | l1 | none
STRATEGY = "FedAvg"  # FedAvg | FedProx | FedAvgM | FedAdam | FedYogi | FedMedian | FedTrimmedAvg | Krum | MultiKrum
QUORUM = 0  # usable answers that a round needs; 0: more than half
DEADLINE = 3600  # seconds for all of it
TRACKER = "here"  # here: MLflow on this machine | none | an MLflow server's address | an MLflow app's ARN | experiments

# %% [markdown]
# | needs | makes |
# |---|---|
# | the test table (heart/01), the connection data (heart/02) | `model.joblib` with its manifest, the record of the run, a version in the registry |

# %%
import pandas as pd

from client_code import schema
from workshop import federation, problems, state, tracking
from workshop.aws import accounts
from workshop.clusters import access, agents, connect, launch, spec
from workshop.lessons import experiments, in_clusters
from workshop.lessons.live import LiveRounds
from workshop.science import model, plots
from workshop.tracking import registry

# %%
data, connection = state.load("data", "accounts")
invited = tuple(agents.Agent(**entry) for entry in connection["agents"])
hospitals = {name: entry["owner"] for name, entry in data["clients"].items()}
problem = problems.load()
test = schema.read_table(state.home() / "data" / "server" / "test.csv", problem)
print(f"{len(invited)} hospitals; {len(test)} test rows, {test['ill'].sum()} of them ill")

# %% [markdown]
# ## How far do they run apart?
# Before anything starts, a look that only a workshop has: let every hospital train for itself, once for two iterations
# and once for fifty, from the same start. The longer they train alone, the further their models lie from their mean
# (client drift).

# %%
folders = {hospitals[name]: state.home() / "data" / name for name in hospitals}
apart = experiments.running_apart(
    folders, problem, iterations=(2, 10, 50), seed=data["seed"]
)
apart.round(2)

# %% [markdown]
# So they meet often: `ROUNDS = 20` rounds of `MAX_ITER = 2` iterations, where the fraud track has three of ten.
#
# ## Write down the terms
# All that a run is goes into a ConfigMap: who is invited, how to train, how long. The launcher's role may make it, and the
# Job that reads it; an hour later both are gone by themselves.

# %%
launcher = accounts.notebook_session(connection["launcher_role"])
cluster = access.find(launcher, connect.CLUSTER, account="server")
api = access.api(launcher, cluster)
terms = {"rounds": ROUNDS, "strategy": STRATEGY, "whole": DEADLINE}
terms |= {"quorum": QUORUM} if QUORUM else {}
settled = federation.Terms(**terms).checked(len(invited))
print(f"{settled.strategy}; a round needs {settled.quorum} of {len(invited)} hospitals")

# %% [markdown]
# ## Start
# One Job, one pod. It listens where the agents dial; each proves to it who it is, and only the roles of these four
# accounts are let in. If the pod is killed, another takes its place and carries on after the last finished round.

# %%
training = {"max_iter": MAX_ITER, "penalty": PENALTY, "seed": data["seed"]}
where = (connection["server_host"], connection["server_port"], connection["server_bucket"])
terms_of_run = spec.RunSpec(launch.new_id(), *where, invited, training, terms)
run = launch.start(api, terms_of_run, image=connection["image"])
print("started")

# %% [markdown]
# ## Follow, and write it down
# The pod writes every event into its log, a line each; the next cells read them as they come, into the run's record on this
# machine: what was asked for, what each hospital says that it trains with, every round's figures. A process beside this
# kernel sends the record to an experiment tracker (MLflow); if that is away, nothing waits for it.

# %%
about = {key: data[key] for key in ("source", "seed")}
about |= {"test": registry.digest(test, problem)}
given = {"training": training, "terms": settled, "data": about}
record = tracking.begin(terms_of_run.run, problem=problem, participants=invited, **given)
tracking.follow(record.run, TRACKER)

# %% [markdown]
# A hospital that does not answer in time is left out of a round, and named; too few answers end the run with a reason.

# %% tags=["nbval-ignore-output"]
run.follow([LiveRounds(), record], deadline=DEADLINE)

# %%
result = run.result(launcher)
run.delete()
print(f"{len(result.history)} rounds; {len(result.client_rows)} hospitals in the last one")

# %% [markdown]
# ## What each round was worth
# On the server's test table, all hospitals' patients together:

# %%
history = result.table()
base_rate = test[problem.label.name].mean()
plots.rounds(history, base_rate=base_rate, title="What each round was worth")

# %% [markdown]
# Every hospital also says what its own validation rows make of the model that it has just trained, from the common one.
# Its agent tells the ROC AUC in hundredths, and nothing where these rows are of one class. (It tells a log-loss too,
# blurred on purpose: of so few rows the exact one could give a patient away.) One hospital has a single healthy patient
# among these rows: its 1.0 says where that one ranks, and no more.

# %%
measured = result.measured("validation_auc").rename(columns=hospitals)
plots.lines(measured, label="ROC AUC", title="Every hospital on its own validation rows")

# %% [markdown]
# Where did the seconds of the rounds go? *Training* is the hospital's word, *transport* the rest of the time that its answer
# took, *waiting* is for the slowest of the others, *aggregation* what the server does with all answers.

# %%
spent = tracking.read(record.run).timings().rename(hospitals)
plots.timings(spent, title="What every hospital's seconds were spent on")

# %% [markdown]
# ## Your turn: how much does a hospital say?
# How many numbers does a hospital send as its model in one round? (`problem.input_names` names the inputs.)

# %% tags=["exercise"]
from workshop.lessons import exercises

numbers = ...  # a whole number
exercises.numbers_sent(numbers, result.parameters)

# %% tags=["solution"]
numbers = len(problem.input_names) + 1
exercises.numbers_sent(numbers, result.parameters)

# %% [markdown]
# ## Save the global model
# Every hospital has it already: its agent stored the model of this run in the hospital's own bucket. The server's copy gets
# a manifest that says how it came about, and becomes a version in the registry of models; which one is in use is decided
# in 06.

# %%
about |= training | {
    "run": record.run,
    "rounds": ROUNDS,
    "strategy": STRATEGY,
    "complete": all(entry.clients == len(invited) for entry in result.history),
}
given = {"threshold": result.threshold, "about": about}
path = model.save(
    state.home() / "model", result.parameters, result.scaler, problem, **given
)

# %%
registry.register(path.parent, problem)
record.close()
model.upload(path.parent, launcher, connection["server_bucket"])
state.save(federation=federation.record(result, invited, model_path=path))
rows = pd.Series(result.client_rows, name="training rows").rename(hospitals)
rows.to_frame()

# %% [markdown]
# These rows are the weights of the average: a hospital counts by its real patients.
#
# ## Check

# %%
reloaded, twin = model.load(path.parent), model.load_twin(path.parent)
features = test[list(problem.feature_names)]
answers = [each.pipeline.predict_proba(features)[:, 1] for each in (reloaded, twin)]
assert (answers[0] == answers[1]).all(), "the twin differs"
assert len(history) == ROUNDS, "a round is missing"
assert len(result.client_rows) >= settled.quorum, "too few hospitals in the last round"
known = {hospitals[name]: entry["train_rows"] for name, entry in data["clients"].items()}
assert rows.to_dict() == {name: known[name] for name in rows.index}, "row counts differ"
assert apart.mean().iloc[-1] > apart.mean().iloc[0], "training did not drive them apart"
kept = in_clusters.models_kept(accounts.session, invited, run=terms_of_run.run)
assert all(kept.values()), f"a hospital has no model of this run: {kept}"
print(f"{ROUNDS} rounds; {len(kept)} hospitals keep the model in their own buckets")

# %% [markdown]
# ## What you saw
# Four agents trained on four hospitals' patients, and what came over the line is the same in kind as in the fraud track:
# once four sums per input, then ${n_numbers} numbers a round. The Job is gone, and nobody listens any more; the agents wait
# for the next run. `model.joblib` takes a patient's columns as a hospital writes them, words and gaps included.
#
# ## Three questions
# <details><summary>Why not let each hospital train to the end, and average once?</summary>
#
# Each would end at its own optimum, and the mean of four optima is nobody's. Set <code>ROUNDS = 1</code> and
# <code>MAX_ITER = 40</code>, the same work in one piece, and compare in notebook 04.
# </details>
# <details><summary>Would more rounds make it better for ever?</summary>
#
# No. The loss levels off, and every round tells the others a little more: the rounds are a price too.
# </details>
# <details><summary>May a hospital stop taking part when its own loss rises?</summary>
#
# Whenever it likes: its agent is its own. The federation goes on while the quorum is there, and what its rows have taught
# the model so far stays in it.
# </details>
#
# **Next:** [04_evaluate_global_model](04_evaluate_global_model.ipynb) asks what the model is worth, hospital by hospital.
