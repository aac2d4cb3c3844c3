"""Text cut to size: what is kept, what is said to be left out, and that the bounds hold for anything."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gptoss_acp.text import HeadAndTail, clip, clip_line, fit, json_size

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.text(max_size=200),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=20), inner, max_size=5),
    max_leaves=20,
)


def whole(text: str) -> HeadAndTail:
    kept = HeadAndTail(100)
    kept.add(text)
    return kept


def test_short_text_is_kept_as_it_is() -> None:
    assert clip("x" * 100, 100) == "x" * 100
    assert str(whole("")) == ""


def test_the_middle_of_long_text_is_left_out_and_counted() -> None:
    text = "".join(map(chr, range(1000, 1250)))
    assert clip(text, 100) == f"{text[:50]}\n… 150 characters left out …\n{text[-50:]}"


@settings(max_examples=200, deadline=None, database=None)
@given(st.lists(st.text(max_size=80), max_size=12))
def test_text_that_comes_in_pieces_is_cut_as_if_it_had_come_at_once(pieces: list[str]) -> None:
    kept = HeadAndTail(100)
    for piece in pieces:
        kept.add(piece)
    assert str(kept) == str(whole("".join(pieces)))


def test_a_line_has_no_line_ends_and_no_more_than_its_limit() -> None:
    assert clip_line("  two\nlines\tand  gaps ", 100) == "two lines and gaps"
    assert clip_line("x" * 11, 10) == "x" * 9 + "…"
    assert clip_line("x" * 10, 10) == "x" * 10


@settings(max_examples=300, deadline=None, database=None)
@given(json_values, st.integers(20, 2000))
def test_any_value_fits_into_its_bytes_and_what_fits_already_is_left_alone(value: Any, size: int) -> None:
    fitted = fit(value, size)
    assert len(json.dumps(fitted, ensure_ascii=False, separators=(",", ":")).encode()) <= size
    if json_size(value) <= size:
        assert fitted == value


def test_what_is_cut_says_so_and_keeps_most_of_its_room() -> None:
    text, items = fit("x" * 10_000, 1000), fit(list(range(10_000)), 1000)
    assert text == "x" * 499 + "…"
    assert items[-1] == "…"
    assert items[:-1] == list(range(len(items) - 1))
    assert 250 <= json_size(items) <= 1000
    assert fit({"a": "x" * 10_000, "b": 1}, 1000) == {"a": text, "b": 1}


def test_a_name_that_is_no_utf8_has_a_size_too() -> None:
    assert json_size("caf\udce9") == len('"caf') + 3 + 1
    assert json_size({1: "a"}) == len('{"1":"a"}')
