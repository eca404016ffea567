# ruff: noqa: PLR0917, FBT001 -- the signatures are SGLang's, and the operators positional.
"""Attention over the slot-indexed KV cache: decode (one new token) and extend (several).

Buffers are ``[slots, kv_heads, head_dim]``; a request's slots stand in its row of
``req_to_token``.

Covered: grouped-query heads, value heads of another width than key heads, logit cap,
sliding window, sinks, 8-bit cache with a scale, causal and full visibility, and draft
trees as a ``[n, n]`` mask per request. Refused: cross attention, and a window together
with a tree or with full visibility.
"""

import torch

from launcher.engines.sglang.plugins.cpu.kernels.attend import FOLDED_QUERY_ROWS, attend, gather


def _refuse_cross_attention(*, is_cross_attn: bool, encoder_lens: torch.Tensor | None) -> None:
    if is_cross_attn or encoder_lens is not None:
        raise NotImplementedError(
            "cross attention (encoder_lens) is not implemented by the PyTorch CPU kernels"
        )


def decode_attention_cpu(
    query: torch.Tensor,
    k_buffer: torch.Tensor,
    v_buffer: torch.Tensor,
    k_scale: float,
    v_scale: float,
    output: torch.Tensor,
    key: torch.Tensor | None,
    value: torch.Tensor | None,
    loc: torch.Tensor | None,
    attn_logits: torch.Tensor,
    req_to_token: torch.Tensor,
    req_pool_indices: torch.Tensor,
    seq_lens: torch.Tensor,
    sm_scale: float,
    logit_cap: float,
    is_cross_attn: bool,
    sliding_window_size: int,
    encoder_lens: torch.Tensor | None,
    sinks: torch.Tensor | None,
) -> None:
    """One new token per request: store its key and value, then attend to the sequence.

    Source: sglang/srt/layers/attention/intel_amx_backend.py
    (``forward_decode``), sglang/kernels/ops/attention/decode_attention.py.

    Args:
        query: ``[batch, heads, head_dim]``.
        k_buffer: ``[slots, kv_heads, head_dim]``, written at ``loc``.
        v_buffer: ``[slots, kv_heads, value_dim]``, written at ``loc``.
        k_scale: Scale of an 8-bit key cache.
        v_scale: Scale of an 8-bit value cache.
        output: ``[batch, heads, value_dim]``, written.
        key: ``[batch, kv_heads, head_dim]`` (or flat) new keys; ``None`` if the caller
            has stored them.
        value: The same for the values.
        loc: ``[batch]`` int64, slots of the new tokens.
        attn_logits: Scratch of the compiled kernel, unused.
        req_to_token: ``[requests, width]`` int32.
        req_pool_indices: ``[batch]`` int64, rows of that table.
        seq_lens: ``[batch]`` int64, tokens per request with the new one, at least 1.
        sm_scale: Factor on the logits.
        logit_cap: 0 for none.
        is_cross_attn: Must be false.
        sliding_window_size: Tokens visible with the new one; 0 or less for all.
        encoder_lens: Must be ``None``.
        sinks: ``[heads]`` or ``None``.

    Raises:
        NotImplementedError: For cross attention.
    """
    del attn_logits
    _refuse_cross_attention(is_cross_attn=is_cross_attn, encoder_lens=encoder_lens)
    if key is not None and value is not None and loc is not None:
        k_buffer.index_copy_(0, loc, key.view(-1, *k_buffer.shape[1:]))
        v_buffer.index_copy_(0, loc, value.view(-1, *v_buffer.shape[1:]))

    lengths = seq_lens.tolist()
    longest = max(lengths)
    slots = req_to_token[req_pool_indices, :longest]
    visible: torch.Tensor | None = None
    if min(lengths) != longest:
        position = torch.arange(longest)
        visible = position < seq_lens[:, None]
        # Beyond a request's end the table holds anything. A masked slot still enters
        # the product with weight 0, so it must hold a number: take the first token's.
        slots = torch.where(visible, slots, slots[:, :1])
    if 0 < sliding_window_size < longest:
        recent = torch.arange(longest) >= seq_lens[:, None] - sliding_window_size
        visible = recent if visible is None else visible & recent

    keys = gather(k_buffer, slots, k_scale, query.dtype)
    values = gather(v_buffer, slots, v_scale, query.dtype)
    out = attend(
        query[:, None],
        keys,
        values,
        None if visible is None else visible[:, None],
        scaling=sm_scale,
        logit_cap=logit_cap,
        sinks=sinks,
    )
    output.copy_(out[:, 0])


