"""The plan of one rank's memory, held against figures that others published."""

from __future__ import annotations

from dataclasses import replace

import pytest

from launcher.memory.gpu.models import parse_machine
from launcher.memory.lines import Device, Settings, engine_spread, sglang_reserve_bytes
from launcher.memory.plan import (
    MemoryPlan,
    Verdict,
    describe_margin,
    kv_bytes_per_token,
    plan_memory,
)
from launcher.memory.shapes.known_shapes import GLM_4_5_AIR, KNOWN_SHAPES
from launcher.memory.table import feasibility
from launcher.system.hardware import GIB, MIB

AIR = "zai-org/GLM-4.5-Air"
AIR_FP8 = "zai-org/GLM-4.5-Air-FP8"
EAGLE = Settings(tp_size=2, draft_layers=1)


def device(name: str) -> Device:
    (gpu,) = parse_machine(name)
    return Device.of(gpu)


def plan(model: str, gpu: str, settings: Settings = EAGLE) -> MemoryPlan:
    return plan_memory(model, KNOWN_SHAPES[model], device(gpu), settings)


def test_the_lines_add_up_to_the_kv_cache() -> None:
    for settings in (EAGLE, replace(EAGLE, mem_fraction_static=0.7), Settings(tp_size=8)):
        planned = plan(AIR_FP8, "H100-80GB", settings)

        assert sum(line.sign * line.size_bytes for line in planned.lines) == planned.pool_bytes
        assert planned.lines[-1].size_bytes == planned.pool_bytes


def test_air_in_bf16_does_not_fit_on_two_h100() -> None:
    planned = plan(AIR, "H100-80GB")

    assert planned.verdict is Verdict.DOES_NOT_FIT
    assert planned.least_fraction > 1  # no fraction helps


def test_air_in_fp8_fits_on_two_h100_with_less_context_than_it_has() -> None:
    planned = plan(AIR_FP8, "H100-80GB", replace(EAGLE, mem_fraction_static=0.7))

    assert planned.verdict is Verdict.LESS_CONTEXT
    assert planned.bytes_per_token == 96_256  # sglang issue 11208 has 94,208 for the target
    assert 8_192 < planned.kv_cache_tokens_low < planned.context_tokens < 32_768
    assert planned.requests_at_full_context == 0


@pytest.mark.parametrize(
    ("model", "smallest"),
    [
        # zai-org/GLM-4.5, README, "Inference": the machines that it names for SGLang.
        ("zai-org/GLM-4.5", {"16xH100-80GB", "8xH200"}),
        ("zai-org/GLM-4.5-FP8", {"8xH100-80GB", "4xH200"}),
        (AIR, {"4xH100-80GB", "2xH200"}),
        (AIR_FP8, {"2xH100-80GB"}),
    ],
)
def test_the_smallest_machines_are_those_that_the_model_s_makers_name(
    model: str, smallest: set[str]
) -> None:
    cells = {cell.machine: cell.plan.verdict for cell in feasibility((model,))}
    too_small = {"16x": "8x", "8x": "4x", "4x": "2x", "2x": None}

    for machine in smallest:
        count, _, name = machine.partition("x")
        assert cells[machine] is not Verdict.DOES_NOT_FIT
        if half := too_small[f"{count}x"]:
            assert cells[f"{half}{name}"] is Verdict.DOES_NOT_FIT


def test_sglang_s_own_fraction_is_what_it_resolves_to() -> None:
    # sglang 0.5.23 with 81,920 MiB pretended, tensor parallel 2 and EAGLE: 0.834.
    card = Device("cuda", "H100", 81_920 * MIB, 81_920 * MIB, (9, 0))

    assert plan_memory(AIR_FP8, KNOWN_SHAPES[AIR_FP8], card, EAGLE).fraction == 0.834
    assert sglang_reserve_bytes(card, EAGLE) == (512 + 12_288 + 256 + 96 + 464) * MIB


@pytest.mark.parametrize(
    ("draft_gib", "asked_for"),
    # SemiAnalysisAI/InferenceX issue 2128: an H200 with 125.65 GiB of weights, and with the draft's
    # 3.07 more; SGLang's message named the fraction. Baseline: 12.25 / (1 - 0.9113).
    [(0.0, 0.9113), (3.07, 0.9335)],
)
def test_the_least_fraction_is_the_one_that_sglang_asks_for(
    draft_gib: float, asked_for: float
) -> None:
    planned = plan(AIR, "H200", Settings(tp_size=2, mem_fraction_static=0.88))
    available = 12.25 - draft_gib
    baseline = planned.baseline_bytes / GIB

    assert baseline == pytest.approx(138.1, abs=0.1)
    assert 1 - available / baseline == pytest.approx(asked_for, abs=0.001)


