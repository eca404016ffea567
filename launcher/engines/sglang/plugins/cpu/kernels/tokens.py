"""Token rows around verify: the bonus token, accepted slots, shifted draft inputs."""

import torch


def fill_bonus_tokens_cpu(
    accept_tokens: torch.Tensor,
    accept_lens: torch.Tensor,
    bonus_tokens: torch.Tensor,
    accept_stride: int,
) -> None:
    """Take the last accepted token of each request: the target model's own one.

    Source: sglang/kernels/ops/speculative/eagle.py (``fill_bonus_tokens``).

    Args:
        accept_tokens: ``[batch * accept_stride]`` integer, accepted tokens, padded.
        accept_lens: ``[batch]`` integer, accepted tokens including the bonus token.
        bonus_tokens: ``[batch]`` integer, written.
        accept_stride: Width of one request's row in ``accept_tokens``.
    """
    first = torch.arange(accept_lens.numel()) * accept_stride
    last = first + accept_lens.to(torch.int64) - 1
    bonus_tokens.copy_(accept_tokens.flatten()[last])


def fill_accept_out_cache_loc_cpu(
    accept_index: torch.Tensor,
    out_cache_loc: torch.Tensor,
    accept_out_cache_loc: torch.Tensor,
) -> None:
    """Pack the KV-cache slots of the accepted draft tokens, in order, without gaps.

    Source: sglang/kernels/ops/speculative/eagle.py (``fill_accept_out_cache_loc``).

    Args:
        accept_index: ``[batch, width]`` or flat integer, indices into
            ``out_cache_loc``; -1 where nothing was accepted.
        out_cache_loc: ``[batch * draft_tokens]`` int64, slots of all draft tokens.
        accept_out_cache_loc: ``[>= accepted]`` int64, its head is written.
    """
    index = accept_index.flatten()
    slots = out_cache_loc[index[index > -1].to(torch.int64)]
    accept_out_cache_loc[: slots.numel()] = slots


def rotate_input_ids_cpu(
    input_ids: torch.Tensor,
    extend_start_loc: torch.Tensor,
    extend_seq_lens: torch.Tensor,
    topk_index: torch.Tensor,
    select_index: torch.Tensor | None = None,
) -> None:
    """Shift each request's tokens left by one and write the next token behind them.

    A NextN layer predicts from (hidden state of token t, token t + 1).

    Source: sglang/kernels/ops/speculative/multi_layer_eagle.py (``rotate_input_ids_kernel``).

    Args:
        input_ids: ``[tokens]`` integer, the batch's tokens one request after another;
            changed in place.
        extend_start_loc: ``[batch]`` integer, first token of each request.
        extend_seq_lens: ``[batch]`` integer, tokens of each request; 0 leaves it alone.
        topk_index: ``[batch]`` or ``[batch, 1]`` integer, the next token.
        select_index: ``[batch]`` integer, where to write the next token; ``None``
            stands for the request's last position.
    """
    starts, lengths = extend_start_loc.tolist(), extend_seq_lens.tolist()
    positions = None if select_index is None else select_index.tolist()
    next_tokens = topk_index.flatten()
    for request, (start, length) in enumerate(zip(starts, lengths, strict=True)):
        if length <= 0:
            continue
        end = start + length
        input_ids[start : end - 1] = input_ids[start + 1 : end].clone()
        input_ids[end - 1 if positions is None else positions[request]] = next_tokens[request]
