"""Build of the book (``make book``): notebooks, pages and reference as one site, with a search, that fetches nothing.

Sphinx reads a copy of this repository, in which the reference's pages are made first: one for each package.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGES = ("workshop", "data_prep", "client_code")
MINE = (
    ".git",
    ".venv*",
    ".workshop*",
    ".embedded-aws",
    ".*_cache",
    ".ipynb_checkpoints",
    "build",
    "*.egg-info",
    "__pycache__",
)
LEFT_OUT = shutil.ignore_patterns(*MINE, "node_modules")
READ = ("docs", "notebooks", "cloudformation", "emulator", "kubernetes")
HOME = '<!doctype html><meta http-equiv="refresh" content="0; url=docs/index.html"><a href="docs/index.html">Book</a>\n'


def copy(to: Path) -> None:
    """Copy what Sphinx reads, and what its pages link."""
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(REPOSITORY, to, ignore=LEFT_OUT, symlinks=True)
    for page in to.rglob("*.md"):
        if page.parent != to and page.relative_to(to).parts[0] not in READ:
            page.unlink()


def write_reference(folder: Path) -> list[str]:
    """Write a page for each package, with what its modules say of themselves; return their names."""
    folder.mkdir()
    names = []
    for root in PACKAGES:
        for init in sorted((REPOSITORY / root).rglob("__init__.py")):
            modules = sorted(path for path in init.parent.glob("*.py") if not path.stem.startswith("__"))
            package = ".".join(init.parent.relative_to(REPOSITORY).parts)
            if modules:
                (folder / f"{package}.rst").write_text(_page(package, [path.stem for path in modules]))
                names.append(package)
    listed = "\n".join(f"   {name}" for name in names)
    title = "Reference\n=========\n\nWhat modules, classes and functions say of themselves, package by package.\n"
    (folder / "index.rst").write_text(f"{title}\n.. toctree::\n   :maxdepth: 1\n\n{listed}\n")
    return names


def _page(package: str, modules: list[str]) -> str:
    lines = [package, "=" * len(package), "", f".. automodule:: {package}", ""]
    for module in modules:
        name = f"{package}.{module}"
        lines += [module, "-" * len(module), "", f".. automodule:: {name}", "   :members:", "   :show-inheritance:"]
        lines += ["   :ignore-module-all:", ""]
    return "\n".join(lines)


def fetched(site: Path) -> list[str]:
    """Return what pages, styles and scripts would load from elsewhere when somebody opens them."""
    pattern = re.compile(
        r"""<(?:script|img|iframe|source|video|audio)\b[^>]*\bsrc\s*=\s*["']((?:https?:)?//[^"']+)"""
        r"""|<link\b(?![^>]*rel=["'](?:canonical|author|license))[^>]*\bhref\s*=\s*["']((?:https?:)?//[^"']+)"""
        r"""|url\(\s*["']?((?:https?:)?//[^"')]+)|@import\s+["']((?:https?:)?//[^"']+)"""
    )
    found = set()
    for path in (*site.rglob("*.html"), *site.rglob("*.css")):
        found |= {f"{path.relative_to(site)}: {''.join(hit)}" for hit in pattern.findall(path.read_text())}
    return sorted(found)


def main(out: Path) -> int:
    """Build into a folder; return the exit status: not 0 if Sphinx has a warning, or a page would fetch something."""
    source, site = out / "source", out / "site"
    copy(source)
    write_reference(source / "docs" / "reference")
    shutil.rmtree(site, ignore_errors=True)
    patterns = [f"{folder}/**" for folder in READ] + ["*.md"]
    settings = [f"include_patterns={','.join(patterns)}", "exclude_patterns=notebooks/source/**"]
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-q",
        "-W",
        "--keep-going",
        "-j",
        "2",
        "-c",
        str(source / "docs" / "book"),
    ]
    defined = [each for setting in settings for each in ("-D", setting)]
    built = subprocess.run(
        [*command, *defined, "-b", "html", "-d", str(out / "cache"), str(source), str(site)], check=False
    )
    if built.returncode:
        return built.returncode
    (site / "index.html").write_text(HOME)
    if elsewhere := fetched(site):
        print("the book would fetch from elsewhere:", *elsewhere, sep="\n  ")
        return 1
    print(f"open {os.path.relpath(site / 'index.html')}")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))
