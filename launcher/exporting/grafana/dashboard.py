"""Grafana's dashboard over the recording rules.

Source: the JSON model of Grafana's dashboards, schema version 39 (Grafana 10.4 and newer).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

UID: Final = "specserve"
_WIDTH: Final = 24
_SELECT: Final = '{server=~"$server"}'
_DATASOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel.

    Attributes:
        title: what it answers.
        kind: `stat` or `timeseries`.
        queries: PromQL by the legend of its series.
        unit: in Grafana's words.
        width: of 24.
        description: for people.
        most: end of the scale; None: what is seen.
    """

    title: str
    kind: str
    queries: tuple[tuple[str, str], ...]
    unit: str = "short"
    width: int = 8
    description: str = ""
    most: float | None = None


def _rule(name: str) -> str:
    return f"specserve:{name}{_SELECT}"


def _quantiles(quantity: str) -> tuple[tuple[str, str], ...]:
    return tuple(
        (f"{{{{server}}}} {share}", _rule(f"{quantity}:{share}")) for share in ("p50", "p90", "p99")
    )


_NEEDED: Final = "needed_acceptance_length"
_SPEEDUP: Final = (
    f"{_rule('acceptance_length:rate5m')} / on (server) group_left () specserve:{_NEEDED}"
)
_STATS: Final = (
    Panel("Servers that answer", "stat", (("{{server}}", f"up{_SELECT}"),), width=4),
    Panel(
        "Acceptance length",
        "stat",
        (("{{server}}", _rule("acceptance_length:rate5m")),),
        width=4,
        description="Tokens that a verify step gives, over five minutes.",
    ),
    Panel(
        "Speed-up by acceptance",
        "stat",
        (("{{server}}", _SPEEDUP),),
        width=4,
        description="Acceptance length by what a step costs, from the machine's benchmark: below 1 "
        "plain decoding is faster. Empty without a benchmark.",
    ),
    Panel("Running", "stat", (("{{server}}", _rule("running_requests")),), width=4),
    Panel("Expected wait", "stat", (("{{server}}", _rule("expected_wait_seconds")),), "s", width=4),
    Panel(
        "KV cache used",
        "stat",
        (("{{server}}", _rule("kv_used_fraction")),),
        "percentunit",
        width=4,
        most=1.0,
    ),
)
_COURSES: Final = (
    Panel(
        "Acceptance length against what it needs",
        "timeseries",
        (
            ("{{server}}", _rule("acceptance_length:rate5m")),
            ("{{server}} usual", _rule("acceptance_length:usual")),
            ("{{server}} needs", _rule(_NEEDED)),
        ),
        width=12,
    ),
    Panel(
        "Drafts",
        "timeseries",
        (("{{server}} steps", _rule("draft_steps")), ("{{server}} tokens", _rule("draft_tokens"))),
        width=12,
        description="Adaptive speculation changes them with the load; 0 steps are plain decoding.",
    ),
    Panel(
        "Requests",
        "timeseries",
        (
            ("{{server}} running", _rule("running_requests")),
            ("{{server}} waiting", _rule("waiting_requests")),
        ),
    ),
    Panel(
        "Tokens per second",
        "timeseries",
        (
            ("{{server}} out", _rule("output_tokens:rate5m")),
            ("{{server}} in", _rule("prompt_tokens:rate5m")),
        ),
    ),
    Panel(
        "Time in the queue",
        "timeseries",
        (
            *_quantiles("queue_time_seconds"),
            ("{{server}} expected", _rule("expected_wait_seconds")),
        ),
        "s",
    ),
    Panel(
        "Time to first token",
        "timeseries",
        _quantiles("time_to_first_token_seconds"),
        "s",
        width=12,
    ),
    Panel(
        "Time per output token",
        "timeseries",
        _quantiles("time_per_output_token_seconds"),
        "s",
        width=12,
    ),
    Panel(
        "KV cache used and prefix hits",
        "timeseries",
        (
            ("{{server}} used", _rule("kv_used_fraction")),
            ("{{server}} prefix hits", _rule("prefix_hit_fraction:rate5m")),
        ),
        "percentunit",
        most=1.0,
    ),
    Panel(
        "Retractions in ten minutes",
        "timeseries",
        (("{{server}}", _rule("retractions:increase10m")),),
    ),
    Panel(
        "Starts anew in half an hour",
        "timeseries",
        (("{{server}}", _rule("restarts:changes30m")),),
    ),
)
PANELS: Final = (*_STATS, *_COURSES)


def dashboard() -> dict[str, Any]:
    """The dashboard's JSON, which Grafana imports as it is."""
    panels: list[dict[str, Any]] = []
    across = down = 0
    height = 0
    for number, panel in enumerate(PANELS, 1):
        own_height = 4 if panel.kind == "stat" else 8
        if across + panel.width > _WIDTH:
            across, down = 0, down + height
        height = own_height
        place = {"x": across, "y": down, "w": panel.width, "h": own_height}
        panels.append(_panel(number, panel, place))
        across += panel.width
    return {
        "uid": UID,
        "title": "Speculative decoding",
        "tags": [UID],
        "timezone": "browser",
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "refresh": "15s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": _variables()},
        "annotations": {"list": []},
        "links": [],
        "panels": panels,
    }


def _variables() -> list[dict[str, Any]]:
    return [
        {
            "name": "datasource",
            "label": "Prometheus",
            "type": "datasource",
            "query": "prometheus",
            "hide": 0,
        },
        {
            "name": "server",
            "label": "Server",
            "type": "query",
            "datasource": _DATASOURCE,
            "query": {"query": "label_values(specserve:running_requests, server)", "refId": "A"},
            "refresh": 2,
            "multi": True,
            "includeAll": True,
            "allValue": ".*",
            "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
        },
    ]


def _panel(number: int, panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    defaults: dict[str, Any] = {"unit": panel.unit, "min": 0}
    if panel.most is not None:
        defaults["max"] = panel.most
    made: dict[str, Any] = {
        "id": number,
        "title": panel.title,
        "type": panel.kind,
        "description": panel.description,
        "datasource": _DATASOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "targets": [
            {
                "refId": chr(ord("A") + place_of_query),
                "datasource": _DATASOURCE,
                "expr": expr,
                "legendFormat": legend,
                "instant": panel.kind == "stat",
                "range": panel.kind != "stat",
            }
            for place_of_query, (legend, expr) in enumerate(panel.queries)
        ],
    }
    if panel.kind == "stat":
        made["options"] = {
            "colorMode": "none",
            "graphMode": "none",
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        }
    else:
        made["options"] = {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "none"},
        }
    return made
