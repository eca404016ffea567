"""The bound of decoding's speed, held against sums by hand and against figures others published."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import pytest

from launcher.errors import UnknownShapeError
from launcher.memory.gpu.models import parse_machine
from launcher.memory.lines import Device, Settings
from launcher.memory.plan import MemoryPlan, plan_memory
from launcher.memory.shape import ModelShape
from launcher.memory.shapes.config_json import read_shape
from launcher.memory.shapes.known_shapes import GLM_4_5_AIR, KNOWN_SHAPES
from launcher.memory.speed import (
    DENSE_SHARES,
    EXPERT_SHARES,
    decode_bound,
    experts_read,
    weights_read_bytes,
)

LLAMA_3_1_8B = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "intermediate_size": 14336,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
    "torch_dtype": "bfloat16",
}
LLAMA_2_7B = LLAMA_3_1_8B | {
    "num_key_value_heads": 32,
    "intermediate_size": 11008,
    "vocab_size": 32000,
    "max_position_embeddings": 4096,
    "torch_dtype": "float16",
}
LLAMA_3_1_70B = LLAMA_3_1_8B | {
    "hidden_size": 8192,
    "num_hidden_layers": 80,
    "num_attention_heads": 64,
    "intermediate_size": 28672,
}
QWEN3_30B_A3B = {
    "architectures": ["Qwen3MoeForCausalLM"],
    "hidden_size": 2048,
    "num_hidden_layers": 48,
    "num_attention_heads": 32,
    "num_key_value_heads": 4,
    "head_dim": 128,
    "intermediate_size": 6144,
    "moe_intermediate_size": 768,
    "num_experts": 128,
    "num_experts_per_tok": 8,
    "vocab_size": 151936,
    "max_position_embeddings": 40960,
    "torch_dtype": "bfloat16",
}
QWEN3_235B_A22B = QWEN3_30B_A3B | {
    "hidden_size": 4096,
    "num_hidden_layers": 94,
    "num_attention_heads": 64,
    "intermediate_size": 12288,
    "moe_intermediate_size": 1536,
}
H100_BYTES_PER_S = 3_350 * 10**9


def shape_of(config: dict[str, Any]) -> ModelShape:
    return read_shape(config, name="example")


def plan(shape: ModelShape, gpu: str = "H100-80GB", **settings: Any) -> MemoryPlan:
    (card,) = parse_machine(gpu)
    device = Device("cuda", card.name, card.total_bytes, card.free_bytes, card.compute_capability)
    return plan_memory("example", shape, device, Settings(**settings))


def test_a_dense_model_s_step_reads_all_but_the_embedding_and_the_kv_cache() -> None:
    bound = decode_bound(
        plan(shape_of(LLAMA_3_1_8B)), H100_BYTES_PER_S, requests=1, context_tokens=1000
    )

    attention = 2 * 4096 * 4096 + 2 * 4096 * 1024
    layer = attention + 3 * 4096 * 14336 + 2 * 4096
    assert bound.weights_bytes == 2 * (32 * layer + 4096 + 128256 * 4096) == 15_009_849_344
    assert bound.kv_bytes == 1000 * 8 * 2 * 128 * 32 * 2
    assert bound.step_seconds == pytest.approx(0.00451968, rel=1e-5)
    assert bound.tokens_per_s == pytest.approx(221.25, rel=1e-4)
    assert (bound.experts, bound.obstacle) == (0.0, "")


def test_a_batch_reads_the_weights_once_and_each_request_s_kv_cache() -> None:
    one, eight = (
        decode_bound(
            plan(shape_of(LLAMA_3_1_8B)), H100_BYTES_PER_S, requests=count, context_tokens=4096
        )
        for count in (1, 8)
    )

    assert eight.weights_bytes == one.weights_bytes
    assert eight.kv_bytes == 8 * one.kv_bytes
    assert one.tokens_per_s < eight.tokens_per_s < 8 * one.tokens_per_s


def test_a_tied_head_is_read_as_one_that_is_not() -> None:
    apart = shape_of(LLAMA_3_1_8B)
    tied = replace(apart, tied_embeddings=True)

    assert weights_read_bytes(tied, Settings(), 1, name="") == weights_read_bytes(
        apart, Settings(), 1, name=""
    )


@pytest.mark.parametrize(
    ("tokens", "experts"), [(1, 8.0), (2, 15.5), (8, 51.62), (32, 111.77), (10_000, 128.0)]
)
def test_a_batch_is_routed_to_ever_fewer_new_experts(tokens: int, experts: float) -> None:
    # 128 x (1 - (15/16)^tokens).
    assert experts_read(GLM_4_5_AIR, tokens, name="") == pytest.approx(experts, abs=0.01)


def test_of_the_experts_those_that_are_chosen_are_read_and_the_shared_one() -> None:
    attention = 2 * 4096 * 12288 + 2 * 4096 * 1024 + (12288 + 2 * 1024) + 2 * 4096
    router, expert = 128 * 4096 + 128, 3 * 4096 * 1408
    dense, head = 3 * 4096 * 10944, 151552 * 4096
    by_hand = 46 * attention + 4096 + dense + head + 45 * (router + (8 + 1) * expert)

    read = weights_read_bytes(GLM_4_5_AIR, Settings(), 1, name="")

    assert read == 2 * by_hand == 25_606_745_344


def test_all_experts_are_read_by_a_batch_without_end_and_no_more() -> None:
    shape = KNOWN_SHAPES["zai-org/GLM-4.5-Air-FP8"]
    planned = plan(shape, tp_size=2)
    parts = {"attention", "dense layers", "experts", "head"}
    all_bytes = sum(line.size_bytes for line in planned.lines if line.label in parts)

    read = weights_read_bytes(shape, planned.settings, 1_000_000, name="")

    assert read == pytest.approx(all_bytes, abs=2 * 128)


def test_each_rank_reads_its_share_in_fp8_half_of_it() -> None:
    wide = weights_read_bytes(GLM_4_5_AIR, Settings(), 1, name="")
    shared = weights_read_bytes(GLM_4_5_AIR, Settings(tp_size=4), 1, name="")
    fp8 = weights_read_bytes(replace(GLM_4_5_AIR, quantization="fp8"), Settings(), 1, name="")

    assert wide / 4 < shared < wide / 4 * 1.02  # what every rank holds whole
    assert wide / 2 < fp8 < wide / 2 * 1.06  # scales, and a head in 16 bits


def test_the_draft_model_is_not_in_it() -> None:
    plain, eagle = (
        decode_bound(
            plan(KNOWN_SHAPES["zai-org/GLM-4.5-Air-FP8"], tp_size=2, draft_layers=layers),
            H100_BYTES_PER_S,
            requests=1,
            context_tokens=1000,
        )
        for layers in (0, 1)
    )

    assert plain == eagle


def test_what_the_plan_has_no_room_for_is_told_with_the_room() -> None:
    planned = plan(
        KNOWN_SHAPES["zai-org/GLM-4.5-Air-FP8"],
        tp_size=2,
        draft_layers=1,
        mem_fraction_static=0.7,
    )

    def obstacle(requests: int, context_tokens: int) -> str:
        return decode_bound(
            planned, H100_BYTES_PER_S, requests=requests, context_tokens=context_tokens
        ).obstacle

    assert obstacle(3, 4096) == ""
    assert obstacle(4, 4096) == "the KV cache has room for 3"
    assert obstacle(49, 16) == "at most 48 are decoded at the same time"
    assert obstacle(1, 20_000) == f"a request may have {planned.kv_cache_tokens:,} tokens"


def test_a_model_that_does_not_say_how_it_routes_has_no_bound() -> None:
    silent = {key: value for key, value in QWEN3_30B_A3B.items() if "per_tok" not in key}

    with pytest.raises(UnknownShapeError, match="through how many experts a token passes"):
        decode_bound(plan(shape_of(silent)), H100_BYTES_PER_S, requests=1, context_tokens=1)


class Report(NamedTuple):
    """What somebody measured with plain decoding, and its share of the bound."""

    model: str
    shape: ModelShape
    gpu: str
    ranks: int
    requests: int
    context_tokens: int
    tokens_per_s: float
    share: float


# docs/plan.md, "Speed, an upper bound", has their sources. 500 tokens: a short chat.
REPORTS = [
    Report("Llama-3.1-8B", shape_of(LLAMA_3_1_8B), "H100", 1, 1, 500, 158.34, 0.71),
    Report("Llama-3.1-8B", shape_of(LLAMA_3_1_8B), "H100", 1, 1, 500, 133, 0.60),
    Report("Llama-2-7B", shape_of(LLAMA_2_7B), "H100", 1, 1, 500, 156, 0.63),
    Report("Llama-3.1-70B", shape_of(LLAMA_3_1_70B), "A100-80GB", 8, 1, 821, 53.7, 0.46),
    Report("Qwen3-30B-A3B", shape_of(QWEN3_30B_A3B), "H100", 2, 1, 500, 222.47, 0.20),
    Report("Qwen3-30B-A3B", shape_of(QWEN3_30B_A3B), "H100", 2, 4, 500, 566.21, 0.34),
    Report("Qwen3-30B-A3B", shape_of(QWEN3_30B_A3B), "H100", 2, 8, 500, 733.61, 0.36),
    Report("Qwen3-235B-A22B", shape_of(QWEN3_235B_A22B), "B200", 8, 1, 821, 98.8, 0.07),
    Report("GLM-4.6-FP8", KNOWN_SHAPES["zai-org/GLM-4.6-FP8"], "H100", 8, 1, 500, 70, 0.09),
]


@pytest.mark.parametrize("report", REPORTS, ids=lambda report: f"{report.model}-{report.requests}")
def test_what_others_measured_is_below_the_bound(report: Report) -> None:
    (card,) = parse_machine(report.gpu)
    assert card.bandwidth_bytes_per_s is not None

    bound = decode_bound(
        plan(report.shape, report.gpu, tp_size=report.ranks),
        card.bandwidth_bytes_per_s,
        requests=report.requests,
        context_tokens=report.context_tokens,
    )

    assert report.tokens_per_s / bound.tokens_per_s == pytest.approx(report.share, abs=0.006)


def test_the_shares_that_are_shown_are_the_least_and_the_most_of_one_request() -> None:
    of_one = [report for report in REPORTS if report.requests == 1]
    dense = [report.share for report in of_one if not report.shape.experts]
    experts = [report.share for report in of_one if report.shape.experts]

    assert (min(dense), max(dense)) == DENSE_SHARES
    assert (min(experts), max(experts)) == EXPERT_SHARES
