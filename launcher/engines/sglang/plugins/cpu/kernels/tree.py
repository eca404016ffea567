# ruff: noqa: PLR0917 -- the signatures are SGLang's, and its calls positional.
"""Draft trees: from the draft model's picks to a tree, and greedy verify along it.

A tree of ``draft_tokens`` nodes: node 0 is the last committed token, nodes 1 and up are
draft tokens in the order of ``selected_index``. A node's first child is in
``next_token``, its next sibling in ``next_sibling``, -1 where there is none. A chain
(top-k 1) is the tree in which each node has one child.
"""

from typing import Final

import torch

# sglang/kernels/ops/speculative/spec_tree.py (``TreeMaskMode``).
FULL_MASK: Final = 0
QLEN_ONLY: Final = 1


def _parents(parent_list: torch.Tensor, selected_index: torch.Tensor, topk: int) -> torch.Tensor:
    """Find each draft token's parent node.

    ``selected_index`` numbers a pick by (parent * topk + rank); parent 0 is the root,
    and parent p > 0 is the pick ``parent_list[p]``.

    Args:
        parent_list: ``[batch, picks expanded]`` int64; may have no columns.
        selected_index: ``[batch, draft_tokens - 1]`` int64, ascending.
        topk: Branches per draft step.

    Returns:
        ``[batch, draft_tokens - 1]`` int64, parent node of nodes 1 and up; -1 if the
        parent itself was not selected, which leaves the node outside the tree.
    """
    group = selected_index // topk
    if parent_list.shape[-1] == 0:
        return torch.where(group == 0, 0, -1)
    parent_pick = parent_list.gather(1, group.clamp(max=parent_list.shape[1] - 1))
    same_pick = parent_pick[:, :, None] == selected_index[:, None, :]
    found, position = same_pick.to(torch.uint8).max(dim=-1)
    parent = torch.where(found.bool(), position + 1, -1)
    return torch.where(group == 0, 0, parent)


