"""`gptoss-acp editor` as a person types it: the real program, on the settings of a home of its own."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gptoss_acp.cli import entry, main
from gptoss_acp.cli.editors import jsonc, known
from gptoss_acp.cli.editors.settings_file import SettingsError, SettingsFile
from tests.support.agent_process import COMMAND, private_environment

Ended = subprocess.CompletedProcess[str]
Command = Callable[..., Ended]

ZED = """\
// Zed settings
{
  "theme": "One Dark", // the only one

  /* "vim_mode": true, */
  "agent_servers": {
      "other": {"command": "x",},
  },
  "buffer_font_size": 15,
}
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


@pytest.fixture
def editor(home: Path) -> Command:
    """Runs the command, with a terminal where an answer is given."""

    def run(*arguments: str, answer: str | None = None, before: tuple[str, ...] = ()) -> Ended:
        environment = {
            **private_environment(home),
            "XDG_CONFIG_HOME": str(home / ".config"),
            "XDG_DATA_HOME": str(home / ".local/share"),
            "PATH": str(home / "bin"),
        }
        keyboard, stdin = pty.openpty()
        try:
            if answer is None:
                os.close(stdin)
                stdin = os.open(os.devnull, os.O_RDONLY)
            else:
                os.write(keyboard, answer.encode())
            line = [*COMMAND, *before, "editor", *arguments]
            return subprocess.run(
                line, stdin=stdin, env=environment, cwd=home, capture_output=True, text=True, check=False
            )
        finally:
            os.close(keyboard)
            os.close(stdin)

    return run


@pytest.fixture
def zed(home: Path) -> Path:
    file = home / ".config/zed/settings.json"
    file.parent.mkdir(parents=True)
    file.write_text(ZED)
    return file


def support(home: Path) -> Path:
    return home / ("Library/Application Support" if sys.platform == "darwin" else ".config")


def server(file: Path, key: str = "agent_servers") -> Any:
    return jsonc.get(file.read_text(), (key, "gpt-oss"))


def backups(file: Path) -> list[Path]:
    return list(file.parent.glob(f"{file.name}.backup-*"))


def unchanged(file: Path) -> bool:
    return file.read_text() == ZED and [other.name for other in file.parent.iterdir()] == [file.name]


def test_an_entry_is_shown_and_added_after_a_yes_and_nothing_else_changes(editor: Command, zed: Path) -> None:
    ended = editor(answer="y\n")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert '+      "gpt-oss": {' in ended.stdout
    assert server(zed) == {"type": "custom", "command": COMMAND[0], "args": [], "env": {}}
    added = zed.read_text()
    assert [line for line in added.splitlines() if line in ZED.splitlines()] == ZED.splitlines()
    assert [line for line in ended.stdout.splitlines() if line.startswith("-")] == [f"--- {zed}"]
    (backup,) = backups(zed)
    assert backup.read_text() == ZED
    assert re.fullmatch(r"settings\.json\.backup-\d{8}-\d{6}", backup.name)


