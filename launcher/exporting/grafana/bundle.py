"""The three files of the bundle, as texts."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence

from launcher.exporting.document import as_yaml
from launcher.exporting.grafana.dashboard import dashboard
from launcher.exporting.grafana.rules import rules
from launcher.exporting.grafana.scrape import RULES_FILE, prometheus
from launcher.exporting.grafana.targets import ScrapeTarget

PROMETHEUS_FILE = "prometheus.yml"
DASHBOARD_FILE = "dashboard.json"


def bundle(targets: Sequence[ScrapeTarget], arguments: Sequence[str]) -> dict[str, str]:
    """Each file's name and text.

    Args:
        targets: the servers; at least one.
        arguments: of the command that made it.
    """
    made = shlex.join(["python", "-m", "launcher", "export", "grafana", *arguments])
    scrape_head = [
        f"Made by `{made}`.",
        *(f"Note: {note}" for note in notes(targets)),
        "",
        "Start it in this folder:",
        f"  prometheus --config.file={PROMETHEUS_FILE} --web.listen-address=127.0.0.1:9090",
        f"Where a Prometheus runs already, copy the jobs and {RULES_FILE} into it.",
        f"Grafana imports {DASHBOARD_FILE} under Dashboards, New, Import.",
    ]
    rules_head = [
        f"Made by `{made}`.",
        "Series named specserve: are the same for all engines. docs/top.md explains the figures.",
    ]
    return {
        PROMETHEUS_FILE: as_yaml(scrape_head, [prometheus(targets)]),
        RULES_FILE: as_yaml(rules_head, [rules(targets)]),
        DASHBOARD_FILE: json.dumps(dashboard(), indent=2) + "\n",
    }


def notes(targets: Sequence[ScrapeTarget]) -> Iterator[str]:
    """What a person may not expect."""
    local = [one for one in targets if one.address.startswith(("127.", "localhost", "[::1]"))]
    if local:
        yield (
            "servers on loopback are reached from this machine alone: run Prometheus here, or name "
            "addresses that it reaches with --target."
        )
    if all(one.needed_acceptance_length is None for one in targets):
        yield (
            "no benchmark of these servers was found, so no rule says what acceptance length they "
            "need: `python -m benchmarks run`, then export again."
        )
    yield "a server's metrics need no key; who reaches its port reads them."
