"""Operations on clusters: what EKS checks before it makes one, how one changes, and what it leaves behind.

Source: AWS, EKS API reference, CreateCluster, UpdateClusterConfig, UpdateClusterVersion, DeleteCluster; EKS user guide,
"Understand the Kubernetes version lifecycle on EKS".
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from embedded_aws import service
from embedded_aws.services.eks import access, clusters, places, roles, state
from embedded_aws.services.eks.errors import EksError, in_use, invalid_parameter, invalid_request, not_found
from embedded_aws.services.eks.later import later
from embedded_aws.services.eks.requests import Answer, Asked, page
from embedded_aws.services.eks.state import Cluster, Told

VERSIONS, DEFAULT = ("1.32", "1.33", "1.34", "1.35"), "1.34"
LOGS = ("api", "audit", "authenticator", "controllerManager", "scheduler")
_NAME = re.compile(r"[0-9A-Za-z][A-Za-z0-9_-]{0,99}", re.ASCII)
_KEY = re.compile(r"arn:aws:kms:[a-z0-9-]+:\d{12}:key/[\w-]+", re.ASCII)


def create(asked: Asked) -> Answer:
    """CreateCluster."""
    p, name = asked.p, asked.p["name"]
    if not _NAME.fullmatch(name):
        raise invalid_parameter(f"The name {name!r} is not valid: it must match ^[0-9A-Za-z][A-Za-z0-9_-]*$")
    arn = f"arn:aws:eks:{asked.region}:{asked.account}:cluster/{name}"
    if state.look(asked.account, asked.region, name):
        raise in_use(f"Cluster already exists with name: {name}")
    version = p.get("version", DEFAULT)
    if version not in VERSIONS:
        raise invalid_parameter(f"unsupported Kubernetes version {version}: there are {', '.join(VERSIONS)}")
    roles.check_cluster_role(p["roleArn"], account=asked.account, cluster_arn=arn)
    wanted = p["resourcesVpcConfig"]
    groups = wanted.get("securityGroupIds", [])
    vpc = places.vpc_of(asked.account, asked.region, wanted.get("subnetIds", []), groups)
    home = {"subnetIds": wanted["subnetIds"], "securityGroupIds": groups, "vpcId": vpc}
    issuer = f"https://oidc.eks.{asked.region}.amazonaws.com/id/{state.new_id().replace('-', '').upper()}"
    told: Told = {
        "name": name, "arn": arn, "createdAt": state.now(), "version": version, "roleArn": p["roleArn"],
        "resourcesVpcConfig": _config(home, wanted),
        "kubernetesNetworkConfig": _network(asked, vpc),
        "logging": {"clusterLogging": _logging({}, p.get("logging", {}))},
        "status": "CREATING", "certificateAuthority": {}, "platformVersion": "eks.1", "tags": dict(p.get("tags", {})),
        "accessConfig": _access(p.get("accessConfig", {})), "health": {"issues": []},
        "upgradePolicy": {"supportType": p.get("upgradePolicy", {}).get("supportType", "EXTENDED")},
        "deletionProtection": bool(p.get("deletionProtection", False)),
        "identity": {"oidc": {"issuer": issuer}},
        **({"encryptionConfig": _encryption(p["encryptionConfig"])} if p.get("encryptionConfig") else {}),
        **({"clientRequestToken": p["clientRequestToken"]} if "clientRequestToken" in p else {}),
    }  # fmt: skip
    cluster = Cluster(asked.account, asked.region, told, creator=asked.caller.role or asked.caller.arn)
    told["resourcesVpcConfig"]["clusterSecurityGroupId"] = places.make_group(cluster, vpc)
    note = f"Amazon EKS {name}"
    try:
        for subnet in wanted["subnetIds"]:
            cluster.interfaces.append(places.stand(cluster, subnet, [cluster.group, *groups], note))
    except EksError:
        places.leave(cluster, *cluster.interfaces)
        places.drop_group(cluster)
        raise
    state.add(cluster)
    if told["accessConfig"]["bootstrapClusterCreatorAdminPermissions"]:
        access.admit_creator(cluster)

    def made() -> None:
        try:
            clusters.start(cluster)
        except Exception as error:
            issue = {"code": "InternalFailure", "message": f"The API server did not start: {error}", "resourceIds": []}
            told["status"], told["health"] = "FAILED", {"issues": [issue]}
            raise
        told["status"] = "ACTIVE"

    later(made)
    return {"cluster": told}


def _config(config: dict[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return how the endpoint is reached, as asked for or as it was."""
    public = wanted.get("endpointPublicAccess", config.get("endpointPublicAccess", True))
    private = wanted.get("endpointPrivateAccess", config.get("endpointPrivateAccess", False))
    if not (public or private):
        raise invalid_parameter("Private and public endpoint access cannot be false")
    ranges = wanted.get("publicAccessCidrs", config.get("publicAccessCidrs") or ["0.0.0.0/0"])
    for text in ranges:
        if not re.fullmatch(r"(\d{1,3}\.){3}\d{1,3}/\d{1,2}", text, re.ASCII):
            raise invalid_parameter(f"The following CIDRs are invalid in publicAccessCidrs: [{text}]")
    return {
        **config, "endpointPublicAccess": public, "endpointPrivateAccess": private,
        "publicAccessCidrs": list(ranges) if public else [],
    }  # fmt: skip


