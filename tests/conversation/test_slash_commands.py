"""Which prompts are commands, and which are for the model."""

from __future__ import annotations

from pathlib import Path

import pytest
from acp import schema

from gptoss_acp.briefing import developer_message
from gptoss_acp.briefing.library import Library
from gptoss_acp.briefing.prompt_files import CommandFile, Place
from gptoss_acp.conversation import slash_commands
from gptoss_acp.text import json_size

PLACE = Place(Path("/p/.agents/commands"), Path("/p"), of_project=True)


def library(*names: str, description: str = "Reviews") -> Library:
    return Library(
        commands=tuple(CommandFile(name, description, "<what>", PLACE.folder / f"{name}.md", PLACE) for name in names)
    )


@pytest.mark.parametrize(
    ("prompt", "name", "argument"),
    [
        ("/compact", "compact", ""),
        ("/compact  the tests\nand the build ", "compact", "the tests\nand the build"),
        ("/effort\thigh", "effort", "high"),
        ("/init", "init", ""),
        (" /clear", "clear", ""),
        ("/Compact", "compact", ""),
        ("/HELP", "help", ""),
        ("[a.py](a.py) /compact the tests", "compact", "the tests"),
        ("[a.py#L3](src/a.py#L3) [b](b)\n/status", "status", ""),
        ("/foo", "", "/foo"),
        (" /compacted \n", "", "/compacted"),
    ],
)
def test_a_prompt_that_begins_with_a_command_is_one(prompt: str, name: str, argument: str) -> None:
    given = slash_commands.read(prompt)
    assert given is not None
    assert (given.command.name, given.argument) == (name, argument)


@pytest.mark.parametrize(
    "prompt",
    ["", "/", "/etc", "/etc/hosts is broken", "/foo bar", "Use /clear", "//clear", "[a](a) and /clear", "[a](a) /foo"],
)
def test_all_else_is_for_the_model(prompt: str) -> None:
    assert slash_commands.read(prompt) is None
    assert slash_commands.meant(prompt) == prompt


def test_init_stands_for_its_request_and_takes_no_argument() -> None:
    assert slash_commands.meant("/init") == slash_commands.meant("/init ") == developer_message.request("init")
    assert slash_commands.read(slash_commands.meant("/init")) is None
    assert slash_commands.meant("/init please") == "/init please"


def test_commands_are_advertised_in_acps_form() -> None:
    for command in slash_commands.advertised():
        schema.AvailableCommand.model_validate(command)
    assert [command["name"] for command in slash_commands.advertised() if "input" in command] == [
        "compact",
        "mode",
        "effort",
    ]


@pytest.mark.parametrize(
    ("prompt", "argument"),
    [
        ("/review", ""),
        (" /Review  the tests\nand more ", "the tests\nand more"),
        ("[a.py](a.py#L3) [b](b)\n/review it", "[a.py](a.py#L3) [b](b) it"),
        ("[a.py](a.py) /review", "[a.py](a.py)"),
    ],
)
def test_a_prompt_may_call_a_command_of_the_users(prompt: str, argument: str) -> None:
    call = slash_commands.called(prompt, library("review", "3-d_x"))
    assert call is not None
    assert (call[0].name, call[1]) == ("review", argument)


@pytest.mark.parametrize("prompt", ["/3-d_x", "/3-D_X now"])
def test_other_names_than_ours_have_digits_and_hyphens(prompt: str) -> None:
    assert slash_commands.called(prompt, library("review", "3-d_x")) is not None


@pytest.mark.parametrize(
    "prompt", ["review", "/other", "/review/it", "Say /review", "/compact", "/COMPACT now", "/../x", "/"]
)
def test_what_calls_none_of_the_users_is_left_as_it_is(prompt: str) -> None:
    assert slash_commands.called(prompt, library("review", "compact")) is None


def test_the_users_commands_are_advertised_as_such() -> None:
    *ours, theirs = slash_commands.advertised(library("review"))
    assert ours == slash_commands.advertised()
    assert theirs == {
        "name": "review",
        "description": "Reviews (the project's command)",
        "input": {"hint": "<what>"},
    }


def test_a_list_of_commands_fits_into_a_line() -> None:
    many = library(*(f"{'x' * 60}{number:03}" for number in range(256)), description="é" * 1000)
    assert len(slash_commands.COMMANDS) < len(slash_commands.advertised(many)) < 256
    assert json_size(slash_commands.advertised(many)) < 50_000
    listed = slash_commands.listed(many)
    assert json_size(listed) < 50_000
    shown = listed.count("\n- `/xxx")
    assert listed.endswith(f"\n\n{256 - shown} more are not shown.")


def test_what_a_file_says_of_itself_is_no_markdown_where_it_is_listed() -> None:
    listed = slash_commands.listed(library("review", description="![x](https://example.org/`x`)"))
    assert listed.splitlines()[-1] == (
        "- `/review <what>`: `![x](https://example.org/\\u{60}x\\u{60})` "
        "(the project's command, `/p/.agents/commands/review.md`)"
    )
