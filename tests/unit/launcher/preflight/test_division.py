"""Ranks that SGLang would refuse are refused before anything is started."""

from __future__ import annotations

import pytest

from launcher.errors import IndivisibleModelError
from launcher.memory.shapes.config_json import read_shape
from launcher.memory.shapes.ranks import Division
from launcher.preflight.division import check_division, division_of
from launcher.serving import configure
from tests.unit.launcher.memory.test_shape import LLAMA_3_8B, QWEN3_30B

FP8 = {"quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]}}
LLAMA = read_shape(LLAMA_3_8B, name="Llama")
QWEN_FP8 = read_shape(QWEN3_30B | FP8, name="Qwen3")


@pytest.mark.parametrize(
    ("extra_args", "division"),
    [
        ((), Division(4)),
        (("--ep-size", "2"), Division(4, expert_groups=2)),
        (("--ep=4",), Division(4, expert_groups=4)),
        (("--dp-size", "2"), Division(4)),
        (("--dp-size", "2", "--enable-dp-attention"), Division(4, attention_groups=2)),
        (("--attn-dp-size", "2"), Division(4, attention_groups=2)),
        (("--moe-a2a-backend", "deepep"), Division(4, expert_groups=4)),
        (("--moe-a2a-backend", "none"), Division(4)),
        (("--ep-size",), Division(4)),
        (("--log-level", "debug"), Division(4)),
    ],
)
def test_flags_after_the_dashes_divide_too(extra_args: tuple[str, ...], division: Division) -> None:
    fields = {"model_path": "OWNER/NAME", "device": "cuda", "tp_size": 4}

    assert division_of(configure(fields | {"extra_args": extra_args})) == division


def test_fields_divide_as_the_flags_do() -> None:
    fields = {"model_path": "OWNER/NAME", "device": "cuda", "tp_size": 4}

    whole = configure(fields | {"ep_size": 2, "pp_size": 2})
    groups = configure(fields | {"dp_size": 2, "enable_dp_attention": True})

    assert division_of(whole) == Division(4, expert_groups=2)
    assert division_of(groups) == Division(4, attention_groups=2)


def test_the_refusal_names_sglang_s_condition_and_what_would_do() -> None:
    config = configure({"model_path": "OWNER/NAME", "device": "cuda", "tp_size": 3})

    with pytest.raises(IndivisibleModelError, match="32 attention heads") as caught:
        check_division(config, "SGLang", "OWNER/NAME", LLAMA)

    assert caught.value.exit_code == 31
    assert caught.value.action == "Use --tp-size 2."
    assert "assert total_num_heads % attn_tp_size == 0" in caught.value.evidence[0]


def test_whole_experts_are_proposed_beside_fewer_ranks() -> None:
    config = configure({"model_path": "OWNER/NAME", "device": "cuda", "tp_size": 4})

    with pytest.raises(IndivisibleModelError, match="768/4=192, is no multiple of 128") as caught:
        check_division(config, "SGLang", "OWNER/NAME", QWEN_FP8)

    assert caught.value.action == (
        "Give each rank whole experts: `--ep-size 4`; or use --tp-size 2."
    )


def test_a_cpu_pads_what_it_cannot_divide() -> None:
    config = configure({"model_path": "OWNER/NAME", "device": "cpu", "tp_size": 3})

    check_division(config, "SGLang", "OWNER/NAME", LLAMA)
