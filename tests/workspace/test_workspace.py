"""The editor's files: which version of a file counts, and that nothing is lost where it has one too."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gptoss_acp.protocol.capabilities import Capabilities
from gptoss_acp.rpc import RpcError
from tests.support.desk import Desk
from tests.support.waiting import all_has_run, settled

FILES = Capabilities(read=True, write=True)


class Buffers:
    """The editor's side of files: buffers over the disk."""

    def __init__(self, desk: Desk) -> None:
        self.texts: dict[str, str] = {}
        desk.peer.answers["fs/read_text_file"] = self.read
        desk.peer.answers["fs/write_text_file"] = self.write

    def read(self, params: Any) -> Any:
        path = params["path"]
        if path not in self.texts:
            try:
                self.texts[path] = Path(path).read_text("utf-8").removeprefix("\ufeff")
            except FileNotFoundError:
                raise RpcError(-32002, "Resource not found") from None
        return {"content": self.texts[path]}

    def write(self, params: Any) -> None:
        self.texts[params["path"]] = params["content"]
        Path(params["path"]).write_text(params["content"], "utf-8")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path, capabilities=FILES)


async def test_what_is_not_saved_yet_is_read(desk: Desk) -> None:
    (desk.cwd / "a").write_text("saved\n")
    buffers = Buffers(desk)
    buffers.texts[str(desk.cwd / "a")] = "unsaved\n"
    buffers.texts[str(desk.cwd / "new")] = "never saved\n"
    assert await desk.call("read_file", path="a") == "L1: unsaved"
    assert await desk.call("read_file", path="new") == "L1: never saved"
    assert "no such file" in await desk.call("read_file", path="gone")


async def test_what_a_command_wrote_is_read_until_the_editor_has_it_too(desk: Desk) -> None:
    file = desk.cwd / "a"
    file.write_text("old\n")
    buffers = Buffers(desk)
    assert await desk.call("read_file", path="a") == "L1: old"
    await desk.call("shell", command=["sh", "-c", "echo new > a"])
    assert await desk.call("read_file", path="a") == "L1: new"
    buffers.texts[str(file)] = "new\n"
    assert await desk.call("read_file", path="a", line_start=1) == "L1: new"
    buffers.texts[str(file)] = "typed by the user\n"
    assert await desk.call("read_file", path="a") == "L1: typed by the user"


async def test_what_a_program_in_the_background_wrote_is_read_until_the_editor_has_it_too(desk: Desk) -> None:
    file = desk.cwd / "a"
    file.write_text("old\n")
    buffers = Buffers(desk)
    assert await desk.call("read_file", path="a") == "L1: old"
    await desk.call("shell", command=["sh", "-c", "echo new > a; exec sleep 2"], background=True)
    assert await desk.call("read_file", path="a") == "L1: new"
    await settled(lambda: not desk.workspace.background.is_running)
    assert await desk.call("read_file", path="a") == "L1: new"
    buffers.texts[str(file)] = "typed by the user\n"
    assert await desk.call("read_file", path="a") == "L1: typed by the user"


async def test_what_the_user_types_after_a_command_wrote_the_file_is_not_lost(desk: Desk) -> None:
    file = desk.cwd / "a"
    file.write_text("old\n")
    buffers = Buffers(desk)
    assert await desk.call("read_file", path="a") == "L1: old"
    await desk.call("shell", command=["sh", "-c", "echo formatted > a"])
    buffers.texts[str(file)] = "formatted\ntyped\n"
    assert "Success" in await desk.patch("*** Update File: a", "-formatted", "+patched")
    assert buffers.texts[str(file)] == "patched\ntyped\n"


async def test_what_several_commands_wrote_is_read_though_the_editor_is_late(desk: Desk) -> None:
    file = desk.cwd / "a"
    file.write_text("old\n")
    buffers = Buffers(desk)
    assert await desk.call("read_file", path="a") == "L1: old"
    await desk.call("shell", command=["sh", "-c", "echo first > a"])
    buffers.texts[str(file)] = "first\n"
    await desk.call("shell", command=["sh", "-c", "echo second > a"])
    assert await desk.call("read_file", path="a") == "L1: second"


