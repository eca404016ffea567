"""Fields of a configuration that SGLang takes together or not at all. Pure."""

from __future__ import annotations

from typing import Final

# Those that draft step by step, so that steps, top-k and draft tokens belong together.
STEPWISE_ALGORITHMS: Final = frozenset({"EAGLE", "EAGLE3", "NEXTN", "STANDALONE"})


def flaw_of_speculation(
    algorithm: str | None,
    draft_model_path: str | None,
    *,
    steps: int | None,
    topk: int | None,
    draft_tokens: int | None,
) -> str | None:
    """Why SGLang would not speculate so, as a clause; None if nothing."""
    if algorithm is None:
        return None
    if algorithm == "STANDALONE" and not draft_model_path:
        return "STANDALONE needs speculative_draft_model_path"
    if algorithm not in STEPWISE_ALGORITHMS:
        return None
    # SGLang chooses all three or none: arg_groups/speculative_hook.py. It counts the draft
    # tokens of a chain itself.
    together = [steps, topk] if topk == 1 else [steps, topk, draft_tokens]
    if any(number is None for number in together) and (steps or topk or draft_tokens):
        return (
            "speculative_num_steps, speculative_eagle_topk and speculative_num_draft_tokens "
            f"are set together or not at all, and here they are {steps or 'unset'}, "
            f"{topk or 'unset'} and {draft_tokens or 'unset'}"
        )
    if steps is not None and topk == 1 and draft_tokens not in (None, steps + 1):
        return (
            f"with speculative_eagle_topk 1 and speculative_num_steps {steps}, "
            f"speculative_num_draft_tokens must be {steps + 1}, not {draft_tokens}"
        )
    return None


def flaw_of_adaptive(
    algorithm: str | None, *, topk: int | None, has_file: bool, is_on: bool, groups: bool
) -> str | None:
    """Why SGLang would not change its draft steps, as a clause; None if nothing.

    SGLang itself only warns, and speculates as it would without.
    Source: sglang 0.5.23, srt/speculative/adaptive_spec_params.py, `adaptive_unsupported_reason`.
    """
    if not is_on:
        return "speculative_adaptive_config needs speculative_adaptive" if has_file else None
    if algorithm is None:
        # Plain decoding has no steps to change; `--no-speculation` need not unset both.
        return None
    if algorithm not in {"EAGLE", "EAGLE3"}:
        return f"speculative_adaptive is for EAGLE and EAGLE3, and here it is {algorithm}"
    if topk not in {None, 1}:
        return f"speculative_adaptive is for speculative_eagle_topk 1, and here it is {topk}"
    return "speculative_adaptive does not go with enable_dp_attention" if groups else None


def flaw_of_nodes(
    nodes: int, node_rank: int, *, tensor: int, pipeline: int, replicas: int
) -> str | None:
    """Why the ranks cannot be divided among so many machines, as a clause; None if nothing.

    Source: sglang 0.5.23, srt/arg_groups/validation_hook.py, `check_server_args`.
    """
    if node_rank >= nodes:
        return f"node_rank {node_rank} is none of nnodes {nodes} machines, which count from 0"
    if nodes == 1:
        return None
    if (tensor * pipeline) % nodes or (nodes % pipeline and pipeline % nodes):
        return (
            f"tp_size {tensor} and pp_size {pipeline} make {tensor * pipeline} ranks, which do not "
            f"divide among nnodes {nodes} machines"
        )
    if replicas > 1:
        return (
            f"dp_size {replicas} makes whole copies of the model, and SGLang puts none of them on "
            f"nnodes {nodes} machines"
        )
    return None


def flaw_of_groups(ranks: int, groups: int) -> str | None:
    """Why so many groups cannot share the tensor parallel ranks, as a clause; None if nothing.

    Source: sglang 0.5.23, srt/arg_groups/parallel_hook.py, `handle_data_parallelism`: assert
    tp_size % attn_dp_size == 0.
    """
    if ranks % groups == 0:
        return None
    return (
        f"with enable_dp_attention, dp_size {groups} groups share the ranks of tp_size {ranks}, "
        "which has to be a multiple of it"
    )
