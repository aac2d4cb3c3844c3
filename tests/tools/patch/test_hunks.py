"""The hunks of a patch: what fits where, and what the model is told when it does not."""

from __future__ import annotations

import difflib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gptoss_acp.tools.patch import hunks
from gptoss_acp.tools.patch.errors import PatchError
from gptoss_acp.tools.patch.parse import parse


def update(body: str, before: str) -> str:
    """Apply `body`, the lines behind an update's header, to a file's text."""
    (operation,) = parse(f"*** Begin Patch\n*** Update File: f\n{body}*** End Patch\n")
    return hunks.apply(operation.hunks, before)


ABC = "a\nb\nc\n"
TWICE = "def f():\n    x = 1\n\ndef g():\n    x = 1\n"
NESTED = "class A:\n    def f(self):\n        return 1\n\nclass B:\n    def f(self):\n        return 1\n"

APPLIED = {
    "replaces a line": (ABC, "@@\n a\n-b\n+B\n c\n", "a\nB\nc\n"),
    "needs no @@ for the first hunk": (ABC, " a\n-b\n+B\n", "a\nB\nc\n"),
    "inserts between": (ABC, "@@\n a\n+x\n b\n", "a\nx\nb\nc\n"),
    "inserts before the first line": (ABC, "@@\n+x\n a\n", "x\na\nb\nc\n"),
    "appends after the last line": (ABC, "@@\n c\n+d\n", "a\nb\nc\nd\n"),
    "removes the first line": (ABC, "@@\n-a\n b\n", "b\nc\n"),
    "removes the last line": (ABC, "@@\n b\n-c\n", "a\nb\n"),
    "removes every line": (ABC, "@@\n-a\n-b\n-c\n", ""),
    "fills an empty file": ("", "@@\n+a\n+b\n", "a\nb\n"),
    "appends where a hunk has no context": (ABC, "@@\n+d\n", "a\nb\nc\nd\n"),
    "needs no context around a removed line": (ABC, "@@\n-b\n+B\n", "a\nB\nc\n"),
    "takes the first place below an anchor": ("a\nx\ny\nx\ny\n", "@@ a\n-x\n+X\n y\n", "a\nX\ny\nx\ny\n"),
    "takes the place nearest to a line number": (
        "x\n" * 3 + "y\n" + "x\n" * 3,
        "@@ -2 +2,2 @@\n-x\n+X\n+X\n@@ -6 +7 @@\n-x\n+Z\n",
        "x\nX\nX\nx\ny\nx\nZ\nx\n",
    ),
    "goes on below the last hunk": ("x\ny\nz\nx\n", "@@\n-x\n+X\n y\n@@\n-x\n+Z\n", "X\ny\nz\nZ\n"),
    "takes context that has lost its blank": (
        NESTED,
        "@@ class B:\n    def f(self):\n-        return 1\n+        return 2\n",
        NESTED[:-2] + "2\n",
    ),
    "takes unsigned context": (ABC, "@@\na\n-b\n+B\nc\n", "a\nB\nc\n"),
    "takes indented context that has lost its blank": (
        "def f():\n    x = 1\n    y = 2\n",
        "@@\ndef f():\n    x = 1\n-    y = 2\n+    y = 3\n",
        "def f():\n    x = 1\n    y = 3\n",
    ),
    "takes context of which some has lost its blank": (
        "def f():\n    x = 1\n    y = 2\n",
        "@@\n def f():\n    x = 1\n-    y = 2\n+    y = 3\n",
        "def f():\n    x = 1\n    y = 3\n",
    ),
    "takes copied line numbers": (ABC, "@@\n L1: a\n-L2: b\n+L2: B\n L3: c\n", "a\nB\nc\n"),
    "takes a copied number for the place": ("x\ny\nx\ny\nx\n", "@@\n-L3: x\n+X\n", "x\ny\nX\ny\nx\n"),
    "takes numbers that cat has copied": (ABC, "@@\n      1\ta\n-     2\tb\n+B\n", "a\nB\nc\n"),
    "takes a line number without context": (ABC, "@@ -1,0 +2 @@\n+x\n@@ -3,0 +5 @@\n+y\n", "a\nx\nb\nc\ny\n"),
    "takes a line number before all": (ABC, "@@ -0,0 +1 @@\n+x\n", "x\na\nb\nc\n"),
    "takes line numbers of the file as it was": (
        "x\n" * 9,
        "@@ -1,2 +0,0 @@\n-x\n-x\n@@ -8 +6 @@\n-x\n+y\n",
        "x\n" * 5 + "y\nx\n",
    ),
    "takes copied numbers without L": (ABC, "@@\n 1: a\n-2: b\n+B\n", "a\nB\nc\n"),
    "keeps what only looks like a number": ("1: a\n2: b\n", "@@\n-2: b\n+3: c\n", "1: a\n3: c\n"),
    "reads an anchor between signs": (TWICE, "@@ def g(): @@\n-    x = 1\n+    x = 2\n", TWICE[:-2] + "2\n"),
    "takes two hunks far apart": ("a\n" + "-\n" * 50 + "z\n", "@@\n-a\n+A\n@@\n-z\n+Z\n", "A\n" + "-\n" * 50 + "Z\n"),
    "finds the anchor first": (TWICE, "@@ def g():\n-    x = 1\n+    x = 2\n", TWICE[:-2] + "2\n"),
    "finds an anchor whatever its indent": (
        NESTED.replace("f(", "g(", 1),
        "@@ def f(self):\n-        return 1\n+        return 2\n",
        NESTED[:-2].replace("f(", "g(", 1) + "2\n",
    ),
    "finds what two like anchors have below them": (
        "# x\n# x\na\n",
        "@@ # x\n-a\n+b\n",
        "# x\n# x\nb\n",
    ),
    "takes the first of like anchors below another": (
        "class A:\n" + NESTED,
        "@@ class A:\n@@ def f(self):\n-        return 1\n+        return 2\n",
        "class A:\n" + NESTED.replace("1", "2", 1),
    ),
    "finds anchors one below the other": (
        NESTED,
        "@@ class B:\n@@ def f(self):\n-        return 1\n+        return 2\n",
        NESTED[:-2] + "2\n",
    ),
    "accepts context that repeats the anchor": (
        TWICE,
        "@@ def g():\n def g():\n-    x = 1\n+    x = 2\n",
        TWICE[:-2] + "2\n",
    ),
    "inserts behind an anchor without context": (
        TWICE,
        "@@ def f():\n+    y = 0\n",
        TWICE.replace("f():\n", "f():\n    y = 0\n"),
    ),
    "ignores the line numbers of other formats": (ABC, "@@ -1,3 +1,3 @@ def f\n a\n-b\n+B\n", "a\nB\nc\n"),
    "replaces at the end of the file": ("x\ny\nx\n", "@@\n-x\n+X\n*** End of File\n", "x\ny\nX\n"),
    "appends at the end of the file": (ABC, "@@\n c\n+d\n*** End of File\n", "a\nb\nc\nd\n"),
    "appends at the end in spite of an anchor": (ABC, "@@ a\n+d\n*** End of File\n", "a\nb\nc\nd\n"),
    "reads on after an end of file": (ABC, "@@\n a\n+x\n b\n c\n*** End of File\n", "a\nx\nb\nc\n"),
    "takes a blank line for blank context": ("a\n\nb\n", "@@\n a\n\n-b\n+B\n", "a\n\nB\n"),
    "does not take the space between sections for context": (ABC, "@@\n-c\n+C\n\n", "a\nb\nC\n"),
    "does not take several blank lines for context": (ABC, "@@\n-c\n+C\n\n\n", "a\nb\nC\n"),
    "does not take a blank line between hunks for context": (ABC, "@@\n-a\n+A\n\n@@\n-c\n+C\n", "A\nb\nC\n"),
    "does take a blank line for context where there is one": ("a\n\nc\n\n", "@@\n-c\n+C\n\n", "a\n\nC\n\n"),
    "appends in spite of the space before the next section": ("a\n\nb\n", "@@\n+x\n\n", "a\n\nb\nx\n"),
    "inserts behind an anchor in spite of it": (
        TWICE + "\nz\n",
        "@@ def f():\n+    y = 0\n\n",
        TWICE.replace("f():\n", "f():\n    y = 0\n") + "\nz\n",
    ),
    "removes one of several blank lines": ("a\n\nb\n\n\nc\n", "@@\n-\n \n", "a\n\nb\n\nc\n"),
    "removes a blank line": ("a\n\nb\n", "@@\n a\n-\n b\n", "a\nb\n"),
    "adds a blank line": ("a\nb\n", "@@\n a\n+\n b\n", "a\n\nb\n"),
    "forgives trailing space in the file": ("a  \nb\t\nc\n", "@@\n a\n-b\n+B\n c\n", "a  \nB\nc\n"),
    "forgives trailing space in the patch": (ABC, "@@\n a  \n-b \n+B\n c\n", "a\nB\nc\n"),
    "prefers the exact place to a forgiven one": ("b \nb\n", "@@\n-b\n+B\n", "b \nB\n"),
    "forgives curly quotes": ("say \u201chi\u201d\n", '@@\n-say "hi"\n+say "ho"\n', 'say "ho"\n'),
    "forgives an apostrophe": ("it\u2019s\nb\n", "@@\n it's\n-b\n+B\n", "it\u2019s\nB\n"),
    "forgives dashes": ("a \u2013 b \u2014 c\nx\n", "@@\n a - b - c\n-x\n+y\n", "a \u2013 b \u2014 c\ny\n"),
    "forgives a non-breaking space": ("a\u00a0b\nx\n", "@@\n a b\n-x\n+y\n", "a\u00a0b\ny\n"),
    "forgives punctuation in an anchor": ("# it\u2019s\nx\n", "@@ # it's\n-x\n+y\n", "# it\u2019s\ny\n"),
    "keeps CRLF": ("a\r\nb\r\nc\r\n", "@@\n a\n-b\n+B\n c\n", "a\r\nB\r\nc\r\n"),
    "keeps CRLF of a line that comes last": ("a\r\nb\r\n", "@@\n b\n+c\n", "a\r\nb\r\nc\r\n"),
    "keeps mixed line ends": ("a\r\nb\nc\nd\n", "@@\n-c\n+C\n", "a\r\nb\nC\nd\n"),
    "reads a CRLF patch": (ABC, "@@\r\n a\r\n-b\r\n+B\r\n", "a\nB\nc\n"),
    "keeps a byte order mark": ("\ufeffa\nb\n", "@@\n-a\n+A\n b\n", "\ufeffA\nb\n"),
    "keeps a missing last newline": ("a\nb", "@@\n-a\n+A\n", "A\nb"),
    "keeps it missing when the last line changes": ("a\nb", "@@\n a\n-b\n+B\n", "a\nB"),
    "keeps it missing when lines are appended": ("a\nb", "@@\n b\n+c\n", "a\nb\nc"),
    "keeps it missing when the last line goes": ("a\nb", "@@\n a\n-b\n", "a"),
    "keeps CRLF and a missing last newline": ("a\r\nb", "@@\n b\n+c\n", "a\r\nb\r\nc"),
    "leaves form feeds and other breaks in lines": ("a\x0cb\u2028c\nd\n", "@@\n-d\n+D\n", "a\x0cb\u2028c\nD\n"),
    "adds a line that looks like a header": (ABC, "@@\n a\n+*** Delete File: x\n b\n", "a\n*** Delete File: x\nb\nc\n"),
    "removes a line that looks like the end": ("*** End Patch\nb\n", "@@\n-*** End Patch\n b\n", "b\n"),
    "adds a line that begins with +": (ABC, "@@\n a\n++x\n b\n", "a\n+x\nb\nc\n"),
    "removes a line that begins with -": ("-x\nb\n", "@@\n--x\n b\n", "b\n"),
    "keeps control tokens spelt out": ("<|end|>\nb\n", "@@\n <|end|>\n-b\n+<|return|>\n", "<|end|>\n<|return|>\n"),
    "changes the same line of two neighbours": ("x\nx\nx\n", "@@\n x\n-x\n+y\n x\n", "x\ny\nx\n"),
}


