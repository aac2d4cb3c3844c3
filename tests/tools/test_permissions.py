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
    CommandGrant,
    Edit,
    Permissions,
    Read,
    Refused,
    Run,
    RunFreely,
    Use,
    remembered_program,
)
from gptoss_acp.tools.read_only_programs import reads_only

CWD = Path("/work")
READ_INSIDE, READ_OUTSIDE = Read(CWD / "a", inside=True), Read(Path("/etc/passwd"), inside=False)
EDIT_INSIDE = Edit()
EDIT_OUTSIDE = Edit(outside=("/etc/passwd",))
EDIT_GIT = Edit(protected=(".git",))
RUN = Run(("make", "test"), CWD)
RUN_CONFINED = Run(("make", "test"), CWD, sandbox="full")
RUN_FREELY = RunFreely(("make", "test"), CWD)
USE_READING, USE_ANY = Use("web__look", reads_only=True), Use("web__send", reads_only=False)

TABLE: dict[Mode, dict[Action, type]] = {
    "read-only": {
        READ_INSIDE: Allowed,
        READ_OUTSIDE: Ask,
        EDIT_INSIDE: Refused,
        EDIT_GIT: Refused,
        EDIT_OUTSIDE: Refused,
        RUN: Refused,
        RUN_CONFINED: Ask,
        RUN_FREELY: Refused,
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
        RUN_CONFINED: Ask,
        RUN_FREELY: Ask,
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
        RUN_CONFINED: Allowed,
        RUN_FREELY: Ask,
        USE_READING: Ask,
        USE_ANY: Ask,
    },
    "full-access": dict.fromkeys(
        [READ_INSIDE, READ_OUTSIDE, EDIT_INSIDE, EDIT_GIT, EDIT_OUTSIDE, RUN, RUN_FREELY, USE_READING, USE_ANY], Allowed
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


def test_without_a_sandbox_always_covers_exactly_the_command_in_its_folder() -> None:
    permissions = granted(RUN)
    assert permissions.judge(RUN) == Allowed()
    for other in (("make", "test", "-f", "evil.mk"), ("make",), ("./make", "test")):
        assert isinstance(permissions.judge(Run(other, CWD)), Ask), other
    assert isinstance(permissions.judge(Run(RUN.command, CWD / "sub")), Ask)
    assert isinstance(permissions.judge(EDIT_INSIDE), Ask)


def test_in_a_sandbox_always_covers_the_program_with_its_first_argument_there() -> None:
    permissions = granted(RUN_CONFINED)
    assert permissions.judge(Run(("make", "test", "-j4"), CWD, sandbox="full")) == Allowed()
    for other in (("make", "install"), ("make",), ("make", "-C", "test")):
        assert isinstance(permissions.judge(Run(other, CWD, sandbox="full")), Ask), other
    assert isinstance(permissions.judge(RUN), Ask)
    assert isinstance(permissions.judge(RUN_FREELY), Ask)


def test_protected_places_are_asked_about_each_by_itself() -> None:
    assert isinstance(Permissions("auto-edit").judge(EDIT_GIT), Ask)
    assert isinstance(granted(EDIT_INSIDE).judge(EDIT_GIT), Ask)
    permissions = granted(EDIT_GIT)
    assert permissions.judge(EDIT_GIT) == permissions.judge(EDIT_INSIDE) == Allowed()
    assert isinstance(permissions.judge(Edit(protected=(".git", ".vscode"))), Ask)


def test_what_is_allowed_of_a_command_ends_when_a_file_that_it_names_is_changed(tmp_path: Path) -> None:
    for command in (("python", "tool.py"), ("sh", "-c", "cd x; python './tool.py' --now"), ("run", "--file=tool.py")):
        for sandbox in ("none", "full"):
            run = Run(command, tmp_path, sandbox)
            permissions = granted(run)
            permissions.note_changed([tmp_path / "other.py", tmp_path / "x/tool.py"])
            assert permissions.judge(run) == Allowed()
            permissions.note_changed([tmp_path / "tool.py"])
            assert isinstance(permissions.judge(run), Ask), command


READING = [
    (("git", "status"), ("git", "status", "--short", "src")),
    (("git", "log", "-5"), ("git", "log", "--oneline", "--stat", "src/a.py")),
    (("git", "diff"), ("git", "diff", "--cached", "HEAD")),
    (("git", "branch", "--list"), ("git", "branch", "--list", "-a")),
    (("ls",), ("ls", "-la", "src")),
    (("rg", "TODO"), ("rg", "-n", "--glob=*.py", "TODO", "src")),
    (("bash", "-lc", "git status"), ("bash", "-lc", "git status -s")),
]
NOT_READING = [
    ("git", "fetch", "--upload-pack=touch", "/tmp/x"),
    ("git", "log", "--output=x"),
    ("git", "diff", "--no-index", "--output=/etc/profile.d/evil.sh", "/dev/null", "evil.sh"),
    ("git", "diff", "--ext-diff"),
    ("git", "status", "-c", "core.fsmonitor=x"),
    ("git", "branch", "--list", "-D", "main"),
    ("git", "branch", "new"),
    ("git", "status", "; rm"),
    ("rg", "TODO", "--pre=./evil.sh"),
    ("rg", "TODO", "--pre", "./evil.sh"),
    ("rg", "TODO", "../outside"),
    ("rg", "TODO", "/etc"),
    ("ls", "~"),
    ("ls", "/root"),
    ("ls", "link"),
    ("./ls",),
    ("bash", "-lc", "git status; rm x"),
    ("bash", "-lc", "git status > x"),
    ("bash", "-lc", "git status $(x)"),
    ("bash", "-c", "git status", "x"),
]


@pytest.mark.parametrize(("first", "later"), READING, ids=[" ".join(row[1]) for row in READING])
def test_always_for_what_only_reads_covers_all_that_only_reads(
    first: tuple[str, ...], later: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to("/root")
    permissions = granted(Run(first, tmp_path))
    assert permissions.judge(Run(later, tmp_path)) == Allowed()
    for other in NOT_READING:
        assert isinstance(permissions.judge(Run(other, tmp_path)), Ask), other


@pytest.mark.parametrize("command", NOT_READING, ids=" ".join)
def test_what_may_do_more_than_read_is_known_for_it(command: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/root")
    assert reads_only(command, tmp_path) is None


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
    permissions = Permissions("ask")
    for first in ("sh", "bash", "env", "sudo", "git status", "A=1"):
        permissions.grant(Ask("", frozenset([CommandGrant("program", (first, command[1]), CWD)])))
    assert isinstance(permissions.judge(Run(command, CWD, sandbox="full")), Ask)


@pytest.mark.parametrize("command", [*COMPOUND, *CARRIERS])
def test_always_for_what_may_carry_another_program_covers_that_command_alone(command: tuple[str, ...]) -> None:
    assert remembered_program(command) is None
    permissions = granted(Run(command, CWD, sandbox="full"))
    assert permissions.judge(Run(command, CWD, sandbox="full")) == Allowed()
    assert isinstance(permissions.judge(Run((*command, "; more"), CWD, sandbox="full")), Ask)


def test_always_for_a_server_s_tool_covers_that_tool_alone_and_no_stricter_mode() -> None:
    permissions = granted(USE_ANY)
    assert permissions.judge(USE_ANY) == Allowed()
    assert permissions.judge(USE_READING) == Ask(
        "Always allow web__look in this session", frozenset([("use", "web__look")])
    )
    permissions.mode = "read-only"
    assert isinstance(permissions.judge(USE_ANY), Refused)


def test_always_says_what_it_covers() -> None:
    permissions = Permissions("ask")
    said: dict[Action, str] = {
        RUN: "Always allow exactly this command in this folder in this session",
        RUN_CONFINED: "Always allow `make test …` in the sandbox and in this folder in this session",
        RUN_FREELY: "Always run exactly this command outside the sandbox in this folder in this session",
        Run(("ls", "-l"), CWD): "Always allow `ls`, as far as it only reads, in this folder in this session",
        EDIT_GIT: "Always allow edits in this session, also of .git",
        READ_OUTSIDE: "Always allow reading this in this session",
    }
    for action, always in said.items():
        verdict = permissions.judge(action)
        assert isinstance(verdict, Ask)
        assert verdict.always == always


def test_edits_allowed_for_the_session_stay_inside_and_out_of_git() -> None:
    permissions = granted(EDIT_INSIDE)
    assert permissions.judge(EDIT_INSIDE) == Allowed()
    assert isinstance(permissions.judge(EDIT_GIT), Ask)
    assert isinstance(permissions.judge(EDIT_OUTSIDE), Refused)


def test_what_was_allowed_for_the_session_does_not_outlive_a_stricter_mode() -> None:
    permissions = granted(EDIT_INSIDE)
    allowed = permissions.judge(RUN)
    assert isinstance(allowed, Ask)
    permissions.grant(allowed)
    permissions.mode = "read-only"
    assert isinstance(permissions.judge(EDIT_INSIDE), Refused)
    assert isinstance(permissions.judge(RUN), Refused)
