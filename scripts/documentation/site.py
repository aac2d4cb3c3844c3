"""The site, made of gathered pages by mkdocs as mkdocs.yml says.

Knows the builder. Knows nothing about what pages say.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path

from mkdocs.commands import build as builder
from mkdocs.config import load_config
from mkdocs.exceptions import MkDocsException

from .places import REPOSITORY

CONFIGURATION = REPOSITORY / "mkdocs.yml"

_FETCHED = re.compile(
    r"<(?:script|img|iframe|source|link)\b(?![^>]*\bcanonical\b)[^>]*\b(?:src|href)=[\"']?(?:https?:)?//"
)


class BuildError(Exception):
    """The pages can't be built as they should be; what is wrong with each was logged."""


def build(pages: Path, site: Path) -> None:
    """Build the folder `site` of the folder `pages`.

    Raises:
        BuildError: there was a warning, such as of a link that leads nowhere, or a page would fetch something.
    """
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    try:
        configuration = load_config(str(CONFIGURATION), docs_dir=str(pages), site_dir=str(site))
        configuration.plugins.on_startup(command="build", dirty=False)
        builder.build(configuration)
    except MkDocsException as error:
        raise BuildError(str(error)) from error
    if fetching := [page.name for page in site.glob("**/*.html") if _FETCHED.search(page.read_text("utf-8"))]:
        raise BuildError(f"a reader's browser would fetch something for {', '.join(fetching)}")
