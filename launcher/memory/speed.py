"""How fast plain decoding can be at the most, by what each step reads from memory. Pure.

A step of decoding makes one token for each request of the batch, and reads every weight that takes
part, and the batch's KV cache, once. The memory's bandwidth bounds it: whatever else a step costs
(launches, communication between ranks, arithmetic) comes on top, so a server is slower.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from launcher.errors import UnknownShapeError
from launcher.memory.lines import Settings
from launcher.memory.plan import MemoryPlan, kv_bytes_per_token
from launcher.memory.shape import ModelShape, count_parameters
from launcher.memory.weights import rank_bytes

# What `plan --speed` assumes where nothing is asked for: requests at a time, and the tokens that
# each has in the KV cache.
REQUESTS: Final = (1, 8, 32)
CONTEXT_TOKENS: Final = 4096
# What public reports of one request reached of this bound, the least and the most: docs/plan.md,
# "Speed, an upper bound", has each of them.
DENSE_SHARES: Final = (0.46, 0.71)
EXPERT_SHARES: Final = (0.07, 0.20)


@dataclass(frozen=True, slots=True)
class DecodeBound:
    """The bound of one batch; bytes are what one rank reads in one step.

    Attributes:
        requests: that are decoded together.
        context_tokens: that each of them has in the KV cache.
        experts: that a layer reads, of those that tokens are routed to, on average; 0 in a model
            without.
        weights_bytes: of the weights that take part.
        kv_bytes: of the batch's KV cache.
        bandwidth_bytes_per_s: of the rank's memory.
        obstacle: why the plan cannot serve so many, as a clause; empty where it can.
    """

    requests: int
    context_tokens: int
    experts: float
    weights_bytes: int
    kv_bytes: int
    bandwidth_bytes_per_s: int
    obstacle: str

    @property
    def step_seconds(self) -> float:
        """Time of a step, at the least."""
        return (self.weights_bytes + self.kv_bytes) / self.bandwidth_bytes_per_s

    @property
    def tokens_per_s(self) -> float:
        """Of all requests together, at the most."""
        return self.requests / self.step_seconds


def decode_bound(
    plan: MemoryPlan, bandwidth_bytes_per_s: int, *, requests: int, context_tokens: int
) -> DecodeBound:
    """Bound plain decoding on the machine of a plan, without the draft model.

    Formula: tokens/s <= requests x bandwidth / (weights + requests x context x bytes per token).

    Raises:
        UnknownShapeError: it has experts, and it is not known through how many a token passes.
    """
    settings, shape = plan.settings, plan.shape
    weight_type = settings.weight_type or shape.served_type
    plain = replace(settings, draft_layers=0, draft=None)
    token_bytes = kv_bytes_per_token(shape, plain, settings.kv_type or weight_type)
    return DecodeBound(
        requests=requests,
        context_tokens=context_tokens,
        experts=experts_read(shape, requests, name=plan.model),
        weights_bytes=weights_read_bytes(shape, settings, requests, name=plan.model),
        kv_bytes=requests * context_tokens * token_bytes,
        bandwidth_bytes_per_s=bandwidth_bytes_per_s,
        obstacle=_obstacle(plan, requests, context_tokens),
    )


def _obstacle(plan: MemoryPlan, requests: int, context_tokens: int) -> str:
    if context_tokens > plan.context_tokens:
        return f"a request may have {plan.context_tokens:,} tokens"
    if requests > plan.kv_cache_tokens // context_tokens:
        return f"the KV cache has room for {plan.kv_cache_tokens // context_tokens:,}"
    if requests > plan.max_running_requests:
        return f"at most {plan.max_running_requests:,} are decoded at the same time"
    return ""


def experts_read(shape: ModelShape, tokens: int, *, name: str) -> float:
    """Experts of a layer that tokens are routed to, on average.

    Formula: E x (1 - (1 - k / E)^tokens) of E experts, k for each token, each expert as likely as
    any other. That is the most: the less evenly a router chooses, the fewer are read.

    Raises:
        UnknownShapeError: it is not known through how many a token passes.
    """
    if not shape.experts:
        return 0.0
    if not shape.experts_per_token:
        raise UnknownShapeError(
            f"The config.json of {name} does not say through how many experts a token passes.",
            action="Check that it has num_experts_per_tok.",
        )
    return float(shape.experts * (1 - (1 - shape.experts_per_token / shape.experts) ** tokens))


def weights_read_bytes(shape: ModelShape, settings: Settings, tokens: int, *, name: str) -> int:
    """Bytes of weights that one rank reads in a step with so many tokens, one for each request.

    Formula: attention + dense layers + head + experts x (read / all) + what of the experts every
    token passes through (shared expert, router). Of the embedding one row for each token is read,
    which is nothing.

    Raises:
        UnknownShapeError: see `experts_read`.
    """
    weight_type, ranks = settings.weight_type or shape.served_type, settings.tp_size
    counted = count_parameters(shape)
    # A head that is tied is the embedding, all of which is read for it.
    head = counted.embedding if shape.tied_embeddings else counted.head
    always = rank_bytes(counted.attention + counted.dense + head, shape, ranks, weight_type)
    if not shape.experts:
        return always
    fewer = count_parameters(replace(shape, experts=shape.experts - 1)).experts
    one_bytes = rank_bytes(counted.experts, shape, ranks, weight_type) - rank_bytes(
        # The router is read whole, whatever it chooses.
        replace(fewer, replicated=counted.experts.replicated),
        shape,
        ranks,
        weight_type,
    )
    unread = shape.experts - experts_read(shape, tokens, name=name)
    experts_bytes = rank_bytes(counted.experts, shape, ranks, weight_type)
    return always + experts_bytes - int(unread * one_bytes)
