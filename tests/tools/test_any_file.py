"""Files that are not small UTF-8 text: read, changed, moved, deleted, and taken back."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from gptoss_acp.conversation.journal import Journal
from gptoss_acp.conversation.undo import Undo
from gptoss_acp.protocol.capabilities import Capabilities
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


# What was found by trying to break it


BROKEN = "äöüäöüäöü\n".encode() + b"bad \xff line\nplain\n"
TWICE = b"x = 1\n" + b"\xed\x40\x81\xe6\x87\x9a \x93\xfa\x96\x7b\n" * 2
"""Windows' Japanese, with characters that can be written in more than one way."""


@pytest.mark.parametrize(("content", "encoding"), [(BROKEN, ""), (TWICE, "cp932")])
@pytest.mark.parametrize(
    "patch",
    [
        ["*** Update File: a", "*** Move to: b"],
        ["*** Delete File: a"],
        ["*** Update File: a", "@@", "-{last}"],
        ["*** Update File: a", "*** Move to: b", "@@", "-{first}"],
    ],
)
async def test_bytes_that_no_patch_is_about_stay_and_come_back(
    content: bytes, encoding: str, patch: list[str], desk: Desk, taken: Taken
) -> None:
    desk.workspace._encoding = encoding
    file = desk.cwd / "a"
    file.write_bytes(content)
    text = (await desk.workspace.read(file))[0].split("\n")
    lines = [line.replace("{last}", text[-2]).replace("{first}", text[0]) for line in patch]
    if patch[-1] == "-{last}":
        lines = [*lines[:-1], f" {text[-3]}", lines[-1]]
    assert "Success" in await desk.patch(*lines)
    left = b"".join(path.read_bytes() for path in desk.cwd.iterdir())
    assert left in {content, b"", content[: content[:-1].rindex(b"\n") + 1], content[content.index(b"\n") + 1 :]}
    assert "- a: as before" in await taken.back()
    assert made(desk.cwd) == {"a": content}


async def test_broken_text_is_never_given_to_an_editor_to_write(tmp_path: Path) -> None:
    desk = Desk(tmp_path, capabilities=Capabilities(read=True, write=True))
    (tmp_path / "a").write_bytes(BROKEN)
    desk.peer.answers["fs/read_text_file"] = lambda _: {"content": BROKEN.decode(errors="replace")}
    assert "Success" in await desk.patch("*** Update File: a", "@@", "-plain", "+changed")
    assert (tmp_path / "a").read_bytes() == BROKEN.replace(b"plain", b"changed")


async def test_twins_come_back_as_two_files_each_with_its_mode(desk: Desk, taken: Taken) -> None:
    for name, mode in (("a.png", 0o600), ("b.png", 0o755)):
        (desk.cwd / name).write_bytes(PNG)
        (desk.cwd / name).chmod(mode)
    assert "Success" in await desk.patch("*** Delete File: a.png", "*** Update File: b.png", "*** Move to: c.png")
    assert "- a.png: as before" in await taken.back()
    first, second = ((desk.cwd / name).stat() for name in ("a.png", "b.png"))
    assert first.st_ino != second.st_ino
    assert (first.st_mode & 0o777, second.st_mode & 0o777) == (0o600, 0o755)


async def test_what_is_kept_and_has_changed_does_not_come_back(desk: Desk, taken: Taken) -> None:
    (desk.cwd / "a.png").write_bytes(PNG)
    (desk.cwd / "b.png").hardlink_to(desk.cwd / "a.png")
    assert "Success" in await desk.patch("*** Delete File: a.png")
    (desk.cwd / "b.png").write_bytes(b"\0other")
    assert "- a.png: as before" in await taken.back()
    assert (desk.cwd / "a.png").read_bytes() == PNG


async def test_no_text_and_text_are_not_mixed_in_a_patch(desk: Desk, taken: Taken) -> None:
    for name in ("a.png", "b.png"):
        (desk.cwd / name).write_bytes(PNG + name.encode())
    before = made(desk.cwd)
    refused = await desk.patch("*** Delete File: a.png", "*** Add File: a.png", "+hi")
    assert "a.png is no text that a patch can replace" in refused
    swap = [("a.png", "t"), ("b.png", "a.png"), ("t", "b.png")]
    assert "can replace" in await desk.patch(
        *(line for old, new in swap for line in (f"*** Update File: {old}", f"*** Move to: {new}"))
    )
    assert made(desk.cwd) == before
    for old, new in swap:
        assert "Success" in await desk.patch(f"*** Update File: {old}", f"*** Move to: {new}")
    assert made(desk.cwd) == {"a.png": before["b.png"], "b.png": before["a.png"]}
    assert "Took back" in await taken.back()
    assert made(desk.cwd) == before


