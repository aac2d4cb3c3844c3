"""The header grammar: what it allows, that the device agrees with the host, and that no model can get round it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date

import mlx.core as mx
import numpy as np
import pytest
from openai_harmony import Message, Role

from gptoss_acp import tools, vocabulary
from gptoss_acp.harmony import encoding, header_grammar, render
from gptoss_acp.harmony.constraint import constraint_to
from gptoss_acp.harmony.header_grammar import HeaderGrammar, HeaderProcessor, grammar_of
from gptoss_acp.harmony.render import ASSISTANT_START
from gptoss_acp.tool_description import ToolDescription
from gptoss_acp.tool_names import ToolNames
from gptoss_acp.vocabulary import CALL, CHANNEL, CONSTRAIN, END, MESSAGE, RETURN, START
from tests.support.random_gpt_oss import (
    TOOLS,
    RandomGptOss,
    Written,
    generate,
    is_well_formed,
    read,
    sample,
    satisfies_schema,
)

RECIPIENTS = {spelling for tool in TOOLS for spelling in (tool.name, tool.recipient)}
CALL_HEADERS = (
    "<|channel|>commentary to=functions.{} <|constrain|>json<|message|>",
    "<|channel|>commentary to=functions.{}<|constrain|>json<|message|>",
    "<|channel|>commentary to=functions.{}<|message|>",
    "<|channel|>analysis to=functions.{} <|constrain|>json<|message|>",
    "<|channel|>analysis to=functions.{} code<|message|>",
    "<|channel|>commentary to=functions.{} json<|message|>",
    " to=functions.{}<|channel|>analysis code<|message|>",
    " to=functions.{}<|channel|>commentary <|constrain|>json<|message|>",
    " to=functions.{}<|channel|>commentary<|message|>",
)


@pytest.fixture(scope="module")
def headers() -> HeaderGrammar:
    return grammar_of(constraint_to(TOOLS))


@pytest.fixture(scope="module")
def random_model() -> RandomGptOss:
    return RandomGptOss(seed=0)


def spell(text: str) -> list[int]:
    ids: list[int] = encoding.load().encode(text, allowed_special="all")
    return ids


def walk(headers: HeaderGrammar, ids: Sequence[int], state: int = header_grammar.HEADER) -> int:
    for token in ids:
        state = headers.step(state, token)
    return state


def whole_headers(ids: Sequence[int]) -> list[Written]:
    """Return the messages in `ids`, without a last one whose header was cut short."""
    return [message for message in read(ids) if "<|message|>" in message.header or message.stop is not None]


def follow(processor: HeaderProcessor, ids: Sequence[int]) -> Iterator[set[int]]:
    """Yield which ids the processor allows before each of `ids`, and after the last."""
    for token in (ASSISTANT_START[1], *ids):
        masked = processor(mx.array([token], dtype=mx.int32), mx.zeros((1, vocabulary.VOCABULARY_SIZE)))
        yield set(np.flatnonzero(np.isfinite(np.array(masked[0]))).tolist())


@pytest.mark.parametrize("shape", CALL_HEADERS)
@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_call_headers_are_allowed_as_the_library_spells_them(
    headers: HeaderGrammar, shape: str, tool: ToolDescription
) -> None:
    state = walk(headers, spell(shape.format(tool.name)))
    assert headers.edges[state] == {CALL: header_grammar.STOPPED}
    assert (state in headers.schemas) == (tool.parameters["type"] == "object")


@pytest.mark.parametrize(
    ("header", "content", "stop"),
    [
        ("<|channel|>analysis<|message|>", header_grammar.ANALYSIS, END),
        ("<|channel|>commentary<|message|>", header_grammar.PREAMBLE, END),
        ("<|channel|>final<|message|>", header_grammar.FINAL, RETURN),
    ],
)
def test_headers_without_recipient_lead_to_content_with_one_stop_token(
    headers: HeaderGrammar, header: str, content: int, stop: int
) -> None:
    assert walk(headers, spell(header)) == content
    assert list(headers.edges[content]) == [stop]


def test_messages_that_the_library_renders_are_allowed(headers: HeaderGrammar) -> None:
    assistant = Message.from_role_and_content
    messages = [
        assistant(Role.ASSISTANT, "hm").with_channel("analysis"),
        assistant(Role.ASSISTANT, "I look.").with_channel("commentary"),
        assistant(Role.ASSISTANT, '{"path":"a"}')
        .with_channel("commentary")
        .with_recipient("functions.read_file")
        .with_content_type("<|constrain|>json"),
    ]
    rendered = [token for message in messages for token in encoding.load().render(message)]
    assert walk(headers, rendered, header_grammar.ENDED) == header_grammar.STOPPED


@pytest.mark.parametrize(
    ("allowed", "refused"),
    [
        ("<|channel|>", "<|channel|>"),
        ("<|channel|>", "Final"),
        ("<|channel|>", "<|message|>"),
        ("<|channel|>final", "x"),
        ("<|channel|>final", " Hello"),
        ("<|channel|>final", "<|end|>"),
        ("<|channel|>final", " to"),
        ("<|channel|>final", "<|constrain|>"),
        ("<|channel|>commentary", "?"),
        ("<|channel|>comment", "<|message|>"),
        ("<|channel|>commentary to=", "write"),
        ("<|channel|>commentary to=", "assistant"),
        ("<|channel|>commentary to=functions", ".nothing"),
        ("<|channel|>commentary to=functions.read", "<|call|>"),
        ("<|channel|>commentary to=functions.read", " to"),
        ("<|channel|>commentary to=functions.read_file", "s"),
        ("<|channel|>commentary to=functions.read <|constrain|>", "text"),
        ("<|channel|>commentary to=functions.read <|constrain|>json", "<|constrain|>"),
        (" to=functions.read", "<|message|>"),
        (" to=functions.read<|channel|>", "final"),
        (" to=functions.read<|channel|>commentary", " to"),
        ("", "<|message|>"),
        ("", "<|end|>"),
        ("", "Hello"),
        ("<|channel|>analysis<|message|>hm", "<|return|>"),
        ("<|channel|>analysis<|message|>hm", "<|call|>"),
        ("<|channel|>analysis<|message|>hm", "<|channel|>"),
        ("<|channel|>analysis<|message|>hm", "<|message|>"),
        ("<|channel|>analysis<|message|>hm", "<|endoftext|>"),
        ("<|channel|>analysis<|message|>hm<|end|>", "<|return|>"),
        ("<|channel|>analysis<|message|>hm<|end|>", "<|end|>"),
        ("<|channel|>analysis<|message|>hm<|end|>", "Hello"),
        ("<|channel|>analysis<|message|>hm<|end|><|start|>", "user"),
        ("<|channel|>analysis<|message|>hm<|end|><|start|>", "functions"),
        ("<|channel|>commentary<|message|>hm", "<|call|>"),
        ("<|channel|>final<|message|>hm", "<|end|>"),
        ("<|channel|>final<|message|>hm", "<|call|>"),
        ("<|channel|>commentary to=functions.apply_patch<|message|>hm", "<|end|>"),
        ("<|channel|>commentary to=functions.apply_patch<|message|>hm", "<|return|>"),
    ],
)
def test_malformed_output_is_refused_where_it_goes_wrong(headers: HeaderGrammar, allowed: str, refused: str) -> None:
    state = walk(headers, spell(allowed))
    with pytest.raises(ValueError, match="not allowed"):
        headers.step(state, spell(refused)[0])


def test_a_tool_cannot_smuggle_control_tokens_into_a_header() -> None:
    headers = HeaderGrammar([("functions.x<|message|>", None)])
    walk(headers, [CHANNEL, *encoding.encode_text("commentary to=functions.x<|message|>"), MESSAGE])
    with pytest.raises(ValueError, match="not allowed"):
        walk(headers, spell("<|channel|>commentary to=functions.x<|message|>"))


@pytest.mark.parametrize("tool", tools.descriptions(), ids=lambda tool: tool.recipient)
def test_every_name_that_runs_a_tool_may_be_written_on_both_channels(tool: ToolDescription) -> None:
    headers = grammar_of(constraint_to(tools.descriptions()))
    names = ToolNames([tool.recipient for tool in tools.descriptions()])
    spellings = [spelling for spelling, recipient in names.spellings() if recipient == tool.recipient]
    assert len(spellings) >= 2
    (arguments,) = {
        walk(headers, spell(f"<|channel|>{channel} to={spelling}{content_type}<|message|>"))
        for spelling in spellings
        for channel in ("analysis", "commentary")
        for content_type in ("", " code", " <|constrain|>json")
    }
    assert arguments in headers.schemas


def test_code_is_free_where_python_is_called() -> None:
    headers = grammar_of(constraint_to(tools.descriptions()))
    state = walk(headers, spell("<|channel|>analysis to=python code<|message|>print(1)"))
    assert headers.edges[state] == {CALL: header_grammar.STOPPED}
    assert state not in headers.schemas


@pytest.mark.parametrize("name", ["write_file", "browser.search", "functions.browser.open", "container.exec2"])
def test_names_that_run_nothing_are_impossible(name: str) -> None:
    headers = grammar_of(constraint_to(tools.descriptions()))
    with pytest.raises(ValueError, match="not allowed"):
        walk(headers, spell(f"<|channel|>analysis to={name} code<|message|>"))


def test_a_session_without_tools_has_no_recipients() -> None:
    headers = grammar_of(constraint_to([]))
    assert walk(headers, spell("<|channel|>analysis<|message|>")) == header_grammar.ANALYSIS
    assert set(headers.edges[header_grammar.HEADER]) == {CHANNEL}


def test_the_same_tools_share_one_grammar(headers: HeaderGrammar) -> None:
    assert grammar_of(constraint_to(list(TOOLS))) is headers
    assert grammar_of(constraint_to(TOOLS[:1])) is not headers


def test_device_tables_say_what_the_automaton_says(headers: HeaderGrammar) -> None:
    word = encoding.encode_text("Hello")[0]
    for state, edges in enumerate(headers.edges):
        expected = np.zeros(vocabulary.VOCABULARY_SIZE, np.bool_)
        expected[: vocabulary.FIRST_SPECIAL_ID] = state in headers.contents
        expected[list(edges)] = True
        on_device = mx.array([state], dtype=mx.int32)
        assert np.array_equal(np.array(headers.allowed(on_device)[0]), expected)
        for token in [*edges, *([word] if state in headers.contents else [])]:
            after = headers.next_state(on_device, mx.array([token], dtype=mx.int32))
            assert after.item() == headers.step(state, token)


def test_reserved_and_padding_ids_are_allowed_nowhere(headers: HeaderGrammar) -> None:
    anywhere = set().union(*headers.edges)
    specials = {token for token in anywhere if token >= vocabulary.FIRST_SPECIAL_ID}
    assert specials == {RETURN, CONSTRAIN, CHANNEL, START, END, MESSAGE, CALL}


def test_masked_logits_keep_their_type_and_the_allowed_ones_their_value(headers: HeaderGrammar) -> None:
    logits = mx.random.normal((1, vocabulary.VOCABULARY_SIZE)).astype(mx.bfloat16)
    masked = headers.processor(ASSISTANT_START)(mx.array([ASSISTANT_START[1]]), logits)
    assert masked.dtype == mx.bfloat16
    assert masked[0, CHANNEL].item() == logits[0, CHANNEL].item()
    assert masked[0, MESSAGE].item() == -mx.inf


def test_generation_may_begin_within_a_message(headers: HeaderGrammar) -> None:
    final = headers.processor([*ASSISTANT_START, *spell("<|channel|>final<|message|>")])
    (allowed,) = follow(final, [])
    assert RETURN in allowed
    assert not {END, CALL, CHANNEL} & allowed
    arguments = headers.processor(
        [*ASSISTANT_START, *spell('<|channel|>commentary to=functions.plan<|message|>{"state":')]
    )
    (allowed,) = follow(arguments, [])
    assert encoding.encode_text('"')[0] in allowed
    assert encoding.encode_text("12")[0] not in allowed
    with pytest.raises(ValueError, match="not allowed"):
        headers.processor([*ASSISTANT_START, *spell("<|channel|>finalx")])


def test_arguments_follow_their_schema_from_the_first_token_to_the_last(headers: HeaderGrammar) -> None:
    header = spell("<|channel|>commentary to=functions.read_file <|constrain|>json<|message|>")
    arguments = spell('{"path":"a.py","lines":12}')
    steps = list(follow(headers.processor(ASSISTANT_START), [*header, *arguments]))
    assert all(token in allowed for token, allowed in zip([*header, *arguments], steps, strict=False))
    first, *_, last = steps[len(header) :]
    assert first
    assert all(vocabulary.token_bytes()[token].strip()[:1] in {b"", b"{"} for token in first)
    assert CALL in last
    assert not any(vocabulary.token_bytes()[token].strip() for token in last - {CALL})
    assert not any(CALL in allowed for allowed in steps[:-1])


def test_text_is_free_where_llguidance_cannot_follow_the_schema() -> None:
    impossible = {"type": "object", "properties": {"a": {"type": "string", "pattern": "(?=x)"}}}
    headers = grammar_of(constraint_to([ToolDescription("odd", "", impossible)]))
    *_, allowed = follow(headers.processor(ASSISTANT_START), spell("<|channel|>commentary to=functions.odd<|message|>"))
    assert encoding.encode_text("Hello")[0] in allowed
    assert CALL in allowed


def test_sequences_do_not_share_state(headers: HeaderGrammar) -> None:
    left = follow(headers.processor(ASSISTANT_START), spell("<|channel|>final<|message|>Hello<|return|>"))
    right = follow(headers.processor(ASSISTANT_START), spell("<|channel|>analysis<|message|>hm<|end|>"))
    pairs = list(zip(left, right, strict=False))
    assert [RETURN in allowed for allowed, _ in pairs] == [False, False, False, True, True, True]
    assert [END in allowed for _, allowed in pairs] == [False, False, False, True, True, False]


def test_the_host_waits_only_at_the_end_of_a_tool_header_and_in_its_arguments(
    headers: HeaderGrammar, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[int] = []

    def count(newest: mx.array) -> int:
        waits.append(1)
        return int(np.array(newest).item())

    def waits_in(text: str) -> int:
        waits.clear()
        processor = headers.processor(ASSISTANT_START)
        for token in (ASSISTANT_START[1], *spell(text)):
            processor(mx.array([token], dtype=mx.int32), logits)
        return len(waits)

    logits = mx.zeros((1, vocabulary.VOCABULARY_SIZE))
    monkeypatch.setattr(header_grammar, "_wait_for", count)
    spoken = "<|channel|>{}<|message|>I read, to=functions.read, then I patch.<|end|><|start|>assistant"
    assert waits_in(spoken.format("analysis")) == 0
    assert waits_in(spoken.format("commentary")) == 0
    assert waits_in("<|channel|>final<|message|>Hello to=functions.read<|return|>") == 0
    header = "<|channel|>commentary to=functions.{}<|message|>"
    free_text = waits_in(header.format("apply_patch"))
    assert free_text <= 3
    assert waits_in(header.format("apply_patch") + "*** Begin Patch\n" * 20) == free_text
    assert waits_in(header.format("read_file") + '{"path":"a.py"}') >= len(spell('{"path":"a.py"}'))


def test_random_model_writes_no_malformed_header_and_no_unknown_recipient(
    headers: HeaderGrammar, random_model: RandomGptOss
) -> None:
    sampled = sample(random_model, headers, count=12, seed=1)
    messages = [(message, place == 0) for ids in sampled for place, message in enumerate(whole_headers(ids))]
    assert len(messages) >= 12
    assert all(is_well_formed(message, first=first) for message, first in messages)
    assert {message.recipient for message, _ in messages} - {None} <= RECIPIENTS


def test_random_model_writes_almost_only_malformed_headers_without_the_grammar(random_model: RandomGptOss) -> None:
    sampled = sample(random_model, None, count=12, seed=1, max_tokens=20)
    messages = [(message, place == 0) for ids in sampled for place, message in enumerate(read(ids))]
    assert len(messages) >= 12
    assert sum(is_well_formed(message, first=first) for message, first in messages) <= len(messages) // 10


def test_arguments_of_completed_calls_satisfy_their_schema(headers: HeaderGrammar, random_model: RandomGptOss) -> None:
    begun = spell("<|channel|>commentary to=functions")
    messages = [next(read(ids)) for ids in sample(random_model, headers, count=8, seed=2, begun=begun, max_tokens=40)]
    completed = [message for message in messages if message.stop is not None]
    assert completed
    assert all(is_well_formed(message, first=True) for message in messages)
    assert all(satisfies_schema(message, TOOLS) for message in completed)


def test_bundled_model_says_the_same_with_and_without_the_grammar() -> None:
    loader = pytest.importorskip("gptoss_acp.engine.weights")
    described = tools.descriptions()
    prefix = [*render.system("low", date(2026, 1, 1), described), *render.developer("Be brief.", described)]
    prompts = [[*prefix, *render.user("Read README.md"), *ASSISTANT_START]]
    model = loader.load(None).model

    def greedy(logprobs: mx.array) -> mx.array:
        return mx.argmax(logprobs, axis=-1)

    free = generate(model, None, prompts, sampler=greedy, max_tokens=60)
    assert all(ids[-1] in vocabulary.STOP_IDS for ids in free)
    assert generate(model, grammar_of(constraint_to(described)), prompts, sampler=greedy, max_tokens=60) == free
