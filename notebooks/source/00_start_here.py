# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # Start here: choose where the workshop runs
#
# Several organisations want one model that tells ${positive} ${subjects} from ${negative} ones. None of them may show
# its rows to another. In this workshop you train that model all the same: every organisation is an AWS account of its
# own, every account trains on its own rows, and only the numbers of the model travel.
#
# - **You will** choose a target, look at the installed versions, and see every account answer.
# - **You will learn** what runs where, and which one parameter takes you from a laptop to AWS.
# - **You need** three minutes. For the embedded target nothing else; for AWS, one profile per account.
#
# ![The server account exchanges the numbers of a model per round with a training job in each of three client accounts; rows stay where they are](images/federation.svg)

# %% tags=["parameters"]
TARGET = "embedded"  # embedded | aws
CLIENTS = 3  # number of client accounts, 1 or more

# %% [markdown]
# | needs | makes |
# |---|---|
# | nothing | the choice of target and accounts, for every notebook after this one |
#
# ## What is installed
# One lock file pins all of it. If something behaves differently for you, compare this table first.

# %%
from workshop import state
from workshop.aws import accounts, uploads
from workshop.lessons import versions

versions.table()

# %% [markdown]
# ## Choose the target
# `embedded` is AWS on your own machine, on the loopback address only: training jobs really run, as processes, and
# no AWS account is needed. `aws` is the real one. The cells of every notebook are the same for both; what differs is
# the file in which boto3 finds its profiles.

# %%
state.save(target={"name": TARGET, "clients": CLIENTS})
names = accounts.at_hand(CLIENTS)
sessions = {name: accounts.session(name) for name in names}
sorted(session.profile_name for session in sessions.values())

# %% [markdown]
# ## See every account answer
# Each session asks AWS's Security Token Service (STS) who it is. Every name must lead to an account of its own: one
# account that plays server and clients at once would prove nothing. (On the server's notebook instance on AWS there
# is only the server; what it has to know of the others is fetched from its bucket.)

# %%
import pandas as pd

fetched = uploads.fetch(sessions["server"])
identities = [accounts.identity(name, session) for name, session in sessions.items()]
pd.DataFrame(identities).set_index("name")[["account", "region"]]

# %% [markdown]
# ## Your turn: who is who
# Every notebook has a place like this one: put your answer where the three dots are, and run the cell; it says what is right,
# or what to look at. Here: one of these accounts leads and has no rows to train on. Write its twelve digits, in quotes.

# %% tags=["exercise"]
from workshop.lessons import exercises

leads = ...  # the account that leads
exercises.server_account(leads, identities)

# %% tags=["solution"]
leads = identities[0].account
exercises.server_account(leads, identities)

# %% [markdown]
# ## Check

# %%
assert len({who.account for who in identities}) == len(names), (
    "two names lead to the same account"
)
assert len({who.region for who in identities}) == 1, "all accounts must use one region"
print(f"{len(names)} accounts answer, each with its own id")

# %% [markdown]
# ## What you saw
# You chose a target, and every account answered under its own id. From here on a notebook never holds an address, a
# key or an account id: it asks for a session by name.
#
# ## Three questions
# <details><summary>What would you change to run this in your own accounts?</summary>
#
# `TARGET = "aws"`, and profiles called `fl-server`, `fl-client-1`, ... in your AWS config file. Nothing else.
# </details>
# <details><summary>Why does the workshop insist on different accounts, when roles could separate teams in one?</summary>
#
# An account is AWS's hard border: without a grant from both sides nothing crosses it. That is the border your
# data protection officer means by "may not leave".
# </details>
# <details><summary>Does the embedded AWS call anybody on the internet?</summary>
#
# No. It listens on the loopback address only, its keys are made on the spot and worth nothing anywhere else, and
# the usage reports of the libraries are switched off.
# </details>
#
# **Next:** [01_prepare_data](01_prepare_data.ipynb) decides which row belongs to whom. The same with four hospitals
# begins at [heart/01_prepare_data](heart/01_prepare_data.ipynb): choose `CLIENTS = 4` above.
