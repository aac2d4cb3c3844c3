"""bubblewrap (bwrap), Linux' sandbox without privileges: a view of the machine as the words that start a program in it.

Knows bwrap's options. Knows nothing about which files deserve what.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from gptoss_acp.workspace import paths
from gptoss_acp.workspace.view import View

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_PROBE_SECONDS = 10.0
_ALWAYS = (
    *("--new-session", "--die-with-parent", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"),
    *("--cap-drop", "ALL"),
)
_RESOLVER = Path("/etc/resolv.conf")


# The shell checks, in the folder it is in, that this is the one that was asked about.
_CHECKED = """
if [ "$(pwd -P; echo .)" = "$0" ]; then exec "$@"; fi
echo "${0%??} is not where it was when it was asked about" >&2
exit 126
"""


def program(not_in: Sequence[Path]) -> str | None:
    """Return the bwrap that works here, if there is one; one in the folders `not_in` does not count."""
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        found = shutil.which("bwrap", path=folder) if os.path.isabs(folder) else None  # noqa: PTH117
        real = found and Path(os.path.realpath(found))
        if real and not paths.is_in(real, not_in):
            return str(real) if _works(str(real)) else None
    return None


def words(bwrap: str, view: View, cwd: Path) -> list[str]:
    """Return the words before those of a command that run it in the resolved folder `cwd` with a view of the machine.

    Its `/tmp` is the view's temporary folder. What is hidden looks empty.
    """
    mounts = sorted(_mounts(view), key=lambda mount: len(Path(mount[-1]).parts))
    network = () if view.network else ("--unshare-net",)
    placed = (word for mount in mounts for word in mount)
    return [bwrap, *_ALWAYS, *network, *placed, "--chdir", str(cwd), "--", "/bin/sh", "-c", _CHECKED, f"{cwd}\n."]


def _mounts(view: View) -> Iterator[tuple[str, ...]]:
    """Yield each mount's words, its place last. Of two at one place the later one counts, of all the innermost."""
    yield "--ro-bind", "/", "/"
    yield "--dev", "/dev"
    yield "--proc", "/proc"
    for place in dict.fromkeys(["/run", os.environ.get("XDG_RUNTIME_DIR") or "/run"]):
        if os.path.isdir(place):  # noqa: PTH112
            yield "--tmpfs", os.path.realpath(place)
    if view.network and (resolver := Path(os.path.realpath(_RESOLVER))).is_relative_to("/run") and resolver.exists():
        yield "--ro-bind", str(resolver), str(resolver)
    yield "--bind", str(view.temporary), "/tmp"  # noqa: S108 (the sandbox's own)
    for path in view.hidden:
        if path.is_dir():
            yield "--tmpfs", str(path)
        elif path.exists():
            yield "--ro-bind", "/dev/null", str(path)
    yield from (_bound("--bind", path) for path in (view.temporary, *view.writable) if path.exists())
    yield from (_bound("--ro-bind", path) for path in view.read_only if path.exists() and not path.is_symlink())


def _bound(option: str, path: Path) -> tuple[str, str, str]:
    return option, str(path), str(path)


@cache
def _works(bwrap: str) -> bool:
    """Try it once with all that will be asked of it: in containers parts of it are often forbidden."""
    view = View(Path("/var/empty") if Path("/var/empty").is_dir() else Path("/"))
    command = [*words(bwrap, view, Path("/")), "true"]
    try:
        tried = subprocess.run(command, capture_output=True, timeout=_PROBE_SECONDS, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return False
    return tried.returncode == 0
