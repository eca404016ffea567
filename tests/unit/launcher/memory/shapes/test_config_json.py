"""A config.json as it may come: of any family, and with any field missing or wrong."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launcher.errors import UnknownShapeError
from launcher.memory.lines import Device, Settings
from launcher.memory.plan import MemoryPlan, kv_bytes_per_token, plan_memory
from launcher.memory.shape import count_parameters
from launcher.memory.shapes.config_json import read_shape
from launcher.memory.weights import checkpoint_bytes
from launcher.system.hardware import GIB
from tests.tiny_models import MODELS, write_model
from tests.unit.launcher.memory.test_shape import DEEPSEEK_V3, LLAMA_3_8B, QWEN3_30B

MISTRAL_7B = LLAMA_3_8B | {
    "architectures": ["MistralForCausalLM"],
    "sliding_window": 4096,
    "vocab_size": 32000,
}
MIXTRAL_8X7B = MISTRAL_7B | {
    "architectures": ["MixtralForCausalLM"],
    "num_local_experts": 8,
    "num_experts_per_tok": 2,
    "head_dim": None,
    "sliding_window": None,
}
QWEN1_5_MOE: dict[str, Any] = {
    "architectures": ["Qwen2MoeForCausalLM"],
    "hidden_size": 2048,
    "intermediate_size": 5632,
    "moe_intermediate_size": 1408,
    "shared_expert_intermediate_size": 5632,
    "num_experts": 60,
    "decoder_sparse_step": 1,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "num_key_value_heads": 16,
    "vocab_size": 151936,
    "max_position_embeddings": 8192,
    "torch_dtype": "bfloat16",
}
# yuhuili/EAGLE-llama2-chat-7B and a target with as many KV heads as heads, in float16.
EAGLE_7B = LLAMA_3_8B | {
    "architectures": ["LlamaForCausalLMEagle"],
    "intermediate_size": 11008,
    "num_hidden_layers": 1,
    "num_key_value_heads": 32,
    "vocab_size": 32000,
    "torch_dtype": "float16",
}
LLAMA_2_7B = EAGLE_7B | {"architectures": ["LlamaForCausalLM"], "num_hidden_layers": 32}
EAGLE3_8B = LLAMA_3_8B | {
    "architectures": ["LlamaForCausalLMEagle3"],
    "num_hidden_layers": 1,
    "draft_vocab_size": 32000,
}
CARD = Device("cuda", "H100-80GB", 80 * GIB, 79 * GIB, (9, 0))


def parameter_bytes(plan: MemoryPlan) -> int:
    """Of a plan's weights, without the rotary table and what the allocator leaves between them."""
    counted = "launcher/memory/shape.py"
    return sum(line.size_bytes for line in plan.lines if line.source == counted)


def header_total(file: Path) -> int:
    """Parameters of a safetensors file, by its header alone."""
    with file.open("rb") as opened:
        (size,) = struct.unpack("<Q", opened.read(8))
        header = json.loads(opened.read(size))
    return sum(prod(entry["shape"]) for key, entry in header.items() if key != "__metadata__")


@pytest.mark.parametrize("name", MODELS)
def test_a_model_s_parameters_are_those_in_its_file(name: str, tmp_path: Path) -> None:
    folder = write_model(name, tmp_path)
    config = json.loads((folder / "config.json").read_text())

    shape = read_shape(config, name=name)

    # transformers writes no NextN layers, whatever the config says.
    there = header_total(folder / "model.safetensors")
    assert count_parameters(shape).main.total == there
    planned = plan_memory(name, shape, CARD, Settings())
    absorbed = count_parameters(shape).absorbed.total
    padding = 2 * shape.hidden_size * 64 * 2
    assert parameter_bytes(planned) == pytest.approx((there + absorbed) * 2, abs=padding)


