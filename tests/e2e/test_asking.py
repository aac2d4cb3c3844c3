"""The model asks the user, through the real program: clients with forms and without, and a cancel meanwhile."""

from __future__ import annotations

from typing import Any

from tests.support.agent_process import AgentProcess, prompt_params
from tests.support.spawner import Spawner
from tests.support.tokens import final, text_of, tool_call

ASKS = tool_call("functions.ask_user", '{"question": "Which colour?", "options": ["red", "blue"]}')


def opened(agent: AgentProcess, **elicitation: Any) -> str:
    capabilities = {"elicitation": elicitation} if elicitation else {}
    agent.result(agent.ask("initialize", {"protocolVersion": 1, "clientCapabilities": capabilities}))
    return agent.new_session()


def requests(agent: AgentProcess, method: str) -> list[Any]:
    return [received.message for received in agent.received if received.message.get("method") == method]


def asked(agent: AgentProcess, count: int = 1) -> Any:
    agent.read_until(lambda: len(requests(agent, "elicitation/create")) == count)
    return requests(agent, "elicitation/create")[-1]


def test_the_model_asks_and_goes_on_with_the_answer(spawn: Spawner) -> None:
    agent = spawn.scripted(ASKS, final("Blue it is."), ASKS, final("As you like."), traced=True)
    session = opened(agent, form={})
    for answer in ({"action": "accept", "content": {"choice": "blue"}}, {"action": "decline"}):
        turn = agent.prompt(session, "Paint it")
        question = asked(agent, 1 if "content" in answer else 2)
        assert question["params"]["message"] == "Which colour?"
        agent.send({"jsonrpc": "2.0", "id": question["id"], "result": answer})
        assert agent.result(turn)["stopReason"] == "end_turn"
    first, second, _, last = (text_of(ids) for ids in agent.traced_prompts())
    assert "type ask_user = " in first
    assert "ask with functions.ask_user." in first
    assert "The user answers: blue<|end|>" in second
    assert "The user does not want to answer." in last


def test_a_cancelled_turn_withdraws_its_question_and_the_next_prompt_works(spawn: Spawner) -> None:
    agent = spawn.scripted(ASKS, final("Fine."))
    session = opened(agent, form={})
    turn = agent.prompt(session, "Paint it")
    question = asked(agent)
    agent.cancel(session)
    assert agent.result(turn)["stopReason"] == "cancelled"
    (withdrawn,) = requests(agent, "$/cancel_request")
    assert withdrawn["params"]["requestId"] == question["id"]
    agent.send({"jsonrpc": "2.0", "id": question["id"], "result": {"action": "accept", "content": {"choice": "red"}}})
    again = agent.ask("session/prompt", prompt_params(session, "Go on"))
    assert agent.result(again)["stopReason"] == "end_turn"
    assert agent.messages(session)[-1] == "Fine."


def test_a_client_without_forms_is_asked_in_the_answer(spawn: Spawner) -> None:
    agent = spawn.scripted(ASKS, final("Which colour?"), traced=True)
    session = opened(agent)
    agent.result(agent.prompt(session, "Paint it"))
    first, second = (text_of(ids) for ids in agent.traced_prompts())
    assert "ask_user" not in first
    assert "What you need to know from the user, ask in your answer." in first
    assert second.count("ask in your answer.") == 2
    assert requests(agent, "elicitation/create") == []
