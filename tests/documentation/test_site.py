"""The site is built, strictly, of all pages; what is wrong with a link fails it, and a reader's browser fetches nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.documentation import gathering, site
from tests.support.places import REPOSITORY


def test_every_page_is_built_and_fetches_nothing(tmp_path: Path) -> None:
    pages, built = tmp_path / "pages", tmp_path / "site"
    gathering.gather(pages)
    site.build(pages, built)
    made = {page.with_suffix(".html").name for page in pages.glob("*.md")}
    assert {page.stem for page in (REPOSITORY / "docs").glob("*.md")} < {Path(name).stem for name in made}
    assert made <= {page.name for page in built.glob("*.html")}
    assert "gptoss-acp editor" in (built / "index.html").read_text("utf-8")


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
