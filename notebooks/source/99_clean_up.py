# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # Clean up: delete everything, and see that nothing is left
#
# What a workshop leaves behind costs money and stays open to whoever may use it. This notebook stops the jobs, empties
# the buckets, deletes the stacks, and then asks every account what is still there.
#
# - **You will** delete everything that notebooks 02 and 03 created, in every account.
# - **You will learn** why the order matters, and why a clean-up is not done before somebody has looked.
# - **You need** four minutes.

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
from workshop.lessons.live import LiveStacks

target, data = state.load("target", "data")
sessions = {name: accounts.session(name) for name in ["server", *data["clients"]]}
before = cleanup.left_over(sessions)
before.groupby(["kind", "account"], sort=False).size().unstack(fill_value=0)

# %% [markdown]
# ## Delete
# Jobs first, as they hold roles and write to buckets. Then the stacks, in the order in which they were made turned
# round: what refers to others goes before them. Buckets are emptied, with all versions of all objects, since one that
# is not empty cannot go. SageMaker takes back its network interfaces some time after a job's end (here at once, on AWS
# within the hour), with the job's role: the cell waits for that, and says so, before role and network go. Running it a
# second time does no harm.

# %% tags=["nbval-ignore-output"]
deleted = cleanup.delete_all(sessions, progress=LiveStacks())

# %%
deleted

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
# <details><summary>Why list what is left, when every deletion succeeded?</summary>
#
# A deletion only speaks of what it was asked to delete. A list also shows what nobody thought of.
# </details>
# <details><summary>A client wants out while the federation is running. What does it do?</summary>
#
# It stops its own job and deletes `fl-client-access` and `fl-peering-routes`. It needs nobody's permission.
# </details>
# <details><summary>What remains with the client after all this?</summary>
#
# Its rows, where they always were, and the global model if it took `model.tar.gz` out of its bucket in time.
# </details>
#
# **Next:** put your own table in the place of ours: `DATA=your.csv make workshop`.
