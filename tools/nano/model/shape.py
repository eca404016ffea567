"""The nano model's dimensions, and the `config.json` that states them."""

from dataclasses import dataclass
from typing import Any, Final

from tools.nano.text import tokens


@dataclass(frozen=True, slots=True)
class Shape:
    """Dimensions of a GLM-4.5 model. Tensor parallel 2 divides all that it splits."""

    hidden_size: int = 192
    layers: int = 12
    dense_layers: int = 1
    heads: int = 6
    kv_heads: int = 2
    head_dim: int = 32
    dense_width: int = 384
    expert_width: int = 64
    experts: int = 8
    experts_per_token: int = 2
    vocabulary: int = tokens.VOCABULARY
    max_positions: int = 8192


SHAPE: Final = Shape()
ROPE_THETA: Final = 1000000


def config(shape: Shape = SHAPE) -> dict[str, Any]:
    """Return `config.json` with GLM-4.5-Air's fields: its values, but for the dimensions."""
    return {
        "architectures": ["Glm4MoeForCausalLM"],
        "attention_bias": True,
        "attention_dropout": 0.0,
        "eos_token_id": list(tokens.END_OF_TURN),
        "first_k_dense_replace": shape.dense_layers,
        "head_dim": shape.head_dim,
        "hidden_act": "silu",
        "hidden_size": shape.hidden_size,
        "initializer_range": 0.02,
        "intermediate_size": shape.dense_width,
        "max_position_embeddings": shape.max_positions,
        "model_type": "glm4_moe",
        "moe_intermediate_size": shape.expert_width,
        "n_group": 1,
        "n_routed_experts": shape.experts,
        "n_shared_experts": 1,
        "norm_topk_prob": True,
        "num_attention_heads": shape.heads,
        "num_experts_per_tok": shape.experts_per_token,
        "num_hidden_layers": shape.layers,
        "num_key_value_heads": shape.kv_heads,
        "num_nextn_predict_layers": 1,
        "pad_token_id": tokens.PAD,
        "partial_rotary_factor": 0.5,
        "rms_norm_eps": 1e-05,
        "rope_scaling": None,
        "rope_theta": ROPE_THETA,
        "routed_scaling_factor": 1.0,
        "tie_word_embeddings": False,
        "topk_group": 1,
        "torch_dtype": "bfloat16",
        "use_cache": True,
        "use_qk_norm": False,
        "vocab_size": shape.vocabulary,
    }


def from_config(fields: dict[str, Any]) -> Shape:
    """Read the dimensions of a `config.json`."""
    return Shape(
        hidden_size=fields["hidden_size"],
        layers=fields["num_hidden_layers"],
        dense_layers=fields["first_k_dense_replace"],
        heads=fields["num_attention_heads"],
        kv_heads=fields["num_key_value_heads"],
        head_dim=fields["head_dim"],
        dense_width=fields["intermediate_size"],
        expert_width=fields["moe_intermediate_size"],
        experts=fields["n_routed_experts"],
        experts_per_token=fields["num_experts_per_tok"],
        vocabulary=fields["vocab_size"],
        max_positions=fields["max_position_embeddings"],
    )


def generation_config() -> dict[str, Any]:
    """Return `generation_config.json`: what ends a generation, as GLM-4.5 has it."""
    return {"eos_token_id": list(tokens.END_OF_TURN), "pad_token_id": tokens.PAD}


def tokenizer_config(shape: Shape = SHAPE) -> dict[str, Any]:
    """Return `tokenizer_config.json`; the chat template is a file of its own beside it."""
    return {
        "clean_up_tokenization_spaces": False,
        "eos_token": "<|endoftext|>",
        "extra_special_tokens": list(tokens.SPECIAL),
        "model_max_length": shape.max_positions,
        "pad_token": "<|endoftext|>",
        "padding_side": "left",
        "tokenizer_class": "PreTrainedTokenizerFast",
    }
