"""The files that mlx.launch takes are taken, each backend finds what it reads, and what can't work is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from gptoss_acp.engine.api import EngineError
from gptoss_acp.engine.ranks import hostfile

HERE: dict[str, Any] = {"ssh": "127.0.0.1", "ips": ["10.0.0.1"]}
THERE: dict[str, Any] = {"ssh": "studio.local", "ips": ["10.0.0.2", "10.0.1.2"]}


def read(folder: Path, said: Any) -> hostfile.Hosts:
    file = folder / "hosts.json"
    file.write_text(said if isinstance(said, str) else json.dumps(said), "utf-8")
    return hostfile.read(file)


def test_a_list_of_hosts_is_joined_by_a_ring(tmp_path: Path) -> None:
    hosts = read(tmp_path, [HERE, THERE])
    assert [host.is_here for host in hosts.hosts] == [True, False]
    assert hosts.mlx_backend == "ring"
    (one, other) = hosts.environments()
    assert one == other
    (first,), (second, third) = json.loads(one.files["MLX_HOSTFILE"])
    port = int(first.removeprefix("10.0.0.1:"))
    assert (second, third) == (f"10.0.0.2:{port + 1}", f"10.0.1.2:{port + 2}")


def test_two_starts_hardly_ever_meet_on_a_port_unless_it_is_given(tmp_path: Path) -> None:
    drawn = read(tmp_path, [HERE, THERE])
    assert len({str(drawn.environments()) for _ in range(20)}) > 10
    given = read(tmp_path, {"hosts": [HERE, THERE], "port": 5000})
    assert "10.0.0.1:5000" in given.environments()[0].files["MLX_HOSTFILE"]


@pytest.mark.parametrize("backend", ["jaccl", "jaccl-ring"])
def test_jaccl_gets_its_coordinator_devices_and_variables(tmp_path: Path, backend: str) -> None:
    rdma = [[None, "rdma_en2"], ["rdma_en3", None]]
    hosts = [{**host, "rdma": devices} for host, devices in zip((HERE, THERE), rdma, strict=True)]
    read_hosts = read(tmp_path, {"backend": backend, "envs": ["MLX_METAL_FAST_SYNCH=1"], "hosts": hosts, "port": 5000})
    (variables, files), _ = read_hosts.environments()
    assert read_hosts.mlx_backend == "jaccl"
    assert variables.pop("MLX_JACCL_RING", "0") == ("1" if backend == "jaccl-ring" else "0")
    assert variables == {"MLX_METAL_FAST_SYNCH": "1", "MLX_JACCL_COORDINATOR": "10.0.0.1:5000"}
    assert json.loads(files["MLX_IBV_DEVICES"]) == rdma


def test_nccl_gets_its_first_rank_and_each_rank_a_gpu_of_its_host(tmp_path: Path) -> None:
    hosts = read(tmp_path, {"backend": "nccl", "hosts": [HERE, HERE, THERE], "port": 5000})
    environments = [variables for variables, _ in hosts.environments()]
    assert [variables["CUDA_VISIBLE_DEVICES"] for variables in environments] == ["0", "1", "0"]
    assert environments[2] | {"CUDA_VISIBLE_DEVICES": ""} == {
        "NCCL_HOST_IP": "10.0.0.1",
        "NCCL_PORT": "5000",
        "MLX_WORLD_SIZE": "3",
        "CUDA_VISIBLE_DEVICES": "",
    }


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ("[", "can't be read"),
        ([HERE], "names fewer than two machines"),
        ([THERE, HERE], "first host must be this machine.*studio.local"),
        ([HERE, {"ssh": "studio.local"}], "studio.local has no ips"),
        ([HERE, {**THERE, "ssh": "-oProxyCommand=evil"}], "hosts.1.ssh is"),
        ({"hosts": [HERE, THERE], "backend": "mpi"}, "backend is .*mpi"),
        ({"hosts": [HERE, THERE], "backend": "jaccl"}, "rdma of 127.0.0.1 must have 2 devices"),
        ({"hosts": [HERE, THERE], "envs": ["no variable"]}, "envs.0 is"),
        ({"hosts": [HERE, THERE], "port": 80}, "port is 80"),
        ({}, "names fewer than two machines"),
        ({"hosts": 3}, "hosts is 3"),
    ],
)
def test_a_file_that_can_not_work_is_refused_with_what_is_wrong(tmp_path: Path, said: Any, problem: str) -> None:
    with pytest.raises(EngineError, match=f"hosts.json .*{problem}"):
        read(tmp_path, said)


def test_a_pipe_that_nobody_writes_to_is_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "hosts.json"
    os.mkfifo(pipe)
    with pytest.raises(EngineError, match="read: it is no regular file"):
        hostfile.read(pipe)
