"""Who may do what: every mode against every action, what "always" covers, and what it never covers."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from gptoss_acp.settings import Mode
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
