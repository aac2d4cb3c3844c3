"""`gptoss-acp cache`: the contexts that survive a restart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gptoss_acp.engine import snapshot_files

if TYPE_CHECKING:
    import argparse

    from gptoss_acp.settings import Settings


def run(_: Settings, given: argparse.Namespace) -> None:
    kept = snapshot_files.files(snapshot_files.folder())
    size = sum(file.stat().st_size for file in kept)
    print(f"{len(kept)} contexts, {size / 1e9:.2f} GB, in {snapshot_files.folder()}")
    if given.clear:
        for file in kept:
            file.unlink(missing_ok=True)
        print("cleared")