def _network(asked: Asked, vpc: str) -> dict[str, Any]:
    wanted = asked.p.get("kubernetesNetworkConfig", {})
    if wanted.get("ipFamily", "ipv4") != "ipv4":
        raise NotImplementedError("ipFamily ipv6 of CreateCluster")
    own = places.service_range(asked.account, asked.region, vpc, wanted.get("serviceIpv4Cidr"))
    return {"serviceIpv4Cidr": own, "ipFamily": "ipv4"}


def _logging(before: Mapping[str, bool], wanted: Mapping[str, Any]) -> list[dict[str, Any]]:
    on = {kind: before.get(kind, False) for kind in LOGS}
    for row in wanted.get("clusterLogging", []):
        on |= dict.fromkeys(row.get("types", []), bool(row.get("enabled", False)))
    told = [{"types": [kind for kind in LOGS if on[kind] is flag], "enabled": flag} for flag in (True, False)]
    return [row for row in told if row["types"]]


def _access(wanted: Mapping[str, Any]) -> dict[str, Any]:
    mode = wanted.get("authenticationMode", "CONFIG_MAP")  # AWS's default, under which access entries do not count
    if mode != "API":
        raise NotImplementedError(f"authenticationMode {mode} of CreateCluster: say API, for access entries alone")
    return {
        "bootstrapClusterCreatorAdminPermissions": wanted.get("bootstrapClusterCreatorAdminPermissions", True),
        "authenticationMode": mode,
    }


