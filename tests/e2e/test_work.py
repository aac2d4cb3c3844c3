"""The bundled model at work in a scratch repository: it reads, runs and patches, and the user has the last word.

The prompts are chosen for what so small a model can do; everything else here holds for any model.
"""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.editor import Editor, Open, opened

pytestmark = pytest.mark.timeout(300)  # models are loaded and speak, on a machine that may have more to do

TINY = ("--model", "tiny")
SECONDS = 120
"""For a model call on a busy machine."""

FILES = {
    "notes/todo.txt": "buy milk\nfix the parser\n",
    "config.json": "8080\n",
}


@dataclass(frozen=True)
class Act:
    """A prompt whose answer needs permission: the tool call's kind, and what it leaves of a file."""

    prompt: str
    kind: str
    file: str
    after: str | None


READ = "Read notes/todo.txt"
ACTS = {
    "a command": Act("run touch made.txt", "execute", "made.txt", ""),
    "a number": Act("update config.json: replace 8080 with 9090", "edit", "config.json", "9090\n"),
    "a new file": Act('Create a file hello.txt with the text "hello world"', "edit", "hello.txt", "hello world\n"),
    "a deletion": Act("Delete notes/todo.txt", "delete", "notes/todo.txt", None),
}


def scratch(folder: Path) -> Path:
    """Return a new repository in `folder`."""
    for name, content in FILES.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    return folder


def contents(repository: Path) -> dict[str, str]:
    return {str(file.relative_to(repository)): file.read_text() for file in repository.rglob("*") if file.is_file()}


async def reads_the_notes(editor: Editor, session: Open) -> None:
    asked = len(editor.permissions)
    assert await session.prompt(READ) == "end_turn"
    await editor.until(lambda: "buy milk" in editor.text(), SECONDS)
    call = editor.calls()[-1]
    assert (call["kind"], call["statuses"]) == ("read", ["pending", "in_progress", "completed"])
    assert call["rawInput"] == {"path": "notes/todo.txt"}
    assert call["rawOutput"]["result"] == "L1: buy milk\nL2: fix the parser"
    assert len(editor.permissions) == asked


async def test_it_reads_a_file_and_says_what_is_in_it(tmp_path: Path) -> None:
    repository = scratch(tmp_path / "work")
    editor = Editor()
    async with opened(editor, tmp_path, arguments=TINY) as session:
        await reads_the_notes(editor, session)
    assert contents(repository) == FILES


async def test_it_acts_when_the_user_allows_it(subtests: pytest.Subtests, tmp_path: Path) -> None:
    editor = Editor("allow_once")
    async with opened(editor, tmp_path, arguments=TINY, fs=True, terminal=True) as program:
        for name, act in ACTS.items():
            with subtests.test(name):
                await acts(editor, await program.another(scratch(tmp_path / name)), act)
                left = {**FILES, act.file: act.after}
                assert contents(tmp_path / name) == {
                    file: content for file, content in left.items() if content is not None
                }


async def acts(editor: Editor, session: Open, act: Act) -> None:
    editor.forget()
    assert await session.prompt(act.prompt) == "end_turn"
    await editor.until(lambda: [call["statuses"][-1] for call in editor.calls()] == ["completed"])
    ((asked, _),) = editor.permissions
    (call,) = editor.calls()
    assert (asked.kind, call["kind"]) == (act.kind, act.kind)
    assert [content["type"] for content in call["content"]] == ["terminal" if act.kind == "execute" else "diff"]


async def test_it_stops_when_the_user_refuses(subtests: pytest.Subtests, tmp_path: Path) -> None:
    editor = Editor("reject_once")
    async with opened(editor, tmp_path, arguments=TINY) as program:
        for name, act in ACTS.items():
            with subtests.test(name):
                session = await program.another(scratch(tmp_path / name))
                editor.forget()
                assert await session.prompt(act.prompt) == "end_turn"
                await editor.until(lambda: "not allow" in editor.text(), SECONDS)
                ((asked, _),) = editor.permissions
                assert asked.kind == act.kind
                assert [call["statuses"] for call in editor.calls()] == [["pending", "failed"]]
                assert contents(tmp_path / name) == FILES


async def test_cancelling_while_it_asks_ends_the_turn_and_the_next_prompt_works(
    subtests: pytest.Subtests, tmp_path: Path
) -> None:
    editor = Editor()
    async with opened(editor, tmp_path, arguments=TINY) as program:
        for name, how in itertools.product(["a command", "a number"], ["the turn", "the request"]):
            with subtests.test(f"{how}, {name}"):
                repository = scratch(tmp_path / how / name)
                session = await program.another(repository)
                editor.forget()
                editor.answers = ["cancelled" if how == "the request" else "nothing"]
                turn = asyncio.create_task(session.prompt(ACTS[name].prompt))
                await editor.until(lambda: editor.permissions, SECONDS)
                if how == "the turn":
                    await session.cancel()
                assert await turn == "cancelled"
                assert [call["statuses"] for call in editor.calls()] == [["pending", "failed"]]
                await reads_the_notes(editor, session)
                assert contents(repository) == FILES
