"""The architectures that are planned: what SGLang builds for each beside what its config.json says.

Files named as a source are those of the verified SGLang: `launcher.engines.sglang.version`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal


@dataclass(frozen=True, slots=True)
class Architecture:
    """What the modules of one architecture are.

    Attributes:
        experts: how its config.json names a mixture of experts; None: it has dense layers only.
        query_bias: the field that says whether queries, keys and values have a bias; or always.
        output_bias: the same field says it of the attention's output, too.
        qk_norm: queries and keys are normed by head, or all heads together; or a field says it.
        norms: of a layer.
        latent: keys and values are cached as one latent vector (MLA).
        nextn: it may have NextN layers, which its config.json counts.
        tied: head and embedding are one where the config.json is silent.
        head_dim_free: heads may be of another width than hidden size / heads.
        default_kv_heads: a config.json without `num_key_value_heads` means one for each head.
        eagle: a draft model, of EAGLE (1) or EAGLE3 (3).
        query_bias_default: what a config.json without the field means.
        rotary_factor: the part of a head that is rotated, where the config.json is silent.
    """

    experts: Literal["mixtral", "qwen2", "qwen3", "glm", "deepseek"] | None = None
    query_bias: str | None = None
    query_bias_default: bool = False
    output_bias: bool = False
    qk_norm: Literal["head", "whole", "field"] | None = None
    norms: int = 2
    latent: bool = False
    nextn: bool = False
    tied: bool = False
    head_dim_free: bool = False
    default_kv_heads: bool = False
    eagle: Literal[1, 3] | None = None
    rotary_factor: float = 1.0


ALWAYS: Final = "always"
_LLAMA: Final = Architecture(
    query_bias="attention_bias", output_bias=True, head_dim_free=True, default_kv_heads=True
)
_MISTRAL: Final = Architecture(
    query_bias="attention_bias", output_bias=True, head_dim_free=True, default_kv_heads=False
)

# Each by its file in models/, named after it; Mistral and Phi3 are Llama's classes (llama.py,
# mistral.py). None of them has a KV cache of its own for layers that look back over a window
# (configs/model_config.py, `is_hybrid_swa_model`), so a window changes nothing here.
ARCHITECTURES: Final[Mapping[str, Architecture]] = MappingProxyType(
    {
        "Glm4MoeForCausalLM": Architecture(
            experts="glm",
            query_bias="attention_bias",
            qk_norm="field",
            nextn=True,
            head_dim_free=True,
            rotary_factor=0.5,
        ),
        "Glm4MoeLiteForCausalLM": Architecture(experts="glm", latent=True, nextn=True),
        "DeepseekV2ForCausalLM": Architecture(experts="deepseek", latent=True),
        "DeepseekV3ForCausalLM": Architecture(experts="deepseek", latent=True, nextn=True),
        "LlamaForCausalLM": _LLAMA,
        "MistralForCausalLM": _MISTRAL,
        "Phi3ForCausalLM": _LLAMA,
        "Qwen2ForCausalLM": Architecture(query_bias=ALWAYS),
        "Qwen3ForCausalLM": Architecture(
            query_bias="attention_bias", output_bias=True, qk_norm="head", head_dim_free=True
        ),
        "Olmo2ForCausalLM": Architecture(
            query_bias="attention_bias", output_bias=True, qk_norm="whole", default_kv_heads=True
        ),
        "Gemma2ForCausalLM": Architecture(
            query_bias="attention_bias", output_bias=True, norms=4, tied=True, head_dim_free=True
        ),
        "MixtralForCausalLM": Architecture(experts="mixtral"),
        "Qwen2MoeForCausalLM": Architecture(
            experts="qwen2", query_bias="qkv_bias", query_bias_default=True
        ),
        "Qwen3MoeForCausalLM": Architecture(
            experts="qwen3",
            query_bias="attention_bias",
            output_bias=True,
            qk_norm="head",
            head_dim_free=True,
        ),
        "LlamaForCausalLMEagle": Architecture(
            query_bias="attention_bias",
            output_bias=True,
            head_dim_free=True,
            default_kv_heads=True,
            eagle=1,
        ),
        "LlamaForCausalLMEagle3": Architecture(
            norms=3, head_dim_free=True, default_kv_heads=True, eagle=3
        ),
    }
)

_WINDOWS: Final = (
    "some of its layers look back over a window only, and SGLang gives them a KV cache of their own"
)
_STATES: Final = "some of its layers keep a state in place of keys and values"
_INDEX: Final = "its attention keeps an index beside keys and values (DSA)"
# Known, and refused with the reason: configs/model_config.py, `is_hybrid_swa_model`,
# `is_deepseek_dsa`.
REFUSED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "GptOssForCausalLM": _WINDOWS,
        "Llama4ForConditionalGeneration": _WINDOWS,
        "Gemma4ForCausalLM": _WINDOWS,
        "Gemma4ForConditionalGeneration": _WINDOWS,
        "Step3p5ForCausalLM": _WINDOWS,
        "DeepseekV4ForCausalLM": _WINDOWS,
        "DeepseekV32ForCausalLM": _INDEX,
        "GlmMoeDsaForCausalLM": _INDEX,
        "Qwen3NextForCausalLM": _STATES,
        "FalconH1ForCausalLM": _STATES,
        "KimiLinearForCausalLM": _STATES,
        "NemotronHForCausalLM": _STATES,
    }
)
