"""One server of this machine, or one elsewhere, look by look."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from launcher.config.server_config import ServerConfig, describe_speculation
from launcher.engines.common.metrics import (
    ASK_SECONDS,
    MetricSource,
    UnreadMetricsError,
    ask_metrics,
)
from launcher.engines.engine import Engine
from launcher.engines.select import engine_of, metric_table_of
from launcher.errors import StateError
from launcher.live.snapshot import ServerSnapshot, Usage
from launcher.live.usage import Nvml, ServerUsage, gpus_of
from launcher.metrics.benchmark import Benchmark, Machine, ReportFile, find_benchmark
from launcher.metrics.history import History
from launcher.metrics.table import MetricTable, read
from launcher.metrics.verdict import Verdict, judge
from launcher.metrics.window import Window
from launcher.state.events import LONGEST_LINE_CHARACTERS, PhaseProgress, parse_event
from launcher.state.record import RunRecord
from launcher.supervision.server.scratch import is_ours, scratch_name
from launcher.system import private

# It answers, or has answered and may again.
_SERVING: Final = frozenset({"READY", "UNHEALTHY", "ORPHANED", "STOPPING"})


@dataclass(slots=True)
class Surroundings:
    """What all servers have in common.

    Attributes:
        nvml: the driver of the GPUs.
        machine: this one, for benchmarks.
        reports: of benchmarks.
        window_seconds: that figures cover.
        ask_seconds: between two questions by HTTP.
    """

    nvml: Nvml
    machine: Machine
    reports: Sequence[tuple[str, ReportFile]]
    window_seconds: float
    ask_seconds: float


class ServerWatch:
    """Follows one name over all its runs."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._around = surroundings
        self._run_id = ""
        self._run: _RunWatch | None = None

    def look(self, record: RunRecord, now: float, *, role: str = "server") -> ServerSnapshot:
        """What it does now.

        Args:
            record: as it was just read.
            now: of the monotonic clock, in seconds.
            role: `server`, `replica` or `gateway`.
        """
        state = record.live_state
        if record.run_id != self._run_id:
            self._run_id, self._run = record.run_id, None
        if self._run is None and state in _SERVING:
            self._run = _RunWatch.of(record, self._around)
        run = self._run
        if run is not None and state in _SERVING:
            run.look(now)
        alive = record.is_running
        return ServerSnapshot(
            name=record.name,
            fleet="",
            role=role,
            engine=run.engine.name if run else "",
            model=record.served_model_name,
            url=record.base_url,
            state=state,
            phase=_phase(record) if state == "STARTING" else "",
            seconds_since_start=_ago(record.started_at) if alive else None,
            restarts=record.restarts,
            last_failure=record.last_failure or "",
            last_failure_seconds_ago=_ago(record.last_failure_at),
            speculation=run.speculation if run else "",
            alarm=(record.speculation_alarm or "") if state in _SERVING else "",
            **(run.shown(now) if run is not None and state in _SERVING else {}),
        )


class _RunWatch:
    """One run of a server: what belongs to it begins anew with the next one."""

    def __init__(
        self,
        record: RunRecord,
        config: ServerConfig,
        engine: Engine,
        around: Surroundings,
    ) -> None:
        self.engine = engine
        self.speculation = "" if engine.metrics is None else describe_speculation(config)
        self._around = around
        self._config = record.config
        self._version = record.versions.get(engine.distribution, "")
        environment = record.environment if _has_scratch(record) else {}
        self._metrics = (
            _MetricWatch(
                engine.metrics,
                MetricSource(
                    engine.metrics, record.base_url, environment, ask_seconds=around.ask_seconds
                ),
                around.window_seconds,
            )
            if engine.metrics is not None and config.enable_metrics
            else None
        )
        self._problem = "" if config.enable_metrics else "its metrics are off (enable_metrics)"
        leader = record.leader
        gpus = gpus_of(record.environment, config.gpu_ids) if config.device == "cuda" else ()
        self._usage = None if leader is None else ServerUsage(leader, record.run_id, gpus)
        self._used = Usage()

    @classmethod
    def of(cls, record: RunRecord, around: Surroundings) -> _RunWatch | None:
        """None where another version of this project started it."""
        try:
            config = record.read_config()
        except StateError:
            return None
        return cls(record, config, engine_of(config), around)

    def look(self, now: float) -> None:
        """Read its metrics, and what it uses."""
        if self._metrics is not None:
            self._metrics.look(now)
        if self._usage is not None:
            self._used = self._usage.look(self._around.nvml, now)

    def shown(self, now: float) -> dict[str, Any]:
        """The part of a snapshot that the run knows."""
        if self._metrics is None:
            return {"usage": self._used, "problem": self._problem}
        return {
            **self._metrics.shown(now),
            "usage": self._used,
            "verdict": self._verdict(),
        }

    def _verdict(self) -> Verdict:
        assert self._metrics is not None  # noqa: S101 - by `shown`
        benchmark = self._benchmark()
        figures = self._metrics.window.figures()
        return judge(self.speculation, figures, benchmark, self._version)

    def _benchmark(self) -> Benchmark | None:
        return find_benchmark(self._around.reports, self._config, self._around.machine)


