"""A runaway is found, and what is repeated in earnest is left alone."""

from __future__ import annotations

import pytest

from gptoss_acp.harmony import encoding
from gptoss_acp.harmony.repetition import LONGEST_BLOCK, repeated_block, without_repetition


def ends_repeating(text: str) -> bool:
    """Ask for every beginning of `text`, as a stream would."""
    tokens = encoding.encode_text(text)
    return any(repeated_block(tokens[:end]) for end in range(len(tokens) + 1))


@pytest.mark.parametrize(
    "text",
    [
        "a sentence that goes round, " * 60,
        "x " * 400,
        "ha" * 1000,
        "So, once more.\n\n" + "Wait, let me check the file again, and then the other file, and then decide.\n" * 40,
        "0, " * 1000,
        "".join(f"step {n}: go on\n" for n in range(40)) + "go on and " * 200,
    ],
)
def test_a_runaway_is_found(text: str) -> None:
    assert ends_repeating(text)


@pytest.mark.parametrize(
    "text",
    [
        " ".join(map(str, range(1, 201))),
        "\n".join(f"{n}. item number {n} of the list" for n in range(1, 60)),
        "# " + "-" * 2000,
        "=" * 79 + "\n" + "-" * 79,
        "|" + "---|" * 40 + "\n" + ("| a | b |\n" * 12),
        "[" + ("0, " * 16 + "\n") * 16 + "]",
        " " * 400 + "x",
        "hello " * 100,
        "<li></li>\n" * 30,
        "        return None\n\n" * 12,
        "".join(f"def test_{n}() -> None:\n    assert f({n}) == {n * n}\n\n\n" for n in range(60)),
    ],
)
def test_what_is_repeated_in_earnest_is_left_alone(text: str) -> None:
    assert not ends_repeating(text)


def test_the_longest_block_counts_after_ten_times_and_a_longer_one_never() -> None:
    words = encoding.encode_text(" ".join(f"{chr(97 + n % 26)}{n}" for n in range(200)))
    block, longer = words[:LONGEST_BLOCK], words[: LONGEST_BLOCK + 1]
    assert repeated_block(block * 10) == LONGEST_BLOCK
    assert not repeated_block(block * 9)
    assert not repeated_block(longer * 30)


def test_one_token_over_and_over_is_found_and_one_without_letters_needs_more() -> None:
    word, blank = encoding.encode_text("no")[0], encoding.encode_text("\n")[0]
    assert repeated_block([word] * 256) == 1
    assert not repeated_block([blank] * 1000)
    assert repeated_block([blank] * 1024) == 1


def test_one_block_of_a_repetition_is_kept() -> None:
    assert without_repetition([1, 2, 3, 4, 3, 4, 3, 4, 3], 2) == [1, 2, 3, 4]
