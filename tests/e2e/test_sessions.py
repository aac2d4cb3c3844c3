"""Sessions that survive: what a later process lists, replays and goes on with, however the one before has ended."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Any

import pytest
import safetensors

from gptoss_acp import vocabulary
from gptoss_acp.engine import snapshot_files
from gptoss_acp.harmony import encoding
from gptoss_acp.ledger import INTERRUPTED
from tests.support.client_view import view
from tests.support.replaying import Live, is_running, items, listed, loaded, opened, patch, shell, updates
from tests.support.spawner import Spawner
from tests.support.tokens import final, numbers, preamble, said, text_of, thought, tool_call
from tests.support.waiting import wait_until

FREE = ["--mode", "full-access"]


PLAN = tool_call("functions.update_plan", '{"plan": [{"step": "Look", "status": "in_progress"}]}')


# What comes back


def test_a_session_is_listed_by_the_title_that_the_model_gave_it(spawn: Spawner) -> None:
    title = [*encoding.encode_text("A friendly greeting"), vocabulary.RETURN]
    agent = spawn.scripted(final("Hello."), title, arguments=["--titles", "on"])
    session = agent.open()
    agent.result(agent.prompt(session, "Hi there"))
    agent.read_until(lambda: len(agent.updates(session, "session_info_update")) == 2)
    told = [update.message["params"]["update"]["title"] for update in agent.updates(session, "session_info_update")]
    assert told == ["Hi there", "A friendly greeting"]
    assert listed(agent)["sessions"][0]["title"] == "A friendly greeting"
    assert agent.messages(session) == ["Hello."]


@pytest.mark.parametrize("capabilities", [{}, {"session": {"compaction": {}}}], ids=["a client", "one of tomorrow"])
def test_a_replay_shows_what_the_live_conversation_showed(capabilities: dict[str, Any], spawn: Spawner) -> None:
    first = spawn.scripted(
        *(said(thought("Secret."), preamble("I plan."), PLAN), patch("*** Add File: a", "+one"), final("Added 🫠.")),
        *(said(preamble("Now."), shell("echo out; exit 3")), patch("*** Update File: a", "-1"), final("Failed.")),
        *(said(preamble("Long."), shell("sleep 60")), said(thought("Hm."), final("We worked.")), final(numbers(4000))),
        arguments=FREE,
    )
    params = {"protocolVersion": 1, "clientCapabilities": capabilities}
    first.result(first.ask("initialize", params))
    live = Live(first, first.new_session())
    assert live.say("Add a file\nquickly") == "end_turn"
    assert live.say("Go on") == "end_turn"
    assert live.say("Wait", until=lambda: is_running(first, live.session)) == "cancelled"
    assert live.say("/compact") == "end_turn"
    assert live.say("/status") == "end_turn"
    assert live.say("Count", until=lambda: " 99 100 " in first.messages(live.session)[-1]) == "cancelled"
    assert first.end() == 0

    second = spawn.scripted(final("And on."), home=first.home, traced=True)
    second.result(second.ask("initialize", params))
    replayed = loaded(second, live.session)
    assert items(replayed) == items(live.shown)
    for part in ("plans", "info", "usage"):
        assert getattr(view(replayed), part) == getattr(view(live.shown), part)
    assert view(replayed).info == {"title": "Add a file quickly"}
    assert view(replayed).unfinished() == []
    assert "Secret" not in str(replayed)
    second.result(second.prompt(live.session, "Go on"))
    asked = text_of(second.traced_prompts()[-1])
    assert "We worked." in asked
    assert asked.endswith(
        f"{first.messages(live.session)[-1]}<|end|><|start|>user<|message|>Go on<|end|><|start|>assistant"
    )


def test_a_session_that_said_nothing_is_there_once_it_is_answered(spawn: Spawner) -> None:
    first = spawn.scripted(final("x"), ends_well=False)
    session = first.open()
    first.process.kill()
    second = spawn.scripted(final("x"), home=first.home)
    second.initialize()
    (info,) = listed(second)["sessions"]
    assert (info["sessionId"], info["cwd"]) == (session, str(first.home))
    assert loaded(second, session) == []
    assert second.result(second.prompt(session, "Hi"))["stopReason"] == "end_turn"


def test_of_two_loads_of_a_session_at_once_one_waits_for_the_other(spawn: Spawner) -> None:
    agent = spawn.scripted(final("Hello."))
    live = Live(agent, agent.open())
    assert live.say("Hi") == "end_turn"
    load = {"sessionId": live.session, "cwd": str(agent.home), "mcpServers": []}
    for method in ("session/load", "session/resume"):
        asked = [agent.ask(method, load) for _ in range(3)]
        assert all("modes" in agent.result(identifier) for identifier in asked)
    assert agent.result(agent.prompt(live.session, "And now?"))["stopReason"] == "end_turn"


def test_requests_about_one_session_are_done_in_the_order_in_which_they_come(spawn: Spawner) -> None:
    agent = spawn.scripted(final("Hello."), final("Again."))
    live = Live(agent, agent.open())
    assert live.say("Hi") == "end_turn"
    session = live.session
    agent.result(agent.ask("session/close", {"sessionId": session}))
    opening = {"sessionId": session, "cwd": str(agent.home), "mcpServers": []}
    loading, prompting = agent.ask("session/load", opening), agent.prompt(session, "On")
    assert "modes" in agent.result(loading)
    assert agent.result(prompting)["stopReason"] == "end_turn"
    agent.result(agent.ask("session/close", {"sessionId": session}))
    loading, closing = agent.ask("session/load", opening), agent.ask("session/close", {"sessionId": session})
    assert agent.answer(loading)
    assert agent.result(closing) == {}
    deleting, forking = agent.ask("session/delete", {"sessionId": session}), agent.ask("session/fork", opening)
    assert agent.result(deleting) == {}
    assert agent.error(forking)["code"] == -32002


def test_what_is_long_is_replayed_in_short_lines(spawn: Spawner) -> None:
    first = spawn.scripted(
        patch("*** Add File: a", *["+" + 90 * "\\"] * 500),
        shell("cat a; exit 1"),
        final("x"),
        arguments=FREE,
    )
    live = Live(first, first.open())
    prompt = '"\\\n' * 60_000
    assert live.say(prompt) == "end_turn"
    assert first.end() == 0
    second = spawn.scripted(final("x"), home=first.home)
    second.initialize()
    assert items(loaded(second, live.session)) == items(live.shown)


def test_mode_and_effort_come_back_and_resume_replays_nothing(spawn: Spawner) -> None:
    first = spawn.scripted(final("Ok."))
    session = first.open()
    first.result(first.prompt(session, "Hi"))
    first.result(first.ask("session/set_mode", {"sessionId": session, "modeId": "read-only"}))
    option = {"sessionId": session, "configId": "effort", "value": "high"}
    first.result(first.ask("session/set_config_option", option))
    assert first.end() == 0
    second = spawn.scripted(final("Ok."), home=first.home, traced=True)
    second.initialize()
    answer = opened(second, "session/resume", session)
    assert updates(second, session) == []
    assert answer["modes"]["currentModeId"] == "read-only"
    assert [option["currentValue"] for option in answer["configOptions"]] == ["read-only", "scripted", "high", "all"]
    second.result(second.prompt(session, "And?"))
    asked = text_of(second.traced_prompts()[-1])
    assert "Reasoning: high" in asked
    assert "Hi<|end|><|start|>assistant<|channel|>final<|message|>Ok.<|end|>" in asked


def test_undo_takes_back_what_an_earlier_process_changed(spawn: Spawner) -> None:
    turns = patch("*** Update File: a", "-one", "+1"), final("x"), patch("*** Delete File: a"), final("x")
    first = spawn.scripted(*turns, arguments=FREE)
    (first.home / "a").write_text("one\n")
    (first.home / "a").chmod(0o750)
    session = first.open()
    for _ in range(2):
        first.result(first.prompt(session, "Go"))
    assert not (first.home / "a").exists()
    assert first.end() == 0
    second = spawn.scripted(final("x"), home=first.home)
    second.initialize()
    loaded(second, session)
    second.result(second.prompt(session, "/undo"))
    assert (first.home / "a").read_text() == "1\n"
    assert (first.home / "a").stat().st_mode & 0o777 == 0o750
    assert second.end() == 0
    third = spawn.scripted(final("x"), home=first.home, traced=True)
    third.initialize()
    loaded(third, session)
    third.result(third.prompt(session, "/undo"))
    assert (first.home / "a").read_text() == "one\n"
    third.result(third.prompt(session, "/undo"))
    assert "nothing to take back" in third.messages(session)[-1]
    third.result(third.prompt(session, "Go on"))
    assert text_of(third.traced_prompts()[-1]).count("I have taken back your last changes") == 2


@pytest.mark.timeout(300)  # a model is loaded twice
def test_the_first_prompt_after_a_restart_reads_only_what_is_new(
    spawn: Spawner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    first = spawn("--model", "tiny")
    session = first.open()
    usage = first.result(first.prompt(session, "Count to 20"))["usage"]
    # While it is idle it reads the conversation as the next prompt will begin, and stores that.
    wait_until(lambda: stored_tokens() >= usage["inputTokens"] + 20, 60)
    assert first.end() == 0
    second = spawn("--model", "tiny", home=first.home)
    second.initialize()
    loaded(second, session)
    usage = second.result(second.prompt(session, "Hello"))["usage"]
    assert usage["inputTokens"] - usage["cachedReadTokens"] < 30


def stored_tokens() -> int:
    """Return how many tokens the contexts on disk have together."""
    total = 0
    for path in snapshot_files.files(snapshot_files.folder()):
        with safetensors.safe_open(path, framework="numpy") as file:
            total += len(file.get_tensor("tokens"))
    return total


# After a kill


@pytest.mark.parametrize("meanwhile", [None, "read-only"], ids=["undisturbed", "another mode meanwhile"])
def test_what_was_shown_of_an_answer_is_what_the_model_is_told_that_it_said(
    meanwhile: str | None, spawn: Spawner
) -> None:
    first = spawn.scripted(said(preamble("I count."), final(numbers(5000))), delay=0.01, ends_well=False)
    session = first.open()
    first.prompt(session, "Count")
    first.read_until(lambda: len(first.chunks(session)) > 60)
    if meanwhile:
        first.result(first.ask("session/set_mode", {"sessionId": session, "modeId": meanwhile}))
    seen = first.messages(session)
    time.sleep(1)  # after which what was shown must not be lost
    first.process.kill()
    second = spawn.scripted(final("Ok."), home=first.home, traced=True)
    second.initialize()
    loaded(second, session)
    kept = second.messages(session)
    assert kept[0] == "I count."
    assert kept[1].startswith(seen[1])
    second.result(second.prompt(session, "Go on"))
    assert text_of(second.traced_prompts()[-1]).endswith(
        "<|start|>user<|message|>Count<|end|><|start|>assistant<|channel|>commentary<|message|>I count.<|end|>"
        f"<|start|>assistant<|channel|>final<|message|>{kept[1]}<|end|>"
        "<|start|>user<|message|>Go on<|end|><|start|>assistant"
    )


def test_a_call_that_was_running_has_failed_and_the_model_is_told(spawn: Spawner) -> None:
    first = spawn.scripted(shell("touch begun; sleep 60"), arguments=FREE, ends_well=False)
    session = first.open()
    first.prompt(session, "Go")
    first.read_until(lambda: is_running(first, session))
    time.sleep(1)  # likewise
    first.process.kill()
    second = spawn.scripted(final("Ok."), home=first.home, traced=True)
    second.initialize()
    (_, call) = items(loaded(second, session))
    assert call["status"] == "failed"
    second.result(second.prompt(session, "Go on"))
    assert f"<|message|>{INTERRUPTED}<|end|><|start|>user<|message|>Go on<|end|>" in text_of(
        second.traced_prompts()[-1]
    )


# Several sessions, several processes


def test_the_list_is_in_pages_newest_first_and_of_one_folder_if_asked(spawn: Spawner, tmp_path: Path) -> None:
    agent = spawn.scripted(final("x"))
    agent.initialize()
    sessions = [agent.new_session() for _ in range(60)]
    elsewhere = agent.result(agent.ask("session/new", {"cwd": str(tmp_path), "mcpServers": []}))["sessionId"]
    agent.result(agent.prompt(sessions[3], "What is new?"))
    page = listed(agent)
    rest = listed(agent, cursor=page["nextCursor"])
    assert "nextCursor" not in rest
    ids = [info["sessionId"] for info in page["sessions"] + rest["sessions"]]
    assert ids == [sessions[3], elsewhere, *(one for one in reversed(sessions) if one != sessions[3])]
    assert page["sessions"][0]["title"] == "What is new?"
    assert [info["sessionId"] for info in listed(agent, cwd=str(tmp_path))["sessions"]] == [elsewhere]
    for wrong in ({"cursor": "1"}, {"cwd": "here"}):
        assert agent.error(agent.ask("session/list", wrong))["code"] == -32602


def test_a_session_is_open_in_one_process_at_a_time(spawn: Spawner) -> None:
    first = spawn.scripted(final("One."))
    session = first.open()
    first.result(first.prompt(session, "Hi"))
    second = spawn.scripted(final("Two."), home=first.home, traced=True)
    second.initialize()
    assert [info["sessionId"] for info in listed(second)["sessions"]] == [session]
    for method in ("session/load", "session/resume", "session/delete"):
        params = {"sessionId": session, "cwd": str(first.home), "mcpServers": []}
        error = second.error(second.ask(method, params))
        assert error["code"] == -32600
        assert f"is open already, in process {first.process.pid}" in error["message"]
    fork = opened(second, "session/fork", session)["sessionId"]
    second.result(second.prompt(fork, "And?"))
    assert "One.<|end|><|start|>user<|message|>And?<|end|>" in text_of(second.traced_prompts()[-1])
    assert len(items(loaded(second, fork))) == 4
    first.result(first.ask("session/close", {"sessionId": session}))
    assert len(items(loaded(second, session))) == 2
    assert first.error(first.prompt(session, "Hi"))["code"] == -32002


def test_a_session_that_is_being_closed_can_be_loaded_at_once(spawn: Spawner) -> None:
    agent = spawn.scripted(shell("trap '' TERM; sleep 60"), final("x"), arguments=FREE)
    session = agent.open()
    turn = agent.prompt(session, "Go")
    agent.read_until(lambda: is_running(agent, session))
    params = {"sessionId": session, "cwd": str(agent.home), "mcpServers": None}
    cancelled = agent.ask("session/close", {"sessionId": session})
    agent.notify("$/cancel_request", {"requestId": cancelled})
    agent.result(agent.ask("session/resume", params))
    assert agent.result(turn)["stopReason"] == "cancelled"
    assert agent.error(cancelled)["code"] == -32800
    assert agent.result(agent.prompt(session, "And?"))["stopReason"] == "end_turn"


def test_the_mcp_servers_of_a_loaded_session_are_those_of_the_request(spawn: Spawner) -> None:
    agent = spawn.scripted(final("x"))
    session = agent.open()
    broken = {"name": "broken", "command": "/bin/false", "args": [], "env": []}
    opened(agent, "session/load", session, mcpServers=[broken])
    agent.result(agent.prompt(session, "Hi"))
    assert "The MCP server broken is not available" in agent.messages(session)[0]


def test_a_list_of_many_folders_still_fits_a_line(spawn: Spawner) -> None:
    agent = spawn.scripted(final("x"))
    agent.initialize()
    for count in (3, *[30] * 49):
        folders = [f"/{'x' * 60}/{number}" for number in range(count)]
        params = {"cwd": "/", "mcpServers": [], "additionalDirectories": folders}
        agent.result(agent.ask("session/new", params))
    assert len(listed(agent)["sessions"]) == 50
    other = agent.result(agent.ask("session/new", {"cwd": "/usr", "mcpServers": [], "additionalDirectories": ["/bin"]}))
    (info,) = listed(agent, cwd="/usr")["sessions"]
    assert (info["sessionId"], info["additionalDirectories"]) == (other["sessionId"], ["/bin"])


def test_a_deleted_session_is_gone(spawn: Spawner) -> None:
    agent = spawn.scripted(final(numbers(5000)), delay=0.01)
    session = agent.open()
    turn = agent.prompt(session, "Count")
    agent.read_until(lambda: bool(agent.chunks(session)))
    for _ in range(2):
        assert agent.result(agent.ask("session/delete", {"sessionId": session})) == {}
    assert agent.result(turn)["stopReason"] == "cancelled"
    assert listed(agent)["sessions"] == []
    params = {"sessionId": session, "cwd": "/", "mcpServers": []}
    assert agent.error(agent.ask("session/load", params))["code"] == -32002


# A disk that does not play along


def test_where_nothing_can_be_stored_the_user_is_told_once_and_the_session_goes_on(spawn: Spawner) -> None:
    home = spawn.new_home()
    (home / "data").write_text("no folder")
    agent = spawn.scripted(final("One."), final("Two."), home=home)
    session = agent.open()
    for text in ("Hi", "And?"):
        assert agent.result(agent.prompt(session, text))["stopReason"] == "end_turn"
    first, problem, second = agent.messages(session)
    assert (first, second) == ("One.", "Two.")
    assert problem.startswith("Sessions can't be kept in ")
    assert agent.error(agent.ask("session/list", {}))["message"].startswith("Sessions can't be kept in ")
    (home / "data").unlink()
    agent.result(agent.prompt(session, "Now?"))
    assert [info["sessionId"] for info in listed(agent)["sessions"]] == [session]
    assert agent.end() == 0
    later = spawn.scripted(final("x"), home=home)
    later.initialize()
    assert len(items(loaded(later, session))) == 7


def test_on_a_full_disk_the_session_goes_on_and_is_stored_once_there_is_room(spawn: Spawner, small_disk: Path) -> None:
    home = spawn.new_home()
    (home / "data").symlink_to(small_disk)
    turns = final("One."), patch("*** Add File: a", "+1"), final("Two."), final("Three."), final("Four.")
    first = spawn.scripted(*turns, home=home, arguments=FREE, ends_well=False)
    live = Live(first, first.open())
    live.say("Hi")
    filler = small_disk / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while file.write(b"\0" * 4096):
            pass
    live.say("Go " + "on " * 20_000)
    live.say("And on")
    assert (home / "a").read_text() == "1\n"
    *_, two, problem, three = first.messages(live.session)
    assert (two, three) == ("Two.", "Three.")
    assert problem.endswith("the disk is full; free some space.")
    filler.unlink()
    live.say("Now?")
    first.process.kill()
    first.exit_code()
    second = spawn.scripted(final("x"), home=home)
    second.initialize()
    assert items(loaded(second, live.session)) == items(live.shown)


def test_a_damaged_database_is_set_aside_and_the_user_is_told(spawn: Spawner) -> None:
    first = spawn.scripted(final("x"))
    first.open()
    assert first.end() == 0
    (database,) = first.home.rglob("sessions.db")
    database.write_bytes(b"no database" * 1000)
    second = spawn.scripted(final("One."), home=first.home)
    session = second.open()
    for text in ("Hi", "And?"):
        assert second.result(second.prompt(session, text))["stopReason"] == "end_turn"
    assert [message == "One." for message in second.messages(session)] == [True, False, True]
    (aside,) = first.home.rglob("sessions-damaged-*.db")
    assert aside.name in second.messages(session)[1]
    assert [info["sessionId"] for info in listed(second)["sessions"]] == [session]
