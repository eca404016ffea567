"""Fields of a `config.json` that take more than one look. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

# Where configurations of several parts keep the one of the language model:
# utils/hf_transformers/common.py, `get_hf_text_config`, the strongest first.
_PARTS: Final = ("thinker_config", "llm_config", "language_config", "text_config")
_OTHER_PARTS: Final = ("vision_config", "audio_config", "speech_config", "encoder_config")


class UnreadableError(Exception):
    """Why a shape cannot be read, as the end of a sentence."""


def text_config(config: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The architecture, and the fields of its language model, wherever they are nested.

    Raises:
        UnreadableError: no architecture is named, or the model has other parts than text.
    """
    names = config.get("architectures")
    if not isinstance(names, list) or not names or not isinstance(names[0], str):
        raise UnreadableError("its config.json names no architecture (architectures)")
    fields = dict(config)
    for part in _OTHER_PARTS:
        if config.get(part):
            raise UnreadableError(f"it has more than a language model ({part})")
    for part in _PARTS:
        nested = config.get(part)
        if isinstance(nested, dict):
            # What the part leaves out is said outside.
            fields |= {key: value for key, value in nested.items() if value is not None}
            break
    return names[0], fields


def dense_layers(
    layers: int, *, first: int | None, every: int | None, kinds: Sequence[str] | None
) -> int:
    """How many of the layers have no experts: the first ones, and those between every n-th.

    Args:
        layers: of the model.
        first: `first_k_dense_replace`.
        every: `moe_layer_freq`; None: each layer after the first ones has experts.
        kinds: `mlp_layer_types`, which newer files have; the two have to agree.

    Raises:
        UnreadableError: the file says neither, or both and differently.
    """
    if first is None and kinds is None:
        raise UnreadableError("it does not say which layers have experts (first_k_dense_replace)")
    by_kind = sum(kind == "dense" for kind in kinds[:layers]) if kinds is not None else None
    if first is None:
        return by_kind or 0
    counted = sum(index < first or index % (every or 1) != 0 for index in range(layers))
    if by_kind is not None and by_kind != counted:
        raise UnreadableError(
            f"first_k_dense_replace makes {counted} layers without experts, and mlp_layer_types "
            f"{by_kind}"
        )
    return counted