class _MetricWatch:
    """One source of metrics and the window of its readings."""

    def __init__(self, table: MetricTable, source: MetricSource, window_seconds: float) -> None:
        self._table = table
        self._source = source
        self.window = Window(window_seconds)
        self._history = History()
        self._read_at: float | None = None
        self._problem = ""

    def look(self, now: float) -> None:
        """Read, where it is time to."""
        try:
            samples = self._source.read(now)
        except UnreadMetricsError as error:
            self._problem = str(error)
            return
        if samples is None:
            return
        self._problem = "" if samples else "it reports no metrics"
        self._read_at = now
        self.window.add(read(self._table, samples, at_seconds=now))
        self._history.add(self.window.moment(), now)

    def shown(self, now: float) -> dict[str, Any]:
        """The part of a snapshot that it knows."""
        return {
            "origin": self._source.origin,
            "age_seconds": None if self._read_at is None else now - self._read_at,
            "problem": self._problem,
            "figures": self.window.figures(),
            "course": self._history.course(),
        }


class RemoteWatch:
    """A server elsewhere, of which only its metrics are known."""

    def __init__(self, url: str, surroundings: Surroundings) -> None:
        self._url = url
        self._around = surroundings
        self._metrics: _MetricWatch | None = None
        self._engine = ""
        self._asked_at: float | None = None
        self._problem = ""

    def look(self, now: float) -> ServerSnapshot:
        """What it does now, as far as it tells."""
        if self._metrics is None and (
            self._asked_at is None or now - self._asked_at >= ASK_SECONDS
        ):
            self._asked_at = now
            self._find()
        if self._metrics is not None:
            self._metrics.look(now)
        shown = {"problem": self._problem}
        return ServerSnapshot(
            name=self._url,
            fleet="",
            role="remote",
            engine=self._engine,
            model="",
            url=self._url,
            state="-",
            **(shown if self._metrics is None else self._metrics.shown(now)),
        )

    def _find(self) -> None:
        """Tell its engine by its metrics' names."""
        try:
            known = metric_table_of(ask_metrics(self._url))
        except UnreadMetricsError as error:
            self._problem = str(error)
            return
        if known is None:
            self._problem = "its metrics are of no engine that is known here"
            return
        self._engine, table = known
        source = MetricSource(table, self._url, {}, ask_seconds=self._around.ask_seconds)
        self._metrics = _MetricWatch(table, source, self._around.window_seconds)


def _has_scratch(record: RunRecord) -> bool:
    """Whether its temporary folder is the run's own: another one would hold others' files, too."""
    folder = Path(record.environment.get("TMPDIR", ""))
    return folder.name == scratch_name(record.run_id) and is_ours(folder)


def _ago(at: datetime | None) -> float | None:
    if at is None:
        return None
    known = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, time.time() - known.timestamp())


def _phase(record: RunRecord) -> str:
    """What its start does now: the last phase that its events tell."""
    try:
        with private.open_to_read(record.events_file) as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - LONGEST_LINE_CHARACTERS))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    for line in reversed(lines):
        try:
            event = parse_event(line)
        except ValueError:
            continue
        if event.run_id != record.run_id:
            return ""
        if isinstance(event, PhaseProgress):
            count = "" if event.done is None else f" {event.done} of {event.total}"
            return f"{event.phase}{count}"
    return ""
