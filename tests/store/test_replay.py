"""A replay gives a client the view that the live stream gave it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from acp import schema
from hypothesis import given, settings
from hypothesis import strategies as st

from gptoss_acp.store import Store
from gptoss_acp.store.replay import replayed
from tests.support.client_view import view

TEXT = st.text(max_size=5)
JSON = st.dictionaries(TEXT, st.one_of(st.integers(-9, 9), TEXT, st.lists(TEXT, max_size=2)), max_size=2)
BLOCK = st.one_of(
    st.builds(lambda text: {"type": "text", "text": text}, TEXT),
    st.builds(lambda text: {"type": "text", "text": text, "annotations": {"priority": 0.5}}, TEXT),
    st.just({"type": "resource_link", "name": "a.py", "uri": "file:///a.py"}),
)
CHUNK = st.fixed_dictionaries(
    {"sessionUpdate": st.sampled_from(["user_message_chunk", "agent_message_chunk"]), "content": BLOCK},
    optional={"messageId": st.sampled_from(["m1", "m2", None]), "_meta": st.just({"by": "us"})},
)
CONTENT = st.lists(
    st.one_of(
        st.builds(lambda text: {"type": "content", "content": {"type": "text", "text": text}}, TEXT),
        st.builds(lambda text: {"type": "diff", "path": "/a", "oldText": None, "newText": text}, TEXT),
    ),
    max_size=2,
)
CALL_FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "status": st.sampled_from(["pending", "in_progress", "completed", "failed", None]),
    "kind": st.sampled_from(["read", "execute", None]),
    "content": st.none() | CONTENT,
    "locations": st.none() | st.just([{"path": "/a", "line": 3}]),
    "rawInput": JSON,
    "rawOutput": JSON,
}
PLAN_ENTRIES = st.lists(
    st.builds(lambda text: {"content": text, "priority": "medium", "status": "pending"}, TEXT), max_size=2
)
STATE = st.one_of(
    st.builds(lambda entries: {"sessionUpdate": "plan", "entries": entries}, PLAN_ENTRIES),
    st.builds(lambda used: {"sessionUpdate": "usage_update", "used": used, "size": 100}, st.integers(0, 100)),
    st.fixed_dictionaries(
        {"sessionUpdate": st.just("session_info_update")},
        optional={"title": st.none() | TEXT, "updatedAt": st.just("2026-01-01T00:00:00Z")},
    ),
    st.just({"sessionUpdate": "current_mode_update", "currentModeId": "ask"}),
    st.just({"sessionUpdate": "available_commands_update", "availableCommands": []}),
)


@st.composite
def streams(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Draw updates as an agent may send them: a call is changed only once it is known, a plan ends only if it is there."""
    calls, plans = set[str](), set[str]()
    stream: list[dict[str, Any]] = []
    for _ in range(draw(st.integers(0, 25))):
        match draw(st.sampled_from(["chunk", "chunk", "chunk", "call", "call update", "state", "plan", "end of plan"])):
            case "chunk":
                stream.append(draw(CHUNK))
            case "call":
                identifier = draw(st.sampled_from(["c1", "c2", "c3"]))
                calls.add(identifier)
                start = {"sessionUpdate": "tool_call", "toolCallId": identifier, "title": draw(TEXT)}
                stream.append({**start, **draw(st.fixed_dictionaries({}, optional=CALL_FIELDS))})
            case "call update" if calls:
                change = draw(st.fixed_dictionaries({}, optional={**CALL_FIELDS, "title": st.none() | TEXT}))
                identifier = draw(st.sampled_from(sorted(calls)))
                stream.append({"sessionUpdate": "tool_call_update", "toolCallId": identifier, **change})
            case "plan":
                plan = {"type": "markdown", "planId": draw(st.sampled_from(["p1", "p2"])), "content": draw(TEXT)}
                plans.add(plan["planId"])
                stream.append({"sessionUpdate": "plan_update", "plan": plan})
            case "end of plan" if plans:
                identifier = draw(st.sampled_from(sorted(plans)))
                plans.remove(identifier)
                stream.append({"sessionUpdate": "plan_removed", "planId": identifier})
            case _:
                stream.append(draw(STATE))
    return stream


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@settings(max_examples=60, deadline=None)
@given(stream=streams(), commits=st.sets(st.integers(0, 25), max_size=3))
def test_a_replay_shows_what_the_live_stream_showed(
    stream: list[dict[str, Any]], commits: set[int], folder: Path
) -> None:
    sent = asyncio.run(stored_and_replayed(stream, commits, folder))
    for update in sent:
        schema.SessionNotification.model_validate({"sessionId": "s", "update": update})
    # A later process says of a call that had not ended that it has failed.
    live = view(stream)
    for identifier in live.unfinished():
        live.show({"sessionUpdate": "tool_call_update", "toolCallId": identifier, "status": "failed"})
    assert view(sent) == live
    assert len(sent) <= len(stream)


async def stored_and_replayed(stream: list[dict[str, Any]], commits: set[int], folder: Path) -> list[dict[str, Any]]:
    """Journal a stream, written in parts, and return what a fresh store replays."""
    store = Store(folder)
    session = store.create("/project")
    for number, update in enumerate(stream):
        session.record(update)
        if number in commits:
            await session.commit()
    await store.close()
    later = Store(folder)
    sent = await (await later.open(session.info.id)).updates()
    await later.close()
    return sent


def text_chunk(text: str, message: str = "m") -> dict[str, Any]:
    content = {"type": "text", "text": text}
    return {"sessionUpdate": "agent_message_chunk", "messageId": message, "content": content}


async def test_the_tokens_of_a_message_become_one_update(tmp_path: Path) -> None:
    stream = [text_chunk(f"{number} ") for number in range(200)]
    assert await stored_and_replayed(stream, {50, 120}, tmp_path) == [
        text_chunk("".join(f"{number} " for number in range(200)))
    ]


async def test_usage_between_tokens_does_not_cut_a_message_in_two(tmp_path: Path) -> None:
    usage = {"sessionUpdate": "usage_update", "used": 1, "size": 2}
    stream = [text_chunk("a"), usage, text_chunk("b"), {**usage, "used": 2}, text_chunk("c")]
    assert await stored_and_replayed(stream, {1, 3}, tmp_path) == [text_chunk("abc"), {**usage, "used": 2}]


async def test_reasoning_is_not_kept(tmp_path: Path) -> None:
    thought = {"sessionUpdate": "agent_thought_chunk", "content": {"type": "text", "text": "hm"}}
    assert await stored_and_replayed([thought, text_chunk("a")], set(), tmp_path) == [text_chunk("a")]


async def test_recording_changes_no_update_of_the_caller(tmp_path: Path) -> None:
    stream = [text_chunk("a"), text_chunk("b")]
    await stored_and_replayed(stream, set(), tmp_path)
    assert stream == [text_chunk("a"), text_chunk("b")]


@pytest.mark.parametrize(
    ("output", "content"),
    [
        ({"exitCode": 0, "output": "hi"}, [{"type": "content", "content": {"type": "text", "text": "hi"}}]),
        ({"exitCode": 0, "output": ""}, []),
        (None, []),
    ],
)
def test_a_terminal_is_replayed_as_what_it_showed(output: Any, content: list[Any]) -> None:
    call = {"sessionUpdate": "tool_call", "toolCallId": "c", "title": "ls", "status": "completed", "rawOutput": output}
    kept = replayed({**call, "content": [{"type": "terminal", "terminalId": "t1"}]})
    assert kept == {**call, "content": content}
