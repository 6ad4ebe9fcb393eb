"""The service record of Amazon SageMaker."""

from __future__ import annotations

from collections.abc import Mapping

from moto.sagemaker.models import sagemaker_backends

from embedded_aws.gate.tags import pairs
from embedded_aws.service import ConditionKeys, Service
from embedded_aws.services.sagemaker import asks, stack, training


def _tags(region: str, account: str, arn: str, name: str) -> Mapping[str, str]:
    kind = name.partition("/")[0].replace("-", "_")
    owner = sagemaker_backends[account][region]
    things = getattr(owner, f"{kind}s", {})
    return next((pairs(resource.tags) for resource in things.values() if resource.arn.lower() == arn.lower()), {})


SAGEMAKER = Service(
    name="sagemaker",
    asks=asks.asks,
    install=training.install,
    keys=ConditionKeys(
        known="vpcsubnets|vpcsecuritygroupids|instancetypes|networkisolation|intercontainertrafficencryption"
        "|outputkmskey|volumekmskey|maxruntimeinseconds|directinternetaccess|rootaccess"
        "|minimuminstancemetadataserviceversion|keepaliveperiod|enableremotedebug|filesystem(id|directorypath|type"
        "|accessmode)|resourcetag/.+|modelarn",
        multivalued=frozenset({"vpcsubnets", "vpcsecuritygroupids", "instancetypes"}),
    ),
    tags=_tags,
    passes=dict.fromkeys(("RoleArn", "ExecutionRoleArn"), "sagemaker.amazonaws.com"),
    types=(stack.NotebookInstance, stack.NotebookInstanceLifecycleConfig),
)
