"""Metrics as servers answer them, in Prometheus' format."""

from __future__ import annotations

from collections.abc import Mapping

from launcher.engines.sglang.watching.metrics import METRICS
from launcher.metrics.samples import parse_text
from launcher.metrics.table import MetricTable, Reading, read

RANK = 'tp_rank="0",pp_rank="0",moe_ep_rank="0",model_name="nano"'


def lines(values: Mapping[str, float], labels: str = RANK) -> str:
    """One line a metric."""
    return "".join(f"sglang:{name}{{{labels}}} {value}\n" for name, value in values.items())


def buckets(name: str, counts: Mapping[str, int], labels: str = 'model_name="nano"') -> str:
    """A histogram's, by their bounds."""
    return "".join(
        f'{name}_bucket{{le="{bound}",{labels}}} {count}\n' for bound, count in counts.items()
    )


def reading(text: str, at: float = 0.0, table: MetricTable = METRICS) -> Reading:
    """What a table makes of it."""
    return read(table, parse_text(text), at_seconds=at)
