"""Whether the machines of `--hosts` can compute the chosen model together. Loads nothing."""

from __future__ import annotations

import queue
from typing import TYPE_CHECKING, Any

from gptoss_acp.cli.checks.finding import Finding, readable, whole
from gptoss_acp.engine.api import EngineError, EngineOptions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gptoss_acp.engine.ranks.examine import Examined
    from gptoss_acp.engine.ranks.hostfile import Host, Hosts
    from gptoss_acp.settings import Settings

LINK_SECONDS = 60.0


def hosts(chosen: Settings) -> Iterator[Finding]:
    """Say of each machine whether it is reached and has what this one has, and how fast they reach each other."""
    if chosen.hosts is None:
        return
    from gptoss_acp.engine.ranks import examine, hostfile  # noqa: PLC0415 (hardly ever needed)

    try:
        named = hostfile.read(chosen.hosts)
    except EngineError as error:
        yield Finding("hosts", "fix", str(error), f"Write it as {whole('mlx.distributed_config')} does.")
        return
    ours = examine.here(chosen.model)
    findings = [_of(host, ours, examine.on(host, chosen.model)) for host in named.hosts[1:]]
    yield from findings
    if all(finding.state == "ok" for finding in findings):
        yield _link(named)


def _of(host: Host, ours: Examined, theirs: Examined) -> Finding:
    name = whole(host.ssh)
    if not theirs.versions:
        return Finding("host", "fix", f"{name}: {theirs.problem}", f"Try {whole(f'ssh {host.ssh} {host.python} -V')}.")
    if theirs.versions != ours.versions:
        return Finding("host", "fix", f"{name} has {theirs.versions}", f"Install there what is here: {ours.versions}.")
    if theirs.problem:
        return Finding("host", "fix", f"{name}: {theirs.problem}", "Put the same model there, under the same name.")
    if theirs.weights != ours.weights:
        return Finding("host", "fix", f"{name} has other weights", "Put the same model there, under the same name.")
    return Finding("host", "ok", f"{name}: reached, with the same programs and weights")


def _link(named: Hosts) -> Finding:
    from gptoss_acp.engine.ranks.processes import RankProcesses  # noqa: PLC0415 (as above)
    from gptoss_acp.engine.ranks.reports import Link  # noqa: PLC0415 (as above)

    told: queue.SimpleQueue[Any] = queue.SimpleQueue()
    how = f"{len(named.hosts)} ranks, joined by {named.backend or 'ring'}"
    try:
        processes = RankProcesses(named, EngineOptions(stop_tokens=()), None, told.put, told.put, measures=True)
        while not isinstance(said := told.get(timeout=LINK_SECONDS), Link | str):
            pass
        processes.close()
    except EngineError as error:
        said = str(error)
    except queue.Empty:
        processes.give_up("the link was not measured in time")
        said = f"the ranks have not found each other within {LINK_SECONDS:.0f} s"
    if isinstance(said, str):
        return Finding("link", "fix", f"{how}: {said}", "Look whether their ips reach each other, and at firewalls.")
    found = f"{how}: {said.seconds * 1e6:.0f} µs to sum one token, {readable(said.bytes_per_second)}/s"
    return Finding("link", "ok", found)
