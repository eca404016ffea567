"""Where figures come from: a server's own files, `/metrics`, its processes, its GPUs."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from launcher.engines.common.metrics import (
    MetricSource,
    UnreadMetricsError,
    ask_metrics,
    read_files,
)
from launcher.engines.sglang.watching.metrics import METRICS
from launcher.engines.vllm.watching.metrics import METRICS as VLLM
from launcher.live.usage import Nvml, ServerUsage, gpus_of
from launcher.metrics.samples import parse_text
from launcher.metrics.table import Quantity, read
from launcher.names import RUN_ID_VARIABLE
from launcher.system.process import ProcessIdentity
from tests.unit.launcher.live.scenes import MetricServer
from tests.unit.launcher.metrics.texts import lines

# Two processes, as SGLang's are: what both count is added up, the newest gauge holds.
WRITER = """
import os, sys
os.environ["PROMETHEUS_MULTIPROC_DIR"] = sys.argv[1]
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
requests = Counter("sglang:num_requests", "", ["model_name"])
running = Gauge("sglang:num_running_reqs", "", ["tp_rank"], multiprocess_mode="mostrecent")
first = Histogram("sglang:time_to_first_token_seconds", "", ["model_name"], buckets=(0.1, 1.0))
def write(number):
    requests.labels("m").inc(number)
    running.labels("0").set(number)
    for _ in range(number):
        first.labels("m").observe(0.05 * number)
if os.fork() == 0:
    write(3)
    os._exit(0)
os.wait()
write(4)
registry = CollectorRegistry()
MultiProcessCollector(registry)
sys.stdout.write(generate_latest(registry).decode())
"""


@pytest.fixture
def written(tmp_path: Path) -> tuple[dict[str, str], str]:
    """The environment that leads to a server's files, and what it answers for `/metrics`."""
    folder = tmp_path / "specserve-run" / "tmpabc"
    folder.mkdir(parents=True)
    done = subprocess.run(
        [sys.executable, "-c", WRITER, str(folder)],
        capture_output=True,
        text=True,
        check=True,
        umask=0o077,
    )
    return {"TMPDIR": str(folder.parent)}, done.stdout


def test_the_files_say_what_the_server_answers(written: tuple[dict[str, str], str]) -> None:
    environment, answer = written

    samples = read_files(METRICS, environment)

    assert samples is not None
    ours = read(METRICS, samples, at_seconds=0)
    theirs = read(METRICS, parse_text(answer), at_seconds=0)
    assert ours == theirs
    assert ours.values[Quantity.REQUESTS] == 7
    assert ours.values[Quantity.RUNNING] == 4
    assert ours.histograms[Quantity.FIRST_TOKEN].counts == (0.0, 7.0, 7.0)


def test_files_are_read_as_often_as_one_likes_and_nothing_is_asked(
    written: tuple[dict[str, str], str],
) -> None:
    with MetricServer("").running() as server:
        source = MetricSource(METRICS, server.url, written[0])
        for moment in range(3):
            assert source.read(float(moment))
        assert source.origin == "files"
        assert server.asked == 0


def test_files_that_others_may_write_are_not_read(written: tuple[dict[str, str], str]) -> None:
    environment, _ = written
    next(Path(environment["TMPDIR"]).glob("tmp*/*.db")).chmod(0o666)

    assert read_files(METRICS, environment) is None


def test_broken_files_are_none(written: tuple[dict[str, str], str]) -> None:
    environment, _ = written
    for file in Path(environment["TMPDIR"]).glob("tmp*/*.db"):
        file.write_bytes(b"\xff" * 64)

    assert read_files(METRICS, environment) is None


@pytest.mark.parametrize("environment", [{}, {"TMPDIR": "/nowhere"}])
def test_without_files_the_server_is_asked_now_and_then(environment: dict[str, str]) -> None:
    with MetricServer(lines({"num_running_reqs": 2})).running() as server:
        source = MetricSource(METRICS, server.url, environment, ask_seconds=15)
        asked = [source.read(moment) is not None for moment in (0.0, 2.0, 14.0, 15.0, 16.0)]

        assert asked == [True, False, False, True, False]
        assert source.origin == "http"
        assert server.asked == 2
    assert read_files(VLLM, {"TMPDIR": "/nowhere"}) is None


