"""File changes as the editor shows them, within a line's bounds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from gptoss_acp.text import json_size
from gptoss_acp.workspace import diffs
from gptoss_acp.workspace.edits import Change
from tests.support.desk import Desk

ROOM = 36_000
"""Bytes, as JSON, of all diffs of a call."""

LINES = [f"line {number}\n" for number in range(20)]


def contents(changes: Sequence[Change]) -> list[Any]:
    return diffs.shown(changes).contents


def changed(*lines: int) -> str:
    return "".join("changed\n" if number in lines else line for number, line in enumerate(LINES))


def sides(change: Change) -> tuple[Any, Any]:
    (diff,) = contents([change])
    return diff["oldText"], diff["newText"]


def rewritten(name: str) -> Change:
    """Return a change that leaves no line as it was, and far too long to be shown."""
    # 19 bytes in ten characters: what is cut by halves then comes to nearly all of the room that it has.
    return Change(Path(f"/project/{name}"), "äöüßéèêëāx" * 10_000, "ôõøũñńňćčx" * 10_000)


def test_what_fits_is_shown_whole() -> None:
    assert sides(Change(Path("/project/a"), changed(), changed(10))) == (changed(), changed(10))
    assert sides(Change(Path("/project/a"), None, "new\n")) == (None, "new\n")
    assert sides(Change(Path("/project/a"), "old\n", None)) == ("old\n", "")


@pytest.mark.parametrize(
    ("before", "after", "shown"),
    [
        (changed(), changed(10), ("".join(LINES[7:14]), "".join([*LINES[7:10], "changed\n", *LINES[11:14]]))),
        (changed(), changed(0), ("".join(LINES[:4]), "".join(["changed\n", *LINES[1:4]]))),
        (changed(), changed(19), ("".join(LINES[16:]), "".join([*LINES[16:19], "changed\n"]))),
        (changed(), changed() + "more\n", ("".join(LINES[17:]), "".join([*LINES[17:], "more\n"]))),
        ("same\n" * 10, "same\n" * 11, ("same\n" * 3, "same\n" * 4)),
    ],
    ids=["in the middle", "at the beginning", "at the end", "behind the end", "among lines that are all alike"],
)
def test_beside_a_large_change_only_the_lines_around_each_are_shown(
    before: str, after: str, shown: tuple[str, str]
) -> None:
    small, large = contents([Change(Path("/project/small"), before, after), rewritten("large")])
    assert (small["oldText"], small["newText"]) == shown
    assert len(large["newText"]) > 1000


@pytest.mark.parametrize("count", [1, 4, 20, 36])
def test_changes_that_are_all_too_large_share_the_room_and_use_most_of_it(count: int) -> None:
    shown = contents([rewritten(str(number)) for number in range(count)])
    assert [diff["path"] for diff in shown] == [f"/project/{number}" for number in range(count)]
    assert 0.6 * ROOM < json_size(shown) <= ROOM
    sizes = {json_size(diff[side]) for diff in shown for side in ("oldText", "newText")}
    assert max(sizes) - min(sizes) < 10


def test_one_large_change_is_shown_up_to_the_last_kilobyte() -> None:
    assert json_size(contents([rewritten("a")])) > 0.9 * ROOM


def test_of_more_changes_than_have_room_the_first_are_shown() -> None:
    shown = contents([rewritten(str(number)) for number in range(100)])
    assert [diff["path"] for diff in shown] == [f"/project/{number}" for number in range(36)]
    assert len(contents([Change(Path(f"/project/{number}"), "a", "b") for number in range(100)])) == 100


def test_what_can_not_be_shown_whole_is_known() -> None:
    assert diffs.shown([Change(Path("/project/a"), changed(), changed(10))]).whole
    assert diffs.shown([Change(Path("/project/a"), "x\n" * 100_000, "x\n" * 50_000 + "y\n" + "x\n" * 50_000)]).whole
    assert not diffs.shown([rewritten("a")]).whole
    assert not diffs.shown([Change(Path("/project/a"), None, "# a line\n" * 5_000)]).whole


def test_large_files_that_go_or_move_are_named_and_what_changes_in_them_is_shown() -> None:
    large = "a line\n" * 20_000
    gone, moved = Path("/project/gone"), Path("/project/moved")
    shown = diffs.shown([Change(moved, None, f"{large}more\n", moved_from=gone), Change(gone, large, None)])
    named, diff, goes = shown.contents
    assert shown.whole
    assert named["type"] == goes["type"] == "content"
    assert named["content"]["text"] == "`/project/moved` is what `/project/gone` was."
    assert goes["content"]["text"] == "`/project/gone` goes from here (20,000 lines)."
    assert diff["type"] == "diff"
    assert diff["newText"] == "a line\n" * 3 + "more\n"


@pytest.mark.parametrize("line", ["x = 1 \u202e# \u2066", "a\u200bb", "a\U000e0041", "\x1b[2K", "a\u3164b"])
def test_what_nobody_sees_in_a_diff_is_told(line: str) -> None:
    told, diff = contents([Change(Path("/project/a\u202e"), "old\n", f"old\n{line}\n")])
    assert diff["type"] == "diff"
    text = told["content"]["text"]
    assert text.startswith("`/project/a\\u{202E}` gets characters that can't be seen:\n- line 2: ")
    assert text.isascii()
    assert text.replace("\n", "").isprintable()


def test_honest_texts_need_no_telling() -> None:
    line = "« oui » 全\u3000角 👩\u200d💻 ❤\ufe0f\tx\r\n"
    assert len(contents([Change(Path("/project/a"), None, f"\ufeff{line}")])) == 1


def test_a_location_is_the_first_line_that_changes() -> None:
    changes = [Change(Path("/project/a"), changed(), changed(10)), Change(Path("/project/b"), None, "x")]
    assert diffs.locations(changes) == [{"path": "/project/a", "line": 11}, {"path": "/project/b", "line": 1}]
    assert len(diffs.locations(changes * 50)) == 20
    odd = "a\fb\u2028c\rd\n"
    assert diffs.locations([Change(Path("/project/a"), f"{odd}x\n", f"{odd}y\n")])[0]["line"] == 2


async def test_a_diff_of_large_files_fits_into_a_line_and_shows_what_changes(tmp_path: Path) -> None:
    lines = [f"line {number}" for number in range(50_000)]
    (tmp_path / "a").write_text("\n".join(lines))
    (tmp_path / "b").write_text("\x01" * 100_000 + "\nend\n")
    desk = Desk(tmp_path)
    assert "Success" in await desk.patch(
        "*** Update File: a", "-line 30000", "+changed", "*** Update File: b", "-end", "+END"
    )
    shown, again = [update["content"] for update in desk.peer.updates if "content" in update]
    assert again == shown
    assert shown[0]["oldText"].splitlines()[3] == "line 30000"
    assert shown[0]["newText"].splitlines()[3] == "changed"
