"""The patch format: what is read, whatever surrounds it, and what the model is told of what can't be."""

from __future__ import annotations

import pytest

from gptoss_acp.tools.patch import hunks
from gptoss_acp.tools.patch.parse import PatchError, parse

MALFORMED = {
    "": "must begin with",
    "*** Update File: f": "must begin with",
    "*** Begin Patch": "must end with",
    "*** Begin Patch\n*** Delete File: f": "must end with",
    "*** Begin Patch\n*** End Patch": "the patch is empty",
    "*** Begin Patch\n*** Add File: f\nx\n*** End Patch": "line 3 of the patch: every line of an added file begins with +",
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


def test_a_pure_move_needs_no_hunks() -> None:
    (moved,) = parse("*** Begin Patch\n*** Update File: a b.txt\n*** Move to: c d.txt\n*** End Patch")
    assert (moved.path, moved.move_to, moved.hunks) == ("a b.txt", "c d.txt", [])
