"""The ledger: what stays of a turn, and that its ids are those that openai-harmony would render."""

from __future__ import annotations

from datetime import date
from typing import Any, Literal, NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from openai_harmony import (
    Author,
    Conversation,
    DeveloperContent,
    Message,
    ReasoningEffort,
    RenderConversationConfig,
    Role,
    SystemContent,
    ToolDescription,
    ToolNamespaceConfig,
)

from gptoss_acp import tool_description, vocabulary
from gptoss_acp.harmony import encoding, render
from gptoss_acp.harmony.parser import MessageEnded, Parser
from gptoss_acp.ledger import INTERRUPTED, Entry, Ledger, begun
from gptoss_acp.settings import EFFORTS
from tests.support.harmony_outputs import ids

TODAY = date(2026, 3, 1)
READ = tool_description.ToolDescription(
    "read_file", "Read a file.", {"type": "object", "properties": {"path": {"type": "string"}}}
)
PATCH = tool_description.ToolDescription("apply_patch", "Patch files.", {"type": "string"})
KEEP_ANALYSIS = RenderConversationConfig(auto_drop_analysis=False)


def sampled(text: str) -> list[MessageEnded]:
    parser = Parser()
    events = [event for token in ids(text) for event in parser.feed(token)] + parser.finish()
    return [event for event in events if isinstance(event, MessageEnded)]


def ledger_of(*outputs: str) -> Ledger:
    """A conversation with one turn for each output, without system and developer messages."""
    ledger = Ledger()
    for output in outputs:
        ledger.add_user("go on")
        for message in sampled(output):
            ledger.add_sampled(message)
            if message.recipient:
                ledger.add_tool_result(message, "result")
        ledger.end_turn()
    return ledger


def text_of(ledger: Ledger) -> str:
    text: str = encoding.load().decode(ledger.prompt())
    return text


USER = "<|start|>user<|message|>go on<|end|>"
THOUGHT = "<|start|>assistant<|channel|>analysis<|message|>Hm<|end|>"
ANSWER = "<|start|>assistant<|channel|>final<|message|>Hi<|end|>"
CALL = "<|start|>assistant<|channel|>commentary to=functions.x <|constrain|>json<|message|>{}<|call|>"
RESULT = "<|start|>functions.x to=assistant<|channel|>commentary<|message|>result<|end|>"
SPEAK = "<|start|>assistant"


def as_output(*messages: str) -> str:
    return "".join(messages).removeprefix(SPEAK)


def test_return_is_kept_as_end() -> None:
    assert text_of(ledger_of(as_output(ANSWER).replace("<|end|>", "<|return|>"))) == USER + ANSWER + SPEAK


@pytest.mark.parametrize("end", ["<|call|>", "<|end|>", "<|return|>"])
def test_a_call_is_kept_with_call_whatever_ended_it(end: str) -> None:
    assert text_of(ledger_of(as_output(CALL).replace("<|call|>", end))) == USER + CALL + RESULT + SPEAK


def test_a_call_to_nobody_is_kept_with_end() -> None:
    preamble = "<|start|>assistant<|channel|>commentary<|message|>I look<|end|>"
    assert text_of(ledger_of(as_output(preamble).replace("<|end|>", "<|call|>"))) == USER + preamble + SPEAK


def test_reasoning_leaves_when_its_turn_ended_in_final_also_in_mid_conversation() -> None:
    turn = as_output(THOUGHT, CALL, THOUGHT, ANSWER)
    kept = USER + CALL + RESULT + ANSWER
    assert text_of(ledger_of(turn, turn)) == kept * 2 + SPEAK


def test_reasoning_after_final_leaves_too() -> None:
    assert text_of(ledger_of(as_output(ANSWER, THOUGHT))) == USER + ANSWER + SPEAK


def test_reasoning_stays_across_tool_calls() -> None:
    assert text_of(ledger_of(as_output(THOUGHT, CALL, THOUGHT))) == USER + THOUGHT + CALL + RESULT + THOUGHT + SPEAK


def test_reasoning_of_a_turn_without_answer_leaves_with_that_of_the_next() -> None:
    first, both = as_output(THOUGHT, CALL), [as_output(THOUGHT, CALL), as_output(THOUGHT, ANSWER)]
    assert text_of(ledger_of(first)) == USER + THOUGHT + CALL + RESULT + SPEAK
    assert text_of(ledger_of(*both)) == USER + CALL + RESULT + USER + ANSWER + SPEAK


