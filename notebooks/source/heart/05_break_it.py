# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # Break it: what agents and runs do when pods, nodes and policies go away
#
# A cluster promises that what dies comes back. That is worth little if the model is another one afterwards. You will kill
# pods, drain a node, leave a hospital uninvited and take a policy away, each in the middle of a run, and compare the model
# with that of a run without any accident, bit by bit.
#
# - **You will** kill an agent's pod and the run's own, drain a node, turn an agent away, and close a hospital's way out.
# - **You will learn** what Kubernetes heals by itself, what the federation's own checkpoints are for, and what neither can.
# - **You need** twenty minutes to read and try, heart/01 to heart/03, and sessions in every account, since you are each owner in turn.
#
# ![Every update passes a gate before it is averaged; a client without an answer is asked again until the deadline](../images/gate.svg)

# %% tags=["parameters"]
ROUNDS_EACH = 40  # rounds of each of the runs, 20 or more: what you do must find the run still going on
AWAY = 1  # seconds for which a node takes no pods

# %% [markdown]
# | needs | makes |
# |---|---|
# | rows (heart/01), agents that wait (heart/02), a finished run (heart/03) | nothing that stays |

# %%
from functools import partial

import pandas as pd

from workshop import state
from workshop.aws import accounts
from workshop.clusters import access, connect
from workshop.lessons import ward

# %%
data, connection = state.load("data", "accounts")
hospitals = {name: entry["owner"] for name, entry in data["clients"].items()}
launcher = accounts.notebook_session(connection["launcher_role"])
api = access.api(launcher, access.find(launcher, connect.CLUSTER, account="server"))
training = {"max_iter": 1, "penalty": "l2", "seed": data["seed"]}
runs = ward.Ward(connection, launcher, api, training=training)
first, *_, last = [agent.name for agent in runs.agents]
print(
    f"{len(runs.agents)} agents: you will disturb {hospitals[first]} and {hospitals[last]}"
)

# %% [markdown]
# First once without any accident. Every round needs all hospitals, so that the models can be compared.

# %%
assert ROUNDS_EACH >= 20, "choose ROUNDS_EACH = 20 or more"
everybody = {"rounds": ROUNDS_EACH, "quorum": len(runs.agents)}
calm = runs.lead(**everybody)
print(f"ROC AUC after {ROUNDS_EACH} rounds: {calm.result.history[-1].roc_auc:.3f}")

# %% [markdown]
# ## Kill an agent's pod
# As soon as round 2 is done you delete the pod of one hospital's agent, with no time to say good-bye. The Deployment makes
# another one, which knows nothing of the run; it dials in, proves who it is, and is asked the question that is open. Every
# question brings all that its answer needs.

# %%
killed = runs.lead(do=partial(runs.kill_agent, first), **everybody)
print("the same model, bit by bit:", killed.model == calm.model)

# %% [markdown]
# ## Kill the run's pod
# Now the federation's own server. The Job makes another pod; it finds the checkpoint of the last finished round in the
# bucket, waits for the agents, which dial again by themselves, and goes on.

# %%
revived = runs.lead(do=runs.kill_run, **everybody)
print("rounds came from a checkpoint:", revived.result.resumed > 0)
print("the same model, bit by bit:", revived.model == calm.model)

# %% [markdown]
# ## Drain a node
# A hospital's owner upgrades the machine under its agent. `kubectl drain` asks the agent's pod to leave: it saves its model
# and ends within five seconds. It has nowhere to go until the node takes pods again, and the run waits.

# %%
drained = runs.lead(do=partial(runs.drain, first, seconds=AWAY), **everybody)
print("the same model, bit by bit:", drained.model == calm.model)

# %% [markdown]
# ## Leave a hospital uninvited
# Its agent does not know that, and dials in. It proves who it is, and that is why it is turned away. It is told so, and
# tries again later: the next run may want it.

# %%
others = [agent.name for agent in runs.agents if agent.name != last]
invited = runs.lead(invited=others, rounds=ROUNDS_EACH)
print("\n".join(invited.notes))

# %% [markdown]
# ## Take a policy away
# A hospital's default is that nothing goes out; one policy lets its agent out to the server. Without that one it cannot
# take part, whatever anybody else wants. (A connection that stands is let be, so its pod is started again.) The others go
# on: this run needs all but one.

# %%
but_one = {"quorum": len(others), "start_with": len(others), "join": 3.0, "round": 1.0}
with runs.without_policy(first, connect.folder(first)):
    closed = runs.lead(rounds=ROUNDS_EACH, **but_one)
print("\n".join(closed.notes))

# %% [markdown]
# ## Your turn: end it rather than go on without
# The run went on without a hospital. Sometimes that is wrong: a model for four must not come from three. With which `quorum`, the
# usable answers that a round needs, would it have ended? The cell takes the policy away once more and tries.

# %% tags=["exercise"]
from workshop.lessons import exercises

needed = ...  # a whole number
exercises.quorum(needed, runs, first, connect.folder(first), rounds=ROUNDS_EACH)

# %% tags=["solution"]
needed = len(runs.agents)
exercises.quorum(needed, runs, first, connect.folder(first), rounds=ROUNDS_EACH)

# %% [markdown]
# With the policy back, everything is as it was.

# %%
again = runs.lead(**everybody)
print("the same model, bit by bit:", again.model == calm.model)

# %% [markdown]
# ## Side by side

# %%
outcomes = {
    "nothing": calm,
    "an agent is killed": killed,
    "the run is killed": revived,
    "a node is drained": drained,
    "one is not invited": invited,
    "a policy is taken away": closed,
}


# %%
table = pd.DataFrame({name: outcome.line for name, outcome in outcomes.items()}).T
table["the same model"] = [outcome.model == calm.model for outcome in outcomes.values()]
table

# %% [markdown]
# ## Check

# %%
same = {name: outcome.model == calm.model for name, outcome in outcomes.items()}
healed = ["an agent is killed", "the run is killed", "a node is drained"]
assert all(same[name] for name in healed), f"not bit by bit the same model: {same}"
assert not same["one is not invited"] and not same["a policy is taken away"]
assert revived.result.resumed > 0, "the run was over before its pod was killed"
assert set(closed.result.client_rows) == set(hospitals) - {first}
assert set(invited.result.client_rows) == set(others)
assert all(len(outcome.result.history) == ROUNDS_EACH for outcome in outcomes.values())
print("three accidents that heal without a trace, two that leave a hospital out")

# %% [markdown]
# ## What you saw
# Kubernetes brings pods back; it knows nothing of rounds. That the model is the same afterwards comes from the federation:
# questions that bring all they need, seats that wait for whoever comes back, a checkpoint after every round. Neither can
# replace a hospital that is not there: a model without its patients is another model.
#
# ## Three questions
# <details><summary>Why does the run's Job never have two pods at once?</summary>
#
# Two servers behind one address would share the agents between them. Its manifest says
# <code>podReplacementPolicy: Failed</code>: another pod comes when the last one has ended for good.
# </details>
# <details><summary>What does a run do whose terms cannot be kept, when too few hospitals join?</summary>
#
# It ends with a reason and with exit code 2. The Job's failure policy knows that code: another try would change nothing, so
# there is none.
# </details>
# <details><summary>An agent's owner deletes its Deployment in the middle of a run. What happens?</summary>
#
# The agent saves its model and goes. The run waits for it until the round's deadline, then goes on without, if enough are
# left.
# </details>
#
# **Next:** [06_compare_runs](../06_compare_runs.ipynb) trains once more, and decides which model is in use.
