"""What is kept of a session while it is lived, and what one that was kept begins with, on a real store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest

from gptoss_acp.conversation.journal import Journal
from gptoss_acp.protocol.shapes import AgentMessageChunk, Update
from gptoss_acp.store import Store
from gptoss_acp.text import as_sentence
from gptoss_acp.workspace.edits import Change
from tests.support.tokens import text_of

ONE, TWO = Change(Path("/project/a"), "1", "2"), Change(Path("/project/b"), None, "x", moved_from=Path("/project/c"))


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = Store(tmp_path)
    yield store
    await store.close()


@pytest.fixture
async def journal(store: Store) -> Journal:
    return Journal(store.create("/work"))


async def reopened(store: Store, journal: Journal) -> Journal:
    """Return the journal as a later process has it."""
    await journal.close()
    stored = await store.open(journal.id)
    return Journal(stored, cast("list[Update]", await stored.updates()), await stored.undos())


async def test_a_session_takes_its_first_title_and_keeps_it(store: Store, journal: Journal) -> None:
    assert not journal.takes_title("")
    assert journal.takes_title("Mending")
    assert not journal.takes_title("Another")
    journal.update({"sessionUpdate": "session_info_update", "title": "Mending"})
    assert not (await reopened(store, journal)).takes_title("Another")


async def test_what_a_session_was_set_to_comes_back(store: Store, journal: Journal) -> None:
    journal.set_config(mode="ask")
    journal.set_config(effort="high")
    assert dict((await reopened(store, journal)).config) == {"mode": "ask", "effort": "high"}


async def test_a_prompt_is_one_message_of_which_only_what_is_no_text_is_cut(store: Store, journal: Journal) -> None:
    link = {"type": "resource_link", "uri": "file:///a", "name": "a", "description": "x" * 100_000}
    journal.asked([{"type": "text", "text": "y" * 100_000}, link])
    await journal.close()
    said, linked = await (await store.open(journal.id)).updates()
    assert said["messageId"] == linked["messageId"]
    assert said["content"]["text"] == "y" * 100_000
    assert linked["content"]["uri"] == "file:///a"
    assert len(linked["content"]["description"]) < 50_000


async def test_what_was_said_and_not_yet_heard_is_heard_by_a_later_process(store: Store, journal: Journal) -> None:
    journal.hear("Stop that")
    await journal.commit()
    assert [entry.text for entry in (await reopened(store, journal)).ledger.entries] == ["Stop that"]


async def test_a_message_that_was_being_said_is_what_the_user_saw_of_it(store: Store, journal: Journal) -> None:
    journal.begun("final", "m")
    for text in ("Hel", "lo"):
        chunk: AgentMessageChunk = {
            "sessionUpdate": "agent_message_chunk",
            "messageId": "m",
            "content": {"type": "text", "text": text},
        }
        journal.update(chunk)
    later = await reopened(store, journal)
    assert text_of(later.ledger.tokens()) == "<|start|>assistant<|channel|>final<|message|>Hello<|end|>"


async def test_what_has_happened_is_unsafe_until_it_is_committed(journal: Journal) -> None:
    assert not journal.unsafe
    journal.keep()
    assert journal.unsafe
    await journal.commit()
    assert not journal.unsafe


async def test_a_problem_is_told_once_and_as_a_sentence(journal: Journal) -> None:
    assert journal.take_problem() is None
    journal.note_problem("the disk is full")
    journal.note_problem(None)
    assert journal.take_problem() == "The disk is full."
    assert journal.take_problem() is None
    assert as_sentence("") == "."


# File changes


async def test_changes_that_were_about_to_be_made_could_be_taken_back_after_a_kill(
    store: Store, journal: Journal
) -> None:
    await journal.before_changes("first", [ONE])
    await journal.before_changes("second", [ONE])
    await journal.before_changes("second", [TWO])
    later = await reopened(store, journal)
    assert list(later.take_made_changes().items()) == [("first", [ONE]), ("second", [ONE, TWO])]


@pytest.mark.parametrize("made", [[], [ONE], [ONE, TWO]], ids=["none", "one", "all"])
async def test_of_changes_that_were_about_to_be_made_those_count_that_were(
    made: list[Change], store: Store, journal: Journal
) -> None:
    await journal.before_changes("turn", [ONE, TWO])
    journal.after_changes("turn", made)
    assert (await reopened(store, journal)).take_made_changes() == ({"turn": made} if made else {})


async def test_changes_that_are_taken_back_do_not_come_again(store: Store, journal: Journal) -> None:
    await journal.before_changes("turn", [ONE])
    journal.after_changes("turn", [ONE])
    journal.forget_changes("turn")
    assert (await reopened(store, journal)).take_made_changes() == {}
