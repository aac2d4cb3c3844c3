"""Files that are not small UTF-8 text: read, changed, moved, deleted, and taken back."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from gptoss_acp.conversation.journal import Journal
from gptoss_acp.conversation.undo import Undo
from gptoss_acp.protocol.updates import Updates
from gptoss_acp.tools import search
from gptoss_acp.workspace import files, kept
from tests.support.desk import Desk, new_journal

LATIN = "# Müller, Köln\nx = 'naïve'\n"
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\1\0"


@pytest.fixture(autouse=True)
def _every_search_is_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "QUICK_SECONDS", 60.0)
    monkeypatch.setattr(search, "LONGEST_BESIDE_SECONDS", 60.0)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "work").mkdir()
    return Desk(tmp_path / "work")


class Taken:
    """Taking back what the calls of a desk have changed, as a session does."""

    def __init__(self, desk: Desk, journal: Journal) -> None:
        self._desk = desk
        self._undo = Undo(journal, desk.workspace, desk.permissions, Updates(desk.face, lambda _: None))

    async def back(self) -> str:
        self._undo.note("turn", self._desk.runner.changes)
        return await self._undo.take_back()


@pytest.fixture
async def taken(desk: Desk) -> Taken:
    return Taken(desk, new_journal())


async def test_a_file_in_another_encoding_is_read_changed_and_taken_back_in_it(desk: Desk, taken: Taken) -> None:
    file = desk.cwd / "a.py"
    file.write_bytes(LATIN.encode("latin-1"))
    assert await desk.call("open_file", path="a.py") == (
        "L1: # Müller, Köln\nL2: x = 'naïve'\n(the file is in cp1252 (a guess))"
    )
    result = await desk.patch("*** Update File: a.py", "@@", "-x = 'naïve'", "+x = 'naïve café'")
    assert result == "Success. Updated the following files:\nM a.py\n(a.py is written in cp1252 (a guess))"
    assert file.read_bytes() == LATIN.replace("naïve", "naïve café").encode("latin-1")
    refused = await desk.patch("*** Update File: a.py", "@@", "-x = 'naïve café'", "+x = '→'")
    assert "the file is in cp1252 (a guess), which has no '→' (U+2192)" in refused
    assert file.read_bytes() == LATIN.replace("naïve", "naïve café").encode("latin-1")
    assert "- a.py: as before" in await taken.back()
    assert file.read_bytes() == LATIN.encode("latin-1")


@pytest.mark.parametrize("name", ["utf-16", "utf-8-sig", "utf-32"])
async def test_unicode_in_other_forms_keeps_its_form(name: str, desk: Desk) -> None:
    (desk.cwd / "a").write_bytes("eins\r\nzwei\r\n".encode(name))
    assert (await desk.call("open_file", path="a")).startswith("L1: eins\nL2: zwei")
    assert "Success" in await desk.patch("*** Update File: a", "@@", "-zwei", "+zwölf →")
    assert (desk.cwd / "a").read_bytes() == "eins\r\nzwölf →\r\n".encode(name)


async def test_a_moved_file_keeps_its_encoding(desk: Desk) -> None:
    (desk.cwd / "a").write_bytes(LATIN.encode("latin-1"))
    moved = await desk.patch("*** Update File: a", "*** Move to: b", "@@", "-x = 'naïve'", "+x = 'é'")
    assert "Success" in moved
    assert (desk.cwd / "b").read_bytes() == LATIN.replace("naïve", "é").encode("latin-1")


async def test_a_guess_stays_when_what_is_written_would_lead_to_another(desk: Desk) -> None:
    (desk.cwd / "a").write_bytes("name = '张三'\n".encode("gbk"))
    assert "张三" in await desk.call("open_file", path="a")
    for old, new in (("张三", "é"), ("é", "ö")):
        assert "Success" in await desk.patch("*** Update File: a", "@@", f"-name = '{old}'", f"+name = '{new}'")
    assert "name = 'ö'" in await desk.call("open_file", path="a")


async def test_new_characters_in_a_guessed_encoding_are_asked_about(desk: Desk) -> None:
    desk.permissions.mode = "auto-edit"
    (desk.cwd / "a").write_bytes(LATIN.encode("latin-1"))
    assert "Success" in await desk.patch("*** Update File: a", "@@", "-x = 'naïve'", "+x = 'naive'")
    assert desk.permissions_asked == []
    assert "did not allow" in await desk.patch("*** Update File: a", "@@", "-x = 'naive'", "+x = 'café'")
    (asked,) = desk.permissions_asked
    assert "written in cp1252 (a guess)." in str(asked["toolCall"]["content"])
    assert "also of text whose encoding is a guess" in str(asked["options"])
    assert (desk.cwd / "a").read_bytes() == LATIN.replace("ï", "i").encode("latin-1")


async def test_the_projects_charset_holds_for_what_has_no_characters_of_it_yet(desk: Desk) -> None:
    (desk.cwd / ".editorconfig").write_text("root=true\n[*.c]\ncharset=latin1\n[*.ps1]\ncharset=utf-16le\n")
    (desk.cwd / "a.c").write_bytes(b"plain\n")
    assert "Success" in await desk.patch("*** Update File: a.c", "@@", "-plain", "+café")
    assert (desk.cwd / "a.c").read_bytes() == b"caf\xe9\n"
    assert "Success" in await desk.patch("*** Add File: b.c", "+café")
    assert (desk.cwd / "b.c").read_bytes() == b"caf\xe9\n"
    assert "Success" in await desk.patch("*** Add File: b.ps1", "+x")
    assert (desk.cwd / "b.ps1").read_bytes() == b"\xff\xfex\0\n\0"


async def test_matches_in_another_encoding_are_shown_as_text_and_what_was_not_found_is_said(desk: Desk) -> None:
    (desk.cwd / "a.py").write_bytes(LATIN.encode("latin-1"))
    (desk.cwd / "b.py").write_text("x = 'naïve'\n")
    assert await desk.call("search", query="ve'") == "a.py:2:x = 'naïve'\nb.py:1:x = 'naïve'"
    assert await desk.call("search", query="naïve") == (
        "b.py:1:x = 'naïve'\n(1 files that are not in Unicode were searched for the query's bytes in UTF-8 only: a.py)"
    )
    assert "a.py)" in await desk.call("search", query="naïve", path="a.py")


# What is no text


def made(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("content", [PNG, b"\x81\xff\1\2", b"large " * 2_000_000])
async def test_what_is_no_text_is_deleted_and_comes_back(content: bytes, desk: Desk, taken: Taken) -> None:
    file = desk.cwd / "image.png"
    file.write_bytes(content)
    file.chmod(0o640)
    result = await desk.patch("*** Delete File: image.png")
    assert result.startswith("Success. Updated the following files:\nD image.png\n(image.png was ")
    assert result.endswith(f"/undo can bring it back for {kept.DAYS} days)")
    assert made(desk.cwd) == {}
    assert "- image.png: as before" in await taken.back()
    assert made(desk.cwd) == {"image.png": content}
    assert file.stat().st_mode & 0o777 == 0o640
    assert list((desk.cwd.parent / "state/gptoss-acp/removed").iterdir()) == []


async def test_what_is_no_text_moves_and_comes_back(desk: Desk, taken: Taken) -> None:
    (desk.cwd / "a.png").write_bytes(PNG)
    inode = (desk.cwd / "a.png").stat().st_ino
    moved = await desk.patch("*** Update File: a.png", "*** Move to: img/b.png")
    assert moved == "Success. Updated the following files:\nM img/b.png"
    assert (desk.cwd / "img/b.png").stat().st_ino == inode
    assert not (desk.cwd / "a.png").exists()
    assert "Success" in await desk.patch("*** Update File: img/b.png", "*** Move to: c.png")
    assert "Success" in await desk.patch("*** Delete File: c.png")
    assert "- a.png: as before" in await taken.back()
    assert (desk.cwd / "a.png").read_bytes() == PNG


async def test_the_question_says_what_becomes_of_what_is_no_text(desk: Desk) -> None:
    desk.permissions.mode = "ask"
    for name in ("a.png", "b.png"):
        (desk.cwd / name).write_bytes(PNG + name.encode())
    patch = ["*** Delete File: a.png", "*** Update File: b.png", "*** Move to: c.png"]
    assert "did not allow" in await desk.patch(*patch)
    told = str(desk.permissions_asked[0]["toolCall"]["content"])
    assert f"`{desk.cwd}/a.png` is removed (25 bytes, a binary file)." in told
    assert f"`{desk.cwd}/b.png` moves to `{desk.cwd}/c.png` (25 bytes, a binary file)." in told
    assert sorted(made(desk.cwd)) == ["a.png", "b.png"]
    assert not (desk.cwd.parent / "state/gptoss-acp/removed").exists()


async def test_what_is_no_text_is_not_changed_and_the_reason_is_true(desk: Desk) -> None:
    (desk.cwd / "a.png").write_bytes(PNG)
    assert "a.png: it is a binary file" in await desk.patch("*** Update File: a.png", "@@", "-x", "+y")
    with (desk.cwd / "large").open("wb") as file:
        file.truncate(files.LARGEST_FILE + 1)
    assert "large: it is too large: 10 MiB" in await desk.patch("*** Update File: large", "@@", "-x", "+y")
    os.mkfifo(desk.cwd / "pipe")
    assert "pipe: it is no regular file" in await desk.patch("*** Delete File: pipe")


async def test_a_patch_that_fails_leaves_what_is_no_text(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.png", "b.png", "text"):
        (desk.cwd / name).write_bytes(PNG if name != "text" else b"x\n")
    before = made(desk.cwd)
    unlink = os.unlink

    def failing(path: Any, *, dir_fd: int | None = None) -> None:
        if path == "text":
            raise OSError(28, "No space left on device")
        unlink(path, dir_fd=dir_fd)

    monkeypatch.setattr(os, "unlink", failing)
    patch = ["*** Delete File: a.png", "*** Update File: b.png", "*** Move to: c.png", "*** Delete File: text"]
    assert "no space left on device" in await desk.patch(*patch)
    assert made(desk.cwd) == before


async def test_another_file_system_is_no_hindrance(desk: Desk, taken: Taken, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: Any, **__: Any) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", failing)
    for name in ("a.png", "b.png"):
        (desk.cwd / name).write_bytes(PNG + name.encode())
    before = made(desk.cwd)
    patch = ["*** Delete File: a.png", "*** Update File: b.png", "*** Move to: c.png"]
    assert "Success" in await desk.patch(*patch)
    assert list(made(desk.cwd)) == ["c.png"]
    assert "- a.png: as before" in await taken.back()
    assert made(desk.cwd) == before


async def test_what_is_kept_is_forgotten_after_a_while(desk: Desk, taken: Taken) -> None:
    for name in ("a.png", "b.png"):
        (desk.cwd / name).write_bytes(PNG + name.encode())
    await desk.patch("*** Delete File: a.png")
    (place,) = (desk.cwd.parent / "state/gptoss-acp/removed").iterdir()
    assert place.stat().st_mode & 0o777 == 0o700
    os.utime(place, (0, 0))
    await desk.patch("*** Delete File: b.png")
    assert not place.exists()
    assert "is not kept any more" in await taken.back()
    assert made(desk.cwd) == {}
