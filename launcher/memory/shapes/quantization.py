"""What a `quantization_config` says of the weights. Pure."""

from __future__ import annotations

import re
from typing import Any, Final

from launcher.memory.shape import Quantization
from launcher.memory.shapes.fields import UnreadableError

# Parts of a model by the names of their linear layers, where a file lists those that it leaves in
# 16 bits. A router (`mlp.gate`), a norm, an embedding or a head is always left so, and no part.
_PARTS: Final = {
    "attention": re.compile(r"[qkvo]_proj|qkv_proj|q_[ab]_proj|kv_[ab]_proj|self_attn$|attention$"),
    "experts": re.compile(r"experts"),
    "dense": re.compile(r"(?:mlp|layers\.\d+)\.(?:gate|up|down|gate_up)_proj|mlp$"),
}
_Read = tuple[Quantization | None, tuple[int, int] | None, frozenset[str]]


def read_quantization(given: Any) -> _Read:
    """FP8 as compressed-tensors or DeepSeek's format writes it; nothing else is added up.

    Returns:
        The quantization, rows and columns that share a scale, and the parts of which some linear
        layers stay in 16 bits.

    Raises:
        UnreadableError: it is another quantization, or one that is not understood.
    """
    if given is None:
        return None, None, frozenset()
    if not isinstance(given, dict):
        raise UnreadableError("its quantization_config is no object")
    method = given.get("quant_method")
    listed = given.get("ignore") if method == "compressed-tensors" else None
    if method == "compressed-tensors" and given.get("format") == "float-quantized":
        return "fp8", _group_block(given.get("config_groups")), _wide_parts(listed)
    if method == "fp8":
        listed = given.get("ignored_layers") or given.get("modules_to_not_convert")
        return "fp8", _block(given.get("weight_block_size")), _wide_parts(listed)
    shown = given.get("format", "no format named")
    raise UnreadableError(f"it is quantized by {_shown(method)} ({_shown(shown)})")


def _block(given: Any) -> tuple[int, int] | None:
    """Rows and columns of a block. Source: layers/quantization/fp8.py, `weight_block_size`."""
    if given is None:
        return None
    if (
        isinstance(given, list)
        and len(given) == len(("rows", "columns"))
        and all(type(size) is int and size > 0 for size in given)
    ):
        return given[0], given[1]
    raise UnreadableError(f"its weight_block_size is {_shown(given)}, not two numbers")


def _group_block(groups: Any) -> tuple[int, int] | None:
    """The block of compressed-tensors, where one of its groups has one."""
    if not isinstance(groups, dict):
        return None
    for group in groups.values():
        weights = group.get("weights") if isinstance(group, dict) else None
        if isinstance(weights, dict) and weights.get("block_structure") is not None:
            return _block(weights["block_structure"])
    return None


def _wide_parts(listed: Any) -> frozenset[str]:
    if not isinstance(listed, list):
        return frozenset()
    names = [name for name in listed if isinstance(name, str)]
    return frozenset(
        part for part, pattern in _PARTS.items() if any(pattern.search(name) for name in names)
    )


def _shown(value: Any) -> str:
    """Somebody else's text, short and printable."""
    return ascii(value).strip("'\"")[:60]
