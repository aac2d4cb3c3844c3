"""What a compaction keeps: the ledger before and after, whatever the conversation was."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gptoss_acp.conversation.compaction import CompactionError, clip_tokens, shortened, summary_prompt
from gptoss_acp.harmony import encoding, render
from gptoss_acp.ledger import Entry, Role, size
from tests.support.tokens import text_of

SUMMARY = Entry("summary", (0,) * 10, "summary")


def entry(role: Role, tokens: int, text: str = "", recipient: str | None = None) -> Entry:
    return Entry(role, (1,) * tokens, text, recipient=recipient)


lengths = st.integers(1, 60)
calls = st.tuples(lengths, lengths).map(
    lambda sizes: [entry("assistant", sizes[0], recipient="functions.x"), entry("tool", sizes[1])]
)
said = lengths.map(lambda tokens: [entry("assistant", tokens)])
asked = st.lists(lengths.map(lambda tokens: entry("user", tokens)), min_size=1, max_size=2)
exchanges = st.tuples(asked, st.lists(calls | said, min_size=1, max_size=6)).map(
    lambda parts: [*parts[0], *(entry for step in parts[1] for entry in step)]
)
conversations = st.tuples(st.booleans(), st.lists(exchanges, min_size=1, max_size=3)).map(
    lambda parts: [*([SUMMARY] if parts[0] else []), *(entry for exchange in parts[1] for entry in exchange)]
)


def last_exchange(entries: Sequence[Entry]) -> list[Entry]:
    roles = "".join(entry.role[0] for entry in entries)
    start = len(roles.rstrip("at").rstrip("u"))
    return list(entries[start:])


@settings(max_examples=300, deadline=None, database=None)
@given(conversations, st.integers(-50, 300))
def test_what_stays_is_the_summary_and_as_much_of_the_last_exchange_as_fits(entries: list[Entry], room: int) -> None:
    summary = Entry("summary", (2,) * 5, "new")
    kept = shortened(entries, summary, room)
    exchange = last_exchange(entries)
    others = [entry for entry in kept if entry is not summary]
    assert len(kept) == len(others) + 1
    assert size(others) <= max(0, room)
    if size(exchange) <= room:
        assert kept == [summary, *exchange]
        return
    # What is left out lies together, just where the summary stands.
    place = next(number for number, entry in enumerate(kept) if entry is summary)
    before, after = kept[:place], kept[place + 1 :]
    assert {entry.role for entry in before} <= {"user"}
    assert before in ([], [entry for entry in exchange if entry.role == "user"])
    assert after == exchange[len(exchange) - len(after) :]
    assert not after or after[0].role == "assistant"


@settings(max_examples=200, deadline=None, database=None)
@given(conversations, st.integers(0, 300))
def test_a_second_compaction_keeps_nothing_of_the_first_summary(entries: list[Entry], room: int) -> None:
    first, second = Entry("summary", (2,) * 5, "first"), Entry("summary", (3,) * 5, "second")
    kept = shortened(shortened(entries, first, room), second, room)
    assert [entry for entry in kept if entry.role == "summary"] == [second]


def test_a_user_message_that_takes_more_than_half_the_room_goes_into_the_summary() -> None:
    call, result = entry("assistant", 10, recipient="functions.x"), entry("tool", 10)
    question = entry("user", 30)
    assert shortened([question, call, result], SUMMARY, 49) == [SUMMARY, call, result]
    question = entry("user", 24)
    assert shortened([question, call, result, call, result], SUMMARY, 49) == [question, SUMMARY, call, result]


def rendered(text: str) -> Entry:
    return Entry("user", tuple(render.user(text)), text)


PREFIX = [Entry("system", tuple(render.user("who you are")), "")]


@settings(max_examples=100, deadline=None, database=None)
@given(st.lists(st.integers(1, 200), min_size=1, max_size=8), st.integers(120, 900))
def test_the_prompt_for_a_summary_never_outgrows_its_room_and_keeps_the_newest(sizes: list[int], room: int) -> None:
    entries = [rendered(f"number {number}: " + "word " * words) for number, words in enumerate(sizes)]
    prompt = summary_prompt(PREFIX, entries, "Summarise", room)
    assert len(prompt) <= room
    text = text_of(prompt)
    assert text.startswith("<|start|>user<|message|>who you are<|end|><|start|>user<|message|>number ")
    assert text.endswith("<|end|><|start|>user<|message|>Summarise<|end|><|start|>assistant")
    assert f"number {len(sizes) - 1}: word" in text
    kept = [number for number in range(len(sizes)) if f"number {number}:" in text]
    assert kept == list(range(kept[0], len(sizes))), "not the oldest were left out"
    if size([*PREFIX, *entries]) + len(render.user("Summarise")) + 2 <= room:
        assert len(kept) == len(sizes)


def test_a_context_too_small_for_any_summary_says_so() -> None:
    with pytest.raises(CompactionError, match="--context-length"):
        summary_prompt(PREFIX, [rendered("hello")], "Summarise", 60)


@settings(max_examples=100, deadline=None, database=None)
@given(st.text(max_size=400) | st.text("🫠𒀀漢a \n", max_size=400), st.integers(20, 300))
def test_a_clipped_result_has_no_more_tokens_than_it_may(text: str, most: int) -> None:
    clipped = clip_tokens(text, most)
    count = len(encoding.encode_text(clipped))
    assert count <= most
    if len(encoding.encode_text(text)) <= most:
        assert clipped == text
    else:
        assert "left out" in clipped
