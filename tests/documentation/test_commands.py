"""Whatever the pages tell to type or to set is there: commands, options, settings, variables, scripts."""

from __future__ import annotations

import argparse
import re
import shlex
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from gptoss_acp import settings
from gptoss_acp.cli import main
from gptoss_acp.settings import Settings
from tests.support.pages import PAGES, Code, fences, inline
from tests.support.places import REPOSITORY

_OPERATOR = re.compile(r"[();<>|&]+")
_ASSIGNMENT = re.compile(r"[A-Z_]+=")
_PLACEHOLDER = re.compile(r"[A-Z]+")
_SCRIPT = re.compile(r"(?<![\w/.-])scripts/\w[\w./]*\w")
_VARIABLE = re.compile(r"\bGPTOSS_ACP_\w*[A-Z0-9]")


def commands(code: Code) -> Iterator[list[str]]:
    """Yield the words of each simple command of a shell's line or lines, without variables that are set for it."""
    for line in code.text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, ";"]:
            if not _OPERATOR.fullmatch(word):
                words.append(word)
                continue
            while words and _ASSIGNMENT.match(words[0]):
                words.pop(0)
            if words:
                yield words
            words = []


def typed() -> Iterator[tuple[Code, list[str]]]:
    """Yield the words of every command on any page, in fences and between backticks."""
    for code in fences("sh"):
        yield from ((code, words) for words in commands(code))
    for code in inline():
        if code.text.startswith(("gptoss-acp ", "scripts/", "python3 scripts/")):
            yield from ((code, words) for words in commands(code))


OURS = [(code, words[1:]) for code, words in typed() if Path(words[0]).name == "gptoss-acp"]
SCRIPTS = [(code, words) for code, words in typed() if words[0].startswith("scripts/")]
OPTIONS = [code for code in inline() if code.text.startswith("--")]


@pytest.mark.parametrize(("code", "words"), OURS, ids=str)
def test_the_command_line_takes_a_command_that_is_told(code: Code, words: list[str]) -> None:
    given = taken(words)
    assert given is not None, code
    name: Any = getattr(given, "name", None)
    value: Any = getattr(given, "value", None)
    if given.command == "config" and given.action in {"set", "unset"} and not _PLACEHOLDER.fullmatch(name):
        settings.check_name(name)
        if value and not _PLACEHOLDER.fullmatch(value):
            settings.checked(name, value)


def taken(words: list[str]) -> argparse.Namespace | None:
    """Return what our command line makes of these words, None where it does not take them."""
    try:
        return main._parser().parse_args(words)
    except SystemExit as error:
        return None if error.code else argparse.Namespace(command="help")


def test_a_command_that_is_not_there_would_be_found() -> None:
    code = Code(
        REPOSITORY / "README.md", 1, "A=1 gptoss-acp sessions shw 3f2a > x | gptoss-acp --modle tiny  # both wrong"
    )
    found = [words[1:] for words in commands(code) if words[0] == "gptoss-acp"]
    assert found == [["sessions", "shw", "3f2a"], ["--modle", "tiny"]]
    assert list(map(taken, found)) == [None, None]


def options() -> set[str]:
    """Return every option of our command line and of our scripts."""
    ours = set(_options(main._parser()))
    return ours.union(
        *(
            re.findall(r'add_argument\(\s*"(--[\w-]+)"', file.read_text("utf-8"))
            for file in REPOSITORY.glob("scripts/*.py")
        )
    )


def _options(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:
        yield from action.option_strings
        if isinstance(action, argparse._SubParsersAction):
            for sub in action.choices.values():
                yield from _options(sub)


@pytest.mark.parametrize("code", OPTIONS, ids=str)
def test_an_option_that_is_named_is_there(code: Code) -> None:
    named = re.findall(r"(?<!\S)--[\w-]+", code.text)
    assert named
    assert set(named) <= options(), code


@pytest.mark.parametrize("code", [code for code in OPTIONS if " " in code.text], ids=str)
def test_a_value_that_is_named_is_one_that_the_setting_can_have(code: Code) -> None:
    flag, value = code.text.split(" ", 1)
    name = flag.removeprefix("--")
    if name in settings.names() and not re.fullmatch(r"[A-Z]+|.*…", value):
        settings.checked(name, value)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_variable_that_is_named_is_a_settings(page: Path) -> None:
    known = {f"GPTOSS_ACP_{setting.name.upper()}" for setting in fields(Settings)}
    assert set(_VARIABLE.findall(page.read_text("utf-8"))) <= known


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_script_that_is_named_is_there(page: Path) -> None:
    for name in _SCRIPT.findall(page.read_text("utf-8")):
        assert (REPOSITORY / name).exists(), name


@pytest.mark.parametrize(("code", "words"), SCRIPTS, ids=str)
def test_an_option_that_a_script_is_given_is_the_scripts(code: Code, words: list[str]) -> None:
    source = REPOSITORY / words[0]
    program = source if source.suffix else source.with_suffix(".py")
    for option in (word for word in words[1:] if word.startswith("--")):
        assert f'"{option}"' in program.read_text("utf-8"), code


@pytest.mark.parametrize("code", fences("toml"), ids=str)
def test_a_line_of_the_configuration_file_is_one(code: Code) -> None:
    for name, value in tomllib.loads(code.text).items():
        settings.checked(name, str(value))
