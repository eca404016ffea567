"""How large a model's rotary table is, by its `config.json`. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_YARN: Final = frozenset({"yarn", "deepseek_yarn"})
# Far above any model: the table would be larger than any GPU.
_LARGEST: Final = 2**31


def rotary_factor(content: Mapping[str, Any], *, default: float) -> float:
    """The part of a head's width that is rotated.

    Source: models/glm4_moe.py and models/llama.py, `partial_rotary_factor`, which newer files keep
    among `rope_parameters`.
    """
    for fields in (content, _scaling(content)):
        given = fields.get("partial_rotary_factor")
        if isinstance(given, int | float) and 0 < given <= 1:
            return float(given)
    return default


def yarn_positions(content: Mapping[str, Any], *, max_positions: int) -> int | None:
    """Rows of YaRN's table, counted from the positions before it; None without YaRN.

    Source: layers/rotary_embedding/yarn.py and rope_variant.py, `_compute_cos_sin_cache`.
    """
    scaling = _scaling(content)
    factor = scaling.get("factor")
    kind = scaling.get("rope_type", scaling.get("type"))
    if not isinstance(kind, str) or kind not in _YARN:
        return None
    if not isinstance(factor, int | float) or not 1 <= factor <= _LARGEST:
        return None
    original = scaling.get("original_max_position_embeddings")
    if not isinstance(original, int) or not 1 <= original <= _LARGEST:
        original = max_positions
    return int(original * factor)


def _scaling(content: Mapping[str, Any]) -> Mapping[str, Any]:
    given = content.get("rope_scaling") or content.get("rope_parameters")
    return given if isinstance(given, dict) else {}
