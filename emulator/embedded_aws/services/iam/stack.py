"""Roles, policies and instance profiles."""

from __future__ import annotations

from typing import Any

from embedded_aws.stacks.errors import ResourceError
from embedded_aws.stacks.reasons import handled
from embedded_aws.stacks.resource_type import ResourceType, Scene, only, pick, unless_gone

VERSIONS = 5  # that IAM keeps of one managed policy
_HOLDERS = {"Roles": "role", "Users": "user", "Groups": "group"}


def _retag(scene: Scene, kind: str, key: dict[str, str], p: dict[str, Any], old: dict[str, Any]) -> None:
    kept = {tag["Key"] for tag in p.get("Tags") or []}
    if gone := [tag["Key"] for tag in old.get("Tags") or [] if tag["Key"] not in kept]:
        scene.call("iam", f"untag_{kind}", **key, TagKeys=gone)
    if p.get("Tags") and p.get("Tags") != old.get("Tags"):
        scene.call("iam", f"tag_{kind}", **key, Tags=scene.tags(p, system=False))


def _inline(policies: Any) -> dict[str, Any]:
    documents: dict[str, Any] = {}
    if not isinstance(policies or [], list):
        raise ResourceError("Value of property Policies must be of type List")
    for policy in policies or []:
        only(policy, "PolicyName", "PolicyDocument")
        if set(policy) != {"PolicyName", "PolicyDocument"} or not isinstance(policy["PolicyName"], str):
            raise ResourceError("Property Policies needs PolicyName and PolicyDocument in every item.")
        if policy["PolicyName"] in documents:
            raise ResourceError(f"Property Policies has two policies of the name {policy['PolicyName']}.")
        documents[policy["PolicyName"]] = policy["PolicyDocument"]
    return documents


class Role(ResourceType):
    """``AWS::IAM::Role``."""

    name = "AWS::IAM::Role"
    fixed = ("RoleName", "Path")
    mutable = (
        "AssumeRolePolicyDocument",
        "Description",
        "ManagedPolicyArns",
        "MaxSessionDuration",
        "PermissionsBoundary",
        "Policies",
    )
    required = ("AssumeRolePolicyDocument",)
    lists = ("ManagedPolicyArns",)
    named_by = "RoleName"
    attributes = ("Arn", "RoleId")
    tagged = True

    def check(self, properties: dict[str, Any]) -> None:
        """Look at the inline policies, too."""
        super().check(properties)
        _inline(properties.get("Policies"))

    def create(self, scene: Scene, p: dict[str, Any]) -> None:
        """Make the role, then give it its policies."""
        own = ("Path", "AssumeRolePolicyDocument", "Description", "MaxSessionDuration", "PermissionsBoundary")
        name, tags = p.get("RoleName") or scene.generated(), scene.tags(p, system=False)
        scene.call("iam", "create_role", RoleName=name, **pick(p, *own), Tags=tags)
        scene.made(name)
        self._policies(scene, p, {})

    def update(self, scene: Scene, p: dict[str, Any], old: dict[str, Any]) -> None:
        """Set everything that differs."""
        role = {"RoleName": scene.resource.physical_id}
        if any(p.get(name) != old.get(name) for name in ("Description", "MaxSessionDuration")):
            longest = p.get("MaxSessionDuration") or 3600
            scene.call("iam", "update_role", **role, Description=p.get("Description", ""), MaxSessionDuration=longest)
        if p["AssumeRolePolicyDocument"] != old.get("AssumeRolePolicyDocument"):
            scene.call("iam", "update_assume_role_policy", **role, PolicyDocument=p["AssumeRolePolicyDocument"])
        if p.get("PermissionsBoundary") != old.get("PermissionsBoundary"):
            if p.get("PermissionsBoundary"):
                scene.call("iam", "put_role_permissions_boundary", **role, **pick(p, "PermissionsBoundary"))
            else:
                scene.call("iam", "delete_role_permissions_boundary", **role)
        self._policies(scene, p, old)
        _retag(scene, "role", role, p, old)

    def _policies(self, scene: Scene, p: dict[str, Any], old: dict[str, Any]) -> None:
        role = {"RoleName": scene.resource.physical_id}
        before, after = (set(properties.get("ManagedPolicyArns") or []) for properties in (old, p))
        for arn in sorted(after - before):
            scene.call("iam", "attach_role_policy", **role, PolicyArn=arn)
        for arn in sorted(before - after):
            with unless_gone():
                scene.call("iam", "detach_role_policy", **role, PolicyArn=arn)
        inline, were = _inline(p.get("Policies")), _inline(old.get("Policies"))
        for name, document in inline.items():
            if document != were.get(name):
                scene.call("iam", "put_role_policy", **role, PolicyName=name, PolicyDocument=document)
        for name in sorted(set(were) - set(inline)):
            with unless_gone():
                scene.call("iam", "delete_role_policy", **role, PolicyName=name)

    def delete(self, scene: Scene, p: dict[str, Any]) -> None:
        """Delete the role; a policy that somebody else gave it keeps it."""
        self._policies(scene, {}, p)
        scene.call("iam", "delete_role", RoleName=scene.resource.physical_id)

    def describe(self, scene: Scene, p: dict[str, Any]) -> dict[str, Any]:
        """Return ARN and id."""
        role = scene.call("iam", "get_role", RoleName=scene.resource.physical_id)["Role"]
        return {"Arn": role["Arn"], "RoleId": role["RoleId"]}


