"""What a file says of itself before its text, and that nothing written there costs more than itself."""

from __future__ import annotations

import time

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from gptoss_acp.briefing import front_matter
from gptoss_acp.briefing.front_matter import Document, FrontMatterError

LONGEST = 1.0
"""Seconds of processor time, on a slow machine: what is read naively takes minutes."""


@pytest.fixture(params=["libyaml", "Python"])
def reader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let YAML be read by the library, or, as where there is none, by Python."""
    if request.param == "Python":
        monkeypatch.delattr(yaml, "CSafeLoader")


READ = {
    "none at all": ("# Title\n\n---\n", {}, "# Title\n\n---"),
    "an empty one": ("---\n---\nbody", {}, "body"),
    "plain": ("---\nname: pdf\ndescription: Reads PDFs\n---\n\nDo it.\n", {"name": "pdf", "description": "Reads PDFs"}, "Do it."),
    "quoted": ("---\na: \"x: \\ty\"\nb: 'it''s'\n---\n", {"a": "x: \ty", "b": "it's"}, ""),
    "folded": ("---\na: >\n  two\n  lines\n---\nb", {"a": "two lines\n"}, "b"),
    "from Windows": ("\ufeff---\r\na: b\r\n---\r\nbody\r\n", {"a": "b"}, "body"),
    "blanks behind the line": ("--- \na: b\n---\t\nbody", {"a": "b"}, "body"),
    "a colon that YAML forbids": ("---\na: Use when: the user asks\nb: c\n---\n", {"a": "Use when: the user asks", "b": "c"}, ""),
    "a colon and quotes": ('---\na: say "x": \\ é 🫠\n---\n', {"a": 'say "x": \\ é 🫠'}, ""),
    "numbers": ("---\na: 42\n---\n", {"a": "42"}, ""),
    "nothing for a value": ("---\na:\nb: ~\nc: null\nd: ''\ne: 'null'\n---\n", {"d": "", "e": "null"}, ""),
    "collections": ("---\nmetadata:\n  a: x\n  b: [y, {c: z}]\na: b\nc: [d]\n? [e]\n: f\n---\n", {"a": "b"}, ""),
    "aliases": ("---\na: &x b\nc: *x\nd: [*x, *x]\n---\n", {"a": "b"}, ""),
    "tags": ("---\na: !!python/object/apply:os.system [ls]\nb: !!str c\nd: !x e\n---\n", {"b": "c", "d": "e"}, ""),
    "twice": ("---\na: b\na: c\n---\n", {"a": "c"}, ""),
}  # fmt: skip

UNREADABLE = {
    "no end": ("---\na: b\n", "has no end"),
    "a list": ("---\n- a\n---\n", "names no values"),
    "a text": ("---\nhello\n---\n", "names no values"),
    "no YAML": ("---\na: 'b\n---\n", "is no YAML: "),
    "two documents": ("---\na: b\n...\nc: d\n---\n", "is no YAML: "),
    "control characters": ("---\na: [\x07]\n---\n", "is no YAML: "),
    "too long": (f"---\na: {'b' * front_matter.LONGEST}\n---\n", "longer than 8,192 characters"),
    "deep brackets": (f"---\na: {'[' * 8000}\n---\n", "collections in each other"),
    "deep braces": (f"---\na: {'{a: ' * 2000}\n---\n", "collections in each other"),
    "deep keys": (f"---\n{'? ' * 4000}\n---\n", "collections in each other"),
    "deep lists": (f"---\na:\n {'- ' * 4000}\n---\n", "collections in each other"),
}


@pytest.mark.usefixtures("reader")
@pytest.mark.parametrize("kind", READ)
def test_single_values_at_the_top_are_read(kind: str) -> None:
    text, fields, body = READ[kind]
    assert front_matter.read(text) == Document(fields, body)


@pytest.mark.usefixtures("reader")
@pytest.mark.parametrize("kind", UNREADABLE)
def test_what_can_not_be_read_has_a_reason(kind: str) -> None:
    text, reason = UNREADABLE[kind]
    began = time.process_time()
    with pytest.raises(FrontMatterError, match=reason) as caught:
        front_matter.read(text)
    assert time.process_time() - began < LONGEST
    assert str(caught.value).isprintable()


def test_a_problem_says_in_which_line_of_the_file_it_is() -> None:
    with pytest.raises(FrontMatterError, match=r"line 3\Z"):
        front_matter.read("---\na: b\n\tc: d\n---\n")


BOMB = "a: &a [x, x]\n" + "".join(
    f"{chr(98 + level)}: &{chr(98 + level)} {{<<: [*{chr(97 + level)}, *{chr(97 + level)}]}}\n" for level in range(24)
)


@pytest.mark.usefixtures("reader")
def test_aliases_are_not_followed_so_no_bomb_goes_off() -> None:
    began = time.process_time()
    assert front_matter.read(f"---\n{BOMB}description: there\n---\n").fields == {"description": "there"}
    assert time.process_time() - began < LONGEST


PIECES = st.sampled_from(
    [*"-:?[]{}&*!|>'\"%@`#,\n \t\\ab", "---\n", "a: ", "<<: ", "- ", "\x07", "\u202e", "é", "\ufeff"]
)


@settings(max_examples=300, deadline=None, database=None)
@given(
    st.one_of(
        st.text(), st.lists(PIECES).map("".join), st.lists(PIECES).map(lambda said: f"---\n{''.join(said)}\n---\n")
    )
)
def test_any_text_is_a_document_or_has_a_reason(text: str) -> None:
    problem, document = "", Document({}, "")
    try:
        document = front_matter.read(text)
    except FrontMatterError as error:
        problem = str(error)
    assert problem.isprintable()
    assert document.body in text.replace("\r\n", "\n")
    assert all(isinstance(value, str) for pair in document.fields.items() for value in pair)
