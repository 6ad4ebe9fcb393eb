# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # Connect the hospitals: a cluster each, and agents that stay
#
# A training job comes and goes; an agent stays. Each hospital runs one in a Kubernetes cluster of its own (Amazon EKS),
# built from code that it has read, and the agent waits until the server starts a run. Nothing ever connects to it: it
# dials out, to one address and one port.
#
# - **You will** make five clusters, push an image, bring four agents up, call the roll, and try five forbidden things.
# - **You will learn** what makes a cluster private, how a pod gets a role of its own, and who may do what in a namespace.
# - **You need** half an hour to read and try, notebook 01, and kubectl 1.32 or later. On AWS: forty minutes, and an administrator's
#   profile per account.
#
# ![In every hospital's account a cluster runs one agent, which dials the load balancer of the server's cluster through the peering; a run is a Job there](../images/clusters.svg)

# %% tags=["parameters"]
NETWORK = "10.80.0.0/16"  # private addresses that none of the accounts uses yet
PORT = 0  # where runs listen; 0: 8080 on AWS, any free port on this machine
SHOW = "client-1"  # client-1 | client-2 | ...: whose cluster is shown in detail

# %% [markdown]
# | needs | makes |
# |---|---|
# | the files that 01 wrote for every owner | networks, clusters and agents in every account, and the connection data |

# %%
import pandas as pd

from workshop import state
from workshop.aws import accounts, blueprint, choices, costs, deployment, peering, uploads
from workshop.clusters import access, connect, launch, manifests, spec
from workshop.lessons import experiments, in_clusters, show
from workshop.lessons.live import LiveStacks

pd.set_option("display.max_colwidth", 120)
data = state.load("data")[0]
sessions = {name: accounts.session(name) for name in ["server", *data["clients"]]}
hospitals = {name: entry["owner"] for name, entry in data["clients"].items()}

# %% [markdown]
# ## Agree before anything is created
# Who has which addresses, and the one port; as in the fraud track.

# %%
chosen = choices.choose(platform="kubernetes")
federation = deployment.meet(sessions, network=NETWORK, port=PORT, choices=chosen)
agreed = pd.DataFrame({"account": federation.ids, "addresses": federation.agreed.cidrs})
agreed.assign(owner=pd.Series(hospitals)).fillna({"owner": "the server"})

# %% [markdown]
# ## What will stand where, and what it costs
# A cluster costs money as long as it stands, whether anybody trains or not: its control plane, a node, the endpoints.
# That is the price of an agent that answers at once. List prices of us-east-1, May 2026; end with notebook 99.

# %%
show.prose(costs.table(len(federation.clients), chosen))

# %%
idle = costs.idle_week(len(federation.clients), chosen)
print(f"a week in which everything stands: ${idle:,.0f}")

# %% [markdown]
# ## Every owner: bucket, network, registry, cluster
# The network is the fraud track's: private subnets, no way to the internet. The registry takes images that nobody can
# replace under the same name. The cluster's API answers inside the VPC only; its Secrets are encrypted with the
# account's own key; who may use it is said by access entries, and whoever made it has no rights for that.

# %% tags=["nbval-ignore-output"]
steps = ("storage", "network", "registry", "cluster")
own = deployment.deploy(
    federation, blueprint.KUBERNETES.only(steps), progress=LiveStacks().deploying
)

# %%
cluster = sessions[SHOW].client("eks").describe_cluster(name="federation")["cluster"]
shown = {
    "version": cluster["version"],
    "answers outside of the VPC": cluster["resourcesVpcConfig"]["endpointPublicAccess"],
    "answers inside": cluster["resourcesVpcConfig"]["endpointPrivateAccess"],
    "encrypts": ", ".join(cluster["encryptionConfig"][0]["resources"]),
    "who may use it": cluster["accessConfig"]["authenticationMode"],
}
pd.Series(shown, name=SHOW).to_frame()

