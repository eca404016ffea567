"""Engines' metrics as quantities: ranks, missing ones, other versions."""

from __future__ import annotations

import math

import pytest

from launcher.engines.select import METRIC_TABLES, metric_table_of
from launcher.engines.vllm.watching.metrics import METRICS as VLLM
from launcher.metrics.samples import parse_text
from launcher.metrics.table import COUNTERS, HISTOGRAMS, Quantity
from tests.unit.launcher.metrics.texts import buckets, lines, reading

VLLM_TEXT = """
vllm:num_requests_running{engine="0",model_name="m"} 3.0
vllm:num_requests_running{engine="1",model_name="m"} 4.0
vllm:num_requests_waiting{engine="0",model_name="m"} 0.0
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.2
vllm:kv_cache_usage_perc{engine="1",model_name="m"} 0.4
vllm:cache_config_info{block_size="16",engine="0",num_gpu_blocks="1000"} 1.0
vllm:cache_config_info{block_size="16",engine="1",num_gpu_blocks="1000"} 1.0
vllm:spec_decode_num_drafts_total{engine="0",model_name="m"} 100.0
vllm:spec_decode_num_accepted_tokens_total{engine="0",model_name="m"} 170.0
vllm:request_success_total{engine="0",finished_reason="stop",model_name="m"} 5.0
vllm:request_success_total{engine="0",finished_reason="length",model_name="m"} 2.0
"""


def test_ranks_that_report_the_same_requests_count_once() -> None:
    text = "".join(
        lines({"num_running_reqs": 3, "realtime_tokens_total": 100}, f'{rank},mode="decode"')
        for rank in (
            'tp_rank="0",pp_rank="0"',
            'tp_rank="1",pp_rank="0"',
            'tp_rank="0",pp_rank="1"',
        )
    )

    values = reading(text).values

    assert values[Quantity.RUNNING] == 3
    assert values[Quantity.DECODED_TOKENS] == 100


def test_replicas_share_the_work_and_are_added_up() -> None:
    text = "".join(
        lines({"num_running_reqs": running, "spec_accept_length": length}, f'dp_rank="{rank}"')
        for rank, (running, length) in enumerate([(3, 2.0), (5, 3.0)])
    )

    values = reading(text).values

    assert values[Quantity.RUNNING] == 8
    assert values[Quantity.ACCEPTANCE_LENGTH] == 2.5


def test_kinds_of_requests_are_added_up_and_a_mode_is_chosen() -> None:
    text = lines({"generation_tokens_total": 10}, 'is_streaming="true"')
    text += lines({"generation_tokens_total": 5}, 'is_streaming="false"')
    text += lines({"realtime_tokens_total": 40}, 'mode="prefill_compute"')
    text += lines({"realtime_tokens_total": 14}, 'mode="decode"')

    values = reading(text).values

    assert values[Quantity.OUTPUT_TOKENS] == 15
    assert values[Quantity.DECODED_TOKENS] == 14


def test_what_is_not_a_number_is_not_there() -> None:
    text = lines({"token_usage": math.nan, "num_running_reqs": 1}).replace("nan", "NaN")

    values = reading(text).values

    assert Quantity.KV_USED_FRACTION not in values
    assert values[Quantity.RUNNING] == 1


def test_a_counter_that_appears_with_its_first_event_is_zero_until_then() -> None:
    ended = lines({"prompt_tokens_total": 4}, "")

    assert Quantity.CACHED_TOKENS not in reading(lines({"num_running_reqs": 1})).values
    assert reading(ended).values[Quantity.CACHED_TOKENS] == 0
    # A version that has no such gauge may have no such counter.
    assert Quantity.RETRACTIONS not in reading(ended).values
    assert reading(lines({"num_retracted_reqs": 0})).values[Quantity.RETRACTIONS] == 0


def test_another_version_s_name_is_taken_where_the_newest_is_missing() -> None:
    old = buckets("sglang:time_per_output_token_seconds", {"0.1": 3, "+Inf": 4})
    new = buckets("sglang:request_time_per_output_token_seconds", {"0.1": 7, "+Inf": 7})

    assert reading(old).histograms[Quantity.OUTPUT_TOKEN].total == 4
    assert reading(old + new).histograms[Quantity.OUTPUT_TOKEN].total == 7


def test_a_server_without_any_metric_of_ours_has_no_values() -> None:
    found = reading("process_open_fds 12\n")

    assert found.values == {}
    assert found.histograms == {}
    assert metric_table_of(parse_text("process_open_fds 12\n")) is None


def test_vllm_s_metrics_are_told_and_read() -> None:
    samples = parse_text(VLLM_TEXT)
    assert metric_table_of(samples) == ("vLLM", VLLM)

    values = reading(VLLM_TEXT, table=VLLM).values

    assert values[Quantity.RUNNING] == 7
    assert values[Quantity.KV_TOTAL] == 32_000
    assert values[Quantity.KV_USED_FRACTION] == pytest.approx(0.3)
    assert values[Quantity.REQUESTS] == 7
    assert Quantity.KV_EVICTABLE not in values


@pytest.mark.parametrize("engine", METRIC_TABLES)
def test_counters_and_histograms_have_the_names_that_prometheus_gives_them(engine: str) -> None:
    for quantity, metric in METRIC_TABLES[engine].metrics.items():
        for name in metric.names:
            assert name.endswith("_total") == (quantity in COUNTERS), name
            assert name.endswith("_seconds") == (quantity in HISTOGRAMS), name


@pytest.mark.parametrize("text", ["sglang:a{", "sglang:a 1 2 3 4 x", '{"error": "not found"}'])
def test_what_is_no_such_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - that is all that is said of it
        parse_text(text)