class ManagedPolicy(ResourceType):
    """``AWS::IAM::ManagedPolicy``; an update is a new default version."""

    name = "AWS::IAM::ManagedPolicy"
    fixed = ("ManagedPolicyName", "Path", "Description")
    mutable = ("PolicyDocument", *_HOLDERS)
    required = ("PolicyDocument",)
    lists = tuple(_HOLDERS)
    named_by = "ManagedPolicyName"
    attributes = ("PolicyArn", "PolicyId")
    # As on AWS, whose managed policies get no stack tags.

    def create(self, scene: Scene, p: dict[str, Any]) -> None:
        """Make the policy and attach it."""
        name = p.get("ManagedPolicyName") or scene.generated(longest=128)
        made = scene.call("iam", "create_policy", PolicyName=name, **pick(p, "Path", "Description", "PolicyDocument"))
        scene.made(made["Policy"]["Arn"])
        self._attach(scene, p, {})

    def update(self, scene: Scene, p: dict[str, Any], old: dict[str, Any]) -> None:
        """Make the new document the default version; of five versions the oldest gives way."""
        arn = {"PolicyArn": scene.resource.physical_id}
        if p["PolicyDocument"] != old.get("PolicyDocument"):
            versions = self._versions(scene)
            if len(versions) >= VERSIONS:
                oldest = min((v for v in versions if not v["IsDefaultVersion"]), key=_number)
                scene.call("iam", "delete_policy_version", **arn, VersionId=oldest["VersionId"])
            scene.call("iam", "create_policy_version", **arn, PolicyDocument=p["PolicyDocument"], SetAsDefault=True)
        self._attach(scene, p, old)

    def _versions(self, scene: Scene) -> list[dict[str, Any]]:
        return scene.call("iam", "list_policy_versions", PolicyArn=scene.resource.physical_id)["Versions"]

    def _attach(self, scene: Scene, p: dict[str, Any], old: dict[str, Any]) -> None:
        arn = {"PolicyArn": scene.resource.physical_id}
        for name, kind in _HOLDERS.items():
            before, after = (set(properties.get(name) or []) for properties in (old, p))
            for holder in sorted(after - before):
                scene.call("iam", f"attach_{kind}_policy", **{f"{kind.title()}Name": holder}, **arn)
            for holder in sorted(before - after):
                with unless_gone():
                    scene.call("iam", f"detach_{kind}_policy", **{f"{kind.title()}Name": holder}, **arn)

    def delete(self, scene: Scene, p: dict[str, Any]) -> None:
        """Detach what the stack attached and delete; an attachment by somebody else keeps the policy."""
        arn = {"PolicyArn": scene.resource.physical_id}
        self._attach(scene, {}, p)
        attached = scene.call("iam", "list_entities_for_policy", **arn)
        if any(attached.get(f"Policy{name}") for name in _HOLDERS):
            # Say it before the versions are gone.
            message = f"Cannot delete a policy attached to entities: {scene.resource.physical_id}."
            raise ResourceError(handled("IAM", 409, "DeleteConflict", message))
        for version in self._versions(scene):
            if not version["IsDefaultVersion"]:
                scene.call("iam", "delete_policy_version", **arn, VersionId=version["VersionId"])
        scene.call("iam", "delete_policy", **arn)

    def describe(self, scene: Scene, p: dict[str, Any]) -> dict[str, Any]:
        """Return ARN and id."""
        policy = scene.call("iam", "get_policy", PolicyArn=scene.resource.physical_id)["Policy"]
        return {"PolicyArn": policy["Arn"], "PolicyId": policy["PolicyId"]}


def _number(version: dict[str, Any]) -> int:
    return int(version["VersionId"].lstrip("v"))