# %% [markdown]
# ## Endpoints, nodes, roles
# A node of a network without internet joins its cluster only if it reaches what it needs inside the VPC: EC2, EKS and the
# image registry. Then each hospital makes a role for its agent's pod, and the server three: for a run's pod, for whoever
# starts runs, for models that it serves (06). A pod gets its role by *Pod Identity*: this cluster, this namespace, this
# service account.

# %%
steps = ("cluster-endpoints", "nodes", "agent-access", "run-access", "serving")
own = deployment.deploy(federation, blueprint.KUBERNETES.only(steps))
association = sessions[SHOW].client("eks").list_pod_identity_associations
pairs = association(clusterName="federation")["associations"]
pd.DataFrame(pairs)[["namespace", "serviceAccount"]]

# %% [markdown]
# ## Peering
# As in the fraud track: the server asks, each hospital's own role accepts, and each side adds its route.

# %%
steps = ("peering-accepter", "peering", "peering-routes")
networks = deployment.deploy(federation, blueprint.KUBERNETES.only(steps))
peering.table(sessions, federation.outputs)[["peering", "route there", "route back"]]

# %% [markdown]
# ## Every owner uploads its own rows
# To its own bucket, with its own session. The server's test table and the problem file go into the server's.

# %%
buckets = {
    name: outputs["fl-storage"]["Bucket"] for name, outputs in federation.outputs.items()
}
done = [uploads.upload(name, session, buckets[name]) for name, session in sessions.items()]
state.save(accounts={})
uploads.publish(sessions["server"], buckets["server"])
print("every bucket holds what its owner uploaded:", uploads.verify(sessions, buckets))

# %% [markdown]
# ## Every owner builds its own image
# From this repository, after having read it. The same files give the same digest, so that four hospitals can compare what
# they run without showing it to each other. (Here the image is the code alone, run by this machine's Python; on AWS it is
# built with `Containerfile`, on a base that is named by digest too.)

# %% tags=["nbval-ignore-output"]
images = connect.push(sessions, federation)
pd.Series(images, name="image").str.partition("@")[2].str[:19].to_frame("digest")

# %% [markdown]
# ## The server's side
# Its manifests make a Service: an internal load balancer, the address that agents will dial. Behind it is nobody yet.
# The federation's certificate authority is made once; its key goes into a Secret of the server's cluster.

# %%
clusters = connect.find(sessions)
host, authority = connect.open_server(federation)
applied = manifests.kubectl("server", ["get", "networkpolicy,pdb,role", "-o", "name"])
print(applied.strip())

# %% [markdown]
# ## The hospitals' side
# Each applies its own manifests with `kubectl apply -k`: its settings, the authority that its agent trusts, the image by
# digest, and policies by which the agent reaches the server's port, AWS, and nothing else. The kit writes them into a
# folder that its owner can read first.

# %%
values = {
    name: connect.agent_values(
        federation, name, host=host, authority=authority, image=images[name]
    )
    for name in federation.clients
}
connect.start_agents(values)
connect.pods(federation.clients)[["pod", "phase", "ready", "restarts"]]

# %% [markdown]
# This is what lets an agent out:

# %%
(way,) = connect.ways_out(SHOW, "agent")
at_the_port = way["port"] == federation.agreed.port
print(f"TCP to {way['cidr']}, at the agreed port and no other: {at_the_port}")

# %% [markdown]
# ## Write down what whoever starts runs has to know
# The agents' accounts and roles, the address, the server's own image. Nothing secret.

# %%
known = connect.connection_data(
    federation, host=host, image=images["server"], instance=accounts.instance()
)
state.save(accounts=known)
pd.DataFrame(known["agents"]).set_index("name")

# %% [markdown]
# ## Call the roll
# A run of no rounds: a Job in the server's cluster that waits until every agent has proven who it is, asks nothing else,
# and ends. You start it with the launcher's role, which may do just that.

