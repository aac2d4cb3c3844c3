"""Seatbelt, macOS' sandbox: a view of the machine as a profile for sandbox-exec.

Knows the language of its profiles, in which the last rule that fits decides. Knows nothing about which files deserve
what.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from gptoss_acp.workspace import paths, supervisor
from gptoss_acp.workspace.view import View

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

log = logging.getLogger(__name__)

PROGRAM = "/usr/bin/sandbox-exec"

PROBE = ("/bin/sh", "-c", '(: > "$1"); (: > "$2") 2>/dev/null; exit 0', "sh")
"""Writes one file, if it can, and another; shells of their own, for one that can't redirect ends."""

_PROBE_SECONDS = 10.0
_DEVICES = ("/dev/null", "/dev/zero", "/dev/tty", "/dev/ptmx", "/dev/dtracehelper")
_TERMINALS = '(regex #"^/dev/ttys[0-9]+$")'
_RESOLVER = "/private/var/run/mDNSResponder"


def words(view: View, cwd: Path) -> list[str]:
    """Return the words before those of a command that run it in the resolved folder `cwd` with a view of the machine.

    What it starts can outlive it there if it leaves the process group and loses its parent.
    """
    return [*supervisor.words(str(cwd)), PROGRAM, "-p", profile(view)]


def profile(view: View) -> str:
    """Return the profile that allows a view; all paths in it are resolved ones."""
    return "\n".join(_rules(view)) + "\n"


def _rules(view: View) -> Iterator[str]:
    yield "(version 1)"
    yield "(allow default)"
    yield "(deny file-write*)"
    writable = _below([view.temporary, *view.writable])
    yield _rule("allow file-write*", writable, _exactly(map(Path, _DEVICES)), [_TERMINALS])
    yield _rule("deny file-write*", _below(view.read_only))
    # What is protected shall not be moved away with a folder above it, to be written under another name.
    yield _rule("deny file-write-unlink", _exactly(_above(view)))
    yield _rule("deny file-read* file-write*", _below(view.hidden))
    # Programs that are not ours to confine would do it for the command: by events, as jobs, or by opening a file.
    yield "(deny appleevent-send)"
    yield "(deny job-creation)"
    yield "(deny lsopen)"
    yield "(deny signal)"
    yield "(allow signal (target same-sandbox))"
    if view.network:
        yield "(deny network-outbound (remote unix-socket))"
        yield f"(allow network-outbound (literal {_quoted(_RESOLVER)}))"
    else:
        yield "(deny network*)"


def _rule(beginning: str, *filters: Iterable[str]) -> str:
    lines = [f"\n  {line}" for group in filters for line in group]
    # Without a filter it would be a rule about everything.
    return f"({beginning}{''.join(lines)})" if lines else f"; nothing to {beginning}"


def _below(folders: Iterable[Path]) -> Iterator[str]:
    yield from (f"(subpath {_quoted(str(folder))})" for folder in folders)


def _exactly(files: Iterable[Path]) -> Iterator[str]:
    yield from (f"(literal {_quoted(str(file))})" for file in files)


def _above(view: View) -> list[Path]:
    """Return the folders, in those that may be written, that what is read-only lies in."""
    above = (folder for path in view.read_only for folder in path.parents)
    return sorted({folder for folder in above if paths.is_in(folder, view.writable)})


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


@cache
def works() -> bool:
    """Try it once: it must run a program, and keep it from writing."""
    if sys.platform != "darwin":
        return False
    with tempfile.TemporaryDirectory() as folder:
        outside, inside = Path(folder).resolve() / "outside", Path(folder).resolve() / "inside"
        inside.mkdir()
        command = [*words(View(inside), inside), *PROBE, str(inside / "written"), str(outside)]
        try:
            tried = subprocess.run(command, capture_output=True, timeout=_PROBE_SECONDS, check=False)  # noqa: S603
        except (OSError, subprocess.TimeoutExpired) as error:
            log.warning("sandbox-exec does not work: %s", error)
            return False
        if tried.returncode == 0 and (inside / "written").exists() and not outside.exists():
            return True
        log.warning("sandbox-exec does not work: exit code %s, %s", tried.returncode, tried.stderr[:500])
        return False
