"""The tool that searches files, as the model sees it."""

from __future__ import annotations

from pathlib import Path

from gptoss_acp.text import LONGEST_RESULT
from tests.support.desk import Desk


async def test_search_finds_lines_as_the_model_was_trained_to_read_them(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src/a.py").write_text("x = 1\ndef Find():\n    pass\n")
    (tmp_path / "b.txt").write_text("def other\n")
    (tmp_path / ".gitignore").write_text("b.txt\n")
    desk = Desk(tmp_path)
    assert await desk.call("search", pattern="def ") == "src/a.py:2: def Find():"
    assert desk.peer.updates[-2]["locations"] == [{"path": str(tmp_path / "src/a.py"), "line": 2}]
    assert await desk.call("search", pattern="find") == "No matches."
    assert await desk.call("search", pattern="find", ignore_case=True, path="src") == "src/a.py:2: def Find():"
    assert await desk.call("search", pattern="def", path="b.txt") == "b.txt:1: def other"
    assert await desk.call("search", pattern="def", glob="*.txt", path="src") == "No matches."
    assert await desk.call("search", pattern="-x") == "No matches."
    assert (await desk.call("search", pattern="(")).startswith("Error: .: rg: ")
    assert (await desk.call("search", pattern="x", path="gone")).startswith("Error: no such file")


async def test_search_stays_within_bounds(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(("y" * 5000 + "\n") * 1000)
    result = await Desk(tmp_path).call("search", pattern="y+")
    assert len(result) <= LONGEST_RESULT + 100
