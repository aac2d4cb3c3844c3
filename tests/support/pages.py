"""The pages that people read, taken apart: their code, their links, their headings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

from scripts.documentation.places import REPOSITORY, pages

PAGES = pages()


@dataclass(frozen=True)
class Code:
    """A piece of code on a page: a fence with its language, or what stands between backticks, with none."""

    page: Path
    line: int
    text: str
    language: str | None = None

    def __str__(self) -> str:
        return f"{self.page.relative_to(REPOSITORY)}:{self.line}: {self.text}"


def fences(*languages: str) -> list[Code]:
    """Return every fence in one of these languages, of all pages."""
    return [
        Code(page, _line(token), token.content, token.info.strip())
        for page in PAGES
        for token in _parsed(page)
        if token.type == "fence" and token.info.strip() in languages
    ]


def inline() -> list[Code]:
    """Return all that stands between backticks, of all pages."""
    return [
        Code(page, _line(token), child.content)
        for page in PAGES
        for token in _parsed(page)
        for child in token.children or ()
        if child.type == "code_inline"
    ]


def links(page: Path) -> Iterator[str]:
    """Yield where the links and images of a page lead."""
    for token in _parsed(page):
        for child in token.children or ():
            if target := child.attrGet("href") or child.attrGet("src"):
                yield str(target)


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as both GitHub and the site name them."""
    tokens = _parsed(page)
    headings = [after.content for token, after in pairwise(tokens) if token.type == "heading_open"]
    return {re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", heading.lower())).strip("-") for heading in headings}


@cache
def _parsed(page: Path) -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse(page.read_text("utf-8"))


def _line(token: Token) -> int:
    return token.map[0] + 1 if token.map else 0
