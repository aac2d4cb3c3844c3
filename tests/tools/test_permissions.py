"""Who may do what: every mode against every action, what "always" covers, and what it never covers."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from gptoss_acp.settings import MODES, Mode, as_mode
from gptoss_acp.tools.permissions import (
    Action,
    Allowed,
    Ask,
    Edit,
    Permissions,
    Read,
    Refused,
    Run,
    Use,
    remembered_program,
)
from tests.support.desk import Desk

CWD = Path("/work")
READ_INSIDE, READ_OUTSIDE = Read(CWD / "a", inside=True), Read(Path("/etc/passwd"), inside=False)
EDIT_INSIDE = Edit((CWD / "a",))
EDIT_OUTSIDE = Edit((CWD / "a", Path("/etc/passwd")), (Path("/etc/passwd"),))
EDIT_GIT = Edit((CWD / ".git/hooks/pre-commit",))
RUN = Run(("git", "status"), CWD)
USE_READING, USE_ANY = Use("web__look", reads_only=True), Use("web__send", reads_only=False)

TABLE: dict[Mode, dict[Action, type]] = {
    "read-only": {
        READ_INSIDE: Allowed,
        READ_OUTSIDE: Ask,
        EDIT_INSIDE: Refused,
        EDIT_GIT: Refused,
        EDIT_OUTSIDE: Refused,
        RUN: Refused,
        USE_READING: Ask,
        USE_ANY: Refused,
    },
    "ask": {
        READ_INSIDE: Allowed,
        READ_OUTSIDE: Ask,
        EDIT_INSIDE: Ask,
        EDIT_GIT: Ask,
        EDIT_OUTSIDE: Refused,
        RUN: Ask,
        USE_READING: Ask,
        USE_ANY: Ask,
    },
    "auto-edit": {
        READ_INSIDE: Allowed,
        READ_OUTSIDE: Ask,
        EDIT_INSIDE: Allowed,
        EDIT_GIT: Ask,
        EDIT_OUTSIDE: Refused,
        RUN: Ask,
        USE_READING: Ask,
        USE_ANY: Ask,
    },
    "full-access": dict.fromkeys(
        [READ_INSIDE, READ_OUTSIDE, EDIT_INSIDE, EDIT_GIT, EDIT_OUTSIDE, RUN, USE_READING, USE_ANY], Allowed
    ),
}


@pytest.mark.parametrize("mode", get_args(Mode))
def test_each_mode_allows_what_it_says(mode: Mode) -> None:
    permissions = Permissions(mode)
    for action, verdict in TABLE[mode].items():
        assert type(permissions.judge(action)) is verdict, action


def test_every_mode_is_described_and_no_other_exists() -> None:
    assert tuple(MODES) == get_args(Mode)
    assert as_mode("ask") == "ask"
    assert as_mode("yolo") is None


def granted(action: Action, mode: Mode = "ask") -> Permissions:
    permissions = Permissions(mode)
    ask = permissions.judge(action)
    assert isinstance(ask, Ask)
    permissions.grant(ask)
    return permissions


def test_always_covers_the_program_with_its_first_argument_in_its_folder() -> None:
    permissions = granted(RUN)
    assert permissions.judge(Run(("git", "status", "--short", "src"), CWD)) == Allowed()
    for other in (("git", "push"), ("git",), ("git", "-C", "status"), ("./git", "status"), ("gitx", "status")):
        assert isinstance(permissions.judge(Run(other, CWD)), Ask), other
    assert isinstance(permissions.judge(Run(RUN.command, CWD / "sub")), Ask)
    assert isinstance(permissions.judge(EDIT_INSIDE), Ask)


@pytest.mark.parametrize("name", [".git", ".GIT", ".Git"])
def test_edits_where_git_finds_its_programs_are_asked_about_however_it_is_spelt(name: str) -> None:
    hook = Edit((CWD / name / "hooks/pre-commit",))
    assert isinstance(Permissions("auto-edit").judge(hook), Ask)
    assert isinstance(granted(EDIT_INSIDE).judge(hook), Ask)
    permissions = granted(hook)
    assert permissions.judge(hook) == permissions.judge(EDIT_INSIDE) == Allowed()


COMPOUND = [
    ("sh", "-c", "git status"),
    ("bash", "-lc", "git status && rm -rf ."),
    ("git", "status", "&&", "rm"),
    ("git", "status", ";", "rm"),
    ("git", "status", "|", "sh"),
    ("git", "status", "$(rm)"),
    ("git", "status", "`rm`"),
    ("git", "status", "> file"),
    ("git", "status", "a\nrm"),
    ("env", "git", "status"),
    ("sudo", "git", "status"),
    ("/usr/bin/env", "git", "status"),
    ("xargs", "git", "status"),
    ("git status", "x"),
    ("A=1", "git", "status"),
]

CARRIERS = [
    ("python", "-c", "x"),
    ("git", "-c", "x=y", "status"),
    ("make",),
    ("uv", "run", "pytest"),
    ("npm", "exec", "x"),
    ("git", "grep", "x"),
    ("git", "bisect", "run", "x"),
    ("npx", "x"),
    ("bash5", "x"),
]


@pytest.mark.parametrize("command", COMPOUND)
def test_a_compound_command_matches_no_remembered_program(command: tuple[str, ...]) -> None:
    permissions = granted(RUN)
    for first in ("sh", "bash", "env", "sudo", "git status", "A=1"):
        permissions.grant(Ask("", ("run", (first, command[1]), CWD)))
    assert isinstance(permissions.judge(Run(command, CWD)), Ask)


@pytest.mark.parametrize("command", [*COMPOUND, *CARRIERS])
def test_always_for_what_may_carry_another_program_covers_that_command_alone(command: tuple[str, ...]) -> None:
    assert remembered_program(command) is None
    permissions = granted(Run(command, CWD))
    assert permissions.judge(Run(command, CWD)) == Allowed()
    assert isinstance(permissions.judge(Run((*command, "more"), CWD)), Ask)


def test_always_for_a_server_s_tool_covers_that_tool_alone_and_no_stricter_mode() -> None:
    permissions = granted(USE_ANY)
    assert permissions.judge(USE_ANY) == Allowed()
    assert permissions.judge(USE_READING) == Ask("Always allow web__look in this session", ("use", "web__look"))
    permissions.mode = "read-only"
    assert isinstance(permissions.judge(USE_ANY), Refused)


def test_always_says_what_it_covers() -> None:
    permissions = Permissions("ask")
    assert permissions.judge(RUN) == Ask("Always allow `git status …` in this session", ("run", ("git", "status"), CWD))
    outside = permissions.judge(READ_OUTSIDE)
    assert isinstance(outside, Ask)
    assert outside.always == "Always allow reading /etc/passwd in this session"


def test_edits_allowed_for_the_session_stay_inside_and_out_of_git() -> None:
    permissions = granted(EDIT_INSIDE)
    assert permissions.judge(Edit((CWD / "b",))) == Allowed()
    assert isinstance(permissions.judge(EDIT_GIT), Ask)
    assert isinstance(permissions.judge(EDIT_OUTSIDE), Refused)


def test_what_was_allowed_for_the_session_does_not_outlive_a_stricter_mode() -> None:
    permissions = granted(EDIT_INSIDE)
    permissions.grant(Ask("", ("run", ("git", "status"), CWD)))
    permissions.mode = "read-only"
    assert isinstance(permissions.judge(EDIT_INSIDE), Refused)
    assert isinstance(permissions.judge(RUN), Refused)


# As the user and the model see it


async def test_the_user_sees_the_diff_before_the_question(tmp_path: Path) -> None:
    desk = Desk(tmp_path, "ask", answer="reject-once")
    result = await desk.patch("*** Add File: a", "+x")
    assert result == "Error: the user did not allow it."
    assert not (tmp_path / "a").exists()
    (asked,) = desk.permissions_asked
    assert asked["toolCall"]["content"] == [
        {"type": "diff", "path": str(tmp_path / "a"), "oldText": None, "newText": "x\n"}
    ]
    assert [option["kind"] for option in asked["options"]] == ["allow_once", "allow_always", "reject_once"]
    assert [update["status"] for update in desk.peer.updates if "status" in update] == ["pending", "failed"]


async def test_the_user_sees_a_long_command_in_full(tmp_path: Path) -> None:
    desk = Desk(tmp_path, "ask")
    await desk.call("shell", command=["echo", "x" * 300, "; rm -rf ~"], workdir="/")
    (asked,) = desk.permissions_asked
    assert "rm -rf" in asked["toolCall"]["content"][0]["content"]["text"]
    assert asked["toolCall"]["rawInput"]["command"][-1] == "; rm -rf ~"


async def test_once_asks_again_and_always_does_not(tmp_path: Path) -> None:
    desk = Desk(tmp_path, "ask", answer="allow-once")
    await desk.call("shell", command=["echo", "hi", "1"])
    await desk.call("shell", command=["echo", "hi", "2"])
    assert len(desk.permissions_asked) == 2
    desk.answer = "allow-always"
    await desk.call("shell", command=["echo", "hi", "3"])
    assert await desk.call("shell", command=["echo", "hi", "4"]) == "Exit code: 0\nOutput:\nhi 4\n"
    assert len(desk.permissions_asked) == 3


@pytest.mark.parametrize(
    "outcome", [{}, {"outcome": "selected"}, {"outcome": "selected", "optionId": "yes"}, "x", None]
)
async def test_an_answer_that_allows_nothing_refuses(outcome: object, tmp_path: Path) -> None:
    desk = Desk(tmp_path, "ask")
    desk.peer.answers["session/request_permission"] = lambda _: {"outcome": outcome}
    assert (await desk.call("shell", command=["touch", "a"])).startswith("Error: ")
    assert not (tmp_path / "a").exists()


async def test_a_client_that_can_not_ask_allows_nothing(tmp_path: Path) -> None:
    desk = Desk(tmp_path, "ask")
    del desk.peer.answers["session/request_permission"]
    result = await desk.call("shell", command=["touch", "a"])
    assert result == "Error: the editor refused session/request_permission: Method not found."
    assert not (tmp_path / "a").exists()


async def test_a_mode_that_refuses_asks_nobody(tmp_path: Path) -> None:
    desk = Desk(tmp_path, "read-only", answer="allow-once")
    assert await desk.patch("*** Add File: a", "+x") == "Error: the mode is read-only: no file may be changed."
    assert await desk.call("shell", command=["touch", "a"]) == "Error: the mode is read-only: no command may be run."
    assert desk.permissions_asked == []
    assert list(tmp_path.iterdir()) == []


async def test_however_much_is_asked_it_fits_into_a_line(tmp_path: Path) -> None:
    odd = "\x01\u20ac" * 30_000
    desk = Desk(tmp_path, "ask", answer="allow-once")
    assert "too long" in await desk.call("shell", command=["printf", "%s", odd])
    assert (await desk.call("shell", command=["true", "\x01" * 1900])).startswith("Exit code: 0")
    assert "Success" in await desk.patch(*[f"*** Add File: {number}\n+{odd}" for number in range(40)])
    (tmp_path / "0").write_text("\x01\n" * 30_000 + "x\n")
    assert "Success" in await desk.patch("*** Update File: 0", "-x", "+y")
    await desk.call("read_file", path="/" + "\x01" * 200)
    assert len(desk.permissions_asked) == 4
