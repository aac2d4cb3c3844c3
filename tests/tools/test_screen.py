"""What a program writes to a terminal, as it stands there at the end."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gptoss_acp.tools.screen import LONGEST_ROW, ROWS, Screen


def shown(*pieces: str) -> str:
    done: list[str] = []
    screen = Screen(done.append)
    for piece in pieces:
        screen.add(piece)
    return "".join(done) + str(screen)


CASES = {
    "plain": ("a\nb\n", "a\nb\n"),
    "line ends of DOS": ("a\r\nb\r\n", "a\nb\n"),
    "tabs stay": ("a\tb\n", "a\tb\n"),
    "colours": ("\x1b[1;31mred\x1b[0m and \x1b[38;5;12mblue\x1b[m", "red and blue"),
    "a progress bar": ("".join(f"\r{n:3}% {'#' * (n // 10)}" for n in range(101)) + "\n", "100% ##########\n"),
    "a shorter line over a longer one": ("downloading\rdone", "doneloading"),
    "erased to the end first": ("downloading\r\x1b[Kdone", "done"),
    "backspaces": ("abc\b\bX", "aXc"),
    "two bars at once": ("one 1\ntwo 1\n\x1b[2Aone 2\n\x1b[Btwo?\x1b[A\rtwo 2\n", "one 2\ntwo 2\ntwo?"),
    "a title and a link": ("\x1b]0;title\x07\x1b]8;;http://x\x1b\\text\x1b]8;;\x1b\\", "text"),
    "cleared": ("old\nold\n\x1b[H\x1b[2J\x1b[3Jnew", "new"),
    "another screen and back": ("before\n\x1b[?1049hfull\x1b[5;5Hscreen\x1b[?1049lafter", "after"),
    "a place by its numbers": ("\x1b[2;3Hx", "\n  x"),
    "equal numbers": ("\x1b[3;3Hx", "\n\n  x"),
    "saved and restored": ("ab\x1b7cd\x1b8X\x1b[s\x1b[9C\x1b[uY", "abXY"),
    "deleted and inserted": ("abcd\r\x1b[2P\x1b[1@", " cd"),
    "bells and zeros": ("a\x07b\0c\x0e\x0f\x1b(B", "abc"),
    "a sequence never whole": ("a\x1b", "a"),
    "what only looks like one": ("a\x1b" + "é", "aé"),
    "eight bits": ("a\x9b31mb", "ab"),
    "numbers without an end": ("a\x1b[" + "9" * 3000 + "Cb", "a" + " " * (LONGEST_ROW - 1) + "b"),
}


@pytest.mark.parametrize("name", CASES)
def test_what_stands_there_at_the_end_is_shown(name: str) -> None:
    written, stands = CASES[name]
    assert shown(written) == stands
    assert shown(*written) == stands, "letter by letter"


def test_only_the_last_rows_can_be_written_over() -> None:
    rows = [f"row {number}" for number in range(3 * ROWS)]
    stands = shown("\n".join(rows) + "\x1b[9999A\rchanged").split("\n")
    assert len(stands) == len(rows)
    assert stands[: 2 * ROWS] == rows[: 2 * ROWS]
    assert stands[2 * ROWS] == f"changed{rows[2 * ROWS][7:]}"


def test_a_line_without_an_end_is_whole() -> None:
    line = "".join(chr(97 + number % 26) for number in range(200_000))
    assert shown(line + "\n") == line + "\n"
    assert shown(*(line[at : at + 1_000] for at in range(0, len(line), 1_000)), "\nx") == line + "\nx"


PIECES = st.lists(
    st.sampled_from(
        ["a", "bc\n", "\r", "\b", "\x1b[", "\x1b[A", "\x1b[2K", "\x1b[J", "\x1b[1J", "\x1b[5;9H", "\x1b[3L"]
    )
    | st.sampled_from(["\x1b[2M", "\x1b[9X", "\x1b[4P", "\x1b[?1049h", "\x1b]x", "\x07", "\x1bM", "\x1bc", "é", "\x9b"])
    | st.text(max_size=5),
    max_size=60,
)


@settings(max_examples=300, deadline=None, database=None)
@given(PIECES)
@example(["\x1b[1J", "a"])
def test_no_sequence_breaks_it_and_pieces_do_not_matter(pieces: list[str]) -> None:
    whole = shown("".join(pieces))
    assert whole == shown(*pieces)
    assert "\x1b" not in whole
    assert not any(ord(letter) < 32 and letter not in "\t\n" for letter in whole)


HOSTILE = {
    "over and over": "\x1b[9999;9999Hx\r",
    "inserted": "\x1b[99999@",
    "rows": "\x1b[99999L\x1b[A",
    "backspaces": "ab\b",
    "half a string": "\x1b]" + "x" * 100,
    "half a sequence": "\x1b[" + "1;" * 100,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_nothing_takes_long_or_grows(name: str) -> None:
    text = HOSTILE[name]
    screen = Screen(lambda _: None)
    began = time.process_time()
    screen.add(text * (200_000 // len(text)))
    assert time.process_time() - began < 10, "a bound against what would take minutes, not a measurement"
    assert len(str(screen)) <= 2 * ROWS * (LONGEST_ROW + 1) * 2
