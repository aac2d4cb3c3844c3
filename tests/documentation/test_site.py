"""The site is built, strictly, of all pages; what is wrong with a link fails it, and a reader's browser fetches nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.documentation import gathering, site
from scripts.documentation.places import DOCS


def test_every_page_is_built_and_fetches_nothing(tmp_path: Path) -> None:
    pages, built = tmp_path / "pages", tmp_path / "site"
    gathering.gather(pages)
    site.build(pages, built)
    made = {page.stem for page in built.glob("*.html")}
    assert {"SECURITY", *(page.stem for page in DOCS.glob("*.md"))} <= made
    assert 'href="SECURITY.html"' in (built / "index.html").read_text("utf-8")


@pytest.mark.parametrize(
    "wrong", ["[x](nowhere.md)", "[x](editors.md#nowhere)", "<script src='https://a.b/c.js'></script>"]
)
def test_what_is_wrong_with_a_page_fails(wrong: str, tmp_path: Path) -> None:
    pages = tmp_path / "pages"
    gathering.gather(pages)
    with (pages / "tools.md").open("a", encoding="utf-8") as page:
        page.write(f"\n{wrong}\n")
    with pytest.raises(site.BuildError):
        site.build(pages, tmp_path / "site")
