# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # Connect the accounts: networks that touch at one port, roles that allow one thing
#
# The hardest part of learning together is not the model. It is two owners who connect their networks and roles without
# giving anything away. Here every owner deploys a few small CloudFormation templates in its own account, and in the
# end the server can start one job in accounts that it does not own: the job that their owners have written.
#
# - **You will** deploy each owner's stacks, watch the peering turn active, borrow a role, and try six forbidden things.
# - **You will learn** what a cross-account role and an external id are, why the right to start a job is the right to run
#   code, and how to read a refusal.
# - **You need** half an hour to read and try, and notebook 01. On AWS: twenty minutes more, and an administrator's profile per account.
#
# ![The server's and a client's VPC, peered at one port; the server's role borrows the kick-off role, which may start a job with the execution role; only that role reads rows](images/accounts.svg)

# %% tags=["parameters"]
NETWORK = "10.80.0.0/16"  # private addresses that none of the accounts uses yet
PORT = 0  # where the server listens; 0: 8080 on AWS, any free port on this machine
SHOW = "client-1"  # client-1 | client-2 | ...: whose resources are shown in detail
INSTANCE_TYPE = "ml.m5.large"  # ml.m5.large | ml.m5.xlarge | ml.t3.large | ml.t3.medium: of the clients' jobs
ENDPOINTS = "needed"  # needed | all: services with interface endpoints
KICKOFF = "owner"  # owner | published: who writes the request of a job

# %% [markdown]
# | needs | makes |
# |---|---|
# | the files that 01 wrote for every owner | networks, roles and a bucket in every account, and the connection data |

# %%
import pandas as pd

from workshop.aws import access, accounts, blueprint, choices, connections, costs
from workshop import state
from workshop.aws import deployment, images, jobs, peering, quotas, trail, uploads
from workshop.lessons import experiments, show
from workshop.owners import doctor
from workshop.lessons.live import LiveStacks

pd.set_option("display.max_colwidth", 120)
target, data = state.load("target", "data")
sessions = {name: accounts.session(name) for name in ["server", *data["clients"]]}

# %% [markdown]
# ## Agree before anything is created
# The owners agree on three things: who has which addresses (networks that overlap cannot be connected, so this is
# checked now), the one port, and for each pair an *external id*, a word that only these two use.

# %%
chosen = choices.choose(
    platform="sagemaker", instance_type=INSTANCE_TYPE, endpoints=ENDPOINTS, kick_off=KICKOFF
)
federation = deployment.meet(sessions, network=NETWORK, port=PORT, choices=chosen)
pd.DataFrame({"account": federation.ids, "addresses": federation.agreed.cidrs})

# %% [markdown]
# ## Look at the quotas first
# AWS limits how many machines of a type an account may have; a new account may have none. Each owner asks for its own,
# by `python -m workshop quotas client-1 --request`, and it takes AWS minutes to days: so before anything is created. A
# client needs two, since a job that is being stopped holds its machine for some minutes more.

# %%
limits = quotas.table(sessions, chosen)
limits

# %% [markdown]
# ## What will stand where, and what it costs
# Nothing on this machine. On AWS the server's endpoints and its notebook instance cost money as long as they stand: list
# prices of us-east-1, May 2026. Check them before you rely on them (the pricing pages of AWS PrivateLink, SageMaker and
# KMS, or `aws pricing get-products --service-code AmazonSageMaker`), and end with notebook 99. A client's job calls
# no service of AWS's but S3, so a client has no interface endpoint; `ENDPOINTS = "all"` is for rules that want them.

# %%
show.prose(costs.table(len(federation.clients), chosen))

# %% [markdown]
# A week in which everything stands and nobody works, in US dollars: with the notebook instance stopped, as it does by
# itself after two idle hours, and with one that runs on.

# %%
n_clients = len(federation.clients)
week = {
    "notebook stopped": costs.idle_week(n_clients, chosen),
    "notebook running": costs.idle_week(n_clients, chosen, notebook_runs=True),
}
pd.Series(week, name="$ a week").round().astype(int).to_frame()

# %% [markdown]
# ## Every owner: a bucket, a network without internet; the server: endpoints
# Two templates, the same in every account. Each account gets a VPC with two private subnets and no way to the
# internet, in zones that have what is needed: a zone's name means another one in every account. S3 is reached through a
# gateway, and what the server's notebook calls through endpoints inside its VPC. A stack that is there already, and
# unchanged, is left alone: run the cell as often as you like.

# %% tags=["nbval-ignore-output"]
own = deployment.deploy(federation, blueprint.NETWORKS, progress=LiveStacks().deploying)

# %% [markdown]
# The grid above fills in while the stacks are made, in all accounts at once. This is what one of them made:

# %%
deployment.resources(sessions[SHOW], "fl-network")

# %% [markdown]
# ## Server and clients: roles
# The server's account gets a role for its notebooks, and one for models that it serves (06). In each client's account
# `FL-client-job-execution` is the role with which the job runs, and `FL-kickoff-client-job` trusts the server's role and
# nobody else. What that one may start is a *state machine* (AWS Step Functions), `FL-kickoff`: it holds the whole request
# of a job as its owner has written it. The server fills in where it can be reached and how to train, and the machine
# checks each of these values.

