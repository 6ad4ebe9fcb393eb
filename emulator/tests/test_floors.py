"""Import graph of the emulator: services stand on engines, and no engine imports a service."""

import ast
from pathlib import Path

import pytest

import embedded_aws

ROOT = Path(embedded_aws.__file__).parent
# From the ground up: a room may import those before it. Each service is a room, and so is what lies beside the folders.
FLOORS = (
    ("accounts", "answers", "bodies", "copies", "models", "names", "service", "settings", "validation", "PARENT"),
    ("policies",),
    ("gate",),
    ("network", "stacks"),
    ("jobs", "control"),
    ("kubernetes",),
    ("services",),
    ("application",),
    ("server", "__main__", "testing"),
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
# A service may stand on another: objects are encrypted by KMS, jobs, notebooks and nodes are plugged into EC2's
# networks, and EKS pulls its pods' images from ECR and gives pods what they ask EKS Auth with.
BESIDE = {"eks": {"ec2", "ecr", "eksauth"}, "eksauth": {"eks"}, "s3": {"kms"}, "sagemaker": {"ec2", "servicequotas"}}
MODULES = [path for path in ROOT.rglob("*.py") if "jobsite" not in path.parts and path.parent != ROOT / "services"]


def imported(path):
    """Yield the parts of every module of ours that a module imports, but for what types are named by."""
    tree = ast.parse(path.read_text())
    guards = [node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)]
    for_types = {id(inner) for node in guards for inner in ast.walk(node)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or not node.module or id(node) in for_types:
            continue
        if node.module.partition(".")[0] == "embedded_aws":
            yield from (f"{node.module}.{alias.name}".split(".")[1:] for alias in node.names)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_engine_imports_a_service_and_no_room_one_above(path):
    room, *inner = path.relative_to(ROOT).with_suffix("").parts
    if room == "__init__":
        return
    for other, *rest in imported(path):
        assert FLOOR[other] <= FLOOR[room], (other, rest)
        if room == other == "services":
            assert rest[0] in {inner[0], *BESIDE.get(inner[0], ())}, rest


def test_the_graph_is_seen():
    """By hand: the gate reads the registry of services, EC2's record its own modules."""
    assert ["service"] in list(imported(ROOT / "gate" / "asks.py"))
    assert ["services", "ec2", "stack_network"] in list(imported(ROOT / "services" / "ec2" / "record.py"))