def test_a_terminal_that_knows_only_ascii_is_told_all(
    editor: Command, zed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zed.write_text('{"theme": "é"}')
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    ended = editor("zed", "--yes")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "Done." in ended.stdout


@pytest.mark.parametrize("answer", ["n\n", "\n", "\x04"])
def test_without_a_yes_nothing_changes(answer: str, editor: Command, zed: Path) -> None:
    ended = editor("zed", answer=answer)
    assert ended.returncode == (1 if answer == "\x04" else 0)
    assert "Nothing was changed." in ended.stdout + ended.stderr
    assert unchanged(zed)


def test_with_nobody_to_ask_nothing_changes(editor: Command, zed: Path) -> None:
    for arguments in ((), ("zed",)):
        ended = editor(*arguments)
        assert ended.returncode == 1
        assert "--yes" in ended.stderr
        assert unchanged(zed)


def test_what_is_added_is_removed_again(editor: Command, zed: Path) -> None:
    assert editor("zed", "--yes").returncode == 0
    again = editor("zed")
    assert (again.returncode, again.stderr) == (0, "")
    assert "it is there" in again.stdout
    removed = editor("zed", "--remove", answer="y\n")
    assert (removed.returncode, removed.stderr) == (0, "")
    assert zed.read_text() == ZED
    assert len(backups(zed)) == 2
    assert "there is no such entry" in editor("zed", "--remove").stdout


def test_the_list_says_what_is_there(editor: Command, home: Path, zed: Path) -> None:
    (home / ".jetbrains").mkdir()
    listed = editor(answer="n\nn\n").stdout
    assert re.search(r"zed +Zed +no\b", listed)
    assert re.search(r"jetbrains +JetBrains IDEs +no\b", listed)
    assert re.search(r"vscode .* not found here", listed)
    assert editor("--yes").returncode == 0
    zed.write_text(zed.read_text().replace('"args": []', '"args": ["--model", "tiny"]'))
    listed = editor(answer="n\n").stdout
    assert re.search(r"zed +Zed +yes, with other values", listed)
    assert re.search(r"jetbrains +JetBrains IDEs +yes\b", listed)


def test_an_entry_that_is_different_is_changed_after_a_yes_and_what_else_it_says_stays(
    editor: Command, zed: Path
) -> None:
    old = {"type": "custom", "command": "/old", "args": [], "env": {"A": "b"}, "default_mode": "ask"}
    zed.write_text(json.dumps({"agent_servers": {"gpt-oss": old}}))
    ended = editor("zed", answer="y\n")
    assert "Change it?" in ended.stdout
    assert server(zed) == {**old, "command": COMMAND[0]}


def test_another_model_is_named_in_the_entry(editor: Command, zed: Path) -> None:
    editor("zed", "--yes", before=("--model", "tiny"))
    assert server(zed)["args"] == ["--model", "tiny"]


def test_a_folder_is_named_by_its_whole_path(editor: Command, home: Path, zed: Path) -> None:
    editor("zed", "--yes", before=("--model", "~/ckpt"))
    assert server(zed)["args"] == ["--model", f"{home}/ckpt"]


def test_a_symlink_stays_one_and_its_file_keeps_its_mode(editor: Command, home: Path, zed: Path) -> None:
    kept = home / "dotfiles.json"
    zed.rename(kept)
    kept.chmod(0o640)
    zed.symlink_to("../../dotfiles.json")
    assert editor("zed", "--yes").returncode == 0
    assert zed.is_symlink()
    assert kept.stat().st_mode & 0o777 == 0o640
    assert server(kept)
    assert [backup.read_text() for backup in backups(zed)] == [ZED]


@pytest.mark.parametrize("content", [None, "", " \n", "\ufeff"])
def test_settings_that_say_nothing_are_begun(content: str | None, editor: Command, home: Path) -> None:
    file = home / ".jetbrains/acp.json"
    file.parent.mkdir()
    if content is not None:
        file.write_text(content)
    assert editor("jetbrains", "--yes").returncode == 0
    assert json.loads(file.read_text("utf-8-sig")) == {
        "agent_servers": {"gpt-oss": {"command": COMMAND[0], "args": []}}
    }


def test_comments_alone_stay_above_what_is_begun(editor: Command, zed: Path) -> None:
    zed.write_text("// mine")
    assert editor("zed", "--yes").returncode == 0
    assert zed.read_text().startswith("// mine\n{\n")
    assert server(zed)


def test_zeds_flatpak_has_settings_of_its_own(editor: Command, home: Path, zed: Path) -> None:
    flatpak = home / ".var/app/dev.zed.Zed/config/zed/settings.json"
    flatpak.parent.mkdir(parents=True)
    assert editor("zed", answer="n\ny\n").returncode == 0
    assert server(flatpak)
    assert unchanged(zed)


def test_vs_code_has_its_agents_under_the_extensions_key(editor: Command, home: Path) -> None:
    (home / ".vscode/extensions/formulahendry.acp-client-0.1.3").mkdir(parents=True)
    assert editor("--yes").returncode == 0
    settings = support(home) / "Code/User/settings.json"
    assert server(settings, "acp.agents") == {"command": COMMAND[0], "args": [], "env": {}}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        pytest.param(b'{"theme": ', "is not valid JSON", id="cut"),
        pytest.param(b'{"theme": "\xff"}', "not in UTF-8", id="another encoding"),
        pytest.param(b"[]", "is not an object", id="a list"),
        pytest.param(b'{"agent_servers": []}', "something else than an object", id="servers in a list"),
    ],
)
@pytest.mark.parametrize("action", [(), ("--remove",)])
def test_settings_that_can_not_be_understood_stay_as_they_are(
    content: bytes, problem: str, action: tuple[str, ...], editor: Command, zed: Path
) -> None:
    zed.write_bytes(content)
    for arguments in (("zed",), ()):
        ended = editor(*arguments, "--yes", *action)
        assert ended.returncode == 1
        assert problem in ended.stderr
        assert "Nothing was changed" in ended.stderr
        assert "Traceback" not in ended.stderr
        assert zed.read_bytes() == content
        assert not backups(zed)


