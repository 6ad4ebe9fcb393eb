"""Clusters, node groups and add-ons in stacks.

Source: AWS, CloudFormation template reference, AWS::EKS::Cluster, AWS::EKS::Nodegroup, AWS::EKS::Addon.
"""

from __future__ import annotations

from typing import Any

from embedded_aws.services.eks.stack_waits import lowered, retag, tags, until
from embedded_aws.stacks.errors import ResourceError
from embedded_aws.stacks.resource_type import ResourceType, Scene, only, pick

_VPC = ("SubnetIds", "SecurityGroupIds", "EndpointPublicAccess", "EndpointPrivateAccess", "PublicAccessCidrs")


class Cluster(ResourceType):
    """``AWS::EKS::Cluster``."""

    name = "AWS::EKS::Cluster"
    fixed = ("EncryptionConfig", "KubernetesNetworkConfig", "Name", "RoleArn")
    mutable = ("AccessConfig", "DeletionProtection", "Logging", "ResourcesVpcConfig", "UpgradePolicy", "Version")
    required = ("ResourcesVpcConfig", "RoleArn")
    named_by = "Name"
    attributes = ("Arn", "CertificateAuthorityData", "ClusterSecurityGroupId", "Endpoint", "Id")
    tagged = True

    def check(self, properties: dict[str, Any]) -> None:
        """Refuse members that would not take effect."""
        super().check(properties)
        only(properties["ResourcesVpcConfig"], *_VPC)
        only(properties.get("KubernetesNetworkConfig", {}), "ServiceIpv4Cidr", "IpFamily")
        only(properties.get("AccessConfig", {}), "AuthenticationMode", "BootstrapClusterCreatorAdminPermissions")
        only(only(properties.get("Logging", {}), "ClusterLogging").get("ClusterLogging", {}), "EnabledTypes")

    def check_change(self, p: dict[str, Any], old: dict[str, Any]) -> None:
        """Refuse what this EKS does not change: where a cluster stands, and how it admits."""
        for name in ("SubnetIds", "SecurityGroupIds"):
            if p["ResourcesVpcConfig"].get(name) != old["ResourcesVpcConfig"].get(name):
                raise ResourceError(f"{name} of a cluster is not changed here: make another cluster")
        if p.get("AccessConfig") != old.get("AccessConfig"):
            raise ResourceError("AccessConfig of a cluster is not changed here: make another cluster")

    def create(self, scene: Scene, p: dict[str, Any]) -> None:
        """Make the cluster and wait until its API answers."""
        request = {
            lowered_name: lowered(p[name])
            for name in (*self.fixed, *self.mutable)
            if name in p and name not in ("Name", "Logging")
            for lowered_name in [name[:1].lower() + name[1:]]
        }
        logging = {"logging": _logging(p, {})} if p.get("Logging") else {}
        response = scene.call(
            "eks", "create_cluster", name=p.get("Name") or scene.generated(longest=100), tags=tags(scene, p), **request,
            **logging,
        )  # fmt: skip
        scene.made(response["cluster"]["name"])
        self._wait(scene, "ACTIVE")

    def update(self, scene: Scene, p: dict[str, Any], old: dict[str, Any]) -> None:
        """Change one thing after the other, as the API does."""
        named = {"name": scene.resource.physical_id}
        if p.get("Version") != old.get("Version") and p.get("Version"):
            scene.call("eks", "update_cluster_version", **named, version=p["Version"])
            self._wait(scene, "ACTIVE")
        changes: list[dict[str, Any]] = []
        if p["ResourcesVpcConfig"] != old["ResourcesVpcConfig"]:
            access = {"EndpointPublicAccess": True, "EndpointPrivateAccess": False, **p["ResourcesVpcConfig"]}
            wanted = pick(access, "EndpointPublicAccess", "EndpointPrivateAccess", "PublicAccessCidrs")
            changes.append({"resourcesVpcConfig": lowered(wanted)})
        if p.get("Logging") != old.get("Logging"):
            changes.append({"logging": _logging(p, old)})
        for name in ("UpgradePolicy", "DeletionProtection"):
            if p.get(name) != old.get(name):
                default = {"SupportType": "EXTENDED"} if name == "UpgradePolicy" else False
                changes.append({name[:1].lower() + name[1:]: lowered(p.get(name, default))})
        for change in changes:
            scene.call("eks", "update_cluster_config", **named, **change)
            self._wait(scene, "ACTIVE")
        retag(scene, self.describe(scene, p)["Arn"], p, old)

    def delete(self, scene: Scene, p: dict[str, Any]) -> None:
        """Delete the cluster and wait until its interfaces are gone: they hold subnets."""
        scene.call("eks", "delete_cluster", name=scene.resource.physical_id)
        self._wait(scene, None)

    def _wait(self, scene: Scene, wanted: str | None) -> None:
        name = scene.resource.physical_id
        until(lambda: scene.call("eks", "describe_cluster", name=name)["cluster"], wanted, bad=("FAILED",))

    def describe(self, scene: Scene, p: dict[str, Any]) -> dict[str, Any]:
        """Return where the cluster is and what speaks for it."""
        told = scene.call("eks", "describe_cluster", name=scene.resource.physical_id)["cluster"]
        return {
            "Arn": told["arn"], "CertificateAuthorityData": told["certificateAuthority"].get("data", ""),
            "ClusterSecurityGroupId": told["resourcesVpcConfig"]["clusterSecurityGroupId"],
            "Endpoint": told.get("endpoint", ""), "Id": told["name"],
        }  # fmt: skip


