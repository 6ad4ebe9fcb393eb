# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # Run the federation: one training job per account, one model
#
# The server starts a SageMaker training job in every client account, then waits in this very kernel for the jobs to
# dial in. They train; the server averages; after every round it scores the model on its own test table.
#
# - **You will** borrow the kick-off role of every account, start the jobs, watch the rounds, and save `model.joblib`.
# - **You will learn** what crosses the line between two accounts, and how a wait that cannot last for ever is built.
# - **You need** twenty minutes to read and try, and notebooks 01 and 02.
#
# ![Join, proof of identity, sums for the scaler, then each round the global model and the trained model, at the end the threshold](images/round.svg)

# %% tags=["parameters"]
ROUNDS = 3  # rounds of federated averaging, 1 or more
MAX_ITER = 10  # solver iterations per client and round
PENALTY = "l2"  # l2 | l1 | none
STRATEGY = "FedAvg"  # FedAvg | FedProx | FedAvgM | FedAdam | FedYogi | FedMedian | FedTrimmedAvg | Krum | MultiKrum
HOSTILE = 0  # clients that may work against the others; the last four strategies stand some
QUORUM = 0  # usable answers that a round needs; 0: more than half
JOIN_DEADLINE = 0  # seconds until all have joined; 0: 120 here, 900 on AWS
ROUND_DEADLINE = 120  # seconds until a client must have answered
DEADLINE = 3600  # seconds for all of it
KICKOFF = "owner"  # owner | published: how the accounts were connected in 02
RESUME = ""  # the id of a run whose folder was lost; else a run that was cut off is found by itself
TRACKER = "here"  # here: MLflow on this machine | none | an MLflow server's address | an MLflow app's ARN | experiments

# %% [markdown]
# | needs | makes |
# |---|---|
# | the test table (01), the connection data (02) | `model.joblib` with its manifest, the record of the run, a version in the registry |

# %%
import pandas as pd

from client_code import schema
from workshop import federation, problems, state, tracking
from workshop.aws import accounts, jobs, kickoff
from workshop.science import model
from workshop.lessons.live import LiveRounds
from workshop.tracking import registry

# %%
data, connection = state.load("data", "accounts")
clients = [jobs.ClientAccount.of(entry) for entry in connection["clients"]]
problem = problems.load()
test = schema.read_table(state.home() / "data" / "server" / "test.csv", problem)
print(
    f"{len(clients)} clients; {len(test):,} test rows, {test[problem.label.name].sum()} of them {problem.words.positive}"
)

# %% [markdown]
# ## Borrow the right to start a job
# You do not log in to the clients' accounts. You borrow `FL-kickoff-client-job` in each of them for an hour. It may start
# that owner's state machine, and see and stop the jobs that this machine has started.

# %%
kickoff.check(clients, KICKOFF)
server = accounts.notebook_session(connection["server_role"])
borrowed = {
    client.name: accounts.borrow(server, client, session_name="federation")
    for client in clients
}
pd.Series(
    {name: accounts.identity(name, session).account for name, session in borrowed.items()}
).to_frame("account")

# %% [markdown]
# ## Give the server a place and a certificate
# Clients dial the private address of the server's notebook instance, at the one port that the networks leave open. On
# this machine the embedded AWS brings their calls to this kernel, if routes and security groups let them pass.

# %%
here = accounts.target() == "embedded"
join_deadline = JOIN_DEADLINE or (120 if here else 900)  # on AWS a machine starts first
place = federation.place(
    connection["server_host"], connection["server_port"], forwarded=here
)

# %% [markdown]
# What the federation is held to is checked now, before anything starts.

# %%
training = {"max_iter": MAX_ITER, "penalty": PENALTY, "seed": data["seed"]}
terms = federation.Terms(
    rounds=ROUNDS,
    strategy=STRATEGY,
    hostile=HOSTILE,
    quorum=QUORUM or None,
    join=join_deadline,
    round=ROUND_DEADLINE,
    whole=DEADLINE,
).checked(len(clients))
print(f"{terms.strategy}; a round needs {terms.quorum} of {len(clients)} clients")

# %% [markdown]
# Every run has a certificate authority of its own, whose key never leaves this machine. The jobs receive its
# certificate as a hyperparameter and talk to nobody else. Run the cell again to give the server a new certificate:
# clients accept it, for the same authority has signed it.

