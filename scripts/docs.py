"""Builds the pages of docs/ into site/, strictly: a link that leads nowhere, or any warning, fails.

The page of settings is written first, as settings.py has them. Nothing is fetched, neither now nor when somebody reads.
"""

from __future__ import annotations

import argparse
import sys

from documentation import gathering, settings_page
from documentation.places import GATHERED, REPOSITORY, SITE
from extras import how_to_install


def main() -> None:
    argparse.ArgumentParser(prog="scripts/docs", description=__doc__).parse_args()
    if install := how_to_install("docs", "mkdocs", "material"):
        sys.exit(f"The extra docs is missing: {install}")
    from documentation import site

    settings_page.write()
    gathering.gather(GATHERED)
    try:
        site.build(GATHERED, SITE)
    except site.BuildError as error:
        sys.exit(f"scripts/docs: {error}")
    print(f"{(SITE / 'index.html').relative_to(REPOSITORY)} is the first of {len(list(SITE.glob('*.html')))} pages.")


if __name__ == "__main__":
    main()
