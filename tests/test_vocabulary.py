"""The vocabulary's file: unpacked where it is missing or damaged, and the bytes of every id."""

from __future__ import annotations

import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gptoss_acp import vocabulary
from gptoss_acp.harmony import encoding


def files(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in folder.iterdir()}


def test_a_missing_or_damaged_file_is_unpacked_and_a_whole_one_left_alone(tmp_path: Path) -> None:
    folder = vocabulary.unpack_vocabulary(tmp_path / "new/folder")
    assert folder == tmp_path / "new/folder"
    (file,) = folder.iterdir()
    whole, written = file.read_bytes(), file.stat().st_mtime_ns
    vocabulary.unpack_vocabulary(folder)
    assert file.stat().st_mtime_ns == written
    file.write_bytes(whole[:-1])
    vocabulary.unpack_vocabulary(folder)
    assert file.read_bytes() == whole
    assert list(folder.iterdir()) == [file]


def test_two_that_unpack_at_once_leave_one_whole_file(tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        folders = list(pool.map(vocabulary.unpack_vocabulary, [tmp_path] * 2))
    assert folders == [tmp_path] * 2
    assert files(tmp_path) == files(vocabulary.unpack_vocabulary())


def test_where_the_cache_can_not_be_written_a_temporary_folder_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = vocabulary.unpack_vocabulary(tmp_path / "file/folder")
    assert folder.parent == tmp_path
    assert files(folder) == files(vocabulary.unpack_vocabulary())


def test_the_bytes_of_an_id_are_those_that_openai_harmony_decodes() -> None:
    table = vocabulary.token_bytes()
    assert len(set(table)) == len(table) == vocabulary.FIRST_SPECIAL_ID
    text = "def naïve():\n\treturn '☃🎈'  # 1234567"
    assert b"".join(table[token] for token in encoding.encode_text(text)) == text.encode()


@pytest.mark.parametrize(
    ("token", "text"),
    [
        (vocabulary.RETURN, "<|return|>"),
        (vocabulary.CONSTRAIN, "<|constrain|>"),
        (vocabulary.CHANNEL, "<|channel|>"),
        (vocabulary.START, "<|start|>"),
        (vocabulary.END, "<|end|>"),
        (vocabulary.MESSAGE, "<|message|>"),
        (vocabulary.CALL, "<|call|>"),
    ],
)
def test_the_control_tokens_are_those_of_openai_harmony(token: int, text: str) -> None:
    assert encoding.load().encode(text, allowed_special="all") == [token]
