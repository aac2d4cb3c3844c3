"""What a model would sample, as token ids: for scripts that play in its place."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from gptoss_acp.harmony import encoding
from gptoss_acp.harmony.render import ASSISTANT_START
from gptoss_acp.vocabulary import CALL, CHANNEL, END, MESSAGE, RETURN


def thought(text: str) -> list[int]:
    return message("analysis", text, END)


def preamble(text: str) -> list[int]:
    return message("commentary", text, END)


def tool_call(recipient: str, arguments: str) -> list[int]:
    return message(f"commentary to={recipient}", arguments, CALL)


def system_call(recipient: str, arguments: str) -> list[int]:
    """Return a call of one of the tools that gpt-oss was trained on, as it writes it."""
    return message(f"analysis to={recipient} code", arguments, CALL)


def final(text: str) -> list[int]:
    return message("final", text, RETURN)


def message(header: str, text: str, end: int) -> list[int]:
    return [CHANNEL, *encoding.encode_text(header), MESSAGE, *encoding.encode_text(text), end]


def said(*messages: Sequence[int]) -> list[int]:
    """Return the ids of one model call: `messages`, all but the first with a start of their own."""
    return list(messages[0]) + list(
        itertools.chain.from_iterable([*ASSISTANT_START, *message] for message in messages[1:])
    )


def text_of(ids: Sequence[int]) -> str:
    return str(encoding.load().decode(list(ids)))


def numbers(count: int) -> str:
    """Return a long text that never repeats itself, as an endless answer may not."""
    return " ".join(map(str, range(count)))