# %%
roles = deployment.deploy(federation, [*blueprint.ROLES, *blueprint.SERVED])
kickoff_name = federation.outputs[SHOW]["fl-client-access"]["KickoffRoleArn"].split("/")[-1]
show.prose(access.statements(sessions[SHOW], kickoff_name)[["allows", "conditions"]])

# %% [markdown]
# ## Peering: two networks touch
# A client first makes a role that may accept one peering and nothing else. The server then asks for the peering, and
# its CloudFormation accepts in the client's name with that role. Last, each side adds a route to the other and opens
# the one port. Until both have, no packet arrives.

# %%
asked = deployment.deploy(federation, blueprint.PEERING_ASKED)
peering.table(sessions, federation.outputs)

# %% [markdown]
# The peering is active and the server has done its part, but no client can call yet. Now the clients do theirs, and
# the server gets the notebook instance from which it will work.

# %%
answered = deployment.deploy(federation, blueprint.PEERING_ANSWERED)
peering.table(sessions, federation.outputs)

# %% [markdown]
# ## Every owner uploads its own files
# Rows and code go from the owner's folder to the owner's bucket, with the owner's own session. The code is packed so
# that the same files always give the same bytes; a client can compare the checksum with the one it reviewed.

# %%
buckets = {
    name: outputs["fl-storage"]["Bucket"] for name, outputs in federation.outputs.items()
}
uploaded = pd.concat(
    [uploads.upload(name, session, buckets[name]) for name, session in sessions.items()]
)
uploaded.loc[[SHOW, "server"]]

# %% [markdown]
# ## Write down what the server knows
# Names of roles and subnets, the address at which it will wait, the external ids. The image is SageMaker's own
# scikit-learn container; the kit has a table of its addresses, held against the SageMaker SDK's by a test.

# %%
image = images.training_image(sessions["server"].region_name)
connection = connections.connection_data(federation, image=image)
state.save(accounts=connection)
image.rpartition("/")[2]

# %% [markdown]
# ## Borrow the kick-off role
# The server's notebook role asks STS for `FL-kickoff-client-job` in every client account. It receives keys that are
# good for an hour and belong to the client's account: look at the ids.

# %%
clients = {entry["name"]: jobs.ClientAccount.of(entry) for entry in connection["clients"]}
server = accounts.notebook_session(connection["server_role"])
borrowed = {
    name: accounts.borrow(server, client, session_name="lesson")
    for name, client in clients.items()
}
who = pd.DataFrame([accounts.identity(*item) for item in borrowed.items()]).set_index(
    "name"
)
who["role"] = who["arn"].str.split("/").str[1]
who[["account", "role"]]

# %% [markdown]
# ## Ask the doctor
# One look at everything that has to be right before a federation can run, in all accounts: how many checks of a kind
# passed, and how many there are. One that does not pass says what is wrong and what to do. (`packets` is no test: it tells
# what the flow logs have seen refused so far.) The same look as a command:
# `python -m workshop doctor`.

# %%
health = doctor.examine(federation, image=image)
health.groupby("checked", sort=False)["ok"].agg(passed="sum", of="count")

# %% [markdown]
# ## Your turn: open the wrong port
# Somebody mistypes the port in one client's security group. Which line of the doctor turns? Choose a port and one of the lines
# in the table above; the cell opens that port in the place of the agreed one, asks, and puts the agreed one back.

# %% tags=["exercise"]
from workshop.lessons import exercises

mistake = (..., "...")  # a port, and the line that will turn, in quotes
exercises.wrong_port(mistake, federation, SHOW)

# %% tags=["solution"]
mistake = (federation.agreed.port - 1, "job may call")
exercises.wrong_port(mistake, federation, SHOW)

# %% [markdown]
# ## Six refusals
# Whoever may start a job must not be able to do more. Each of the next cells tries something forbidden, and fails if AWS
# allows it. Where a statement says who may, it is shown below the refusal; where there is none, that is the reason.
#
# **One: read the client's rows.** The kick-off role has no statement on data. The server's own role is of another
# account, and the bucket's policy shuts out whoever is not of this one.

# %%
listing = {"Bucket": buckets[SHOW]}
print(experiments.refused(borrowed[SHOW].client("s3").list_objects_v2, **listing))
print(experiments.refused(server.client("s3").list_objects_v2, **listing))
print(access.bucket_statement(sessions[SHOW], buckets[SHOW], "OnlyThisAccount"))

# %% [markdown]
# **Two: borrow the role with a wrong external id.** Were the server's people talked into starting a job "for client X"
# by somebody else, they would not have the word that belongs to the pair.

# %%
kickoff_role = {"RoleArn": clients[SHOW].kickoff_role, "RoleSessionName": "lesson"}
print(
    experiments.refused(
        server.client("sts").assume_role, **kickoff_role, ExternalId="a-wrong-guess"
    )
)
print(access.statement(sessions[SHOW], kickoff_name, "ServerRoleMayBorrow"))

