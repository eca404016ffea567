"""Shapes that ship with the launcher, so that the GLM-4.5 to 4.7 families are planned offline.

Source: the config.json of each repository. The parameters that follow from them agree with what
the hub counts (110 and 358 billion): `tests/unit/launcher/memory/test_shape.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from launcher.memory.shape import LatentAttention, ModelShape

GLM_4_5_AIR: Final = ModelShape(
    architecture="Glm4MoeForCausalLM",
    hidden_size=4096,
    layers=46,
    dense_layers=1,
    heads=96,
    kv_heads=8,
    head_dim=128,
    dense_width=10944,
    expert_width=1408,
    experts=128,
    nextn_layers=1,
    vocabulary=151552,
    max_positions=131072,
    attention_bias=True,
    qk_norm=False,
    tied_embeddings=False,
    weight_type="bfloat16",
    shared_width=1408,
    correction_bias=True,
    rotary_factor=0.5,
    experts_per_token=8,
)
GLM_4_5: Final = replace(
    GLM_4_5_AIR,
    hidden_size=5120,
    layers=92,
    dense_layers=3,
    dense_width=12288,
    expert_width=1536,
    experts=160,
    qk_norm=True,
    shared_width=1536,
)
GLM_4_6: Final = replace(GLM_4_5, max_positions=202752)
GLM_4_7_FLASH: Final = ModelShape(
    architecture="Glm4MoeLiteForCausalLM",
    hidden_size=2048,
    layers=47,
    dense_layers=1,
    heads=20,
    kv_heads=1,
    head_dim=256,
    dense_width=10240,
    expert_width=1536,
    experts=64,
    nextn_layers=1,
    vocabulary=154880,
    max_positions=202752,
    attention_bias=False,
    qk_norm=False,
    tied_embeddings=False,
    weight_type="bfloat16",
    shared_width=1536,
    correction_bias=True,
    experts_per_token=4,
    latent=LatentAttention(
        query_rank=768, kv_rank=512, position_dim=64, plain_dim=192, value_dim=256
    ),
)

_BF16: Final = {
    "zai-org/GLM-4.5-Air": GLM_4_5_AIR,
    "zai-org/GLM-4.5": GLM_4_5,
    "zai-org/GLM-4.6": GLM_4_6,
    "zai-org/GLM-4.7": GLM_4_6,
}
KNOWN_SHAPES: Final[Mapping[str, ModelShape]] = MappingProxyType(
    _BF16
    | {f"{name}-FP8": replace(shape, quantization="fp8") for name, shape in _BF16.items()}
    | {"zai-org/GLM-4.7-Flash": GLM_4_7_FLASH}
)


def find_known_shape(model: str) -> tuple[str, ModelShape] | None:
    """The repository and the shape of that name, with or without its owner; case is passed over."""
    wanted = model.lower()
    for name, shape in KNOWN_SHAPES.items():
        if wanted in {name.lower(), name.partition("/")[2].lower()}:
            return name, shape
    return None
