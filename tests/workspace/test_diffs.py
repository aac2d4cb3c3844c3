"""File changes as the editor shows them, within a line's bounds."""

from __future__ import annotations

from pathlib import Path

from tests.support.desk import Desk


async def test_a_diff_of_large_files_fits_into_a_line_and_shows_what_changes(tmp_path: Path) -> None:
    lines = [f"line {number}" for number in range(50_000)]
    (tmp_path / "a").write_text("\n".join(lines))
    (tmp_path / "b").write_text("\x01" * 100_000 + "\nend\n")
    desk = Desk(tmp_path)
    assert "Success" in await desk.patch(
        "*** Update File: a", "-line 30000", "+changed", "*** Update File: b", "-end", "+END"
    )
    (shown,) = [update["content"] for update in desk.peer.updates if "content" in update]
    assert shown[0]["oldText"].splitlines()[3] == "line 30000"
    assert shown[0]["newText"].splitlines()[3] == "changed"
