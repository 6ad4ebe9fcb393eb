"""Security groups: whom a rule may name, what it may say, how many there may be, and which groups may go.

Source: AWS, EC2 API reference, AuthorizeSecurityGroupIngress, RevokeSecurityGroupIngress, DeleteSecurityGroup and
DescribeStaleSecurityGroups; VPC peering guide, "Update your security groups to reference peer security groups"; VPC
user guide, "Default security groups" and "Amazon VPC quotas" (60 rules each way, IPv4 and IPv6 counted apart).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from ipaddress import AddressValueError, IPv4Network, IPv6Network, NetmaskValueError
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.exceptions import (
    DependencyViolationError,
    InvalidCIDRSubnetError,
    InvalidPermissionNotFoundError,
    InvalidSecurityGroupNotFoundError,
    InvalidSecurityGroupRuleIdNotFoundError,
    RulesPerSecurityGroupLimitExceededError,
)
from moto.ec2.models import EC2Backend, ec2_backends
from moto.ec2.models.security_groups import SecurityGroup, SecurityGroupRule
from moto.ec2.responses import EC2Response

from embedded_aws.services.ec2.errors import INVALID, INVALID_VALUE, elsewhere, refuse
from embedded_aws.services.ec2.peerings import ACTIVE

MOST_RULES = 60
_SIDES = {"ingress": "ingress_rules", "egress": "egress_rules"}
_WITH_PORTS = ("tcp", "udp")
_WITH_TYPES = ("icmp", "icmpv6", "58")  # FromPort and ToPort are ICMP's type and code


class Rule(SecurityGroupRule):
    """One rule; moto compares descriptions too, and loses those of groups and prefix lists."""

    def __init__(self, network: Any, group: str, permission: Mapping[str, Any], peer: Mapping[str, Any], **more: Any):
        cidr = {name: peer[name] for name in ("CidrIp", "CidrIpv6") if name in peer}
        pair = {name: peer[name] for name in _PAIR if peer.get(name)} if "GroupId" in peer else None
        listed = {"PrefixListId": peer["PrefixListId"]} if "PrefixListId" in peer else None
        self._description = peer.get("Description")
        if self._description and (cidr or pair):
            (cidr or pair)["Description"] = self._description
        ports = (permission.get("FromPort", -1), permission.get("ToPort", -1))
        super().__init__(network, permission["IpProtocol"], group, *ports, cidr or None, pair, listed, **more)

    @property
    def description(self) -> str | None:
        """What its owner says of it."""
        return self._description

    @property
    def key(self) -> tuple[Any, ...]:
        """What no two rules of a group share."""
        return self.ip_protocol, self.from_port, self.to_port, self.peer

    @property
    def peer(self) -> str:
        """Whom it is about."""
        return self.cidr_ipv4 or self.cidr_ipv6 or self.prefix_list_id or self.source_group.get("GroupId", "")

    def counts(self, version: int) -> bool:
        """Tell whether it is one of the rules for IPv4, or IPv6."""
        return not (self.cidr_ipv6 if version == 4 else self.cidr_ipv4)

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = object.__hash__


_PAIR = ("GroupId", "UserId", "VpcId", "VpcPeeringConnectionId", "PeeringStatus")


class SecurityGroups(EC2Backend):
    """moto's security groups, mended."""

    def create_security_group(
        self, name: str, description: str, vpc_id: str | None = None, *args: Any, **more: Any
    ) -> SecurityGroup:
        """Create a group in a VPC that is there."""
        if vpc_id:
            self.get_vpc(vpc_id)
        if not more.get("is_default"):
            if name == "default":
                raise refuse(INVALID_VALUE, "Cannot use reserved security group name: default")
            if name.startswith("sg-"):
                raise refuse(INVALID_VALUE, f"Invalid value '{name}' for groupName. Group names may not be 'sg-*'")
        made = super().create_security_group(name, description, vpc_id, *args, **more)
        everybody = {"IpProtocol": "-1"}
        made.egress_rules = [Rule(self, made.id, everybody, {"CidrIp": "0.0.0.0/0"})]
        if made.is_default:
            itself = {"GroupId": made.id, "UserId": self.account_id}
            made.ingress_rules = [Rule(self, made.id, everybody, itself, is_egress=False)]
        return made

    def authorize(
        self, name: str, permissions: Sequence[Mapping[str, Any]], side: str, tags: dict[str, str] | None = None
    ) -> list[Rule]:
        """Add rules to a group: all of them, or none.

        Raises
        ------
        EC2ClientError
            If one of them is malformed, names nobody who may be named, or is there already, or they are too many.
        """
        group = self._group(name)
        made = list(self._rules(group, permissions, side, tags))
        rules = getattr(group, _SIDES[side])
        self._check_new(made, rules)
        rules += made
        return made

    def revoke(
        self, name: str, permissions: Sequence[Mapping[str, Any]], side: str, rule_ids: Sequence[str] = ()
    ) -> None:
        """Take rules from a group, by their ids or by what they say: all of them, or none."""
        group = self._group(name)
        rules = {rule.id: rule for rule in getattr(group, _SIDES[side])}
        for unknown in [rule_id for rule_id in rule_ids if rule_id not in rules]:
            raise InvalidSecurityGroupRuleIdNotFoundError(unknown)
        keys = [rule.key for rule in self._rules(group, permissions, side, None, known=False)]
        gone = [rule for rule in rules.values() if rule.id in rule_ids or rule.key in keys]
        if {rule.key for rule in gone} < set(keys):
            raise InvalidPermissionNotFoundError
        setattr(group, _SIDES[side], [rule for rule in rules.values() if rule not in gone])

    def modify_security_group_rules(self, group_id: str, rules: dict[str, dict[str, Any]]) -> None:
        """Change rules; each keeps its id."""
        group, changed = self._group(group_id), {}
        for name, wanted in rules.items():
            old = group.get_rule(name)
            if old is None:
                raise InvalidSecurityGroupRuleIdNotFoundError(name)
            side = "egress" if old.is_egress else "ingress"
            (new,) = self._rules(group, [_permission(wanted)], side, None)
            new.id, changed[name] = name, new
        for side in _SIDES.values():
            kept = [rule for rule in getattr(group, side) if rule.id not in changed]
            mine = [changed[rule.id] for rule in getattr(group, side) if rule.id in changed]
            self._check_new(mine, kept)
            setattr(group, side, kept + mine)

    def delete_security_group(self, name: str | None = None, group_id: str | None = None) -> None:
        """Delete a group that nobody uses; a rule of a peer's does not hold it, and is stale afterwards."""
        group = self._group(group_id or name or "")
        if group.is_default:
            message = f'the specified group: "{group.id}" name: "default" cannot be deleted by a user'
            raise refuse("CannotDelete", message)
        near = [other for other in list(self.groups[group.vpc_id].values()) if other is not group]
        named = any(rule.source_group.get("GroupId") == group.id for other in near for rule in _all(other))
        if named or any(used.id == group.id for eni in list(self.enis.values()) for used in eni._group_set):
            raise DependencyViolationError(f"resource {group.id} has a dependent object")
        super().delete_security_group(group_id=group.id)

    def describe_security_groups(self, *args: Any, **more: Any) -> list[SecurityGroup]:
        """Return groups; their rules tell how the peering is that they depend on."""
        groups = super().describe_security_groups(*args, **more)
        for group in groups:
            for rule in _all(group):
                if name := rule.source_group.get("VpcPeeringConnectionId"):
                    rule.source_group["PeeringStatus"] = self.vpc_pcxs[name].state
        return groups

    def stale(self, vpc: str) -> Iterator[tuple[SecurityGroup, dict[str, list[Rule]]]]:
        """Yield the groups of a VPC with rules that name a group of a peer who is none any more, or a group that went.

        Raises
        ------
        EC2ClientError
            If there is no such VPC.
        """
        self.get_vpc(vpc)
        for group in self.describe_security_groups(filters={"vpc-id": [vpc]}):
            by_side = {side: [r for r in getattr(group, rules) if self._is_stale(r)] for side, rules in _SIDES.items()}
            if any(by_side.values()):
                yield group, by_side

    def _is_stale(self, rule: SecurityGroupRule) -> bool:
        pair = rule.source_group
        if "VpcPeeringConnectionId" not in pair:
            return False
        gone = self._group_of(pair.get("UserId", self.account_id), pair["GroupId"]) is None
        return gone or pair.get("PeeringStatus") != ACTIVE

    def check_groups(self, names: Iterable[str], vpc: str, subnet: str = "") -> None:
        """Look whether groups exist, in this VPC.

        moto makes up a group of an unknown id, or puts None in its place, which breaks every later look at the groups.

        Raises
        ------
        EC2ClientError
            Names the first that does not.
        """
        for name in names:
            group = self.get_security_group_from_id(name)
            if group is None:
                raise InvalidSecurityGroupNotFoundError(name)
            if group.vpc_id != vpc:
                raise elsewhere(INVALID, f"Security group {name}", f"subnet {subnet}" if subnet else f"vpc {vpc}")

    def _group(self, name: str) -> SecurityGroup:
        group = self.get_security_group_by_name_or_id(name)
        if group is None:
            raise InvalidSecurityGroupNotFoundError(name)
        return group

    def _check_new(self, made: Sequence[Rule], existing: Sequence[Rule]) -> None:
        seen = {rule.key for rule in existing}
        for rule in made:
            if rule.key in seen:
                raise refuse("InvalidPermission.Duplicate", f"the specified rule {_words(rule)} already exists")
            seen.add(rule.key)
        if any(sum(rule.counts(version) for rule in [*existing, *made]) > MOST_RULES for version in (4, 6)):
            raise RulesPerSecurityGroupLimitExceededError

    def _rules(
        self,
        group: SecurityGroup,
        permissions: Sequence[Mapping[str, Any]],
        side: str,
        tags: dict[str, str] | None,
        *,
        known: bool = True,
    ) -> Iterator[Rule]:
        """Yield the rules of EC2's IpPermissions; ``known``: the groups that they name must be there."""
        for permission in permissions:
            checked = {**permission, **_ports(permission)}
            for peer in _peers(permission):
                by_name = "GroupName" in peer and "GroupId" not in peer
                named = self._named(peer, group) if by_name or (known and "GroupId" in peer) else peer
                yield Rule(self, group.id, checked, named, is_egress=side == "egress", tags=tags or {})

    def _named(self, pair: Mapping[str, Any], group: SecurityGroup) -> dict[str, Any]:
        """Find the group that a rule names: of the same VPC, or of one that an active peering connects."""
        name, owner = pair.get("GroupId"), str(pair.get("UserId") or "")
        if not name:
            referenced = self.get_security_group_from_name(pair["GroupName"], group.vpc_id)
        else:  # a template's egress rule cannot say whose it is
            owners = [owner] if owner else [self.account_id, *self._peers_of(group.vpc_id)]
            referenced = next(filter(None, (self._group_of(account, name) for account in owners)), None)
        if referenced is None:
            raise InvalidSecurityGroupNotFoundError(name or pair["GroupName"])
        owner = referenced.owner_id
        about = {"GroupId": referenced.id, "UserId": owner, "Description": pair.get("Description")}
        if referenced.vpc_id == group.vpc_id:
            return about
        peering = self.peering_between(group.vpc_id, referenced.vpc_id)
        if peering is None and owner == self.account_id:
            raise refuse("InvalidGroup.NotFound", "You have specified two resources that belong to different networks.")
        if peering is None:
            raise InvalidSecurityGroupNotFoundError(name)
        return {**about, "VpcId": referenced.vpc_id, "VpcPeeringConnectionId": peering.id, "PeeringStatus": ACTIVE}

    def _peers_of(self, vpc: str) -> list[str]:
        """Return the accounts of the VPCs that an active peering connects with one."""
        near = [peering for peering in list(self.vpc_pcxs.values()) if peering.state == ACTIVE]
        return [
            (peering.peer_vpc if peering.vpc.id == vpc else peering.vpc).owner_id
            for peering in near
            if peering.joins(vpc)
        ]

    def _group_of(self, owner: str, name: str) -> SecurityGroup | None:
        """Return a group of an account in this region; in another one nobody can be named."""
        network = self if owner == self.account_id else ec2_backends.get(owner, {}).get(self.region_name)
        return network and network.get_security_group_from_id(name)