def _encryption(wanted: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
    if len(wanted) != 1 or wanted[0].get("resources") != ["secrets"]:
        raise invalid_parameter("encryptionConfig must have one item, whose resources are [secrets]")
    key = wanted[0].get("provider", {}).get("keyArn", "")
    if not _KEY.fullmatch(key):
        raise invalid_parameter(
            f"The keyArn in encryptionConfig provider {key} is invalid: it must be the ARN of a key"
        )
    if complaint := service.served()["kms"].complaint(key):
        raise invalid_parameter(f"The key {key} cannot be used: {': '.join(complaint)}")
    return [{"resources": ["secrets"], "provider": {"keyArn": key}}]


def describe(asked: Asked) -> Answer:
    """DescribeCluster."""
    return {"cluster": state.find(asked.account, asked.region, asked.p["name"]).told}


def enlist(asked: Asked) -> Answer:
    """ListClusters."""
    return page(asked, "clusters", [cluster.name for cluster in state.of_account(asked.account, asked.region)])


def delete(asked: Asked) -> Answer:
    """DeleteCluster: not while it has node groups."""
    cluster = state.find(asked.account, asked.region, asked.p["name"])
    if cluster.told["status"] in ("CREATING", "UPDATING", "DELETING"):
        raise in_use(f"Cannot delete cluster {cluster.name}: it is {cluster.told['status']}")
    if cluster.told["deletionProtection"]:
        raise invalid_request(f"Cannot delete cluster {cluster.name}: deletion protection is enabled")
    if cluster.nodegroups:
        raise in_use("Cluster has nodegroups attached")
    cluster.told["status"] = "DELETING"

    def gone() -> None:
        clusters.stop(cluster)
        places.leave(cluster, *cluster.interfaces)
        places.drop_group(cluster)
        state.remove(cluster)

    later(gone)
    return {"cluster": cluster.told}


def update_config(asked: Asked) -> Answer:
    """UpdateClusterConfig: one kind of change at a time."""
    cluster = state.usable(asked.account, asked.region, asked.p["name"])
    p, told = asked.p, cluster.told
    kinds = [
        name
        for name in ("resourcesVpcConfig", "logging", "upgradePolicy", "deletionProtection", "accessConfig")
        if name in p
    ]
    if len(kinds) != 1:
        raise invalid_parameter("Only one type of update can be allowed." if kinds else "No changes needed")
    if "resourcesVpcConfig" in p:
        new = _config(told["resourcesVpcConfig"], p["resourcesVpcConfig"])
        if new == told["resourcesVpcConfig"]:
            raise invalid_parameter("Cluster is already at the desired configuration")
        params = {
            "EndpointPublicAccess": new["endpointPublicAccess"], "EndpointPrivateAccess": new["endpointPrivateAccess"],
            "PublicAccessCidrs": new["publicAccessCidrs"],
        }  # fmt: skip
        return _changing(cluster, "EndpointAccessUpdate", {"resourcesVpcConfig": new}, params)
    if "logging" in p:
        before = {kind: row["enabled"] for row in told["logging"]["clusterLogging"] for kind in row["types"]}
        rows = _logging(before, p["logging"])
        return _changing(cluster, "LoggingUpdate", {"logging": {"clusterLogging": rows}}, {"ClusterLogging": rows})
    if "upgradePolicy" in p:
        change = {"upgradePolicy": dict(p["upgradePolicy"])}
        return _changing(cluster, "UpgradePolicyUpdate", change, {"UpgradePolicy": p["upgradePolicy"]})
    if "accessConfig" in p:
        raise invalid_request("Unsupported authentication mode update: the cluster is in mode API, its last one")
    change = {"deletionProtection": p["deletionProtection"]}
    return _changing(cluster, "DeletionProtectionUpdate", change, {"DeletionProtection": p["deletionProtection"]})


def update_version(asked: Asked) -> Answer:
    """UpdateClusterVersion: one minor version at a time."""
    cluster = state.usable(asked.account, asked.region, asked.p["name"])
    old, new = cluster.told["version"], asked.p["version"]
    if new not in VERSIONS:
        raise invalid_parameter(f"unsupported Kubernetes version {new}: there are {', '.join(VERSIONS)}")
    if VERSIONS.index(new) != VERSIONS.index(old) + 1:
        raise invalid_parameter(f"Unsupported Kubernetes minor version update from {old} to {new}")
    behind = [name for name, group in cluster.nodegroups.items() if _minor(group.told["version"]) < _minor(new) - 3]
    if behind:
        raise invalid_request(f"Nodegroups {', '.join(behind)} must be updated to match cluster version first")
    return _changing(cluster, "VersionUpdate", {"version": new}, {"Version": new, "PlatformVersion": "eks.1"})


def _minor(version: str) -> int:
    return int(version.partition(".")[2])


def _changing(cluster: Cluster, kind: str, change: Mapping[str, Any], params: Mapping[str, Any]) -> Answer:
    """Begin a change of a cluster, which is UPDATING until it is done."""
    cluster.told["status"] = "UPDATING"
    update = begun(cluster, kind, params)

    def done() -> None:
        if "version" in change:
            clusters.upgrade(cluster, change["version"])
        cluster.told.update(change)
        cluster.told["status"], update["status"] = "ACTIVE", "Successful"

    later(done)
    return {"update": update}


def begun(cluster: Cluster, kind: str, params: Mapping[str, Any]) -> Told:
    """Note that something is being changed."""
    rows = [{"type": n, "value": v if isinstance(v, str) else json.dumps(v)} for n, v in params.items()]
    update = {
        "id": state.new_id(), "status": "InProgress", "type": kind, "params": rows, "createdAt": state.now(),
        "errors": [],
    }  # fmt: skip
    cluster.updates[update["id"]] = update
    return update


def describe_update(asked: Asked) -> Answer:
    """DescribeUpdate."""
    cluster = state.find(asked.account, asked.region, asked.p["name"])
    if asked.p["updateId"] not in cluster.updates:
        raise not_found(f"No update found for ID: {asked.p['updateId']}")
    return {"update": cluster.updates[asked.p["updateId"]]}
