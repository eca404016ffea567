"""The figures that readings come to; None where the engine does not report what they need."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Of the values of a window, in seconds, within the histogram's buckets."""

    p50: float | None = None
    p90: float | None = None
    p99: float | None = None


@dataclass(frozen=True, slots=True)
class Acceptance:
    """How many tokens one verify step of the target model gives, the bonus token included.

    Attributes:
        latest: of the latest steps, while requests run.
        window: over the window.
        since_start: over all requests since the server's start.
        verify_steps: of the window.
    """

    latest: float | None = None
    window: float | None = None
    since_start: float | None = None
    verify_steps: float | None = None


@dataclass(frozen=True, slots=True)
class Totals:
    """Since the server's start. Requests and their tokens count when a request has ended."""

    requests: float | None = None
    prompt_tokens: float | None = None
    cached_tokens: float | None = None
    output_tokens: float | None = None
    verify_steps: float | None = None
    retractions: float | None = None


@dataclass(frozen=True, slots=True)
class Figures:
    """What a server does.

    Attributes:
        window_seconds: that rates and quantiles cover; 0 after a first reading, which has none.
        running_requests: now.
        waiting_requests: now.
        expected_wait_seconds: of a request that comes now: those that wait, by those that ended a
            second; None where some wait and none has ended.
        requests_per_second: that have ended.
        prompt_tokens_per_second: of requests that have ended.
        output_tokens_per_second: as they are generated, where the engine counts so.
        acceptance: of drafts.
        draft_steps: of the latest steps; what adaptive speculation changes. 0 is plain decoding,
            and what is reported before the first steps.
        draft_tokens: the same.
        time_to_first_token_seconds: of requests that began to be answered.
        time_per_output_token_seconds: of requests that have ended.
        queue_time_seconds: of requests that began to run.
        kv_total_tokens: that the KV cache holds.
        kv_used_fraction: of it, by requests that run; 0 to 1.
        kv_evictable_fraction: of it, kept for prompts that begin alike; 0 to 1.
        prefix_hit_fraction: of the prompt tokens, those that were not computed; 0 to 1.
        retractions: requests thrown out of the KV cache for want of room, to be computed again.
        totals: since the server's start.
    """

    window_seconds: float = 0.0
    running_requests: float | None = None
    waiting_requests: float | None = None
    expected_wait_seconds: float | None = None
    requests_per_second: float | None = None
    prompt_tokens_per_second: float | None = None
    output_tokens_per_second: float | None = None
    acceptance: Acceptance = field(default_factory=Acceptance)
    draft_steps: float | None = None
    draft_tokens: float | None = None
    time_to_first_token_seconds: Quantiles = field(default_factory=Quantiles)
    time_per_output_token_seconds: Quantiles = field(default_factory=Quantiles)
    queue_time_seconds: Quantiles = field(default_factory=Quantiles)
    kv_total_tokens: float | None = None
    kv_used_fraction: float | None = None
    kv_evictable_fraction: float | None = None
    prefix_hit_fraction: float | None = None
    retractions: float | None = None
    totals: Totals = field(default_factory=Totals)
