"""What the agent asks the model for its own use, beside the conversation: its answer is a text, and no turn.

Knows how such an answer is read and how a title is asked for. Knows nothing about turns, tools or ACP.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gptoss_acp.briefing import developer_message
from gptoss_acp.engine.api import Model, Sampling, Trace, Usage
from gptoss_acp.harmony import render
from gptoss_acp.harmony.parser import MessageEnded, Parser, Stopped
from gptoss_acp.text import clip_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gptoss_acp.ledger import Ledger

LONGEST_TITLE = 80
"""Characters."""

_LONGEST_TITLE_TOKENS = 24
_AROUND_TITLES = " \t\"'`*_#\u201c\u201d\u201e\u2018\u2019\u00ab\u00bb.:"


async def answer(
    engine: Model,
    prompt: Sequence[int],
    sampling: Sampling,
    usage: Usage,
    *,
    given: Sequence[int] = (),
    branch: int,
    trace: Trace | None = None,
) -> str:
    """Return what the model says on `final`, perhaps nothing; `given` is put in its mouth.

    Other prompts go on from the first `branch` tokens of this one. What the call takes is added to `usage`.

    Raises:
        EngineError: the model failed, or the context does not hold the prompt.
    """
    parser = Parser()
    for token in given:
        parser.feed(token)
    whole = [*prompt, *given]
    if trace:
        trace.prompt(whole)
    generation = engine.generate(whole, sampling, (branch,))
    try:
        async for token in generation:
            if trace:
                trace.token(token)
            for event in parser.feed(token):
                if isinstance(event, MessageEnded) and (event.recipient or event.channel == "final"):
                    return "" if event.recipient else event.text
                if isinstance(event, Stopped):
                    return ""
    finally:
        await generation.aclose()
        usage.add(generation.figures)
    ended = [event for event in parser.finish() if isinstance(event, MessageEnded)]
    return ended[0].text if ended and ended[0].channel == "final" and not ended[0].recipient else ""


async def title(engine: Model, ledger: Ledger, sampling: Sampling, trace: Trace | None) -> str:
    """Return what the model calls the conversation, perhaps nothing.

    Raises:
        EngineError: the model failed, or the context does not hold the request.
    """
    said = ledger.tokens()
    prompt = [*said, *render.user(developer_message.request("title")), *render.ASSISTANT_START]
    short = replace(sampling, max_tokens=_LONGEST_TITLE_TOKENS)
    # Without reasoning, which would take longer than the title is worth.
    text = await answer(engine, prompt, short, Usage(), given=render.FINAL_START, branch=len(said), trace=trace)
    first_line = text.strip().partition("\n")[0]
    return clip_line(first_line, LONGEST_TITLE).strip(_AROUND_TITLES)