def extend_attention_cpu(
    q_extend: torch.Tensor,
    k_extend: torch.Tensor | None,
    v_extend: torch.Tensor | None,
    o_extend: torch.Tensor,
    k_buffer: torch.Tensor,
    v_buffer: torch.Tensor,
    k_scale: float,
    v_scale: float,
    req_to_token: torch.Tensor,
    req_pool_indices: torch.Tensor,
    seq_lens: torch.Tensor,
    extend_seq_lens: torch.Tensor,
    extend_start_loc: torch.Tensor,
    max_len_extend: int,
    sm_scale: float,
    logit_cap: float,
    is_cross_attn: bool,
    sliding_window_size: int,
    encoder_lens: torch.Tensor | None,
    sinks: torch.Tensor | None,
    tree_mask: torch.Tensor | None,
    is_causal: bool,
) -> None:
    """Several new tokens per request: prefill, target verify, draft extend.

    The prefix comes from the cache, the new tokens from ``k_extend`` and ``v_extend``.

    Source: sglang/srt/layers/attention/intel_amx_backend.py
    (``forward_extend``), sglang/kernels/ops/attention/extend_attention.py.

    Args:
        q_extend: ``[tokens, heads, head_dim]``, one request after another.
        k_extend: ``[tokens, kv_heads, head_dim]`` (or flat); ``None`` takes the new
            tokens from the cache too.
        v_extend: The same for the values.
        o_extend: ``[tokens, heads, value_dim]``, written.
        k_buffer: ``[slots, kv_heads, head_dim]``.
        v_buffer: ``[slots, kv_heads, value_dim]``.
        k_scale: Scale of an 8-bit key cache.
        v_scale: Scale of an 8-bit value cache.
        req_to_token: ``[requests, width]`` int32.
        req_pool_indices: ``[batch]`` int64, rows of that table.
        seq_lens: ``[batch]`` int64, prefix and new tokens.
        extend_seq_lens: ``[batch]`` integer, new tokens.
        extend_start_loc: ``[batch]`` integer, first new token of each request.
        max_len_extend: Longest ``extend_seq_lens``; unused.
        sm_scale: Factor on the logits.
        logit_cap: 0 for none.
        is_cross_attn: Must be false.
        sliding_window_size: Tokens visible with the own one; 0 or less for all.
        encoder_lens: Must be ``None``.
        sinks: ``[heads]`` or ``None``.
        tree_mask: Flat bool, ``[n, n]`` per request with n new tokens (mask mode
            ``QLEN_ONLY``): which new tokens a new token sees. The prefix is visible.
        is_causal: False makes all tokens visible to all (encoders).

    Raises:
        NotImplementedError: For cross attention, and for a sliding window together with
            a tree or with full visibility.
        ValueError: If the mask has another size, as with mask mode ``FULL_MASK``.
    """
    del max_len_extend
    _refuse_cross_attention(is_cross_attn=is_cross_attn, encoder_lens=encoder_lens)
    new, total, starts = extend_seq_lens.tolist(), seq_lens.tolist(), extend_start_loc.tolist()
    _check_visibility(new, tree_mask, sliding_window_size, is_causal=is_causal)

    for requests in _groups(new, starts):
        rows, lengths = new[requests.start], total[requests]
        count, longest = len(lengths), max(lengths)
        tokens = slice(starts[requests.start], starts[requests.start] + count * rows)
        ends = seq_lens[requests, None]
        query_position = ends - rows + torch.arange(rows)

        slots = req_to_token[req_pool_indices[requests], :longest]
        if min(lengths) != longest:
            # As in decode: what is masked must still be a number.
            slots = torch.where(torch.arange(longest) < ends, slots, slots[:, :1])
        keys = gather(k_buffer, slots, k_scale, q_extend.dtype)
        values = gather(v_buffer, slots, v_scale, q_extend.dtype)
        if k_extend is not None and v_extend is not None:
            request = torch.arange(count)[:, None]
            new_keys = k_extend.view(-1, *k_buffer.shape[1:])[tokens]
            new_values = v_extend.view(-1, *v_buffer.shape[1:])[tokens]
            keys[request, query_position] = new_keys.view(count, rows, *new_keys.shape[1:])
            values[request, query_position] = new_values.view(count, rows, *new_values.shape[1:])

        if tree_mask is not None:
            first_cell = sum(length * length for length in new[: requests.start])
            tree = tree_mask[first_cell : first_cell + count * rows * rows]
            visible = _visible_in_tree(tree.view(count, rows, rows), query_position, longest)
        elif is_causal:
            visible = torch.arange(longest) <= query_position[:, :, None]
        else:
            visible = (torch.arange(longest) < ends)[:, None]
        if sliding_window_size > 0:
            oldest = query_position[:, :, None] - sliding_window_size
            visible = visible & (torch.arange(longest) > oldest)

        query = q_extend[tokens].view(count, rows, *q_extend.shape[1:])
        out = attend(
            query, keys, values, visible, scaling=sm_scale, logit_cap=logit_cap, sinks=sinks
        )
        o_extend[tokens] = out.reshape(count * rows, *o_extend.shape[1:])