def test_a_call_on_analysis_is_no_reasoning() -> None:
    call, result = (text.replace("commentary", "analysis") for text in (CALL, RESULT))
    assert text_of(ledger_of(as_output(THOUGHT, call, ANSWER))) == USER + call + result + ANSWER + SPEAK


def test_a_call_on_final_is_no_answer() -> None:
    on_final = CALL.replace("commentary", "final")
    assert THOUGHT in text_of(ledger_of(as_output(THOUGHT, on_final)))


def test_a_cut_short_answer_is_closed_and_its_reasoning_leaves() -> None:
    ledger = ledger_of(as_output(THOUGHT, ANSWER).removesuffix("<|end|>"))
    assert text_of(ledger) == USER + ANSWER + SPEAK
    assert not ledger.entries[-1].complete


def test_a_cut_short_preamble_is_closed() -> None:
    preamble = "<|start|>assistant<|channel|>commentary<|message|>I look<|end|>"
    assert text_of(ledger_of(as_output(preamble).removesuffix("<|end|>"))) == USER + preamble + SPEAK


def test_cut_short_reasoning_and_calls_are_dropped() -> None:
    assert text_of(ledger_of(as_output(THOUGHT).removesuffix("<|end|>"))) == USER + SPEAK
    ledger = Ledger()
    for message in sampled(as_output(CALL).removesuffix("<|call|>")):
        ledger.add_sampled(message)
    assert ledger.entries == []


def test_messages_that_say_nothing_are_dropped_and_calls_without_arguments_are_not() -> None:
    assert text_of(ledger_of("<|channel|>final<|message|><|return|>")) == USER + SPEAK
    call = CALL.replace("{}", "")
    assert text_of(ledger_of(as_output(call))) == USER + call + RESULT + SPEAK


PREAMBLE = "<|start|>assistant<|channel|>commentary<|message|>Hi<|end|>"


@pytest.mark.parametrize(
    ("entries", "mended"),
    [
        pytest.param([], USER, id="nothing was said"),
        pytest.param([CALL], USER + CALL + RESULT.replace("result", INTERRUPTED), id="a call ran"),
        pytest.param([THOUGHT], USER + THOUGHT, id="it thought"),
        pytest.param([THOUGHT, begun("final", "a")], USER + ANSWER, id="it answered"),
        pytest.param([begun("commentary", "a")], USER + PREAMBLE, id="it spoke before a call"),
        pytest.param([THOUGHT, begun("final", "b")], USER + THOUGHT, id="nobody has seen any of it"),
    ],
)
def test_a_turn_that_ended_with_its_process_is_mended(entries: list[str | Entry], mended: str) -> None:
    ledger = Ledger()
    ledger.add_user("go on")
    for entry in entries:
        if isinstance(entry, Entry):
            ledger.entries.append(entry)
        else:
            ledger.add_sampled(*sampled(as_output(entry)))
    ledger.mend({"a": "Hi"})
    ledger.add_user("go on")
    assert text_of(ledger) == mended + USER + SPEAK


def test_a_whole_turn_is_not_mended() -> None:
    ledger = ledger_of(as_output(CALL, ANSWER), as_output(PREAMBLE))
    entries = list(ledger.entries)
    ledger.mend({})
    assert all(one is other for one, other in zip(ledger.entries, entries, strict=True))


def test_sampled_ids_are_kept_as_sampled() -> None:
    tokens = [*ids("<|channel|>final<|message|>"), *ids("Hel"), *ids("lo"), vocabulary.RETURN]
    parser, ledger = Parser(), Ledger()
    for token in tokens:
        for event in parser.feed(token):
            if isinstance(event, MessageEnded):
                ledger.add_sampled(event)
    assert ledger.prompt() == [*render.ASSISTANT_START, *tokens[:-1], vocabulary.END, *render.ASSISTANT_START]


class Setting(NamedTuple):
    instructions: str
    tools: list[tool_description.ToolDescription]
    effort: render.Effort
    today: date


