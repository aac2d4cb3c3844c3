"""Every link of every page leads somewhere in the repository, or looks like an address."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.pages import PAGES, anchors, links
from tests.support.places import REPOSITORY

_ADDRESS = re.compile(r"https://[a-z0-9-]+(\.[a-z0-9-]+)+(/[\w.~%/#?=&+:@-]*)?(?<![.,;:])")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        if "://" in link:
            assert _ADDRESS.fullmatch(link), link
            continue
        target, _, anchor = link.partition("#")
        file = (page.parent / target).resolve() if target else page
        assert file.is_relative_to(REPOSITORY), link
        assert file.exists(), link
        assert not anchor or anchor in anchors(file), link


def test_every_page_is_linked_from_another() -> None:
    linked = {(page.parent / link.partition("#")[0]).resolve() for page in PAGES for link in links(page)}
    assert [page.name for page in PAGES if page not in linked and page.name not in {"README.md", "CHANGELOG.md"}] == []
