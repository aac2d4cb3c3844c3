"""A file that is replaced: whole or as it was, and otherwise what it was before."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gptoss_acp import atomic_write


def test_a_new_file_is_this_users_and_its_folders_are_made(tmp_path: Path) -> None:
    file = tmp_path / "a/b/file"
    atomic_write.replace(file, b"new")
    assert file.read_bytes() == b"new"
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_file_keeps_its_mode_and_a_link_stays_one(tmp_path: Path) -> None:
    file, link = tmp_path / "file", tmp_path / "link"
    file.write_bytes(b"old")
    file.chmod(0o644)
    link.symlink_to("file")
    atomic_write.replace(link, b"new")
    assert link.is_symlink()
    assert (file.read_bytes(), file.stat().st_mode & 0o777) == (b"new", 0o644)


@pytest.mark.parametrize("function", ["fsync", "access"])
def test_what_can_not_be_written_is_as_it_was_and_nothing_is_left_beside_it(
    function: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> bool:
        if function == "fsync":
            raise OSError(28, "No space left on device")
        return False  # root may write everywhere

    file = tmp_path / "file"
    file.write_bytes(b"old")
    monkeypatch.setattr(os, function, full)
    with pytest.raises(OSError, match=r"No space left|write-protected"):
        atomic_write.replace(file, b"new")
    assert (file.read_bytes(), os.listdir(tmp_path)) == (b"old", ["file"])  # noqa: PTH208
