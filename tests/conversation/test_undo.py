"""Taking back what a turn has done to files."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gptoss_acp.conversation.journal import Journal
from gptoss_acp.conversation.undo import Undo, taken_back
from gptoss_acp.workspace.edits import Change
from tests.support.desk import Desk, new_journal

PLACES = [Path("/w/a"), Path("/w/b"), Path("/w/c")]

Files = dict[Path, str]
contents = st.none() | st.sampled_from(["1", "2", "3"])
steps = st.lists(st.tuples(st.sampled_from(PLACES), contents), max_size=12)


def play(files: Files, change: Change) -> None:
    assert files.get(change.path) == change.before
    if change.after is None:
        files.pop(change.path, None)
    else:
        assert isinstance(change.after, str)
        files[change.path] = change.after


@settings(max_examples=300, deadline=None, database=None)
@given(st.dictionaries(st.sampled_from(PLACES), st.sampled_from(["1", "2"])), steps)
def test_taking_back_any_changes_gives_the_files_as_they_were(
    start: Files, taken: list[tuple[Path, str | None]]
) -> None:
    files, changes = dict(start), []
    for path, after in taken:
        changes.append(Change(path, files.get(path), after))
        play(files, changes[-1])
    back = taken_back(changes)
    assert len({change.path for change in back}) == len(back)
    assert all(change.before != change.after for change in back)
    for change in back:
        play(files, change)
    assert files == start


def test_a_file_that_went_comes_back_with_the_mode_it_had_first() -> None:
    script, other = PLACES[:2]
    changes = [
        Change(script, "1", "2"),
        Change(script, "2", None, mode=0o755),
        Change(script, None, "3"),
        Change(script, "3", None, mode=0o600),
        Change(other, None, "1"),
    ]
    assert taken_back(changes) == [Change(script, None, "1", mode=0o755), Change(other, "1", None)]


async def test_a_deleted_script_can_be_run_again(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    script = tmp_path / "run"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    await desk.patch("*** Delete File: run")
    await desk.workspace.commit(taken_back(desk.runner.changes))
    assert script.read_text() == "#!/bin/sh\n"
    assert script.stat().st_mode & 0o777 == 0o755


def undoing(desk: Desk, journal: Journal) -> Undo:
    return Undo(journal, desk.workspace, desk.permissions, desk.runner._updates)


async def counted(desk: Desk, undo: Undo, turns: int) -> None:
    """Let so many turns each write their number into a file."""
    (desk.cwd / "count").write_text("0")
    for number in range(1, turns + 1):
        change = Change(desk.cwd / "count", str(number - 1), str(number))
        undo.note(f"turn {number}", await desk.workspace.commit([change]))


async def test_the_changes_of_the_last_20_turns_can_be_taken_back_one_after_another(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    undo = undoing(desk, new_journal())
    await counted(desk, undo, 22)
    for number in reversed(range(2, 22)):
        assert "- count: as before" in await undo.take_back()
        assert (tmp_path / "count").read_text() == str(number)
    assert "There is nothing to take back" in await undo.take_back()
    assert (tmp_path / "count").read_text() == "2"


async def test_a_turn_that_changed_nothing_is_none_of_those_that_can_be_taken_back(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    undo = undoing(desk, new_journal())
    await counted(desk, undo, 1)
    undo.note("a turn that only reads", [])
    undo.note("a turn and back", [Change(tmp_path / "a", None, "1"), Change(tmp_path / "a", "1", None)])
    assert "- count: as before" in await undo.take_back()
    assert (tmp_path / "count").read_text() == "0"


async def test_the_model_is_told_what_was_taken_back(tmp_path: Path) -> None:
    desk, journal = Desk(tmp_path), new_journal()
    undo = undoing(desk, journal)
    await counted(desk, undo, 1)
    await undo.take_back()
    await journal.take_in()
    (heard,) = journal.ledger.entries
    assert heard.text == "I have taken back your last changes to these files: count"


async def test_changes_that_were_refused_are_none(tmp_path: Path) -> None:
    desk = Desk(tmp_path, "ask", answer="reject_once")
    await desk.patch("*** Add File: a", "+1")
    assert desk.runner.changes == []


@pytest.mark.parametrize("written", range(5))
async def test_what_a_killed_process_has_left_half_written_is_taken_back(written: int, tmp_path: Path) -> None:
    desk, journal = Desk(tmp_path), new_journal()
    old, new = "äb\ncd\n" * 2, "äB\n"
    file, beside = tmp_path / "a", tmp_path / ".0123456789ab.gptoss-acp"
    journal._made_changes = {"turn": [Change(file, old, new)]}
    undo = undoing(desk, journal)
    file.write_bytes(new.encode()[:written] + old.encode()[written:])
    beside.write_text(new)
    assert "- a: as before" in await undo.take_back()
    assert file.read_text() == old
    assert not beside.exists()


async def test_what_the_user_has_mended_is_not_taken_for_half_written(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    undo = undoing(desk, new_journal())
    undo.note("turn", [Change(tmp_path / "v", "version = 1.0\n", "version = 2.1\n")])
    (tmp_path / "v").write_text("version = 2.0\n")
    assert "changed since then: v" in await undo.take_back()
    assert (tmp_path / "v").read_text() == "version = 2.0\n"


async def test_what_somebody_else_has_written_is_not_taken_for_half_written(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    undo = undoing(desk, new_journal())
    undo.note("turn", [Change(tmp_path / "a", "one\ntwo\n", "1\n2\n")])
    (tmp_path / "a").write_text("1\nmine\n")
    assert "changed since then: a" in await undo.take_back()
    assert (tmp_path / "a").read_text() == "1\nmine\n"
