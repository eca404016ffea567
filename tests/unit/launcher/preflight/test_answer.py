"""A plan's reasons, on machines with GPUs that are here."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from launcher.config.sources import ResolvedConfig, resolve
from launcher.config.untaken import UntakenPreset
from launcher.preflight.answer import PlanAnswer, SpeedQuestion, answer_plan, describe_source
from launcher.preflight.fit import find_shape
from launcher.system.hardware import GIB, Gpu, Hardware

REPOSITORY = "zai-org/GLM-4.5-Air-FP8"
GPU = Gpu(
    index=0,
    uuid="GPU-0",
    name="NVIDIA H100 80GB HBM3",
    total_bytes=80 * GIB,
    free_bytes=79 * GIB,
    compute_capability=(9, 0),
    bandwidth_bytes_per_s=3_350 * 10**9,
)
MACHINE = Hardware((GPU, replace(GPU, index=1, uuid="GPU-1")), "all", (0,), 64 * GIB)


def resolved(preset: str, **flags: Any) -> ResolvedConfig:
    return resolve(preset=preset, flags=flags, probe=lambda: MACHINE)


def answer(config: ResolvedConfig, hardware: Hardware = MACHINE, **asked: Any) -> PlanAnswer:
    return answer_plan(config, hardware, find_shape(REPOSITORY), **asked)


def with_bandwidth(bandwidth_bytes_per_s: int | None) -> Hardware:
    other = replace(MACHINE.gpus[1], bandwidth_bytes_per_s=bandwidth_bytes_per_s)
    return replace(MACHINE, gpus=(GPU, other))


def test_beside_a_given_fraction_stands_the_plan_with_sglang_s_own() -> None:
    given = answer(resolved("glm-4.5-air-fp8"))
    own = answer(resolved("glm-4.5-air-fp8", mem_fraction_static=None))

    assert given.own is not None
    assert (given.plan.fraction, given.own.fraction) == (0.7, own.plan.fraction)
    assert given.own.kv_cache_tokens == own.plan.kv_cache_tokens > given.plan.kv_cache_tokens
    assert own.own is None


def test_a_preset_that_was_not_taken_is_planned_where_it_can_be() -> None:
    custom = resolved("custom", model_path=REPOSITORY, tp_size=2)
    preset = resolved("glm-4.5-air-fp8")
    untaken = UntakenPreset("glm-4.5-air-fp8", preset.config, custom.config)
    one_gpu = replace(MACHINE, gpus=(GPU,))
    small = resolved("custom", model_path=REPOSITORY)

    planned = answer(custom, untaken=untaken).untaken_plan
    not_here = answer(small, one_gpu, untaken=untaken)

    assert planned == answer(preset).plan
    assert not_here.untaken_plan is None  # two GPUs are needed for it


def test_the_slowest_rank_bounds_the_speed() -> None:
    question = SpeedQuestion((1,))
    fast, slow = (
        answer(resolved("glm-4.5-air-fp8"), with_bandwidth(bandwidth), speed=question).speed
        for bandwidth in (3_350 * 10**9, 2_000 * 10**9)
    )

    assert fast is not None
    assert slow is not None
    ratio = fast.bounds[0].tokens_per_s / slow.bounds[0].tokens_per_s
    assert ratio == pytest.approx(3_350 / 2_000)


def test_a_gpu_whose_bandwidth_is_not_known_has_no_bound() -> None:
    speed = answer(resolved("glm-4.5-air-fp8"), with_bandwidth(None), speed=SpeedQuestion()).speed

    assert speed is not None
    assert speed.bounds == ()
    assert speed.missing == "the memory bandwidth of NVIDIA H100 80GB HBM3 is not known"


def test_a_context_that_is_not_asked_for_is_one_that_has_room() -> None:
    short = resolved("glm-4.5-air-fp8", context_length=1024)

    speed = answer(short, speed=SpeedQuestion((1, 2))).speed

    assert speed is not None
    assert [(bound.context_tokens, bound.obstacle) for bound in speed.bounds] == [(1024, "")] * 2


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("flag", "--mem-fraction-static"),
        ("environment", "SPECSERVE_MEM_FRACTION_STATIC"),
        ("file a.yaml", "file a.yaml"),
        ("preset nano", "preset nano"),
    ],
)
def test_a_source_is_said_as_one_would_write_it(source: str, words: str) -> None:
    assert describe_source("mem_fraction_static", source) == words
