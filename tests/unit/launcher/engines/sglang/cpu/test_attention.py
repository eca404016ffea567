# ruff: noqa: FBT003, PLR0917 -- the operators are positional.
"""Decode and extend attention against one softmax per token, head and query in float64."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

pytest.importorskip("torch")

import torch

from launcher.engines.sglang.plugins.cpu.kernels.attention import (
    decode_attention_cpu,
    extend_attention_cpu,
)

HEADS, KV_HEADS, HEAD_DIM, VALUE_DIM, SLOTS, SCALING = 6, 2, 8, 4, 200, 0.31
Visible = Callable[[int, int, int], bool]


@dataclass(frozen=True)
class Variant:
    """Options of the formula; the defaults switch each one off."""

    logit_cap: float = 0.0
    window: int = 0
    sinks: bool = False


VARIANTS = [
    Variant(),
    Variant(logit_cap=1.5),
    Variant(window=3),
    Variant(sinks=True),
    Variant(logit_cap=2.0, window=4, sinks=True),
]


class Batch:
    """Requests with cached tokens in scattered slots.

    Every slot that no request owns holds NaN: reading one shows in the result.
    """

    def __init__(self, lengths: list[int], dtype: torch.dtype = torch.float32) -> None:
        generator = torch.Generator().manual_seed(sum(lengths))
        self.lengths, self.dtype = lengths, dtype
        self.rows = [2 * i + 1 for i in range(len(lengths))]
        self.table = torch.full((2 * len(lengths) + 1, 60), 199, dtype=torch.int32)
        order = torch.randperm(SLOTS - 1, generator=generator).to(torch.int32)
        self.keys = torch.full((SLOTS, KV_HEADS, HEAD_DIM), float("nan"), dtype=dtype)
        self.values = torch.full((SLOTS, KV_HEADS, VALUE_DIM), float("nan"), dtype=dtype)
        self.k: list[torch.Tensor] = []
        self.v: list[torch.Tensor] = []
        used = 0
        for row, length in zip(self.rows, lengths, strict=True):
            slots = order[used : used + length]
            used += length
            self.table[row, :length] = slots
            self.k.append(torch.randn(length, KV_HEADS, HEAD_DIM, generator=generator).to(dtype))
            self.v.append(torch.randn(length, KV_HEADS, VALUE_DIM, generator=generator).to(dtype))
            self.keys[slots.long()] = self.k[-1]
            self.values[slots.long()] = self.v[-1]
        self.sinks = torch.randn(HEADS, generator=generator)
        self.generator = generator

    def queries(self, tokens: int) -> torch.Tensor:
        shape = (tokens, HEADS, HEAD_DIM)
        return torch.randn(shape, generator=self.generator).to(self.dtype)

    def forget(self, new: list[int]) -> None:
        """Take the last tokens of each request out of the cache."""
        for row, length, count in zip(self.rows, self.lengths, new, strict=True):
            slots = self.table[row, length - count : length].long()
            self.keys[slots] = float("nan")
            self.values[slots] = float("nan")


def reference(
    query: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    seen: list[int],
    variant: Variant,
    sinks: torch.Tensor,
) -> list[list[float]]:
    """One query token: ``[heads, head_dim]`` against the tokens in ``seen``."""
    result = []
    q, k, v = query.double().tolist(), keys.double().tolist(), values.double().tolist()
    for head in range(HEADS):
        kv = head // (HEADS // KV_HEADS)
        logits = []
        for token in seen:
            logit = SCALING * sum(a * b for a, b in zip(q[head], k[token][kv], strict=True))
            if variant.logit_cap:
                logit = variant.logit_cap * math.tanh(logit / variant.logit_cap)
            logits.append(logit)
        weights = [math.exp(logit) for logit in logits]
        total = sum(weights) + (math.exp(float(sinks[head])) if variant.sinks else 0.0)
        result.append(
            [
                sum(w * v[token][kv][d] for w, token in zip(weights, seen, strict=True)) / total
                for d in range(VALUE_DIM)
            ]
        )
    return result


def decode(batch: Batch, query: torch.Tensor, variant: Variant) -> torch.Tensor:
    """Run the operator with the last token of each request as the new one."""
    new = [1] * len(batch.lengths)
    batch.forget(new)
    loc = [
        int(batch.table[row, length - 1])
        for row, length in zip(batch.rows, batch.lengths, strict=True)
    ]
    output = torch.empty(len(new), HEADS, VALUE_DIM, dtype=batch.dtype)
    decode_attention_cpu(
        query,
        batch.keys,
        batch.values,
        1.0,
        1.0,
        output,
        torch.stack([k[-1] for k in batch.k]).flatten(1),
        torch.stack([v[-1] for v in batch.v]).flatten(1),
        torch.tensor(loc),
        torch.empty(0),
        batch.table,
        torch.tensor(batch.rows),
        torch.tensor(batch.lengths),
        SCALING,
        variant.logit_cap,
        False,
        variant.window,
        None,
        batch.sinks if variant.sinks else None,
    )
    return output


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("lengths", [[1], [17], [5, 5], [1, 23, 9, 4]])
def test_decode_attends_to_the_whole_sequence(lengths: list[int], variant: Variant) -> None:
    batch = Batch(lengths)
    query = batch.queries(len(lengths))

    output = decode(batch, query, variant)

    for i, length in enumerate(lengths):
        oldest = max(0, length - variant.window) if variant.window else 0
        expected = reference(
            query[i], batch.k[i], batch.v[i], list(range(oldest, length)), variant, batch.sinks
        )
        torch.testing.assert_close(output[i], torch.tensor(expected), rtol=1e-4, atol=1e-5)


def new_tokens(new: list[int]) -> Iterator[tuple[int, int, int]]:
    """Yield (row of the flat batch, request, index among its new tokens)."""
    row = 0
    for request, count in enumerate(new):
        for i in range(count):
            yield row, request, i
            row += 1


def extend(
    batch: Batch,
    new: list[int],
    query: torch.Tensor,
    variant: Variant,
    *,
    tree_mask: torch.Tensor | None = None,
    is_causal: bool = True,
    from_cache: bool = False,
) -> torch.Tensor:
    k = torch.cat([k[len(k) - count :] for k, count in zip(batch.k, new, strict=True)])
    v = torch.cat([v[len(v) - count :] for v, count in zip(batch.v, new, strict=True)])
    if not from_cache:
        batch.forget(new)
    output = torch.empty(sum(new), HEADS, VALUE_DIM, dtype=batch.dtype)
    extend_attention_cpu(
        query,
        None if from_cache else k,
        None if from_cache else v,
        output,
        batch.keys,
        batch.values,
        1.0,
        1.0,
        batch.table,
        torch.tensor(batch.rows),
        torch.tensor(batch.lengths),
        torch.tensor(new, dtype=torch.int32),
        torch.tensor([sum(new[:i]) for i in range(len(new))], dtype=torch.int32),
        max(new),
        SCALING,
        variant.logit_cap,
        False,
        variant.window,
        None,
        batch.sinks if variant.sinks else None,
        tree_mask,
        is_causal,
    )
    return output


def check(
    batch: Batch,
    new: list[int],
    query: torch.Tensor,
    output: torch.Tensor,
    variant: Variant,
    visible: Visible,
) -> None:
    """Compare; ``visible(request, new token, position)`` says what a token sees."""
    for row, request, i in new_tokens(new):
        seen = [p for p in range(batch.lengths[request]) if visible(request, i, p)]
        expected = reference(
            query[row], batch.k[request], batch.v[request], seen, variant, batch.sinks
        )
        torch.testing.assert_close(output[row], torch.tensor(expected), rtol=1e-4, atol=1e-5)


EXTENDS = [
    ([7], [7]),  # a prompt, nothing cached
    ([20], [3]),  # a chunk, or a prompt with a cached prefix
    ([9, 9], [4, 4]),  # verify, same lengths
    ([5, 31, 12], [4, 4, 4]),  # verify, ragged
    ([6, 21, 3], [6, 2, 1]),  # prefills of different lengths
    ([6, 21, 3], [2, 0, 1]),  # one request has nothing new
]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(("lengths", "new"), EXTENDS)
def test_extend_is_causal(lengths: list[int], new: list[int], variant: Variant) -> None:
    batch = Batch(lengths)
    query = batch.queries(sum(new))

    output = extend(batch, new, query, variant)

    def visible(request: int, i: int, position: int) -> bool:
        own = lengths[request] - new[request] + i
        return position <= own and (not variant.window or position > own - variant.window)

    check(batch, new, query, output, variant, visible)


@pytest.mark.parametrize(("lengths", "new"), EXTENDS)
def test_extend_reads_its_new_tokens_from_the_cache_if_given_none(
    lengths: list[int], new: list[int]
) -> None:
    batch = Batch(lengths)
    query = batch.queries(sum(new))
    output = extend(batch, new, query, Variant(), from_cache=True)
    check(
        batch,
        new,
        query,
        output,
        Variant(),
        lambda request, i, position: position <= lengths[request] - new[request] + i,
    )


@pytest.mark.parametrize(("lengths", "new"), EXTENDS)
def test_extend_without_causality_sees_everything(lengths: list[int], new: list[int]) -> None:
    batch = Batch(lengths)
    query = batch.queries(sum(new))
    output = extend(batch, new, query, Variant(), is_causal=False)
    check(batch, new, query, output, Variant(), lambda *_: True)


@pytest.mark.parametrize("variant", [v for v in VARIANTS if not v.window])
@pytest.mark.parametrize(
    ("lengths", "new"), [([8], [8]), ([20], [5]), ([9, 30, 12], [8, 8, 8]), ([9, 30], [3, 5])]
)
def test_extend_follows_the_tree_mask(lengths: list[int], new: list[int], variant: Variant) -> None:
    batch = Batch(lengths)
    query = batch.queries(sum(new))
    masks = [
        torch.rand(count, count, generator=batch.generator).gt(0.5).logical_or(torch.eye(count) > 0)
        for count in new
    ]

    output = extend(
        batch, new, query, variant, tree_mask=torch.cat([mask.flatten() for mask in masks])
    )

    def visible(request: int, i: int, position: int) -> bool:
        prefix = lengths[request] - new[request]
        return position < prefix or bool(masks[request][i, position - prefix])

    check(batch, new, query, output, variant, visible)


def test_long_prefill_matches_the_short_path() -> None:
    lengths, new = [50, 40], [50, 38]
    batch = Batch(lengths)
    query = batch.queries(sum(new))
    short = extend(batch, new, query, Variant())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("launcher.engines.sglang.plugins.cpu.kernels.attend.FOLDED_QUERY_ROWS", 8)
        long = extend(batch, new, query, Variant())
    torch.testing.assert_close(long, short, rtol=1e-5, atol=1e-6)


def test_bfloat16_stays_within_its_precision() -> None:
    batch = Batch([12, 20], torch.bfloat16)
    query = batch.queries(2)
    output = decode(batch, query, Variant())
    for i, length in enumerate(batch.lengths):
        expected = reference(
            query[i], batch.k[i], batch.v[i], list(range(length)), Variant(), batch.sinks
        )
        torch.testing.assert_close(output[i].float(), torch.tensor(expected), rtol=2e-2, atol=2e-2)


def test_an_8_bit_cache_is_scaled_back() -> None:
    keys = torch.randn(4, 1, HEAD_DIM).to(torch.float8_e4m3fn)
    values = torch.randn(4, 1, HEAD_DIM).to(torch.float8_e4m3fn)
    query, output = torch.randn(1, 1, HEAD_DIM), torch.empty(1, 1, HEAD_DIM)
    decode_attention_cpu(
        query,
        keys,
        values,
        2.0,
        0.5,
        output,
        None,
        None,
        None,
        torch.empty(0),
        torch.arange(4, dtype=torch.int32)[None],
        torch.tensor([0]),
        torch.tensor([4]),
        1.0,
        0.0,
        False,
        0,
        None,
        None,
    )
    weights = torch.softmax(query[0] @ (keys.float()[:, 0] * 2.0).T, dim=-1)
    torch.testing.assert_close(output[0], weights @ (values.float()[:, 0] * 0.5))


def test_a_full_mask_is_refused() -> None:
    batch = Batch([9])
    with pytest.raises(ValueError, match="QLEN_ONLY"):
        extend(batch, [3], batch.queries(3), Variant(), tree_mask=torch.ones(27).bool())


def test_a_tree_with_a_window_is_refused() -> None:
    batch = Batch([9])
    with pytest.raises(NotImplementedError, match="sliding window"):
        extend(batch, [3], batch.queries(3), Variant(window=4), tree_mask=torch.ones(9).bool())


def test_cross_attention_is_refused() -> None:
    nothing = torch.empty(0)
    with pytest.raises(NotImplementedError, match="cross attention"):
        decode_attention_cpu(
            nothing,
            nothing,
            nothing,
            1.0,
            1.0,
            nothing,
            None,
            None,
            None,
            nothing,
            nothing,
            nothing,
            nothing,
            1.0,
            0.0,
            True,
            0,
            None,
            None,
        )
