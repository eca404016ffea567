"""Looks at what speculation brings while a server serves; tells when that goes wrong.

Its metrics are read from its processes' own files, which costs the server nothing; see
`launcher.engines.common.metrics`.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from launcher.config.server_config import ServerConfig, describe_speculation
from launcher.engines.common.metrics import MetricSource, UnreadMetricsError
from launcher.metrics.alarms import WINDOW_SLICES, Alarm, Baseline, Slice, SpeculationJudge
from launcher.metrics.benchmark import Benchmark, Machine, find_benchmark
from launcher.metrics.figures import Figures
from launcher.metrics.table import MetricTable, Quantity, read
from launcher.metrics.window import Window
from launcher.state.reports import Reports
from launcher.supervision.watches.acceptance_history import AcceptanceHistory

# Looks in a slice: a gauge is of a moment.
LOOKS: Final = 3


@dataclass(frozen=True, slots=True)
class Watched:
    """What is looked at.

    Attributes:
        config: of the server.
        table: of its engine's metrics.
        environment: that the launcher added for it.
        machine: finds out which this one is, for benchmarks.
        history_key: what starts, and accepts, alike.
    """

    config: ServerConfig
    table: MetricTable
    environment: Mapping[str, str]
    machine: Callable[[], Machine]
    history_key: str


class SpeculationWatch:
    """A thread that looks, judges, and calls back when there is another alarm, or none any more.

    Args:
        watched: what.
        on_change: called in the thread.
        history: keeps what was usual, for the next run.
    """

    def __init__(
        self,
        watched: Watched,
        on_change: Callable[[Alarm | None], None],
        history: AcceptanceHistory,
    ) -> None:
        self._watched = watched
        self._on_change = on_change
        self._history = history
        config = watched.config
        self._slice_seconds = config.acceptance_window_seconds / WINDOW_SLICES
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="speculation", daemon=True)

    def start(self) -> None:
        """Begin, a slice from now."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stopped.set()

    def _find_benchmark(self) -> Benchmark | None:
        config = self._watched.config.model_dump(mode="json")
        return find_benchmark(Reports().all(), config, self._watched.machine())

    def _make_judge(self, benchmark: Benchmark | None) -> SpeculationJudge:
        config = self._watched.config
        if benchmark is not None and benchmark.acceptance_length is not None:
            baseline: Baseline | None = Baseline(
                benchmark.acceptance_length, 0.0, "in the benchmark"
            )
        else:
            baseline = self._history.read(self._watched.history_key)
        return SpeculationJudge(
            describe_speculation(config),
            baseline=baseline,
            baseline_slices=round(config.acceptance_baseline_seconds / self._slice_seconds),
        )

    def _run(self) -> None:
        # Here, and not before: reports of benchmarks are long, and a server is READY meanwhile.
        benchmark = self._find_benchmark()
        judge = self._make_judge(benchmark)
        source = MetricSource(self._watched.table, self._watched.config.base_url,
                              self._watched.environment)  # fmt: skip
        # As long as a slice turns out to be: who is asked by HTTP is not asked as often.
        window = Window(math.inf)
        running: list[float] = []
        while not self._stopped.wait(self._slice_seconds / LOOKS):
            now = time.monotonic()
            try:
                samples = source.read(now)
            except UnreadMetricsError:
                continue
            if samples is None:
                continue
            reading = read(self._watched.table, samples, at_seconds=now)
            window.add(reading)
            running.append(reading.values.get(Quantity.RUNNING, 0.0))
            if len(running) > LOOKS:
                # The first reading is the last one of the slice before.
                mean = math.fsum(running[1:]) / LOOKS
                self._take(judge, _slice(window.figures(), mean, benchmark))
                window.clear()
                window.add(reading)
                running = running[-1:]

    def _take(self, judge: SpeculationJudge, seen: Slice | None) -> None:
        if seen is None:
            return
        learns = judge.baseline is None
        if judge.take(seen) and not self._stopped.is_set():
            self._on_change(judge.alarm)
        if learns and judge.baseline is not None:
            self._history.keep(self._watched.history_key, judge.baseline)


def _slice(figures: Figures, running: float, benchmark: Benchmark | None) -> Slice | None:
    """What was decoded since the last slice; None where nothing was."""
    length = figures.acceptance.window
    tokens = (figures.output_tokens_per_second or 0.0) * figures.window_seconds
    if length is None or length < 1 or not tokens:
        return None
    running = max(1.0, running)
    speedup = None if benchmark is None else benchmark.speedup(running, length)
    # Steps are counted when a request has ended, and tokens at once.
    return Slice(length, tokens / length, running, speedup)
