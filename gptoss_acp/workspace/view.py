"""What a sandboxed program sees of the machine and may do to it, however a system brings that about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Limits:
    """What a sandboxed command may do besides reading."""

    writes: bool = True
    network: bool = False


@dataclass(frozen=True, slots=True)
class View:
    """What a sandboxed program sees: everything, to be read, but for what is named here.

    It may write what is `writable` and in `temporary`, but not what is `read_only` in there. What is `hidden` can't be
    read.
    """

    temporary: Path
    writable: Sequence[Path] = ()
    read_only: Sequence[Path] = ()
    hidden: Sequence[Path] = ()
    network: bool = False
