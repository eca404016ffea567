"""SGLang's metrics.

Source: sglang 0.5.23, srt/observability/metrics_collector.py; older names as of 0.4 and 0.5.
"""

from __future__ import annotations

from typing import Final

from launcher.metrics.table import Metric, MetricTable, Quantity

_ENDED: Final = "sglang:prompt_tokens_total"

METRICS: Final = MetricTable(
    metrics={
        # Written by the scheduler with its log: each `decode_log_interval` steps (40), each
        # prefill, and when it has nothing to do any more.
        Quantity.RUNNING: Metric(("sglang:num_running_reqs",)),
        Quantity.WAITING: Metric(("sglang:num_queue_reqs",)),
        Quantity.KV_USED: Metric(("sglang:kv_used_tokens", "sglang:num_used_tokens")),
        Quantity.KV_EVICTABLE: Metric(("sglang:kv_evictable_tokens",)),
        Quantity.KV_TOTAL: Metric(("sglang:max_total_num_tokens",)),
        Quantity.KV_USED_FRACTION: Metric(("sglang:token_usage",), over="max"),
        Quantity.ACCEPTANCE_LENGTH: Metric(("sglang:spec_accept_length",), over="mean"),
        Quantity.DRAFT_STEPS: Metric(("sglang:spec_num_steps",), over="max"),
        Quantity.DRAFT_TOKENS: Metric(("sglang:spec_num_draft_tokens",), over="max"),
        Quantity.DECODED_TOKENS: Metric(
            ("sglang:realtime_tokens_total",), where={"mode": "decode"}
        ),
        Quantity.RETRACTIONS: Metric(
            ("sglang:num_retracted_reqs_total", "sglang:num_retracted_requests_total"),
            zero_beside="sglang:num_retracted_reqs",
        ),
        Quantity.QUEUE: Metric(("sglang:queue_time_seconds",)),
        # Written by the process that answers, when a request has ended.
        Quantity.REQUESTS: Metric(("sglang:num_requests_total",)),
        Quantity.PROMPT_TOKENS: Metric((_ENDED,)),
        Quantity.CACHED_TOKENS: Metric(("sglang:cached_tokens_total",), zero_beside=_ENDED),
        Quantity.OUTPUT_TOKENS: Metric(("sglang:generation_tokens_total",)),
        Quantity.VERIFY_STEPS: Metric(("sglang:spec_verify_calls_total",)),
        Quantity.FIRST_TOKEN: Metric(("sglang:time_to_first_token_seconds",)),
        Quantity.OUTPUT_TOKEN: Metric(
            (
                "sglang:request_time_per_output_token_seconds",
                "sglang:time_per_output_token_seconds",
                "sglang:inter_token_latency_seconds",
            )
        ),
    },
    # With `--enable-metrics-for-all-schedulers` each of these reports the same requests.
    copies=frozenset({"tp_rank", "pp_rank", "moe_ep_rank", "moe_dp_rank", "pid"}),
    # Below the run's temporary folder: srt/utils/common.py, `set_prometheus_multiproc_dir`.
    files="tmp*/*.db",
)
