"""Recording rules under names that know no engine, and alerts over them.

Source of the format: Prometheus 2.42, "Recording rules" and "Alerting rules".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from launcher.exporting.document import Node
from launcher.exporting.grafana import queries
from launcher.exporting.grafana.alerts import ALERTS
from launcher.exporting.grafana.targets import JOB, ScrapeTarget
from launcher.metrics.table import Quantity

_INTERVAL: Final = "15s"
_GAUGES: Final = (
    *(Quantity.RUNNING, Quantity.WAITING, Quantity.KV_USED_FRACTION, Quantity.DRAFT_STEPS),
    *(Quantity.DRAFT_TOKENS,),
)
_LATENCIES: Final = (Quantity.FIRST_TOKEN, Quantity.OUTPUT_TOKEN, Quantity.QUEUE)
_SHARES: Final = {"p50": 0.5, "p90": 0.9, "p99": 0.99}


class RecordingRule(Node):
    """A series under a name of its own."""

    record: str
    expr: str
    labels: dict[str, str] | None = None


class Alert(Node):
    """What somebody wants to be told."""

    alert: str
    expr: str
    for_: str | None = None
    labels: dict[str, str]
    annotations: dict[str, str]

    def as_data(self) -> dict[str, object]:
        """`for` is a word of Python's."""
        data = super().as_data()
        return {("for" if key == "for_" else key): value for key, value in data.items()}


class Group(Node):
    """Rules that are computed together, one after the other."""

    name: str
    interval: str = _INTERVAL
    rules: tuple[RecordingRule | Alert, ...]

    def as_data(self) -> dict[str, object]:
        """Of every part by its own."""
        return {
            "name": self.name,
            "interval": self.interval,
            "rules": [rule.as_data() for rule in self.rules],
        }


class Rules(Node):
    """A file of rules."""

    groups: tuple[Group, ...]

    def as_data(self) -> dict[str, object]:
        """Of every part by its own."""
        return {"groups": [group.as_data() for group in self.groups]}


def rules(targets: Sequence[ScrapeTarget]) -> Rules:
    """All rules, with what each server's acceptance length has to be, where that is known."""
    return Rules(
        groups=(
            Group(name=JOB, rules=(*_recorded(), *_derived(), *_needed(targets))),
            Group(name=f"{JOB}-alerts", rules=tuple(_alerts())),
        )
    )


def _recorded() -> Iterator[RecordingRule]:
    for quantity in _GAUGES:
        yield RecordingRule(record=f"specserve:{quantity}", expr=queries.gauge(quantity))
    for quantity in (Quantity.REQUESTS, Quantity.PROMPT_TOKENS):
        yield RecordingRule(
            record=f"specserve:{quantity}:rate5m", expr=queries.grown("rate", quantity, "5m")
        )
    # What is counted while requests run is steadier than what is counted at their end.
    decoded = queries.grown("rate", Quantity.DECODED_TOKENS, "5m")
    ended = queries.grown("rate", Quantity.OUTPUT_TOKENS, "5m")
    yield RecordingRule(record="specserve:output_tokens:rate5m", expr=f"{decoded} or {ended}")
    yield RecordingRule(
        record="specserve:retractions:increase10m",
        expr=queries.grown("increase", Quantity.RETRACTIONS, "10m"),
    )
    yield RecordingRule(record="specserve:restarts:changes30m", expr=queries.restarts("30m"))
    for quantity in _LATENCIES:
        for name, share in _SHARES.items():
            yield RecordingRule(
                record=f"specserve:{quantity}:{name}",
                expr=queries.quantile(quantity, share, "5m"),
            )


def _derived() -> Iterator[RecordingRule]:
    rate = {
        quantity: queries.grown("rate", quantity, "5m")
        for quantity in (
            *(Quantity.OUTPUT_TOKENS, Quantity.REQUESTS, Quantity.VERIFY_STEPS),
            *(Quantity.ACCEPTED_DRAFTS, Quantity.CACHED_TOKENS, Quantity.PROMPT_TOKENS),
            Quantity.PROMPT_TOKENS_LOOKED_UP,
        )
    }
    yield RecordingRule(record="specserve:verify_steps:rate5m", expr=rate[Quantity.VERIFY_STEPS])
    # The formula of launcher/metrics/window.py. Where drafts are counted they are the truth.
    steps = "(specserve:verify_steps:rate5m > 0)"
    yield RecordingRule(
        record="specserve:acceptance_length:rate5m",
        expr=f"1 + ({rate[Quantity.ACCEPTED_DRAFTS]}) / {steps} or "
        f"(({rate[Quantity.OUTPUT_TOKENS]}) - ({rate[Quantity.REQUESTS]})) / {steps}",
    )
    yield RecordingRule(
        record="specserve:prefix_hit_fraction:rate5m",
        expr=f"({rate[Quantity.CACHED_TOKENS]}) / "
        f"((({rate[Quantity.PROMPT_TOKENS_LOOKED_UP]}) or ({rate[Quantity.PROMPT_TOKENS]})) > 0)",
    )
    yield RecordingRule(
        record="specserve:expected_wait_seconds",
        expr="specserve:waiting_requests / (specserve:requests:rate5m > 0) "
        "or specserve:waiting_requests == 0",
    )
    # A server's own past: of the day before the last hour.
    yield RecordingRule(
        record="specserve:acceptance_length:usual",
        expr="avg_over_time(specserve:acceptance_length:rate5m[1d] offset 1h)",
    )


def _needed(targets: Sequence[ScrapeTarget]) -> Iterator[RecordingRule]:
    for target in targets:
        if target.needed_acceptance_length is not None:
            yield RecordingRule(
                record="specserve:needed_acceptance_length",
                expr=f"vector({target.needed_acceptance_length:.4g})",
                labels={"server": target.server},
            )


def _alerts() -> Iterator[Alert]:
    for name, expr, wait, severity, summary, description in ALERTS:
        yield Alert(
            alert=f"Specserve{name}",
            expr=expr,
            for_=wait,
            labels={"severity": severity},
            annotations={"summary": summary, "description": description},
        )