def _groups(new: list[int], starts: list[int]) -> list[slice]:
    """Split a batch into runs of requests to compute together.

    Verify and draft extend have one length of new tokens for all: one run. Prefill
    goes request by request: padding to the longest would cost more than the calls.
    """
    batch, rows = len(new), new[0] if new else 0
    uniform = all(length == rows for length in new)
    adjacent = all(start == starts[0] + i * rows for i, start in enumerate(starts))
    if batch and rows and uniform and adjacent and rows <= FOLDED_QUERY_ROWS:
        return [slice(0, batch)]
    return [slice(request, request + 1) for request, length in enumerate(new) if length > 0]


def _visible_in_tree(
    tree: torch.Tensor, query_position: torch.Tensor, longest: int
) -> torch.Tensor:
    """Spread a tree's mask over the sequence: the prefix is visible, the rest as told.

    Args:
        tree: ``[batch, n, n]`` bool.
        query_position: ``[batch, n]`` int64, positions of the new tokens.
        longest: Length of the result's last dimension.

    Returns:
        ``[batch, n, longest]`` bool.
    """
    rows = tree.shape[1]
    prefix = torch.arange(longest) < query_position[:, :1]
    visible = prefix[:, None].repeat(1, rows, 1)
    return visible.scatter_(2, query_position[:, None].expand(-1, rows, -1), tree.bool())


def _check_visibility(
    new: list[int], tree_mask: torch.Tensor | None, sliding_window_size: int, *, is_causal: bool
) -> None:
    """Refuse combinations that this module does not compute; see the caller's Raises."""
    if tree_mask is not None:
        cells = sum(length * length for length in new)
        if tree_mask.numel() != cells:
            raise ValueError(
                f"tree mask has {tree_mask.numel()} cells, the CPU kernels read "
                f"new x new = {cells} (mask mode QLEN_ONLY)"
            )
    if sliding_window_size > 0 and (tree_mask is not None or not is_causal):
        raise NotImplementedError(
            "a sliding window with a draft tree or with full visibility is not implemented"
        )