async def test_what_the_user_had_typed_before_a_command_wrote_the_file_is_not_lost(desk: Desk) -> None:
    file = desk.cwd / "a"
    file.write_text("old\n")
    buffers = Buffers(desk)
    buffers.texts[str(file)] = "old\ntyped\n"
    assert await desk.call("read_file", path="a") == "L1: old\nL2: typed"
    await desk.call("shell", command=["sh", "-c", "echo new > a"])
    assert "Success" in await desk.patch("*** Update File: a", "-old", "+patched")
    assert buffers.texts[str(file)] == "patched\ntyped\n"


async def test_a_file_that_no_command_wrote_is_the_editors_after_commands_too(desk: Desk) -> None:
    (desk.cwd / "a").write_text("old\n")
    buffers = Buffers(desk)
    buffers.texts[str(desk.cwd / "a")] = "unsaved\n"
    await asyncio.sleep(0.05)  # longer than a file's time may lag behind the clock
    await desk.call("shell", command=["true"])
    assert await desk.call("read_file", path="a") == "L1: unsaved"


async def test_an_edit_goes_through_the_editor_on_top_of_what_is_not_saved(desk: Desk) -> None:
    (desk.cwd / "a").write_text("1\n2\n")
    buffers = Buffers(desk)
    buffers.texts[str(desk.cwd / "a")] = "one\n2\n"
    assert "Success" in await desk.patch("*** Update File: a", "-2", "+two", "*** Add File: deep/new", "+x")
    assert (desk.cwd / "a").read_text() == "one\ntwo\n"
    assert (desk.cwd / "deep/new").read_text() == "x\n"
    assert desk.peer.methods().count("fs/write_text_file") == 2


async def test_line_ends_that_the_editor_hides_survive(desk: Desk) -> None:
    (desk.cwd / "a").write_bytes(b"\xef\xbb\xbf1\r\n2\r\n")
    buffers = Buffers(desk)
    buffers.texts[str(desk.cwd / "a")] = "1\n2\n"
    desk.peer.answers["fs/write_text_file"] = lambda params: Path(params["path"]).write_bytes(
        params["content"].encode()
    )
    assert "Success" in await desk.patch("*** Update File: a", "-2", "+two")
    assert (desk.cwd / "a").read_bytes() == b"\xef\xbb\xbf1\r\ntwo\r\n"


async def test_what_does_not_fit_into_a_line_is_written_to_the_disk(desk: Desk) -> None:
    (desk.cwd / "a").write_text("x\n" * 50_000)
    Buffers(desk)
    assert "Success" in await desk.patch("*** Update File: a", "-x", "+y", "*** End of File")
    assert (desk.cwd / "a").read_text().endswith("x\ny\n")
    assert "fs/write_text_file" not in desk.peer.methods()


async def test_a_write_that_the_editor_refuses_changes_nothing_else(desk: Desk) -> None:
    (desk.cwd / "gone").write_text("x\n")
    buffers = Buffers(desk)

    def refuse_b(params: Any) -> None:
        if params["path"].endswith("b"):
            raise RpcError(-32603, "the disk is full")
        buffers.write(params)

    desk.peer.answers["fs/write_text_file"] = refuse_b
    result = await desk.patch("*** Add File: a", "+x", "*** Add File: b", "+x", "*** Delete File: gone")
    assert result == "Error: b: the editor refused fs/write_text_file: the disk is full."
    assert {path.name for path in desk.cwd.iterdir()} == {"gone"}


async def test_a_cancel_in_the_middle_of_the_editors_write_leaves_nothing_changed(desk: Desk) -> None:
    buffers = Buffers(desk)
    writing, go = asyncio.Event(), asyncio.Event()

    async def slowly(params: Any) -> None:
        if params["path"].endswith("b"):
            writing.set()
            await go.wait()
        buffers.write(params)

    # The editor is another process: it goes on with what we do not wait for any more.
    desk.peer.answers["fs/write_text_file"] = lambda params: asyncio.shield(asyncio.ensure_future(slowly(params)))
    call = asyncio.create_task(desk.patch("*** Add File: a", "+x", "*** Add File: b", "+x"))
    await writing.wait()
    call.cancel()
    await all_has_run()
    go.set()
    await asyncio.wait([call])
    assert call.cancelled()
    assert list(desk.cwd.iterdir()) == []
    assert desk.runner.changes == []


