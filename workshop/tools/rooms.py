"""Import graph of the packages, drawn: which room imports which, as a page with a Mermaid diagram (``make rooms``)."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

from workshop.files import REPOSITORY, write_text

PACKAGES = ("client_code", "data_prep", "emulator/embedded_aws", "workshop")
_NAMES = {Path(package).name: package for package in PACKAGES}  # as they are imported
NOTEBOOKS = "notebooks"
PAGE = REPOSITORY / "docs" / "rooms.md"
Graph = Mapping[str, set[str]]

HEAD = """# The rooms of the house

Written from the imports by `make rooms`; a test compares. An arrow says "imports". One that follows from others is left
out of the drawing, not of the table; `tests/repo/test_rooms.py` keeps the arrows from running back up.

`workshop` knows the embedded AWS only as an address and a file of profiles, so no arrow leads there.
"""


def page(root: Path = REPOSITORY) -> str:
    """Return ``docs/rooms.md``: the drawing, and a table with each room's errand."""
    graph = imports(root)
    errands = {room: errand(root, room) for room in graph}
    lines = [
        f"| `{room}` | {errands[room]} | {', '.join(sorted(graph[room])) or 'nothing of ours'} |" for room in graph
    ]
    table = "\n".join(["| room | for what | imports |", "|---|---|---|", *lines])
    return f"{HEAD}\n```mermaid\n{drawing(reduced(graph))}\n```\n\n{table}\n"


def imports(root: Path = REPOSITORY) -> dict[str, set[str]]:
    """Return which rooms each room imports: a folder of a package is a room, and so is what lies beside the folders."""
    graph: dict[str, set[str]] = {NOTEBOOKS: set()}
    for source in sorted((root / NOTEBOOKS / "source").rglob("*.py")):
        graph[NOTEBOOKS] |= {_room(root, name) for name in _imported(source, root)}
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            room = _room(root, ".".join(path.relative_to((root / package).parent).with_suffix("").parts))
            others = {_room(root, name) for name in _imported(path, root)}
            graph.setdefault(room, set()).update(others - {room})
    return graph


def reduced(graph: Graph) -> dict[str, set[str]]:
    """Return the graph without the arrows that follow from others; those within a circle all stay.

    >>> {room: sorted(others) for room, others in reduced({"a": {"b", "c"}, "b": {"c"}, "c": set()}).items()}
    {'a': ['b'], 'b': ['c'], 'c': []}
    """
    below = {room: _below(graph, room) for room in graph}
    return {
        room: {
            other
            for other in others
            if room in below[other]
            or not any(other in below[way] and way not in below[other] for way in others - {other})
        }
        for room, others in graph.items()
    }


def drawing(graph: Graph) -> str:
    """Return a Mermaid flowchart, packages as boxes around their rooms."""
    lines = ["flowchart TD"]
    for package in dict.fromkeys(room.partition(".")[0] for room in graph):
        rooms = [room for room in graph if room.partition(".")[0] == package]
        if len(rooms) == 1:
            lines.append(f"  {package}")
        else:
            inner = [f'    {_id(room)}["{room.partition(".")[2] or "beside the rooms"}"]' for room in rooms]
            lines += [f"  subgraph {package}_[{package}]", *inner, "  end"]
    lines += [f"  {_id(room)} --> {_id(other)}" for room, others in graph.items() for other in sorted(others)]
    return "\n".join(lines)


def errand(root: Path, room: str) -> str:
    """Return what a room says of itself: the first line of its ``__init__``."""
    if room == NOTEBOOKS:
        return "The lessons."
    package, *folders = room.split(".")
    path = root.joinpath(_NAMES[package], *folders, "__init__.py")
    text = ast.get_docstring(ast.parse(path.read_text())) if path.exists() else None
    return (text or "").partition("\n")[0].replace("``", "`")


def main() -> int:
    """Write ``docs/rooms.md``."""
    write_text(PAGE, page())
    print(PAGE.relative_to(REPOSITORY))
    return 0


def _imported(path: Path, root: Path) -> Iterator[str]:
    tree = ast.parse(path.read_text())
    guarded = [
        node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
    ]
    for_types = {id(inner) for node in guarded for inner in ast.walk(node)}
    for node in ast.walk(tree):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (name for name in names if name.partition(".")[0] in _NAMES)


def _room(root: Path, module: str) -> str:
    package, _, rest = module.partition(".")
    folder = rest.partition(".")[0]
    return f"{package}.{folder}" if folder and (root / _NAMES[package] / folder).is_dir() else package


def _below(graph: Graph, room: str) -> set[str]:
    reached: set[str] = set()
    front = list(graph[room])
    while front:
        if (other := front.pop()) not in reached:
            reached.add(other)
            front += graph.get(other, ())
    return reached


def _id(room: str) -> str:
    return room.replace(".", "_")
