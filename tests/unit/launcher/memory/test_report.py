"""A plan held against the server's own report."""

from __future__ import annotations

from typing import Any

import pytest

from launcher.engines.sglang.watching.prober import read_server_info
from launcher.memory.gpu.models import parse_machine
from launcher.memory.lines import Device, Settings
from launcher.memory.plan import plan_memory
from launcher.memory.report import PlannedMemory, ReportedMemory, compare_memory
from launcher.memory.shapes.known_shapes import KNOWN_SHAPES
from launcher.system.hardware import GIB

# As sglang 0.5.23 answered on a CPU, the rest left out.
SERVER_INFO: dict[str, Any] = {
    "mem_fraction_static": 0.2,
    "max_running_requests": 32,
    "internal_states": [
        {
            "memory_usage": {
                "weight": 0.019,
                "kvcache": 3.825,
                "startup_available": 16.852,
                "token_capacity": 668408,
                "token_capacity_swa": None,
                "graph": {"prefill": 0.25, "decode": 0.5},
            }
        }
    ],
}


def planned_memory() -> PlannedMemory:
    (gpu,) = parse_machine("H100")
    name = "zai-org/GLM-4.5-Air-FP8"
    device = Device.of(gpu)
    settings = Settings(tp_size=2, draft_layers=1, mem_fraction_static=0.7)
    return PlannedMemory.of(plan_memory(name, KNOWN_SHAPES[name], device, settings))


def test_the_server_s_figures_are_read_as_bytes() -> None:
    reported = read_server_info(SERVER_INFO)

    assert reported is not None
    assert reported.kv_cache_tokens == 668_408
    assert reported.kv_cache_bytes == round(3.825 * GIB)
    assert reported.graph_bytes == round(0.75 * GIB)
    assert reported.max_running_requests == 32


@pytest.mark.parametrize(
    "info",
    [
        {},
        {"internal_states": []},
        {"internal_states": ["text"]},
        {"internal_states": [{"memory_usage": None}]},
        {"internal_states": [{"memory_usage": {"weight": "heavy"}}]},
    ],
)
def test_an_answer_without_the_figures_is_none(info: dict[str, Any]) -> None:
    assert read_server_info(info) is None


def test_the_target_s_share_of_the_kv_cache_is_what_the_server_counts() -> None:
    planned = planned_memory()

    assert planned.bytes_per_token == 96_256
    assert planned.kv_cache_bytes == planned.kv_cache_tokens * 94_208


def test_a_difference_is_named_with_the_memory_behind_it() -> None:
    planned = planned_memory()
    fewer_tokens = 1_024
    reported = ReportedMemory(
        weights_bytes=planned.weights_bytes,
        kv_cache_bytes=planned.kv_cache_bytes - fewer_tokens * 94_208,
        kv_cache_tokens=planned.kv_cache_tokens - fewer_tokens,
        graph_bytes=GIB,
    )

    differences = {one.label: one for one in compare_memory(planned, reported)}

    assert differences["target weights"].difference == "none"
    assert differences["tokens"].difference == "-6.9%"
    # 1,024 tokens x 96,256 bytes = 94 MiB of KV cache; / 0.7 at the baseline.
    assert "94.0 MiB of KV cache: 134.3 MiB less" in differences["tokens"].reason
    assert "within the planned range" in differences["tokens"].reason
    assert differences["graphs"].reported == "1.0 GiB"


def test_what_no_baseline_explains_is_outside_the_planned_range() -> None:
    planned = planned_memory()
    reported = ReportedMemory(
        weights_bytes=planned.weights_bytes,
        kv_cache_bytes=0,
        kv_cache_tokens=planned.kv_cache_tokens // 10,
        graph_bytes=0,
    )

    tokens = compare_memory(planned, reported)[2]

    assert "outside the planned range" in tokens.reason


def test_a_record_without_a_range_is_still_read_and_explained() -> None:
    values = planned_memory().model_dump(exclude={"kv_cache_tokens_low", "kv_cache_tokens_high"})
    planned = PlannedMemory.model_validate(values)
    reported = ReportedMemory(
        weights_bytes=planned.weights_bytes,
        kv_cache_bytes=planned.kv_cache_bytes,
        kv_cache_tokens=planned.kv_cache_tokens - 1_024,
        graph_bytes=0,
    )

    tokens = compare_memory(planned, reported)[2]

    assert tokens.planned == f"{planned.kv_cache_tokens:,}"
    assert "range" not in tokens.reason


def test_a_plan_that_held_says_so() -> None:
    planned = planned_memory()
    reported = ReportedMemory(
        weights_bytes=planned.weights_bytes,
        kv_cache_bytes=planned.kv_cache_bytes,
        kv_cache_tokens=planned.kv_cache_tokens,
        graph_bytes=0,
    )

    tokens = compare_memory(planned, reported)[2]

    assert (tokens.difference, tokens.reason) == ("none", "as planned")