def build_tree_kernel_efficient_cpu(
    parent_list: torch.Tensor,
    selected_index: torch.Tensor,
    verified_seq_len: torch.Tensor,
    tree_mask: torch.Tensor,
    positions: torch.Tensor,
    retrieve_index: torch.Tensor,
    retrieve_next_token: torch.Tensor,
    retrieve_next_sibling: torch.Tensor,
    topk: int,
    depth: int,
    draft_token_num: int,
    tree_mask_mode: int = QLEN_ONLY,
) -> None:
    """Build the verify step's attention mask, positions and child links.

    Source: sglang/kernels/ops/speculative/spec_tree.py
    (``sgl_build_tree_kernel_efficient_triton``).

    Args:
        parent_list: ``[batch, picks expanded]`` int64.
        selected_index: ``[batch, draft_tokens - 1]`` int64, ascending.
        verified_seq_len: ``[batch]`` integer, committed tokens per request.
        tree_mask: Flat bool, written: ``QLEN_ONLY`` ``[batch * n * n]``; ``FULL_MASK``
            request after request ``[n, seq_len + n]`` of which the prefix columns stay
            as they are.
        positions: ``[batch * n]`` int64, written: seq_len + depth of the node.
        retrieve_index: ``[batch, n]`` int64, written: flat index of each node.
        retrieve_next_token: ``[batch, n]`` int64, written: first child or -1.
        retrieve_next_sibling: ``[batch, n]`` int64, written: next sibling or -1.
        topk: Branches per draft step.
        depth: Draft steps: no node is deeper.
        draft_token_num: n, nodes per tree with the root.
        tree_mask_mode: ``FULL_MASK`` or ``QLEN_ONLY``.

    Raises:
        NotImplementedError: For ``QLEN_ONLY_BITPACKING``, which no CPU path asks for.
    """
    mode = int(tree_mask_mode)
    if mode not in (FULL_MASK, QLEN_ONLY):
        raise NotImplementedError(
            f"tree mask mode {mode} (bit packing) is not implemented on the CPU; "
            f"use FULL_MASK ({FULL_MASK}) or QLEN_ONLY ({QLEN_ONLY})"
        )
    nodes = draft_token_num
    batch = verified_seq_len.numel()
    if batch == 0:
        return
    parents = parent_list.reshape(batch, parent_list.numel() // batch)
    parent = _parents(parents, selected_index, topk)

    ancestor, level = _ancestors(parent, depth)
    child, sibling = _links(parent)
    retrieve_next_token.copy_(child)
    retrieve_next_sibling.copy_(sibling)
    retrieve_index.copy_(torch.arange(batch * nodes).view(batch, nodes))
    positions.copy_((level + verified_seq_len.to(torch.int64)[:, None]).flatten())
    _write_mask(tree_mask, ancestor, verified_seq_len, mode)


def _ancestors(parent: torch.Tensor, depth: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return which nodes are on each node's way to the root, ``[batch, n, n]``, and its depth.

    All nodes walk at once. Node 0 is its own parent, so a finished walk stays there; -1
    (outside the tree) is turned into the root as well.
    """
    batch, nodes = parent.shape[0], parent.shape[1] + 1
    up = torch.cat([parent.new_zeros(batch, 1), parent.clamp(min=0)], dim=1)
    node = torch.arange(nodes)
    ancestor = (node == 0).repeat(batch, nodes, 1)
    current = node.repeat(batch, 1)
    level = torch.zeros_like(current)
    for _ in range(depth):
        ancestor.scatter_(2, current[:, :, None], value=True)
        level += current > 0
        current = up.gather(1, current)
    return ancestor, level


def _links(parent: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return first child and next sibling of each node, ``[batch, n]``, -1 for none.

    Children of one node are linked in ascending order.
    """
    node = torch.arange(parent.shape[1] + 1)
    linked = torch.cat([parent.new_full((parent.shape[0], 1), -2), parent], dim=1)
    is_child = linked[:, None, :] == node[:, None]
    is_sibling = (linked[:, None, :] == linked[:, :, None]) & (linked[:, :, None] >= 0)
    return _first_true(is_child), _first_true(is_sibling & (node[:, None] < node))


def _first_true(flags: torch.Tensor) -> torch.Tensor:
    """Return the index of the first true value in the last dimension, or -1."""
    found, index = flags.to(torch.uint8).max(dim=-1)
    return torch.where(found.bool(), index, -1)


def _write_mask(
    tree_mask: torch.Tensor, ancestor: torch.Tensor, seq_lens: torch.Tensor, mode: int
) -> None:
    """Write ``ancestor`` ``[batch, n, n]`` into the flat mask, see the caller."""
    nodes = ancestor.shape[1]
    if mode == QLEN_ONLY:
        tree_mask[: ancestor.numel()] = ancestor.flatten()
        return
    offset = 0
    for request, seq_len in enumerate(seq_lens.tolist()):
        cells = nodes * (seq_len + nodes)
        rows = tree_mask[offset : offset + cells].view(nodes, seq_len + nodes)
        rows[:, seq_len:] = ancestor[request]
        offset += cells


def verify_tree_greedy_cpu(
    predicts: torch.Tensor,
    accept_index: torch.Tensor,
    accept_token_num: torch.Tensor,
    candidates: torch.Tensor,
    retrive_index: torch.Tensor,
    retrive_next_token: torch.Tensor,
    retrive_next_sibling: torch.Tensor,
    target_predict: torch.Tensor,
) -> None:
    """Walk each tree along the target model's own choices.

    The walk depends on what it meets, step by step, and trees are small: plain lists
    are faster than tensor operations here.

    Source: sglang/kernels/ops/speculative/spec_tree.py
    (``verify_tree_greedy_kernel_triton``); the spelling ``retrive`` is the operator's.

    Args:
        predicts: ``[batch * n]`` int32, written at the accepted nodes: the token that
            the target model puts behind that node.
        accept_index: ``[batch, max accepted]`` int32, written: flat indices of the
            accepted nodes, the root first; the rest stays as it is (-1).
        accept_token_num: ``[batch]`` int32, written: accepted draft tokens, without the
            bonus token.
        candidates: ``[batch, n]`` integer, the tree's tokens.
        retrive_index: ``[batch, n]`` int64, flat index of each node.
        retrive_next_token: ``[batch, n]`` int64, first child or -1.
        retrive_next_sibling: ``[batch, n]`` int64, next sibling or -1.
        target_predict: ``[batch, n]`` integer, the target model's choice behind a node.
    """
    width = accept_index.shape[1]
    target = target_predict.flatten().tolist()
    accepted_nodes: list[int] = []
    accepted_slots: list[int] = []
    accepted_counts: list[int] = []
    trees = zip(
        candidates.tolist(),
        retrive_index.tolist(),
        retrive_next_token.tolist(),
        retrive_next_sibling.tolist(),
        strict=True,
    )
    for request, tree in enumerate(trees):
        accepted = _walk(*tree, target=target, longest=width)
        accepted_nodes += accepted
        accepted_slots += range(request * width, request * width + len(accepted))
        accepted_counts.append(len(accepted) - 1)

    nodes = torch.tensor(accepted_nodes, dtype=torch.int64)
    predicts[nodes] = target_predict.flatten()[nodes].to(predicts.dtype)
    slots = torch.tensor(accepted_slots, dtype=torch.int64)
    accept_index.view(-1)[slots] = nodes.to(accept_index.dtype)
    accept_token_num.copy_(torch.tensor(accepted_counts))


def _walk(
    tokens: list[int],
    flat: list[int],
    child: list[int],
    sibling: list[int],
    *,
    target: list[int],
    longest: int,
) -> list[int]:
    """Return the flat indices of one tree's accepted nodes, the root first."""
    node, accepted = 0, [flat[0]]
    while len(accepted) < longest:
        node = child[node]
        while node != -1 and tokens[node] != target[accepted[-1]]:
            node = sibling[node]
        if node == -1:
            break
        accepted.append(flat[node])
    return accepted


def reconstruct_indices_from_tree_mask(
    tree_mask: torch.Tensor,
    verified_seq_len: torch.Tensor,
    positions: torch.Tensor,
    retrive_index: torch.Tensor,
    retrive_next_token: torch.Tensor,
    retrive_next_sibling: torch.Tensor,
    batch_size: int,
    draft_token_num: int,
) -> None:
    """Recover positions and child links from a tree's mask (n-gram speculation).

    Source: sglang/kernels/ops/speculative/reconstruct_tree.py.

    Args:
        tree_mask: Flat bool, ``[batch * n * n]``; ``[i, j]`` marks j as i's ancestor.
        verified_seq_len: ``[batch]`` integer, committed tokens per request.
        positions: ``[batch * n]`` int64, written: seq_len + depth of the node.
        retrive_index: ``[batch, n]`` or flat int64, written: flat index of each node.
        retrive_next_token: The same shape, written: first child or -1.
        retrive_next_sibling: The same shape, written: next sibling or -1.
        batch_size: Requests.
        draft_token_num: n, nodes per tree with the root.
    """
    shape = (batch_size, draft_token_num)
    node = torch.arange(draft_token_num)
    ancestor = tree_mask.view(*shape, draft_token_num).bool() & (node < node[:, None])
    depth = ancestor.sum(dim=-1)
    # The parent is the closest ancestor: the one with the highest number.
    parent = torch.where(ancestor, node, -1).amax(dim=-1)
    siblings = (parent[:, None, :] == parent[:, :, None]) & (parent[:, :, None] >= 0)
    child = _first_true(ancestor.transpose(1, 2))
    sibling = _first_true(siblings & (node[:, None] < node))
    positions.copy_((depth + verified_seq_len.to(torch.int64)[:, None]).view_as(positions))
    retrive_index.copy_(torch.arange(batch_size * draft_token_num).view_as(retrive_index))
    retrive_next_token.copy_(child.view_as(retrive_next_token))
    retrive_next_sibling.copy_(sibling.view_as(retrive_next_sibling))