# %% [markdown]
# **Three: another account takes the role.** A neighbour who got hold of the external id is still not the server's role.

# %%
others = [name for name in sessions if name not in (SHOW, "server")] or ["server"]
neighbour = sessions[others[0]].client("sts")
word = {"ExternalId": clients[SHOW].external_id}
print(experiments.refused(neighbour.assume_role, **kickoff_role, **word))

# %% [markdown]
# ## Your turn: let one more account in
# Write the statement of a trust policy that lets that neighbour in, if it knows the external id `lesson`, and nobody else.
# `federation.ids` has every account's number. The cell makes a role with it, tries it from all accounts, and deletes it.

# %% tags=["exercise"]
statement = {
    "Effect": "Allow",
    "Principal": {"AWS": ...},  # whom
    "Action": "sts:AssumeRole",
    "Condition": ...,  # {operator: {key: value}}
}
exercises.lets_in(statement, sessions, owner=SHOW, guest=others[0])

# %% tags=["solution"]
statement["Principal"] = {"AWS": federation.ids[others[0]]}
statement["Condition"] = {"StringEquals": {"sts:ExternalId": "lesson"}}
exercises.lets_in(statement, sessions, owner=SHOW, guest=others[0])

# %% [markdown]
# **Four: run other code beside the rows.** A job has an image, an entry point, an environment, hyperparameters: who may
# write them runs what they like with the execution role, where the rows are. The server may not, whatever it writes.

# %%
create = borrowed[SHOW].client("sagemaker").create_training_job
mine = ["python", "-c", "print('whatever the server likes')"]
if KICKOFF == "owner":
    request = experiments.job_request(clients[SHOW], image=image, entry_point=mine)
    print(experiments.refused(create, **request))
    print(access.statement(sessions[SHOW], kickoff_name, "StartTheMachine"))

# %% [markdown]
# **Five: slip something in.** The machine takes eight values and no other, and each must be what it should be.

# %%
if KICKOFF == "owner":
    print(experiments.refused_by_the_machine(clients[SHOW], borrowed[SHOW], image="mine:1"))
    print(
        experiments.refused_by_the_machine(clients[SHOW], borrowed[SHOW], run="../../data")
    )

# %% [markdown]
# **Six: a job outside the client's network.** AWS's published samples lend `sagemaker:CreateTrainingJob` itself. Here an
# owner chooses that way for a moment. IAM can bind the network, the role, the machine, the runtime: a job without the
# network is refused.

# %%
with experiments.published_for_a_moment(federation, SHOW) as (lent, nowhere):
    request = experiments.job_request(clients[SHOW], image=nowhere, entry_point=mine)
    outside = {key: value for key, value in request.items() if key != "VpcConfig"}
    print(experiments.refused(lent.create_training_job, **outside))
    print(experiments.let_through(lent.create_training_job, **request))

# %% [markdown]
# The second answer is no refusal: IAM has no condition for image, entry point, environment or hyperparameters, so that it
# lets the other entry point through. (This AWS does not run it, and the request names no image that AWS would find.)
# Such a job could read every row, and send them to the server's open port. To lend `CreateTrainingJob` is to lend code
# execution beside the rows; hence the state machine.

# %% [markdown]
# ## The trail
# Every account keeps a record of who asked for what. The client's owner finds there who tried, what was refused, and
# which statement came closest to allowing it. On AWS the list comes from CloudTrail's event history: after some
# minutes, without the statement, and without calls on objects, unless the owner records data events.

# %%
show.prose(trail.refusals(sessions[SHOW]).tail(6))

# %% [markdown]
# ## Check

# %%
assert (limits["has"] >= limits["needed"]).all(), limits.to_string()
assert health["ok"].all(), health[~health["ok"]].to_string()
assert set(who["role"]) == {kickoff_name}, (
    "a role other than the kick-off role was borrowed"
)
assert who["account"].to_dict() == {name: federation.ids[name] for name in clients}, (
    "a borrowed role landed in another account"
)
assert uploads.verify(sessions, buckets), (
    "a bucket does not hold what its owner's manifest lists"
)
print(
    f"{len(clients)} networks touch the server's at one port; {len(clients)} roles can be borrowed; six things refused"
)

# %% [markdown]
# ## What you saw
# Every owner holds its own end: the client's role, its route, its open port, its bucket. Take any one away and the
# connection ends, without asking anybody.
#
# ## Three questions
# <details><summary>Why are there several roles in the client's account, and not one?</summary>
#
# One may start the machine, one is what the machine may do, one what the job may do. Were they one, whoever may start a
# job could also write it, or read the rows.
# </details>
# <details><summary>The peering is active, the routes are there, and still the job does not reach the server. What is missing?</summary>
#
# An open port on one side: the job's security group must let it call, the server's must let it in. The doctor says
# which one does not.
# </details>
# <details><summary>What can the client do when it changes its mind?</summary>
#
# Delete `fl-peering-routes`, and no packet leaves. Delete `fl-client-access`, and nobody can start a job. Both work at
# once and need nobody's permission.
# </details>
#
# **Next:** [03_run_federation](03_run_federation.ipynb) starts the jobs and trains the model.
