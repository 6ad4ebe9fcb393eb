"""The service record of Amazon EKS."""

from __future__ import annotations

from collections.abc import Mapping

from embedded_aws.service import ConditionKeys, Service, Setting
from embedded_aws.services.eks import asks, operations, places, requests, stack_access, stack_clusters, state


def _install(setting: Setting) -> None:
    places.setting[:] = [setting]


def _tags(region: str, account: str, arn: str, _: str) -> Mapping[str, str]:
    told = state.tagged(account, region, arn)
    return told["tags"] if told else {}


EKS = Service(
    name="eks",
    asks=asks.asks,
    install=_install,
    application=lambda: requests.application("eks", operations.OPERATIONS),
    keys=ConditionKeys(
        known="accessentrytype|accessscope|authenticationmode|blockstorageenabled"
        "|bootstrapclustercreatoradminpermissions|bootstrapselfmanagedaddons|clientid|clustername|computeconfigenabled"
        "|elasticloadbalancingenabled|issuerurl|kubernetesgroups|loggingtype/.+|namespaces|policyarn|principalarn"
        "|supporttype|username",
        unfilled="blockstorageenabled|bootstrapselfmanagedaddons|clientid|computeconfigenabled"
        "|elasticloadbalancingenabled|issuerurl",
        multivalued=frozenset({"kubernetesgroups", "namespaces"}),
    ),
    tags=_tags,
    types=(
        stack_access.AccessEntry,
        stack_access.PodIdentityAssociation,
        stack_clusters.Addon,
        stack_clusters.Cluster,
        stack_clusters.Nodegroup,
    ),
)
