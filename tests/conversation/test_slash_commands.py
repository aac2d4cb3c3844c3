"""Which prompts are commands, and which are for the model."""

from __future__ import annotations

import pytest
from acp import schema

from gptoss_acp.briefing import developer_message
from gptoss_acp.conversation import slash_commands


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