def _logging(p: dict[str, Any], old: dict[str, Any]) -> dict[str, Any]:
    """Return what is to be logged, and what no more."""
    on, before = (
        {row["Type"] for row in properties.get("Logging", {}).get("ClusterLogging", {}).get("EnabledTypes", [])}
        for properties in (p, old)
    )
    rows = [{"types": sorted(on), "enabled": True}, {"types": sorted(before - on), "enabled": False}]
    return {"clusterLogging": [row for row in rows if row["types"]]}


class Nodegroup(ResourceType):
    """``AWS::EKS::Nodegroup``."""

    name = "AWS::EKS::Nodegroup"
    fixed = (
        "AmiType", "CapacityType", "ClusterName", "DiskSize", "InstanceTypes", "NodeRole", "NodegroupName", "Subnets",
    )  # fmt: skip
    mutable = ("Labels", "ScalingConfig", "Tags", "Taints", "UpdateConfig", "Version")
    required = ("ClusterName", "NodeRole", "Subnets")
    lists = ("InstanceTypes", "Subnets")
    named_by = "NodegroupName"
    attributes = ("Arn", "ClusterName", "Id", "NodegroupName")
    # Its tags are a map, and CloudFormation's engine here knows lists: the stack's own tags do not come to it.
    tagged = False

    def check_change(self, p: dict[str, Any], old: dict[str, Any]) -> None:
        """Refuse what this EKS does not change in a node group that is there."""
        for name in ("Taints", "UpdateConfig", "Version"):
            if p.get(name) != old.get(name):
                raise ResourceError(f"{name} of a node group is not changed here: make another node group")

    def create(self, scene: Scene, p: dict[str, Any]) -> None:
        """Make the group and wait until its nodes have joined."""
        name = p.get("NodegroupName") or scene.generated(longest=63)
        request = pick(
            p, amiType="AmiType", capacityType="CapacityType", diskSize="DiskSize", instanceTypes="InstanceTypes",
            labels="Labels", version="Version",
        )  # fmt: skip
        request |= {n[:1].lower() + n[1:]: lowered(p[n]) for n in ("ScalingConfig", "Taints", "UpdateConfig") if n in p}
        scene.call(
            "eks", "create_nodegroup", clusterName=p["ClusterName"], nodegroupName=name, subnets=p["Subnets"],
            nodeRole=p["NodeRole"], tags=tags(scene, p), **request,
        )  # fmt: skip
        scene.made(f"{p['ClusterName']}/{name}")
        self._wait(scene, "ACTIVE")

    def update(self, scene: Scene, p: dict[str, Any], old: dict[str, Any]) -> None:
        """Change the group's size and labels."""
        change: dict[str, Any] = {}
        if p.get("ScalingConfig") != old.get("ScalingConfig"):
            change["scalingConfig"] = lowered(p.get("ScalingConfig", {}))
        new, before = p.get("Labels") or {}, old.get("Labels") or {}
        if new != before:
            change["labels"] = {"addOrUpdateLabels": new, "removeLabels": sorted(before.keys() - new.keys())}
        if change:
            scene.call("eks", "update_nodegroup_config", **self._named(scene), **change)
            self._wait(scene, "ACTIVE")
        retag(scene, self.describe(scene, p)["Arn"], p, old)

    def delete(self, scene: Scene, p: dict[str, Any]) -> None:
        """Delete the group and wait until its interfaces are gone."""
        scene.call("eks", "delete_nodegroup", **self._named(scene))
        self._wait(scene, None)

    @staticmethod
    def _named(scene: Scene) -> dict[str, str]:
        cluster, _, name = scene.resource.physical_id.partition("/")
        return {"clusterName": cluster, "nodegroupName": name}

    def _wait(self, scene: Scene, wanted: str | None) -> None:
        named = self._named(scene)
        bad = ("CREATE_FAILED", "DEGRADED", "DELETE_FAILED")
        until(
            lambda: scene.call("eks", "describe_nodegroup", **named)["nodegroup"],
            wanted,
            bad=bad if wanted else bad[2:],
        )

    def describe(self, scene: Scene, p: dict[str, Any]) -> dict[str, Any]:
        """Return ARN and names."""
        named = self._named(scene)
        told = scene.call("eks", "describe_nodegroup", **named)["nodegroup"]
        return {
            "Arn": told["nodegroupArn"], "ClusterName": named["clusterName"], "Id": scene.resource.physical_id,
            "NodegroupName": named["nodegroupName"],
        }  # fmt: skip


