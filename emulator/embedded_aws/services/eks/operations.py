"""The operations of EKS, by name."""

from __future__ import annotations

from collections.abc import Mapping

from embedded_aws.services.eks import access, addons, cluster_requests, nodegroups, pod_identities, tagging
from embedded_aws.services.eks.requests import Operation

OPERATIONS: Mapping[str, Operation] = {
    "AssociateAccessPolicy": access.associate,
    "CreateAccessEntry": access.create,
    "CreateAddon": addons.create,
    "CreateCluster": cluster_requests.create,
    "CreateNodegroup": nodegroups.create,
    "CreatePodIdentityAssociation": pod_identities.create,
    "DeleteAccessEntry": access.delete,
    "DeleteAddon": addons.delete,
    "DeleteCluster": cluster_requests.delete,
    "DeleteNodegroup": nodegroups.delete,
    "DeletePodIdentityAssociation": pod_identities.delete,
    "DescribeAccessEntry": access.describe,
    "DescribeAddon": addons.describe,
    "DescribeAddonVersions": addons.versions,
    "DescribeCluster": cluster_requests.describe,
    "DescribeNodegroup": nodegroups.describe,
    "DescribePodIdentityAssociation": pod_identities.describe,
    "DescribeUpdate": cluster_requests.describe_update,
    "DisassociateAccessPolicy": access.disassociate,
    "ListAccessEntries": access.enlist,
    "ListAccessPolicies": access.known,
    "ListAddons": addons.enlist,
    "ListAssociatedAccessPolicies": access.associated,
    "ListClusters": cluster_requests.enlist,
    "ListNodegroups": nodegroups.enlist,
    "ListPodIdentityAssociations": pod_identities.enlist,
    "ListTagsForResource": tagging.enlist,
    "TagResource": tagging.add,
    "UntagResource": tagging.take,
    "UpdateAccessEntry": access.update,
    "UpdateAddon": addons.update,
    "UpdateClusterConfig": cluster_requests.update_config,
    "UpdateClusterVersion": cluster_requests.update_version,
    "UpdateNodegroupConfig": nodegroups.update_config,
    "UpdatePodIdentityAssociation": pod_identities.update,
}