@pytest.mark.parametrize(
    ("config", "published"),
    [
        # As the hub counts them: mistralai/Mistral-7B-v0.1, mistralai/Mixtral-8x7B-v0.1,
        # Qwen/Qwen1.5-MoE-A2.7B.
        (MISTRAL_7B, 7_241_732_096),
        (MIXTRAL_8X7B, 46_702_792_704),
        (QWEN1_5_MOE, 14_315_784_192),
    ],
    ids=["mistral", "mixtral", "qwen2-moe"],
)
def test_other_families_have_the_parameters_that_the_hub_counts(
    config: dict[str, Any], published: int
) -> None:
    assert count_parameters(read_shape(config, name="a model")).total == published


def test_a_window_that_sglang_does_not_cache_by_is_planned_like_any_other() -> None:
    shape = read_shape(MISTRAL_7B, name="Mistral")

    assert kv_bytes_per_token(shape, Settings(), "bfloat16") == 131_072


def test_a_draft_model_of_its_own_adds_its_layers_to_the_kv_cache() -> None:
    target, draft = (read_shape(one, name="a model") for one in (LLAMA_2_7B, EAGLE_7B))
    speculating = Settings(draft_layers=draft.layers, draft=draft)

    assert kv_bytes_per_token(target, Settings(), "float16") == 524_288
    assert kv_bytes_per_token(target, speculating, "float16") == 524_288 + 16_384


def test_eagle_has_a_layer_without_its_first_norm_and_a_linear_layer_before_it() -> None:
    counted = count_parameters(read_shape(EAGLE_7B, name="EAGLE"))
    layer = 4 * 4096 * 4096 + 3 * 4096 * 11008 + 4096
    fc = 2 * 4096 * 4096 + 4096

    assert counted.main.total == layer + fc + 2 * 32000 * 4096


def test_eagle3_takes_three_states_of_the_target_and_proposes_fewer_tokens() -> None:
    counted = count_parameters(read_shape(EAGLE3_8B, name="EAGLE3"))
    attention = 4096 * (4096 + 1024 + 1024) * 2 + 4096 * 4096
    layer = attention + 3 * 4096 * 14336 + 3 * 4096

    assert counted.draft_input.total == 3 * 4096 * 4096 + 4096 * (4096 + 2048)
    assert counted.main.total == layer + 3 * 4096 * 4096 + 4096 + (128256 + 32000) * 4096


def test_eagle3_of_a_larger_target_takes_states_as_wide_as_the_target_s() -> None:
    config = EAGLE3_8B | {"target_hidden_size": 8192, "fc_norm": True}

    counted = count_parameters(read_shape(config, name="EAGLE3"))

    assert counted.draft_input.replicated == 3 * 8192 * 4096 + 3 * 8192


@pytest.mark.parametrize(
    ("change", "dense"),
    [
        ({"mlp_only_layers": [0, 1, 47, 48]}, 3),
        ({"decoder_sparse_step": 2}, 24),
        ({"decoder_sparse_step": 2, "mlp_only_layers": [0, 1]}, 25),
        ({"mlp_only_layers": None, "decoder_sparse_step": None}, 0),
    ],
)
def test_layers_without_experts_are_counted_where_qwen_has_them(
    change: dict[str, Any], dense: int
) -> None:
    shape = read_shape(QWEN3_30B | change, name="Qwen3")
    plain = count_parameters(read_shape(QWEN3_30B, name="Qwen3")).total

    assert shape.dense_layers == dense
    experts = 128 * 3 * 2048 * 768 + 128 * 2048
    assert count_parameters(shape).total == plain - dense * (experts - 3 * 2048 * 6144)


@pytest.mark.parametrize(
    ("change", "dense"),
    [
        ({}, 3),
        ({"moe_layer_freq": 2}, 3 + 29),
        ({"first_k_dense_replace": 100}, 61),
        ({"first_k_dense_replace": None, "mlp_layer_types": ["dense"] * 3 + ["sparse"] * 58}, 3),
    ],
)
def test_layers_without_experts_are_counted_where_deepseek_has_them(
    change: dict[str, Any], dense: int
) -> None:
    assert read_shape(DEEPSEEK_V3 | change, name="V3").dense_layers == dense


