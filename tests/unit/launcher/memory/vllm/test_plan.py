"""vLLM's plan of one rank's memory, held against the starting document and its own source."""

from __future__ import annotations

from dataclasses import replace

import pytest

from launcher.memory.gpu.models import parse_machine
from launcher.memory.lines import Device, Settings
from launcher.memory.plan import MemoryPlan, Verdict, describe_shortage
from launcher.memory.shapes.known_shapes import KNOWN_SHAPES
from launcher.memory.vllm.plan import plan_memory, reported_tokens
from launcher.system.hardware import GIB

AIR_FP8 = "zai-org/GLM-4.5-Air-FP8"
# 0.9 was the default while no memory was set aside for CUDA graphs.
OF_THEN = Settings(
    tp_size=2, gpu_memory_utilization=0.9, context_length_tokens=65_536, graphs=False
)


def device(name: str) -> Device:
    (gpu,) = parse_machine(name)
    return replace(Device.of(gpu), is_here=False)


def plan(settings: Settings = OF_THEN, gpu: str = "H100-80GB") -> MemoryPlan:
    return plan_memory(AIR_FP8, KNOWN_SHAPES[AIR_FP8], device(gpu), settings)


def test_the_starting_document_s_figures() -> None:
    planned = plan()

    assert planned.weights_bytes / GIB == pytest.approx(50.56, rel=0.003)
    assert planned.pool_bytes / GIB == pytest.approx(19.35, rel=0.02)


def test_the_lines_add_up_to_the_kv_cache() -> None:
    for settings in (OF_THEN, replace(OF_THEN, graphs=True), replace(OF_THEN, draft_layers=1)):
        planned = plan(settings)

        assert sum(line.sign * line.size_bytes for line in planned.lines) == planned.pool_bytes
        assert planned.lines[-1].size_bytes == planned.pool_bytes


def test_the_draft_brings_no_embedding_and_a_layer_of_kv_cache() -> None:
    plain, drafting = plan(), plan(replace(OF_THEN, draft_layers=1))

    assert drafting.bytes_per_token * 46 == plain.bytes_per_token * 47
    assert 1.1 * GIB < drafting.draft_bytes < 1.2 * GIB  # 2.3 GiB in SGLang


def test_a_server_that_cannot_take_its_whole_context_does_not_start() -> None:
    planned = plan(replace(OF_THEN, context_length_tokens=None, gpu_memory_utilization=0.75))

    assert 0 < planned.kv_cache_tokens_high < 131_072
    assert planned.verdict is Verdict.DOES_NOT_FIT
    assert "131,072" in describe_shortage(planned)
    shorter = plan(replace(OF_THEN, context_length_tokens=32_768, gpu_memory_utilization=0.75))
    assert shorter.verdict is Verdict.FITS


def test_memory_that_others_hold_is_no_reason_for_less_but_for_none() -> None:
    card = replace(device("H100-80GB"), is_here=True)
    free = plan_memory(AIR_FP8, KNOWN_SHAPES[AIR_FP8], card, OF_THEN)
    held = replace(card, free_bytes=60 * GIB)

    planned = plan_memory(AIR_FP8, KNOWN_SHAPES[AIR_FP8], held, OF_THEN)

    assert planned.kv_cache_tokens == free.kv_cache_tokens
    assert planned.verdict is Verdict.DOES_NOT_FIT
    assert "60.0 GiB are" in describe_shortage(planned)


def test_a_kv_cache_that_is_asked_for_has_that_size() -> None:
    on_cpu = Device("cpu", "CPU", 24 * GIB, 12 * GIB)
    settings = Settings(weight_type="float32", kv_cache_bytes=GIB, context_length_tokens=8192)
    planned = plan_memory(AIR_FP8, KNOWN_SHAPES[AIR_FP8], on_cpu, settings)
    too_much = replace(settings, kv_cache_bytes=13 * GIB)

    assert planned.pool_bytes == GIB
    assert planned.kv_cache_tokens == GIB // (planned.bytes_per_token * 128) * 128
    assert planned.kv_cache_tokens_low == planned.kv_cache_tokens_high
    refused = plan_memory(AIR_FP8, KNOWN_SHAPES[AIR_FP8], on_cpu, too_much)
    assert refused.verdict is Verdict.DOES_NOT_FIT


def test_tokens_are_counted_in_requests_of_the_whole_context() -> None:
    # 10 blocks of 16; a request of 40 tokens takes 3 of them.
    assert reported_tokens(10 * 16, 1, 40, 16) == int(10 / 3 * 40)
    assert reported_tokens(10 * 16, 1, 48, 16) == 160
    assert reported_tokens(-5, 1, 48, 16) == 0


@pytest.mark.parametrize(("gpu", "requests"), [("H100-80GB", 1024), ("A100-80GB", 256)])
def test_large_cards_get_large_steps_but_for_the_a100(gpu: str, requests: int) -> None:
    assert plan(gpu=gpu).max_running_requests == requests