async def test_a_cancel_is_not_lost_where_the_editor_saves_what_is_no_text(desk: Desk) -> None:
    writing, go = asyncio.Event(), asyncio.Event()

    async def spoilt(params: Any) -> None:
        writing.set()
        await go.wait()
        Path(params["path"]).write_bytes(b"\0")

    desk.peer.answers["fs/write_text_file"] = spoilt
    call = asyncio.create_task(desk.patch("*** Add File: a", "+x"))
    await writing.wait()
    call.cancel()
    await all_has_run()
    go.set()
    await asyncio.wait([call])
    assert call.cancelled()


async def test_a_cancel_is_not_lost_where_the_editor_refuses_what_it_was_asked_before(desk: Desk) -> None:
    writing, go = asyncio.Event(), asyncio.Event()

    async def refuse(_: Any) -> None:
        writing.set()
        await go.wait()
        raise RpcError(-32603, "the disk is full")

    desk.peer.answers["fs/write_text_file"] = refuse
    call = asyncio.create_task(desk.patch("*** Add File: a", "+x"))
    await writing.wait()
    call.cancel()
    await all_has_run()
    go.set()
    await asyncio.wait([call])
    assert call.cancelled()
    assert list(desk.cwd.iterdir()) == []


async def test_what_the_editor_formats_as_it_saves_is_what_was_changed(desk: Desk) -> None:
    (desk.cwd / "a").write_text("x=1\n")
    buffers = Buffers(desk)

    def formatted(params: Any) -> None:
        buffers.write({**params, "content": params["content"].replace("=", " = ")})

    desk.peer.answers["fs/write_text_file"] = formatted
    assert "Success" in await desk.patch("*** Update File: a", "-x=1", "+x=2")
    assert [(change.before, change.after) for change in desk.runner.changes] == [("x=1\n", "x = 2\n")]


async def test_unsaved_changes_are_not_written_behind_the_editors_back(tmp_path: Path) -> None:
    desk = Desk(tmp_path, capabilities=Capabilities(read=True))
    (desk.cwd / "a").write_text("1\n")
    buffers = Buffers(desk)
    buffers.texts[str(desk.cwd / "a")] = "unsaved\n1\n"
    assert "changes in the editor that are not saved" in await desk.patch("*** Update File: a", "-1", "+2")
    assert (desk.cwd / "a").read_text() == "1\n"


@pytest.mark.parametrize("answer", [None, {}, {"content": 3}, {"content": None}, []])
async def test_an_answer_without_content_falls_back_to_the_disk(answer: object, desk: Desk) -> None:
    (desk.cwd / "a").write_text("disk\n")
    desk.peer.answers["fs/read_text_file"] = lambda _: answer
    assert await desk.call("read_file", path="a") == "L1: disk"


async def test_special_files_are_not_asked_of_the_editor(desk: Desk) -> None:
    Buffers(desk)
    assert "no regular file" in await desk.call("read_file", path="/dev/zero")
    assert desk.peer.methods() == []


async def test_what_is_remembered_of_files_does_not_grow(tmp_path: Path) -> None:
    desk = Desk(tmp_path, capabilities=Capabilities(read=True))
    desk.peer.answers["fs/read_text_file"] = lambda _: {"content": "in the editor\n"}
    for number in range(300):
        (tmp_path / f"{number}").write_text("on the disk\n")
        await desk.call("read_file", path=f"{number}")
    assert len(desk.workspace._had) == 256
    for number in range(50):
        (tmp_path / "299").write_text(f"{number}\n")
        desk.workspace._look_again()
    assert len(desk.workspace._had[tmp_path / "299"].texts) == 20
