"""The resource types against AWS's own schemas, which cfn-lint carries."""

import pytest
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

from embedded_aws.stacks import types

TYPES = types.known()
# Where the schema says "no new resource": AWS decides by the value there; we always make one.
BY_VALUE = {"AWS::EC2::VPC": {"InstanceTenancy"}}
# Where a member of it needs a new resource and another does not: any change is refused by name (test_eks_stacks.py).
REFUSED = {"AWS::EKS::Cluster": {"AccessConfig"}}


@pytest.mark.parametrize("name", sorted(TYPES))
def test_a_type_replaces_for_the_properties_that_aws_replaces_for(name):
    kind, schema = TYPES[name], PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", name).schema
    properties = set(schema["properties"])
    created_only = {pointer.split("/")[2] for pointer in schema.get("createOnlyProperties", [])}
    assert kind.known() <= properties
    assert set(kind.fixed) - BY_VALUE.get(name, set()) == created_only & kind.known() - REFUSED.get(name, set())
    assert set(schema.get("required", [])) <= set(kind.required)
    assert set(kind.required) <= kind.known()
