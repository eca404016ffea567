"""vLLM's metrics.

Source: vllm 0.32.0, v1/metrics/loggers.py and v1/spec_decode/metrics.py; older names as of 0.7.
"""

from __future__ import annotations

from typing import Final

from launcher.metrics.table import Metric, MetricTable, Quantity

METRICS: Final = MetricTable(
    metrics={
        Quantity.RUNNING: Metric(("vllm:num_requests_running",)),
        Quantity.WAITING: Metric(("vllm:num_requests_waiting",)),
        # Blocks that requests hold, of all: what is kept for prompts that begin alike is free.
        Quantity.KV_USED_FRACTION: Metric(
            ("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"), over="mean"
        ),
        Quantity.REQUESTS: Metric(("vllm:request_success_total",)),
        Quantity.PROMPT_TOKENS: Metric(("vllm:prompt_tokens_total",)),
        Quantity.CACHED_TOKENS: Metric(
            ("vllm:prefix_cache_hits_total", "vllm:gpu_prefix_cache_hits_total")
        ),
        Quantity.PROMPT_TOKENS_LOOKED_UP: Metric(
            ("vllm:prefix_cache_queries_total", "vllm:gpu_prefix_cache_queries_total")
        ),
        # Counted with each step, and not only when a request has ended.
        Quantity.OUTPUT_TOKENS: Metric(("vllm:generation_tokens_total",)),
        Quantity.VERIFY_STEPS: Metric(("vllm:spec_decode_num_drafts_total",)),
        Quantity.ACCEPTED_DRAFTS: Metric(("vllm:spec_decode_num_accepted_tokens_total",)),
        Quantity.RETRACTIONS: Metric(("vllm:num_preemptions_total",)),
        Quantity.FIRST_TOKEN: Metric(("vllm:time_to_first_token_seconds",)),
        Quantity.OUTPUT_TOKEN: Metric(
            (
                "vllm:request_time_per_output_token_seconds",
                "vllm:time_per_output_token_seconds",
                "vllm:inter_token_latency_seconds",
            )
        ),
        Quantity.QUEUE: Metric(("vllm:request_queue_time_seconds",)),
    },
    # The label `engine` tells replicas apart, which share the work.
    copies=frozenset({"pid"}),
    factors=(
        Metric(("vllm:cache_config_info",), value_of="num_gpu_blocks"),
        Metric(("vllm:cache_config_info",), value_of="block_size", over="max"),
    ),
)
