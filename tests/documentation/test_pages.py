"""What pages show of the program is what the program has: settings, editors' snippets, modes, commands, messages."""

from __future__ import annotations

import ast
import json
import re
from argparse import Namespace
from pathlib import Path

import pytest

from gptoss_acp.cli import local, main
from gptoss_acp.cli.editors import known
from gptoss_acp.conversation.slash_commands import COMMANDS
from gptoss_acp.settings import MODES
from scripts.documentation import settings_page
from tests.support.pages import Code, fences
from tests.support.places import REPOSITORY

DOCS = REPOSITORY / "docs"
PROGRAM = "/home/you/gptoss/bin/gptoss-acp"
ICON = "/home/you/gptoss/lib/python3.12/site-packages/gptoss_acp/data/icon.svg"
_QUOTED = re.compile(r'"([^"]+)"')


def text(page: str) -> str:
    return (DOCS / page).read_text("utf-8")


def test_the_page_of_settings_is_what_the_settings_are() -> None:
    assert text("settings.md") == settings_page.text(), "scripts/docs writes it anew"


@pytest.mark.parametrize("name", main.EDITORS)
def test_the_page_of_editors_shows_what_is_printed_for_each(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(variable, str(tmp_path))
    (editor,) = (editor for editor in known.editors({"command": PROGRAM, "args": []}) if editor.name == name)
    shown = re.sub(r"'[^']*/data/icon\.svg'", repr(ICON), editor.snippet)
    of_the_page = [code.text for code in fences("json", "lua", "elisp", "python") if code.page.name == "editors.md"]
    assert shown in of_the_page, f"docs/editors.md should have\n{shown}"


@pytest.mark.parametrize("mode", MODES)
def test_the_page_of_modes_has_each(mode: str) -> None:
    assert re.search(rf"^\| `{mode}`", text("modes_and_sandbox.md"), re.MULTILINE)


@pytest.mark.parametrize("command", [command.name for command in COMMANDS])
def test_the_page_of_slash_commands_has_each(command: str) -> None:
    assert re.search(rf"^\| `/{command}\b", text("prompts.md"), re.MULTILINE)


def test_the_file_of_mcp_servers_is_one_that_is_taken(tmp_path: Path) -> None:
    (shown,) = (code.text for code in fences("json") if code.page.name == "mcp.md")
    file = tmp_path / "servers.json"
    file.write_text(shown)
    servers = local.mcp_servers(Namespace(mcp=str(file)))
    assert [server.name for server in servers] == list(json.loads(shown)["mcpServers"])


def messages() -> list[str]:
    """Return the pieces of messages that the page of troubleshooting quotes."""
    rows = [line for line in text("troubleshooting.md").splitlines() if line.startswith("| ")]
    quoted = [quote for row in rows for quote in _QUOTED.findall(row.split(" | ")[0])]
    pieces = (piece.strip() for quote in quoted for piece in quote.split("…"))
    return [piece for piece in pieces if len(piece) >= 8]


def said() -> str:
    """Return all that the program may say: every piece of text in its source, in its order."""
    files = (REPOSITORY / "gptoss_acp").glob("**/*.py")
    return "\n".join(_strings(ast.parse(file.read_text("utf-8"))) for file in files)


def _strings(tree: ast.AST) -> str:
    return "\n".join(
        node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


SAID = said()


@pytest.mark.parametrize("piece", messages())
def test_a_message_that_is_quoted_is_one_that_the_program_says(piece: str) -> None:
    assert piece in SAID


def answers() -> list[str]:
    """Return the answers to questions that README's picture in words shows."""
    lines = (REPOSITORY / "README.md").read_text("utf-8").splitlines()
    offers = [line.strip().removesuffix("?") for line in lines if line.startswith("  Allow once / ")]
    return sorted({answer for offer in offers for answer in offer.split(" / ")})


@pytest.mark.parametrize("answer", answers())
def test_an_answer_that_is_shown_is_one_that_is_offered(answer: str) -> None:
    assert answer in SAID.splitlines()


@pytest.mark.parametrize("code", fences("json"), ids=str)
def test_json_is_json(code: Code) -> None:
    json.loads(code.text)