def test_what_a_nested_config_says_of_the_language_model_is_read() -> None:
    inner = {key: value for key, value in LLAMA_3_8B.items() if key != "architectures"}
    nested = {"architectures": LLAMA_3_8B["architectures"], "hidden_size": 1, "text_config": inner}

    assert read_shape(nested, name="nested") == read_shape(LLAMA_3_8B, name="flat")


@pytest.mark.parametrize(
    ("scaling", "tokens"),
    [
        (None, 8192),
        ({"type": "linear", "factor": 4}, 32768),
        ({"rope_type": "dynamic", "factor": 2.5}, 20480),
        ({"rope_type": "yarn", "factor": 4, "original_max_position_embeddings": 2048}, 8192),
        ({"rope_type": "llama3", "factor": 8.0}, 8192),
        ({"factor": "four"}, 8192),
        ([4], 8192),
    ],
)
def test_the_context_is_what_sglang_makes_of_positions_and_scaling(
    scaling: Any, tokens: int
) -> None:
    config = LLAMA_3_8B | {"rope_scaling": scaling}

    assert read_shape(config, name="a model").max_positions == tokens


def test_float32_is_served_in_16_bits_and_read_in_32() -> None:
    shape = read_shape(LLAMA_3_8B | {"torch_dtype": "float32"}, name="a model")

    assert checkpoint_bytes(shape) == pytest.approx(4 * count_parameters(shape).total, rel=1e-6)
    planned = plan_memory("a model", shape, CARD, Settings())
    assert parameter_bytes(planned) == pytest.approx(2 * count_parameters(shape).total, rel=1e-6)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"architectures": ["BloomForCausalLM"]}, "BloomForCausalLM"),
        ({"architectures": ["\ud800"]}, r"\\ud800"),
        ({"architectures": None}, "architectures"),
        ({"architectures": "LlamaForCausalLM"}, "architectures"),
        ({"architectures": ["GptOssForCausalLM"]}, "window"),
        ({"hidden_size": "wide"}, "hidden_size"),
        ({"num_hidden_layers": 0}, "num_hidden_layers"),
        ({"vocab_size": None}, "vocab_size"),
        ({"vision_config": {"depth": 3}}, "vision_config"),
        ({"mlp_bias": True}, "mlp_bias"),
        ({"torch_dtype": "int3"}, "int3"),
        ({"quantization_config": {"quant_method": "awq"}}, "awq"),
        ({"quantization_config": []}, "quantization_config"),
        ({"quantization_config": {"quant_method": "fp8", "weight_block_size": 128}}, "block"),
        ({"hidden_size": 4097}, "head_dim"),
    ],
)
def test_what_cannot_be_added_up_is_said_so(change: dict[str, Any], word: str) -> None:
    with pytest.raises(UnknownShapeError, match=word) as caught:
        read_shape(LLAMA_3_8B | change, name="a model")

    assert caught.value.exit_code == 17
    assert "a model" in caught.value.problem


@pytest.mark.parametrize(
    ("config", "word"),
    [
        (QWEN3_30B | {"num_experts": [128]}, "num_experts"),
        (QWEN3_30B | {"moe_intermediate_size": None}, "moe_intermediate_size"),
        (QWEN1_5_MOE | {"shared_expert_intermediate_size": None}, "shared_expert"),
        (QWEN1_5_MOE | {"head_dim": 64}, "head_dim"),
        (DEEPSEEK_V3 | {"kv_lora_rank": None}, "kv_lora_rank"),
        (DEEPSEEK_V3 | {"index_topk": 2048}, "index_topk"),
        (DEEPSEEK_V3 | {"first_k_dense_replace": None}, "first_k_dense_replace"),
        (DEEPSEEK_V3 | {"mlp_layer_types": ["dense"] * 61}, "mlp_layer_types"),
        (DEEPSEEK_V3 | {"moe_layer_freq": [0, 1]}, "moe_layer_freq"),
        (DEEPSEEK_V3 | {"attention_bias": True}, "biases"),
    ],
)
def test_a_field_that_changes_the_shape_is_never_passed_over(
    config: dict[str, Any], word: str
) -> None:
    with pytest.raises(UnknownShapeError, match=word):
        read_shape(config, name="a model")


