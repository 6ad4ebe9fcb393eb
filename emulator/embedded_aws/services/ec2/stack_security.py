"""Security groups and their rules."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from embedded_aws.services.ec2.stack_network import retag, specified
from embedded_aws.stacks.errors import ResourceError
from embedded_aws.stacks.functions import as_text
from embedded_aws.stacks.resource_type import ResourceType, Scene, only, pick, unless_gone

EVERYWHERE = {"IpProtocol": "-1", "CidrIp": "0.0.0.0/0"}  # what a new group lets out
_PEERS = {  # property: where it goes in an IpPermission
    "CidrIp": ("IpRanges", "CidrIp"),
    "CidrIpv6": ("Ipv6Ranges", "CidrIpv6"),
    "SourceSecurityGroupId": ("UserIdGroupPairs", "GroupId"),
    "DestinationSecurityGroupId": ("UserIdGroupPairs", "GroupId"),
    "SourcePrefixListId": ("PrefixListIds", "PrefixListId"),
    "DestinationPrefixListId": ("PrefixListIds", "PrefixListId"),
}
_PORTS = ("IpProtocol", "FromPort", "ToPort")
_SIDES = {"ingress": "Source", "egress": "Destination"}


def permission(rule: dict[str, Any], side: str) -> dict[str, Any]:
    """Return a rule of a template as EC2's IpPermission.

    Raises
    ------
    ResourceError
        If a member is not known, or it has not exactly one peer.
    """
    peers = ["CidrIp", "CidrIpv6", f"{_SIDES[side]}SecurityGroupId", f"{_SIDES[side]}PrefixListId"]
    owner = f"{_SIDES[side]}SecurityGroupOwnerId" if side == "ingress" else ""
    rule = only(rule, *_PORTS, *peers, *filter(None, [owner]), "Description")
    given = [peer for peer in peers if rule.get(peer) not in (None, "")]
    if len(given) != 1:
        raise ResourceError(f"A security group rule needs exactly one of {', '.join(peers)}; given: {given}")
    if "IpProtocol" not in rule:
        raise ResourceError("Property IpProtocol cannot be empty.")
    outer, inner = _PEERS[given[0]]
    peer = {inner: rule[given[0]], **({"Description": rule["Description"]} if rule.get("Description") else {})}
    if owner and rule.get(owner):
        if inner != "GroupId":
            raise ResourceError(f"{owner} is about a SourceSecurityGroupId, and the rule has none")
        peer["UserId"] = rule[owner]
    ports = {name: rule[name] for name in _PORTS if rule.get(name) is not None}
    return {**ports, outer: [peer]}


def _permissions(rules: Any, side: str) -> list[dict[str, Any]]:
    if not isinstance(rules, list):
        raise ResourceError(f"Value of property SecurityGroup{side.title()} must be of type List")
    return [permission(rule, side) for rule in rules]


def _same(rules: list[dict[str, Any]]) -> set[tuple[tuple[str, str], ...]]:
    return {tuple(sorted((name, as_text(value)) for name, value in rule.items())) for rule in rules}


class SecurityGroup(ResourceType):
    """``AWS::EC2::SecurityGroup``."""

    name = "AWS::EC2::SecurityGroup"
    fixed = ("GroupName", "GroupDescription", "VpcId")
    mutable = ("SecurityGroupIngress", "SecurityGroupEgress")
    required = ("GroupDescription",)
    named_by = "GroupName"
    attributes = ("GroupId", "Id", "VpcId")
    tagged = True

    def check(self, properties: dict[str, Any]) -> None:
        """Look at all rules before any is set."""
        super().check(properties)
        for side in _SIDES:
            _permissions(properties.get(f"SecurityGroup{side.title()}") or [], side)

    def create(self, scene: Scene, p: dict[str, Any]) -> None:
        """Make the group; a list of egress rules takes the place of the rule that lets everything out."""
        group = scene.call(
            "ec2",
            "create_security_group",
            **pick(p, "VpcId", Description="GroupDescription"),
            GroupName=p.get("GroupName") or scene.generated(longest=255),
            TagSpecifications=specified(scene, p, "security-group"),
        )
        scene.made(group["GroupId"])
        self._bring(scene, "ingress", [], p.get("SecurityGroupIngress") or [], again=False)
        self._bring(scene, "egress", [EVERYWHERE], p.get("SecurityGroupEgress") or [EVERYWHERE], again=False)

    def update(self, scene: Scene, p: dict[str, Any], old: dict[str, Any]) -> None:
        """Bring the rules of the template to what they shall be; rules of others stay."""
        self._bring(scene, "ingress", old.get("SecurityGroupIngress") or [], p.get("SecurityGroupIngress") or [])
        before, after = (properties.get("SecurityGroupEgress") or [EVERYWHERE] for properties in (old, p))
        self._bring(scene, "egress", before, after)
        retag(scene, p, old)

    def _bring(
        self, scene: Scene, side: str, old: list[dict[str, Any]], new: list[dict[str, Any]], *, again: bool = True
    ) -> None:
        wanted = _permissions(new, side)
        for rule in old:
            if not _same([rule]) & _same(new):
                with unless_gone():
                    revoke(scene, side, scene.resource.physical_id, permission(rule, side))
        for rule, ip_permission in zip(new, wanted, strict=True):
            if not _same([rule]) & _same(old):
                authorize(scene, side, scene.resource.physical_id, ip_permission, again=again)

    def delete(self, scene: Scene, p: dict[str, Any]) -> None:
        """Delete the group."""
        scene.call("ec2", "delete_security_group", GroupId=scene.resource.physical_id)

    def describe(self, scene: Scene, p: dict[str, Any]) -> dict[str, Any]:
        """Return the ids."""
        group = scene.resource.physical_id
        (description,) = scene.call("ec2", "describe_security_groups", GroupIds=[group])["SecurityGroups"]
        return {"GroupId": group, "Id": group, "VpcId": description["VpcId"]}


def authorize(
    scene: Scene, side: str, group: str, ip_permission: dict[str, Any], *, again: bool = False
) -> list[dict[str, Any]]:
    """Add a rule to a group; ``again``: it may be there already, as when an update goes back."""
    try:
        response = scene.call("ec2", f"authorize_security_group_{side}", GroupId=group, IpPermissions=[ip_permission])
    except ClientError as error:
        if again and error.response["Error"]["Code"] == "InvalidPermission.Duplicate":
            return []
        raise
    return response.get("SecurityGroupRules", [])


def revoke(scene: Scene, side: str, group: str, ip_permission: dict[str, Any]) -> None:
    """Take a rule from a group."""
    scene.call("ec2", f"revoke_security_group_{side}", GroupId=group, IpPermissions=[ip_permission])


class _Rule(ResourceType):
    """A rule beside its group."""

    side: str
    mutable = ("Description",)
    required = ("GroupId", "IpProtocol")
    attributes = ("Id",)

    def create(self, scene: Scene, p: dict[str, Any]) -> None:
        """Add the rule."""
        (rule,) = authorize(scene, self.side, p["GroupId"], self._permission(p))
        scene.made(rule["SecurityGroupRuleId"])

    def update(self, scene: Scene, p: dict[str, Any], old: dict[str, Any]) -> None:
        """Describe the rule anew: it is the only thing that can be changed."""
        with unless_gone():
            self.delete(scene, old)
        (rule,) = authorize(scene, self.side, p["GroupId"], self._permission(p))
        scene.resource.physical_id = rule["SecurityGroupRuleId"]

    def delete(self, scene: Scene, p: dict[str, Any]) -> None:
        """Take the rule away."""
        scene.call(
            "ec2",
            f"revoke_security_group_{self.side}",
            GroupId=p["GroupId"],
            SecurityGroupRuleIds=[scene.resource.physical_id],
        )

    def _permission(self, p: dict[str, Any]) -> dict[str, Any]:
        return permission({name: value for name, value in p.items() if name != "GroupId"}, self.side)

    def describe(self, scene: Scene, p: dict[str, Any]) -> dict[str, Any]:
        """Return the id."""
        return {"Id": scene.resource.physical_id}


class SecurityGroupIngress(_Rule):
    """``AWS::EC2::SecurityGroupIngress``."""

    name = "AWS::EC2::SecurityGroupIngress"
    side = "ingress"
    fixed = (
        "GroupId",
        *_PORTS,
        "CidrIp",
        "CidrIpv6",
        "SourceSecurityGroupId",
        "SourceSecurityGroupOwnerId",
        "SourcePrefixListId",
    )


class SecurityGroupEgress(_Rule):
    """``AWS::EC2::SecurityGroupEgress``."""

    name = "AWS::EC2::SecurityGroupEgress"
    side = "egress"
    fixed = (
        "GroupId",
        *_PORTS,
        "CidrIp",
        "CidrIpv6",
        "DestinationSecurityGroupId",
        "DestinationPrefixListId",
    )
