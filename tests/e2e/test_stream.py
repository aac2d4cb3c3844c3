"""What a prompt looks like from outside, with given tokens in place of a model's: the stream, its end, its cancel."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import acp
import pytest
from acp import schema

from gptoss_acp.harmony.render import ASSISTANT_START
from tests.support.agent_process import COMMAND, AgentProcess, private_environment, prompt_params, request
from tests.support.spawner import Spawner
from tests.support.thoughts import told_of, untimed
from tests.support.tokens import final, numbers, preamble, said, text_of, thought, tool_call
from tests.support.waiting import settled, wait_until

HELLO = said(thought("secret plan"), final("Hello, you."))
ENDLESS = final(numbers(5000))
SLOW = 0.01


def stop_reason(agent: AgentProcess, prompt: Any) -> str:
    return str(agent.result(prompt)["stopReason"])


def started(agent: AgentProcess, session: str, chunks: int = 5) -> None:
    """Wait until the answer streams."""
    count = len(agent.chunks(session)) + chunks
    agent.read_until(lambda: len(agent.chunks(session)) >= count)


def test_every_token_of_the_answer_is_a_chunk_and_nothing_else_is(spawn: Spawner) -> None:
    agent = spawn.scripted(HELLO)
    session = agent.open()
    assert stop_reason(agent, agent.prompt(session, "Hi")) == "end_turn"
    texts = [chunk.message["params"]["update"]["content"]["text"] for chunk in agent.chunks(session)]
    assert texts == ["Hello", ",", " you", "."]


def test_reasoning_tool_calls_and_control_tokens_never_reach_the_client(spawn: Spawner) -> None:
    first = said(thought("secret plan"), preamble("I will look."), tool_call("functions.read", '{"path": "secret"}'))
    agent = spawn.scripted(first, said(thought("secret doubt"), final("There is nothing.")))
    session = agent.open()
    assert stop_reason(agent, agent.prompt(session, "Look")) == "end_turn"
    assert agent.messages(session) == ["I will look.", "There is nothing."]
    assert thoughts(agent, session) == [told_of(thought("secret plan")), told_of(thought("secret doubt"))]
    wire = str([received.message for received in agent.received])
    assert "secret" not in wire
    assert "<|" not in wire
    assert "analysis" not in wire


def thoughts(agent: AgentProcess, session: str) -> list[str]:
    """Return what is told of each of the session's thoughts."""
    return [untimed(told) for told in agent.messages(session, "agent_thought_chunk")]


def test_thoughts_need_not_be_told_of(spawn: Spawner) -> None:
    agent = spawn.scripted(HELLO, arguments=["--thinking", "off"])
    session = agent.open()
    assert stop_reason(agent, agent.prompt(session, "Hi")) == "end_turn"
    assert thoughts(agent, session) == []
    assert agent.messages(session) == ["Hello, you."]


def test_a_character_of_several_tokens_arrives_whole(spawn: Spawner) -> None:
    text = "Ça va? 🫠🧑‍🚀 ☃ 𝄞"
    agent = spawn.scripted(final(text))
    session = agent.open()
    agent.result(agent.prompt(session, "Hi"))
    assert agent.messages(session) == [text]


def test_the_answer_counts_tokens_and_times(spawn: Spawner) -> None:
    agent = spawn.scripted(HELLO)
    session = agent.open()
    result = agent.result(agent.prompt(session, "Hi"))
    usage, meta = result["usage"], result["_meta"]["gptoss-acp"]
    assert usage["outputTokens"] == len(HELLO)
    assert len(thought("secret plan")) <= usage["thoughtTokens"] < len(HELLO)
    assert usage["totalTokens"] == usage["inputTokens"] + usage["outputTokens"]
    assert 0 <= meta["timeToFirstTokenMs"] <= meta["timeToFirstVisibleTokenMs"]
    told = [update.message["params"]["update"] for update in agent.updates(session, "usage_update")]
    assert {update["size"] for update in told} == {131_072}
    # The last one is what the conversation takes from now on, without the reasoning and how it began.
    reasoning = len(ASSISTANT_START) + usage["thoughtTokens"]
    assert [update["used"] for update in told[-2:]] == [usage["totalTokens"], usage["totalTokens"] - reasoning]


def test_a_session_goes_on_from_prompt_to_prompt(spawn: Spawner) -> None:
    agent = spawn.scripted(final("One."), final("Two."))
    session = agent.open()
    first, second = (agent.result(agent.prompt(session, text))["usage"]["inputTokens"] for text in ("a", "b"))
    assert agent.messages(session) == ["One.", "Two."]
    assert second > first


@pytest.mark.parametrize(
    ("arguments", "generations", "reason"),
    [
        (["--max-tokens", "6"], [final("One two three four five six")[:6]], "max_tokens"),
        (["--max-turn-requests", "2"], [tool_call("f", "{}")], "max_turn_requests"),
    ],
)
def test_a_turn_that_reaches_a_limit_says_which(
    spawn: Spawner, arguments: Sequence[str], generations: list[list[int]], reason: str
) -> None:
    agent = spawn.scripted(*generations, arguments=arguments)
    session = agent.open()
    assert stop_reason(agent, agent.prompt(session, "Go")) == reason


