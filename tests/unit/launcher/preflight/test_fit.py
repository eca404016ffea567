"""A model's config.json, whatever bytes are in it, and what cannot be planned from it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from launcher.errors import (
    ConfigError,
    LauncherError,
    ModelNotFoundError,
    NoGpuError,
    UnknownShapeError,
)
from launcher.memory.plan import MemoryPlan, Verdict
from launcher.memory.shapes.known_shapes import KNOWN_SHAPES
from launcher.preflight.facts import ServingFacts
from launcher.preflight.fit import FoundShape, find_shape, plan_config
from launcher.system.hardware import GIB, Gpu, Hardware
from tests.unit.launcher.examples import make_config


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", ModelNotFoundError),
        (b"\xff\xfe{", ModelNotFoundError),
        (b"[" * 100_000, ModelNotFoundError),
        (b'{"architectures": NaN}', UnknownShapeError),
        (b'["a list"]', UnknownShapeError),
        (b"null", UnknownShapeError),
        (b'{"architectures": ["LlamaForCausalLM"], "hidden_size": 1e999}', UnknownShapeError),
    ],
)
def test_a_file_that_is_no_model_s_is_refused(
    tmp_path: Path, content: bytes, error: type[LauncherError]
) -> None:
    (tmp_path / "config.json").write_bytes(content)

    with pytest.raises(error) as caught:
        find_shape(str(tmp_path))

    assert caught.value.action


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
def test_any_bytes_end_in_an_error_of_the_project(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "config.json").write_bytes(content)

    with pytest.raises(LauncherError):
        find_shape(str(tmp_path))


AIR = KNOWN_SHAPES["zai-org/GLM-4.5-Air"]
H100 = Gpu(0, "GPU-0", "NVIDIA H100 80GB HBM3", 80 * GIB, 79 * GIB, (9, 0))
MACHINE = Hardware((H100,), "all", (0, 1), 64 * GIB)


def plan_of(*arguments: str) -> MemoryPlan:
    config = make_config(mem_fraction_static=0.7, extra_args=arguments)
    found = FoundShape("zai-org/GLM-4.5-Air", AIR, "a test")
    return plan_config(config, MACHINE, (H100,), found=found)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--quantization", "fp8"),
        ("--quantization=fp8",),
        ("--cpu-offload-gb", "40"),
        ("--pp-size", "2"),
        ("--page-size", "64", "--enable-lora"),
    ],
)
def test_what_changes_the_weights_behind_the_dashes_is_not_planned(
    arguments: tuple[str, ...],
) -> None:
    # Without it the model does not fit, and `up` would refuse what might serve.
    assert plan_of().verdict is Verdict.DOES_NOT_FIT

    with pytest.raises(UnknownShapeError) as caught:
        plan_of(*arguments)

    assert arguments[0].partition("=")[0] in caught.value.problem or "--enable-lora" in arguments


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"pp_size": 2}, "--pp-size 2"),
        ({"tp_size": 2, "dp_size": 2, "enable_dp_attention": True}, "data parallel attention"),
        ({"tp_size": 2, "extra_args": ("--attn-dp-size", "2")}, "data parallel attention"),
        ({"quantization": "awq"}, "`--quantization awq`"),
        ({"kv_cache_dtype": "nvfp4"}, "nvfp4 KV cache"),
        ({"kv_cache_dtype": "fp4_mx_block16"}, "fp4_mx_block16 KV cache"),
    ],
)
def test_what_the_formulas_do_not_know_is_said_and_not_planned(
    fields: dict[str, Any], why: str
) -> None:
    with pytest.raises(UnknownShapeError, match="cannot be planned") as caught:
        plan_with(**fields)

    assert why in caught.value.problem


def plan_with(count: int = 8, **fields: Any) -> MemoryPlan:
    config = make_config(**{"mem_fraction_static": 0.7, **fields})
    cards = tuple(replace(H100, index=index) for index in range(count))
    machine = replace(MACHINE, gpus=cards)
    return plan_config(config, machine, cards, found=FoundShape("Air", AIR, "a test"))


def test_each_copy_has_the_whole_model_on_gpus_of_its_own() -> None:
    one, two = plan_with(4, tp_size=4), plan_with(8, tp_size=4, dp_size=2)

    assert two.settings.replicas == 2
    assert (two.weights_bytes, two.kv_cache_tokens) == (one.weights_bytes, one.kv_cache_tokens)
    with pytest.raises(NoGpuError, match=r"Tensor parallel size 4 x data parallel size 2 needs 8"):
        plan_with(4, tp_size=4, dp_size=2)


def test_the_fullest_gpu_that_a_rank_is_on_decides() -> None:
    cards = (H100, replace(H100, index=1, free_bytes=10 * GIB), replace(H100, index=2))
    found = FoundShape("Air", AIR, "a test")
    config = make_config(tp_size=2, extra_args=("--gpu-id-step", "2"))

    plan = plan_config(config, replace(MACHINE, gpus=cards), cards, found=found)

    assert plan.device.free_bytes == H100.free_bytes


def test_whole_experts_for_each_group_change_no_rank_s_share() -> None:
    assert plan_with(tp_size=8, ep_size=4).weights_bytes == plan_with(tp_size=8).weights_bytes


def test_a_cpu_is_not_planned_with_stages_or_copies() -> None:
    config = make_config(device="cpu", dp_size=2)

    with pytest.raises(ConfigError, match="tensor parallel ranks only"):
        plan_config(config, MACHINE, (), found=FoundShape("Air", AIR, "a test"))


@pytest.mark.parametrize(
    ("kv_cache_dtype", "share"),
    [("bf16", 1), ("bfloat16", 1), ("auto", 1), ("fp8_e4m3", 1 / 2), ("mxfp8", 33 / 64)],
)
def test_the_kv_cache_is_counted_by_its_type(kv_cache_dtype: str, share: float) -> None:
    plain = plan_with(tp_size=8).bytes_per_token

    assert plan_with(tp_size=8, kv_cache_dtype=kv_cache_dtype).bytes_per_token == plain * share


def test_larger_chunks_of_prompts_leave_less_for_the_cache() -> None:
    def fraction(chunk: int | None) -> float:
        return plan_with(tp_size=8, mem_fraction_static=None, chunked_prefill_size=chunk).fraction

    assert fraction(8192) == fraction(None)
    assert fraction(16384) < fraction(8192)
    # As much as 16384 tokens, but no graphs.
    assert fraction(16384) < fraction(-1) < fraction(8192)


@pytest.mark.parametrize(
    "arguments", [("--page-size", "64"), ("--pp-size", "1"), ("--cpu-offload-gb=0",)]
)
def test_other_arguments_leave_the_plan_as_it_is(arguments: tuple[str, ...]) -> None:
    assert plan_of(*arguments) == plan_of()


def test_up_goes_on_without_a_plan() -> None:
    config = make_config(
        model_path="zai-org/GLM-4.5-Air", extra_args=("--quantization", "fp8"), device="cuda"
    )

    assert ServingFacts(config, MACHINE).plan is None
