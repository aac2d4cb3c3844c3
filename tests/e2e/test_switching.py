"""A session's model and context length, chosen in the editor: the conversation goes on with another model."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.support.agent_process import AgentProcess
from tests.support.replaying import opened
from tests.support.spawner import Spawner
from tests.support.tokens import final, numbers, text_of

pytestmark = pytest.mark.timeout(300)  # models are loaded and speak, on a machine that may have more to do

NAME = "someone/gpt-oss-small"


@pytest.fixture
def cached(checkpoint: Path, hugging_face: Path) -> Path:
    """The folder of a model in the Hugging Face cache, where there are also another kind of model and half of one."""
    repository = hugging_face / "hub" / f"models--{NAME.replace('/', '--')}"
    for name in (repository.name, "models--someone--half", "models--someone--llama"):
        snapshot = hugging_face / "hub" / name / "snapshots" / "1234"
        shutil.copytree(checkpoint, snapshot)
        refs = hugging_face / "hub" / name / "refs"
        refs.mkdir()
        (refs / "main").write_text("1234")
        if name.endswith("half"):
            next(snapshot.glob("*.safetensors")).unlink()
        elif name.endswith("llama"):
            (snapshot / "config.json").write_text('{"model_type": "llama"}')
    return repository


def choose(agent: AgentProcess, session: str, option: str, value: str) -> Any:
    """Set an option and return the answer."""
    return agent.answer(
        agent.ask("session/set_config_option", {"sessionId": session, "configId": option, "value": value})
    )


def values(answer: Any) -> dict[str, str]:
    return {option["id"]: option["currentValue"] for option in answer["configOptions"]}


def say(agent: AgentProcess, session: str, text: str) -> str:
    """Run a turn and return the last message of the session."""
    agent.result(agent.prompt(session, text), 120)
    return agent.messages(session)[-1]


def last_prompt(agent: AgentProcess) -> str:
    return text_of(agent.traced_prompts()[-1])


@pytest.mark.usefixtures("cached")
def test_another_model_goes_on_with_the_conversation(spawn: Spawner) -> None:
    agent = spawn("--model", "tiny", "--max-tokens", "40", traced=True)
    agent.initialize()
    created = agent.result(agent.ask("session/new", {"cwd": str(agent.home), "mcpServers": []}))
    session = created["sessionId"]
    (option,) = [option for option in created["configOptions"] if option["id"] == "model"]
    assert (option["category"], option["currentValue"]) == ("model", "tiny")
    assert [choice["value"] for choice in option["options"]] == ["tiny", NAME]
    hello = say(agent, session, "Hello")
    assert hello.startswith("Hello")
    assert values(choose(agent, session, "model", NAME)["result"])["model"] == NAME
    status = say(agent, session, "/status")
    assert f"Model: {NAME}" in status
    # The random model's context is 4,096 tokens long, tiny's is another: it may be loading still, or loaded.
    assert "131,072" not in status
    agent.result(agent.prompt(session, "What now?"), 120)
    assert f"{hello}<|end|><|start|>user<|message|>What now?" in last_prompt(agent)
    nonsense = agent.traced_tokens()[-40:]
    assert len(set(nonsense)) > 30
    assert values(choose(agent, session, "model", "tiny")["result"])["model"] == "tiny"
    assert say(agent, session, "Count to 5") == "1, 2, 3, 4, 5"
    assert "What now?" in last_prompt(agent)


@pytest.mark.usefixtures("cached")
def test_a_running_turn_ends_with_the_model_that_began_it(spawn: Spawner) -> None:
    agent = spawn("--model", "tiny", "--max-tokens", "200")
    session = agent.open()
    running = agent.prompt(session, "Count to 60")
    agent.read_until(lambda: len(agent.chunks(session)) > 3)
    assert "result" in choose(agent, session, "model", NAME)
    agent.result(running, 120)
    assert agent.messages(session)[-1].endswith("58, 59, 60")


def test_a_chosen_model_and_context_come_back_and_one_that_is_gone_is_replaced(cached: Path, spawn: Spawner) -> None:
    first = spawn("--model", "tiny", "--max-tokens", "20")
    session = first.open()
    choose(first, session, "model", NAME)
    chosen = values(choose(first, session, "context", "8192")["result"])
    assert first.end() == 0
    second = spawn("--model", "tiny", "--max-tokens", "20", home=first.home)
    second.initialize()
    assert values(opened(second, "session/resume", session)) == chosen
    assert (chosen["model"], chosen["context"]) == (NAME, "8192")
    assert second.end() == 0
    shutil.rmtree(cached)
    third = spawn("--model", "tiny", "--max-tokens", "20", home=first.home)
    third.initialize()
    assert values(opened(third, "session/resume", session))["model"] == "tiny"
    problem = say(third, session, "Hello")
    assert problem == f"The model {NAME} is not on this machine yet. The conversation goes on with tiny."
    assert third.updates(session, "usage_update")[-1].message["params"]["update"]["size"] == 8192


def test_what_can_not_be_chosen_is_refused_with_what_can(spawn: Spawner) -> None:
    agent = spawn.scripted(final("Ok."))
    session = agent.open()
    for option, value, known in (("model", "someone/other", "scripted, tiny"), ("context", "1", "all, 8192, 16384")):
        (problem,) = choose(agent, session, option, value)["error"]["data"]
        assert problem["field"] == "value"
        assert known in problem["problem"]
    assert say(agent, session, "Hi") == "Ok."


def test_a_model_that_vanished_since_it_was_offered_is_refused_and_the_session_goes_on(
    cached: Path, spawn: Spawner
) -> None:
    agent = spawn("--model", "tiny", "--max-tokens", "20")
    session = agent.open()
    shutil.rmtree(cached)
    assert "is not on this machine yet" in choose(agent, session, "model", NAME)["error"]["message"]
    assert say(agent, session, "Hello").startswith("Hello")


def test_a_shorter_context_is_compacted_sooner(spawn: Spawner) -> None:
    agent = spawn.scripted(final(numbers(3000)), final("We counted."), final("Yes."))
    session = agent.open()
    agent.result(agent.prompt(session, "Count"))
    assert agent.updates(session, "usage_update")[-1].message["params"]["update"]["size"] == 131_072
    assert values(choose(agent, session, "context", "8192")["result"])["context"] == "8192"
    assert say(agent, session, "Go on") == "Yes."
    (compacting,) = agent.updates(session, "tool_call")
    assert compacting.message["params"]["update"]["title"] == "Compacting the conversation"
    used = agent.updates(session, "usage_update")[-1].message["params"]["update"]
    assert used["size"] == 8192
    assert used["used"] < 4096
    assert values(choose(agent, session, "context", "all")["result"])["context"] == "all"
