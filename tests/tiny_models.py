"""Models of a few kilobytes with random weights, one of each architecture that is planned.

transformers makes them, so their tensors are those of a real checkpoint of that architecture.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

VOCABULARY: Final = 320
_COMMON: Final = {
    "vocab_size": VOCABULARY,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 1024,
    "bos_token_id": 256,
    "eos_token_id": 257,
    "pad_token_id": 257,
}
_EXPERTS: Final = {"moe_intermediate_size": 32, "num_experts_per_tok": 2, "num_experts": 4}
_ROUTED: Final = {
    "moe_intermediate_size": 32,
    "num_experts_per_tok": 2,
    "n_routed_experts": 4,
    "n_shared_experts": 1,
    "first_k_dense_replace": 1,
    "n_group": 1,
    "topk_group": 1,
}
_LATENT: Final = {
    "num_key_value_heads": 4,
    "q_lora_rank": 24,
    "kv_lora_rank": 32,
    "qk_nope_head_dim": 16,
    "qk_rope_head_dim": 8,
    "v_head_dim": 16,
}
_DEEPSEEK: Final = {**_ROUTED, **_LATENT, "moe_layer_freq": 1}

# A name -> the class in transformers without `ForCausalLM`, and fields of its config.
MODELS: Final[Mapping[str, tuple[str, dict[str, Any]]]] = MappingProxyType(
    {
        "llama": ("Llama", {}),
        "llama-tied": ("Llama", {"tie_word_embeddings": True, "attention_bias": True}),
        "mistral": ("Mistral", {"sliding_window": 128}),
        "phi3": ("Phi3", {}),
        "qwen2": ("Qwen2", {"use_sliding_window": True, "sliding_window": 128}),
        "qwen3": ("Qwen3", {"head_dim": 32}),
        "olmo2": ("Olmo2", {}),
        "gemma2": ("Gemma2", {"head_dim": 32, "hidden_act": "gelu_pytorch_tanh"}),
        "mixtral": ("Mixtral", {"num_local_experts": 4, "num_experts_per_tok": 2}),
        "qwen2-moe": (
            "Qwen2Moe",
            {**_EXPERTS, "shared_expert_intermediate_size": 48, "decoder_sparse_step": 2},
        ),
        "qwen3-moe": ("Qwen3Moe", {**_EXPERTS, "head_dim": 32, "mlp_only_layers": [1]}),
        "glm4-moe": ("Glm4Moe", {**_ROUTED, "head_dim": 16, "use_qk_norm": True}),
        "glm4-moe-lite": ("Glm4MoeLite", {**_ROUTED, **_LATENT}),
        "deepseek-v2": (
            "DeepseekV2",
            {**_DEEPSEEK, "q_lora_rank": None},
        ),
        "deepseek-v3": ("DeepseekV3", _DEEPSEEK),
    }
)


def write_model(name: str, folder: Path) -> Path:
    """Write config, weights and tokenizer of the model of that name; returns the folder."""
    # Imports of seconds, which a session that only collects tests does without.
    import torch  # noqa: PLC0415
    import transformers  # noqa: PLC0415

    kind, fields = MODELS[name]
    config = getattr(transformers, f"{kind}Config")(**{**_COMMON, **fields})
    torch.manual_seed(0)
    model = getattr(transformers, f"{kind}ForCausalLM")(config).to(torch.bfloat16)
    model.save_pretrained(folder)
    write_tokenizer(folder)
    return folder


def write_tokenizer(folder: Path) -> None:
    """A tokenizer of bytes: each is a token, and there are two special ones."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers  # noqa: PLC0415

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({character: i for i, character in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<s>", "</s>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "chat_template": "{% for message in messages %}{{ message.content }}{% endfor %}",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