class Addon(ResourceType):
    """``AWS::EKS::Addon``."""

    name = "AWS::EKS::Addon"
    fixed = ("AddonName", "ClusterName")
    mutable = ("AddonVersion", "ConfigurationValues", "ResolveConflicts")
    required = ("AddonName", "ClusterName")
    attributes = ("Arn",)
    tagged = True

    def create(self, scene: Scene, p: dict[str, Any]) -> None:
        """Make the add-on and wait until it runs."""
        named = {"clusterName": p["ClusterName"], "addonName": p["AddonName"]}
        scene.call("eks", "create_addon", **named, tags=tags(scene, p), **self._settings(p))
        scene.made(f"{p['ClusterName']}|{p['AddonName']}")
        self._wait(scene, "ACTIVE")

    @staticmethod
    def _settings(p: dict[str, Any]) -> dict[str, Any]:
        return pick(
            p,
            addonVersion="AddonVersion",
            configurationValues="ConfigurationValues",
            resolveConflicts="ResolveConflicts",
        )

    def update(self, scene: Scene, p: dict[str, Any], old: dict[str, Any]) -> None:
        """Change version and values."""
        if self._settings(p) != self._settings(old):
            scene.call("eks", "update_addon", **self._named(scene), **self._settings(p))
            self._wait(scene, "ACTIVE")
        retag(scene, self.describe(scene, p)["Arn"], p, old)

    def delete(self, scene: Scene, p: dict[str, Any]) -> None:
        """Delete the add-on."""
        scene.call("eks", "delete_addon", **self._named(scene))
        self._wait(scene, None)

    @staticmethod
    def _named(scene: Scene) -> dict[str, str]:
        cluster, _, name = scene.resource.physical_id.partition("|")
        return {"clusterName": cluster, "addonName": name}

    def _wait(self, scene: Scene, wanted: str | None) -> None:
        named = self._named(scene)
        until(lambda: scene.call("eks", "describe_addon", **named)["addon"], wanted, bad=("CREATE_FAILED",))

    def describe(self, scene: Scene, p: dict[str, Any]) -> dict[str, Any]:
        """Return the ARN."""
        return {"Arn": scene.call("eks", "describe_addon", **self._named(scene))["addon"]["addonArn"]}