def test_the_least_fraction_leaves_nothing_and_a_little_more_leaves_a_little() -> None:
    least = plan(AIR_FP8, "H100-80GB", replace(EAGLE, mem_fraction_static=0.7)).least_fraction

    below = plan(AIR_FP8, "H100-80GB", replace(EAGLE, mem_fraction_static=least - 0.001))
    above = plan(AIR_FP8, "H100-80GB", replace(EAGLE, mem_fraction_static=least + 0.001))

    assert below.kv_cache_tokens == 0
    assert 0 < above.kv_cache_tokens < 2_000


def test_the_baseline_decides_near_the_least_fraction_and_further_off_does_not() -> None:
    least = plan(AIR_FP8, "H100-80GB", replace(EAGLE, mem_fraction_static=0.7)).least_fraction

    def verdict(fraction: float) -> Verdict:
        return plan(AIR_FP8, "H100-80GB", replace(EAGLE, mem_fraction_static=fraction)).verdict

    assert verdict(least - 0.02) is Verdict.DOES_NOT_FIT
    assert verdict(least - 0.001) is Verdict.JUST_FITS
    assert verdict(least + 0.001) is Verdict.JUST_FITS
    assert verdict(least + 0.02) is Verdict.LESS_CONTEXT


def test_what_decides_is_said_with_both_ends() -> None:
    # Of the least and the most that CUDA and NCCL take.
    serves = replace(plan(AIR_FP8, "H100-80GB"), kv_cache_tokens_low=0, kv_cache_tokens_high=9_000)
    serves_all = replace(serves, kv_cache_tokens_low=9_000, kv_cache_tokens_high=131_072)

    assert "serves at all: the KV cache has between 0 and 9,000" in describe_margin(serves)
    assert "serves 131,072 tokens" in describe_margin(serves_all)
    assert {serves.verdict, serves_all.verdict} == {Verdict.JUST_FITS}


def test_the_range_is_the_static_fraction_of_the_baseline_s() -> None:
    planned = plan(AIR_FP8, "H100-80GB", replace(EAGLE, mem_fraction_static=0.7))
    spread = engine_spread(planned.device, Settings(tp_size=2))

    between = planned.kv_cache_tokens_high - planned.kv_cache_tokens_low
    expected = 0.7 * (spread.most_bytes - spread.least_bytes) / planned.bytes_per_token

    assert between == pytest.approx(expected, abs=2)


def test_the_driver_s_reserve_is_counted_once() -> None:
    whole = device("H100-80GB")
    reserve_bytes = 512 * MIB
    # What NVML says is free, and what it reserves.
    here = replace(whole, free_bytes=whole.free_bytes - reserve_bytes, reserved_bytes=reserve_bytes)

    def tokens(card: Device) -> int:
        return plan_memory(AIR_FP8, KNOWN_SHAPES[AIR_FP8], card, EAGLE).kv_cache_tokens

    assert tokens(here) == tokens(whole)
    assert tokens(replace(here, reserved_bytes=0)) < tokens(whole)


def test_tokens_come_in_pages_where_the_backend_has_them() -> None:
    on_b200 = plan(AIR_FP8, "B200", replace(EAGLE, max_total_tokens=1_000))

    assert on_b200.kv_cache_tokens == 960  # 15 pages of 64 tokens
    assert plan(AIR_FP8, "H200", replace(EAGLE, max_total_tokens=1_000)).kv_cache_tokens == 1_000


def test_an_fp8_kv_cache_holds_twice_the_tokens() -> None:
    wide = plan(AIR_FP8, "H100-80GB")
    narrow = plan(AIR_FP8, "H100-80GB", replace(EAGLE, kv_type="fp8_e4m3"))

    assert wide.kv_cache_tokens * 2 <= narrow.kv_cache_tokens <= wide.kv_cache_tokens * 2 + 1


def test_more_ranks_than_kv_heads_hold_one_each() -> None:
    eight = kv_bytes_per_token(GLM_4_5_AIR, Settings(tp_size=8), "bfloat16")
    sixteen = kv_bytes_per_token(GLM_4_5_AIR, Settings(tp_size=16), "bfloat16")

    assert eight == sixteen == 46 * 2 * 128 * 2


def test_max_total_tokens_caps_the_cache_and_requests_follow() -> None:
    planned = plan(AIR_FP8, "H200", replace(EAGLE, max_total_tokens=60))

    assert planned.kv_cache_tokens == 60
    assert planned.max_running_requests == 30
    assert planned.verdict is Verdict.LESS_CONTEXT


def test_a_fraction_above_sglang_s_own_choice_is_tight() -> None:
    assert plan(AIR_FP8, "H100-80GB", replace(EAGLE, mem_fraction_static=0.9)).is_tight
    assert not plan(AIR_FP8, "H100-80GB").is_tight
