"""Access entries and pod identity associations in stacks.

Source: AWS, CloudFormation template reference, AWS::EKS::AccessEntry, AWS::EKS::PodIdentityAssociation.
"""

from __future__ import annotations

from typing import Any

from embedded_aws.services.eks.stack_waits import lowered, retag, tags
from embedded_aws.stacks.resource_type import ResourceType, Scene, only, pick, unless_gone


class AccessEntry(ResourceType):
    """``AWS::EKS::AccessEntry``."""

    name = "AWS::EKS::AccessEntry"
    fixed = ("ClusterName", "PrincipalArn", "Type")
    mutable = ("AccessPolicies", "KubernetesGroups", "Username")
    required = ("ClusterName", "PrincipalArn")
    lists = ("KubernetesGroups",)
    attributes = ("AccessEntryArn",)
    tagged = True

    def check(self, properties: dict[str, Any]) -> None:
        """Refuse policies of another form."""
        super().check(properties)
        for policy in properties.get("AccessPolicies") or []:
            only(only(policy, "PolicyArn", "AccessScope").get("AccessScope", {}), "Type", "Namespaces")

    def create(self, scene: Scene, p: dict[str, Any]) -> None:
        """Make the entry and give it its policies."""
        request = pick(p, kubernetesGroups="KubernetesGroups", type="Type", username="Username")
        named = {"clusterName": p["ClusterName"], "principalArn": p["PrincipalArn"]}
        scene.call("eks", "create_access_entry", **named, tags=tags(scene, p), **request)
        scene.made(f"{p['PrincipalArn']}|{p['ClusterName']}")
        self._associate(scene, p, {})

    def update(self, scene: Scene, p: dict[str, Any], old: dict[str, Any]) -> None:
        """Change groups, name and policies."""
        if any(p.get(name) != old.get(name) for name in ("KubernetesGroups", "Username")):
            request = pick({"KubernetesGroups": [], **p}, kubernetesGroups="KubernetesGroups", username="Username")
            scene.call("eks", "update_access_entry", **self._named(scene), **request)
        self._associate(scene, p, old)
        retag(scene, self.describe(scene, p)["AccessEntryArn"], p, old)

    def _associate(self, scene: Scene, p: dict[str, Any], old: dict[str, Any]) -> None:
        new, before = (
            {policy["PolicyArn"]: policy["AccessScope"] for policy in properties.get("AccessPolicies") or []}
            for properties in (p, old)
        )
        for arn in sorted(before.keys() - new.keys()):
            with unless_gone():
                scene.call("eks", "disassociate_access_policy", **self._named(scene), policyArn=arn)
        for arn, scope in sorted(new.items()):
            if scope != before.get(arn):
                request = {**self._named(scene), "accessScope": lowered(scope)}
                scene.call("eks", "associate_access_policy", policyArn=arn, **request)

    def delete(self, scene: Scene, p: dict[str, Any]) -> None:
        """Delete the entry, and its policies with it."""
        scene.call("eks", "delete_access_entry", **self._named(scene))

    @staticmethod
    def _named(scene: Scene) -> dict[str, str]:
        principal, _, cluster = scene.resource.physical_id.partition("|")
        return {"clusterName": cluster, "principalArn": principal}

    def describe(self, scene: Scene, p: dict[str, Any]) -> dict[str, Any]:
        """Return the ARN."""
        told = scene.call("eks", "describe_access_entry", **self._named(scene))["accessEntry"]
        return {"AccessEntryArn": told["accessEntryArn"]}


class PodIdentityAssociation(ResourceType):
    """``AWS::EKS::PodIdentityAssociation``."""

    name = "AWS::EKS::PodIdentityAssociation"
    fixed = ("ClusterName", "Namespace", "ServiceAccount")
    mutable = ("DisableSessionTags", "RoleArn")
    required = ("ClusterName", "Namespace", "RoleArn", "ServiceAccount")
    attributes = ("AssociationArn", "AssociationId")
    tagged = True

    def create(self, scene: Scene, p: dict[str, Any]) -> None:
        """Make the association."""
        request = pick(
            p, clusterName="ClusterName", namespace="Namespace", serviceAccount="ServiceAccount", roleArn="RoleArn",
            disableSessionTags="DisableSessionTags",
        )  # fmt: skip
        told = scene.call("eks", "create_pod_identity_association", tags=tags(scene, p), **request)
        scene.made(told["association"]["associationArn"])

    def update(self, scene: Scene, p: dict[str, Any], old: dict[str, Any]) -> None:
        """Change the role."""
        if any(p.get(name) != old.get(name) for name in self.mutable):
            request = {"roleArn": p["RoleArn"], "disableSessionTags": p.get("DisableSessionTags", False)}
            scene.call("eks", "update_pod_identity_association", **self._named(scene), **request)
        retag(scene, scene.resource.physical_id, p, old)

    def delete(self, scene: Scene, p: dict[str, Any]) -> None:
        """Delete the association."""
        scene.call("eks", "delete_pod_identity_association", **self._named(scene))

    @staticmethod
    def _named(scene: Scene) -> dict[str, str]:
        _, cluster, association = scene.resource.physical_id.split("/")
        return {"clusterName": cluster, "associationId": association}

    def describe(self, scene: Scene, p: dict[str, Any]) -> dict[str, Any]:
        """Return ARN and id."""
        named = self._named(scene)
        return {"AssociationArn": scene.resource.physical_id, "AssociationId": named["associationId"]}
