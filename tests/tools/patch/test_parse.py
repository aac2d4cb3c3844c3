"""The patch format: what is read, whatever surrounds it, and what the model is told of what can't be."""

from __future__ import annotations

import difflib
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gptoss_acp.errors import ToolError
from gptoss_acp.tools.patch import hunks
from gptoss_acp.tools.patch.errors import PatchError
from gptoss_acp.tools.patch.in_command import patch_in, patch_in_text
from gptoss_acp.tools.patch.parse import parse

MALFORMED = {
    "": "there is no patch in it",
    "please change f": "there is no patch in it",
    "*** Update File: f": "nothing is said about how to change f",
    "*** Begin Patch": "the patch is empty",
    "*** Begin Patch\n*** End Patch": "the patch is empty",
    "*** Begin Patch\n*** Add File: f\n+x\ny\n*** End Patch": "line 4 of the patch: either every line of an added file begins with +, or none does; it is `y`",
    "*** Begin Patch\n*** Add File: \n+x\n*** End Patch": "line 2 of the patch: the header names no file",
    "*** Begin Patch\n*** Delete File: f\n-x\n*** End Patch": "a file's header is expected",
    "*** Begin Patch\n*** Rename File: f\n*** End Patch": "a file's header is expected",
    "*** Begin Patch\n*** Update File: f\n*** Move to:\n*** End Patch": "names no file",
}


@pytest.mark.parametrize("text", MALFORMED)
def test_a_malformed_patch_is_refused_with_its_line(text: str) -> None:
    with pytest.raises(PatchError) as caught:
        parse(text)
    assert MALFORMED[text] in str(caught.value)


EVERYTHING = """\
*** Begin Patch
*** Add File: hello.txt
+Hello world

*** Update File: src/app.py
*** Move to: src/main.py
@@ def greet():
-print("Hi")
+print("Hello, world!")

*** Delete File: obsolete.txt
*** Add File: empty
*** End Patch
"""


@pytest.mark.parametrize(
    "text",
    [
        EVERYTHING,
        f"\n\n{EVERYTHING}\n",
        f"```\n{EVERYTHING}```",
        f"```patch\n{EVERYTHING}\n```\n",
        EVERYTHING.replace("\n", "\r\n"),
        "\ufeff" + EVERYTHING,
    ],
    ids=["plain", "blank lines around", "fence", "named fence", "CRLF", "byte order mark"],
)
def test_every_kind_of_operation_is_read_whatever_surrounds_it(text: str) -> None:
    added, updated, deleted, empty = parse(text)
    assert (added.kind, added.path, added.content) == ("add", "hello.txt", "Hello world\n")
    assert (updated.kind, updated.path, updated.move_to) == ("update", "src/app.py", "src/main.py")
    assert hunks.apply(updated.hunks, 'def greet():\nprint("Hi")\n') == 'def greet():\nprint("Hello, world!")\n'
    assert (deleted.kind, deleted.path) == ("delete", "obsolete.txt")
    assert (empty.kind, empty.path, empty.content) == ("add", "empty", "")


SMALL = "*** Begin Patch\n*** Update File: f\n-a\n+b\n*** End Patch"
UNIFIED = "--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n+b\n"
WRAPPED = {
    "text before it": f"Here is the patch:\n\n{SMALL}",
    "text behind it": f"{SMALL}\nThat is all.",
    "a heredoc": f"apply_patch <<'EOF'\n{SMALL}\nEOF",
    "a heredoc without the end of the patch": f"apply_patch <<PATCH\n{SMALL.removesuffix('*** End Patch')}PATCH\n",
    "a fence without the end of the patch": f"```\n{SMALL.removesuffix('*** End Patch')}```",
    "no end": SMALL.removesuffix("\n*** End Patch"),
    "no begin": SMALL.removeprefix("*** Begin Patch\n"),
    "stars": SMALL.replace("Patch", "Patch ***"),
    "escaped line breaks": SMALL.replace("\n", "\\n"),
    "a unified diff": UNIFIED,
    "a unified diff of git's": f"diff --git a/f b/f\nindex 1..2 100644\n{UNIFIED}",
    "a unified diff without sides": UNIFIED.replace("a/f", "f\t2026-01-01").replace("b/f", "f"),
    "a unified diff in a patch": f"*** Begin Patch\n{UNIFIED}*** End Patch",
    "a unified diff in a fence": f"```diff\n{UNIFIED}```",
    "line breaks escaped, and words before": "Here:\n" + SMALL.replace("\n", "\\n"),
    "an indent": "Here:\n\n" + "".join(f"    {line}\n" for line in SMALL.split("\n")),
    "an indent in a fence": "```\n" + "".join(f"  {line}\n" for line in SMALL.split("\n")) + "```",
    "stars behind every header": SMALL.replace("Patch", "Patch ***").replace(": f", ": f ***"),
    "a diff's names below the header": SMALL.replace(": f", ": f\n--- a/f\n+++ b/f\n@@ -1 +1 @@"),
    "a file without a last line break": SMALL.replace("-a", "-a\n\\ No newline at end of file"),
    "a unified diff behind words": f"I change f:\n\n{UNIFIED}",
    "two patches": f"{SMALL}\n*** Begin Patch\n*** End Patch",
}