def test_kv_heads_that_are_not_named_are_not_guessed() -> None:
    silent = {key: value for key, value in QWEN3_30B.items() if key != "num_key_value_heads"}

    with pytest.raises(UnknownShapeError, match="num_key_value_heads"):
        read_shape(silent, name="a model")
    assert read_shape(silent | {"num_key_value_heads": None}, name="a model").kv_heads == 32


@pytest.mark.parametrize(
    ("quantization", "block"),
    [
        ({"quant_method": "fp8"}, None),
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, (128, 128)),
        ({"quant_method": "compressed-tensors", "format": "float-quantized"}, None),
        (
            {
                "quant_method": "compressed-tensors",
                "format": "float-quantized",
                "config_groups": {"group_0": {"weights": {"block_structure": [64, 128]}}},
            },
            (64, 128),
        ),
    ],
)
def test_an_fp8_checkpoint_is_known_by_its_config(
    quantization: dict[str, Any], block: tuple[int, int] | None
) -> None:
    shape = read_shape(LLAMA_3_8B | {"quantization_config": quantization}, name="a model")

    assert (shape.quantization, shape.weight_block_size) == ("fp8", block)
    assert checkpoint_bytes(shape) < 0.7 * checkpoint_bytes(replace(shape, quantization=None))


@pytest.mark.parametrize(
    ("listed", "parts"),
    [
        (["lm_head", "model.layers.0.mlp.gate", "model.layers.0.input_layernorm"], set()),
        (["model.layers.0.mlp.down_proj"], {"dense"}),
        (["model.layers.3.self_attn.q_proj", 7, None], {"attention"}),
        (["model.layers.5.mlp.shared_experts.up_proj"], {"experts"}),
        ("lm_head", set()),
    ],
)
def test_parts_that_an_fp8_checkpoint_leaves_in_16_bits_are_known(
    listed: Any, parts: set[str]
) -> None:
    quantization = {"quant_method": "fp8", "modules_to_not_convert": listed}

    shape = read_shape(LLAMA_3_8B | {"quantization_config": quantization}, name="a model")

    assert shape.wide_parts == parts


REAL = (LLAMA_3_8B, QWEN3_30B, DEEPSEEK_V3, MIXTRAL_8X7B, QWEN1_5_MOE, EAGLE_7B, EAGLE3_8B)
FIELDS = [
    *sorted({field for config in REAL for field in config}),
    *("quantization_config", "rope_scaling", "text_config", "tie_word_embeddings", "use_qk_norm"),
    *("topk_method", "mlp_layer_types", "eagle_config", "attention_bias", "index_topk", "dtype"),
]
ANY_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-10, 10)
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["fp8", "compressed-tensors", "float-quantized", "dense", "bfloat16"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(max_size=8)
            | st.sampled_from(
                [*FIELDS, "quant_method", "format", "weight_block_size", "config_groups", "weights"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)
MISSING = object()


@given(
    config=st.sampled_from(REAL),
    changes=st.dictionaries(st.sampled_from(FIELDS), ANY_JSON | st.just(MISSING), max_size=6),
    tp_size=st.integers(1, 64),
)
def test_no_config_ends_in_anything_but_a_plan_or_the_project_s_own_error(
    config: dict[str, Any], changes: dict[str, Any], tp_size: int
) -> None:
    mutated = {key: value for key, value in (config | changes).items() if value is not MISSING}

    try:
        shape = read_shape(mutated, name="a model")
    except UnknownShapeError as error:
        error.problem.encode()  # it can be printed, whatever was quoted
        return
    planned = plan_memory("a model", shape, CARD, Settings(tp_size=tp_size))
    assert planned.weights_bytes > 0
    assert planned.bytes_per_token > 0


@given(ANY_JSON)
def test_any_object_is_read_or_refused(content: Any) -> None:
    if isinstance(content, dict):
        with pytest.raises(UnknownShapeError):
            read_shape(content, name="a model")
