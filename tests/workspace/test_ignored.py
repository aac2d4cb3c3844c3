"""What .gitignore hides in lists of folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.desk import Desk


@pytest.mark.parametrize("line", ["bin\\", "!", "[z-a]"])
async def test_a_line_of_gitignore_that_git_passes_over_hides_nothing_and_spoils_nothing(
    line: str, tmp_path: Path
) -> None:
    for name in ("a.log", "b.txt"):
        (tmp_path / name).touch()
    (tmp_path / ".gitignore").write_text(f"*.log\n{line}\n")
    assert await Desk(tmp_path).call("list_dir", path=".") == ".gitignore\nb.txt"
