# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # Compare runs, and decide which model is in use
#
# One run says little. Was it the best that these rows can give? Did a hyperparameter matter, and to whom? You will train once
# more on other terms, lay both runs side by side, and let the new model take the place of the old one only if it is better on
# the same rows.
#
# - **You will** start a second run, compare it with that of notebook 03, promote a model, have a table scored by it, and pack
#   it for another account.
# - **You will learn** what an experiment tracker is good for, why two scores are compared row by row, and in which form a
#   model may travel.
# - **You need** fifteen minutes to read and try, and notebooks 01 to 03. On AWS: half an hour, most of it waiting for machines.
#
# ![Every event of a run goes into its record; tracker, tables and console are made from the record](images/record.svg)

# %% tags=["parameters"]
ROUNDS = 5  # rounds of the second run, 1 or more
MAX_ITER = 8  # solver iterations per client and round
STRATEGY = "FedAvg"  # FedAvg | FedProx | FedAvgM | FedAdam | FedYogi | FedMedian | FedTrimmedAvg | Krum | MultiKrum
TIMES = 200  # test tables that the bootstrap draws, 50 or more
DEADLINE = 3600  # seconds for all of it
TRACKER = "here"  # here: MLflow on this machine | none | an MLflow server's address | an MLflow app's ARN | experiments

# %% [markdown]
# | needs | makes |
# |---|---|
# | the test table (01), connected accounts (02), a finished run (03) | a second run, a champion, a folder for another account |

# %%
import pandas as pd

from client_code import schema
from workshop import problems, serving, state, tracking
from workshop.aws import accounts, images
from workshop.lessons.live import LiveRounds
from workshop.science import model, plots
from workshop.tracking import registry, runner

data, connection = state.load("data", "accounts")
problem = problems.load()
test = schema.read_table(state.home() / "data" / "server" / "test.csv", problem)
first = registry.of_run(problem.name, model.load(state.home() / "model").about["run"])

# %% [markdown]
# ## Read the record
# Notebook 03 wrote down what was asked for, and what every client says that it trained with. Usually these agree. Where they
# do not (another version of the code, a setting that was overridden), only the second column explains the model.

# %%
before = tracking.read(first.run)
before.who()[["rows", "trains with", "rounds"]]

# %% [markdown]
# ## Take the first model into use
# There is nothing to beat yet: the model of notebook 03 becomes the *champion*, the version that is in use. Why it did is
# written down with it.

# %%
registry.promote(first, because="the first that is in use")
print(f"champion: {first.about['rounds']} rounds of {first.about['max_iter']} iterations")

# %% [markdown]
# ## Run once more, on other terms
# The run is led by a process of its own, as the console does it (`make console`): this kernel only asks for it and reads the
# record. Close the notebook meanwhile, and nothing is lost; a second click on *run* starts nothing twice.

# %%
asked = runner.Request(
    clients=tuple(runner.invited()),
    rounds=ROUNDS,
    max_iter=MAX_ITER,
    strategy=STRATEGY,
    whole=DEADLINE,
    tracker=TRACKER,
)
print(f"a round needs {asked.checked().quorum} of {len(asked.clients)} clients")
run = runner.start(asked)

# %% tags=["nbval-ignore-output"]
after = runner.wait(run, seconds=DEADLINE, tell=LiveRounds().show_record)

# %% [markdown]
# ## Side by side
# Settings that differ, and what came of them, on the same test rows. *Meetings* are what a federation pays for: each is a
# message to every client and a wait for the slowest.

# %%
titles = {each.run: each.title for each in (before, after)}
tracking.compare([before, after]).rename(index=titles).round(3)

# %%
curves = {each.title: each.table()["roc_auc"] for each in (before, after)}
plots.lines(
    pd.DataFrame(curves), label="ROC AUC", title="Round by round, on the server's rows"
)

# %% [markdown]
# Every client sees it from its own rows: the ROC AUC that each of them told in the last round.

# %%
last = {each.title: each.measured("validation_auc").iloc[-1] for each in (before, after)}
pd.DataFrame(last).round(2)

# %% [markdown]
# ## Let the new one challenge the champion
# Both score the same test rows; then these rows are drawn again and again, the same for both. What makes a draw hard is hard
# for both, and no part of the difference. The challenger is better if nearly all draws say so.

# %%
challenger = registry.of_run(problem.name, run)
duel = registry.duel(challenger, test, problem, seed=data["seed"], times=TIMES)
print(f"{duel.verdict}: {duel.gain:+.4f} in ROC AUC ({duel.low:+.4f} to {duel.high:+.4f})")

# %% [markdown]
# ## Your turn: what could this test table tell at all?
# How much better would a challenger have to be, in ROC AUC, for this table to say so? About half of the width of the range.