class _InlinePolicy(ResourceType):
    """A policy inside of roles, users and groups."""

    mutable = ("PolicyDocument",)
    required = ("PolicyName", "PolicyDocument")

    def holders(self, p: dict[str, Any]) -> set[tuple[str, str]]:
        """Return (kind, name) of those that have the policy."""
        raise NotImplementedError

    def create(self, scene: Scene, p: dict[str, Any]) -> None:
        """Put the policy into everybody that shall have it."""
        if not self.holders(p):
            raise ResourceError("At least one of [Groups,Roles,Users] must be non-empty.")
        scene.made(self._id(scene, p))
        self._put(scene, p, {})

    def _id(self, scene: Scene, p: dict[str, Any]) -> str:
        ((_, holder),) = self.holders(p)
        return f"{p['PolicyName']}|{holder}"

    def update(self, scene: Scene, p: dict[str, Any], old: dict[str, Any]) -> None:
        """Put and take away."""
        self._put(scene, p, old)

    def _put(self, scene: Scene, p: dict[str, Any], old: dict[str, Any]) -> None:
        before, after = (
            {(properties["PolicyName"], *h) for h in self.holders(properties)} if properties else set()
            for properties in (old, p)
        )
        for name, kind, holder in sorted(after):
            document = {"PolicyName": name, f"{kind.title()}Name": holder, **pick(p, "PolicyDocument")}
            scene.call("iam", f"put_{kind}_policy", **document)
        for name, kind, holder in sorted(before - after):
            named = {"PolicyName": name, f"{kind.title()}Name": holder}
            with unless_gone():
                scene.call("iam", f"delete_{kind}_policy", **named)

    def delete(self, scene: Scene, p: dict[str, Any]) -> None:
        """Take the policy from everybody that the stack gave it."""
        self._put(scene, {}, p)


class Policy(_InlinePolicy):
    """``AWS::IAM::Policy``."""

    name = "AWS::IAM::Policy"
    mutable = ("PolicyName", "PolicyDocument", *_HOLDERS)
    lists = tuple(_HOLDERS)
    attributes = ("Id",)

    def holders(self, p: dict[str, Any]) -> set[tuple[str, str]]:
        """Return the roles, users and groups."""
        return {(kind, holder) for name, kind in _HOLDERS.items() for holder in p.get(name) or []}

    def _id(self, scene: Scene, p: dict[str, Any]) -> str:
        return scene.generated()

    def describe(self, scene: Scene, p: dict[str, Any]) -> dict[str, Any]:
        """Return the id."""
        return {"Id": scene.resource.physical_id}


class UserPolicy(_InlinePolicy):
    """``AWS::IAM::UserPolicy``."""

    name = "AWS::IAM::UserPolicy"
    fixed = ("PolicyName", "UserName")
    required = ("PolicyName", "PolicyDocument", "UserName")

    def holders(self, p: dict[str, Any]) -> set[tuple[str, str]]:
        """Return the user."""
        return {("user", p["UserName"])}


class RolePolicy(_InlinePolicy):
    """``AWS::IAM::RolePolicy``."""

    name = "AWS::IAM::RolePolicy"
    fixed = ("PolicyName", "RoleName")
    required = ("PolicyName", "PolicyDocument", "RoleName")

    def holders(self, p: dict[str, Any]) -> set[tuple[str, str]]:
        """Return the role."""
        return {("role", p["RoleName"])}


class InstanceProfile(ResourceType):
    """``AWS::IAM::InstanceProfile``."""

    name = "AWS::IAM::InstanceProfile"
    fixed = ("InstanceProfileName", "Path")
    mutable = ("Roles",)
    required = ("Roles",)
    lists = ("Roles",)
    named_by = "InstanceProfileName"
    attributes = ("Arn",)

    def check(self, properties: dict[str, Any]) -> None:
        """Refuse a second role."""
        super().check(properties)
        if len(properties["Roles"]) > 1:
            raise ResourceError("Cannot exceed quota for InstanceSessionsPerInstanceProfile: 1")

    def create(self, scene: Scene, p: dict[str, Any]) -> None:
        """Make the profile and put its role in."""
        name = p.get("InstanceProfileName") or scene.generated(longest=128)
        scene.call("iam", "create_instance_profile", InstanceProfileName=name, **pick(p, "Path"))
        scene.made(name)
        self._roles(scene, p, {})

    def update(self, scene: Scene, p: dict[str, Any], old: dict[str, Any]) -> None:
        """Change the role."""
        self._roles(scene, p, old)

    def _roles(self, scene: Scene, p: dict[str, Any], old: dict[str, Any]) -> None:
        profile = {"InstanceProfileName": scene.resource.physical_id}
        before, after = (set(properties.get("Roles") or []) for properties in (old, p))
        description = scene.call("iam", "get_instance_profile", **profile)["InstanceProfile"]
        current = {role["RoleName"] for role in description["Roles"]}
        for role in sorted((before - after) & current):
            with unless_gone():
                scene.call("iam", "remove_role_from_instance_profile", **profile, RoleName=role)
        for role in sorted(after - current):
            scene.call("iam", "add_role_to_instance_profile", **profile, RoleName=role)

    def delete(self, scene: Scene, p: dict[str, Any]) -> None:
        """Empty the profile and delete it."""
        self._roles(scene, {}, p)
        scene.call("iam", "delete_instance_profile", InstanceProfileName=scene.resource.physical_id)

    def describe(self, scene: Scene, p: dict[str, Any]) -> dict[str, Any]:
        """Return the ARN."""
        response = scene.call("iam", "get_instance_profile", InstanceProfileName=scene.resource.physical_id)
        return {"Arn": response["InstanceProfile"]["Arn"]}
