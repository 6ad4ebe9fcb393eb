"""Import graph of the packages: rooms import only rooms below them, and modules of one room make no circle."""

import ast
from graphlib import CycleError, TopologicalSorter

import pytest
from test_repository_rules import ROOT

# From the ground up: a room may import those before it. Modules beside the rooms (errors, files, state) are the ground.
ROOMS = (
    "packing",
    "federation",
    "aws",
    "clusters",
    "science",
    "tracking",
    "serving",
    "console",
    "owners",
    "lessons",
    "tools",
    "first_run",
    "__main__",
)
GROUND = {"embedded", "errors", "files", "problems", "state", "__init__"}


def imports(path):
    """Modules of this repository that a file imports, as dotted names."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                inner = ROOT.joinpath(*node.module.split("."), alias.name)
                is_module = inner.is_dir() or inner.with_suffix(".py").is_file()
                yield f"{node.module}.{alias.name}" if is_module else node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def modules(package):
    """Path of every module of a package, by dotted name; of a folder its ``__init__``."""
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        yield ".".join(part for part in parts if part != "__init__"), path


GRAPH = {name: set(imports(path)) for name, path in modules("workshop")}


def room(module):
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def test_every_room_has_its_floor():
    assert {room(module) for module in GRAPH} == set(ROOMS) | GROUND


@pytest.mark.parametrize("module", GRAPH)
def test_no_room_imports_from_above(module):
    here = room(module)
    below = GROUND if here in GROUND else GROUND | set(ROOMS[: ROOMS.index(here) + 1])
    above = {name for name in GRAPH[module] if name.startswith("workshop.") and room(name) not in below}
    assert not above


def test_no_circle_of_modules():
    try:
        TopologicalSorter({name: {other for other in GRAPH[name] if other in GRAPH} for name in GRAPH}).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_flower_s_inside_is_used_in_one_module():
    """What Flower may remove without a word is carried from there: decision 0021."""
    inside = {name for name, uses in GRAPH.items() if any(use.startswith("flwr.server.superlink") for use in uses)}
    assert inside == {"workshop.federation.transport"}
