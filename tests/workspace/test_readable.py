"""What the model was sent to may be read without a question, and nothing beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.desk import Desk
from tests.support.project import write


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_DATA_HOME", str(home / "data"))
    write(home / ".ssh/id", "SECRET")
    write(home / "data/gptoss-acp/sessions", "SECRET")
    write(home / "skills/s/SKILL.md", "Do it.")
    write(home / "skills/s/references/more.md", "More.")
    return home


@pytest.fixture
def desk(home: Path, tmp_path: Path) -> Desk:
    (tmp_path / "work").mkdir()
    desk = Desk(tmp_path / "work", "ask")
    desk.workspace.readable.add(home / "skills/s")
    return desk


async def test_all_of_a_told_folder_is_read_without_a_question(desk: Desk, home: Path) -> None:
    folder = home / "skills/s"
    assert await desk.call("open_file", path=str(folder / "SKILL.md")) == "L1: Do it."
    assert await desk.call("open_file", path=f"{folder}/references/../references/more.md") == "L1: More."
    assert "references" in await desk.call("print_tree", path=str(folder), depth=1)
    assert "More." in await desk.call("search", query="More", path=str(folder))
    assert desk.permissions_asked == []


async def test_nothing_there_is_written_and_what_is_beside_it_asks(desk: Desk, home: Path) -> None:
    file = home / "skills/s/SKILL.md"
    assert "may not be changed" in await desk.patch(f"*** Update File: {file}", "-Do it.", "+Do evil.")
    assert file.read_text() == "Do it."
    assert desk.permissions_asked == []
    write(home / "skills/other", "x")
    for path in (home / "skills/other", home / "skills/s/../other", home / "skills", home / ".ssh/id"):
        assert "did not allow" in await desk.call("open_file", path=str(path))
    assert len(desk.permissions_asked) == 4


async def test_links_that_lead_out_of_it_or_into_it_ask(desk: Desk, home: Path, tmp_path: Path) -> None:
    folder = home / "skills/s"
    (folder / "key").symlink_to(home / ".ssh/id")
    (folder / "up").symlink_to("../..")
    (tmp_path / "other").symlink_to(folder)
    for path in (folder / "key", folder / "up/.ssh/id", tmp_path / "other/SKILL.md"):
        assert "did not allow" in await desk.call("open_file", path=str(path))
    assert len(desk.permissions_asked) == 3


async def test_a_told_folder_may_be_a_link_itself(desk: Desk, home: Path) -> None:
    (home / "linked").symlink_to("skills/s")
    desk.workspace.readable.add(home / "linked")
    assert await desk.call("open_file", path=str(home / "linked/SKILL.md")) == "L1: Do it."
    assert desk.permissions_asked == []


@pytest.mark.parametrize("place", ["", ".ssh", "..", "data/gptoss-acp", "data"])
async def test_a_told_folder_that_holds_too_much_asks_all_the_same(place: str, desk: Desk, home: Path) -> None:
    (home / "trap").symlink_to(home / place)
    desk.workspace.readable.add(home / "trap")
    file = write(home / place / "SKILL.md", "Do it.")
    for path in (file, home / "trap/SKILL.md"):
        assert "did not allow" in await desk.call("open_file", path=str(path))