def test_sessions_stream_at_once_and_cancelling_one_leaves_the_other_alone(spawn: Spawner) -> None:
    agent = spawn.scripted(ENDLESS, final("All of this answer arrives, whatever the other does."), delay=SLOW)
    first = agent.open()
    second = agent.new_session()
    endless = agent.prompt(first, "Go on and on")
    started(agent, first)
    prompt = agent.prompt(second, "Speak")
    started(agent, second, 2)
    agent.cancel(first)
    assert stop_reason(agent, endless) == "cancelled"
    assert stop_reason(agent, prompt) == "end_turn"
    assert agent.messages(second) == ["All of this answer arrives, whatever the other does."]


# Cancel


def test_a_cancelled_prompt_answers_once_and_nothing_comes_after_it(spawn: Spawner) -> None:
    agent = spawn.scripted(ENDLESS, final("Yes."), delay=SLOW)
    session = agent.open()
    prompt = agent.prompt(session, "Go on and on")
    started(agent, session)
    for _ in range(3):
        agent.cancel(session)
    assert stop_reason(agent, prompt) == "cancelled"
    count = len(agent.received)
    time.sleep(0.3)  # in which nothing may come
    assert agent.is_well()
    assert len(agent.received) == count + 1
    assert stop_reason(agent, agent.prompt(session, "Still there?")) == "end_turn"
    assert agent.messages(session)[1] == "Yes."


def test_a_thought_that_is_cancelled_has_ended_when_the_prompt_is_answered(spawn: Spawner) -> None:
    agent = spawn.scripted(thought(numbers(5000)), final("Yes."), delay=SLOW)
    session = agent.open()
    prompt = agent.prompt(session, "Think hard")
    agent.read_until(lambda: bool(agent.updates(session, "agent_thought_chunk")))
    agent.cancel(session)
    assert stop_reason(agent, prompt) == "cancelled"
    (told,) = thoughts(agent, session)
    assert told.startswith("Thinking · ")
    assert told.endswith(" tokens")
    assert stop_reason(agent, agent.prompt(session, "Still there?")) == "end_turn"


def test_a_cancel_without_a_turn_does_not_cancel_the_next(spawn: Spawner) -> None:
    agent = spawn.scripted(HELLO)
    session = agent.open()
    agent.cancel(session)
    assert stop_reason(agent, agent.prompt(session, "Hi")) == "end_turn"


def test_prompt_and_cancel_in_one_write_is_a_cancelled_turn(spawn: Spawner) -> None:
    agent = spawn.scripted(HELLO, delay=SLOW)
    session = agent.open()
    cancel = {"jsonrpc": "2.0", "method": "session/cancel", "params": {"sessionId": session}}
    agent.send(request("session/prompt", prompt_params(session, "Go"), "p"), cancel)
    assert stop_reason(agent, "p") == "cancelled"
    assert stop_reason(agent, agent.prompt(session, "Still there?")) == "end_turn"


def test_a_second_prompt_cancels_the_first_and_is_answered_after_it(spawn: Spawner) -> None:
    agent = spawn.scripted(ENDLESS, final("Heard."), delay=SLOW)
    session = agent.open()
    first = agent.prompt(session, "Go on and on")
    started(agent, session)
    second = agent.prompt(session, "No, this")
    assert stop_reason(agent, second) == "end_turn"
    assert stop_reason(agent, first) == "cancelled"
    answers = [received.message["id"] for received in agent.received if "id" in received.message]
    assert answers[-2:] == [first, second]
    assert agent.messages(session)[-1] == "Heard."


def test_a_cancelled_request_is_answered_as_cancelled_and_the_session_goes_on(spawn: Spawner) -> None:
    agent = spawn.scripted(ENDLESS, final("Yes."), delay=SLOW)
    session = agent.open()
    prompt = agent.prompt(session, "Go on and on")
    started(agent, session)
    agent.notify("$/cancel_request", {"requestId": prompt})
    assert agent.error(prompt)["code"] == -32800
    assert stop_reason(agent, agent.prompt(session, "Still there?")) == "end_turn"


# A client that does not read


def test_a_client_that_does_not_read_gets_all_of_it_later_and_is_not_buffered_for(spawn: Spawner) -> None:
    text = "".join(f" {number % 1000}" for number in range(10_000))
    tokens = said(thought("secret plan"), final(text))
    assert len(tokens) > 20_000
    agent = spawn.scripted(tokens, reading=False, traced=True)
    agent.send(request("initialize", {"protocolVersion": 1}, 0))
    agent.send(request("session/new", {"cwd": "/", "mcpServers": []}, 1))
    session = first_session(agent)
    agent.prompt(session, "Go", 2)
    sampled = settled_count(agent)
    assert 0 < sampled < len(tokens) / 4
    agent.start_reading()
    assert stop_reason(agent, 2) == "end_turn"
    assert agent.messages(session) == [text]
    assert thoughts(agent, session) == [told_of(thought("secret plan"))]
    assert len(agent.chunks(session)) < len(tokens)
    assert len(agent.traced_tokens()) == len(tokens)


