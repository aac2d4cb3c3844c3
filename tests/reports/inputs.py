"""What people have reported of coding agents, by kind: what they had, what was done, and what should have come of it.

Each names the public issue, `project#number` on GitHub, that it is told after. The files, words and expectations here are
our own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Report:
    """One report: the `files` of a project, a tool's call, and what must be in its result, or must not.

    `left` are the files that it must leave so.
    """

    source: str
    files: dict[str, bytes]
    tool: str
    arguments: dict[str, Any] | str
    has: tuple[str, ...] = ()
    has_not: tuple[str, ...] = ()
    left: dict[str, bytes] = field(default_factory=dict)
    prepare: Callable[[Path], None] = lambda _: None


def _patch(*lines: str) -> str:
    return "\n".join(["*** Begin Patch", *lines, "*** End Patch"])


def _change(file: str, old: str, new: str) -> str:
    return _patch(f"*** Update File: {file}", "@@", f"-{old}", f"+{new}")


_JAVA = "int x = 1;\n// Configuración básica\n".encode("latin-1")
_CONFIG = "name=サーバー設定\nport=80\n".encode("shift_jis")
_ADDING = "# 这是一个加法运算\ndef add(a, b):\n    return a + b\n".encode("gbk")
_COPYRIGHT = "// Copyright © us. All rights reserved.\r\nint main() { return 0; }\r\n".encode("cp1252")
_PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\xff\xfe"
_NBSP, _NARROW = "\u00a0", "\u202f"


def _hard_link(folder: Path) -> None:
    (folder / "b.txt").hardlink_to(folder / "a.txt")


def _ignore_in_repository(folder: Path) -> None:
    (folder / ".git").mkdir()


ENCODINGS = [
    Report(
        *("anomalyco/opencode#49600", {"A.java": _JAVA}, "apply_patch", _change("A.java", "int x = 1;", "int x = 2;")),
        has=("Success", "a guess"),
        left={"A.java": _JAVA.replace(b"1", b"2")},
    ),
    Report(
        *("anthropics/claude-code#62723", {"a.ini": _CONFIG}, "apply_patch"),
        _patch("*** Update File: a.ini", "@@", " port=80", "+title=管理画面"),
        has=("Success",),
        left={"a.ini": _CONFIG + "title=管理画面\n".encode("shift_jis")},
    ),
    Report(
        *("QwenLM/qwen-code#2069", {"test.py": _ADDING}, "apply_patch"),
        _patch(
            "*** Update File: test.py",
            "@@",
            "     return a + b",
            "+",
            "+# 减法",
            "+def sub(a, b):",
            "+    return a - b",
        ),
        has=("Success",),
        left={"test.py": _ADDING + "\n# 减法\ndef sub(a, b):\n    return a - b\n".encode("gbk")},
    ),
    Report(
        *("github/copilot-cli#3732", {"a.cpp": _COPYRIGHT}, "apply_patch"),
        _change("a.cpp", "int main() { return 0; }", "int main() { return 1; }"),
        left={"a.cpp": _COPYRIGHT.replace(b"0", b"1")},
    ),
    Report(
        *("anomalyco/opencode#45924", {"a.js": b"const x = 1\n\xd6\xd0\xce\xc4\n"}, "apply_patch"),
        _change("a.js", "const x = 1", "const y = 1"),
        left={"a.js": b"const y = 1\n\xd6\xd0\xce\xc4\n"},
    ),
    Report(
        *("NousResearch/hermes-agent#80221", {"a.md": ("a" * 65_535 + "中\n\nlast\n").encode()}, "apply_patch"),
        _change("a.md", "last", "changed"),
        left={"a.md": ("a" * 65_535 + "中\n\nchanged\n").encode()},
    ),
    Report(
        *("anomalyco/opencode#49881", {"a.ps1": "é x\r\n".encode("utf-16")}, "open_file", {"path": "a.ps1"}),
        has=("L1: é x", "the file is in utf-16-le"),
    ),
]

NO_TEXT = [
    Report(
        "patchloom/patchloom#1163", {"a.bin": _PNG}, "apply_patch", _patch("*** Delete File: a.bin"), has=("Success",)
    ),
    Report(
        *("code-yeongyu/senpi#725", {"a.png": _PNG}, "apply_patch"),
        _patch("*** Update File: a.png", "*** Move to: b.png"),
        has=("Success",),
        left={"b.png": _PNG},
    ),
    Report(
        *("holon#2741", {"a.bin": _PNG}, "apply_patch", _change("a.bin", "x", "y")),
        has=("a.bin: it is a binary file",),
        left={"a.bin": _PNG},
    ),
]

IDENTITY = [
    Report(
        *("anthropics/claude-code#31290", {"a.txt": b"one\n"}, "apply_patch", _change("a.txt", "one", "two")),
        left={"a.txt": b"two\n", "b.txt": b"two\n"},
        prepare=_hard_link,
    )
]

NAMES = [
    Report(
        *("anthropics/claude-code#59381", {f"Screenshot 9.41{_NARROW}AM.txt": b"shot\n"}, "open_file"),
        {"path": "Screenshot 9.41 AM.txt"},
        has=("L1: shot",),
    ),
    Report("pi#1078", {f"a{_NBSP}b.txt": b"x\n"}, "open_file", {"path": "a b.txt"}, has=("L1: x",)),
    Report("cline#10691", {"Cafe\u0301.txt": b"x\n"}, "open_file", {"path": "Caf\u00e9.txt"}, has=("L1: x",)),
]

SEARCHES = [
    Report(
        *("anthropics/claude-code#84161", {"scripts/a.py": b"writer\n", ".gitignore": b"scripts/*\n"}, "search"),
        {"path": "scripts/", "query": "writer"},
        has=("scripts/a.py:1:writer",),
        prepare=_ignore_in_repository,
    ),
    Report(
        *("anthropics/claude-code#83326", {".env": b"KEY\n", ".gitignore": b".env\n", "a": b"KEY\n"}, "search"),
        {"query": "KEY"},
        has=("a:1:KEY", "ignored and not searched: .env"),
        prepare=_ignore_in_repository,
    ),
    Report(
        *("anomalyco/opencode#35523", {"a.min.js": b"x" * 2**21 + b"\n", "b.js": b"xx\n"}, "search", {"query": "xx"}),
        has=("a.min.js:1:", "b.js:1:xx"),
    ),
]

COMMANDS = [
    Report(
        *("anomalyco/opencode#35246", {}, "exec"),
        {"command": ["sh", "-c", r"for i in $(seq 0 400); do printf '\r%d of 400' $i; done; echo; echo done"]},
        has=("400 of 400\ndone",),
        has_not=("399 of 400",),
    ),
    Report(
        *("yvgude/lean-ctx#1140", {}, "exec", {"command": ["printf", r"first\rsecond\nthird\n"]}),
        has=("\nsecond\nthird\n",),
        has_not=("first",),
    ),
    Report(
        *("nex-agi/NexAU#8", {}, "exec"),
        {"command": ["printf", r"at: 0%%\n\033[1A\033[2Kat: 43%%\n\033[1A\033[2Kat: 100%%\n"]},
        has=("at: 100%",),
        has_not=("at: 43%", "\x1b"),
    ),
    Report(
        *("anomalyco/opencode#42773", {}, "exec"),
        {"command": ["sh", "-c", "printf 'Ok to proceed? (y) '; sleep 60"], "timeout": 1},
        has=("It seems to have waited for input, and nobody types",),
    ),
]

REPORTS = {
    "encodings": ENCODINGS,
    "no text": NO_TEXT,
    "identity": IDENTITY,
    "names": NAMES,
    "searches": SEARCHES,
    "commands": COMMANDS,
}