# %%
launcher = accounts.notebook_session(known["launcher_role"])
api = access.api(launcher, clusters["server"])
agents = connect.agents(federation)
call = spec.RunSpec(
    launch.new_id(),
    host,
    known["server_port"],
    known["server_bucket"],
    agents,
    terms={"join": 60.0},
)
roll = launch.roll_call(api, call, image=known["image"])
roll.assign(hospital=pd.Series(hospitals))[["hospital", "here", "rows"]]

# %% [markdown]
# They say which version of the code they run, too:

# %%
print(f"{roll['code'].nunique()} version of the code in {len(roll)} hospitals")

# %% [markdown]
# ## Five refusals
# **One: the launcher reads a hospital's rows.** Its role is of another account, and has no statement on them.

# %%
listing = {"Bucket": buckets[SHOW]}
print(experiments.refused(launcher.client("s3").list_objects_v2, **listing))

# %% [markdown]
# **Two: the launcher asks a hospital's cluster.** That cluster has no access entry for it: whose token it is, it does not
# even say.

# %%
print(in_clusters.refused(launcher, clusters[SHOW], "pods"))

# %% [markdown]
# **Three: the launcher reads the authority's key.** In its own cluster it may start runs and read their logs, and no
# Secret: who had the key could pass for the server.

# %%
print(in_clusters.refused(launcher, clusters["server"], "secrets"))

# %% [markdown]
# ## Your turn: what does starting a run take?
# The launcher has few rights in the server's cluster. Name the one that starts a run: a verb (`get`, `create`, `delete`, ...) and
# a kind of objects (`pods`, `secrets`, `jobs`, ...). The cell asks the cluster, as `kubectl auth can-i` does.

# %% tags=["exercise"]
from workshop.lessons import exercises

right = ("...", ...)  # verb and kind, in quotes
exercises.may(right, access.api(launcher, clusters["server"]), access.NAMESPACE)

# %% tags=["solution"]
right = ("create", "jobs")
exercises.may(right, access.api(launcher, clusters["server"]), access.NAMESPACE)

# %% [markdown]
# **Four: a pod that could be more than it needs to be.** Even the owner's own pod, if it asks for a privileged container:
# the namespace is `restricted`.

# %%
print(in_clusters.refused_pod(sessions[SHOW], clusters[SHOW], privileged=True))

# %% [markdown]
# **Five: another pod with the agent's role.** The role trusts EKS's pods of this one cluster; a person who asks STS for it
# is refused, also one of the same account.

# %%
role = federation.outputs[SHOW]["fl-agent-access"]["AgentRoleArn"]
taken = {"RoleArn": role, "RoleSessionName": "lesson"}
print(experiments.refused(sessions[SHOW].client("sts").assume_role, **taken))

# %% [markdown]
# ## Check

# %%
pods = connect.pods(federation.clients)
assert pods["ready"].all() and len(pods) == len(federation.clients), pods.to_string()
assert roll["here"].all(), roll.to_string()
assert roll["code"].nunique() == 1, "the hospitals run different code"
rows = {name: entry["train_rows"] for name, entry in data["clients"].items()}
assert roll["rows"].to_dict() == rows, "an agent has other rows than its owner prepared"
print(f"{len(pods)} agents are up and wait; five things refused")

# %% [markdown]
# ## What you saw
# Each hospital holds its own end: its cluster, its image, its role, its policies. The server's account has no key to any of
# them; all it has is an address that agents dial when they like.
#
# ## Three questions
# <details><summary>Why does the server not simply send its training code to the agents?</summary>
#
# Whoever sends code decides what is done with the rows. The server sends arrays and settings; what an agent does with
# them is in its owner's image.
# </details>
# <details><summary>What does an agent do between two runs?</summary>
#
# It dials the address, once a second at most, and finds nobody. Between runs no pod listens, so there is nothing to attack.
# </details>
# <details><summary>A hospital wants out. What does it do?</summary>
#
# <code>kubectl delete deployment agent</code>, or less: delete the policy that lets its agent out. It needs nobody's
# permission, and the others go on.
# </details>
#
# **Next:** [03_run_federation](03_run_federation.ipynb) starts runs.
