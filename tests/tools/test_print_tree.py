"""The tool that lists folders, as the model sees it."""

from __future__ import annotations

from pathlib import Path

from tests.support.desk import Desk


async def test_a_folder_is_listed_without_what_gitignore_names(tmp_path: Path) -> None:
    for name in ("src/app.py", "src/deep/x.py", "build/out.o", "a.log", "keep.log", ".hidden", ".git/config"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "nothing").mkdir()
    (tmp_path / ".gitignore").write_text("build/\n*.log\n!keep.log\n")
    (tmp_path / "src/.gitignore").write_text("deep/x.py\n")
    desk = Desk(tmp_path)
    assert await desk.call("list_dir", path=".") == ".gitignore\n.hidden\nkeep.log\nnothing/\nsrc/"
    assert await desk.call("list_dir", path="src", depth=2) == ".gitignore\napp.py\ndeep/"
    assert await desk.call("list_dir", path="build") == "out.o"
    assert await desk.call("list_dir", path="nothing") == "(empty)"
    assert await desk.call("list_dir", path="keep.log") == "Error: not a directory: keep.log."


async def test_a_large_folder_is_listed_within_bounds(tmp_path: Path) -> None:
    for number in range(600):
        (tmp_path / f"{number:03}").touch()
    lines = (await Desk(tmp_path).call("list_dir", path=".")).splitlines()
    assert len(lines) == 501
    assert lines[-1] == "(more entries left out; list one of the folders)"
