"""A form at a terminal: what is typed for each kind of field, what does not fit, and what is left empty."""

from __future__ import annotations

import io
from typing import Any

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput
from rich.console import Console

from gptoss_acp.cli import forms
from gptoss_acp.protocol.face import Answered

TWO = {"type": "string", "oneOf": [{"const": "r", "title": "Red"}, {"const": "b", "title": "Blue"}]}
SOME = {"type": "array", "items": {"type": "string", "enum": ["a", "b", "c"]}, "minItems": 2}


async def filled_in(elicitation: Any, *lines: str) -> tuple[Answered, str]:
    """Return what becomes of it where a user types these lines, and what was shown besides the prompts."""
    shown = io.StringIO()
    with create_pipe_input() as typed, create_app_session(typed, DummyOutput()):
        typed.send_text("".join(f"{line}\r" for line in lines))
        answered = await forms.filled_in(Console(file=shown, width=200), elicitation)
    return answered, shown.getvalue()


def form(*, required: bool = False, **fields: Any) -> Any:
    schema = {"type": "object", "properties": fields, "required": list(fields) if required else []}
    return {"mode": "form", "message": "Well?", "requestedSchema": schema}


@pytest.mark.parametrize(
    ("field", "typed", "value"),
    [
        ({"type": "string"}, " some words ", "some words"),
        ({"type": "string", "pattern": "^x$"}, "y", "y"),
        ({"type": "integer"}, "-3", -3),
        ({"type": "number"}, "1e3", 1000.0),
        ({"type": "boolean"}, "Yes", True),
        ({"type": "boolean"}, "n", False),
        (TWO, "2", "b"),
        (TWO, "r", "r"),
        ({"type": "string", "enum": ["a", "b"]}, "1", "a"),
        (SOME, "1, c", ["a", "c"]),
        ({"type": "integer", "default": 7}, "", 7),
    ],
)
async def test_what_is_typed_is_read_as_the_field_has_it(field: Any, typed: str, value: Any) -> None:
    answered, _ = await filled_in(form(a=field), typed)
    assert answered == Answered("accept", {"a": value})


@pytest.mark.parametrize(
    ("field", "wrong", "why"),
    [
        ({"type": "integer"}, "four", "does not fit"),
        ({"type": "integer", "maximum": 5}, "6", "6 is greater than the maximum of 5"),
        ({"type": "number"}, "inf", "does not fit"),
        ({"type": "boolean"}, "perhaps", "does not fit"),
        ({"type": "string", "minLength": 3}, "ab", "is too short"),
        (TWO, "3", "does not fit"),
        (TWO, "0", "does not fit"),
        (TWO, "Green", "does not fit"),
        (SOME, "1", "is too short"),
    ],
)
async def test_what_does_not_fit_is_said_and_asked_again_and_not_without_end(field: Any, wrong: str, why: str) -> None:
    answered, shown = await filled_in(form(a=field, b={"type": "string"}), wrong, "", "x")
    assert answered == Answered("accept", {"b": "x"})
    assert shown.count(why) == 1
    answered, shown = await filled_in(form(a=field, b={"type": "string"}), *[wrong] * forms.MOST_TRIES, "x")
    assert answered == Answered("accept", {"b": "x"})
    assert "It is left empty." in shown
    answered, shown = await filled_in(form(a=field, required=True), *[wrong] * forms.MOST_TRIES)
    assert answered == Answered("decline")
    assert shown.count(why) == forms.MOST_TRIES
    assert "Nothing is answered." in shown


async def test_without_what_is_required_or_anything_at_all_nothing_is_answered() -> None:
    for elicitation in (form(a={"type": "string"}), form(a={"type": "string"}, required=True)):
        answered, shown = await filled_in(elicitation, "")
        assert answered == Answered("decline")
        assert "Nothing is answered." in shown


async def test_all_of_a_form_is_shown() -> None:
    field = {**TWO, "title": "Colour", "description": "Of the [red]door[/red]"}
    elicitation = form(a=field)
    elicitation["requestedSchema"] |= {"title": "About the door", "description": "It is old"}
    _, shown = await filled_in(elicitation, "1")
    for text in ("Well?", "About the door", "It is old", "Colour", "1  Red", "2  Blue", "Of the [red]door[/red]"):
        assert f"| {text}" in shown.replace("|   ", "| ")


async def test_nothing_that_is_asked_is_hidden_pushes_the_rest_away_or_looks_like_ours() -> None:
    title = "I agree to BEGIN " + "blah " * 700 + "END\n1-2: 1\n"
    options = [{"const": "a", "title": "Keep\n  2  Delete"}, {"const": "b", "title": " \n"}]
    elicitation = form(a={"type": "string", "title": title, "oneOf": options})
    elicitation["message"] = "Who asks" + "\n \t" * 60 + "What"
    _, shown = await filled_in(elicitation, "1")
    *quoted, chosen = filter(None, shown.splitlines())
    assert all(line.startswith("| ") for line in quoted)
    assert chosen == "  Keep 2 Delete"
    assert len(shown.splitlines()) < 40
    for text in ("Who asks", "I agree to BEGIN", "END 1-2: 1", "  1  Keep 2 Delete", "  2  b"):
        assert text in shown


async def test_what_a_field_holds_when_left_empty_is_told_and_fits() -> None:
    fields: dict[str, Any] = {
        "a": {**TWO, "default": "b"},
        "b": {"type": "boolean", "default": False},
        "c": {"type": "integer", "default": 5, "maximum": 3},
        "d": {**SOME, "default": ["zzz"]},
        "e": {"type": "string", "default": ""},
    }
    answered, shown = await filled_in(form(**fields), *[""] * 5)
    assert answered == Answered("accept", {"a": "b", "b": False, "e": ""})
    for text in ("Left empty it is Blue", "Left empty it is no"):
        assert text in shown
    assert shown.count("Left empty") == 2


async def test_of_a_choice_the_number_that_is_shown_counts_before_a_value_that_is_not() -> None:
    named = [{"const": str(number), "title": title} for number, title in enumerate(["Keep", "Delete", "Later"])]
    for field, typed, value in [
        ({"type": "string", "oneOf": named}, "1", "0"),
        ({"type": "string", "oneOf": named}, "Delete", "1"),
        ({"type": "string", "enum": ["2", "4", "8"]}, "2", "4"),
        ({"type": "string", "enum": ["2", "4", "8"]}, "8", "8"),
    ]:
        answered, _ = await filled_in(form(a=field), typed)
        assert answered == Answered("accept", {"a": value})


@pytest.mark.parametrize(
    ("typed", "action"), [("y", "accept"), ("Yes", "accept"), ("n", "decline"), ("", "decline"), ("what?\rY", "accept")]
)
async def test_an_address_is_shown_and_only_a_yes_has_been_there(typed: str, action: str) -> None:
    elicitation = {"mode": "url", "message": "Sign in", "url": "https://example.org/in", "elicitationId": "1"}
    answered, shown = await filled_in(elicitation, typed)
    assert answered == Answered(action)  # type: ignore[arg-type]
    assert "https://example.org/in" in shown


@pytest.mark.parametrize(("key", "error"), [("\x03", KeyboardInterrupt), ("\x04", EOFError)])
async def test_who_has_had_enough_ends_it(key: str, error: type[BaseException]) -> None:
    with create_pipe_input() as typed, create_app_session(typed, DummyOutput()):
        typed.send_text(key)
        with pytest.raises(error):
            await forms.filled_in(Console(file=io.StringIO()), form(a={"type": "string"}))
