"""The bundled model from end to end: real tokens through the real program to a client, and real work to cancel."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import pytest

from gptoss_acp.vocabulary import CHANNEL, MESSAGE, RETURN
from tests.support.agent_process import EXIT_SECONDS, AgentProcess
from tests.support.spawner import Spawner
from tests.support.tokens import text_of

pytestmark = pytest.mark.timeout(300)  # models are loaded and speak, on a machine that may have more to do

COUNT = "Count to 20"
ONE_TO_TWENTY = ", ".join(str(number) for number in range(1, 21))
STORY = "Tell me a story"
LONG = "word " * 8000
CANCEL_SECONDS = 2.0
"""A ceiling for a busy machine; the benchmark measures what it is."""


@pytest.fixture(scope="module")
def agent(spawn_once: Spawner) -> AgentProcess:
    agent = spawn_once("--model", "tiny", traced=True)
    agent.initialize()
    return agent


def contents(tokens: list[int], channel: str) -> list[list[int]]:
    """Return the content ids of the messages on `channel` in what was sampled, found without the program's parser."""
    found: list[list[int]] = []
    header: list[int] | None = None
    content: list[int] | None = None
    for token in tokens:
        if token == CHANNEL:
            header, content = [], None
        elif token == MESSAGE and header is not None:
            content = []
            if text_of(header) == channel:
                found.append(content)
        elif token >= RETURN:
            header = content = None
        elif content is not None:
            content.append(token)
        elif header is not None:
            header.append(token)
    return found


def prefill_started(agent: AgentProcess, session: str) -> None:
    agent.read_until(lambda: bool(agent.updates(session, "usage_update")))
    time.sleep(0.1)  # in which a chunk is begun; no event says so


def test_tokens_stream_one_by_one_while_the_model_speaks_and_reasoning_never_does(agent: AgentProcess) -> None:
    session = agent.new_session()
    before = len(agent.traced_tokens())
    result = agent.result(agent.prompt(session, COUNT))
    sampled = agent.traced_tokens()[before:]
    ((final,), thoughts) = (contents(sampled, "final"), contents(sampled, "analysis"))
    chunks = agent.chunks(session)

    assert result["stopReason"] == "end_turn"
    assert agent.messages(session) == [text_of(final)]
    assert ONE_TO_TWENTY in text_of(final)
    assert [chunk.message["params"]["update"]["content"]["text"] for chunk in chunks] == [
        text_of([token]) for token in final
    ]

    seconds = chunks[-1].at - chunks[0].at
    assert seconds > 0.5 * (len(chunks) - 1) / result["_meta"]["gptoss-acp"]["tokensPerSecond"]

    assert thoughts
    wire = str([received.message for received in agent.received])
    assert not [thought for thought in thoughts if text_of(thought) in wire]
    assert "<|" not in wire
    assert result["usage"]["outputTokens"] == len(sampled)
    assert result["usage"]["thoughtTokens"] >= sum(len(thought) for thought in thoughts) > 0


def test_sessions_speak_at_once_and_cancelling_one_leaves_the_others_tokens_as_they_were(agent: AgentProcess) -> None:
    first, second = agent.new_session(), agent.new_session()
    counting, telling = agent.prompt(first, COUNT), agent.prompt(second, STORY)
    agent.read_until(lambda: len(agent.chunks(first)) > 3 and len(agent.chunks(second)) > 3)
    agent.cancel(second)
    assert agent.result(telling)["stopReason"] == "cancelled"
    told = agent.messages(second)
    assert agent.result(counting)["stopReason"] == "end_turn"
    assert agent.messages(first)[0].startswith(ONE_TO_TWENTY)
    assert agent.messages(second) == told
    assert agent.result(agent.prompt(second, COUNT))["stopReason"] == "end_turn"
    assert ONE_TO_TWENTY in agent.messages(second)[-1]


def test_cancel_in_the_prefill_of_a_long_prompt_answers_soon_and_the_agent_goes_on(agent: AgentProcess) -> None:
    session, other = agent.new_session(), agent.new_session()
    prompt = agent.prompt(session, LONG)
    prefill_started(agent, session)
    agent.cancel(session)
    result = agent.result(prompt, CANCEL_SECONDS)
    assert result["stopReason"] == "cancelled"
    assert result["usage"]["outputTokens"] == 0
    assert result["usage"]["inputTokens"] > 8000
    count = len(agent.received)
    assert agent.result(agent.prompt(other, "Hello"))["stopReason"] == "end_turn"
    assert {received.message["params"]["sessionId"] for received in agent.received[count:-1]} == {other}


def close_stdin(agent: AgentProcess) -> None:
    assert agent.to_agent is not None
    agent.to_agent.close()


def terminate(agent: AgentProcess) -> None:
    agent.process.terminate()


@pytest.mark.parametrize("ending", [close_stdin, terminate])
def test_an_agent_in_mid_prefill_ends_at_once(spawn: Spawner, ending: Callable[[AgentProcess], None]) -> None:
    agent = spawn("--model", "tiny")
    session = agent.open()
    agent.prompt(session, LONG)
    prefill_started(agent, session)
    ending(agent)
    assert agent.process.wait(EXIT_SECONDS) == 0


def test_an_agent_that_loads_its_model_ends_at_once(spawn: Spawner) -> None:
    agent = spawn("--model", "tiny")
    agent.open()
    time.sleep(0.5)  # in which the load is begun
    close_stdin(agent)
    assert agent.process.wait(EXIT_SECONDS) == 0


def test_a_prompt_longer_than_the_context_says_so_and_a_new_session_works(spawn: Spawner) -> None:
    agent = spawn("--model", "tiny", "--context-length", "1200", "--max-tokens", "5")
    session = agent.open()
    error = agent.error(agent.prompt(session, LONG))
    assert error["code"] == -32603
    assert "context" in error["message"]
    assert agent.result(agent.prompt(agent.new_session(), "Hello"))["stopReason"] == "max_tokens"


def test_a_conversation_is_compacted_and_goes_on(agent: AgentProcess) -> None:
    session = agent.new_session()
    agent.result(agent.prompt(session, COUNT))
    agent.result(agent.prompt(session, "Hello"))
    before = len(agent.traced_prompts())
    assert agent.result(agent.prompt(session, "/compact"))["stopReason"] == "end_turn"
    assert agent.messages(session)[-1].startswith("The conversation ")
    assert len(agent.traced_prompts()) > before
    told = len(agent.messages(session))
    assert agent.result(agent.prompt(session, COUNT))["stopReason"] == "end_turn"
    assert len(agent.messages(session)) > told


def test_status_knows_the_model_and_its_memory(agent: AgentProcess) -> None:
    session = agent.new_session()
    agent.result(agent.prompt(session, COUNT))
    agent.result(agent.prompt(session, "/status"))
    status = agent.messages(session)[-1]
    assert "Model: tiny" in status
    assert "in the cache" in status
    (memory,) = re.findall(r"Memory: ([0-9.]+) GB", status)
    assert float(memory) > 0
