"""vLLM's plan beside servers of others: published_logs.json, tables of docs/plan-vllm.md.

`part` says how a log was used: `fitted` ones were looked at when the ranges were set, those `aside`
were drawn by lot and looked at after, `fresh` ones were found when all was done. Logs of versions
before 0.21 set no memory aside for CUDA graphs, as vLLM itself says; those before 0.19 sampled by
sorting, which takes four times the memory.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from launcher.memory.lines import Device, Settings
from launcher.memory.plan import MemoryPlan
from launcher.memory.shape import WeightType
from launcher.memory.shapes.config_json import read_shape
from launcher.memory.vllm.lines import LOGIT_BYTES, activation_bytes
from launcher.memory.vllm.plan import plan_memory, reported_tokens
from launcher.system.hardware import GIB, MIB

GRAPHS_SINCE = (0, 21)
LITTLE_SAMPLING_SINCE = (0, 19)
# Of each logit while all are sorted: measured by the logs of vLLM 0.7 to 0.14.
SORTING_LOGIT_BYTES = 38.65


@dataclass(frozen=True)
class Log:
    """What one server's log says of its first rank; None where it does not say."""

    id: str
    source: str
    version: str
    when: str
    model: str
    gpu: str
    total_mib: int | None
    total_gib: float | None
    utilization: float
    tp_size: int
    weight_type: WeightType | None
    context: int | None
    batched_tokens: int | None
    max_requests: int | None
    eager: bool
    config: dict[str, Any]
    weights_gib: float | None
    activation_gib: float | None
    non_torch_gib: float | None
    kv_gib: float | None
    tokens: int | None
    part: str

    @property
    def since(self) -> tuple[int, ...]:
        return tuple(map(int, self.version.split(".")[:2]))

    def plan(self) -> MemoryPlan:
        """As planned; `total_gib` is what CUDA gives out, so that nothing is kept of it."""
        total_bytes = (
            self.total_mib * MIB if self.total_gib is None else int(self.total_gib * GIB)  # type: ignore[operator]
        )
        device = Device(
            "cuda",
            self.gpu,
            total_bytes,
            total_bytes,
            reserved_bytes=0 if self.total_gib is None else 1,
            is_here=False,
        )
        settings = Settings(
            tp_size=self.tp_size,
            gpu_memory_utilization=self.utilization,
            weight_type=self.weight_type,
            context_length_tokens=self.context,
            chunked_prefill_tokens=self.batched_tokens,
            max_running_requests=self.max_requests,
            graphs=self.since >= GRAPHS_SINCE and not self.eager,
        )
        return plan_memory(self.model, read_shape(self.config, name=self.model), device, settings)

    def kv_bytes(self, plan: MemoryPlan) -> float:
        """Of the KV cache, as logged, or as it follows from the tokens."""
        if self.kv_gib is not None:
            return self.kv_gib * GIB
        assert self.tokens is not None
        return float(self.tokens * plan.bytes_per_token)


def read_logs() -> list[Log]:
    rows = json.loads(Path(__file__).with_name("published_logs.json").read_text(encoding="utf-8"))
    return [Log(**row) for row in rows]


LOGS = read_logs()


def of(logs: list[Log]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("log", logs, ids=[log.id for log in logs])


def test_each_part_has_logs_of_its_own() -> None:
    parts = {part: sum(log.part == part for log in LOGS) for part in ("fitted", "aside", "fresh")}

    assert parts == {"fitted": 9, "aside": 9, "fresh": 6}


@of([log for log in LOGS if log.weights_gib])
def test_the_weights_are_what_servers_logged(log: Log) -> None:
    assert log.weights_gib is not None

    assert log.plan().weights_bytes / GIB == pytest.approx(log.weights_gib, abs=0.045)


@of([log for log in LOGS if log.tokens and log.kv_gib])
def test_the_tokens_follow_from_the_memory_of_the_kv_cache(log: Log) -> None:
    plan = log.plan()
    assert log.kv_gib is not None

    tokens = reported_tokens(
        int(log.kv_gib * GIB), plan.bytes_per_token, plan.wanted_context_tokens, 16
    )

    # The log has two decimals of a GiB; issue 21348's second rank had less than its first.
    most = 0.012 if log.id == "qwen3-235b-fp8-4xh100" else 0.005 * GIB / plan.bytes_per_token
    if most < 1:
        most *= tokens
    assert tokens == pytest.approx(log.tokens, abs=most + 32)


@of([log for log in LOGS if log.since >= GRAPHS_SINCE])
def test_what_servers_of_today_logged_is_within_the_range(log: Log) -> None:
    plan = log.plan()
    tokens = log.kv_bytes(plan) / plan.bytes_per_token

    assert plan.kv_cache_tokens_low <= tokens <= plan.kv_cache_tokens_high


@of(
    [
        log
        for log in LOGS
        if (0, 8) < log.since < LITTLE_SAMPLING_SINCE and log.tp_size == 1 and log.total_gib != 4.0
    ]
)
def test_older_servers_differ_by_how_they_sampled(log: Log) -> None:
    plan = log.plan()
    device, settings = plan.device, plan.settings
    little, much = (
        activation_bytes(plan.shape, device, settings, size)
        for size in (LOGIT_BYTES, SORTING_LOGIT_BYTES)
    )

    assert plan.pool_bytes - (much - little) == pytest.approx(log.kv_bytes(plan), abs=0.31 * GIB)
    assert plan.pool_bytes > log.kv_bytes(plan)
