"""The host's memory that a server on a CPU takes: one sum, the plan's."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from launcher.memory.host import engine_host_bytes, planned_host_bytes, unplanned_host_bytes
from launcher.memory.lines import Device, Settings
from launcher.memory.plan import plan_memory
from launcher.memory.shapes.config_json import read_shape
from launcher.memory.vllm.plan import plan_memory as plan_for_vllm
from launcher.nano.folder import model_path
from launcher.preflight.checks import host_bytes_needed
from launcher.preflight.facts import ServingFacts
from launcher.serving import configure
from launcher.system.hardware import GIB, Hardware
from tests.tiny_models import write_model

NANO = read_shape(json.loads((model_path() / "config.json").read_text()), name="nano")
CPU = Device("cpu", "CPU", 20 * GIB, 20 * GIB)
FLOAT32 = Settings(weight_type="float32", draft_layers=1, max_total_tokens=65_536)


@pytest.mark.parametrize(("ranks", "measured_gib"), [(1, 2.8), (2, 3.4)])
def test_the_embedded_model_takes_what_was_measured(ranks: int, measured_gib: float) -> None:
    plan = plan_memory("nano", NANO, CPU, replace(FLOAT32, tp_size=ranks))

    # launcher/engines/sglang/plugins/cpu/README.md, "Memory": two ranks share what pages they
    # have not touched.
    assert planned_host_bytes(plan) / GIB == pytest.approx(measured_gib, abs=0.2)


def test_vllm_takes_what_was_measured_and_the_kv_cache_that_is_asked_for_in_bytes() -> None:
    asked = replace(FLOAT32, max_total_tokens=None, kv_cache_bytes=GIB)
    plan = plan_for_vllm("nano", NANO, CPU, asked)

    # Proportional set sizes, after `clients check`: 0.69, 0.66 and 1.80 GB of its three processes.
    assert planned_host_bytes(plan) / 1e9 == pytest.approx(3.15, abs=0.2)


def test_each_rank_holds_its_share_of_the_weights_and_a_kv_cache() -> None:
    plan = plan_memory("nano", NANO, CPU, replace(FLOAT32, tp_size=2))
    none = plan_memory("nano", NANO, CPU, replace(FLOAT32, tp_size=2, max_total_tokens=None))

    tokens = 2 * 65_536 * plan.bytes_per_token
    assert planned_host_bytes(plan) - planned_host_bytes(none) == tokens
    weights = 2 * (none.weights_bytes + none.draft_bytes)
    assert planned_host_bytes(none) == engine_host_bytes(2) + weights


def test_a_model_without_a_plan_is_judged_by_its_files() -> None:
    assert unplanned_host_bytes(1, GIB, wide=False) == engine_host_bytes() + GIB
    assert unplanned_host_bytes(2, GIB, wide=True) == engine_host_bytes(2) + 2 * GIB


@pytest.mark.parametrize("name", ["mixtral", "glm4-moe"])
def test_the_check_before_a_start_takes_the_plan_s_sum(name: str, tmp_path: Path) -> None:
    folder = write_model(name, tmp_path)
    config = configure({"model_path": str(folder), "device": "cpu"})
    facts = ServingFacts(config, Hardware((), "none", (0, 1), 8 * GIB))

    assert facts.plan is not None
    assert host_bytes_needed(facts, 10**12) == planned_host_bytes(facts.plan)


def test_the_check_before_a_start_takes_the_files_where_there_is_no_plan(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"architectures": ["BloomForCausalLM"]}')
    config = configure({"model_path": str(tmp_path), "device": "cpu", "dtype": "float32"})
    facts = ServingFacts(config, Hardware((), "none", (0, 1), 8 * GIB))

    assert host_bytes_needed(facts, GIB) == engine_host_bytes() + 2 * GIB
