"""Markdown at a terminal, of which nothing is lost however narrow that is.

Knows how rich shows it. Knows nothing about who has written it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import markdown
from rich.table import Table

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult


class _WholeTable(markdown.TableElement):
    """A table in which a word that is wider than its column is broken, in place of being cut."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for part in super().__rich_console__(console, options):
            if isinstance(part, Table):
                for column in part.columns:
                    column.overflow = "fold"
            yield part


class Markdown(markdown.Markdown):
    elements = {**markdown.Markdown.elements, "table_open": _WholeTable}  # noqa: RUF012 (as rich has it)