# %%
run = federation.open_run(
    connection["server_host"],
    {"data": data, "training": training, "terms": [ROUNDS, STRATEGY, HOSTILE]},
    session=server,
    bucket=connection["server_bucket"],
    resume=RESUME,
)
print(f"run {run.id}: {run.rounds_done} rounds are done already")
print(f"the server's certificate ends on {run.certificates.expires:%Y-%m-%d %H:%M} UTC")

# %% [markdown]
# ## Ask every client who it is
# A certificate proves the server to the clients. The other way round nobody hands out a password: the server sends a
# random word, the job signs it, together with the question "who am I?" to AWS's token service STS, with the
# credentials of its execution role; the server passes the signed question on, and STS answers with account and role.
# Anything but the expected role of an expected account is turned away before it is asked for anything.

# %%
verifier = federation.Verifier(server, run.certificates.fingerprint)
pd.options.display.max_colwidth = None
pd.Series({client.name: client.execution_role for client in clients}).to_frame(
    "may take part"
)

# %% [markdown]
# ## Fill in what varies
# Image, code, rows, role, network, machine and runtime of a job stand in its owner's state machine. This is all that one
# client's account receives from you: where you can be reached, whom to trust, and how to train.

# %%
settings = {
    "image": connection["image"],
    "server_address": place.address,
    "ca_certificate": run.certificates.authority_hyperparameter(),
    "join_deadline": join_deadline,
    **training,
}
job = jobs.TrainingJob(
    clients[0], kickoff.job_name(clients[0].name, run.id), borrowed[clients[0].name]
)
asked = kickoff.way(job, run=run.id, attempt=1, **settings).asks

# %%
import json

print(json.dumps({name: str(value)[:60] for name, value in asked.items()}, indent=1))

# %% [markdown]
# ## Start the jobs
# From here on the instances start, each in its own account, load their own code and their own rows. A job's name
# follows from the run: run the cell twice, or in a new kernel, and the jobs that wait for the server are found and kept.

# %%
started = kickoff.kick_off(clients, borrowed, run=run.id, before=run.before, **settings)
print(f"{len(started)} jobs started")

# %% [markdown]
# ## Write down what happens
# Every event of the run goes into its record on this machine, a line each: what was asked for, what each client says that
# it trains with, every round's figures, who was left out and why. A process beside this kernel sends the record to an
# experiment tracker (MLflow). If that is away, the run neither waits nor ends, and the record is sent later.

# %%
about = {key: data[key] for key in ("source", "seed")}
about |= {"test": registry.digest(test, problem)}
record = tracking.begin(
    run.id,
    problem=problem,
    participants=started,
    training=training,
    terms=terms,
    data=about,
)
tracking.follow(run.id, TRACKER)

# %% [markdown]
# ## Train together
# Before round 1 everybody must be there. Then no wait is endless: a client that has not answered in time is left out of the
# round, one that sends what cannot be averaged is left out too, and with fewer usable answers than the quorum the cell ends
# with an error that names who is missing and why. Every finished round is saved here and in the server's bucket: after an error, or a kernel that
# died, run the notebook again and it carries on. (To train once more, begin at *Start the jobs*: a job that has ended takes part
# in nothing.)
#
# The seconds in this output differ from run to run, so it is not compared; the next cell shows what must not differ.

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
    sinks=[LiveRounds(), record],
)

# %% [markdown]
# ## What each round was worth
# Scored on the server's test table, which nobody resampled. *Bytes up* is what all clients sent in one round: their whole
# contribution, whatever the number of their rows.

# %%
history = result.table()
history[
    ["roc_auc", "average_precision", "log_loss", "bytes_up", "bytes_down", "clients"]
].round(3)

# %% [markdown]
# Every client also says what its own rows say of the model that it has just trained: a score of rows that you never see,
# and its owner's word.

# %%
result.measured("validation_auc").round(3)

# %%
from workshop.science import plots

base_rate = test[problem.label.name].mean()
plots.rounds(history, base_rate=base_rate, title="What each round was worth")

# %% [markdown]
# Where did the seconds of the rounds go? *Training* is the client's word, *transport* the rest of the time that its answer
# took, *waiting* is for the slowest of the others, *aggregation* what the server does with all answers. On real accounts the
# bars differ in length of training: who waits most has the smallest table, or the largest machine.

# %%
spent = tracking.read(run.id).timings()
plots.timings(spent, title="What every client's seconds were spent on")

