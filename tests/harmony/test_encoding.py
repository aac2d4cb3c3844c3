"""Text to ids and back: control tokens in text stay text, and no id, whole or broken, is lost."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gptoss_acp import vocabulary
from gptoss_acp.harmony import encoding


@settings(max_examples=200, deadline=None, database=None)
@given(st.text(max_size=60) | st.lists(st.sampled_from(sorted(encoding.load().special_tokens_set))).map("".join))
def test_any_text_comes_back_and_takes_no_control_token(text: str) -> None:
    tokens = encoding.encode_text(text)
    assert all(token < vocabulary.FIRST_SPECIAL_ID for token in tokens)
    assert encoding.decode_text(tokens) == text


WORDS = st.text(max_size=40) | st.sampled_from(
    ["\n", "\n\n", " ", "  ", "\t", ");\n//", "it's", "12 345", "don't ", "\r\n", ".\n/x"]
)


@settings(max_examples=200, deadline=None, database=None)
@given(st.lists(WORDS, min_size=1, max_size=30))
def test_a_long_text_has_the_ids_that_it_has_at_once(words: list[str]) -> None:
    text = "and so on. ".join(words) * 30
    assert encoding.encode_text(text) == encoding.load().encode(text, disallowed_special=())


@pytest.mark.parametrize("run", ["a", " ", "^", "\n", "é", "🎈", "<|end|>", "1"])
def test_a_run_of_a_megabyte_is_encoded_whole(run: str) -> None:
    text = run * (1_000_000 // len(run))
    assert encoding.decode_text(encoding.encode_text(text)) == text


@settings(max_examples=200, deadline=None, database=None)
@given(st.text("a☃🎈é", max_size=20))
def test_each_id_gives_the_text_that_it_completes(text: str) -> None:
    decoder = encoding.TextDecoder()
    so_far = b""
    for token in encoding.encode_text(text):
        given_before = so_far.decode(errors="ignore")
        so_far += vocabulary.token_bytes()[token]
        assert decoder.feed(token) == so_far.decode(errors="ignore").removeprefix(given_before)
    assert decoder.finish() == ""


def test_a_character_without_its_end_is_one_replacement() -> None:
    *most, last = encoding.encode_text("🫠")
    decoder = encoding.TextDecoder()
    assert "".join(map(decoder.feed, most)) == ""
    assert decoder.finish() == "\ufffd"
    assert decoder.feed(last) in {"", "\ufffd"}


@pytest.mark.parametrize("broken", [[], ["x"], ["☃", "x"]])
def test_a_run_of_broken_bytes_is_one_replacement_wherever_it_is_cut(broken: list[str]) -> None:
    table = vocabulary.token_bytes()
    stray = [table.index(bytes([byte])) for byte in b"\x80\x9f\xff"]
    text = "".join(broken)
    assert encoding.decode_text([*stray, *encoding.encode_text(text), *stray]) == (
        f"\ufffd{text}\ufffd" if text else "\ufffd"
    )


def test_the_encoding_is_loaded_without_the_network(tmp_path: Path) -> None:
    nowhere = "http://127.0.0.1:1"
    environment = {**os.environ, "HTTPS_PROXY": nowhere, "HTTP_PROXY": nowhere, "XDG_CACHE_HOME": str(tmp_path)}
    program = "from gptoss_acp.harmony import encoding; print(encoding.encode_text('notes'))"
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout.strip() == str(encoding.encode_text("notes"))