@pytest.mark.parametrize(
    "changed",
    [
        Setting("Be brief.", [READ], "high", TODAY),
        Setting("Be brief.", [READ, PATCH], "low", TODAY),
        Setting("Be brief.", [], "low", TODAY),
        Setting("Only ask.", [READ], "low", TODAY),
        Setting("Be brief.", [READ], "low", date(2026, 3, 2)),
    ],
)
def test_changed_settings_render_the_system_and_developer_entries_only(changed: Setting) -> None:
    ledger = ledger_of(as_output(CALL), as_output(ANSWER))
    ledger.set_prefix("Be brief.", [READ], "low", TODAY)
    before, entries = ledger.prompt(), list(ledger.entries)
    ledger.set_prefix(*changed)
    conversation = [token for entry in entries for token in entry.tokens] + list(render.ASSISTANT_START)
    assert ledger.entries == entries
    assert ledger.prompt() != before
    assert ledger.prompt()[-len(conversation) :] == conversation
    assert [entry.role for entry in ledger.prefix] == ["system", "developer"]


# Conversations of ours, told to the library and to the ledger.

texts = st.text(max_size=12) | st.sampled_from(
    ["<|end|>", "<|start|>user<|message|>", "<|call|> a <|return|>", "é漢🎉"]
)
spoken = texts.filter(bool)
names = st.sampled_from(["functions.read_file", "functions.mcp.x-y_z", "container.exec"])
Call = tuple[Literal["call"], str, str, str, str]
steps = st.one_of(
    st.tuples(st.just("analysis"), spoken),
    st.tuples(st.just("commentary"), spoken.filter(lambda text: not text.lstrip().startswith("{"))),  # a lost call
    st.tuples(st.just("call"), st.sampled_from(["commentary", "analysis"]), names, texts, texts),
)
turns = st.lists(st.tuples(texts, st.lists(steps, max_size=4), st.none() | spoken), max_size=3)
schemas = st.fixed_dictionaries(
    {"type": st.just("object"), "properties": st.dictionaries(st.text("ab_", min_size=1), st.just({"type": "string"}))}
)
tools = st.lists(
    st.builds(
        tool_description.ToolDescription,
        st.text("abz_-.", min_size=1, max_size=9),
        st.text(max_size=9),
        schemas,
        st.sampled_from(["functions", "container", "repo_browser"]),
    ),
    max_size=4,
)


class Both:
    """A conversation as messages of the library's and as a ledger, kept alike."""

    def __init__(self, setting: Setting) -> None:
        system = (
            SystemContent.new()
            .with_reasoning_effort(ReasoningEffort(setting.effort.capitalize()))
            .with_conversation_start_date(setting.today.isoformat())
        )
        developer = DeveloperContent.new().with_instructions(setting.instructions)
        told: dict[str, list[ToolDescription]] = {}
        for tool in setting.tools:
            parameters = tool.parameters if tool.parameters["properties"] else None
            told.setdefault(tool.namespace, []).append(ToolDescription.new(tool.name, tool.description, parameters))
        if functions := told.pop("functions", []):
            developer = developer.with_function_tools(functions)
        for namespace, described in told.items():
            system = system.with_tools(ToolNamespaceConfig(name=namespace, tools=described))
        self.prefix = [
            Message.from_role_and_content(Role.SYSTEM, system),
            Message.from_role_and_content(Role.DEVELOPER, developer),
        ]
        self.messages: list[Message] = []
        self.ledger = Ledger()
        self.ledger.set_prefix(*setting)

    def user(self, text: str) -> None:
        self.messages.append(Message.from_role_and_content(Role.USER, text))
        self.ledger.add_user(text)

    def assistant(self, message: Message, result: str = "") -> None:
        """The model samples `message`; if it is a call, it is answered with `result`."""
        self.messages.append(message)
        parser, ended = Parser(), []
        for token in encoding.load().render(message)[2:]:
            stop = vocabulary.RETURN if token == vocabulary.END and message.channel == "final" else token
            ended += [event for event in parser.feed(stop) if isinstance(event, MessageEnded)]
        self.ledger.add_sampled(ended[0])
        if message.recipient:
            author = Author.new(Role.TOOL, message.recipient)
            answer = Message.from_author_and_content(author, result).with_channel(message.channel)
            self.messages.append(answer.with_recipient("assistant"))
            self.ledger.add_tool_result(ended[0], result)

    def end_turn(self) -> None:
        if self.messages[-1].channel == "final":
            self.messages = [m for m in self.messages if m.channel != "analysis" or m.recipient]
        self.ledger.end_turn()

    def assert_alike(self) -> None:
        conversation = Conversation.from_messages([*self.prefix, *self.messages])
        rendered = encoding.load().render_conversation_for_completion(conversation, Role.ASSISTANT, KEEP_ANALYSIS)
        assert self.ledger.prompt() == rendered
        markup = [token for token in rendered if token >= vocabulary.FIRST_SPECIAL_ID]
        ours = [entry.tokens for entry in (*self.ledger.prefix, *self.ledger.entries)]
        assert markup.count(vocabulary.START) == len(ours) + 1, "a text became a message"
        for entry in ours:
            assert sum(token in vocabulary.MESSAGE_ENDS for token in entry) == 1, "a text ended its message"


