"""In what the engines differ that a client talks to: their names, routes and metrics. No I/O.

An engine is recognised by what it answers, never by configuration: each model of `/v1/models` is
owned by the engine's name, and a metric's name begins with it.

Sources: sglang 0.5.23, `srt/entrypoints/openai/protocol.py`, `srt/observability`; vllm 0.32.0,
`entrypoints/openai/models`, `v1/metrics/loggers.py`, `v1/spec_decode/metrics.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic_core import from_json

SGLANG: Final = "sglang"
VLLM: Final = "vllm"
NAMES: Final[Mapping[str, str]] = {SGLANG: "SGLang", VLLM: "vLLM"}
# What vLLM has no route for -> what does the same, or nearly.
VLLM_LACKS: Final[Mapping[str, str]] = {
    "/server_info": "Ask models(), metrics() and engine(); its settings are in its own log.",
    "/abort_request": "Close the stream, by which vLLM learns to stop.",
}
# The newest of what each sample has, by field of `ServerMetrics`: the metric without its engine's
# name, and how ranks are put together.
Combine = Callable[[Iterable[float]], float]
_SGLANG_METRICS: Final[Mapping[str, tuple[str, Combine]]] = {
    "running_requests": ("num_running_reqs", sum),
    "queued_requests": ("num_queue_reqs", sum),
    "kv_cache_used_fraction": ("token_usage", max),
    "generation_tokens_per_second": ("gen_throughput", sum),
    "prompt_tokens": ("prompt_tokens_total", sum),
    "generation_tokens": ("generation_tokens_total", sum),
    "requests": ("num_requests_total", sum),
    "acceptance_length": ("spec_accept_length", max),
    "acceptance_rate": ("spec_accept_rate", max),
}
_VLLM_METRICS: Final[Mapping[str, tuple[str, Combine]]] = {
    "running_requests": ("num_requests_running", sum),
    "queued_requests": ("num_requests_waiting", sum),
    "kv_cache_used_fraction": ("kv_cache_usage_perc", max),
    "prompt_tokens": ("prompt_tokens_total", sum),
    "generation_tokens": ("generation_tokens_total", sum),
    "requests": ("request_success_total", sum),
    "verify_rounds": ("spec_decode_num_drafts_total", sum),
    "draft_tokens": ("spec_decode_num_draft_tokens_total", sum),
    "accepted_tokens": ("spec_decode_num_accepted_tokens_total", sum),
}
_VLLM_POSITIONS: Final = "vllm:spec_decode_num_accepted_tokens_per_pos_total"
_METRICS: Final = {SGLANG: _SGLANG_METRICS, VLLM: _VLLM_METRICS}


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What answers behind a URL.

    Attributes:
        name: as it calls itself: `sglang`, `vllm`, or what another server owns its models as.
        version: of it; `None` where it does not tell.
    """

    name: str
    version: str | None = None

    def __str__(self) -> str:
        shown = NAMES.get(self.name, self.name)
        return shown if self.version is None else f"{shown} {self.version}"


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of a metric."""

    name: str
    labels: Mapping[str, str]
    value: float


def owner_of(body: bytes) -> str:
    """The engine that `/v1/models` names as the owner of its first model.

    Raises:
        ValueError: it is no such answer.
        KeyError, TypeError: likewise.
    """
    models = from_json(body)["data"]
    return str(models[0].get("owned_by") or "") if models else ""


def version_of(body: bytes) -> str | None:
    """The version in an answer of `/version` or of `/server_info`; `None` where there is none.

    Raises:
        ValueError: it is not JSON.
    """
    said: Any = from_json(body)
    version = said.get("version") if isinstance(said, dict) else None
    return version if isinstance(version, str) else None


def metric_fields(samples: Iterable[Sample]) -> dict[str, Any]:
    """The fields of `ServerMetrics` that the samples of one engine, or of none, give."""
    values: dict[str, list[float]] = {}
    positions: dict[int, float] = {}
    for sample in samples:
        values.setdefault(sample.name, []).append(sample.value)
        if (
            sample.name == _VLLM_POSITIONS
            and (place := sample.labels.get("position", "")).isdigit()
        ):
            positions[int(place)] = positions.get(int(place), 0.0) + sample.value
    found: dict[str, Any] = {
        field: combine(values[f"{engine}:{name}"])
        for engine, table in _METRICS.items()
        for field, (name, combine) in table.items()
        if f"{engine}:{name}" in values
    }
    if positions:
        found["accepted_per_position"] = tuple(positions[place] for place in sorted(positions))
    rounds = found.get("verify_rounds") or 0
    if rounds:
        # Since the server started; SGLang has the latest value.
        found["acceptance_length"] = acceptance_length(found["accepted_tokens"], rounds)
        found["acceptance_rate"] = found["accepted_tokens"] / max(found["draft_tokens"], 1)
    return found


def acceptance_length(accepted_tokens: float, verify_rounds: float) -> float:
    """Tokens per verify round, the bonus token included.

    Formula: 1 + accepted draft tokens / verify rounds, each a difference of counters
    Source: vllm 0.32.0, `v1/spec_decode/metrics.py`, `SpecDecodingLogging.log`.
    """
    return 1 + accepted_tokens / verify_rounds if verify_rounds else math.nan
