"""How text stands in bytes: found out, and written back as it was."""

from __future__ import annotations

import locale
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptoss_acp.errors import ToolError
from gptoss_acp.workspace import encodings
from gptoss_acp.workspace.encodings import Encoding

NOWHERE = Path("/nowhere/a.txt")

CHINESE = "# 这是一个测试文件用来检查编码\n"
JAPANESE = "日本語のテキストファイルです。\n"
RUSSIAN = "Привет, мир! Это тестовый файл.\n"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("", "utf-8"),
        ("plain\n", "utf-8"),
        ("naïve 漢🎉\n", "utf-8"),
        ("\ufeffnaïve\n", "utf-8"),
        ("\ufeffhi\n", "utf-16-le"),
        ("\ufeff漢字\n", "utf-16-be"),
        ("\ufeffhi 🎉\n", "utf-32-le"),
        ("\ufeff漢\n", "utf-32-be"),
        ("plain\r\nand 漢\r\n", "utf-16-le"),
        ("plain\n", "utf-16-be"),
        ("plain\n", "utf-32-le"),
        ("plain é\n", "utf-32-be"),
    ],
)
def test_unicode_is_known_by_rule(text: str, name: str) -> None:
    content = text.encode(name)
    found = encodings.of(content, NOWHERE)
    assert found == Encoding(name)
    assert found.decode(content) == text
    assert found.encode(text) == content


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("café\n", "latin1"),
        ("Grüße aus München\n", "latin1"),
        ("nom = 'Élise'\n", "latin1"),
        ("“quoted” \u2013 5 €…\n", "cp1252"),
        ("grün", "latin1"),
        ("Ärger", "latin1"),
        (CHINESE, "gbk"),
        ("int x; // 中文注释\n", "gbk"),
        (JAPANESE, "shift_jis"),
        ("안녕하세요 세계\n", "euc_kr"),
        ("這是一個測試文件\n", "big5"),
        (RUSSIAN, "cp1251"),
        ("Καλημέρα κόσμε\n", "cp1253"),
    ],
)
def test_others_are_guessed_and_the_guess_is_called_one(text: str, name: str) -> None:
    found = encodings.of(text.encode(name), NOWHERE)
    assert found.decode(text.encode(name)) == text
    assert found.is_guess
    assert str(found) == f"{found.name} (a guess)"


PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\1\0\0\0\1\0\x08\6"


@pytest.mark.parametrize("content", [b"a\0b", b"\0" * 100, PNG, b"\x7fELF\2\1\1" + b"\0" * 9, b"\1\0\2\0\3\0\4\0"])
def test_what_has_null_bytes_and_is_no_wide_text_is_binary(content: bytes) -> None:
    with pytest.raises(ToolError, match=r"^it is a binary file$"):
        encodings.of(content, NOWHERE)


def test_what_fits_no_encoding_is_said_to_be_none() -> None:
    with pytest.raises(ToolError, match="can't be told"):
        encodings.of(bytes([0x81, 0xFF, 1, 2, 3] * 3), NOWHERE)
    with pytest.raises(ToolError, match=r"^it is not text in utf-16-le: byte 0x69 at position 4$"):
        encodings.of(b"\xff\xfeh\0i", NOWHERE)
    assert encodings.of(b"\xef\xbb\xbfab\xe9", NOWHERE) == Encoding(is_broken=True)


def test_the_setting_and_the_locale_are_asked_before_it_is_guessed(monkeypatch: pytest.MonkeyPatch) -> None:
    content = "Zażółć gęślą jaźń\n".encode("iso8859-2")
    assert encodings.of(content, NOWHERE, setting="iso-8859-2") == Encoding("iso8859-2")
    assert encodings.of(content, NOWHERE, setting="utf-16").is_guess
    assert encodings.of(content, NOWHERE, setting="no such encoding").is_guess
    assert encodings.of(content, NOWHERE, setting="rot13").is_guess
    monkeypatch.setattr(locale, "getpreferredencoding", lambda do_setlocale: "ISO-8859-2")
    assert encodings.of(content, NOWHERE) == Encoding("iso8859-2")
    assert encodings.of(content, NOWHERE, setting="koi8-r") == Encoding("koi8-r")


