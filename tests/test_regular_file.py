"""Files in whose place anything may lie."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gptoss_acp import regular_file


def test_a_file_of_just_the_size_is_read_and_a_link_to_it_too(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 10)
    (tmp_path / "link").symlink_to("file")
    assert regular_file.read(tmp_path / "link", 10) == b"x" * 10
    with pytest.raises(OSError, match="larger than"):
        regular_file.read(tmp_path / "file", 9)


def test_what_is_no_regular_file_is_told_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for file in (tmp_path / "pipe", tmp_path, Path("/dev/zero")):
        with pytest.raises(OSError, match="no regular file"):
            regular_file.read(file, 10)