# %% [markdown]
# ## Your turn: how much does a client say?
# How many numbers does a client send as its model in one round? (A logistic regression has a coefficient for each input, and
# `problem.input_names` names the inputs.)

# %% tags=["exercise"]
from workshop.lessons import exercises

numbers = ...  # a whole number
exercises.numbers_sent(numbers, result.parameters)

# %% tags=["solution"]
numbers = len(problem.input_names) + 1
exercises.numbers_sent(numbers, result.parameters)

# %% [markdown]
# ## How the jobs ended
# Every job saves its own copy of the global model as `model.tar.gz` in its own bucket. The server never opens those:
# a pickle that somebody else made can run any code.

# %%
finished = jobs.wait(started, deadline=600, needed=terms.quorum)
finished[["account", "status", "step", "artefact"]]

# %% [markdown]
# ## Save the global model
# The server builds its own scikit-learn pipeline from the averaged numbers. Beside `model.joblib` lie the same numbers
# without pickle, and a manifest with checksums. Every finished run becomes a version in the registry of models; which one is
# in use is decided in 06.

# %%
about |= training | {
    "run": run.id,
    "rounds": ROUNDS,
    "strategy": STRATEGY,
    "complete": all(entry.clients == len(started) for entry in result.history),
}
given = {"threshold": result.threshold, "about": about}
path = model.save(
    state.home() / "model", result.parameters, result.scaler, problem, **given
)

# %%
registry.register(path.parent, problem)
record.close()
model.upload(path.parent, server, connection["server_bucket"])
state.save(
    federation=federation.record(
        result, started, model_path=path, billed=jobs.billed(started)
    )
)
run.finish()
n_rows = sum(result.client_rows.values())
print(f"threshold {result.threshold:.3f}, from {n_rows:,} training rows before SMOTE")

# %% [markdown]
# ## Check

# %%
reloaded, twin = model.load(path.parent), model.load_twin(path.parent)
features = test[list(problem.feature_names)]
probabilities = reloaded.pipeline.predict_proba(features)[:, 1]
again = twin.pipeline.predict_proba(features)[:, 1]
assert (probabilities == again).all(), "the twin differs"
assert len(history) == ROUNDS, "a round is missing"
completed = (finished["status"] == "Completed").sum()
assert completed >= terms.quorum, "too few jobs completed"
known = {name: entry["train_rows"] for name, entry in data["clients"].items() if entry}
assert all(known.get(name, rows) == rows for name, rows in result.client_rows.items()), (
    "row counts differ"
)
print(
    f"{ROUNDS} rounds, {completed} jobs completed, and model.joblib gives the same answers after loading"
)

# %% [markdown]
# ## What crossed the line
# What you received of every client, what you could learn from it if you looked closely, and what is done about that. The
# page [privacy](../docs/privacy.md) has the rest: two clients together, a listener, the next run.

# %%
from workshop.federation import crossing
from workshop.lessons import show

told = crossing.table().loc[["sums", "update", "end"]]
show.prose(told[["how often", "could be learnt", "done about it"]])

# %% [markdown]
# ## What you saw
# Jobs in accounts that are not yours trained on rows you never saw. What came over the line: of every column how many values it
# has, their mean and spread; ${n_numbers} numbers, three scores and a duration per round and client; at the end a loss and a
# threshold. And with them who sends it: row count, versions of its code and rows.
#
# ## Three questions
# <details><summary>Why is the average weighted by real rows, and not by the rows after SMOTE?</summary>
#
# A client could otherwise make itself heavier by making rows up.
# </details>
# <details><summary>What happens when a client's job fails before it dials in, and what when it dies later?</summary>
#
# The server looks at the jobs while it waits. Before round 1 it ends at once, names the client, its job and
# SageMaker's reason, and stops the other jobs; the log is for its owner to read. Later it goes on as long as the quorum
# is reached. 05_break_it tries it out.
# </details>
# <details><summary>Why does the scaler need a round of its own?</summary>
#
# Columns have units of their own: one may reach to millions, another from 0 to 1. Every client must scale them in the same way, and
# the right way is the mean and spread of everybody's rows, which nobody has. Sums can be added up without showing a row. (Two sums,
# of the same rows but for one, would show that one: so a job does not tell the second.)
# </details>
#
# **Next:** [04_evaluate_global_model](04_evaluate_global_model.ipynb) asks what the model is worth.