def test_editorconfig_is_asked_first(tmp_path: Path) -> None:
    (tmp_path / ".editorconfig").write_text(
        "root = true\n[*]\ncharset = latin1\n[*.{ps1,txt}]\ncharset = UTF-16LE\n"
        "[gbk/**]\ncharset=gbk\n[*.csv]\ncharset = utf-8-bom\n[*.odd]\ncharset = odd\n"
    )
    assert encodings.of(b"caf\xe9", tmp_path / "a.c", setting="koi8-r") == Encoding("iso8859-1")
    assert encodings.of(CHINESE.encode("gbk"), tmp_path / "gbk/deep/a.c") == Encoding("gbk")
    assert encodings.of("漢é".encode(), tmp_path / "a.c") == encodings.UTF_8
    assert encodings.of_new(tmp_path / "a.c") == (Encoding("iso8859-1"), "")
    assert encodings.of_new(tmp_path / "a.ps1") == (Encoding("utf-16-le"), "\ufeff")
    assert encodings.of_new(tmp_path / "a.csv") == (encodings.UTF_8, "\ufeff")
    assert encodings.of_new(tmp_path / "a.odd") == (encodings.UTF_8, "")
    assert encodings.of_new(Path("/nowhere/a")) == (encodings.UTF_8, "")


def test_an_editorconfig_that_takes_forever_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encodings, "_EDITORCONFIG_SECONDS", 0.5)
    (tmp_path / ".editorconfig").write_text(f"[{'*a' * 40}b]\ncharset=latin1\n")
    assert encodings.of_new(tmp_path / ("a" * 200)) == (encodings.UTF_8, "")
    (tmp_path / "deep").mkdir()
    os.mkfifo(tmp_path / "deep/.editorconfig")
    assert encodings.of_new(tmp_path / "deep/a") == (encodings.UTF_8, "")


def test_lines_that_stay_keep_their_bytes() -> None:
    # Two ways to write one character in Windows' Japanese: NEC's and IBM's.
    nec, ibm = b"\x87\x90", b"\x81\xe0"
    assert nec.decode("cp932") == ibm.decode("cp932")
    old = b"1 " + nec + b"\r\n" + b"2 " + ibm + b"\r\nsame\r\n1 " + nec + b"\r\n"
    encoding = Encoding("cp932")
    text = encoding.decode(old)
    assert encoding.encode(text, old) == old
    changed = text.replace("same", "日本").replace("2 ", "2: ")
    assert encoding.encode(changed, old) == old.replace(b"same", "日本".encode("cp932")).replace(b"2 ", b"2: ")


def test_what_can_not_be_encoded_is_refused_with_the_character() -> None:
    with pytest.raises(ToolError, match=r"the file is in cp1252 \(a guess\), which has no '→' \(U\+2192\)"):
        Encoding("cp1252", is_guess=True).encode("a → b\n", b"a\n")


def test_utf_8_with_a_stray_byte_is_utf_8_and_the_byte_stays() -> None:
    content = "naïve café, grün\n".encode() * 3 + b"caf\xe9\n" + "漢字\n".encode()
    found = encodings.of(content, NOWHERE)
    assert str(found) == "utf-8, with bytes that are none, shown as U+FFFD"
    text = found.decode(content)
    assert "caf\ufffd\n漢字" in text
    assert found.encode(text.replace("漢字", "漢字 ö"), content) == content.replace("漢字".encode(), "漢字 ö".encode())
    with pytest.raises(ToolError, match="a line that would change has bytes that are no utf-8"):
        found.encode(text.replace("caf\ufffd", "caf\ufffd!"), content)


lines = st.lists(st.text("aé漢 \r", max_size=4)).map("\n".join)


@given(lines, lines, st.sampled_from(["utf-8", "utf-16-le", "utf-32-be", "gb18030", "cp932"]))
def test_any_text_is_written_as_it_is_read(text: str, before: str, name: str) -> None:
    encoding = Encoding(name)
    text, before = (one.replace("é", "") if name == "cp932" else one for one in (text, before))
    assert encoding.decode(encoding.encode(text, before.encode(name))) == text
