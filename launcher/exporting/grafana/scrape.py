"""Prometheus' configuration: which servers it asks, and which rules it computes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from launcher.engines.select import METRIC_TABLES
from launcher.exporting.document import Node
from launcher.exporting.grafana.targets import JOB, ScrapeTarget

RULES_FILE: Final = "rules.yml"
# `/metrics` takes a server 10 ms: at this interval less than a thousandth of a processor.
_INTERVAL: Final = "15s"


class Global(Node):
    """`global`."""

    scrape_interval: str = _INTERVAL
    evaluation_interval: str = _INTERVAL


class StaticConfig(Node):
    """One server."""

    targets: tuple[str, ...]
    labels: dict[str, str]


class Relabel(Node):
    """A metric's other name.

    prometheus_client writes `sglang_` instead of `sglang:` for a Prometheus that asks for
    OpenMetrics without `escaping=allow-utf-8`, as those before 3.0 do.
    """

    source_labels: tuple[str, ...] = ("__name__",)
    regex: str
    target_label: str = "__name__"
    replacement: str = "${1}:${2}"


class ScrapeConfig(Node):
    """One job: all servers that are asked in the same way."""

    job_name: str
    metrics_path: str = "/metrics"
    scheme: str
    static_configs: tuple[StaticConfig, ...]
    metric_relabel_configs: tuple[Relabel, ...]


class Prometheus(Node):
    """The whole file."""

    global_: Global = Global()
    rule_files: tuple[str, ...] = (RULES_FILE,)
    scrape_configs: tuple[ScrapeConfig, ...]

    def as_data(self) -> dict[str, object]:
        """`global` is a word of Python's."""
        data = super().as_data()
        return {("global" if key == "global_" else key): value for key, value in data.items()}


def _prefixes() -> list[str]:
    """What stands before the colon in the engines' names."""
    tables = METRIC_TABLES.values()
    names = (name for table in tables for one in table.metrics.values() for name in one.names)
    return sorted({name.partition(":")[0] for name in names})


def prometheus(targets: Sequence[ScrapeTarget]) -> Prometheus:
    """A job for the servers that are asked by HTTP, and one for those by HTTPS."""
    jobs = []
    for scheme, name in (("http", JOB), ("https", f"{JOB}-https")):
        own = [target for target in targets if target.https == (scheme == "https")]
        if own:
            configs = tuple(
                StaticConfig(
                    targets=(one.address,),
                    labels={"server": one.server} | ({"fleet": one.fleet} if one.fleet else {}),
                )
                for one in own
            )
            jobs.append(
                ScrapeConfig(
                    job_name=name,
                    scheme=scheme,
                    static_configs=configs,
                    metric_relabel_configs=(Relabel(regex=f"({'|'.join(_prefixes())})_(.+)"),),
                )
            )
    return Prometheus(scrape_configs=tuple(jobs))