# %% tags=["exercise"]
from workshop.lessons import exercises

least = ...  # a number such as 0.01
exercises.told_apart(least, duel)

# %% tags=["solution"]
least = (duel.high - duel.low) / 2
exercises.told_apart(least, duel)

# %% [markdown]
# Not told apart is a result, too: then the champion stays, for a change has a price of its own.

# %%
if duel.better:
    registry.promote(challenger, because=str(duel))
champion = registry.find(problem.name)
print(
    f"in use: {champion.about['rounds']} rounds of {champion.about['max_iter']} iterations"
)

# %% [markdown]
# ## Look at both in the tracker
# MLflow has the two runs, each with a child per client: parameters as used, loss and ROC AUC by round, seconds, who was left
# out and why. `make tracker` in a terminal opens its page: choose *Model training* at the left, the problem's name, and the
# second of the three views. Its figures are the record's, to the last digit.
#
# ![MLflow's page: two runs, and their ROC AUC, average precision and log-loss round by round](images/tracker.png)
#
# ## Have a table scored: in a batch, and at once
# A model that nobody can ask is no use. The champion becomes a model of SageMaker's in the server's account, and can be
# asked in two ways. A *transform job* scores a table from S3 and ends. An *endpoint* answers at once, and costs money for as
# long as it is up, asked or not. The model's role reads one folder of the bucket, and the model has no network. (On AWS
# either machine takes some minutes to start.)

# %%
caller = accounts.notebook_session(connection["serving_caller"])
image = images.training_image(caller.region_name)
served = serving.make(
    caller,
    connection["server_bucket"],
    champion,
    role=connection["serving_role"],
    image=image,
)
in_a_batch = serving.batch(caller, served, test)
print(f"{len(in_a_batch)} rows scored; the highest probability is {in_a_batch.max():.3f}")

# %% [markdown]
# The endpoint is up while the block runs, and gone after it, whatever happens inside. Both answer in numbers: where the line
# between yes and no lies is the threshold's, which is in the manifest.

# %%
with serving.endpoint(caller, served) as ask:
    at_once = ask(test)
serving.forget(caller, served)
features = test[list(problem.feature_names)]
here = model.load(champion.folder).pipeline.predict_proba(features)[:, 1]
pd.DataFrame({"here": here, "in a batch": in_a_batch, "at once": at_once}).head(5).round(6)

# %% [markdown]
# ## Pack it for another account
# A pickle runs code where it is opened, so `model.joblib` stays here. What travels is the array file and a manifest with its
# checksum; who receives them opens them with `model.load_twin`, which rebuilds the pipeline from numbers.

# %%
folder = registry.download(champion, state.home() / "download")
there = model.load_twin(folder)
{path.name: f"{path.stat().st_size:,} bytes" for path in sorted(folder.iterdir())}

# %% [markdown]
# ## Check

# %%
assert (there.pipeline.predict_proba(features)[:, 1] == here).all(), (
    "what travels gives other answers"
)
assert abs(in_a_batch - here).max() < 1e-12, "the batch gives other answers"
assert abs(at_once - here).max() < 1e-12, "the endpoint gives other answers"
assert after.status == before.status == "finished", "a run is not finished"
assert len(after.history) == ROUNDS, "a round is missing"
said = tracking.sent(run)
assert TRACKER == "none" or "is in the tracker" in said, said
used = set(after.who()["trains with"])
assert all(f"max_iter {MAX_ITER}" in each for each in used), f"clients trained with {used}"
print(f"two runs recorded, {len(after.clients)} clients each; the tracker has them")

# %% [markdown]
# ## What you saw
# Two runs that can be told apart months from now: what was asked, what was used, what came of it. A model that came into use
# for a reason that is written down, that can be asked from outside, and a copy of it that no one needs to trust.
#
# ## Three questions
# <details><summary>Why is the record kept beside the tracker, and not only in it?</summary>
#
# A tracker may be away, full or slow just when a run goes on. The record is a file of this machine; everything else is made
# from it, and can be made again: <code>fl track send RUN</code>.
# </details>
# <details><summary>May a champion be challenged by a model of another split (another <code>SEED</code>)?</summary>
#
# No. Rows of this test table may have been among its training rows; it would win by having seen them. The registry refuses
# the comparison.
# </details>
# <details><summary>What does a tracker tell about the clients' rows?</summary>
#
# What they told the server anyway, and nothing else: numbers of rows, losses and ROC AUC that are blurred before they leave
# (docs/privacy.md). But it is now kept, in one more place: who may read the tracker is a question for the agreement.
# </details>
#
# **Next:** [99_clean_up](99_clean_up.ipynb) takes everything down again.
