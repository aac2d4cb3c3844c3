"""Every editor that is known here: whether it is on this machine, where its settings are, and what they need.

Knows each system's folders. Knows nothing about what the files say.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gptoss_acp import regular_file
from gptoss_acp.cli import entry
from gptoss_acp.cli.editors import snippets
from gptoss_acp.cli.editors.settings_file import LARGEST, SettingsFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gptoss_acp.cli.editors.settings_file import State

_VS_CODES = {"Code": ".vscode", "Code - Insiders": ".vscode-insiders", "VSCodium": ".vscode-oss"}
"""The folders of VS Code's kinds: that of settings, and that of extensions."""


@dataclass(frozen=True)
class Editor:
    """An editor, with its settings: data, in `files`, or a program, in `programs`."""

    name: str
    title: str
    found: bool
    snippet: str
    files: tuple[SettingsFile, ...] = ()
    programs: tuple[Path, ...] = ()
    where: str = ""  # in words, where the snippet goes in a program

    @property
    def is_named_in_programs(self) -> bool:
        return any(b"gptoss" in _content(file) for file in self.programs)

    @property
    def states(self) -> list[State]:
        """How this agent stands in its settings, each of these once."""
        if not self.files:
            return ["there" if self.is_named_in_programs else "missing"]
        return list(dict.fromkeys(file.state for file in self.files))


def editors(server: dict[str, Any]) -> list[Editor]:
    """Return all of them, for an agent that is started as `server` says."""
    return [make(server) for make in (_zed, _jetbrains, _neovim, _emacs, _jupyter, _vs_code)]


def _zed(server: dict[str, Any]) -> Editor:
    own = (Path.home() / ".config" if sys.platform == "darwin" else _config()) / "zed"
    flatpak = Path.home() / ".var/app/dev.zed.Zed/config/zed"  # both can be on one machine
    installed = own.exists() or _on_path("zed", "zeditor") or Path("/Applications/Zed.app").exists()
    folders = [own] * installed + [flatpak] * flatpak.exists()
    data = entry.for_zed(server)
    return Editor(
        "zed",
        "Zed",
        bool(folders),
        _json("agent_servers", data),
        files=_files([folder / "settings.json" for folder in folders or [own]], "agent_servers", data),
    )


def _jetbrains(server: dict[str, Any]) -> Editor:
    settings = Path.home() / ".jetbrains"
    return Editor(
        "jetbrains",
        "JetBrains IDEs",
        any(path.exists() for path in (_support() / "JetBrains", Path.home() / ".local/share/JetBrains", settings)),
        _json("agent_servers", server),
        files=_files([settings / "acp.json"], "agent_servers", server),
    )


def _neovim(server: dict[str, Any]) -> Editor:
    data, config = _data() / "nvim", _config() / "nvim"
    forms = {"codecompanion.nvim": snippets.codecompanion, "avante.nvim": snippets.avante}
    plugins = {plugin: _any(data, f"lazy/{plugin}", f"site/pack/*/*/{plugin}") for plugin in forms}
    wanted = [plugin for plugin, found in plugins.items() if found] or list(forms)
    return Editor(
        "neovim",
        f"Neovim ({', '.join(wanted)})",
        any(plugins.values()),
        "\n".join(forms[plugin](server) for plugin in wanted),
        programs=_programs(config, "**/*.lua", "**/*.vim"),
        where=f"the plugin's settings, in {config}",
    )


def _emacs(server: dict[str, Any]) -> Editor:
    homes = (Path.home() / ".emacs.d", _config() / "emacs")
    managers = ("straight/repos", ".local/straight/repos", "elpaca/repos", "elpaca/sources")
    packages = ("elpa/agent-shell", "elpa/agent-shell-[0-9]*", *(f"{manager}/agent-shell" for manager in managers))
    folders = (*homes, Path.home() / ".doom.d", _config() / "doom")
    programs = [file for folder in folders for file in _programs(folder, "*.el")]
    return Editor(
        "emacs",
        "Emacs (agent-shell)",
        any(_any(home, *packages) for home in homes),
        snippets.agent_shell(server),
        programs=(*programs, Path.home() / ".emacs", Path.home() / ".emacs.el"),
        where="init.el",
    )


def _jupyter(server: dict[str, Any]) -> Editor:
    program = shutil.which("jupyter-lab")
    client = "lib/python*/site-packages/jupyter_ai_acp_client"
    return Editor(
        "jupyter",
        "JupyterLab (jupyter-ai)",
        program is not None and _any(Path(program).resolve().parent.parent, client),
        snippets.jupyter_ai(server),
        programs=_programs(Path(".jupyter/personas"), "*.py"),
        where=".jupyter/personas/gpt_oss_persona.py, in the folder that JupyterLab serves",
    )


def _vs_code(server: dict[str, Any]) -> Editor:
    extension = "extensions/formulahendry.acp-client-*"
    with_it = [settings for settings, home in _VS_CODES.items() if _any(Path.home() / home, extension)]
    data = {**server, "env": {}}
    paths = [_support() / settings / "User" / "settings.json" for settings in with_it or ["Code"]]
    return Editor(
        "vscode",
        "VS Code (extension formulahendry.acp-client)",
        bool(with_it),
        _json("acp.agents", data),
        files=_files(paths, "acp.agents", data),
    )


def _files(paths: Iterable[Path], key: str, server: Mapping[str, Any]) -> tuple[SettingsFile, ...]:
    return tuple(SettingsFile(path, (key, entry.NAME), server) for path in paths)


def _json(key: str, server: Mapping[str, Any]) -> str:
    return json.dumps({key: {entry.NAME: server}}, indent=2, ensure_ascii=False) + "\n"


def _on_path(*names: str) -> bool:
    return any(shutil.which(name) for name in names)


def _any(folder: Path, *patterns: str) -> bool:
    return any(next(folder.glob(pattern), None) for pattern in patterns)


def _programs(folder: Path, *patterns: str) -> tuple[Path, ...]:
    return tuple(file for pattern in patterns for file in folder.glob(pattern))


def _content(file: Path) -> bytes:
    try:
        return regular_file.read(file, LARGEST)
    except OSError:
        return b""


def _config() -> Path:
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")


def _data() -> Path:
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share")


def _support() -> Path:
    return Path.home() / "Library/Application Support" if sys.platform == "darwin" else _config()
