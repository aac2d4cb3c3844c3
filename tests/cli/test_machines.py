"""Which checkpoint setup recommends on which machine, and for how long a context; the pages' tables say the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from gptoss_acp.cli import setup
from gptoss_acp.engine import memory
from tests.support.places import REPOSITORY

GIB, MIB = 2**30, 2**20
LARGE = "openai/gpt-oss-120b"


@dataclass(frozen=True)
class Machine:
    """`usable` are the bytes that MLX's device_info says a program may use: less on CUDA, see `memory.usable`."""

    name: str
    total: int
    usable: int
    metal: bool = True


def mac(gib: int) -> Machine:
    """A Mac, where programs may wire two thirds of up to 36 GB, then three quarters."""
    return Machine(f"Mac, {gib} GB", gib * GIB, gib * GIB * 2 // 3 if gib < 36 else gib * GIB * 3 // 4)


def cuda(name: str, mib: int) -> Machine:
    return Machine(f"NVIDIA, {name} GB", 64 * GIB, mib * MIB - memory.CUDA_MARGIN, metal=False)


RAISED = Machine("Mac, 16 GB, `iogpu.wired_limit_mb=14000`", 16 * GIB, 14_000 * MIB)
MACS = [mac(16), RAISED, *map(mac, (24, 32, 36, 48, 64, 96, 128))]
GPUS = [cuda("16", 16_376), cuda("24", 24_564), cuda("80", 81_559)]


def use(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(memory, "usable", lambda: machine.usable)
    patch.setattr(memory, "total", lambda: machine.total)
    patch.setattr(memory, "on_metal", lambda: machine.metal)
    patch.setattr(memory, "on_processor", lambda: False)


def recommended(machine: Machine, patch: pytest.MonkeyPatch) -> tuple[str, int]:
    use(machine, patch)
    choice = setup._recommended(setup._choices(None), None)
    return choice.name, choice.context or 0


def of_the_large_one(machine: Machine, patch: pytest.MonkeyPatch) -> int:
    use(machine, patch)
    return next(choice.context or 0 for choice in setup._choices(None) if choice.name == LARGE)


@pytest.mark.parametrize(
    ("machine", "least"),
    [
        (mac(16), 0),
        (RAISED, 16_384),
        (mac(24), 65_536),
        (Machine("24 GB of which 16.0 GB are to be had", 24 * GIB, 16 * 10**9), 65_536),
        (Machine("32 GB of which 21.0 GB are to be had", 32 * GIB, 21 * 10**9), 131_072),
        *((machine, 131_072) for machine in MACS[3:]),
        (cuda("16", 16_376), 65_536),
        (cuda("24", 24_564), 131_072),
        (cuda("80", 81_559), 131_072),
    ],
    ids=lambda value: value.name if isinstance(value, Machine) else None,
)
def test_the_recommended_checkpoint_has_room_for_a_context(
    machine: Machine, least: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, context = recommended(machine, monkeypatch)
    assert context >= least
    assert (context == 0) == (least == 0)


@pytest.mark.parametrize(
    ("machine", "least"),
    [
        (mac(64), 0),
        (Machine("96 GB of which 72.0 GB are to be had", 96 * GIB, 72 * 10**9), 65_536),
        (mac(96), 131_072),
        (mac(128), 131_072),
        (cuda("80", 81_559), 131_072),
    ],
    ids=lambda value: value.name if isinstance(value, Machine) else None,
)
def test_the_larger_model_has_room_for_a_context(machine: Machine, least: int, monkeypatch: pytest.MonkeyPatch) -> None:
    context = of_the_large_one(machine, monkeypatch)
    assert context >= least
    assert (context == 0) == (least == 0)


def row(machine: Machine, patch: pytest.MonkeyPatch) -> list[str]:
    """Return the cells that a page has for a machine."""
    name, context = recommended(machine, patch)
    short = f"`{name.rsplit('/', 1)[1]}`" if context else "none fits"
    large = of_the_large_one(machine, patch)
    return [machine.name, memory.gb(machine.usable), short, tokens(context), tokens(large)]


def tokens(context: int) -> str:
    return f"{context:,} tokens" if context else "does not fit"


def table(rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


HEADINGS = ["machine", "a program may use", "recommended", "its context", "of gpt-oss-120b"]
RULE = ["---"] * len(HEADINGS)


def test_a_page_says_what_is_computed_for_each_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = table([HEADINGS, RULE, *(row(machine, monkeypatch) for machine in (*MACS, *GPUS))])
    page = (REPOSITORY / "docs/models_and_memory.md").read_text("utf-8")
    assert expected in page, f"docs/models_and_memory.md should have\n{expected}"


def test_readme_says_it_shorter(monkeypatch: pytest.MonkeyPatch) -> None:
    machines = [mac(16), RAISED, *map(mac, (24, 32, 64, 96)), *GPUS]
    rows = [HEADINGS, RULE, *(row(machine, monkeypatch) for machine in machines)]
    expected = table([[name, *rest] for name, _, *rest in rows])
    assert expected in (REPOSITORY / "README.md").read_text("utf-8"), f"README should have\n{expected}"
