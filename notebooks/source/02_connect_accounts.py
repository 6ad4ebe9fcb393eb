# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # Connect the accounts: buckets, and roles that allow one thing each
#
# The server must be able to start a training job in an account it does not own, and must not be able to do anything
# else there. Two roles in the client's account make that possible, and both belong to the client.
#
# - **You will** deploy one small CloudFormation stack per account, let every owner upload its own files, and borrow a role.
# - **You will learn** what a cross-account role is, what `iam:PassRole` means, and what a refusal looks like.
# - **You need** three minutes, and notebook 01.
#
# ![The server account may assume the kick-off role, which may start a job and hand it the execution role; only the execution role reads rows](images/accounts.svg)

# %% tags=["parameters"]
SHOW = "client-1"  # client-1 | client-2 | ...: whose resources are shown in detail

# %% [markdown]
# | needs | makes |
# |---|---|
# | the files that 01 wrote for every owner | a bucket per account with its owner's files, the roles, the connection data |

# %%
import pandas as pd

from workshop import accounts, connect, lessons, stacks, state

pd.set_option("display.max_colwidth", 100)
(data,) = state.load("data")
clients = list(data["clients"])
sessions = {name: accounts.session(name) for name in ["server", *clients]}
server_id = accounts.identity("server", sessions["server"]).account

# %% [markdown]
# ## Each client: a bucket and two roles
# A client tells CloudFormation one thing, the id of the server's account. Three outputs come back, which the owner
# sends to the server's people: the names of two roles, shown below, and of a bucket, which is drawn at random. A stack
# that is there already, and unchanged, is left alone: run the cell as often as you like.

# %%
granted = {
    name: stacks.deploy(
        sessions[name], "client-access", {"ServerAccountId": server_id}, account=name
    )
    for name in clients
}
pd.DataFrame({"role": granted[SHOW]}).rename_axis("output").query("output != 'Bucket'")

# %% [markdown]
# ## The server: a bucket and a policy
# The policy `FL-allow-kickoff-client-job` names the roles that may be borrowed, one by one. Both sides have to agree:
# the client's role trusts the server's account, and the server's policy allows the call.

# %%
kickoff_roles = ",".join(outputs["KickoffRoleArn"] for outputs in granted.values())
granted["server"] = stacks.deploy(
    sessions["server"],
    "server-access",
    {"KickoffRoleArns": kickoff_roles},
    account="server",
)
granted["server"]["AllowKickoffPolicyArn"]

# %% [markdown]
# ## Every owner uploads its own files
# Rows and code go from the owner's folder to the owner's bucket, with the owner's own session. The code is packed so
# that the same files always give the same bytes; a client can compare the checksum with the one it reviewed.

# %%
uploads = pd.concat(
    [connect.upload(name, sessions[name], granted[name]["Bucket"]) for name in sessions]
)
uploads.loc[[SHOW, "server"]]

# %% [markdown]
# ## Try to read another account's rows
# The server's session asks for the content of a client's bucket. This must be refused, and the refusal is the point:
# the cell fails if AWS lets it through.

# %%
server_storage = sessions["server"].client("s3")
lessons.refused(server_storage.list_objects_v2, Bucket=granted[SHOW]["Bucket"])

# %% [markdown]
# ## Borrow the kick-off role
# The server now asks STS for the role `FL-kickoff-client-job` in every client account. It receives keys that are good
# for an hour and belong to the client's account: look at the ids.

# %%
borrowed = {
    name: accounts.assume_role(
        "server", granted[name]["KickoffRoleArn"], session_name="connect"
    )
    for name in clients
}
who = pd.DataFrame(
    [accounts.identity(name, session) for name, session in borrowed.items()]
).set_index("name")
who["role"] = who["arn"].str.split("/").str[1]
who[["account", "role"]]

# %% [markdown]
# ## Write down what the server knows
# The image is SageMaker's own scikit-learn container; the SageMaker SDK knows its address in every region.

# %%
image = connect.training_image(sessions["server"].region_name)
state.save(accounts=connect.connection_data(granted, who["account"].to_dict(), image=image))
image.rpartition("/")[2]

# %% [markdown]
# ## Check

# %%
assert set(who["role"]) == {"FL-kickoff-client-job"}, (
    "a role other than the kick-off role was borrowed"
)
assert who["account"].nunique() == len(clients), "two clients share an account"
assert server_id not in set(who["account"]), (
    "a borrowed role landed in the server's own account"
)
assert connect.verify(sessions, granted), (
    "a bucket does not hold what its owner's manifest lists"
)
print(
    f"{len(clients)} kick-off roles can be borrowed; every bucket holds its owner's files, byte for byte"
)

# %% [markdown]
# ## What you saw
# Every account owns its bucket and its roles. The server holds the names of three roles and nothing else: when it
# asked for rows, it was refused.
#
# ## Three questions
# <details><summary>Why are there two roles in the client's account, and not one?</summary>
#
# One starts the job, the other is what the job may do. Were they one, whoever may start a job could also read the rows.
# </details>
# <details><summary>What does <code>iam:PassRole</code> allow?</summary>
#
# To hand a role to a service. The kick-off role may hand over exactly one role, and only to SageMaker.
# </details>
# <details><summary>What can the client do when it changes its mind?</summary>
#
# Delete its stack. The role is gone at once, and with it every way in.
# </details>
#
# **Next:** [03_run_federation](03_run_federation.ipynb) starts the jobs and trains the model.
