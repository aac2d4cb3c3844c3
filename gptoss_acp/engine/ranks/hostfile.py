"""The file that names the machines of a model, as `mlx.launch` and `mlx.distributed_config` write it.

Either a JSON list of hosts, or an object with them as `hosts`, and with `backend` and `envs`. Each host has `ssh`, the
name that ssh knows it by, `ips`, and for jaccl `rdma`, its device towards each of the others. Ours are `python` of a
host, the interpreter that has gptoss-acp there, and `port` of the object, the first that the ranks listen on. The first
host is this machine. Knows what each of MLX's backends reads (mlx/_distributed_utils/launch.py). Knows nothing about
processes.
"""

from __future__ import annotations

import ipaddress
import json
import random
import socket
import sys
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from gptoss_acp import regular_file
from gptoss_acp.engine.api import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Backend = Literal["", "ring", "jaccl", "jaccl-ring", "nccl"]

PORTS = range(20_000, 32_000)
"""Where a first port is drawn from: below those that systems give out by themselves."""

LONGEST_FILE = 2**20
"""Bytes."""

LONGEST_VALUE = 60
"""Characters of what a file says, in a message."""


class Host(BaseModel):
    """One rank's machine."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    # A name that begins with a dash would be an option of ssh.
    ssh: Annotated[str, Field(pattern=r"^[^-\s]\S*$")]
    ips: tuple[str, ...] = ()
    rdma: tuple[str | list[str] | None, ...] = ()
    python: str = sys.executable

    @property
    def is_here(self) -> bool:
        """Whether its ranks are started without ssh."""
        if self.ssh in {"localhost", socket.gethostname()}:
            return True
        try:
            return ipaddress.ip_address(self.ssh).is_loopback
        except ValueError:
            return False


class RankEnvironment(NamedTuple):
    """What MLX reads to find a rank's peers: variables, and files that variables name."""

    variables: dict[str, str]
    files: dict[str, str]


class Hosts(BaseModel):
    """The machines of a model, rank by rank, and how they are joined; without a `backend` by the ring."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    hosts: Annotated[tuple[Host, ...], Field(min_length=2)]
    backend: Backend = ""
    envs: tuple[Annotated[str, Field(pattern=r"^[A-Za-z_]\w*=")], ...] = ()
    port: Annotated[int, Field(ge=1024, le=65_000)] | None = None

    @property
    def mlx_backend(self) -> str:
        """What MLX calls the backend."""
        return (self.backend or "ring").removesuffix("-ring")

    def environments(self) -> list[RankEnvironment]:
        """Return what each rank finds the others by, this time."""
        port = self.port or random.choice(PORTS)  # noqa: S311 (nobody must not guess it)
        ours = dict(variable.split("=", 1) for variable in self.envs)
        match self.backend:
            case "nccl":
                return list(self._nccl(ours, port))
            case "jaccl" | "jaccl-ring":
                ours["MLX_JACCL_COORDINATOR"] = f"{self.hosts[0].ips[0]}:{port}"
                if self.backend == "jaccl-ring":
                    ours["MLX_JACCL_RING"] = "1"
                devices = json.dumps([host.rdma for host in self.hosts])
                return [RankEnvironment(ours, {"MLX_IBV_DEVICES": devices})] * len(self.hosts)
            case _:
                listening = json.dumps(list(self._addresses(port)))
                return [RankEnvironment(ours, {"MLX_HOSTFILE": listening})] * len(self.hosts)

    def _addresses(self, port: int) -> Iterator[list[str]]:
        for host in self.hosts:
            yield [f"{ip}:{port + number}" for number, ip in enumerate(host.ips)]
            port += len(host.ips)

    def _nccl(self, ours: dict[str, str], port: int) -> Iterator[RankEnvironment]:
        first = self.hosts[0].ips[0]
        ours |= {"NCCL_HOST_IP": first, "NCCL_PORT": str(port), "MLX_WORLD_SIZE": str(len(self.hosts))}
        ranks: Counter[str] = Counter()
        for host in self.hosts:
            yield RankEnvironment({**ours, "CUDA_VISIBLE_DEVICES": str(ranks[host.ssh])}, {})
            ranks[host.ssh] += 1

    @model_validator(mode="after")
    def _has_what_its_backend_needs(self) -> Self:
        if problem := next(self._missing(), None):
            raise ValueError(problem)
        return self

    def _missing(self) -> Iterator[str]:
        if not self.hosts[0].is_here:
            yield f"the first host must be this machine, with ssh localhost or 127.0.0.1, and is {self.hosts[0].ssh}"
        without = [host.ssh for host in (self.hosts if self.mlx_backend == "ring" else self.hosts[:1]) if not host.ips]
        if without:
            yield f"the host {without[0]} has no ips"
        if self.mlx_backend != "jaccl":
            return
        count = len(self.hosts)
        for rank, host in enumerate(self.hosts):
            if len(host.rdma) != count or host.rdma[rank] is not None:
                yield f"rdma of {host.ssh} must have {count} devices, null for itself"
                return
            neighbours = {(rank - 1) % count, (rank + 1) % count} if self.backend == "jaccl-ring" else range(count)
            if any(other != rank and host.rdma[other] is None for other in neighbours):
                yield f"rdma of {host.ssh} lacks a device"


def read(file: Path) -> Hosts:
    """Return the machines that a file names.

    Raises:
        EngineError: it can't be read, or used; the message says what is wrong.
    """
    try:
        said: Any = json.loads(regular_file.read(file.expanduser(), LONGEST_FILE))
        return Hosts.model_validate({"hosts": said} if isinstance(said, list) else said)
    except ValidationError as error:
        problems = "; ".join(_problem(detail) for detail in error.errors(include_url=False)[:3])
        raise EngineError(f"The hostfile {file} can't be used: {problems}.") from None
    except (OSError, ValueError, RecursionError, RuntimeError) as error:
        raise EngineError(f"The hostfile {file} can't be read: {getattr(error, 'strerror', None) or error}") from error


def count(file: Path | None) -> int:
    """Return how many ranks a file names, without one the one that there is.

    Raises:
        EngineError: it can't be read, or used.
    """
    return len(read(file).hosts) if file else 1


def _problem(detail: Any) -> str:
    if detail["type"] == "value_error":
        return str(detail["ctx"]["error"])
    if detail["loc"] == ("hosts",) and detail["type"] in {"missing", "too_short"}:
        return "it names fewer than two machines in its list of hosts"
    name = ".".join(map(str, detail["loc"])) or "it"
    return f"{name} is {json.dumps(detail['input'], default=str)[:LONGEST_VALUE]} ({detail['msg'].lower()})"
