"""The plan beside what servers of others logged: published_logs.json, tables of docs/plan.md.

SGLang's "GB" are GiB, to 0.01. Models whose architecture is not planned yet are left out, and join
in once it is. Logs that were kept aside while the plan was written are held to bounds as measured;
what the plan gets wrong of them is named here, so that it cannot change unseen.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from launcher.memory.gpu.baseline import taken_on_gpu
from launcher.memory.lines import Device, Settings
from launcher.memory.plan import MemoryPlan, Verdict, plan_memory
from launcher.memory.shape import WeightType
from launcher.memory.shapes.architectures import ARCHITECTURES
from launcher.memory.shapes.config_json import read_shape
from launcher.system.hardware import GIB, MIB

# 4 x L4, of which less was taken before the baseline than the least of the range: docs/plan.md.
BELOW_THE_RANGE = {"qwq-32b-4xl4"}
# 0.024 GiB more than planned, and it is not known why: the one that serves under a memory saver.
MEMORY_SAVER = {"qwen3-32b-1xh100"}


@dataclass(frozen=True)
class Log:
    """What one server's log says of its first rank.

    `available_gib` is free before the weights are loaded; None where the log does not say, as with
    what follows it. `tokens` are left out where they were capped, or where the log does not name
    the static fraction.
    """

    id: str
    source: str
    when: str
    model: str
    gpu: str
    total_mib: int | None
    compute_capability: tuple[int, int]
    tp_size: int
    mem_fraction_static: float | None
    weight_type: WeightType | None
    config: dict[str, Any]
    available_gib: float | None
    weights_gib: float | None
    tokens: int | None
    kept_aside: bool = False
    out_of_memory: bool = False

    @property
    def is_old(self) -> bool:
        """Of an SGLang that may have loaded kernels of up to 0.09 GiB while it loaded weights."""
        return self.when < "2026"

    @property
    def is_of_the_range(self) -> bool:
        """Whether the range speaks of it; of logs kept aside none is left out."""
        return self.when > "2025-01" or self.kept_aside

    def plan(self) -> MemoryPlan:
        """As planned where `--gpus` names the machine; where its size is not known, of B300's."""
        total_bytes = (self.total_mib or 284_208) * MIB
        device = Device("cuda", self.gpu, total_bytes, total_bytes, self.compute_capability)
        settings = Settings(
            tp_size=self.tp_size,
            mem_fraction_static=self.mem_fraction_static,
            weight_type=self.weight_type,
        )
        return plan_memory(self.model, read_shape(self.config, name=self.model), device, settings)


def read_logs() -> list[Log]:
    rows = json.loads(Path(__file__).with_name("published_logs.json").read_text(encoding="utf-8"))
    logs = [Log(**{**row, "compute_capability": tuple(row["compute_capability"])}) for row in rows]
    return [log for log in logs if log.config["architectures"][0] in ARCHITECTURES]


LOGS = read_logs()


def of(logs: list[Log]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("log", logs, ids=[log.id for log in logs])


def test_there_are_logs_of_every_kind_of_machine() -> None:
    machines = {(log.gpu, log.tp_size > 1) for log in LOGS if log.tokens}

    assert machines >= {
        ("H100-80GB", False), ("H100-80GB", True), ("RTX5090", True), ("RTX4090", True),
    }  # fmt: skip


@of([log for log in LOGS if log.weights_gib])
def test_the_weights_are_what_servers_logged(log: Log) -> None:
    planned_gib = log.plan().weights_bytes / GIB

    assert log.weights_gib is not None
    if log.is_old:
        assert -0.1 <= planned_gib - log.weights_gib <= 0.005
    else:
        most_gib = 0.025 if log.id in MEMORY_SAVER else 0.011
        assert planned_gib == pytest.approx(log.weights_gib, abs=most_gib)


@of([log for log in LOGS if log.available_gib and log.tokens])
def test_the_tokens_follow_from_the_baseline_that_servers_logged(log: Log) -> None:
    plan = log.plan()
    assert log.available_gib is not None
    static_bytes = plan.fraction * log.available_gib * GIB

    tokens = (static_bytes - plan.weights_bytes) / plan.bytes_per_token

    # What the older ones loaded beside the weights counts most where there is least.
    assert tokens == pytest.approx(log.tokens, rel=0.01 if log.is_old else 0.002)


@of([log for log in LOGS if log.available_gib and log.total_mib and log.is_of_the_range])
def test_what_servers_logged_as_taken_is_within_the_range(log: Log) -> None:
    assert log.total_mib is not None
    assert log.available_gib is not None
    taken_gib = log.total_mib / 1024 - log.available_gib

    spread = taken_on_gpu(log.gpu, log.compute_capability, log.tp_size, nvlink=None)

    # SGLang rounds to 0.01.
    within = spread.least_bytes / GIB - 0.005 <= taken_gib <= spread.most_bytes / GIB + 0.005

    assert within == (log.id not in BELOW_THE_RANGE)


@of([log for log in LOGS if log.tokens and log.total_mib])
def test_the_planned_tokens_are_near_those_that_servers_logged(log: Log) -> None:
    plan = log.plan()
    assert log.tokens is not None
    # By the measured errors: docs/plan.md. On cards of 24 GiB the baseline is a larger part.
    most = {23_034: 0.072, 24_576: 0.05}.get(log.total_mib or 0, 0.02)
    within = plan.kv_cache_tokens_low <= log.tokens <= plan.kv_cache_tokens_high

    assert plan.kv_cache_tokens == pytest.approx(log.tokens, rel=most)
    if log.is_of_the_range:
        assert within == (log.id not in BELOW_THE_RANGE)


@of([log for log in LOGS if log.total_mib])
def test_what_served_is_not_refused_and_what_ran_out_of_memory_is(log: Log) -> None:
    assert (log.plan().verdict is Verdict.DOES_NOT_FIT) == log.out_of_memory
