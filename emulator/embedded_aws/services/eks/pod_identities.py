"""Pod identity associations: the role that the pods of a service account get.

Source: AWS, EKS API reference, CreatePodIdentityAssociation; EKS user guide, "Learn how EKS Pod Identity grants pods
access to AWS services".
"""

from __future__ import annotations

import secrets

from embedded_aws.services.eks import roles, state
from embedded_aws.services.eks.errors import in_use, not_found
from embedded_aws.services.eks.requests import Answer, Asked, page
from embedded_aws.services.eks.state import Cluster, Told

_SUMMARY = ("clusterName", "namespace", "serviceAccount", "associationArn", "associationId")


def create(asked: Asked) -> Answer:
    """CreatePodIdentityAssociation; the service account need not be there yet."""
    cluster, p = state.usable(asked.account, asked.region, asked.p["clusterName"]), asked.p
    if of(cluster, p["namespace"], p["serviceAccount"]):
        raise in_use(f"Association already exists: {p['namespace']}/{p['serviceAccount']} of {cluster.name}")
    roles.check_pod_role(p["roleArn"], account=asked.account)
    name, now = f"a-{secrets.token_hex(9)[:17]}", state.now()
    told: Told = {
        "clusterName": cluster.name, "namespace": p["namespace"], "serviceAccount": p["serviceAccount"],
        "roleArn": p["roleArn"], "associationArn": cluster.new_arn("podidentityassociation", name),
        "associationId": name, "tags": dict(p.get("tags", {})), "createdAt": now, "modifiedAt": now,
        "disableSessionTags": bool(p.get("disableSessionTags", False)),
    }  # fmt: skip
    cluster.associations[name] = told
    return {"association": told}


def of(cluster: Cluster, namespace: str, service_account: str) -> Told | None:
    """Return the association of a service account, or None."""
    for told in cluster.associations.values():
        if (told["namespace"], told["serviceAccount"]) == (namespace, service_account):
            return told
    return None


def find(asked: Asked) -> tuple[Cluster, Told]:
    """Return the cluster and the association that a request names."""
    cluster = state.find(asked.account, asked.region, asked.p["clusterName"])
    name = asked.p["associationId"]
    if name not in cluster.associations:
        raise not_found(f"The association {name} is not found in cluster {cluster.name}")
    return cluster, cluster.associations[name]


def describe(asked: Asked) -> Answer:
    """DescribePodIdentityAssociation."""
    return {"association": find(asked)[1]}


def enlist(asked: Asked) -> Answer:
    """ListPodIdentityAssociations."""
    cluster = state.find(asked.account, asked.region, asked.p["clusterName"])
    wanted = {name: asked.p[name] for name in ("namespace", "serviceAccount") if name in asked.p}
    found = [told for told in cluster.associations.values() if wanted.items() <= told.items()]
    return page(asked, "associations", [{name: told[name] for name in _SUMMARY} for told in found])


def update(asked: Asked) -> Answer:
    """UpdatePodIdentityAssociation: another role."""
    _, told = find(asked)
    if role := asked.p.get("roleArn"):
        roles.check_pod_role(role, account=asked.account)
        told["roleArn"] = role
    told["disableSessionTags"] = bool(asked.p.get("disableSessionTags", told["disableSessionTags"]))
    told["modifiedAt"] = state.now()
    return {"association": told}


def delete(asked: Asked) -> Answer:
    """DeletePodIdentityAssociation."""
    cluster, told = find(asked)
    del cluster.associations[told["associationId"]]
    return {"association": told}
