"""Actions and condition keys in the templates' policies are those that AWS publishes."""

from pathlib import Path

import pytest
import yaml

from embedded_aws.policies import keys, published
from embedded_aws.policies.conditions import matches

TEMPLATES = sorted((Path(__file__).resolve().parents[2] / "cloudformation").glob("*.yaml"))


class Loose(yaml.SafeLoader):
    """Reads templates; of a function only what is in it."""


def _any_tag(loader, _, node):
    if isinstance(node, yaml.ScalarNode):
        return loader.construct_scalar(node)
    return loader.construct_sequence(node) if isinstance(node, yaml.SequenceNode) else loader.construct_mapping(node)


Loose.add_multi_constructor("!", _any_tag)


def statements(value):
    if isinstance(value, dict):
        if "Effect" in value and ("Action" in value or "NotAction" in value):
            yield value
        for item in value.values():
            yield from statements(item)
    elif isinstance(value, list):
        for item in value:
            yield from statements(item)


def listed(value):
    return value if isinstance(value, list) else [value]


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.stem)
def test_the_policies_of_templates_name_actions_and_keys_that_there_are(template):
    template_ = yaml.load(template.read_text(), Loose)  # noqa: S506
    for statement in statements(template_):
        patterns = [one for one in listed(statement.get("Action", statement.get("NotAction"))) if one != "*"]
        rows = []
        for pattern in patterns:
            service, _, name = pattern.partition(":")
            if service not in published.services():
                continue
            fitting = [row for action, row in published.actions(service).items() if matches(name, action)]
            assert fitting, pattern
            rows += [(service, row) for row in fitting]
        for key in (key for part in (statement.get("Condition") or {}).values() for key in part):
            if keys.is_global(key) or not rows:
                continue
            names = {name for _, row in rows for found in row.values() for name in found}
            names |= {n for service, row in rows for kind in row if kind for n in published.kinds(service)[kind][1]}
            assert any(key.lower() == name or key.lower().startswith(f"{name}") for name in names), key
