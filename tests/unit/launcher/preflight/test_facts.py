"""A preflight finds out each fact once, and none that nobody asked for."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from launcher.engines.sglang import prerequisites
from launcher.errors import EngineMissingError, NoGpuError
from launcher.preflight import facts, prepare
from launcher.preflight.checks import RANKS_SHARED_BYTES, check_gpus, shared_bytes_needed
from launcher.preflight.command import _no_proxy, check_engine
from launcher.preflight.facts import ServingFacts
from launcher.serving import configure, free_port
from launcher.system.hardware import GIB, Gpu, Hardware, probe_hardware

LOOKED_UP = ("chosen_gpus", "find_in_cache", "find_shape_here", "engine_of")


@pytest.fixture
def looked_up(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each fact was looked up; the real functions look."""
    counts: Counter[str] = Counter()

    def count(name: str) -> None:
        real = getattr(facts, name)

        def counted(*arguments: Any) -> Any:
            counts[name] += 1
            return real(*arguments)

        monkeypatch.setattr(facts, name, counted)

    for name in LOOKED_UP:
        count(name)
    return counts


def test_a_launch_looks_each_fact_up_once(looked_up: Counter[str], tmp_path: Path) -> None:
    config = configure({"preset": "nano", "port": free_port()})

    prepare.prepare(config, probe_hardware(), secrets_file=tmp_path / "keys", detached=False)

    assert looked_up == {"chosen_gpus": 1, "find_shape_here": 1, "engine_of": 1}


def test_a_command_needs_neither_shape_nor_plan(looked_up: Counter[str], tmp_path: Path) -> None:
    gpu = Gpu(0, "GPU-0", "NVIDIA H100 80GB HBM3", 80 * GIB, 79 * GIB, (9, 0))
    machine = Hardware((gpu,), "all", (0, 1), 64 * GIB)
    config = configure({"model_path": "OWNER/unknown"}, hardware=machine)

    prepare.plan_command(config, machine, secrets_file=tmp_path / "keys")

    assert looked_up == {"chosen_gpus": 1, "find_in_cache": 1, "engine_of": 1}


def test_what_nobody_asks_for_is_not_looked_up(looked_up: Counter[str]) -> None:
    target = ServingFacts(configure({"preset": "nano"}), probe_hardware())

    assert not target.on_gpu
    assert looked_up == {}
    assert target.plan is not None
    assert target.plan is target.plan
    assert looked_up == {"chosen_gpus": 1, "find_shape_here": 1, "engine_of": 1}


def gpus_of(*ids: int) -> Hardware:
    cards = tuple(
        Gpu(at, f"GPU-{at}", "NVIDIA H100 80GB HBM3", 80 * GIB, 79 * GIB, (9, 0)) for at in ids
    )
    return Hardware(cards, "all", (0, 1), 64 * GIB)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"tp_size": 2}, "Tensor parallel size 2 needs 2 NVIDIA GPUs"),
        ({"dp_size": 2}, "Tensor parallel size 1 x data parallel size 2 needs 2 NVIDIA GPUs"),
        ({"extra_args": ("--base-gpu-id", "3")}, "with --base-gpu-id 3 needs 4 NVIDIA GPUs"),
    ],
)
def test_gpus_are_counted_by_all_sizes(fields: dict[str, Any], problem: str) -> None:
    config = configure({"model_path": "OWNER/NAME", "device": "cuda", **fields})

    with pytest.raises(NoGpuError) as caught:
        check_gpus(ServingFacts(config, gpus_of(0)))
    assert problem in caught.value.problem
    check_gpus(ServingFacts(config, gpus_of(0, 1, 2, 3)))


def test_two_ranks_on_one_gpu_are_refused() -> None:
    steps = {"pp_size": 2, "tp_size": 2, "extra_args": ("--gpu-id-step", "2")}
    config = configure({"model_path": "OWNER/NAME", "device": "cuda", **steps})

    with pytest.raises(NoGpuError, match="two ranks on one GPU"):
        check_gpus(ServingFacts(config, gpus_of(*range(8))))


def test_each_copy_has_shared_memory_of_its_own() -> None:
    def needed(**fields: Any) -> int:
        return shared_bytes_needed(configure({"model_path": "O/N", "device": "cuda", **fields}))

    assert needed(tp_size=2, dp_size=2) == 2 * needed(tp_size=2) == 2 * RANKS_SHARED_BYTES
    assert needed(pp_size=2) == RANKS_SHARED_BYTES
    assert needed(dp_size=2) == 2 * needed()


def test_proxies_of_the_configuration_are_gone_round_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    proxies = {"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "intern"}
    config = configure({"model_path": "OWNER/NAME", "device": "cuda", "environment": proxies})

    command = prepare.plan_command(config, gpus_of(0), secrets_file=tmp_path / "keys")

    assert command.environment["NO_PROXY"] == "intern,127.0.0.1,localhost,::1"


def test_an_option_without_its_package_is_refused_before_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(prerequisites, "_is_installed", lambda name: name != "opentelemetry")
    config = configure({"preset": "nano", "extra_args": ("--enable-trace",)})

    with pytest.raises(EngineMissingError) as caught:
        check_engine(ServingFacts(config, probe_hardware()))

    assert "--enable-trace needs the package opentelemetry" in caught.value.problem
    assert "sglang[tracing]" in caught.value.action


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"NO_PROXY": "a.example"}, None),
        ({"http_proxy": "http://p:1"}, ""),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "a.example"}, "a.example"),
        ({"ALL_PROXY": "socks5://p:1", "no_proxy": "b", "NO_PROXY": "a"}, "b"),
        ({"http_proxy": ""}, None),
    ],
)
def test_proxies_of_the_caller_are_seen(environment: dict[str, str], expected: str | None) -> None:
    assert _no_proxy(environment) == expected
