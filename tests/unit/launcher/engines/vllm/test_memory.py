"""What of a configuration decides vLLM's memory plan."""

from __future__ import annotations

from dataclasses import replace

import pytest

from launcher.engines.vllm.takeover.memory import memory_settings, uncounted_option
from launcher.errors import IndivisibleModelError, UnknownShapeError
from launcher.memory.advice import nearest_changes
from launcher.memory.gpu.models import parse_machine
from launcher.memory.lines import Settings
from launcher.memory.plan import MemoryPlan, Verdict
from launcher.memory.shapes.known_shapes import KNOWN_SHAPES
from launcher.preflight.fit import FoundShape, plan_config
from launcher.system.hardware import GIB, Hardware
from tests.unit.launcher.examples import make_config

AIR = "zai-org/GLM-4.5-Air-FP8"
FOUND = FoundShape(AIR, KNOWN_SHAPES[AIR], "here")
ON_CPU = Hardware((), "none", (0, 1), 12 * GIB, total_memory_bytes=24 * GIB)


def settings_of(**fields: object) -> Settings:
    return memory_settings(make_config(engine="vllm", **fields), Settings())


def plan(gpus: str = "2xH100", **fields: object) -> MemoryPlan:
    config = make_config(engine="vllm", device="cuda", tp_size=2, model_path=AIR, **fields)
    machine = replace(ON_CPU, gpus=parse_machine(gpus), gpus_are_here=False)
    return plan_config(config, machine, machine.gpus, found=FOUND)


@pytest.mark.parametrize(
    ("fields", "kv_cache_bytes"),
    [
        ({"device": "cpu"}, GIB),
        ({"device": "cpu", "environment": ("VLLM_CPU_KVCACHE_SPACE=3",)}, 3 * GIB),
        ({"device": "cpu", "extra_args": ("--kv-cache-memory-bytes", "2G")}, 2 * GIB),
        ({"device": "cpu", "extra_args": ("--kv-cache-memory-bytes=2g",)}, 2 * 10**9),
        ({"device": "cpu", "gpu_memory_utilization": 0.3}, None),
        ({"device": "cuda"}, None),
        ({"device": "cuda", "extra_args": ("--kv-cache-memory-bytes", "5G")}, 5 * GIB),
        ({"device": "cuda", "environment": ("VLLM_CPU_KVCACHE_SPACE=3",)}, None),
    ],
)
def test_the_kv_cache_that_is_asked_for(
    fields: dict[str, object], kv_cache_bytes: int | None
) -> None:
    assert settings_of(**fields).kv_cache_bytes == kv_cache_bytes


def test_graphs_steps_and_blocks_are_read_of_vllm_s_own_options() -> None:
    given = ("--enforce-eager", "--max-num-batched-tokens", "4k", "--block-size=32")

    settings = settings_of(device="cuda", extra_args=given)

    assert not settings.graphs
    assert (settings.chunked_prefill_tokens, settings.kv_block_tokens) == (4_000, 32)
    assert settings_of(device="cuda").graphs
    without = ("VLLM_MEMORY_PROFILER_ESTIMATE_CUDAGRAPHS=0",)
    assert not settings_of(device="cuda", environment=without).graphs


@pytest.mark.parametrize(
    ("fields", "written"),
    [
        ({"extra_args": ("--enable-lora",)}, "-- --enable-lora"),
        ({"extra_args": ("--cpu-offload-gb", "4")}, "-- --cpu-offload-gb 4"),
        ({"extra_args": ("--cpu-offload-gb", "0")}, None),
        ({"extra_args": ("--num-gpu-blocks-override=9",)}, "-- --num-gpu-blocks-override 9"),
        ({"quantization": "awq"}, "--quantization awq"),
        ({"quantization": "fp8"}, None),
        ({"dp_size": 2, "ep_size": 2}, "--dp-size 2 --ep-size 2"),
        ({"dp_size": 2}, None),
        ({}, None),
    ],
)
def test_what_no_plan_counts_is_named(fields: dict[str, object], written: str | None) -> None:
    config = make_config(engine="vllm", device="cuda", **fields)

    assert uncounted_option(config, "fp8") == written


def test_what_no_plan_counts_is_not_planned() -> None:
    with pytest.raises(UnknownShapeError, match="--enable-lora"):
        plan(extra_args=("--enable-lora",))


def test_the_engine_decides_how_it_is_planned() -> None:
    planned = plan(gpu_memory_utilization=0.9, context_length=65_536)

    assert planned.fraction_field == "gpu_memory_utilization"
    assert (planned.fraction, planned.own_fraction) == (0.9, 0.92)
    assert planned.verdict is Verdict.FITS


def test_what_would_help_is_said_in_its_own_settings() -> None:
    planned = plan(gpu_memory_utilization=0.75)

    changes = nearest_changes(planned)

    assert planned.verdict is Verdict.DOES_NOT_FIT
    assert any(change.flags.startswith("--gpu-memory-utilization 0.") for change in changes)
    assert any(change.flags.startswith("--context-length") for change in changes)
    assert all("mem-fraction-static" not in change.flags for change in changes)


def test_ranks_that_do_not_divide_are_its_own_refusal() -> None:
    config = make_config(engine="vllm", device="cuda", tp_size=5, model_path=AIR)

    with pytest.raises(IndivisibleModelError, match="^vLLM cannot divide"):
        plan_config(config, ON_CPU, parse_machine("8xH100"), found=FOUND)


def test_a_share_of_the_host_s_memory_is_of_all_of_it() -> None:
    config = make_config(
        engine="vllm", device="cpu", dtype="bfloat16", model_path=AIR, gpu_memory_utilization=0.4
    )

    planned = plan_config(config, ON_CPU, (), found=FOUND)

    assert planned.baseline_bytes == 24 * GIB
    too_much = config.model_copy(update={"gpu_memory_utilization": 0.6})
    assert "hold the rest" in plan_config(too_much, ON_CPU, (), found=FOUND).obstacle
