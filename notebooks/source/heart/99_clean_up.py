# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # Clean up: empty the clusters, delete everything, and see that nothing is left
#
# A cluster makes things that no template knows: a load balancer for a Service, a disk for a claim. Delete the cluster first,
# and they stay, cost money, and hold the network. So this notebook begins inside the clusters and ends with the networks.
#
# - **You will** delete everything that heart/02 and heart/03 created, in every account.
# - **You will learn** which order a cluster wants, and why a clean-up is not done before somebody has looked.
# - **You need** four minutes; on AWS half an hour.

# %% tags=["parameters"]
KEEP_MODEL = True  # True | False: keep the global model and the rows in the local folder

# %% [markdown]
# | needs | makes |
# |---|---|
# | the choice of target (00) | empty accounts |
#
# ## What is there now

# %%
import shutil

from workshop import state
from workshop.aws import accounts, cleanup
from workshop.clusters import emptying
from workshop.lessons.live import LiveStacks

target, data = state.load("target", "data")
sessions = {name: accounts.session(name) for name in ["server", *data["clients"]]}
before = cleanup.left_over(sessions)
before.groupby(["kind", "account"], sort=False).size().unstack(fill_value=0)

# %% [markdown]
# ## Empty the clusters, then delete
# Runs first, also one that is going on. Then Services that have a load balancer: the cell waits until AWS has taken it
# back. Then claims, then the namespace with the agents. A hospital's cluster is emptied by its owner, with its own session.
#
# The stacks follow, in the order in which they were made turned round: roles and nodes, endpoints, cluster, registry,
# peering, network, bucket. Running it a second time does no harm.

# %% tags=["nbval-ignore-output"]
emptied = emptying.empty(sessions, progress=LiveStacks())
deleted = cleanup.delete_all(sessions, progress=LiveStacks())

# %%
emptied

# %% [markdown]
# The server's load balancer was the one thing that no stack had made. And the stacks:

# %%
deleted[["stacks"]]

# %% [markdown]
# ## Look
# Ask every account again. The table must be empty. (A deleted KMS key is kept by AWS for seven days, unusable and free
# of charge; it is not listed.)

# %%
left = cleanup.left_over(sessions)
left

# %% [markdown]
# ## Your turn: what would the list not see?
# Somebody made a role by hand, for a quick test, and forgot it. Give it a name under which the list finds it. (Any other shows
# what the list is blind to.) The cell makes the role in `client-1`'s account, asks, and deletes it.

# %% tags=["exercise"]
from workshop.lessons import exercises

name = ...  # the role's name, in quotes
exercises.forgotten(name, sessions["client-1"])

# %% tags=["solution"]
name = "FL-quick-test"
exercises.forgotten(name, sessions["client-1"])

# %% [markdown]
# ## Forget
# The connection data of deleted stacks would only mislead. The model and the rows are yours; `KEEP_MODEL = False`
# removes them too.

# %%
state.forget("accounts")
shutil.rmtree(state.home() / "clusters", ignore_errors=True)
if not KEEP_MODEL:
    shutil.rmtree(state.home() / "model", ignore_errors=True)
    shutil.rmtree(state.home() / "data", ignore_errors=True)

# %% [markdown]
# ## Check

# %%
assert left.empty, f"still there: {left.to_dict('records')}"
print(f"{len(sessions)} accounts, {len(before)} things deleted, nothing left")

# %% [markdown]
# ## What you saw
# No account holds anything of the workshop any more but a key that nobody can use, for seven days on AWS.
#
# ## Three questions
# <details><summary>Why is the load balancer in no stack?</summary>
#
# EKS makes it when the Service is applied, and takes it back when the Service goes. CloudFormation never hears of it.
# </details>
# <details><summary>A deployment stopped half way. Does this notebook still work?</summary>
#
# Yes. It asks each account what is there: a cluster that was never made is passed over, a stack that failed is deleted.
# </details>
# <details><summary>What remains with a hospital after all this?</summary>
#
# Its rows, where they always were, and the models of the runs if it took them out of its bucket in time.
# </details>
#
# **Next:** put your own table in the place of ours: `DATA=your.csv make workshop`.
