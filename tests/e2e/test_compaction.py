"""Compaction through the real program: when it comes, what the model is told after it, and how it can go wrong."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from acp import RequestError

from gptoss_acp.briefing import developer_message
from gptoss_acp.conversation.compaction import INTRODUCTION
from gptoss_acp.harmony.encoding import encode_text
from gptoss_acp.vocabulary import RETURN
from tests.support.agent_process import prompts_in
from tests.support.editor import Editor, Open, opened
from tests.support.spawner import Spawner
from tests.support.tokens import final, message, numbers, preamble, said, text_of, thought, tool_call
from tests.support.waiting import settled

CONTEXT = 6000
SMALL = ["--context-length", str(CONTEXT)]
LONG = "word " * 4370
"""As many tokens: with the instructions, the first exchange fills more than 85% of the context."""

REQUEST = developer_message.request("compact")


def prompts(folder: Path) -> list[str]:
    """Return every prompt that the model was given, as text; none may be longer than the context."""
    given = prompts_in(folder / "trace")
    assert all(len(ids) < CONTEXT for ids in given)
    return [text_of(ids) for ids in given]


def user(text: str) -> str:
    return f"<|start|>user<|message|>{text}<|end|>"


def compactions(editor: Editor) -> list[dict[str, Any]]:
    return [call for call in editor.calls() if call["title"] == "Compacting the conversation"]


async def answered(editor: Editor, session: Open, prompt: str, answer: str) -> None:
    before = len(editor.text())
    assert await session.prompt(prompt) == "end_turn"
    await editor.until(lambda: answer in editor.text()[before:])


async def test_a_full_context_is_compacted_before_the_next_prompt_is_heard(tmp_path: Path) -> None:
    editor = Editor()
    summary = said(thought("A summary is wanted."), final("We counted."))
    async with opened(editor, tmp_path, final("Ok."), summary, final("Fine."), arguments=SMALL) as session:
        await answered(editor, session, LONG, "Ok.")
        assert compactions(editor) == []
        await answered(editor, session, "And now?", "Fine.")
    (shown,) = compactions(editor)
    assert (shown["kind"], shown["statuses"]) == ("think", ["in_progress", "completed"])
    figures = shown["rawOutput"]
    assert figures["tokensBefore"] >= 0.85 * CONTEXT
    assert figures["tokensAfter"] < 0.5 * CONTEXT
    assert "We counted." in shown["content"][0]["content"]["text"]
    assert editor.text() == "Ok.Fine."
    first, asked, after = prompts(tmp_path)
    instructed = first.removesuffix(user(LONG) + "<|start|>assistant")
    answer = "<|start|>assistant<|channel|>final<|message|>Ok.<|end|>"
    assert asked == instructed + user(LONG) + answer + user(REQUEST) + "<|start|>assistant"
    assert after == instructed + user(INTRODUCTION + "We counted.") + answer + user("And now?") + "<|start|>assistant"
    assert figures["tokensAfter"] in {update.used for update in editor.of_kind("usage_update")}


async def test_a_context_that_fills_while_tools_are_called_is_compacted_between_them(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    for name in "abcde":
        (tmp_path / "work" / name).write_text(("word " * 9 + "\n") * 75)
    read = [tool_call("functions.read_file", f'{{"path": "{name}"}}') for name in "abcde"]
    # With the fourth call the context is full.
    full = said(preamble(numbers(600)), read[3])
    steps = [*read[:3], full, final("We read."), read[4], final("Done.")]
    editor = Editor()
    async with opened(editor, tmp_path, *steps, arguments=SMALL) as session:
        await answered(editor, session, "Read all", "Done.")
    assert [call["status"] for call in editor.calls()] == ["completed"] * 6
    assert [call["title"] for call in editor.calls()][4] == "Compacting the conversation"
    given = prompts(tmp_path)
    assert [REQUEST in prompt for prompt in given] == [False] * 4 + [True] + [False] * 2
    after = given[5]
    question, summary = after.index(user("Read all")), after.index(user(INTRODUCTION + "We read."))
    assert question < summary < after.index('{"path": "d"}')
    assert [name for name in "abcde" if f'{{"path": "{name}"}}' in after] == ["d"]


async def test_a_result_never_takes_more_than_the_context_has_room_for(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work/rare").write_text("𒀀🫠漢" * 3000)
    editor = Editor()
    read = tool_call("functions.read_file", '{"path": "rare"}')
    async with opened(editor, tmp_path, read, final("Read."), arguments=SMALL) as session:
        await answered(editor, session, "word " * 3500, "Read.")
    assert compactions(editor) == []
    (result,) = [part for part in prompts(tmp_path)[1].split("<|start|>") if part.startswith("functions.read_file")]
    assert "characters left out" in result
    assert len(encode_text(result)) < CONTEXT / 4


async def test_compact_keeps_what_it_is_told_to_and_the_next_prompt_goes_on_from_the_summary(tmp_path: Path) -> None:
    editor = Editor()
    # The first answer is no summary but a tool call; then the model is given the beginning of one.
    told = tool_call("functions.shell", '{"command": ["ls"]}'), [*encode_text("We counted."), RETURN]
    async with opened(editor, tmp_path, final(numbers(500)), *told, final("Fine.")) as session:
        assert await session.prompt("Count") == "end_turn"
        before = len(editor.text())
        await answered(editor, session, "/compact the last number", "The conversation is compacted: ")
        assert "tokens before" in editor.text()[before:]
        await answered(editor, session, "And now?", "Fine.")
    assert [call["title"] for call in editor.calls()] == ["Compacting the conversation"]
    given = [text_of(ids) for ids in prompts_in(tmp_path / "trace")]
    assert user(f"{REQUEST}\n\nKeep in mind above all: the last number") in given[1]
    assert given[2] == given[1] + "<|channel|>final<|message|>"
    assert user(INTRODUCTION + "We counted.") in given[3]
    assert "/compact" not in given[3]


@pytest.mark.parametrize("prompt", ["/compact", "And now?"])
async def test_a_cancelled_compaction_changes_nothing(prompt: str, tmp_path: Path) -> None:
    editor = Editor()
    slow = final(numbers(300))
    async with opened(
        editor, tmp_path, final("Ok."), slow, final("Short."), final("Fine."), arguments=SMALL, delay=0.02
    ) as session:
        await answered(editor, session, LONG, "Ok.")
        turn = asyncio.create_task(session.prompt(prompt))
        await editor.until(lambda: compactions(editor))
        await settled(lambda: len(prompts(tmp_path)) == 2, 20)
        await session.cancel()
        assert await turn == "cancelled"
        assert compactions(editor)[0]["statuses"] == ["in_progress", "failed"]
        assert editor.text() == "Ok."
        await answered(editor, session, "Go on", "Fine.")
    _, first, second, after = prompts(tmp_path)
    assert first == second, "the summary was asked for another conversation"
    assert user(INTRODUCTION + "Short.") in after
    assert (user("And now?") in after) == (prompt == "And now?")


async def test_a_failed_compaction_changes_nothing_and_the_turn_goes_on(tmp_path: Path) -> None:
    editor = Editor()
    silent = [message("analysis", "Hm.", RETURN), [RETURN]]
    calls = final("Ok."), *silent, final("Fine."), *silent
    async with opened(editor, tmp_path, *calls, arguments=SMALL) as session:
        await answered(editor, session, LONG, "Ok.")
        await answered(editor, session, "And now?", "Fine.")
        await answered(editor, session, "/compact", "The conversation was not compacted. The model gave no summary.")
    assert [call["statuses"] for call in compactions(editor)] == [["in_progress", "failed"]] * 2
    assert "The model gave no summary." in compactions(editor)[0]["content"][0]["content"]["text"]
    first, _, _, after, *_ = prompts(tmp_path)
    answer = "<|start|>assistant<|channel|>final<|message|>Ok.<|end|>"
    assert after == first.removesuffix("<|start|>assistant") + answer + user("And now?") + "<|start|>assistant"


async def test_a_prompt_that_no_context_holds_is_refused_and_the_session_goes_on(tmp_path: Path) -> None:
    editor = Editor()
    async with opened(editor, tmp_path, final("Ok."), arguments=SMALL) as session:
        await answered(editor, session, "My name is Ada", "Ok.")
        with pytest.raises(RequestError, match=r"context holds 6000\. Send less at once"):
            await session.prompt("word " * 6000)
        await answered(editor, session, "Who am I?", "Ok.")
    last = text_of(prompts_in(tmp_path / "trace")[-1])
    assert user("My name is Ada") in last
    assert "word word" not in last


async def test_there_is_nothing_to_compact_in_the_beginning(tmp_path: Path) -> None:
    editor = Editor()
    async with opened(editor, tmp_path, final("Ok.")) as session:
        await answered(editor, session, "/compact", "There is nothing to summarise yet.")
    assert editor.calls() == []


SHOWN: list[tuple[Sequence[Sequence[int]], list[dict[str, Any]]]] = [
    (
        [final("We counted.")],
        [{"status": "in_progress"}, {"status": "completed", "summary": [{"type": "text", "text": "We counted."}]}],
    ),
    ([[RETURN], [RETURN]], [{"status": "in_progress"}, {"status": "failed", "error": "The model gave no summary."}]),
]


@pytest.mark.parametrize(("calls", "shown"), SHOWN, ids=["completed", "failed"])
def test_a_client_that_knows_compactions_is_shown_them_as_such(
    calls: Sequence[Sequence[int]], shown: list[dict[str, Any]], spawn: Spawner
) -> None:
    agent = spawn.scripted(final(numbers(500)), *calls)
    capabilities: dict[str, Any] = {"session": {"compaction": {}}}
    agent.result(agent.ask("initialize", {"protocolVersion": 1, "clientCapabilities": capabilities}))
    session = agent.new_session()
    agent.result(agent.prompt(session, "Count"))
    agent.result(agent.prompt(session, "/compact"))
    updates = [update.message["params"]["update"] for update in agent.updates(session, "compaction_update")]
    assert len({update.pop("compactionId") for update in updates}) == 1
    assert updates == [{"sessionUpdate": "compaction_update", **one} for one in shown]
    assert agent.updates(session, "tool_call") == []


async def test_usage_is_told_after_every_model_call_and_now_and_then_while_the_model_thinks(tmp_path: Path) -> None:
    editor = Editor()
    thinking = said(thought(numbers(50)), tool_call("functions.list_dir", '{"path": "."}'))
    async with opened(editor, tmp_path, thinking, final("Done."), arguments=SMALL, delay=0.03) as session:
        await answered(editor, session, "Go", "Done.")
    times = [at for at, update in editor.updates if update.session_update == "usage_update"]
    used = [update.used for update in editor.of_kind("usage_update")]
    first, second = (len(ids) for ids in prompts_in(tmp_path / "trace"))
    ended = used.index(first + len(thinking))
    assert used[0] == first
    assert used[: ended + 1] == sorted(used[: ended + 1])
    assert ended >= 3
    # From the first to the last but one the model was thinking; the last tells what the call came to.
    assert min(later - earlier for earlier, later in itertools.pairwise(times[:ended])) > 0.9
    after = [second, second + len(final("Done."))]
    assert used[ended + 1 : -1] == after
    assert used[-1] < after[-1]  # without the reasoning, which goes with the end of the turn