def _all(group: SecurityGroup) -> list[SecurityGroupRule]:
    return [*group.ingress_rules, *group.egress_rules]


def _ports(permission: Mapping[str, Any]) -> dict[str, Any]:
    """Check protocol and ports, and return them as they are kept."""
    protocol = str(permission.get("IpProtocol", "")).lower()
    protocol = {"6": "tcp", "17": "udp", "1": "icmp", "58": "icmpv6", "all": "-1"}.get(protocol, protocol)
    first, last = permission.get("FromPort"), permission.get("ToPort")
    if not protocol:
        message = "Invalid value 'null' for protocol. VPC security group rules must specify protocols explicitly."
        raise refuse(INVALID_VALUE, message)
    if protocol in _WITH_PORTS:
        if first is None or last is None:
            message = "Invalid value for portRange. Must specify both from and to ports with TCP/UDP."
            raise refuse(INVALID_VALUE, message)
        first, last = int(first), int(last)
        if not 0 <= first <= last <= 65535:
            raise refuse(INVALID_VALUE, f"Invalid {protocol.upper()} port range: {first} to {last}")
    elif protocol in _WITH_TYPES:
        first, last = (-1 if port is None else int(port) for port in (first, last))
    elif protocol == "-1" or (protocol.isdigit() and int(protocol) <= 255):
        first = last = -1
    else:
        raise refuse(INVALID_VALUE, f"Invalid value '{permission['IpProtocol']}' for IP protocol. Unknown protocol.")
    return {"IpProtocol": protocol, "FromPort": first, "ToPort": last}