@pytest.mark.parametrize("name", APPLIED)
def test_a_patch(name: str) -> None:
    before, body, after = APPLIED[name]
    assert update(body, before) == after


REFUSED = {
    "a line that is not there": (
        ABC,
        "@@\n-q\n+Q\n",
        "hunk 1 (line 3 of the patch) does not apply: no line of it is in the file, such as `q`",
    ),
    "a line that differs": (ABC, "@@\n a\n-B\n c\n", "line 2 of the file is `b`, not `B`"),
    "a file that ends too early": (ABC, "@@\n c\n-d\n", "goes on with `d` where the file ends, after line 3"),
    "a part of a line": (
        "colour: red\n",
        "@@\n-red\n+blue\n",
        "but line 1 is `colour: red`; a patch gives whole lines",
    ),
    "a file that is empty": ("", "@@\n-a\n", "no line of it is in the file"),
    "an indent that differs": ("  a\n", "@@\n-a\n+b\n", "does not apply"),
    "a missing anchor": (ABC, "@@ def f():\n-a\n", "no line `def f():`, as its @@ says, is in the file"),
    "an anchor above the last hunk": (ABC, "@@\n-b\n@@ a\n-c\n", "no line `a`, as its @@ says, is after line 2"),
    "hunks in the wrong order": (
        ABC,
        "@@\n-c\n+C\n@@\n-a\n+A\n",
        "hunk 2 (line 6 of the patch) does not apply: its lines stand before line 4",
    ),
    "an end of file that is not there": (
        ABC,
        "@@\n-a\n+A\n*** End of File\n",
        "its lines are not at the end of the file",
    ),
    "a hunk that changes nothing": (ABC, "@@\n a\n b\n", "hunk 1 changes nothing"),
    "a hunk that fits in two places": (
        "x\ny\nx\ny\n",
        "@@\n-x\n+X\n",
        "hunk 1 (line 3 of the patch) fits in several places, at lines 1 and 3",
    ),
    "a hunk that fits in many": ("x\n" * 5, "@@\n-x\n+X\n", "at lines 1 and 2; add more"),
    "a hunk whose @@ is in two places": (
        NESTED,
        "@@ def f(self):\n-        return 1\n+        return 2\n",
        "fits in several places, at lines 3 and 7; add more of the lines around it, or name one above it",
    ),
    "a hunk that repeats its @@, which is in two places": (
        NESTED,
        "@@ def f(self):\n     def f(self):\n-        return 1\n+        return 2\n",
        "fits in several places, at lines 2 and 6",
    ),
    "lines to insert behind an @@ that is in two places": (NESTED, "@@ def f(self):\n+x\n", "at lines 3 and 7"),
    "lines that are there, but not together": (ABC, "@@\n-a\n-c\n", "line 2 of the file is `b`, not `c`"),
    "an update without hunks": (ABC, "", "nothing is said about how to change f"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_the_model_is_told_of(name: str) -> None:
    before, body, problem = REFUSED[name]
    with pytest.raises(PatchError) as caught:
        update(body, before)
    assert problem in str(caught.value)


def test_a_huge_file_is_refused_quickly_not_compared_line_by_line_and_for_the_true_reason() -> None:
    huge = "line\n" * 100_000
    with pytest.raises(PatchError, match="no line of it is in the file"):
        update("@@\n" + "-nowhere\n" * 100, huge)
    with pytest.raises(PatchError, match="`nowhere` is not in the file"):
        update("@@\n" + "-line\n" * 99 + "-nowhere\n", huge)
    with pytest.raises(PatchError, match="its lines are not together in the file"):
        update("@@\n" + "-line\n" * 99 + "-last\n" * 2, huge + "last\n")


@pytest.mark.parametrize("old", ["-line\n" * 20_000, "-line\n" * 20_000 + " x\n", " line\n" + "\n" * 2_000])
def test_thousands_of_like_lines_are_compared_at_once(old: str) -> None:
    with pytest.raises(PatchError):
        update(f"@@\n{old}+y\n", "line\n" * 200_000)


@pytest.mark.parametrize("anchor", ["", " a"])
def test_hundreds_of_hunks_are_made_at_once(anchor: str) -> None:
    edits = "".join(f"@@{anchor and f' {number}'}\n-{number}\n+x\n" for number in range(0, 100_000, 100))
    assert update(edits, "".join(f"{number}\n" for number in range(100_000))).count("x\n") == 1_000


# Random edits: the patch that difflib would write gives the edited file.

LINE = st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"]), max_size=12)
LINE_END = st.sampled_from(["\n", "\r\n"])


def body(before: list[str], after: list[str], context: int | None) -> str:
    """Write hunks with so many lines of context; with None one hunk that names every line."""
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    groups = matcher.get_grouped_opcodes(context) if context is not None else [matcher.get_opcodes()]
    lines = []
    for group in groups:
        lines.append("@@")
        for tag, start, end, new_start, new_end in group:
            lines += [(" " if tag == "equal" else "-") + line for line in before[start:end]]
            if tag != "equal":
                lines += ["+" + line for line in after[new_start:new_end]]
    return "".join(line + "\n" for line in lines)


@settings(max_examples=150, deadline=None)
@given(st.lists(LINE, max_size=15), st.lists(LINE, max_size=15), LINE_END, st.tuples(st.booleans(), st.booleans()))
def test_a_patch_of_random_edits_gives_the_edited_file(
    before: list[str], after: list[str], end: str, marks: tuple[bool, bool]
) -> None:
    mark, last = marks
    if before == after:
        return

    def text(lines: list[str]) -> str:
        joined = "".join(line + end for line in lines)
        return "\ufeff" * mark + (joined if last else joined.removesuffix(end))

    if (
        not (before and after)
        or not (last or (before[-1] and after[-1]))
        or before[0].startswith("\ufeff")
        or end not in text(before)
    ):
        return  # no file distinguishes these: an empty one has no line ends, one without last newline no blank last line
    assert update(body(before, after, None), text(before)) == text(after)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_hunks_with_little_context_find_their_place(data: st.DataObject) -> None:
    before = [f"line {number}" for number in range(60)]
    after = list(before)
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(after)))
        new = data.draw(st.lists(LINE, max_size=3))
        after[at : at + data.draw(st.integers(0, 3))] = new
    if before != after:
        edits = body(before, after, data.draw(st.integers(1, 3)))
        assert update(edits, "\n".join(before) + "\n") == "".join(line + "\n" for line in after)