async def test_a_binary_whose_place_text_has_taken_comes_back(desk: Desk, taken: Taken) -> None:
    (desk.cwd / "a.png").write_bytes(PNG)
    assert "Success" in await desk.patch("*** Delete File: a.png")
    assert "Success" in await desk.patch("*** Add File: a.png", "+text")
    assert "- a.png: as before" in await taken.back()
    assert made(desk.cwd) == {"a.png": PNG}


async def test_an_editor_that_fails_leaves_what_is_no_text(tmp_path: Path) -> None:
    desk = Desk(tmp_path, capabilities=Capabilities(read=False, write=True))
    (tmp_path / "a.png").write_bytes(PNG)
    (tmp_path / "t").write_text("x\n")
    before = made(tmp_path)
    patch = ["*** Update File: a.png", "*** Move to: b.png", "*** Update File: t", "@@", "-x", "+y"]
    assert "refused fs/write_text_file" in await desk.patch(*patch)
    assert made(tmp_path) == before


async def test_a_file_keeps_its_mode_on_all_its_ways(desk: Desk) -> None:
    (desk.cwd / "a").write_text("x\n")
    (desk.cwd / "a").chmod(0o600)
    ways = ["*** Update File: a", "*** Move to: b", "*** Update File: b", "*** Move to: c", "@@", "-x", "+y"]
    assert "Success" in await desk.patch(*ways)
    assert made(desk.cwd) == {"c": b"y\n"}
    assert (desk.cwd / "c").stat().st_mode & 0o777 == 0o600


async def test_very_many_that_are_no_text_are_too_many_to_ask_about(desk: Desk) -> None:
    desk.permissions.mode = "ask"
    for number in range(400):
        (desk.cwd / f"{number}-{'x' * 60}.png").write_bytes(PNG)
    patch = [f"*** Delete File: {number}-{'x' * 60}.png" for number in range(400)]
    assert "too large to be shown to the user whole; send several smaller patches" in await desk.patch(*patch)


async def test_one_file_under_two_names_is_not_changed_twice_and_nothing_is_left_beside(desk: Desk) -> None:
    (desk.cwd / "h").write_text("A\nB\n")
    (desk.cwd / "b").hardlink_to(desk.cwd / "h")
    patch = ["*** Update File: h", "@@", "-B", "+C", "*** Update File: b", "@@", "-B", "+D"]
    assert "h and b are one file; change it under one of its names" in await desk.patch(*patch)
    assert made(desk.cwd) == {"h": b"A\nB\n", "b": b"A\nB\n"}
    assert "Success" in await desk.patch("*** Delete File: h", "*** Delete File: b")
    assert made(desk.cwd) == {}


@pytest.mark.parametrize("charset", ["unicode_escape", "raw_unicode_escape", "idna", "utf-7", "punycode"])
async def test_what_spells_characters_out_is_no_charset(charset: str, desk: Desk) -> None:
    (desk.cwd / ".editorconfig").write_text(f"root=true\n[*]\ncharset={charset}\n")
    assert "Success" in await desk.patch("*** Add File: a", "+café €")
    assert (desk.cwd / "a").read_text() == "café €\n"


async def test_a_wide_charset_is_for_new_and_empty_files(desk: Desk) -> None:
    (desk.cwd / ".editorconfig").write_text("root=true\n[*]\ncharset=utf-16le\n")
    (desk.cwd / "a").write_text("plain\n")
    (desk.cwd / "empty").touch()
    assert "Success" in await desk.patch("*** Update File: a", "@@", "-plain", "+é")
    assert "Success" in await desk.patch("*** Update File: empty", "@@", "+é")
    assert made(desk.cwd)["a"] == "é\n".encode()
    assert made(desk.cwd)["empty"].startswith(b"\xff\xfe")