@pytest.mark.parametrize("action", [(), ("--remove",)])
def test_settings_that_are_no_regular_file_or_far_too_large_are_not_read(
    action: tuple[str, ...], editor: Command, home: Path, zed: Path
) -> None:
    zed.unlink()
    programs = home / ".jupyter/personas"
    programs.mkdir(parents=True)
    os.mkfifo(programs / "other.py")
    for make, problem in (
        (os.mkfifo, "it is no regular file"),
        (lambda file: file.symlink_to("/dev/zero"), "it is no regular file"),
        (lambda file: file.write_bytes(b" " * 2**23), "it is larger than 4 MiB"),
    ):
        make(zed)
        ended = editor("--yes", *action)
        assert ended.returncode == 1
        assert f"{zed} can't be read: {problem}. Nothing was changed." in ended.stderr
        zed.unlink()


def test_settings_that_can_not_be_written_or_read_are_named(editor: Command, home: Path) -> None:
    (home / ".jetbrains").write_text("no folder")
    ended = editor("jetbrains", "--yes")
    assert ended.returncode == 1
    assert f"{home}/.jetbrains/acp.json can't be" in ended.stderr
    assert "Nothing was changed" in ended.stderr


def test_a_write_protected_file_stays_as_it_is(zed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = SettingsFile(zed, ("agent_servers", "gpt-oss"), {})
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everywhere
    with pytest.raises(SettingsError, match="write-protected"):
        file.write(ZED, "{}")
    assert unchanged(zed)


def test_a_write_that_fails_leaves_nothing_behind(zed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    file = SettingsFile(zed, ("agent_servers", "gpt-oss"), {})
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SettingsError, match="No space left on device"):
        file.write(ZED, "{}")
    assert unchanged(zed)


def test_what_has_changed_while_the_question_stood_is_not_written_over(zed: Path) -> None:
    with pytest.raises(SettingsError, match="has changed"):
        SettingsFile(zed, ("agent_servers", "gpt-oss"), {}).write("{}", "{}\n")
    assert unchanged(zed)


@pytest.mark.parametrize(
    ("name", "word"),
    [("neovim", "acp_providers"), ("emacs", "agent-shell-agent-configs"), ("jupyter", "BaseAcpPersona")],
)
def test_settings_that_are_a_program_are_not_changed_but_shown(
    name: str, word: str, editor: Command, home: Path
) -> None:
    for arguments in ((), ("--yes",), ("--remove",)):
        shown = editor(name, *arguments)
        assert (shown.returncode, shown.stderr) == (0, "")
        assert word in shown.stdout
        assert "was not found on this machine" in shown.stdout
    assert not list(home.iterdir())


def test_a_plugin_is_found_and_what_its_settings_name_too(editor: Command, home: Path) -> None:
    (home / ".local/share/nvim/lazy/avante.nvim").mkdir(parents=True)
    config = home / ".config/nvim/lua/avante.lua"
    config.parent.mkdir(parents=True)
    config.write_text("-- nothing yet")
    shown = editor()
    assert (shown.returncode, shown.stderr) == (0, "")
    assert re.search(r"neovim +Neovim \(avante\.nvim\) +no\b", shown.stdout)
    assert "acp_providers" in shown.stdout
    assert "codecompanion" not in shown.stdout
    config.write_text(editor("neovim", "--print").stdout)
    shown = editor()
    assert re.search(r"neovim +Neovim \(avante\.nvim\) +yes\b", shown.stdout)
    assert "acp_providers" not in shown.stdout


@pytest.mark.parametrize("name", main.EDITORS)
def test_a_snippet_is_printed_alone(name: str, editor: Command, home: Path) -> None:
    printed = editor(name, "--print")
    assert (printed.returncode, printed.stderr) == (0, "")
    assert COMMAND[0] in printed.stdout
    if name in {"zed", "jetbrains", "vscode"}:
        assert json.loads(printed.stdout)
    if name == "jupyter":
        compile(printed.stdout, name, "exec")
        (icon,) = re.findall(r"avatar_path='(.*)'", printed.stdout)
        assert ET.parse(icon).getroot().tag.endswith("svg")
    assert not list(home.iterdir())


def test_a_snippet_needs_a_name(editor: Command) -> None:
    ended = editor("--print")
    assert ended.returncode == 1
    assert "jetbrains" in ended.stderr


def test_every_editor_has_a_name_on_the_command_line() -> None:
    assert tuple(editor.name for editor in known.editors(entry.server("tiny"))) == main.EDITORS
