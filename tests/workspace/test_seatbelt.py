"""macOS' sandbox: the profile says what the view is; on a Mac it also holds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gptoss_acp.workspace import seatbelt
from gptoss_acp.workspace.sandbox import Sandbox
from gptoss_acp.workspace.view import View
from tests.support.desk import Desk

GOLDEN = Path(__file__).parent / "seatbelt.sb"

VIEW = View(
    temporary=Path("/private/var/folders/x/gptoss-acp-1"),
    writable=[
        Path("/Users/me/project"),
        Path('/Users/me/a "quoted" \\ name'),
        Path("/Users/me/main/.git/worktrees/project"),
    ],
    read_only=[Path("/Users/me/project/.vscode"), Path("/Users/me/project/sub/.git/hooks")],
    hidden=[Path("/Users/me/.ssh")],
)


def test_the_profile_is_the_one_that_was_read_by_people() -> None:
    assert seatbelt.profile(VIEW) == GOLDEN.read_text("utf-8")


def test_with_the_network_only_sockets_of_programs_are_out_of_reach() -> None:
    offline = seatbelt.profile(VIEW).splitlines()
    online = seatbelt.profile(
        View(VIEW.temporary, VIEW.writable, VIEW.read_only, VIEW.hidden, network=True)
    ).splitlines()
    assert [line for line in offline if line not in online] == ["(deny network*)"]
    assert [line for line in online if line not in offline] == [
        "(deny network-outbound (remote unix-socket))",
        '(allow network-outbound (literal "/private/var/run/mDNSResponder"))',
    ]


def test_no_rule_without_a_filter_becomes_one_about_everything() -> None:
    profile = seatbelt.profile(View(Path("/t")))
    assert "(deny file-read* file-write*)" not in profile
    assert "(deny file-write-unlink)" not in profile
    assert profile.count("(deny file-write*)") == 1


def test_the_probe_goes_on_where_it_can_not_write(tmp_path: Path) -> None:
    probed = subprocess.run(
        [*seatbelt.PROBE, tmp_path / "inside", tmp_path / "gone/outside"], check=True, capture_output=True
    )
    assert probed.stderr == b""
    assert (tmp_path / "inside").exists()


@pytest.mark.skipif(sys.platform != "darwin", reason="only a Mac has Seatbelt")
async def test_on_a_mac_it_holds(tmp_path: Path) -> None:
    (tmp_path / "project/.vscode").mkdir(parents=True)
    desk = Desk(tmp_path / "project", "auto-edit")
    desk.workspace.sandbox = Sandbox("require", desk.workspace.roots.folders)
    assert "Exit code: 0" in await desk.call("shell", command=["sh", "-c", "echo x > a; echo y > $TMPDIR/b; cat a"])
    for attempt in (
        "echo x > ../out",
        "echo x > .vscode/settings.json",
        "mv .vscode away",
        "curl -s http://127.0.0.1:9",
    ):
        assert "Exit code: 0" not in await desk.call("shell", command=["sh", "-c", attempt])
    assert not (tmp_path / "out").exists()
    await desk.workspace.close()
