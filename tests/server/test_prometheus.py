"""A real Prometheus asks the real server, by the bundle that `export grafana` writes."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from clients import ChatClient
from launcher.exporting.grafana.dashboard import PANELS
from launcher.serving import free_port
from tests.server.conftest import run_cli

if TYPE_CHECKING:
    from launcher.state.record import RunRecord

PATIENCE_SECONDS = 120.0
# What a server on which all is well, without a past of a day and without a benchmark, has not.
ABSENT = ("specserve:needed_acceptance_length", "specserve:acceptance_length:usual",
          "specserve:retractions:increase10m")  # fmt: skip

pytestmark = pytest.mark.costly


class Prometheus:
    """One that runs, and what it knows."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, path: str, **query: str) -> Any:
        """The data of an answer."""
        with urllib.request.urlopen(  # noqa: S310 - its own address
            f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(query)}", timeout=10
        ) as answer:
            return json.load(answer)["data"]

    def value(self, expr: str) -> dict[str, float]:
        """Of each server."""
        found = self.ask("query", query=expr)["result"]
        return {one["metric"].get("server", ""): float(one["value"][1]) for one in found}


@pytest.fixture
def prometheus(eagle: RunRecord, tmp_path: Path) -> Iterator[Prometheus]:
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("not installed: apt-get install -y prometheus")
    folder = tmp_path / "bundle"
    assert run_cli("export", "grafana", "--output", str(folder)) == 0
    for name in ("prometheus.yml", "rules.yml"):
        # Nobody wants to wait for minutes here; the windows of the rules stay as they are.
        text = (folder / name).read_text()
        (folder / name).write_text(re.sub(r"interval: 15s", "interval: 1s", text))
    assert eagle.base_url.removeprefix("http://") in (folder / "prometheus.yml").read_text()
    url = f"http://127.0.0.1:{free_port()}"
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [
                *(program, "--config.file=prometheus.yml", f"--storage.tsdb.path={tmp_path}/data"),
                f"--web.listen-address={url.removeprefix('http://')}",
            ],
            cwd=folder,
            stdout=log,
            stderr=log,
        )
        try:
            yield Prometheus(url)
        finally:
            process.terminate()
            process.wait()
    assert "err=" not in (tmp_path / "log").read_text()


def test_the_real_prometheus_records_what_the_real_server_does(
    eagle: RunRecord, prometheus: Prometheus
) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    lengths: list[float] = []
    with ChatClient(server=eagle.name) as client:
        while True:
            reply = client.chat(
                "Count to ten",
                max_tokens=64,
                thinking=False,
                temperature=0,
                extra={"ignore_eos": True},
            )
            assert reply.acceptance is not None
            lengths.append(reply.acceptance.length)
            try:
                seen = prometheus.value("specserve:acceptance_length:rate5m")
            except OSError:
                # It does not listen yet.
                seen = {}
            if eagle.name in seen and len(lengths) >= 6:
                break
            assert time.monotonic() < deadline, (seen, lengths)

    # Each answer is the same, so is its acceptance; the server counts the prefill's token apart.
    assert seen[eagle.name] == pytest.approx(lengths[-1], rel=0.05)
    assert prometheus.value('up{job="specserve"}')[eagle.name] == 1
    for panel in PANELS:
        for _, expr in panel.queries:
            if not any(name in expr for name in ABSENT):
                found = prometheus.value(expr.replace("$server", ".*"))
                assert eagle.name in found, expr
    groups = prometheus.ask("rules")["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert {rule["health"] for rule in rules} == {"ok"}, rules
    firing = [one["name"] for one in rules if one["type"] == "alerting" and one["alerts"]]
    assert firing == []