@pytest.mark.parametrize("kind", WRAPPED)
def test_whatever_is_around_a_patch_it_is_read(kind: str) -> None:
    (operation,) = parse(WRAPPED[kind])
    assert (operation.kind, operation.path, operation.move_to) == ("update", "f", None)
    assert hunks.apply(operation.hunks, "a\n") == "b\n"


def test_a_unified_diff_adds_deletes_and_renames() -> None:
    added, deleted, renamed, moved = parse(
        "diff --git a/n b/n\nnew file mode 100644\n--- /dev/null\n+++ b/n\n@@ -0,0 +1,2 @@\n+x\n+y\n"
        "--- a/d\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n"
        "diff --git a/r b/s\nsimilarity index 90%\nrename from r\nrename to s\n--- a/r\n+++ b/s\n@@ -1 +1 @@\n-a\n+b\n"
        "diff --git a/o b/p\nsimilarity index 100%\nrename from o\nrename to p\n"
    )
    assert (added.kind, added.path, added.content) == ("add", "n", "x\ny\n")
    assert (deleted.kind, deleted.path) == ("delete", "d")
    assert (renamed.path, renamed.move_to, len(renamed.hunks)) == ("r", "s", 1)
    assert (moved.path, moved.move_to, moved.hunks) == ("o", "p", [])


def test_a_unified_diff_of_lines_that_look_like_its_own() -> None:
    diff = "--- a/q.sql\n+++ b/q.sql\n@@ -1,3 +1,3 @@\n--- old\n+++ new\n x\n--- b\n"
    (changed,) = parse(diff)
    assert (changed.path, changed.move_to) == ("q.sql", None)
    assert hunks.apply(changed.hunks, "-- old\nx\n-- b\n") == "++ new\nx\n"
    first, second = parse(f"{diff}--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n+b\n")
    assert (first.path, second.path, len(first.hunks), len(second.hunks)) == ("q.sql", "f", 1, 1)


LINES = st.lists(st.sampled_from(["a", "b", "-- c", "+ d", "", " e", "+", "-", "@@ x", "*** f"]), max_size=12)


@settings(max_examples=300, deadline=None, database=None)
@given(LINES, LINES, st.integers(0, 3), st.sampled_from(["", "diff --git a/f b/f\nindex 1..2\n"]))
def test_a_unified_diff_does_what_it_says(before: list[str], after: list[str], context: int, head: str) -> None:
    diff = list(difflib.unified_diff(before, after, "a/f", "b/f", n=context, lineterm=""))
    if not diff:
        return
    (operation,) = parse(head + "\n".join(diff) + "\n")
    changed = hunks.apply(operation.hunks, "".join(f"{line}\n" for line in before))
    assert changed == "".join(f"{line}\n" for line in after)


def test_an_added_file_may_come_without_signs() -> None:
    (added,) = parse("*** Begin Patch\n*** Add File: f\n# Title\n\n- a\n- b\n\n*** End Patch")
    assert added.content == "# Title\n\n- a\n- b\n"
    (marked,) = parse("*** Begin Patch\n*** Add File: f\n@@ -0,0 +1 @@\n+a\n*** End of File\n*** End Patch")
    assert marked.content == "a\n"
    (signed,) = parse("*** Begin Patch\n*** Add File: f\n+a\n\n+b\n*** End Patch")
    assert signed.content == "a\n\nb\n"


def test_a_pure_move_needs_no_hunks() -> None:
    (moved,) = parse("*** Begin Patch\n*** Update File: a b.txt\n*** Move to: c d.txt\n*** End Patch")
    assert (moved.path, moved.move_to, moved.hunks) == ("a b.txt", "c d.txt", [])


@pytest.mark.parametrize(
    "hostile", ["", " ", "@@", "-a", "--- a", "diff --git a b", "*** Begin Patch", "*** Add File: f"]
)
def test_a_hundred_thousand_lines_of_anything_are_read_at_once(hostile: str) -> None:
    for head in ("", "*** Begin Patch\n*** Update File: f\n"):
        with suppress(PatchError):
            parse(head + f"{hostile}\n" * 100_000 + "x")


WRITTEN = st.lists(
    st.sampled_from(
        [
            *("*** Begin Patch", "*** End Patch", "*** Add File: f", "*** Update File: f", "*** Delete File: f"),
            *("*** Move to: g", "*** End of File", "@@", "@@ x", "@@ -1,2 +1 @@", "--- a/f", "+++ b/f", "/dev/null"),
            *("diff --git a/f b/f", "rename from f", "rename to g", "\\ No newline at end of file", "```", "EOF"),
            *(
                "apply_patch <<'EOF'",
                "cd x &&",
                "L1: x",
                "2: y",
                " x",
                "-x",
                "+x",
                "x",
                "",
                " ",
                "-",
                "+",
                "\\n",
                "    ",
            ),
        ]
    ),
    max_size=14,
)


@settings(max_examples=300, deadline=None, database=None)
@given(
    WRITTEN, st.sampled_from(["\n", "\\n", "\r\n", "\n  "]), st.lists(st.sampled_from(["x", "y", "", " x"]), max_size=6)
)
def test_whatever_is_written_a_patch_is_read_or_refused(lines: list[str], end: str, file: list[str]) -> None:
    text = end.join(lines)
    with suppress(ToolError):
        patch_in(["bash", "-lc", text], "")
    with suppress(ToolError):
        patch_in_text(text)
    with suppress(PatchError):
        for operation in parse(text):
            assert operation.path
            hunks.apply(operation.hunks, "\n".join(file))
