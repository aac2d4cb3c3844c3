"""What a prompt's blocks say to the model: words in order, links read within the roots, everything else left a link."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest
from acp import schema

from gptoss_acp.briefing import prompt_content
from gptoss_acp.protocol.capabilities import Capabilities
from gptoss_acp.rpc import RpcError
from gptoss_acp.text import LONGEST_RESULT
from tests.support.desk import Desk
from tests.support.editor import Editor, Open, opened, prompts
from tests.support.tokens import final

LINES = "".join(f"line {number}\n" for number in range(1, 11))


def words(text: str) -> schema.TextContentBlock:
    return schema.TextContentBlock(type="text", text=text)


def link(uri: str | Path, name: str = "it") -> schema.ResourceContentBlock:
    return schema.ResourceContentBlock(
        type="resource_link", name=name, uri=f"file://{uri}" if isinstance(uri, Path) else uri
    )


def embedded(uri: str, text: str) -> schema.EmbeddedResourceContentBlock:
    return schema.EmbeddedResourceContentBlock(
        type="resource", resource=schema.TextResourceContents(uri=uri, text=text)
    )


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    (tmp_path / "work").mkdir()
    return Desk(tmp_path / "work")


async def heard(desk: Desk, *blocks: Any, told: list[str] | None = None) -> str:
    told = [] if told is None else told
    attached = await prompt_content.attached(blocks, desk.workspace, told.append)
    return prompt_content.text(blocks, desk.workspace.roots) + attached


# The words


@pytest.mark.parametrize(
    ("pieces", "own"),
    [
        (["Fix it"], "Fix it"),
        (["See ", "@b.md", " and fix it"], "See [b.md](b.md) and fix it"),
        (["You run in an editor.", "Fix it"], "Fix it"),
        (["You run in an editor.", "See ", "@b.md", ", fix it"], "See [b.md](b.md), fix it"),
        (["<context>\nshell: zsh\n</context>\n\nFix it"], "Fix it"),
        (["<env os='linux'>x</env><system-reminder>y</system-reminder> Fix <b>it</b>"], "Fix <b>it</b>"),
        (["Fix it", "<context>x</context>"], "Fix it"),
        (["<div> is not closed here"], "<div> is not closed here"),
        (["<context>x</context>"], ""),
        (["Fix\n<context>x</context>"], "Fix"),
        (["/undo\n<context>x</context>"], "/undo"),
        (["<context>a <context>b</context> c</context> Fix"], "Fix"),
        (["/undo", "A plain note of the editor's."], "/undo"),
        (["\ufeff<context>x</context>Fix"], "Fix"),
        ([], ""),
    ],
)
def test_the_users_own_words_are_told_from_notes_of_the_editors(pieces: list[str], own: str, desk: Desk) -> None:
    (desk.cwd / "b.md").write_text("b\n")
    blocks = [link(desk.cwd / "b.md", "b.md") if piece.startswith("@") else words(piece) for piece in pieces]
    assert prompt_content.own_words(blocks, desk.workspace.roots) == own


def test_what_is_marked_as_for_the_model_is_not_the_users(desk: Desk) -> None:
    note = schema.TextContentBlock(type="text", text="Fix it", annotations=schema.Annotations(audience=["assistant"]))
    assert prompt_content.own_words([words("/status"), note], desk.workspace.roots) == "/status"


@pytest.mark.parametrize(
    ("pieces", "said"),
    [
        (["What does ", "@b.md", " mean?"], "What does [b.md](b.md) mean?"),
        (["Read", "@b.md", "and (", "@c.md", "), then stop"], "Read [b.md](b.md) and ([c.md](c.md)), then stop"),
        (["@b.md", "@c.md", "", "Compare"], "[b.md](b.md) [c.md](c.md) Compare"),
        (["One.", "Two."], "One.\n\nTwo."),
        (["See\n", "@b.md", "\nand\n"], "See\n[b.md](b.md)\nand\n"),
        ([], ""),
    ],
)
def test_the_words_stay_in_order_with_links_among_them(pieces: list[str], said: str, desk: Desk) -> None:
    blocks = [link(desk.cwd / piece[1:], piece[1:]) if piece[:1] == "@" else words(piece) for piece in pieces]
    assert prompt_content.text(blocks, desk.workspace.roots) == said


@pytest.mark.parametrize(
    "block",
    [
        schema.ImageContentBlock(type="image", data="AA==", mime_type="image/png"),
        schema.AudioContentBlock(type="audio", data="AA==", mime_type="audio/wav"),
        schema.EmbeddedResourceContentBlock(
            type="resource", resource=schema.BlobResourceContents(uri="file:///x", blob="AA==")
        ),
    ],
)
def test_what_was_not_offered_is_refused_by_its_place(block: Any, desk: Desk) -> None:
    with pytest.raises(RpcError) as caught:
        prompt_content.text([words("Look"), block], desk.workspace.roots)
    assert caught.value.code == -32602
    assert caught.value.data[0]["field"] == "prompt.1.type"


# What is read


async def test_a_linked_file_comes_after_the_words(desk: Desk) -> None:
    (desk.cwd / "notes").mkdir()
    (desk.cwd / "notes/to do.txt").write_bytes(b"\xef\xbb\xbfbuy milk\r\ncall Ada\r\n")
    blocks = [words("Read "), link(f"file://{desk.cwd}/notes/to%20do.txt", "to do.txt"), words(" and obey")]
    assert await heard(desk, *blocks) == (
        "Read [to do.txt](notes/to do.txt) and obey\n\nnotes/to do.txt\n```\nbuy milk\ncall Ada\n```"
    )


@pytest.mark.parametrize(
    ("fragment", "name", "first", "last"),
    [
        ("L3", "a.py#L3", 3, 3),
        ("3", "a.py#L3", 3, 3),
        ("L3-5", "a.py#L3-5", 3, 5),
        ("L3-L5", "a.py#L3-5", 3, 5),
        ("L3:5", "a.py#L3-5", 3, 5),
        ("L3,7-L5,1", "a.py#L3-5", 3, 5),
        ("L3C7-L5C1", "a.py#L3-5", 3, 5),
        ("L5:3", "a.py#L3-5", 3, 5),
        ("L0:2", "a.py#L1-2", 1, 2),
        ("L9-400", "a.py#L9-400", 9, 10),
        ("heading", "a.py", 1, 10),
        ("L1-2-3", "a.py", 1, 10),
        ("", "a.py", 1, 10),
    ],
)
async def test_a_fragment_names_lines_as_editors_write_it(
    fragment: str, name: str, first: int, last: int, desk: Desk
) -> None:
    (desk.cwd / "a.py").write_text(LINES)
    lines = "\n".join(f"line {number}" for number in range(first, last + 1))
    text = await heard(desk, link(f"file://{desk.cwd}/a.py?symbol=f#{fragment}"))
    assert text == f"[it]({name})\n\n{name}\n```\n{lines}\n```"


async def test_unsaved_text_in_the_editor_counts(desk: Desk, tmp_path: Path) -> None:
    desk = Desk(desk.cwd, capabilities=Capabilities(read=True))
    (desk.cwd / "a.py").write_text("saved\n")
    desk.peer.answers["fs/read_text_file"] = lambda params: {"content": f"unsaved {Path(params['path']).name}\n"}
    assert "```\nunsaved a.py\n```" in await heard(desk, link(desk.cwd / "a.py"))
    assert "```\nunsaved new.py\n```" in await heard(desk, link(desk.cwd / "new.py"))


async def test_a_folder_is_listed(desk: Desk) -> None:
    (desk.cwd / "src/inner").mkdir(parents=True)
    (desk.cwd / "src/a.py").touch()
    (desk.cwd / "src/b.log").touch()
    (desk.cwd / "src/.ignore").write_text("*.log\n")
    text = await heard(desk, link(f"file://{desk.cwd}/src/", "src"))
    assert (
        text
        == "[src](src)\n\nsrc\n```\n.ignore\na.py\ninner/\n(ignored, and shown only if named as the path: b.log)\n```"
    )
    (desk.cwd / "empty").mkdir()
    assert (await heard(desk, link(desk.cwd / "empty"))).endswith("```\n(empty)\n```")


async def test_additional_folders_count_as_inside_and_are_shown_in_full(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more/a.txt").write_text("more")
    desk = Desk(desk.cwd, additional=[tmp_path / "more"])
    file = tmp_path / "more/a.txt"
    assert await heard(desk, link(file)) == f"[it]({file})\n\n{file}\n```\nmore\n```"


async def test_what_is_mentioned_twice_comes_once(desk: Desk) -> None:
    (desk.cwd / "a.py").write_text(LINES)
    file = desk.cwd / "a.py"
    text = await heard(desk, link(file), link(f"file://{file}#L2"), link(file), embedded(f"file://{file}#L3", "now"))
    assert [part.split("\n")[0] for part in text.split("\n\n")[1:]] == [
        "a.py",
        "a.py#L2",
        "a.py#L3",
    ]


async def test_embedded_text_is_taken_as_it_comes(desk: Desk) -> None:
    (desk.cwd / "a.md").write_text("on disk")
    text = await heard(
        desk,
        words("See"),
        embedded(f"file://{desk.cwd}/a.md", "in the ```editor```\n"),
        embedded("zed:///agent/terminal-selection?lines=2", "$ ls"),
        embedded("zed:///agent/terminal-selection?lines=2", "$ pwd"),
    )
    terminal = "zed:///agent/terminal-selection?lines=2"
    said, *parts = text.split("\n\n")
    assert said.startswith("See [a.md](a.md) [terminal-selection?lines=2](zed:///")
    assert parts == [
        "a.md\n````\nin the ```editor```\n````",
        f"{terminal}\n```\n$ ls\n```",
        f"{terminal}\n```\n$ pwd\n```",
    ]


@pytest.mark.parametrize(
    "uri", ["a#b.md", "{work}/a#b.md", "file://{work}/a#b.md", "file://{work}/a%23b.md", "./x/../a#b.md"]
)
async def test_a_path_is_a_link_too_and_a_name_may_have_a_number_sign(uri: str, desk: Desk) -> None:
    (desk.cwd / "a#b.md").write_text("there")
    told: list[str] = []
    text = await heard(desk, link(uri.format(work=desk.cwd)), told=told)
    assert text == "[it](a#b.md)\n\na#b.md\n```\nthere\n```"
    assert told == []


# What is not


OUTSIDE = {
    "absolute": "file://{outside}/secret.txt",
    "dots": "file://{work}/../outside/secret.txt",
    "escaped dots": "file://{work}/%2e%2e/outside/secret.txt",
    "symlinked file": "file://{work}/link.txt",
    "symlinked folder": "file://{work}/folder/secret.txt",
    "folder": "file://{outside}/",
    "home": "file://~/secret.txt",
    "other scheme": "https://example.org{work}/a.txt",
    "other machine": "file://example.org{work}/a.txt",
    "editor's own": "zed:///agent/file?path={work}/a.txt",
    "bad host": "file://[{work}/a.txt",
    "null": "file://{work}/a.txt%00",
    "very long": "file://{work}/" + "x" * 5000,
    "missing": "file://{work}/missing.txt",
    "binary": "file://{work}/image.png",
    "pipe": "file://{work}/pipe",
    "device": "file:///dev/zero",
    "huge": "file://{work}/huge",
    "beyond the end": "file://{work}/a.txt#L7",
}


@pytest.mark.parametrize("mode", ["ask", "full-access"])
@pytest.mark.parametrize("case", OUTSIDE)
async def test_everything_else_stays_a_link_and_nobody_is_asked(case: str, mode: Any, tmp_path: Path) -> None:
    work, outside = tmp_path / "work", tmp_path / "outside"
    work.mkdir()
    outside.mkdir()
    (outside / "secret.txt").write_text("secret")
    (work / "link.txt").symlink_to(outside / "secret.txt")
    (work / "folder").symlink_to(outside)
    (work / "a.txt").write_text("inside\n")
    (work / "image.png").write_bytes(b"\x89PNG\0")
    os.mkfifo(work / "pipe")
    with (work / "huge").open("wb") as sparse:
        sparse.truncate(5 * 2**30)
    inside = case in {"missing", "binary", "pipe", "huge", "beyond the end", "very long"}
    desk = Desk(work, mode, capabilities=Capabilities(read=not inside))
    uri = OUTSIDE[case].format(work=work, outside=outside)
    told: list[str] = []
    text = await asyncio.wait_for(heard(desk, words("See"), link(uri), told=told), 10)
    assert len(told) == (case not in {"other scheme", "editor's own"}), told
    assert all("` is not attached: " in problem and problem.endswith(".") for problem in told)
    assert text.startswith("See [it](")
    assert text.endswith(")")
    assert "\n" not in text
    assert inside or text == f"See [it]({uri})"
    assert desk.peer.asked == []


async def test_text_in_another_encoding_is_attached_and_that_is_told(desk: Desk) -> None:
    (desk.cwd / "latin.txt").write_bytes("grün".encode("latin-1"))
    text = await heard(desk, link(desk.cwd / "latin.txt"))
    assert text.endswith("\n```\ngrün\n```\n(The file is in cp1252 (a guess).)")


async def test_all_that_is_read_has_bounds(desk: Desk) -> None:
    for number in range(5):
        (desk.cwd / f"{number}.txt").write_text("x" * 99 + "\n" + f"{number:099}\n" * 1000)
    text = await heard(desk, *(link(desk.cwd / f"{number}.txt") for number in range(5)))
    parts = text.split("\n\n")[1:]
    assert [part.split("\n")[0] for part in parts] == ["0.txt", "1.txt", "2.txt"]
    assert parts[0].endswith(f"0\n```\n(Only {LONGEST_RESULT // 100} of 1001 lines are shown.)")
    assert sum(map(len, parts)) < prompt_content.LONGEST_ATTACHED + 1000


async def test_a_file_of_one_endless_line_is_cut_too(desk: Desk) -> None:
    (desk.cwd / "min.js").write_text("x" * 100_000)
    text = await heard(desk, link(desk.cwd / "min.js"))
    assert len(text) < LONGEST_RESULT + 200


# Through the program


def told(folder: Path) -> list[str]:
    """Return what the user was heard to say in every prompt that the model was given."""
    return [text.split("<|start|>user<|message|>", 1)[1] for text in prompts(folder)]


async def ask(session: Open, *blocks: Any) -> str:
    return str((await session.connection.prompt(session_id=session.identifier, prompt=list(blocks))).stop_reason)


async def test_a_mention_in_the_editor_is_heard_as_the_editor_has_it(tmp_path: Path) -> None:
    editor = Editor()
    file = tmp_path / "work/a.py"
    async with opened(editor, tmp_path, final("Fine."), fs=True) as session:
        file.write_text("saved")
        editor.buffers[str(file)] = "unsaved"
        assert await ask(session, words("What does "), link(file, "a.py"), words(" mean?")) == "end_turn"
    assert told(tmp_path) == ["What does [a.py](a.py) mean?\n\na.py\n```\nunsaved\n```<|end|><|start|>assistant"]
    assert editor.permissions == []


async def test_reading_a_link_can_be_cancelled_and_is_done_again_with_the_next_prompt(tmp_path: Path) -> None:
    class Silent(Editor):
        """Answers no request for a file until it is `awake`."""

        awake = False

        async def read_text_file(self, session_id: str, path: str, **more: Any) -> schema.ReadTextFileResponse:
            answer = await super().read_text_file(session_id, path, **more)
            if not self.awake:
                await asyncio.Event().wait()
            return answer

    editor = Silent()
    async with opened(editor, tmp_path, final("Fine."), fs=True) as session:
        file = tmp_path / "work/a.py"
        file.write_text("x")
        turn = asyncio.create_task(ask(session, words("First"), link(file)))
        await editor.until(lambda: "fs/read_text_file" in editor.asked)
        await session.cancel()
        assert await asyncio.wait_for(turn, 5) == "cancelled"
        editor.awake = True
        assert await ask(session, words("Second")) == "end_turn"
    first = "First [it](a.py)\n\na.py\n```\nx\n```"
    assert told(tmp_path) == [f"{first}<|end|><|start|>user<|message|>Second<|end|><|start|>assistant"]
