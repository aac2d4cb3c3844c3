"""The page of settings, as settings.py has them: docs/settings.md.

Knows how a setting is described. Knows nothing about how a page is built.
"""

from __future__ import annotations

import math
from dataclasses import Field, fields
from typing import Any

from gptoss_acp.settings import Settings

from .places import DOCS

PAGE = DOCS / "settings.md"

_HEAD = """\
# Settings

<!-- Written by scripts/docs from gptoss_acp/settings.py. -->

Every setting is a flag, an environment variable `GPTOSS_ACP_…` of the same name in capitals, and a line of
`config.toml` in the user's configuration folder; the first of these that says something holds. `--idle-minutes 10`,
`GPTOSS_ACP_IDLE_MINUTES=10` and

```toml
idle-minutes = 10
```

mean the same. Flags may stand before a command or behind it.

```sh
gptoss-acp config                           # each value, and where it comes from
gptoss-acp config set idle-minutes 10       # change the file; comments in it are kept
gptoss-acp config unset idle-minutes
gptoss-acp config path                      # print where the file is
```

[`gptoss-acp setup`](first_start.md) writes its choice there. A name that is no setting is told, with the nearest one.

| flag | values | default | what |
| --- | --- | --- | --- |
"""

_TAIL = """
More about some of them: [`--model`](models_and_memory.md#which-checkpoints-work), [`--hosts`](several_machines.md),
[`--mode` and `--sandbox`](modes_and_sandbox.md), [those of memory](models_and_memory.md#what-bounds-the-memory).

The log is `gptoss-acp.log` in the user's state folder (`~/.local/state/gptoss-acp` on Linux,
`~/Library/Application Support/gptoss-acp` on macOS). The unpacked vocabulary is in the cache folder. stderr stays
silent without `--log-level`.
"""

_KINDS = {"str": "text", "int": "whole number", "float": "number", "Path": "path"}


def text() -> str:
    """Return the page."""
    shown = (setting for setting in fields(Settings) if not setting.metadata["hidden"])
    return _HEAD + "".join(map(_row, shown)) + _TAIL


def write() -> None:
    """Write the page, where it is another one now."""
    if not PAGE.exists() or PAGE.read_text("utf-8") != text():
        PAGE.write_text(text(), "utf-8")


def _row(setting: Field[Any]) -> str:
    flag = f"`--{setting.name.replace('_', '-')}`"
    what, _, default = setting.metadata["help"].partition("; default: ")
    cells = (flag, _values(setting), _default(setting, default), what)
    return f"| {' | '.join(cells)} |\n"


def _values(setting: Field[Any]) -> str:
    if choices := setting.metadata["choices"]:
        return ", ".join(f"`{choice}`" for choice in choices)
    kind = _KINDS[setting.metadata["kind"].__name__]
    low, high = setting.metadata["between"]
    if math.isinf(low):
        return kind
    return f"{kind}, {low:,g} or more" if high >= 2**53 else f"{kind}, {low:,g} to {high:,g}"


def _default(setting: Field[Any], described: str) -> str:
    if described:
        return described
    if setting.default is None or setting.default == "":
        return "none"
    value = setting.default
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"