def _peers(permission: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield whom a permission is about, ranges as EC2 keeps them."""
    for member, kind in (("IpRanges", IPv4Network), ("Ipv6Ranges", IPv6Network)):
        for item in permission.get(member) or []:
            name = "CidrIp" if kind is IPv4Network else "CidrIpv6"
            try:
                yield {**item, name: str(kind(item[name], strict=False))}
            except (AddressValueError, NetmaskValueError, ValueError, KeyError):
                raise InvalidCIDRSubnetError(cidr=item.get(name)) from None
    for member in ("UserIdGroupPairs", "PrefixListIds"):
        yield from (dict(item) for item in permission.get(member) or [])


def _permission(rule: Mapping[str, Any]) -> dict[str, Any]:
    """Return a rule of ModifySecurityGroupRules as an IpPermission."""
    more = {"Description": rule["Description"]} if rule.get("Description") else {}
    peers = {
        "CidrIpv4": ("IpRanges", "CidrIp"),
        "CidrIpv6": ("Ipv6Ranges", "CidrIpv6"),
        "PrefixListId": ("PrefixListIds", "PrefixListId"),
        "ReferencedGroupId": ("UserIdGroupPairs", "GroupId"),
    }
    given = [name for name in peers if rule.get(name)]
    if len(given) != 1:
        code = "InvalidParameterCombination" if given else "MissingParameter"
        message = "The request must contain exactly one of: cidrIp, cidrIpv6, prefixListId, or referencedGroupId"
        raise refuse(code, message)
    outer, inner = peers[given[0]]
    ports = {name: rule[name] for name in ("IpProtocol", "FromPort", "ToPort") if rule.get(name) is not None}
    return {**ports, outer: [{inner: rule[given[0]], **more}]}


def _words(rule: Rule) -> str:
    protocol = "ALL" if rule.ip_protocol == "-1" else str(rule.ip_protocol).upper()
    ports = f", from port: {rule.from_port}, to port: {rule.to_port}" if rule.from_port is not None else ""
    return f'"peer: {rule.peer}, {protocol}{ports}, ALLOW"'


class SecurityGroupRequests(EC2Response):
    """The requests about security groups."""

    def authorize_security_group_ingress(self) -> ActionResult:
        """AuthorizeSecurityGroupIngress."""
        return self._authorize("ingress")

    def authorize_security_group_egress(self) -> ActionResult:
        """AuthorizeSecurityGroupEgress."""
        return self._authorize("egress")

    def revoke_security_group_ingress(self) -> ActionResult:
        """RevokeSecurityGroupIngress."""
        return self._revoke("ingress")

    def revoke_security_group_egress(self) -> ActionResult:
        """RevokeSecurityGroupEgress."""
        return self._revoke("egress")

    def describe_stale_security_groups(self) -> ActionResult:
        """DescribeStaleSecurityGroups."""
        vpc, groups = self._get_param("VpcId"), []
        for group, rules in self.ec2_backend.stale(vpc):
            about = {"GroupId": group.id, "GroupName": group.name, "Description": group.description, "VpcId": vpc}
            about["StaleIpPermissions"] = [_stale(rule) for rule in rules["ingress"]]
            about["StaleIpPermissionsEgress"] = [_stale(rule) for rule in rules["egress"]]
            groups.append(about)
        return ActionResult({"StaleSecurityGroupSet": groups})

    def _authorize(self, side: str) -> ActionResult:
        self.error_on_dryrun()
        tags = self._parse_tag_specification().get("security-group-rule", {})
        made = self.ec2_backend.authorize(self._name(), self._permissions(), side, tags)
        return ActionResult({"Return": True, "SecurityGroupRules": made})

    def _revoke(self, side: str) -> ActionResult:
        self.error_on_dryrun()
        ids = self._get_param("SecurityGroupRuleIds", [])
        self.ec2_backend.revoke(self._name(), self._permissions(), side, ids)
        return ActionResult({"Return": True})

    def _name(self) -> str:
        return self._get_param("GroupId") or self._get_param("GroupName") or ""

    def _permissions(self) -> list[dict[str, Any]]:
        if listed := self._get_param("IpPermissions", []):
            return listed
        if not (cidr := self._get_param("CidrIp")):
            return []
        ports = {name: self._get_param(name) for name in ("IpProtocol", "FromPort", "ToPort")}
        return [{**ports, "IpRanges": [{"CidrIp": cidr}]}]


def _stale(rule: Rule) -> dict[str, Any]:
    ports = {"FromPort": rule.from_port, "ToPort": rule.to_port} if rule.from_port is not None else {}
    return {"IpProtocol": rule.ip_protocol, **ports, "UserIdGroupPairs": [rule.source_group]}
