"""Quantities in PromQL: each engine's names from its own table, ranks put together as there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from launcher.engines.select import METRIC_TABLES
from launcher.exporting.grafana.targets import JOB
from launcher.metrics.table import Metric, MetricTable, Quantity

# What a server is told by in all of the rules.
BY: Final = "by (job, instance, server, fleet)"
_OVER: Final = {"sum": "sum", "max": "max", "mean": "avg"}


def _selector(name: str, where: Mapping[str, str]) -> str:
    labels = [f'job=~"{JOB}.*"', *(f'{label}="{value}"' for label, value in where.items())]
    return f"{name}{{{','.join(labels)}}}"


def _either(quantity: Quantity, make: Callable[[Metric, str, MetricTable], str]) -> str:
    """What any engine reports under any of its names; a server has one of them."""
    found = []
    for table in METRIC_TABLES.values():
        metric = table.metrics.get(quantity)
        if metric is not None:
            found += [make(metric, name, table) for name in metric.names]
    return " or ".join(found)


def _one_of_copies(inner: str, table: MetricTable) -> str:
    return f"max without ({', '.join(sorted(table.copies))}) ({inner})"


def gauge(quantity: Quantity) -> str:
    """Its value now."""

    def make(metric: Metric, name: str, table: MetricTable) -> str:
        return f"{_OVER[metric.over]} {BY} ({_one_of_copies(_selector(name, metric.where), table)})"

    return _either(quantity, make)


def grown(function: str, quantity: Quantity, window: str) -> str:
    """What a counter did over a window.

    Args:
        function: `rate` or `increase`.
        quantity: a counter.
        window: as Prometheus writes it, `5m`.
    """

    def make(metric: Metric, name: str, table: MetricTable) -> str:
        inner = f"{function}({_selector(name, metric.where)}[{window}])"
        return f"sum {BY} ({_one_of_copies(inner, table)})"

    return _either(quantity, make)


def quantile(quantity: Quantity, share: float, window: str) -> str:
    """A quantile of a histogram over a window."""
    by = BY.replace(")", ", le)")

    def make(metric: Metric, name: str, table: MetricTable) -> str:
        inner = f"rate({_selector(f'{name}_bucket', metric.where)}[{window}])"
        return f"histogram_quantile({share}, sum {by} ({_one_of_copies(inner, table)}))"

    return _either(quantity, make)


def restarts(window: str) -> str:
    """How often a server began anew: SGLang counts these very scrapes, vLLM tells its start."""
    scrapes = _selector("sglang:http_requests_total", {"endpoint": "/metrics", "method": "GET"})
    started = _selector("process_start_time_seconds", {})
    return f"sum {BY} (resets({scrapes}[{window}])) or max {BY} (changes({started}[{window}]))"
