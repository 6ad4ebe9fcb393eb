"""Who may do what in a cluster: roles, their bindings, and rules that the cloud grants beside them.

Source: Kubernetes documentation, "Using RBAC Authorization", privilege escalation prevention included.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from embedded_aws.kubernetes.kinds import named
from embedded_aws.kubernetes.refusals import Refusal
from embedded_aws.kubernetes.store import Store

Object = dict[str, Any]
GROUP = "rbac.authorization.k8s.io"
MASTERS = "system:masters"
_ACCOUNT = "system:serviceaccount:"


@dataclass(frozen=True)
class Rule:
    """Verbs on resources, or on paths that are no resources.

    Parameters
    ----------
    verbs, groups, resources, names, paths : tuple of str
        As in a role; ``*`` is all. No names: any name.
    namespaces : tuple of str, optional
        Where a rule of the cloud holds; None: everywhere, resources without a namespace included.
    """

    verbs: tuple[str, ...]
    groups: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    namespaces: tuple[str, ...] | None = None


@dataclass(frozen=True)
class User:
    """Who asks.

    Parameters
    ----------
    name : str
        ``system:serviceaccount:default:agent`` is a service account.
    groups : tuple of str
    rules : tuple of Rule
        What this user may beside what the cluster's own bindings say.
    uid : str
    """

    name: str
    groups: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = field(default=(), compare=False)
    uid: str = ""

    @property
    def all_groups(self) -> frozenset[str]:
        """The groups, with those that everybody or a service account is in."""
        groups = {*self.groups}
        if self.name == "system:anonymous":
            return frozenset(groups | {"system:unauthenticated"})
        if self.name.startswith(_ACCOUNT):
            space = self.name.removeprefix(_ACCOUNT).partition(":")[0]
            groups |= {"system:serviceaccounts", f"system:serviceaccounts:{space}"}
        return frozenset(groups | {"system:authenticated"})


ANONYMOUS = User("system:anonymous")


@dataclass(frozen=True)
class Attempt:
    """What is asked for: a verb on a resource, ``pods`` or ``pods/log``, or on a path."""

    verb: str
    group: str = ""
    resource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""


def rules_of(role: Object) -> tuple[Rule, ...]:
    """Read the rules of a Role or ClusterRole."""
    return tuple(
        Rule(
            tuple(rule.get("verbs") or ()),
            tuple(rule.get("apiGroups") or ()),
            tuple(rule.get("resources") or ()),
            tuple(rule.get("resourceNames") or ()),
            tuple(rule.get("nonResourceURLs") or ()),
        )
        for rule in role.get("rules") or ()
    )


def covers(rule: Rule, attempt: Attempt) -> bool:
    """Tell whether a rule allows what is asked for, wherever it is bound.

    >>> covers(Rule(("get",), ("",), ("pods",)), Attempt("get", resource="pods/log"))
    False
    """
    if not {"*", attempt.verb} & {*rule.verbs}:
        return False
    if attempt.path:
        return any(path == attempt.path or _below(path, attempt.path) for path in rule.paths)
    if rule.namespaces is not None and not {"*", attempt.namespace} & {*rule.namespaces}:
        return False
    sub = attempt.resource.partition("/")[2]
    resources = {"*", attempt.resource} | ({f"*/{sub}"} if sub else set())
    if not ({"*", attempt.group} & {*rule.groups} and resources & {*rule.resources}):
        return False
    return not rule.names or attempt.name in rule.names


def _below(pattern: str, path: str) -> bool:
    return pattern.endswith("*") and path.startswith(pattern[:-1])


class Authorizer:
    """Decides over requests by what is in a store.

    Parameters
    ----------
    store : Store
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def rules(self, user: User, namespace: str) -> Iterator[Rule]:
        """Yield the rules that a user has in a namespace, or, without one, everywhere."""
        if MASTERS in user.groups:
            yield Rule(("*",), ("*",), ("*",))
            yield Rule(("*",), paths=("*",))
        yield from user.rules
        for binding in self._store.list(named("ClusterRoleBinding")):
            if _binds(binding, user):
                yield from self._role(binding, "")
        if namespace:
            for binding in self._store.list(named("RoleBinding"), namespace):
                if _binds(binding, user):
                    yield from self._role(binding, namespace)

    def allows(self, user: User, attempt: Attempt) -> bool:
        """Tell whether a user may do something."""
        return any(covers(rule, attempt) for rule in self.rules(user, attempt.namespace))

    def require(self, user: User, attempt: Attempt) -> None:
        """Refuse what a user may not do.

        Raises
        ------
        Refusal
            403, with who wanted what where.
        """
        if not self.allows(user, attempt):
            raise denied(user, attempt)

    def may_grant(self, user: User, value: Object) -> None:
        """Refuse that a user writes a role, or binds to one, that is more than he has.

        Raises
        ------
        Refusal
            403, with the rules that he lacks.
        """
        kind, metadata = value["kind"], value["metadata"]
        space, name = metadata.get("namespace", ""), metadata.get("name", "")
        plural = named(kind).plural
        if kind in ("Role", "ClusterRole"):
            wanted, verb, resource, of = rules_of(value), "escalate", plural, name
        else:
            ref = value["roleRef"]
            wanted = tuple(self._role(value, space))
            verb, resource, of = "bind", named(ref["kind"]).plural, ref["name"]
        if self.allows(user, Attempt(verb, GROUP, resource, space, of)):
            return
        has = list(self.rules(user, space))
        lacking = [rule for rule in wanted if not _all_covered(has, rule, space)]
        if lacking:
            groups = ",".join(f'"{group}"' for group in sorted(user.all_groups))
            listed = "\n".join(_shown(rule) for rule in lacking)
            message = (
                f'{plural}.{GROUP} "{name}" is forbidden: user "{user.name}" (groups=[{groups}]) is attempting to '
                f"grant RBAC permissions not currently held:\n{listed}"
            )
            raise Refusal(403, message, details={"name": name, "group": GROUP, "kind": plural})

    def _role(self, binding: Object, namespace: str) -> tuple[Rule, ...]:
        ref = binding["roleRef"]
        space = namespace if ref["kind"] == "Role" else ""
        role = self._store.find(named(ref["kind"]), space, ref["name"])
        return rules_of(role) if role else ()


