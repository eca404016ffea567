"""The attention formula itself, and the read of keys and values from the cache.

Query heads of one key/value head are folded into the query rows, so that keys and
values are never repeated.
"""

from typing import Final

import torch
from torch.nn.functional import scaled_dot_product_attention

# Above this many query rows per key/value head, folding the heads would repeat the mask too much.
FOLDED_QUERY_ROWS: Final = 256


def gather(
    buffer: torch.Tensor, slots: torch.Tensor, scale: float, dtype: torch.dtype
) -> torch.Tensor:
    """Read cached keys or values.

    Args:
        buffer: ``[slots, kv_heads, head_dim]``.
        slots: Integer, any shape.
        scale: Factor for an 8-bit cache, which holds value / scale.
        dtype: The query's.

    Returns:
        ``[*slots.shape, kv_heads, head_dim]`` in ``dtype``.
    """
    rows = buffer.index_select(0, slots.flatten()).view(*slots.shape, *buffer.shape[1:])
    if rows.dtype == dtype:
        return rows
    return (rows.to(torch.float32) * scale).to(dtype)


def attend(
    query: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    visible: torch.Tensor | None,
    *,
    scaling: float,
    logit_cap: float = 0.0,
    sinks: torch.Tensor | None = None,
) -> torch.Tensor:
    """Compute attention for a batch of equally shaped requests.

    Formula: softmax(cap * tanh(scaling * Q K^T / cap), with exp(sink) added to the
    denominator) V; without a cap or sink those parts fall away.

    Args:
        query: ``[batch, rows, heads, head_dim]``.
        keys: ``[batch, length, kv_heads, head_dim]``.
        values: ``[batch, length, kv_heads, value_dim]``.
        visible: ``[batch or 1, rows or 1, length]`` bool, ``None`` if all is visible.
        scaling: Factor on the logits.
        logit_cap: 0 for none.
        sinks: ``[heads]``, one extra logit per head that carries no value.

    Returns:
        ``[batch, rows, heads, value_dim]`` in the query's dtype.
    """
    batch, rows, heads, head_dim = query.shape
    kv_heads = keys.shape[2]
    group = heads // kv_heads
    keys, values = keys.transpose(1, 2), values.transpose(1, 2)
    mask = None if visible is None else visible[:, None]

    if rows * group > FOLDED_QUERY_ROWS and logit_cap == 0.0 and sinks is None:
        out = scaled_dot_product_attention(
            query.transpose(1, 2), keys, values, mask, scale=scaling, enable_gqa=group > 1
        )
        return out.transpose(1, 2)

    # [batch, kv_heads, group * rows, head_dim]; for a single row this is a view.
    folded = query.view(batch, rows, kv_heads, group, head_dim)
    folded = folded.permute(0, 2, 3, 1, 4).reshape(batch, kv_heads, group * rows, head_dim)
    if mask is not None and mask.shape[2] > 1:
        mask = mask.repeat(1, 1, group, 1)
    if logit_cap == 0.0 and sinks is None:
        out = scaled_dot_product_attention(folded, keys, values, mask, scale=scaling)
    else:
        out = _capped_attention(
            folded, keys, values, mask, scaling=scaling, logit_cap=logit_cap, sinks=sinks
        )
    out = out.view(batch, kv_heads, group, rows, values.shape[-1])
    return out.permute(0, 3, 1, 2, 4).reshape(batch, rows, heads, values.shape[-1])


def _capped_attention(
    query: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    mask: torch.Tensor | None,
    *,
    scaling: float,
    logit_cap: float,
    sinks: torch.Tensor | None,
) -> torch.Tensor:
    """Attention with a logit cap or sinks, which PyTorch's own function lacks.

    Shapes as folded by ``attend``: query ``[batch, kv_heads, group * rows, head_dim]``.
    """
    logits = torch.matmul(query.float(), keys.float().transpose(2, 3)) * scaling
    if logit_cap > 0.0:
        logits = logit_cap * torch.tanh(logits / logit_cap)
    if mask is not None:
        logits = logits.masked_fill(~mask, float("-inf"))
    length = logits.shape[-1]
    if sinks is not None:
        batch, kv_heads, folded_rows, _ = logits.shape
        group = sinks.numel() // kv_heads
        sink = sinks.float().view(1, kv_heads, group, 1, 1)
        sink = sink.expand(batch, -1, -1, folded_rows // group, 1)
        logits = torch.cat([logits, sink.reshape(batch, kv_heads, folded_rows, 1)], dim=-1)
    weights = torch.softmax(logits, dim=-1)[..., :length]
    return torch.matmul(weights, values.float()).to(query.dtype)