@settings(max_examples=100, deadline=None, database=None)
@given(st.builds(Setting, texts, tools, st.sampled_from(EFFORTS), st.dates()), turns)
def test_the_prompt_is_what_openai_harmony_renders_after_our_dropping_rule(
    setting: Setting, conversation: list[tuple[str, list[Any], str | None]]
) -> None:
    both = Both(setting)
    for question, taken, answer in conversation:
        both.user(question)
        for step in taken:
            match step:
                case ("call", channel, recipient, arguments, result):
                    call = Message.from_role_and_content(Role.ASSISTANT, arguments).with_channel(channel)
                    both.assistant(call.with_recipient(recipient).with_content_type("<|constrain|>json"), result)
                case (channel, text):
                    both.assistant(Message.from_role_and_content(Role.ASSISTANT, text).with_channel(channel))
            both.assert_alike()
        if answer is not None:
            both.assistant(Message.from_role_and_content(Role.ASSISTANT, answer).with_channel("final"))
        both.end_turn()
        both.assert_alike()


@settings(max_examples=100, deadline=None, database=None)
@given(st.lists(st.sampled_from(sorted(encoding.load().special_tokens_set)) | st.text(max_size=5)).map("".join))
def test_control_tokens_spelt_out_by_users_tools_and_instructions_stay_text(text: str) -> None:
    ledger = Ledger()
    ledger.set_prefix(
        text, [tool_description.ToolDescription("x", text, {"type": "object", "description": text})], "low", TODAY
    )
    ledger.add_user(text)
    ledger.add_tool_result(MessageEnded("commentary", "functions.x", None, "{}", (), complete=True), text)
    controls = [token for token in ledger.prompt() if token >= vocabulary.FIRST_SPECIAL_ID]
    message, channelled = [vocabulary.START, vocabulary.MESSAGE, vocabulary.END], [vocabulary.START, vocabulary.CHANNEL]
    assert controls == [*message * 3, *channelled, vocabulary.MESSAGE, vocabulary.END, vocabulary.START]


@settings(max_examples=100, deadline=None, database=None)
@given(st.text(st.characters(exclude_categories=())) | st.sampled_from(["functions.x to=user", "a\nb", "", "<|end|>"]))
@example("system")
@example("developer")
@example("user")
@example("assistant")
@example("tool")
def test_a_tool_result_has_a_header_that_openai_harmony_reads_whoever_was_called(recipient: str) -> None:
    ledger = Ledger()
    ledger.add_tool_result(MessageEnded("commentary", recipient, None, "{}", (), complete=True), "result")
    (read,) = encoding.load().parse_messages_from_completion_tokens(ledger.entries[0].tokens)
    assert read.author.role == Role.TOOL
    assert (read.recipient, read.channel, read.content[0].text) == ("assistant", "commentary", "result")


def test_what_openai_harmony_refuses_to_render_is_made_renderable() -> None:
    broken = "half \ud83c of a pair"
    with pytest.raises(ValueError, match="invalid message JSON"):
        encoding.load().render(Message.from_role_and_content(Role.USER, broken))
    ledger = Ledger()
    schema = {"description": broken, "default": float("nan")}
    ledger.set_prefix(broken, [tool_description.ToolDescription("x", broken, schema)], "low", TODAY)
    ledger.add_user(broken)
    ledger.add_tool_result(MessageEnded("commentary", "functions.x", None, "{}", (), complete=True), broken)
    assert text_of(ledger).count("half \ufffd of a pair") >= 4


def test_unanswered_messages_are_those_after_which_nobody_spoke() -> None:
    ledger = Ledger()
    assert ledger.unanswered == []
    user, assistant, summary = Entry("user", (1,), ""), Entry("assistant", (1,), ""), Entry("summary", (1,), "")
    ledger.entries = [user, assistant, summary, Entry("user", (1, 2), ""), Entry("user", (1, 2, 3), "")]
    assert [len(message.tokens) for message in ledger.unanswered] == [2, 3]
    ledger.drop_unanswered()
    assert [message.role for message in ledger.entries] == ["user", "assistant", "summary"]
    ledger.drop_unanswered()
    assert len(ledger.entries) == 3