def test_why_there_are_no_metrics_is_said() -> None:
    with MetricServer("", status=404).running() as server:
        with pytest.raises(UnreadMetricsError, match="status 404"):
            ask_metrics(server.url)
        server.say("nothing of that kind {")
    with pytest.raises(UnreadMetricsError, match="refused"):
        ask_metrics(server.url)
    with (
        MetricServer("nothing of that kind {").running() as server,
        pytest.raises(UnreadMetricsError, match="ValueError"),
    ):
        ask_metrics(server.url)


def test_the_time_on_processors_is_that_between_two_looks() -> None:
    burn = "import time\nend = time.monotonic() + 60\nwhile time.monotonic() < end: pass"
    run_id = "fedcba9876543210"
    environment = os.environ | {RUN_ID_VARIABLE: run_id}
    with subprocess.Popen([sys.executable, "-c", burn], env=environment) as child:
        try:
            usage = ServerUsage(ProcessIdentity.of(child.pid), run_id, ())
            assert usage.look(Nvml(), 0.0).cpu_cores is None
            # Its own clock says how long a second is: on a busy machine it gets less than a core.
            time.sleep(0.5)
            cores = usage.look(Nvml(), 1.0).cpu_cores
            assert cores is not None
            assert 0 < cores <= 600
        finally:
            child.kill()


class FakeNvml:
    """As much of pynvml as is asked; the second GPU does not tell its power."""

    class NVMLError(Exception):
        """Its own."""

    def __init__(self, *, driver: bool = True) -> None:
        self.driver = driver
        self.opened = 0

    def nvmlInit(self) -> None:  # noqa: N802 - its own names
        self.opened += 1
        if not self.driver:
            raise self.NVMLError

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.opened -= 1

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        if index > 1:
            raise self.NVMLError
        return index

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> int:  # noqa: N802
        return {"GPU-aa": 0, "GPU-bb": 1}[uuid]

    def nvmlDeviceGetIndex(self, handle: int) -> int:  # noqa: N802
        return handle

    def nvmlDeviceGetName(self, _handle: int) -> str:  # noqa: N802
        return "NVIDIA H200"

    def nvmlDeviceGetMemoryInfo(self, _handle: int) -> Any:  # noqa: N802
        return SimpleNamespace(used=1 << 30, total=2 << 30)

    def nvmlDeviceGetUtilizationRates(self, _handle: int) -> Any:  # noqa: N802
        return SimpleNamespace(gpu=97)

    def nvmlDeviceGetPowerUsage(self, handle: int) -> int:  # noqa: N802
        if handle == 1:
            raise self.NVMLError
        return 512_300


def test_gpus_tell_what_they_know() -> None:
    library = FakeNvml()
    nvml = Nvml(library)

    first, second = nvml.uses(("GPU-aa", "1", "7"))

    assert (first.power_watts, first.utilisation) == (512.3, 0.97)
    assert second.power_watts is None
    assert second.memory_total_bytes == 2 << 30
    nvml.uses(("0",))
    assert library.opened == 1
    nvml.close()
    assert library.opened == 0


def test_without_a_driver_or_gpus_nothing_is_asked_again() -> None:
    library = FakeNvml(driver=False)
    nvml = Nvml(library)

    assert nvml.uses(()) == ()
    assert library.opened == 0
    assert nvml.uses(("0",)) == nvml.uses(("0",)) == ()
    assert library.opened == 1


def test_a_server_s_gpus_are_those_that_it_was_given() -> None:
    assert gpus_of({"CUDA_VISIBLE_DEVICES": "GPU-aa,GPU-bb"}, "0,1") == ("GPU-aa", "GPU-bb")
    assert gpus_of({}, "0, 1") == ("0", "1")
    assert gpus_of({}, None) == ()
