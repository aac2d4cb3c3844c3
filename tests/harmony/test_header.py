"""What stands between `<|start|>` and `<|message|>`, read as it is meant; the recovery table has the rest."""

from __future__ import annotations

import pytest

from gptoss_acp import tool_names
from gptoss_acp.harmony import header
from gptoss_acp.harmony.header import Header
from tests.support.harmony_outputs import ids

START = "<|start|>assistant"


def read(text: str, *, message_missing: bool = False) -> Header:
    return header.read(ids(text), tool_names.trained(), message_missing=message_missing)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("<|channel|>final", Header("final", well_formed=True)),
        ("<|channel|>analysis", Header("analysis", well_formed=True)),
        (
            "<|channel|>commentary to=functions.x <|constrain|>json",
            Header("commentary", "functions.x", "json", well_formed=True),
        ),
        (
            " to=functions.x<|channel|>commentary <|constrain|>json",
            Header("commentary", "functions.x", "json", well_formed=True),
        ),
        ("<|channel|>analysis to=functions.x code", Header("analysis", "functions.x", "code", well_formed=True)),
        ("<|channel|>commentary to=container.exec", Header("commentary", "container.exec", well_formed=True)),
        ("<|channel|>commentary to=x", Header("commentary", "functions.x")),
        ("<|channel|>commentary to = 'functions.functions.x',", Header("commentary", "functions.x")),
        ("<|channel|>final to=functions.x", Header("commentary", "functions.x")),
        ("<|channel|>commentary to=user", Header("commentary")),
        ("<|channel|>weather", Header(None)),
        ("", Header(None)),
        ("<|channel|>", Header(None)),
    ],
)
def test_a_header_is_read_as_it_is_meant(text: str, meant: Header) -> None:
    assert read(START + text) == meant


def test_of_several_headers_the_last_that_says_something_counts() -> None:
    assert read(f"{START}<|channel|>analysis{START}<|channel|>final").channel == "final"
    assert read(f"{START}<|channel|>final{START}").channel == "final"


@pytest.mark.parametrize(
    ("text", "channel", "recipient", "content"),
    [
        ("<|channel|>final Hello", "final", None, "Hello"),
        ("<|channel|>finalHello", "final", None, "Hello"),
        ('<|channel|>commentary to=functions.x json{"a": 1}', "commentary", "functions.x", '{"a": 1}'),
        ('<|channel|>commentary to=functions.x <|constrain|>json {"a": 1}', "commentary", "functions.x", '{"a": 1}'),
    ],
)
def test_without_its_message_token_what_follows_a_header_is_content(
    text: str, channel: str, recipient: str | None, content: str
) -> None:
    found = read(START + text, message_missing=True)
    assert (found.channel, found.recipient, found.content.strip()) == (channel, recipient, content)
    assert not found.well_formed


@pytest.mark.parametrize(
    ("text", "channel"),
    [
        ("final", "final"),
        ("FINAL answer", "final"),
        ("finl", "final"),
        ("analysys", "analysis"),
        ("comentary", "commentary"),
        ("commentary final", "commentary"),
        ("final analysis", "analysis"),
        ("weather", None),
        ("", None),
        ("12", None),
    ],
)
def test_the_closest_channel_is_the_one_named_and_in_doubt_the_hidden_one(text: str, channel: str | None) -> None:
    assert header.closest_channel(text) == channel
