"""The pages for the builder, in one folder: those of docs/, and those beside README.md.

Knows where pages are and how they link. Knows nothing about what they say.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from .places import DOCS, REPOSITORY, TOP_PAGES

_LINK = re.compile(r"\[([^\]\n]+)\]\(([^)#\s]+)(#[^)\s]+)?\)")


def gather(folder: Path) -> None:
    """Make the folder of pages anew, in which each link that works in the repository works too."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(DOCS, folder)
    for page in [*DOCS.glob("**/*.md"), *(REPOSITORY / name for name in TOP_PAGES)]:
        if page.exists():
            place = folder / _place(page)
            place.write_text(_linked(page, place.parent, folder), "utf-8")


def _linked(page: Path, place: Path, folder: Path) -> str:
    """Return a page with its links as they are from `place`, among the pages of `folder`.

    What is no page loses its link. A link that leads nowhere is left for the builder to complain about.
    """

    def adapted(link: re.Match[str]) -> str:
        words, target, anchor = link[1], link[2], link[3] or ""
        file = Path(os.path.normpath(page.parent / target))
        if "://" in target or not file.exists():
            return link[0]
        if not _is_among_pages(file):
            return words
        return f"[{words}]({os.path.relpath(folder / _place(file), place)}{anchor})"

    return _LINK.sub(adapted, page.read_text("utf-8"))


def _is_among_pages(file: Path) -> bool:
    return file.is_relative_to(DOCS) or file in {REPOSITORY / name for name in ("README.md", *TOP_PAGES)}


def _place(file: Path) -> Path:
    """Return where a page is among the gathered ones; what README says, the first page says too."""
    if file.is_relative_to(DOCS):
        return file.relative_to(DOCS)
    return Path("index.md" if file.name == "README.md" else file.name)
