# ruff: noqa: PLR0917 -- the signatures are SGLang's, and its calls positional.
"""KV-cache slots: which slot holds which token of which request.

``req_to_token`` is SGLang's table ``[requests, pool_len]`` int32: row = request slot,
column = position in the sequence, value = KV-cache slot. The functions below read from
and write to it, and move whole slots. All of them change an argument in place, as the
compiled kernels do. The position ranges of a batch may have different lengths.
"""

import ctypes

import torch


def _rows_and_columns(
    request_rows: torch.Tensor, start: torch.Tensor, end: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """List the table cells of ``[start, end)`` for each request, request after request.

    Args:
        request_rows: ``[batch]`` integer, rows of the table.
        start: ``[batch]`` integer, first column.
        end: ``[batch]`` integer, one past the last column.

    Returns:
        Rows and columns, each ``[sum(end - start)]`` int64.
    """
    start = start.to(torch.int64)
    lengths = end.to(torch.int64) - start
    batch = torch.repeat_interleave(lengths)
    # The n-th cell of the batch is the (n - cells before its request)-th of its request.
    first_cell = torch.cumsum(lengths, dim=0) - lengths
    columns = torch.arange(batch.numel()) + (start - first_cell)[batch]
    return request_rows.to(torch.int64)[batch], columns


def assign_req_to_token_pool_cpu(
    req_pool_indices: torch.Tensor,
    req_to_token: torch.Tensor,
    start_offset: torch.Tensor,
    end_offset: torch.Tensor,
    out_cache_loc: torch.Tensor,
    pool_len: int,
) -> None:
    """Write freshly allocated slots into the table, request after request.

    Source: sglang/srt/mem_cache/allocation.py (``assign_req_to_token_pool``).

    Args:
        req_pool_indices: ``[batch]`` int64, table rows.
        req_to_token: ``[requests, pool_len]`` int32, written.
        start_offset: ``[batch]`` integer, first position to write.
        end_offset: ``[batch]`` integer, one past the last position to write.
        out_cache_loc: ``[>= sum(end - start)]`` int64, the slots.
        pool_len: Width of the table; the tensor says it too.
    """
    del pool_len
    rows, columns = _rows_and_columns(req_pool_indices, start_offset, end_offset)
    slots = out_cache_loc[: columns.numel()]
    req_to_token.index_put_((rows, columns), slots.to(req_to_token.dtype))


def assign_extend_cache_locs_cpu(
    req_pool_indices: torch.Tensor,
    req_to_token: torch.Tensor,
    start_offset: torch.Tensor,
    end_offset: torch.Tensor,
    out_cache_loc: torch.Tensor,
    pool_len: int,
) -> None:
    """Read the slots of ``[start, end)`` of each request, request after request.

    Source: sglang/kernels/ops/speculative/cache_locs.py (``assign_extend_cache_locs``).

    Args:
        req_pool_indices: ``[batch]`` int64, table rows.
        req_to_token: ``[requests, pool_len]`` int32.
        start_offset: ``[batch]`` integer, first position to read.
        end_offset: ``[batch]`` integer, one past the last position to read.
        out_cache_loc: ``[>= sum(end - start)]`` int64, its head is written.
        pool_len: Width of the table; the tensor says it too.
    """
    del pool_len
    rows, columns = _rows_and_columns(req_pool_indices, start_offset, end_offset)
    out_cache_loc[: columns.numel()] = req_to_token[rows, columns].to(out_cache_loc.dtype)


def assign_draft_cache_locs_contiguous_cpu(
    req_pool_indices: torch.Tensor,
    req_to_token: torch.Tensor,
    seq_lens: torch.Tensor,
    out_cache_loc: torch.Tensor,
    pool_len: int,
    topk: int,
    speculative_num_steps: int,
) -> None:
    """Read the slots in which the draft model will write its tokens.

    Source: sglang/kernels/ops/speculative/cache_locs.py (``assign_draft_cache_locs_contiguous``).

    Args:
        req_pool_indices: ``[batch]`` int64, table rows.
        req_to_token: ``[requests, pool_len]`` int32.
        seq_lens: ``[batch]`` integer, committed tokens per request.
        out_cache_loc: ``[batch * topk * speculative_num_steps]`` int64, written.
        pool_len: Width of the table; the tensor says it too.
        topk: Branches per draft step.
        speculative_num_steps: Draft steps.
    """
    del pool_len
    columns = seq_lens.to(torch.int64)[:, None] + torch.arange(topk * speculative_num_steps)
    slots = req_to_token[req_pool_indices.to(torch.int64)[:, None], columns]
    out_cache_loc[: slots.numel()] = slots.flatten().to(out_cache_loc.dtype)


def build_draft_decode_metadata_cpu(
    req_to_token: torch.Tensor,
    req_pool_indices: torch.Tensor,
    seq_lens: torch.Tensor,
    topk: int,
    num_steps: int,
    pool_len: int,
) -> torch.Tensor:
    """Give each draft branch its own table row: the shared prefix, then its own slots.

    Branch k of a request owns the ``num_steps`` slots from column
    ``seq_len + k * num_steps`` on (page size 1). Only as many columns are returned as
    the draft steps can read, since the pool is as wide as the model's context.

    Source: sglang/kernels/ops/speculative/cache_locs.py (``generate_draft_decode_kv_indices``) and
    sglang/srt/layers/attention/intel_amx_backend.py (``IntelAMXMultiStepDraftBackend``).

    Args:
        req_to_token: ``[requests, pool_len]`` int32.
        req_pool_indices: ``[batch]`` int64, table rows.
        seq_lens: ``[batch]`` integer, committed tokens per request.
        topk: Branches per draft step.
        num_steps: Draft steps.
        pool_len: Width of the table; the tensor says it too.

    Returns:
        ``[batch * topk, max(seq_lens) + num_steps]`` int32, row ``b * topk + k`` for
        branch k of request b.
    """
    del pool_len
    lengths = seq_lens.to(torch.int64)
    width = int(lengths.max()) + num_steps if lengths.numel() else num_steps
    rows = req_pool_indices.to(torch.int64)
    prefix = req_to_token[rows, :width].repeat_interleave(topk, dim=0)
    if topk > 1:
        # For a chain the branch's slots already follow the prefix.
        steps = torch.arange(num_steps)
        first_column = lengths[:, None] + torch.arange(topk) * num_steps
        read_columns = first_column[:, :, None] + steps
        own_slots = req_to_token[rows[:, None, None], read_columns]
        write_columns = (lengths[:, None] + steps).repeat_interleave(topk, dim=0)
        prefix.scatter_(1, write_columns, own_slots.flatten(0, 1))
    return prefix


def copy_all_layer_kv_cache_cpu(
    data_ptrs: torch.Tensor,
    strides: torch.Tensor,
    tgt_loc: torch.Tensor,
    src_loc: torch.Tensor,
) -> None:
    """Move KV-cache slots in every layer, as if all were read before any is written.

    Source: sglang/kernels/ops/kvcache/cache_move.py (``copy_all_layer_kv_cache_tiled``).

    Args:
        data_ptrs: ``[buffers]`` uint64, address of each layer's key or value buffer.
            Every buffer is contiguous in its slots and outlives the call.
        strides: ``[buffers]`` int64, bytes per slot of that buffer.
        tgt_loc: ``[moves]`` int64, slots to write.
        src_loc: ``[moves]`` int64, slots to read.
    """
    if tgt_loc.numel() == 0:
        return
    targets, sources = tgt_loc.to(torch.int64), src_loc.to(torch.int64)
    slots = int(torch.maximum(targets.max(), sources.max())) + 1
    for address, slot_bytes in zip(data_ptrs.tolist(), strides.tolist(), strict=True):
        memory = (ctypes.c_uint8 * (slots * slot_bytes)).from_address(address)
        buffer = torch.frombuffer(memory, dtype=torch.uint8).view(slots, slot_bytes)
        buffer.index_copy_(0, targets, buffer.index_select(0, sources))