def first_session(agent: AgentProcess) -> str:
    """Return the new session's id as the trace has it, since nobody reads the wire."""
    wait_until(lambda: agent.trace_file.exists() and '"sessionId":"' in agent.trace_file.read_text("utf-8"), 20)
    return agent.trace_file.read_text("utf-8").split('"sessionId":"')[1].split('"')[0]


def settled_count(agent: AgentProcess) -> int:
    """Return how many tokens have been sampled once their number no longer grows."""
    before, count = -1, 0
    while count != before or count == 0:
        before = count
        time.sleep(0.5)
        count = len(agent.traced_tokens())
    return count


# The SDK's client


class SdkClient:
    def __init__(self) -> None:
        self.updates: list[Any] = []

    async def session_update(self, session_id: str, update: Any, **kwargs: Any) -> None:
        self.updates.append(update)


async def test_the_sdks_client_hears_the_answer_and_can_cancel(tmp_path: Path) -> None:
    script = tmp_path / "script.json"
    script.write_text(f'{{"generations": [{HELLO}, {ENDLESS}], "delay": {SLOW}}}')
    sdk_client = SdkClient()
    client = cast(acp.Client, sdk_client)  # what we never ask for is not there
    environment = private_environment(tmp_path)
    async with acp.spawn_agent_process(client, *COMMAND, "--script", str(script), env=environment) as (agent, process):
        hello = await agent.initialize(protocol_version=acp.PROTOCOL_VERSION)
        assert hello.protocol_version == 1
        assert hello.agent_info is not None
        assert hello.agent_info.name == "gptoss-acp"
        await agent.authenticate(method_id="prepare-model")
        session = (await agent.new_session(cwd=os.fspath(tmp_path), mcp_servers=[])).session_id

        answer = await agent.prompt(session_id=session, prompt=[acp.text_block("Hi")])
        assert answer.stop_reason == "end_turn"
        chunks = [update for update in sdk_client.updates if isinstance(update, schema.AgentMessageChunk)]
        texts = [chunk.content.text for chunk in chunks if isinstance(chunk.content, schema.TextContentBlock)]
        assert texts == ["Hello", ",", " you", "."]
        assert len({chunk.message_id for chunk in chunks}) == 1
        first, last = [update for update in sdk_client.updates if isinstance(update, schema.AgentThoughtChunk)]
        assert first.message_id == last.message_id != chunks[0].message_id
        assert sdk_client.updates.index(last) < sdk_client.updates.index(chunks[0])
        assert isinstance(first.content, schema.TextContentBlock)
        assert isinstance(last.content, schema.TextContentBlock)
        assert untimed(first.content.text + last.content.text) == told_of(thought("secret plan"))

        endless = asyncio.create_task(agent.prompt(session_id=session, prompt=[acp.text_block("Go")]))
        await settled(lambda: len(sdk_client.updates) >= 20, 20)
        await agent.cancel(session_id=session)
        assert (await endless).stop_reason == "cancelled"
    assert process.returncode == 0


# What a prompt may hold


def test_links_and_embedded_files_are_heard(spawn: Spawner) -> None:
    agent = spawn.scripted(HELLO, traced=True)
    session = agent.open()
    blocks: list[Any] = [
        {"type": "text", "text": "Look at this"},
        {"type": "resource_link", "name": "notes.md", "uri": "file:///project/notes.md"},
        {
            "type": "resource",
            "resource": {"uri": "file:///project/a.py", "mimeType": "text/x-python", "text": "x = 1\n"},
        },
    ]
    agent.result(agent.ask("session/prompt", {"sessionId": session, "prompt": blocks}))
    (prompt,) = agent.traced_prompts()
    heard = text_of(prompt).split("<|start|>user<|message|>")[1]
    for part in ("Look at this", "notes.md", "file:///project/notes.md", "file:///project/a.py", "x = 1\n"):
        assert part in heard


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image", "mimeType": "image/png", "data": "AAAA"},
        {"type": "audio", "mimeType": "audio/wav", "data": "AAAA"},
        {"type": "resource", "resource": {"uri": "file:///a.png", "blob": "AAAA"}},
    ],
)
def test_content_that_was_not_offered_is_refused_by_its_place(spawn: Spawner, block: dict[str, Any]) -> None:
    agent = spawn.scripted(HELLO)
    session = agent.open()
    text = {"type": "text", "text": "What is this?"}
    prompt = agent.ask("session/prompt", {"sessionId": session, "prompt": [text, block]})
    error = agent.error(prompt)
    assert error["code"] == -32602
    assert error["data"][0]["field"].startswith("prompt.1")
    assert stop_reason(agent, agent.prompt(session, "Hi")) == "end_turn"


def test_a_prompt_of_20_mb_is_one_line_like_any_other(spawn: Spawner) -> None:
    agent = spawn.scripted(HELLO)
    session = agent.open()
    link = {"type": "resource_link", "name": "n", "uri": "file:///n", "description": "x" * 20_000_000}
    prompt = agent.ask("session/prompt", {"sessionId": session, "prompt": [link]})
    assert stop_reason(agent, prompt) == "end_turn"
