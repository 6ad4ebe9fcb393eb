"""Does `make book` make a site in which every link leads somewhere, that can be searched, and fetches nothing?"""

import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Build it; Sphinx's warnings end the build, a link inside that leads nowhere among them."""
    out = tmp_path_factory.mktemp("book")
    build = [sys.executable, ROOT / "docs" / "book" / "build.py", out]
    made = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, timeout=580, check=False)
    assert made.returncode == 0, made.stdout[-3000:] + made.stderr[-3000:]
    return out / "site"


def test_every_page_and_notebook_is_in_it_and_in_its_contents(site):
    contents = (site / "docs" / "index.html").read_text()
    pages = [*(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "decisions").glob("*.md")]
    pages += (ROOT / "notebooks").glob("**/[0-9]*.ipynb")
    assert len(pages) > 50
    for page in pages:
        made = page.relative_to(ROOT).with_suffix(".html")
        assert (site / made).exists(), made
        listed = made.name if made.parent == Path("docs") else made.as_posix().removeprefix("docs/")
        assert listed in contents, f"{made} is in no list of contents"


def test_links_and_anchors_lead_somewhere(site):
    texts = {page: page.read_text() for page in site.rglob("*.html") if "_modules" not in page.parts}
    wrong = []
    for page, text in texts.items():
        for link in re.findall(r'<a\b[^>]*\bhref="([^"]+)"', text):
            path, _, anchor = link.partition("#")
            if re.match(r"\w+:|//", link):
                continue
            target = (page.parent / unquote(path)).resolve() if path else page
            if not target.exists() or (anchor and target in texts and f'id="{unquote(anchor)}"' not in texts[target]):
                wrong.append(f"{page.relative_to(site)}: {link}")
    assert not wrong


def test_it_can_be_searched_by_a_script_of_its_own(site):
    index = (site / "searchindex.js").read_text()
    for word in ("quorum", "smote", "passrol"):  # stems
        assert f'"{word}"' in index or f"{word}:" in index, word
    assert re.search(r'<script[^>]+src="[^":]*searchtools\.js', (site / "search.html").read_text())


def test_the_reference_holds_what_docstrings_say(site):
    page = (site / "docs" / "reference" / "workshop.federation.html").read_text()
    assert 'id="workshop.federation.server.run"' in page
    for package in ("client_code", "data_prep.cms", "workshop.lessons.exercises"):
        assert (site / "docs" / "reference" / f"{package}.html").exists()


def test_what_would_be_fetched_is_seen(tmp_path):
    sys.path.insert(0, str(ROOT / "docs" / "book"))
    try:
        import build
    finally:
        sys.path.pop(0)
    fine = '<a href="https://example.org">x</a><img src="a.png"><script>let a = 1</script>'
    (tmp_path / "fine.html").write_text(fine)
    assert build.fetched(tmp_path) == []
    (tmp_path / "one.html").write_text('<script defer src="https://cdn.example.org/a.js"></script>')
    (tmp_path / "two.html").write_text('<link rel="stylesheet" href="//fonts.example.org/f.css">')
    (tmp_path / "three.css").write_text("@font-face { src: url(https://fonts.example.org/f.woff2) }")
    assert len(build.fetched(tmp_path)) == 3
