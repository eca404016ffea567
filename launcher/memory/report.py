"""What was planned beside what the server reported, and where the two part. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from launcher.memory.plan import MemoryPlan
from launcher.text import human_bytes


class PlannedMemory(BaseModel):
    """A plan's figures as the run record keeps them; bytes are of one rank.

    Attributes:
        weights_bytes: of the target model alone, as the server counts it.
        kv_cache_bytes: of the target model alone, as the server counts it.
        bytes_per_token: of the KV cache, target and draft.
        kv_cache_tokens_low: where the most is taken before the baseline; `_high` where the least.
            None in records of launchers that planned one figure.
    """

    model_config = ConfigDict(frozen=True)

    mem_fraction_static: float
    baseline_bytes: int
    weights_bytes: int
    draft_bytes: int
    kv_cache_bytes: int
    kv_cache_tokens: int
    bytes_per_token: int
    max_running_requests: int
    kv_cache_tokens_low: int | None = None
    kv_cache_tokens_high: int | None = None

    @classmethod
    def of(cls, plan: MemoryPlan) -> PlannedMemory:
        """The figures of a plan that a server can be held against."""
        shape = plan.shape
        target_layers = shape.layers + plan.settings.draft_layers
        target_bytes_per_token = plan.bytes_per_token * shape.layers // target_layers
        return cls(
            mem_fraction_static=plan.fraction,
            baseline_bytes=plan.baseline_bytes,
            weights_bytes=plan.weights_bytes,
            draft_bytes=plan.draft_bytes,
            kv_cache_bytes=plan.kv_cache_tokens * target_bytes_per_token,
            kv_cache_tokens=plan.kv_cache_tokens,
            bytes_per_token=plan.bytes_per_token,
            max_running_requests=plan.max_running_requests,
            kv_cache_tokens_low=plan.kv_cache_tokens_low,
            kv_cache_tokens_high=plan.kv_cache_tokens_high,
        )


class ReportedMemory(BaseModel):
    """What `/server_info` says of the first rank. SGLang rounds bytes to 0.001 GiB."""

    model_config = ConfigDict(frozen=True)

    mem_fraction_static: float | None = None
    weights_bytes: int
    kv_cache_bytes: int
    kv_cache_tokens: int
    graph_bytes: int
    free_bytes: int | None = None
    max_running_requests: int | None = None


class MemoryRecord(BaseModel):
    """Both sides, as far as each is known, in the run record."""

    model_config = ConfigDict(frozen=True)

    planned: PlannedMemory | None = None
    reported: ReportedMemory | None = None


@dataclass(frozen=True, slots=True)
class Difference:
    """One figure, planned and reported, for people, and what stands between them."""

    label: str
    planned: str
    reported: str
    difference: str
    reason: str


def compare_memory(planned: PlannedMemory, reported: ReportedMemory) -> tuple[Difference, ...]:
    """Hold a plan against the server's own report, figure by figure."""
    return (
        Difference(
            "target weights",
            human_bytes(planned.weights_bytes),
            human_bytes(reported.weights_bytes),
            _relative(planned.weights_bytes, reported.weights_bytes),
            "SGLang measures free memory before and after the load, to 0.01 GiB; kernels and "
            "buffers that it loads meanwhile count as weights",
        ),
        Difference(
            "KV cache of the target",
            human_bytes(planned.kv_cache_bytes),
            human_bytes(reported.kv_cache_bytes),
            _relative(planned.kv_cache_bytes, reported.kv_cache_bytes),
            "follows from the tokens",
        ),
        Difference(
            "tokens",
            _band(planned),
            f"{reported.kv_cache_tokens:,}",
            _relative(planned.kv_cache_tokens, reported.kv_cache_tokens),
            _reason_of_tokens(planned, reported),
        ),
        Difference("graphs", "-", human_bytes(reported.graph_bytes), "-", "not planned by itself"),
    )


def _relative(planned: int, reported: int) -> str:
    if planned == reported:
        return "none"
    return f"{(reported - planned) / planned:+.1%}" if planned else "-"


def _band(planned: PlannedMemory) -> str:
    low, high = planned.kv_cache_tokens_low, planned.kv_cache_tokens_high
    if low is None or high is None or low == high:
        return f"{planned.kv_cache_tokens:,}"
    return f"{planned.kv_cache_tokens:,} ({low:,} to {high:,})"


def _reason_of_tokens(planned: PlannedMemory, reported: ReportedMemory) -> str:
    """What a difference in tokens would be in memory at the baseline.

    Formula: bytes / fraction, since the KV cache is fraction x baseline less what is fixed.
    """
    off_bytes = (reported.kv_cache_tokens - planned.kv_cache_tokens) * planned.bytes_per_token
    if not off_bytes:
        return "as planned"
    baseline_bytes = abs(off_bytes) / planned.mem_fraction_static
    more = "more" if off_bytes > 0 else "less"
    low, high = planned.kv_cache_tokens_low, planned.kv_cache_tokens_high
    within = ""
    if low is not None and high is not None:
        is_within = low <= reported.kv_cache_tokens <= high
        within = ", within the planned range" if is_within else ", outside the planned range"
    return (
        f"{human_bytes(abs(off_bytes))} of KV cache: {human_bytes(baseline_bytes)} {more} than "
        f"planned were free when SGLang took its baseline, or as much went elsewhere in the load"
        f"{within}"
    )
