"""Where the pages are."""

from __future__ import annotations

from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
DOCS = REPOSITORY / "docs"
SITE = REPOSITORY / "site"
GATHERED = REPOSITORY / "build" / "docs"
"""The builder's folder of pages, mkdocs.yml's `docs_dir`."""

TOP_PAGES = ("SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md")
"""Pages that people look for beside README.md, and that are pages of the site too."""


def pages() -> list[Path]:
    """Return every page that people read, README.md first."""
    top = [REPOSITORY / name for name in ("README.md", *TOP_PAGES)]
    return [page for page in (*top, *sorted(DOCS.glob("**/*.md"))) if page.exists()]
