"""Disruption budgets: how many pods may be evicted now.

Source: Kubernetes documentation, "Specifying a Disruption Budget for your Application".
"""

from __future__ import annotations

import math

from embedded_aws.kubernetes.controllers.desk import Desk, is_active, is_ready, seconds_since, with_condition
from embedded_aws.kubernetes.kinds import named
from embedded_aws.kubernetes.selectors import matches
from embedded_aws.kubernetes.store import Object

BUDGET, POD = named("PodDisruptionBudget"), named("Pod")
FORGET_SECONDS = 120  # after which an eviction that came to nothing is counted no more


def reconcile(desk: Desk) -> float | None:
    """Count the healthy pods of every budget."""
    for budget in desk.store.list(BUDGET):
        desk.set_status(budget, _status(desk, budget))
    return None


def _status(desk: Desk, budget: Object) -> Object:
    spec, before = budget["spec"], budget.get("status", {})
    pods = [
        pod
        for pod in desk.store.list(POD, budget["metadata"]["namespace"])
        if is_active(pod) and matches(spec.get("selector"), pod["metadata"].get("labels", {}))
    ]
    there = {pod["metadata"]["name"] for pod in pods}
    evicted = {
        name: when
        for name, when in before.get("disruptedPods", {}).items()
        if name in there and seconds_since(when, desk.now) < FORGET_SECONDS
    }
    healthy = sum(is_ready(pod) and pod["metadata"]["name"] not in evicted for pod in pods)
    if "maxUnavailable" in spec:
        wanted = max(0, len(pods) - _share(spec["maxUnavailable"], len(pods)))
    else:
        wanted = _share(spec.get("minAvailable", 1), len(pods))
    allowed = max(0, healthy - wanted) if pods else 0
    status: Object = {
        "observedGeneration": budget["metadata"]["generation"], "expectedPods": len(pods), "currentHealthy": healthy,
        "desiredHealthy": wanted, "disruptionsAllowed": allowed,
        "conditions": with_condition(
            before.get("conditions", []), "DisruptionAllowed", "True" if allowed else "False",
            "SufficientPods" if allowed else "InsufficientPods", "", now=desk.now,
        ),
    }  # fmt: skip
    return status | ({"disruptedPods": evicted} if evicted else {})


def _share(given: int | str, whole: int) -> int:
    return given if isinstance(given, int) else math.ceil(whole * int(given.rstrip("%")) / 100)
