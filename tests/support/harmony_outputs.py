"""What a model may write: well-formed outputs, mutations of them, noise; and what must hold for each of them.

Thoughts are Cyrillic, answers are not, so that a thought that shows is seen at once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NamedTuple

from hypothesis import strategies as st
from openai_harmony import Message, Role, StreamableParser

from gptoss_acp import vocabulary
from gptoss_acp.harmony import encoding
from gptoss_acp.harmony.parser import Event, MessageEnded, MessageStarted, Parser, RecipientLost, Stopped, TextDelta

THOUGHT_LETTERS = "абвгдежз"
ANSWER_LETTERS = "abc é漢🎉.\n1"
CALL_LETTERS = '{"path": 1}'

_UNNAMED_ANSWER = re.compile(
    rf"(^|<\|start\|>\s*(assistant)?|<\|(end|return|call)\|>)[^{THOUGHT_LETTERS}\w]*(<\|[a-z_\d]+\|>[^{THOUGHT_LETTERS}\w]*)*"
    rf"[^<]*[{THOUGHT_LETTERS}].*?<\|return\|>"
    rf"|(^|<\|start\|>|<\|(end|return|call)\|>)((?!<\|channel\|>|<\|start\|>).)*[{THOUGHT_LETTERS}]((?!<\|channel\|>).)*?<\|return\|>",
    re.DOTALL,
)
"""A thought that has lost its channel or its name and ends as an answer does: it is taken for one."""


class Said(NamedTuple):
    """A message as the oracle and the parser can both tell it."""

    channel: str | None
    recipient: str | None
    text: str


@dataclass
class Outcome:
    shown: str = ""
    ended: list[MessageEnded] = field(default_factory=list)
    stopped: list[Stopped] = field(default_factory=list)
    lost: int = 0

    def note(self, event: RecipientLost | Stopped) -> None:
        if isinstance(event, Stopped):
            self.stopped.append(event)
        else:
            self.lost += 1

    @property
    def said(self) -> list[Said]:
        return [Said(message.channel, message.recipient, message.text) for message in self.ended]


def ids(text: str) -> list[int]:
    """Encode with `<|…|>` as control tokens."""
    tokens: list[int] = encoding.load().encode(text, allowed_special="all")
    return tokens


def run(tokens: list[int], *, finish: bool = True) -> Outcome:
    """Feed a parser and hold its events together: every message starts, is told in deltas, and ends with their sum."""
    parser, outcome = Parser(), Outcome()
    open_message: MessageStarted | None = None
    told = ""

    def take(events: list[Event]) -> None:
        nonlocal open_message, told
        for event in events:
            match event:
                case MessageStarted():
                    assert open_message is None
                    open_message, told = event, ""
                case TextDelta():
                    assert open_message
                    assert event.text
                    told += event.text
                    if is_shown(open_message):
                        outcome.shown += event.text
                case MessageEnded():
                    assert open_message == MessageStarted(event.channel, event.recipient)
                    assert event.text == told
                    outcome.ended.append(event)
                    open_message = None
                case RecipientLost() | Stopped():
                    outcome.note(event)

    for token in tokens:
        take(parser.feed(token))
        assert parser.message == open_message
    if finish:
        take(parser.finish())
        assert open_message is None
        assert not parser.finish()
    return outcome


def is_shown(message: MessageStarted | MessageEnded) -> bool:
    return message.channel != "analysis" and message.recipient is None


def oracle(tokens: list[int]) -> tuple[str, list[Said]]:
    """Return what openai-harmony shows of a well-formed output, or its beginning, and the messages it has completed."""
    parser, shown = StreamableParser(encoding.load(), Role.ASSISTANT), ""
    for token in tokens:
        parser.process(token)
        delta = parser.last_content_delta if token < vocabulary.FIRST_SPECIAL_ID else None
        if delta and parser.current_channel in {"final", "commentary"} and not parser.current_recipient:
            shown += delta
    return shown, [as_said(message) for message in parser.messages]


def as_said(message: Message) -> Said:
    return Said(message.channel, message.recipient, message.content[0].text)


def assert_history_is_well_formed(ended: list[MessageEnded]) -> None:
    """The messages that are kept, read by openai-harmony, say what the parser said."""
    history = [message for message in ended if message.complete]
    tokens = [token for message in history for token in message.tokens]
    read = encoding.load().parse_messages_from_completion_tokens(tokens, strict=True)
    assert [(message.author.role, message.channel, message.recipient) for message in read] == [
        (Role.ASSISTANT, message.channel, message.recipient) for message in history
    ]
    for theirs, ours in zip(read, history, strict=True):
        if "\ufffd" not in ours.text:
            assert theirs.content[0].text == ours.text


def _message(channel: str, text: str, recipient: str | None = None) -> list[int]:
    message = Message.from_role_and_content(Role.ASSISTANT, text).with_channel(channel)
    if recipient:
        message = message.with_recipient(recipient).with_content_type("<|constrain|>json")
    tokens: list[int] = encoding.load().render(message)
    return tokens


def _channel_first(tokens: list[int]) -> list[int]:
    """Put the recipient behind the channel, as the model samples it."""
    recipient, channel = tokens[2 : tokens.index(vocabulary.CHANNEL)], tokens.index(vocabulary.CHANNEL)
    name_end = tokens.index(220, channel)  # the blank before <|constrain|>
    return tokens[:2] + tokens[channel:name_end] + recipient + tokens[name_end:]


_thoughts = st.text(THOUGHT_LETTERS, min_size=1, max_size=8)
_answers = st.text(ANSWER_LETTERS, max_size=12)
_names = st.sampled_from(["functions.read_file", "functions.shell", "container.exec", "functions.mcp.x-y"])
_calls = st.builds(
    _message, st.sampled_from(["commentary", "analysis"]), st.text(CALL_LETTERS, min_size=1, max_size=12), _names
)
_trained_calls = st.builds(
    lambda name, text: ids(f"<|start|>assistant<|channel|>analysis to={name} code<|message|>{text}\n<|call|>"),
    st.sampled_from(["container.exec", "repo_browser.open_file"]),
    st.text(CALL_LETTERS, min_size=1, max_size=12),
)
_messages = st.one_of(
    st.builds(_message, st.just("analysis"), _thoughts),
    st.builds(_message, st.just("commentary"), _answers),
    st.builds(_message, st.just("final"), _answers),
    _calls,
    _calls.map(_channel_first),
    _trained_calls,
)


@st.composite
def well_formed(draw: st.DrawFn) -> list[int]:
    """What a model samples after `<|start|>assistant` when nothing goes wrong."""
    tokens = [token for message in draw(st.lists(_messages, min_size=1, max_size=4)) for token in message]
    if tokens[-1] == vocabulary.END:
        tokens[-1] = vocabulary.RETURN
    return tokens[2:]


_controls = st.sampled_from([vocabulary.START, vocabulary.CHANNEL, vocabulary.MESSAGE, vocabulary.CONSTRAIN, vocabulary.END,
                             vocabulary.RETURN, vocabulary.CALL])  # fmt: skip
_any_control = _controls | st.integers(vocabulary.FIRST_SPECIAL_ID, vocabulary.VOCABULARY_SIZE)
_words = st.sampled_from([" to", "=", " json", "code", " user", "assistant", "hello", ":", "?", "{", "}", " functions"])


@st.composite
def mutated(draw: st.DrawFn) -> tuple[list[int], list[int]]:
    """Return a well-formed output with up to three faults in it, and its beginning up to the first of them."""
    original = draw(well_formed())
    tokens, intact = list(original), len(original)
    for _ in range(draw(st.integers(1, 3))):
        if len(tokens) < 2:
            break
        at = draw(st.integers(0, len(tokens) - 2))
        intact = min(intact, at)
        match draw(st.sampled_from(["drop", "double", "swap", "insert"])):
            case "drop":
                del tokens[at]
            case "double":
                tokens.insert(at, tokens[at])
            case "swap":
                tokens[at], tokens[at + 1] = tokens[at + 1], tokens[at]
            case "insert":
                tokens[at:at] = draw(_any_control.map(lambda token: [token]) | _words.map(encoding.encode_text))
    return tokens, original[:intact]


noise = st.lists(
    st.one_of(
        _controls,
        st.sampled_from(["final", "analysis", "comment", "ary", "assistant", " to", "=", "functions", ".x"]).map(
            lambda text: encoding.encode_text(text)[0]
        ),
        st.integers(0, vocabulary.FIRST_SPECIAL_ID - 1),
        st.integers(vocabulary.FIRST_SPECIAL_ID, vocabulary.VOCABULARY_SIZE),
        st.integers(-2, 2**33),
    ),
    max_size=40,
)


def check_well_formed(tokens: list[int]) -> None:
    """Everything is as openai-harmony reads it, and the history is what was sampled."""
    outcome = run(tokens)
    assert (outcome.shown, outcome.said) == oracle(tokens)
    assert not outcome.stopped
    start = encoding.load().encode("<|start|>assistant", allowed_special="all")
    assert [token for message in outcome.ended for token in message.tokens] == [*start, *tokens]


def check_mutated(tokens: list[int], intact: list[int]) -> None:
    outcome = run(tokens)
    shown, said = oracle(intact)
    assert outcome.shown.startswith(shown)
    assert outcome.said[: len(said)] == said
    unnamed = _UNNAMED_ANSWER.search(encoding.load().decode(tokens))
    assert unnamed or not set(outcome.shown) & set(THOUGHT_LETTERS), "a thought is shown"
    assert "<|" not in outcome.shown, "markup is shown"
    assert_history_is_well_formed(outcome.ended)


def check_noise(tokens: list[int]) -> None:
    outcome = run(tokens)
    ordinary = [token for token in tokens if 0 <= token < vocabulary.FIRST_SPECIAL_ID]
    for special in encoding.load().special_tokens_set:
        assert special not in outcome.shown or special in encoding.decode_text(ordinary)
    assert_history_is_well_formed(outcome.ended)
