"""What a model samples, read as it is meant: every message and call, however malformed, and no markup."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gptoss_acp import vocabulary
from gptoss_acp.harmony import encoding, render
from gptoss_acp.harmony.lost_call import OneObject
from gptoss_acp.harmony.parser import MessageEnded, Parser, Stopped, TextDelta
from tests.support.harmony_outputs import Outcome, assert_history_is_well_formed, ids, is_shown, run
from tests.support.recovery_table import LOST, RECOVERED, STOPPED

REAL_OUTPUTS: list[dict[str, Any]] = json.loads(
    resources.files("tests.support").joinpath("real_outputs.json").read_text("utf-8")
)


def told(outcome: Outcome) -> list[tuple[str, ...]]:
    """What came of an output, in the words of the table."""
    messages: list[tuple[str, ...]] = []
    for message in outcome.ended:
        if message.recipient:
            messages.append(("call", message.recipient, message.text))
        else:
            messages.append(("shown" if is_shown(message) else "hidden", message.text))
    return [*messages, *[LOST] * outcome.lost, *(("stopped", stopped.reason) for stopped in outcome.stopped)]


BEFORE: dict[str, list[tuple[str, ...]]] = {
    "": [],
    "<|channel|>analysis<|message|>Think.<|end|><|start|>assistant": [("hidden", "Think.")],
    "<|channel|>commentary<|message|>I look.<|end|><|start|>assistant<|channel|>commentary to=functions.shell "
    '<|constrain|>json<|message|>{"a": 1}<|call|><|start|>assistant': [
        ("shown", "I look."),
        ("call", "functions.shell", '{"a": 1}'),
    ],
}
AFTER: dict[str, list[tuple[str, ...]]] = {
    "": [],
    "<|start|>assistant<|channel|>final<|message|>Done.<|return|>": [("shown", "Done.")],
}


@pytest.mark.parametrize("after", AFTER, ids=["last", "then an answer"])
@pytest.mark.parametrize("before", BEFORE, ids=["first", "after a thought", "after a call"])
@pytest.mark.parametrize("written", RECOVERED)
def test_malformed_output_is_read_as_it_is_meant(written: str, before: str, after: str) -> None:
    expected = BEFORE[before] + RECOVERED[written]
    if STOPPED not in expected:
        expected = sorted(expected + AFTER[after], key=lambda row: row == LOST)
    outcome = run(ids(before + written + after))
    assert told(outcome) == expected
    assert_history_is_well_formed(outcome.ended)


@pytest.mark.parametrize(
    ("header", "channel"),
    [
        ("<|channel|>commentary to=functions.analysis", "commentary"),
        ("<|channel|>analysis to=functions.final", "analysis"),
        ("<|channel|>final to=functions.x", "commentary"),
        ("<|channel|>thinking to=functions.x", "commentary"),
        (" to=functions.x", "commentary"),
    ],
)
def test_a_call_is_on_analysis_or_commentary_and_its_tool_does_not_name_the_channel(header: str, channel: str) -> None:
    assert run(ids(f"{header}<|message|>{{}}<|call|>")).ended[0].channel == channel


def test_well_formed_messages_are_kept_as_sampled_with_any_spelling_of_their_tokens() -> None:
    split = [*ids("<|channel|>final<|message|>"), *ids("Hel"), *ids("lo"), vocabulary.RETURN]
    assert split != ids("<|channel|>final<|message|>Hello<|return|>")
    (message,) = run(split).ended
    assert message.tokens == (*render.ASSISTANT_START, *split)


@pytest.mark.parametrize(
    "header",
    [
        "<|channel|>commentary to=functions.read_file <|constrain|>json",
        "<|channel|>commentary to=functions.read_file<|constrain|>json",
        "<|channel|>analysis to=functions.read_file code",
        " to=functions.read_file<|channel|>commentary json",
        " to=container.exec<|channel|>commentary",
    ],
)
def test_every_header_that_openai_harmony_reads_is_kept_as_sampled(header: str) -> None:
    sampled = ids(f"{header}<|message|>{{}}<|call|>")
    outcome = run(sampled)
    assert outcome.ended[0].tokens == (*render.ASSISTANT_START, *sampled)
    assert_history_is_well_formed(outcome.ended)


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("<|channel|>finalx<|message|>Hi<|return|>", "<|start|>assistant<|channel|>final<|message|>Hi<|return|>"),
        ("<|channel|>thinking<|message|>Hm<|end|>", "<|start|>assistant<|channel|>analysis<|message|>Hm<|end|>"),
        ("<|channel|>final Hi<|end|>", "<|start|>assistant<|channel|>final<|message|>Hi<|end|>"),
        ("<|channel|>final<|message|>H<|message|>i<|end|>", "<|start|>assistant<|channel|>final<|message|>Hi<|end|>"),
        (
            "<|channel|>commentary to=x, json<|message|>{}<|end|>",
            "<|start|>assistant<|channel|>commentary to=functions.x <|constrain|>json<|message|>{}<|end|>",
        ),
    ],
)
def test_malformed_output_does_not_stay_in_the_history(written: str, kept: str) -> None:
    assert encoding.load().decode(run(ids(written)).ended[0].tokens) == kept


def test_a_role_in_other_tokens_does_not_stay_in_the_history() -> None:
    role = [*ids("assist"), *ids("ant")]
    assert len(role) == 2
    outcome = run([vocabulary.START, *role, *ids("<|channel|>final<|message|>Hi<|return|>")])
    assert outcome.ended[0].tokens == tuple(ids("<|start|>assistant<|channel|>final<|message|>Hi<|return|>"))


def test_an_answer_without_message_token_streams_before_it_ends() -> None:
    parser = Parser()
    for token in ids("<|channel|>final" + " and on it goes" * 40):
        parser.feed(token)
    assert parser.message
    assert parser.feed(ids(" still")[0]) == [TextDelta(" still")]


def test_a_header_given_to_the_model_is_fed_like_a_sampled_one() -> None:
    outcome = run([*render.FINAL_START, *ids("Hello<|return|>")])
    assert outcome.shown == "Hello"
    assert outcome.ended[0].tokens == tuple(ids("<|start|>assistant<|channel|>final<|message|>Hello<|return|>"))


def test_what_was_cut_short_is_handed_out_once_and_said_to_be_incomplete() -> None:
    (message,) = run(ids("<|channel|>final<|message|>Hel")).ended
    assert (message.text, message.complete) == ("Hel", False)
    assert message.tokens == tuple(ids("<|start|>assistant<|channel|>final<|message|>Hel"))


@pytest.mark.parametrize(
    "cut", ["", "<|channel|>final", "<|channel|>final js", "<|channel|>commentary to=functions.re"]
)
def test_half_a_header_is_neither_shown_nor_called(cut: str) -> None:
    assert run(ids(cut)).ended == []


def test_nothing_comes_after_somebody_else_has_spoken() -> None:
    parser = Parser()
    events = [event for token in ids("<|start|>user") for event in parser.feed(token)]
    assert events == [Stopped("other speaker")]
    assert not [event for token in ids("<|end|><|channel|>final<|message|>x<|return|>") for event in parser.feed(token)]
    assert parser.finish() == []


@pytest.mark.parametrize(
    "noise", ["<|start|>", "<|start|>a", "<|channel|>", "<|start|><|channel|>", "\n", "<|constrain|>"]
)
@pytest.mark.parametrize(
    "before", ["", "<|channel|>final<|message|>x<|end|>", "<|start|>", "<|channel|>", "<|channel|>fin"]
)
def test_noise_without_end_costs_neither_memory_nor_what_follows(noise: str, before: str) -> None:
    parser = Parser(stop_repetition=False)
    for token in ids(before) + ids(noise) * 300:
        parser.feed(token)
        assert len(parser._header) < 200
    events = [
        event for token in ids("<|end|><|start|>assistant<|channel|>final<|message|>Hi") for event in parser.feed(token)
    ]
    assert events[-1] == TextDelta("Hi")


def raw(content: bytes) -> list[int]:
    """Ids of single bytes."""
    table = vocabulary.token_bytes()
    return [table.index(bytes([byte])) for byte in content]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("é🎉漢".encode(), "é🎉漢"),
        (b"a\xe2\x82", "a\ufffd"),
        (b"a\xf0\x9f\x8eb", "a\ufffdb"),
        (b"a\x80b", "a\ufffdb"),
        (b"a\x9f\x8e\x89b", "a\ufffdb"),
        (b"\xf0\x9f\xe6\xbc\xa2", "\ufffd漢"),
        (b"a\x80\xe2\x82.", "a\ufffd."),
        ("\ufffd\ufffd".encode(), "\ufffd\ufffd"),
        (b"\xed\xa0\x80.\xff", "\ufffd.\ufffd"),
    ],
)
@pytest.mark.parametrize("end", [vocabulary.RETURN, vocabulary.START, None])
def test_a_broken_character_is_one_replacement_and_nothing_else_is_lost(
    content: bytes, text: str, end: int | None
) -> None:
    outcome = run([*ids("<|channel|>final<|message|>"), *raw(content), *([end] if end else [])])
    assert outcome.shown == text


@settings(max_examples=200, deadline=None, database=None)
@given(st.lists(st.integers(0, vocabulary.FIRST_SPECIAL_ID - 1), max_size=30))
def test_any_ordinary_ids_are_shown_as_their_bytes_say(tokens: list[int]) -> None:
    content = b"".join(vocabulary.token_bytes()[token] for token in tokens)
    shown = run([*render.FINAL_START, *tokens, vocabulary.RETURN]).shown
    try:
        assert shown == content.decode()
    except UnicodeDecodeError:
        kept = "".join(char for char in content.decode(errors="ignore") if char != "\ufffd")
        assert shown.replace("\ufffd", "") == kept
        assert "\ufffd" in shown


def test_broken_characters_of_two_messages_are_two_replacements() -> None:
    broken = [vocabulary.CHANNEL, *ids("commentary"), vocabulary.MESSAGE, *raw(b"\x80"), vocabulary.END]
    assert run([*broken, *render.ASSISTANT_START, *broken]).shown == "\ufffd\ufffd"


@pytest.mark.parametrize("text", ["analysisThe user wants it.assistantfinalHello", "analysis It is.", " commentaryHm."])
def test_text_without_a_header_that_names_another_channel_is_no_answer(text: str) -> None:
    outcome = run([*ids(text), vocabulary.RETURN])
    assert outcome.shown == ""
    (message,) = outcome.ended
    assert (message.channel, message.text) == ("analysis", text)
    assert_history_is_well_formed(outcome.ended)
    assert run([*ids(text.replace("a", "A").replace("c", "C")), vocabulary.RETURN]).shown


@pytest.mark.parametrize("token", [-1, -(10**6), vocabulary.VOCABULARY_SIZE, 2**40])
def test_ids_outside_the_vocabulary_say_nothing(token: int) -> None:
    assert run([token, *render.FINAL_START, token, *ids("Hi"), token, vocabulary.RETURN, token]).shown == "Hi"


def test_repetition_ends_the_message_and_keeps_one_of_it() -> None:
    said = "Let me think. " + "I am sorry, I can't. " * 400
    outcome = run([*render.FINAL_START, *ids(said), vocabulary.RETURN])
    assert told(outcome)[1:] == [("stopped", "repetition")]
    (message,) = outcome.ended
    assert not message.complete
    assert said.startswith(message.text)
    assert len(message.text) < len(said)
    assert encoding.load().decode(message.tokens).count("sorry") == 1


def test_nothing_comes_after_a_repetition_and_the_setting_turns_it_off() -> None:
    tokens = [*render.FINAL_START, *ids("no no no " * 500), vocabulary.RETURN]
    stopping, lenient = Parser(), Parser(stop_repetition=False)
    assert [event for token in tokens for event in stopping.feed(token)][-1] == Stopped("repetition")
    last = [event for token in tokens for event in lenient.feed(token)][-1]
    assert isinstance(last, MessageEnded)
    assert last.complete


@pytest.mark.parametrize("case", REAL_OUTPUTS, ids=lambda case: case["what"])
def test_what_the_real_model_writes_is_read_as_it_is_meant(case: dict[str, Any]) -> None:
    outcome = run(ids(case["written"]))
    assert [message.text for message in outcome.ended if is_shown(message)] == [
        text for text in case["shown"].split(" / ") if text
    ]
    assert [message.recipient for message in outcome.ended if message.recipient] == (
        [case["call"]] if case["call"] else []
    )
    assert outcome.lost == ("model is told" in case.get("then", ""))
    assert_history_is_well_formed(outcome.ended)


def test_a_preamble_that_is_no_object_streams_as_soon_as_that_is_known() -> None:
    parser, shown = Parser(), ""
    for token in ids("<|channel|>commentary<|message|> {name} is"):
        shown += "".join(event.text for event in parser.feed(token) if isinstance(event, TextDelta))
    assert shown == " {name} is"


@settings(max_examples=200, deadline=None, database=None)
@given(
    st.recursive(
        st.none() | st.text() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_every_json_object_is_held_back_however_it_is_cut(value: object) -> None:
    text = json.dumps({"value": value}, indent=1)
    assert all(OneObject().feed(text[:end]) for end in range(len(text)))
    assert OneObject().feed(text + "\n")
    assert not OneObject().feed(text + " x")
