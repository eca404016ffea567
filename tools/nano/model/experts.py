"""The mixture of experts on a CPU: only the chosen experts are computed, one product each.

Tokens are sorted by expert, so that every expert sees one contiguous block. Forward and
backward are written out, for no gather needs a scatter then: each token's rows are found by
the inverse of the sort.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function


class _Grouped(Function):
    """Sum over a token's experts of weight times gated block."""

    @staticmethod
    def forward(  # noqa: PLR0917 - torch gives them by position
        ctx: Any,
        x: Tensor,
        weights: Tensor,
        gate_up: Tensor,
        down: Tensor,
        order: Tensor,
        inverse: Tensor,
        counts: list[int],
    ) -> Tensor:
        tokens, chosen = weights.shape
        rows = order // chosen
        entered = x.index_select(0, rows)
        opened = entered.new_empty(entered.shape[0], gate_up.shape[1])
        for expert, (a, b) in enumerate(_spans(counts)):
            torch.mm(entered[a:b], gate_up[expert].t(), out=opened[a:b])
        gate, up = opened.chunk(2, -1)
        inner = torch.nn.functional.silu(gate) * up
        left = torch.empty_like(entered)
        for expert, (a, b) in enumerate(_spans(counts)):
            torch.mm(inner[a:b], down[expert].t(), out=left[a:b])
        ctx.counts = counts
        ctx.save_for_backward(
            entered, weights, gate_up, down, order, inverse, rows, opened, inner, left
        )
        gathered = left.index_select(0, inverse).view(tokens, chosen, -1)
        return torch.bmm(weights[:, None], gathered).squeeze(1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        entered, weights, gate_up, down, order, inverse, rows, opened, inner, left = (
            ctx.saved_tensors
        )
        tokens, chosen = weights.shape
        spread = gradient.index_select(0, rows)
        d_weights = (spread * left).sum(-1).index_select(0, inverse).view(tokens, chosen)
        d_left = spread.mul_(weights.reshape(-1).index_select(0, order)[:, None])
        d_down = torch.empty_like(down)
        d_inner = torch.empty_like(inner)
        for expert, (a, b) in enumerate(_spans(ctx.counts)):
            torch.mm(d_left[a:b].t(), inner[a:b], out=d_down[expert])
            torch.mm(d_left[a:b], down[expert], out=d_inner[a:b])
        gate, up = opened.chunk(2, -1)
        curve = torch.sigmoid(gate)
        smooth = gate * curve
        d_opened = torch.empty_like(opened)
        d_gate, d_up = d_opened.chunk(2, -1)
        torch.mul(d_inner, smooth, out=d_up)
        # silu' = s + silu (1 - s)
        torch.mul(d_inner.mul_(up), curve.add_(smooth.mul_(1 - curve)), out=d_gate)
        d_gate_up = torch.empty_like(gate_up)
        d_entered = torch.empty_like(entered)
        for expert, (a, b) in enumerate(_spans(ctx.counts)):
            torch.mm(d_opened[a:b].t(), entered[a:b], out=d_gate_up[expert])
            torch.mm(d_opened[a:b], gate_up[expert], out=d_entered[a:b])
        d_x = d_entered.index_select(0, inverse).view(tokens, chosen, -1).sum(1)
        return d_x, d_weights, d_gate_up, d_down, None, None, None


def _spans(counts: list[int]) -> list[tuple[int, int]]:
    """Return each expert's first row and the row behind its last."""
    spans, start = [], 0
    for count in counts:
        spans.append((start, start + count))
        start += count
    return spans


def mixture(
    x: Tensor, chosen: Tensor, weights: Tensor, gate_up: Tensor, down: Tensor
) -> tuple[Tensor, Tensor]:
    """Mix the experts' outputs.

    Args:
        x: `[tokens, hidden]`.
        chosen: each token's experts, `[tokens, experts per token]`.
        weights: their weights, of the same shape.
        gate_up: `[experts, 2 x width, hidden]`.
        down: `[experts, hidden, width]`.

    Returns:
        `[tokens, hidden]`, and the number of tokens of each expert.
    """
    flat = chosen.reshape(-1)
    order = torch.argsort(flat, stable=True)
    inverse = torch.empty_like(order)
    inverse[order] = torch.arange(order.shape[0])
    load = torch.bincount(flat, minlength=gate_up.shape[0])
    mixed: Tensor = _Grouped.apply(x, weights, gate_up, down, order, inverse, load.tolist())
    return mixed, load
