"""Patches inside commands: read where they stand alone, refused where more is done, and never run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gptoss_acp.errors import ToolError
from gptoss_acp.tools.patch.in_command import CommandPatch, patch_in
from tests.support.desk import Desk

PATCH = "*** Begin Patch\n*** Add File: b\n+if a > b:\n*** End Patch"
HEREDOC = f"apply_patch <<'EOF'\n{PATCH}\nEOF"

ALONE: dict[str, tuple[list[str], str]] = {
    "the program": (["apply_patch", PATCH], ""),
    "the other program": (["/usr/bin/applypatch", PATCH], ""),
    "a heredoc": (["bash", "-lc", HEREDOC], ""),
    "a heredoc with line breaks around": (["bash", "-lc", f"\n{HEREDOC}\n\n"], ""),
    "a bare heredoc": (["sh", "-c", HEREDOC.replace("'EOF'", "EOF")], ""),
    "another word": (["bash", "-lc", HEREDOC.replace("EOF", "PATCH")], ""),
    "behind cd": (["bash", "-lc", f"cd sub && {HEREDOC}"], "sub"),
    "behind a quoted cd": (["bash", "-lc", f"cd 'a b'; {HEREDOC}"], "a b"),
    "on the line below cd": (["bash", "-lc", f"cd sub\n{HEREDOC}"], "sub"),
    "cat": (["bash", "-lc", f"cat <<'EOF' | apply_patch\n{PATCH}\nEOF\n"], ""),
    "quoted": (["bash", "-lc", f"apply_patch '{PATCH}'"], ""),
    "in double quotes": (["bash", "-lc", f'apply_patch "{PATCH}"'], ""),
    "by a substitution": (["bash", "-lc", f"apply_patch \"$(cat <<'EOF'\n{PATCH}\nEOF\n)\""], ""),
    "by printf with a format": (["bash", "-lc", f"printf '%s\\n' '{PATCH}' | apply_patch"], ""),
    "by echo": (["bash", "-lc", f"echo '{PATCH}' | apply_patch"], ""),
    "a script that is a patch": (["bash", "-lc", PATCH], ""),
    "with other options": (["bash", "-e", "-c", HEREDOC], ""),
    "a script that is a patch, behind cd": (["bash", "-lc", f"cd sub && {PATCH}"], "sub"),
    "a patch whose lines are words": (PATCH.split("\n"), ""),
    "in a subshell": (["bash", "-lc", f"(cd sub && {HEREDOC}\n)"], "sub"),
    "behind set": (["bash", "-lc", f"set -euo pipefail\ncd sub\n{HEREDOC}"], "sub"),
    "by its path": (["bash", "-lc", f"/usr/bin/{HEREDOC}"], ""),
    "by sudo": (["sudo", "bash", "-lc", HEREDOC], ""),
    "by env and a time limit": (["env", "A=1", "timeout", "60s", "bash", "-lc", HEREDOC], ""),
    "the program by sudo": (["sudo", "apply_patch", PATCH], ""),
    "behind cd home": (["bash", "-lc", f"cd ~/x && {HEREDOC}"], "~/x"),
}


@pytest.mark.parametrize("kind", ALONE)
def test_a_patch_that_stands_alone_is_read(kind: str) -> None:
    command, folder = ALONE[kind]
    assert patch_in(command, "") == CommandPatch(PATCH, folder)


@pytest.mark.parametrize(
    ("script", "patch"),
    [
        (HEREDOC.replace(" Patch\n", " Patch ***\n"), PATCH.replace("Begin Patch", "Begin Patch ***") + " ***"),
        (HEREDOC.replace("\n*** End Patch", ""), PATCH.removesuffix("\n*** End Patch")),
        ("apply_patch '" + PATCH.replace("if a", "it'\\''s") + "'", PATCH.replace("if a", "it's")),
        ('apply_patch "' + PATCH.replace("if a", 'if \\"a\\" \\$b') + '"', PATCH.replace("if a", 'if "a" $b')),
    ],
    ids=["stars", "no last line", "an apostrophe in single quotes", "escapes in double quotes"],
)
def test_its_text_is_what_the_program_would_get(script: str, patch: str) -> None:
    assert patch_in(["bash", "-lc", script], "") == CommandPatch(patch, "")


REFUSED: dict[str, list[str]] = {
    "more behind it": ["bash", "-lc", f"{HEREDOC}\nmake"],
    "more before it": ["bash", "-lc", f"make; {HEREDOC}"],
    "more joined to it": ["bash", "-lc", f"apply_patch <<'EOF' && make\n{PATCH}\nEOF"],
    "a script that is a patch, and more": ["bash", "-lc", f"{PATCH}\nrm -rf x"],
    "two": ["bash", "-lc", f"{HEREDOC}\n{HEREDOC}"],
    "from a file": ["bash", "-lc", "apply_patch < fix.patch"],
    "from a file by cat": ["bash", "-lc", "cat fix.patch | apply_patch"],
    "more before a script that is a patch": ["bash", "-lc", f"make\n{PATCH}"],
    "more joined to a script that is a patch": ["bash", "-lc", f"make && {PATCH}"],
    "whatever becomes of it": ["bash", "-lc", f"{HEREDOC} || true"],
    "timed": ["bash", "-lc", f"time {HEREDOC}; echo done"],
    "with a variable set": ["bash", "-lc", f"X=1 {HEREDOC}"],
    "in a condition": ["bash", "-lc", f"if true; then {HEREDOC}\nfi"],
    "in a shell in a shell": ["bash", "-lc", f'bash -lc "{HEREDOC}"'],
    "in a folder that a shell would have to name": ["bash", "-lc", f"cd $HOME && {HEREDOC}"],
    "from a file that it has just written": ["bash", "-lc", f"cat <<'EOF' >p\n{PATCH}\nEOF\napply_patch < p"],
    "by xargs": ["bash", "-lc", "ls *.patch | xargs apply_patch"],
    "without a patch": ["apply_patch", "--help"],
    "alone": ["apply_patch"],
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_patch_with_more_or_from_elsewhere_is_refused_with_how_to_do_it(kind: str) -> None:
    with pytest.raises(ToolError, match=r"call repo_browser\.apply_patch with the patch"):
        patch_in(REFUSED[kind], "")


@pytest.mark.parametrize(
    "command",
    [
        ["grep", "-rn", "apply_patch", "src"],
        ["bash", "-lc", "grep -rn apply_patch src | head"],
        ["bash", "-lc", "ls apply_patch_tests && python apply_patch.py"],
        ["bash", "-lc", "sed -n '1,20p' docs/apply_patch.md"],
        ["git", "log"],
        ["bash", "-lc", "git apply <<'EOF'\n--- a/f\n+++ b/f\nEOF"],
        ["bash", "-lc", f"cat > notes.md <<'EOF'\n{PATCH}\napply_patch takes this.\nEOF\nwc notes.md"],
        ["sudo", "grep", "apply_patch", "f"],
        ["bash", "script.sh"],
    ],
)
def test_a_command_that_only_names_it_runs(command: list[str]) -> None:
    assert patch_in(command, "") is None


@pytest.mark.parametrize(
    "hostile",
    [" ", "\n", ";", "cd ", "apply_patch ", "'", "*** Begin Patch\n", "EOF\n", "cat <<", "<<A\n", "a=", "/", "( "],
)
def test_a_long_script_is_judged_at_once(hostile: str) -> None:
    script = hostile * (200_000 // len(hostile))
    for before in ("", "apply_patch <<'EOF'\n*** Begin Patch\n", f"{HEREDOC}\n"):
        try:
            patch_in(["bash", "-lc", before + script], "")
        except ToolError:
            continue


async def test_it_is_carried_out_as_a_patch_with_the_edit_s_own_question_and_reaches_no_shell(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    desk = Desk(tmp_path, "ask", answer="allow_once")
    result = await desk.call("exec", command=["bash", "-lc", f"cd sub && {HEREDOC}"])
    assert result == "Success. Updated the following files:\nA sub/b"
    (asked,) = desk.permissions_asked
    assert asked["toolCall"]["kind"] == "edit"
    assert asked["toolCall"]["title"] == "Add sub/b"
    assert [path.name for path in tmp_path.rglob("*")] == ["sub", "b"]
    assert (tmp_path / "sub/b").read_text() == "if a > b:\n"


@pytest.mark.parametrize(
    "text",
    [
        HEREDOC,
        PATCH,
        json.dumps({"command": PATCH}),
        json.dumps({"command": [PATCH]}),
        json.dumps({"command": PATCH.split("\n")}),
        json.dumps({"command": HEREDOC}),
        json.dumps({"cmd": ["apply_patch", PATCH]}),
        json.dumps({"command": "apply_patch", "args": [PATCH]}),
        json.dumps(["apply_patch", PATCH]),
        json.dumps({"patch": PATCH}),
    ],
)
async def test_however_a_command_that_is_a_patch_is_written_it_reaches_no_shell(text: str, tmp_path: Path) -> None:
    assert await Desk(tmp_path).call("exec", text) == "Success. Updated the following files:\nA b"
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


async def test_a_refused_one_runs_nothing(tmp_path: Path) -> None:
    result = await Desk(tmp_path).call("exec", command=["bash", "-lc", f"touch x; {HEREDOC}"])
    assert result.startswith("Error: apply_patch is no program")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "text",
    [
        f"cd sub && {HEREDOC}",
        json.dumps({"cmd": ["bash", "-lc", f"cd sub && {HEREDOC}"]}),
        json.dumps({"input": f"cd sub\n{PATCH}"}),
    ],
)
async def test_a_command_given_to_the_tool_of_patches_counts_its_folder(text: str, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    desk = Desk(tmp_path)
    assert await desk.call("apply_patch", text) == "Success. Updated the following files:\nA sub/b"


async def test_a_command_given_to_the_tool_of_patches_is_refused_where_its_folder_is_unknown(tmp_path: Path) -> None:
    result = await Desk(tmp_path).call("apply_patch", f"cd $X && make && {HEREDOC}")
    assert result.startswith("Error: apply_patch is no program")
    assert list(tmp_path.iterdir()) == []
