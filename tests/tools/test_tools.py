"""Each tool on real files and processes, as the model and the editor see it."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import time
from pathlib import Path
from typing import Any

import pytest

from gptoss_acp import tool_description, tools
from gptoss_acp.errors import ToolError
from gptoss_acp.harmony import render
from gptoss_acp.protocol.editor import TurnCancelledError
from gptoss_acp.text import LONGEST_RESULT
from gptoss_acp.tools.call import STREAM_SECONDS
from gptoss_acp.tools.runner import Runner
from gptoss_acp.workspace import files
from tests.support.desk import Desk
from tests.support.places import REPOSITORY

# What the model is told


def test_the_descriptions_are_those_that_the_bundled_model_was_trained_on() -> None:
    trained = json.loads((REPOSITORY / "tests" / "support" / "trained_tools.json").read_text("utf-8"))
    expected = [tool_description.ToolDescription(**tool) for tool in trained]
    assert tools.descriptions() == expected
    assert render.developer("x", tools.descriptions()) == render.developer("x", expected)


# read_file


async def test_reading_a_file_numbers_its_lines(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbffirst\r\n\r\nthird")
    assert await Desk(tmp_path).call("read_file", path="a.txt") == "L1: first\nL2: \nL3: third"


async def test_reading_from_an_offset_says_where_to_go_on(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("".join(f"{number}\n" for number in range(1, 11)))
    desk = Desk(tmp_path)
    assert await desk.call("read_file", path="a.txt", offset=3, limit=2) == (
        "L3: 3\nL4: 4\n(10 lines in all; go on with offset 5)"
    )
    assert await desk.call("read_file", path="a.txt", offset=9, limit=2) == "L9: 9\nL10: 10"
    assert await desk.call("read_file", path="a.txt", offset=11) == "Error: a.txt has only 10 lines."
    assert await desk.call("read_file", path=str(tmp_path / "a.txt"), offset=10) == "L10: 10"
    assert await desk.call("read_file", path=f"file://{tmp_path}/a.txt", offset=10, limit=None) == "L10: 10"


async def test_a_long_file_is_cut_at_a_line_and_the_model_can_go_on(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("".join(f"{number:0100}\n" for number in range(5000)))
    result = await Desk(tmp_path).call("read_file", path="a.txt")
    assert len(result) <= LONGEST_RESULT
    *lines, note = result.splitlines()
    assert lines[-1].startswith(f"L{len(lines)}: ")
    assert note == f"(5000 lines in all; go on with offset {len(lines) + 1})"


async def test_a_line_without_end_is_cut(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x" * 2**20)
    result = await Desk(tmp_path).call("read_file", path="a.txt")
    assert len(result) < 3000
    assert "characters left out" in result


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"\0\1\2", "it is a binary file"),
        (b"caf\xe9\n", "it is not UTF-8 text: byte 0xe9 at position 3"),
        ("hi".encode("utf-16"), "it is a binary file"),
    ],
)
async def test_what_is_no_text_is_refused_with_the_reason(tmp_path: Path, content: bytes, problem: str) -> None:
    (tmp_path / "a").write_bytes(content)
    desk = Desk(tmp_path)
    assert await desk.call("read_file", path="a") == f"Error: a: {problem}."
    assert problem in await desk.patch("*** Update File: a", "-x", "+y")
    assert (tmp_path / "a").read_bytes() == content


async def test_what_can_not_be_read_is_a_result_not_an_exception(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "folder").mkdir()
    desk = Desk(tmp_path)
    assert await desk.call("read_file", path="empty") == "(empty file)"
    assert await desk.call("read_file", path="nowhere.txt") == "Error: no such file: nowhere.txt."
    assert await desk.call("read_file", path="folder") == "Error: is a folder: folder."
    assert await desk.call("read_file", path="empty/x") == "Error: not a directory: empty/x."
    assert await desk.call("read_file", path="") == "Error: is a folder: ."


# list_dir


async def test_a_folder_is_listed_without_what_gitignore_names(tmp_path: Path) -> None:
    for name in ("src/app.py", "src/deep/x.py", "build/out.o", "a.log", "keep.log", ".hidden", ".git/config"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "nothing").mkdir()
    (tmp_path / ".gitignore").write_text("build/\n*.log\n!keep.log\n")
    (tmp_path / "src/.gitignore").write_text("deep/x.py\n")
    desk = Desk(tmp_path)
    assert await desk.call("list_dir", path=".") == ".gitignore\n.hidden\nkeep.log\nnothing/\nsrc/"
    assert await desk.call("list_dir", path="src", depth=2) == ".gitignore\napp.py\ndeep/"
    assert await desk.call("list_dir", path="build") == "out.o"
    assert await desk.call("list_dir", path="nothing") == "(empty)"
    assert await desk.call("list_dir", path="keep.log") == "Error: not a directory: keep.log."


@pytest.mark.parametrize("line", ["bin\\", "!", "[z-a]"])
async def test_a_line_of_gitignore_that_git_passes_over_hides_nothing_and_spoils_nothing(
    line: str, tmp_path: Path
) -> None:
    for name in ("a.log", "b.txt"):
        (tmp_path / name).touch()
    (tmp_path / ".gitignore").write_text(f"*.log\n{line}\n")
    assert await Desk(tmp_path).call("list_dir", path=".") == ".gitignore\nb.txt"


async def test_a_large_folder_is_listed_within_bounds(tmp_path: Path) -> None:
    for number in range(600):
        (tmp_path / f"{number:03}").touch()
    lines = (await Desk(tmp_path).call("list_dir", path=".")).splitlines()
    assert len(lines) == 501
    assert lines[-1] == "(more entries left out; list one of the folders)"


# search


async def test_search_finds_lines_as_the_model_was_trained_to_read_them(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src/a.py").write_text("x = 1\ndef Find():\n    pass\n")
    (tmp_path / "b.txt").write_text("def other\n")
    (tmp_path / ".gitignore").write_text("b.txt\n")
    desk = Desk(tmp_path)
    assert await desk.call("search", pattern="def ") == "src/a.py:2: def Find():"
    assert desk.peer.updates[-2]["locations"] == [{"path": str(tmp_path / "src/a.py"), "line": 2}]
    assert await desk.call("search", pattern="find") == "No matches."
    assert await desk.call("search", pattern="find", ignore_case=True, path="src") == "src/a.py:2: def Find():"
    assert await desk.call("search", pattern="def", path="b.txt") == "b.txt:1: def other"
    assert await desk.call("search", pattern="def", glob="*.txt", path="src") == "No matches."
    assert await desk.call("search", pattern="-x") == "No matches."
    assert (await desk.call("search", pattern="(")).startswith("Error: .: rg: ")
    assert (await desk.call("search", pattern="x", path="gone")).startswith("Error: no such file")


async def test_search_stays_within_bounds(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(("y" * 5000 + "\n") * 1000)
    result = await Desk(tmp_path).call("search", pattern="y+")
    assert len(result) <= LONGEST_RESULT + 100


# apply_patch


async def test_a_patch_changes_several_files_at_once_and_shows_each(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\ntwo\n")
    (tmp_path / "old.sh").write_text("echo\n")
    (tmp_path / "old.sh").chmod(0o755)
    (tmp_path / "gone.txt").write_text("bye\n")
    desk = Desk(tmp_path)
    result = await desk.patch(
        "*** Add File: deep/new.txt",
        "+hello",
        "*** Update File: a.txt",
        "-two",
        "+2",
        "*** Update File: old.sh",
        "*** Move to: bin/new.sh",
        "-echo",
        "+echo hi",
        "*** Delete File: gone.txt",
    )
    assert result == "Success. Updated the following files:\nA deep/new.txt\nM a.txt\nM bin/new.sh\nD gone.txt"
    assert (tmp_path / "deep/new.txt").read_text() == "hello\n"
    assert (tmp_path / "a.txt").read_text() == "one\n2\n"
    assert (tmp_path / "bin/new.sh").read_text() == "echo hi\n"
    assert stat.S_IMODE((tmp_path / "bin/new.sh").stat().st_mode) == 0o755
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.txt", "bin", "deep"]
    shown = {update["path"]: update for call in desk.peer.updates for update in call.get("content", [])}
    assert shown[str(tmp_path / "a.txt")] == {
        "type": "diff",
        "path": str(tmp_path / "a.txt"),
        "oldText": "one\ntwo\n",
        "newText": "one\n2\n",
    }
    assert shown[str(tmp_path / "deep/new.txt")]["oldText"] is None
    assert shown[str(tmp_path / "gone.txt")]["newText"] == ""


ALL_OR_NOTHING = {
    "a hunk that does not fit": (["*** Update File: a.txt", "-nope", "+x"], "a.txt: hunk 1"),
    "a file that is missing": (["*** Update File: nope", "-x", "+y"], "no such file: nope"),
    "a file that is already there": (["*** Add File: a.txt", "+x"], "a.txt already exists"),
    "a target that is already there": (["*** Update File: a.txt", "*** Move to: c.txt"], "c.txt already exists"),
    "a folder": (["*** Delete File: folder"], "is a folder: folder"),
    "a missing file to delete": (["*** Delete File: nope"], "no such file: nope"),
    "a path below a file": (["*** Add File: a.txt/x", "+x"], "ot a directory"),
    "a name too long": ([f"*** Add File: {'n' * 300}", "+x"], "ile name too long"),
    "a binary file": (["*** Update File: binary", "-x", "+y"], "it is a binary file"),
    "a patch that is none": (["*** Rename File: a.txt"], "a file's header is expected"),
}


@pytest.mark.parametrize("name", ALL_OR_NOTHING)
async def test_nothing_is_written_because_of(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "a.txt").write_text("one\n")
    (tmp_path / "b.txt").write_text("two\n")
    (tmp_path / "c.txt").write_text("three\n")
    (tmp_path / "binary").write_bytes(b"\0")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    lines, problem = ALL_OR_NOTHING[name]
    result = await Desk(tmp_path).patch("*** Add File: deep/er/new.txt", "+x", "*** Delete File: b.txt", *lines)
    assert result.startswith("Error: ")
    assert problem in result
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert not (tmp_path / "deep").exists()


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
async def test_a_folder_that_can_not_be_written_fails_the_whole_patch(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    result = await Desk(tmp_path).patch("*** Add File: a", "+x", "*** Add File: locked/b", "+x")
    assert result == "Error: permission denied: b."
    assert not (tmp_path / "a").exists()


def test_a_commit_that_fails_half_way_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_text("1")
    (tmp_path / "b").write_text("1")
    replace = os.replace
    done = []

    def fail_later(*arguments: Any, **options: Any) -> None:
        done.append(arguments)
        if len(done) == 2:
            raise OSError(28, "No space left on device")
        replace(*arguments, **options)

    monkeypatch.setattr(os, "replace", fail_later)
    with pytest.raises(ToolError, match="no space left on device: b"):
        files.commit([files.Change(tmp_path / name, "1", "2") for name in ("a", "b")])
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a": "1", "b": "1"}


async def test_operations_on_one_file_build_on_each_other_however_it_is_spelt(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1\n2\n")
    (tmp_path / "link").symlink_to("a")
    result = await Desk(tmp_path).patch(
        *("*** Update File: a", "-1", "+one"),
        *("*** Update File: ./x/../link", "-2", "+two"),
        *("*** Add File: b", "+b"),
        *("*** Delete File: b",),
    )
    assert result.startswith("Success.")
    assert (tmp_path / "a").read_text() == "one\ntwo\n"
    assert (tmp_path / "link").is_symlink()
    assert not (tmp_path / "b").exists()


async def test_a_patch_of_a_file_that_changed_meanwhile_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1\n")
    desk = Desk(tmp_path, "ask", answer="allow-once")
    allowed = desk.peer.answers["session/request_permission"]

    def change(params: Any) -> Any:
        (tmp_path / "a").write_text("mine\n")
        return allowed(params)

    desk.peer.answers["session/request_permission"] = change
    assert "it has changed since it was read" in await desk.patch("*** Update File: a", "-1", "+2")
    assert (tmp_path / "a").read_text() == "mine\n"


async def test_a_diff_of_large_files_fits_into_a_line_and_shows_what_changes(tmp_path: Path) -> None:
    lines = [f"line {number}" for number in range(50_000)]
    (tmp_path / "a").write_text("\n".join(lines))
    (tmp_path / "b").write_text("\x01" * 100_000 + "\nend\n")
    desk = Desk(tmp_path)
    assert "Success" in await desk.patch(
        "*** Update File: a", "-line 30000", "+changed", "*** Update File: b", "-end", "+END"
    )
    (shown,) = [update["content"] for update in desk.peer.updates if "content" in update]
    assert shown[0]["oldText"].splitlines()[3] == "line 30000"
    assert shown[0]["newText"].splitlines()[3] == "changed"


@pytest.mark.parametrize(
    "wrap", [str, json.dumps, lambda text: json.dumps({"input": text}), lambda text: json.dumps({"patch": text})]
)
async def test_a_patch_may_come_as_text_or_as_one_json_value(tmp_path: Path, wrap: Any) -> None:
    patch = "*** Begin Patch\n*** Add File: a\n+x\n*** End Patch"
    assert await Desk(tmp_path).call("apply_patch", wrap(patch)) == "Success. Updated the following files:\nA a"


# shell


async def test_a_command_answers_with_its_code_and_output(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    desk = Desk(tmp_path)
    assert await desk.call("shell", command=["echo", "a b"]) == "Exit code: 0\nOutput:\na b\n"
    assert (
        await desk.call("shell", command=["bash", "-c", "echo out; echo err >&2; exit 3"])
        == "Exit code: 3\nOutput:\nout\nerr\n"
    )
    assert desk.last["status"] == "failed"
    assert desk.last["rawOutput"] == {"exitCode": 3, "output": "out\nerr\n"}
    assert await desk.call("shell", command=["pwd"], workdir="sub") == f"Exit code: 0\nOutput:\n{tmp_path / 'sub'}\n"
    assert await desk.call("shell", command=["cat"]) == "Exit code: 0\nOutput:\n"
    assert await desk.call("shell", command="echo $((1+1)) | cat") == "Exit code: 0\nOutput:\n2\n"
    assert await desk.call("shell", command=["sh", "-c", "kill -9 $$"]) == "Exit code: 137\nOutput:\n"
    assert await desk.call("shell", command=["no-such-program"]) == "Error: no-such-program: command not found."
    assert await desk.call("shell", command=["pwd"], workdir="gone") == "Error: no such file or directory: gone."
    assert (await desk.call("shell", command=[])).startswith("Error: invalid arguments: command: ")
    assert (await desk.call("shell", command=["apply_patch", "x"])).startswith("Error: apply_patch is no program")


async def test_container_exec_is_the_shell(tmp_path: Path) -> None:
    call = Desk(tmp_path).runner.announce("container.exec")
    assert await call.run('{"command": ["echo", "hi"]}') == "Exit code: 0\nOutput:\nhi\n"


async def test_output_without_end_keeps_head_and_tail_and_memory(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    result = await desk.call("shell", command=["sh", "-c", "echo first; seq 1 1000000; echo last"])
    assert len(result) < LONGEST_RESULT + 100
    assert result.startswith("Exit code: 0\nOutput:\nfirst\n1\n")
    assert result.endswith("1000000\nlast\n")
    assert "characters left out" in result


async def test_a_command_that_takes_too_long_is_ended_with_its_children(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    result = await desk.call("shell", command=["bash", "-c", "echo begun; sleep 60 & wait"], timeout_ms=300)
    assert result == "Error: timed out after 0.3 seconds; the command was stopped. Output so far:\nbegun\n."[:-1]
    assert desk.last["status"] == "failed"


async def test_output_is_shown_while_the_command_runs_but_not_too_often(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    started = time.monotonic()
    call = asyncio.create_task(
        desk.call(
            "shell", command=["bash", "-c", "echo begun; for i in {1..300}; do echo $i; sleep 0.005; done; sleep 0.2"]
        )
    )
    for _ in range(100):
        await asyncio.sleep(0.02)
        if any("begun" in str(update.get("content")) for update in desk.peer.updates):
            break
    assert not call.done()
    await call
    shown = [update for update in desk.peer.updates if "content" in update]
    most = (time.monotonic() - started) / STREAM_SECONDS
    assert 3 < len(shown) < most + 5
    assert "300" in shown[-1]["content"][0]["content"]["text"]


async def test_a_command_finds_the_users_environment_less_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPTOSS_ACP_MODEL", "x")
    monkeypatch.setenv("TIKTOKEN_ENCODINGS_BASE", "x")
    monkeypatch.setenv("MY_OWN", "y")
    result = await Desk(tmp_path).call("shell", command=["env"])
    assert "MY_OWN=y" in result
    assert "GPTOSS_ACP" not in result
    assert "TIKTOKEN" not in result


async def test_from_a_desktop_the_path_is_that_of_the_login_shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell = tmp_path / "shell"
    shell.write_text(f'#!/bin/sh\necho noise\nPATH={tmp_path}/tools:$PATH exec "$4"\n')
    shell.chmod(0o755)
    tool = tmp_path / "tools/my-tool"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\necho found\n")
    tool.chmod(0o755)
    monkeypatch.setenv("SHELL", str(shell))
    for name in ("SHLVL", "TERM"):
        monkeypatch.delenv(name, raising=False)
    desk = Desk(tmp_path)
    assert await desk.call("shell", command=["my-tool"]) == "Exit code: 0\nOutput:\nfound\n"
    monkeypatch.setenv("TERM", "xterm")
    assert await desk.call("shell", command=["my-tool"]) == "Error: my-tool: command not found."


# update_plan


async def test_a_plan_is_shown(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    plan = [{"step": "look", "status": "completed"}, {"step": "mend", "status": "in_progress"}]
    assert await desk.call("update_plan", explanation="so", plan=plan) == "Plan updated."
    (shown,) = [update for update in desk.peer.updates if update["sessionUpdate"] == "plan"]
    assert [(entry["content"], entry["status"]) for entry in shown["entries"]] == [
        ("look", "completed"),
        ("mend", "in_progress"),
    ]
    assert "status: Input should be" in await desk.call("update_plan", plan=[{"step": "x", "status": "done"}])


# Around every tool


WRONG_ARGUMENTS = {
    "{": "the arguments are not valid JSON",
    "[]": "the arguments must be a JSON object",
    "{}": "path: Field required",
    '{"path": 3}': "path: Input should be a valid string",
    '{"path": "a", "line": 3}': "there is no argument line, only path, offset, limit",
    '{"path": "a", "offset": 0}': "offset: Input should be greater than or equal to 1",
    '{"path": "a\\u0000b"}': "it holds a null character",
}


@pytest.mark.parametrize("arguments", WRONG_ARGUMENTS)
async def test_wrong_arguments_are_explained_to_the_model(arguments: str, tmp_path: Path) -> None:
    result = await Desk(tmp_path).call("read_file", arguments)
    assert result.startswith("Error: ")
    assert WRONG_ARGUMENTS[arguments].lower() in result.lower()


async def test_an_unknown_tool_is_answered_with_those_there_are(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    names = "read_file, list_dir, search, apply_patch, shell, update_plan"
    assert await desk.call("browse", "{}") == f"Error: there is no tool functions.browse. The tools are: {names}."
    none = Runner(desk.workspace, desk.permissions, desk.runner._updates, tools=())
    result = await none.announce("functions.read_file").run("{}")
    assert result == "Error: there is no tool functions.read_file. No tools are available."


async def test_the_same_call_for_the_third_time_in_a_row_is_not_run(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    for _ in range(2):
        assert (await desk.call("shell", '{"command": ["sh", "-c", "echo x >> log"]}')).startswith("Exit code: 0")
    third = await desk.call("shell", '{ "command": ["sh", "-c", "echo x >> log"] }')
    assert third.startswith("Error: you have called shell with the same arguments 2 times in a row")
    assert (tmp_path / "log").read_text() == "x\nx\n"
    assert await desk.call("read_file", path="log") == "L1: x\nL2: x"
    assert (await desk.call("shell", '{"command": ["sh", "-c", "echo x >> log"]}')).startswith("Exit code: 0")


async def test_a_tool_that_breaks_is_a_result_without_a_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(tmp_path)
    monkeypatch.setattr(files, "read_text", lambda _: 1 / 0)
    assert await desk.call("read_file", path="a") == "Error: the tool failed: ZeroDivisionError."
    assert desk.last["status"] == "failed"


async def test_a_call_is_shown_from_its_announcement_to_its_end(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x\n")
    desk = Desk(tmp_path)
    call = desk.runner.announce("functions.read_file")
    (pending,) = desk.peer.updates
    assert {name: pending[name] for name in ("title", "kind", "status")} == {
        "title": "Read a file",
        "kind": "read",
        "status": "pending",
    }
    await call.run('{"path": "a", "offset": 1}')
    fields: dict[str, Any] = {}
    for update in desk.peer.updates[1:]:
        assert update["toolCallId"] == pending["toolCallId"]
        fields |= update
    assert fields["rawInput"] == {"path": "a", "offset": 1}
    assert fields["title"] == "Read a"
    assert fields["locations"] == [{"path": str(tmp_path / "a"), "line": 1}]
    assert fields["content"] == [{"type": "content", "content": {"type": "text", "text": "L1: x"}}]
    assert fields["rawOutput"] == {"result": "L1: x"}
    assert [update["status"] for update in desk.peer.updates if "status" in update] == [
        "pending",
        "in_progress",
        "completed",
    ]
    call.abandon()
    assert desk.last["status"] == "completed"


async def test_results_shrink_with_the_context(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x" * 1500 + "\n" + "y" * 1500)
    desk = Desk(tmp_path)
    desk.runner.limit_results(1200)
    assert len(await desk.call("read_file", path="a")) < 1300
    assert len(await desk.call("shell", command=["cat", "a"])) < 1300


async def test_a_cancelled_permission_request_ends_the_turn(tmp_path: Path) -> None:
    desk = Desk(tmp_path, "ask")
    desk.peer.answers["session/request_permission"] = lambda _: {"outcome": {"outcome": "cancelled"}}
    with pytest.raises(TurnCancelledError):
        await desk.call("shell", command=["touch", "a"])
    assert desk.last["status"] == "failed"
    assert not (tmp_path / "a").exists()


# What the user decides on


@pytest.mark.parametrize(
    ("command", "title"),
    [
        (["bash", "-lc", "ls | wc"], "ls | wc"),
        (["gcc", "-c", "foo.c"], "gcc -c foo.c"),
        (["./sh", "-c", "ls -la"], "./sh -c 'ls -la'"),
        (["find", "-exec", "x"], "find -exec x"),
    ],
)
async def test_the_question_names_what_will_run(command: list[str], title: str, tmp_path: Path) -> None:
    desk = Desk(tmp_path, "ask")
    await desk.call("shell", command=command)
    (asked,) = desk.permissions_asked
    assert asked["toolCall"]["title"] == title


async def test_a_command_that_can_not_be_shown_in_full_is_refused(tmp_path: Path) -> None:
    desk = Desk(tmp_path, "ask")
    assert "the command is too long" in await desk.call("shell", command=["echo", "'" * 4000])
    assert desk.permissions_asked == []


@pytest.mark.parametrize("lines", [["*** Delete File: link"], ["*** Update File: link", "*** Move to: moved"]])
async def test_a_symlink_is_not_deleted_or_moved_in_place_of_its_target(lines: list[str], tmp_path: Path) -> None:
    (tmp_path / "real").write_text("x\n")
    (tmp_path / "link").symlink_to("real")
    assert "link is a symlink to real" in await Desk(tmp_path).patch(*lines)
    assert {path.name for path in tmp_path.iterdir()} == {"real", "link"}


async def test_a_name_that_is_too_long_is_a_result_too(tmp_path: Path) -> None:
    assert "file name too long" in await Desk(tmp_path).patch("*** Delete File: " + "x" * 300)
