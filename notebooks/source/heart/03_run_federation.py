# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # Train across the hospitals: many short rounds, since they are so unlike
#
# Four hospitals train one model, each in its own account, on patients that nobody else sees. The calls are those of the
# fraud track; what differs is how far the hospitals' models would run apart if they were let, and what each of them says
# of the common one.
#
# - **You will** start four jobs, train twenty rounds, and watch the model through the eyes of every hospital.
# - **You will learn** why unlike sites need short rounds, and why one score cannot speak for all of them.
# - **You need** two minutes, heart/01 and notebook 02.
#
# ![Join, proof of identity, sums for the scaler, then each round the global model and the trained model, at the end the threshold](../images/round.svg)

# %% tags=["parameters"]
ROUNDS = 20  # rounds of federated averaging, 1 or more
MAX_ITER = 2  # solver iterations per hospital and round
PENALTY = "l2"  # l2 | l1 | none
STRATEGY = "FedAvg"  # FedAvg | FedProx | FedAvgM | FedAdam | FedYogi | FedMedian | FedTrimmedAvg | Krum | MultiKrum
KICKOFF = "owner"  # owner | published: how the accounts were connected in 02
DEADLINE = 3600  # seconds for all of it

# %% [markdown]
# | needs | makes |
# |---|---|
# | the test table (heart/01), the connection data (02) | `model.joblib` with its manifest, the history of the rounds |

# %%
import pandas as pd

from client_code import schema
from workshop import federation, problems, state
from workshop.aws import accounts, jobs, kickoff
from workshop.lessons import experiments
from workshop.lessons.live import LiveRounds
from workshop.science import model, plots

data, connection = state.load("data", "accounts")
clients = [jobs.ClientAccount.of(entry) for entry in connection["clients"]]
hospitals = {name: entry["owner"] for name, entry in data["clients"].items()}
problem = problems.load()
test = schema.read_table(state.home() / "data" / "server" / "test.csv", problem)
print(f"{len(clients)} hospitals; {len(test)} test rows, {test['ill'].sum()} of them ill")

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
# ## Borrow, take a place, start
# As in the fraud track: an hour's right to start one job in each account, the one port at which the server waits, and a
# certificate authority of this run. [03_run_federation](../03_run_federation.ipynb) takes these steps one by one.

# %%
kickoff.check(clients, KICKOFF)
server = accounts.notebook_session(connection["server_role"])
borrowed = {
    client.name: accounts.borrow(server, client, session_name="federation")
    for client in clients
}
here = accounts.target() == "embedded"
place = federation.place(
    connection["server_host"], connection["server_port"], forwarded=here
)

# %%
training = {"max_iter": MAX_ITER, "penalty": PENALTY, "seed": data["seed"]}
wait = 120 if here else 900  # on AWS a machine starts first
terms = federation.Terms(rounds=ROUNDS, strategy=STRATEGY, join=wait, whole=DEADLINE)
terms = terms.checked(len(clients))
run = federation.open_run(
    connection["server_host"],
    {"data": data, "training": training, "terms": [ROUNDS, STRATEGY]},
    session=server,
    bucket=connection["server_bucket"],
)
print(f"{terms.strategy}; a round needs {terms.quorum} of {len(clients)} hospitals")

# %% [markdown]
# Every job proves to the server who it is; only the execution roles of these four accounts are let in.

# %%
verifier = federation.Verifier(server, run.certificates.fingerprint)
settings = {
    "image": connection["image"],
    "server_address": place.address,
    "ca_certificate": run.certificates.authority_hyperparameter(),
    "join_deadline": wait,
    **training,
}
started = kickoff.kick_off(clients, borrowed, run=run.id, before=run.before, **settings)
print(f"{len(started)} jobs started")

# %% [markdown]
# ## Train together
# A hospital that does not answer in time is left out of a round, and named; too few answers end the cell with a reason.
# Every round is saved: after an error, run the notebook again and it carries on.

# %% tags=["nbval-ignore-output"]
result = federation.run(
    started,
    listen=place.listen,
    certificates=run.certificates,
    caller=verifier.caller,
    test=schema.to_arrays(test, problem),
    problem=problem,
    terms=terms,
    checkpoints=run.checkpoints,
    sinks=[LiveRounds(), run.journal],
)

# %% [markdown]
# ## What each round was worth
# On the server's test table, all hospitals' patients together:

# %%
history = result.table()
base_rate = test[problem.label.name].mean()
plots.rounds(history, base_rate=base_rate, title="What each round was worth")

# %% [markdown]
# Every hospital also says what its own validation rows make of the model that it has just trained, from the common one.
# Its job tells the ROC AUC in hundredths, and nothing where these rows are of one class. (It tells a log-loss too, blurred
# on purpose: of so few rows the exact one could give a patient away.) One hospital has a single healthy patient among
# these rows: its 1.0 says where that one ranks, and no more.

# %%
measured = result.measured("validation_auc").rename(columns=hospitals)
plots.lines(measured, label="ROC AUC", title="Every hospital on its own validation rows")

# %% [markdown]
# ## Save the global model

# %%
finished = jobs.wait(started, deadline=600, needed=terms.quorum)
about = {key: data[key] for key in ("source", "seed")} | {
    "rounds": ROUNDS,
    "max_iter": MAX_ITER,
    "penalty": PENALTY,
    "strategy": STRATEGY,
    "complete": all(entry.clients == len(started) for entry in result.history),
}
given = {"threshold": result.threshold, "about": about}
path = model.save(
    state.home() / "model", result.parameters, result.scaler, problem, **given
)

# %%
model.upload(path.parent, server, connection["server_bucket"])
billed = jobs.billed(started)
state.save(federation=federation.record(result, started, model_path=path, billed=billed))
run.finish()
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
completed = (finished["status"] == "Completed").sum()
assert completed >= terms.quorum, "too few jobs completed"
known = {hospitals[name]: entry["train_rows"] for name, entry in data["clients"].items()}
assert rows.to_dict() == {name: known[name] for name in rows.index}, "row counts differ"
assert apart.mean().iloc[-1] > apart.mean().iloc[0], "training did not drive them apart"
print(
    f"{ROUNDS} rounds, {completed} jobs completed; the model takes words and gaps as they are"
)

# %% [markdown]
# ## What you saw
# Four jobs trained on four hospitals' patients, and what came over the line is the same in kind as in the fraud track:
# once four sums per input, then ${n_numbers} numbers a round. `model.joblib` takes a patient's columns as a hospital
# writes them, words and gaps included.
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
# Whenever it likes: its job is its own. The federation goes on while the quorum is there, and what its rows have taught
# the model so far stays in it.
# </details>
#
# **Next:** [04_evaluate_global_model](04_evaluate_global_model.ipynb) asks what the model is worth, hospital by hospital.