def denied(user: User, attempt: Attempt) -> Refusal:
    """Return the refusal in the words of the API server."""
    if attempt.path:
        message = f'forbidden: User "{user.name}" cannot {attempt.verb} path "{attempt.path}"'
        return Refusal(403, message, details={})
    plural = attempt.resource.partition("/")[0]
    qualified = f"{plural}.{attempt.group}" if attempt.group else plural
    which = f'{qualified} "{attempt.name}"' if attempt.name else qualified
    where = f'in the namespace "{attempt.namespace}"' if attempt.namespace else "at the cluster scope"
    message = (
        f'{which} is forbidden: User "{user.name}" cannot {attempt.verb} resource "{attempt.resource}" '
        f'in API group "{attempt.group}" {where}'
    )
    details = {"name": attempt.name, "group": attempt.group, "kind": plural}
    return Refusal(403, message, details={name: value for name, value in details.items() if value})


def _binds(binding: Object, user: User) -> bool:
    for subject in binding.get("subjects") or ():
        kind, name = subject.get("kind"), subject.get("name")
        if kind == "User" and name == user.name:
            return True
        if kind == "Group" and (name in user.all_groups):
            return True
        space = subject.get("namespace") or binding["metadata"].get("namespace", "")
        if kind == "ServiceAccount" and user.name == f"{_ACCOUNT}{space}:{name}":
            return True
    return False


def _single(rule: Rule, namespace: str) -> Iterator[Attempt]:
    for verb in rule.verbs:
        for path in rule.paths:
            yield Attempt(verb, path=path)
        for group in rule.groups:
            for resource in rule.resources:
                for name in rule.names or ("",):
                    yield Attempt(verb, group, resource, namespace, name)


def _all_covered(has: Sequence[Rule], wanted: Rule, namespace: str) -> bool:
    return all(any(covers(own, one) for own in has) for one in _single(wanted, namespace))


def _shown(rule: Rule) -> str:
    def listed(values: Sequence[str]) -> str:
        return "[" + ", ".join(f'"{value}"' for value in values) + "]"

    parts = {
        "APIGroups": rule.groups,
        "Resources": rule.resources,
        "ResourceNames": rule.names,
        "NonResourceURLs": rule.paths,
        "Verbs": rule.verbs,
    }
    return "{" + ", ".join(f"{name}:{listed(values)}" for name, values in parts.items() if values) + "}"
