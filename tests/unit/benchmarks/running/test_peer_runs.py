"""Other benchmarks in turns with ours: who is asked when, and what one that fails costs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.errors import ArmFailedError, PeerError
from benchmarks.peers.adapter import Adapter
from benchmarks.plan import Arm, Plan
from benchmarks.results import PeerFigures
from benchmarks.running import peer_runs
from benchmarks.running.folder import ResultsFolder
from benchmarks.running.peer_runs import chosen, run_peers
from benchmarks.running.servers import ServedArm, connect
from benchmarks.selfcheck.loopback.schedule import Schedule
from benchmarks.selfcheck.loopback.server import Loopback, loopback
from tests.unit.benchmarks.plans import C1, C2, plan, workload
from tests.unit.benchmarks.scenes import Told

ASKED = plan(loads=(C2, C1)).model_copy(update={"peers": ("bench_serving", "guidellm")})


class Tools:
    """Stand in for the other tools."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, broken: str = "") -> None:
        self.asked: list[tuple[str, str, int, int]] = []
        self.broken = broken
        monkeypatch.setattr(peer_runs, "measure_with", self.measure_with)

    def measure_with(self, adapter: Adapter, *_: Any, **asked: Any) -> PeerFigures:
        peer = adapter.tool
        prompts = len(asked["workload"].prompts)
        self.asked.append((peer, asked["load"].label, asked["repetition"], prompts))
        if peer == self.broken:
            raise PeerError(f"{peer} had no luck.", action="Try again.")
        return PeerFigures(
            tool=peer,
            version="1",
            arm=asked["arm"],
            workload=asked["workload"].name,
            load=asked["load"].label,
            repetition=asked["repetition"],
            requests=prompts,
            output_tokens=6 * prompts,
            output_tokens_per_second=100.0,
            median_time_to_first_token_seconds=0.05,
            median_time_per_output_token_seconds=0.01,
            generator_cpu_seconds=1.0,
        )


@pytest.fixture(scope="module")
def server() -> Iterator[Loopback]:
    with loopback(Schedule(tokens_per_chunk=2)) as running:
        yield running


def measure(
    path: Path, server: Loopback | None, asked: Plan = ASKED, *, tokenizer: Path | None = Path("/m")
) -> tuple[ResultsFolder, Told]:
    folder, told = ResultsFolder(path), Told()
    if not (path / "plan.json").exists():
        folder.create(asked, [workload()], {})

    @contextlib.contextmanager
    def opened(arm: Arm, number: int) -> Iterator[ServedArm]:
        if server is None:
            raise ArmFailedError("It did not start.", action="Mend it.")
        served = connect(arm, server.base_url, round_number=number)
        yield replace(served, tokenizer=tokenizer)

    run_peers(asked, workload(), folder, opened, told)
    return folder, told


def problems(folder: ResultsFolder) -> list[str]:
    return [line for line in folder.read().missing if not line.startswith("Round")]


def test_the_last_arm_is_measured_at_the_ends_of_its_loads() -> None:
    arm, loads = chosen(ASKED)

    assert arm.name == "eagle"
    assert loads == (C1, C2)


def test_all_tools_measure_in_turns_what_is_not_there_yet(
    monkeypatch: pytest.MonkeyPatch, server: Loopback, tmp_path: Path
) -> None:
    tools = Tools(monkeypatch)

    folder, told = measure(tmp_path / "r", server)

    order = [(one.tool, one.load, one.repetition) for one in folder.read().peers]
    assert order[:9] == [
        *(("specserve", "c1", 0), ("bench_serving", "c1", 0), ("guidellm", "c1", 0)),
        *(("bench_serving", "c1", 1), ("guidellm", "c1", 1), ("specserve", "c1", 1)),
        *(("guidellm", "c1", 2), ("specserve", "c1", 2), ("bench_serving", "c1", 2)),
    ]
    assert len(order) == 18
    # An odd number of prompts has one median for all tools.
    assert {one.requests for one in folder.read().peers} == {3}
    assert problems(folder) == []
    assert told.starts == ["eagle"]

    tools.asked.clear()
    _, told = measure(tmp_path / "r", server)
    assert (tools.asked, told.starts) == ([], [])


def test_a_tool_that_fails_is_not_asked_again_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch, server: Loopback, tmp_path: Path
) -> None:
    tools = Tools(monkeypatch, broken="guidellm")

    folder, told = measure(tmp_path / "r", server)

    assert [tool for tool, *_ in tools.asked].count("guidellm") == 1
    assert len(folder.read().peers) == 12
    assert problems(folder) == ["guidellm on eagle: guidellm had no luck."]
    assert told.failures == ["guidellm: guidellm had no luck."]


def test_a_server_elsewhere_has_no_tokenizer_for_them(
    monkeypatch: pytest.MonkeyPatch, server: Loopback, tmp_path: Path
) -> None:
    tools = Tools(monkeypatch)

    folder, _ = measure(tmp_path / "r", server, tokenizer=None)

    assert tools.asked == []
    assert {one.tool for one in folder.read().peers} == {"specserve"}
    assert all("needs the tokenizer" in line for line in problems(folder))


def test_a_server_that_does_not_start_is_said_to_be_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    Tools(monkeypatch)

    folder, told = measure(tmp_path / "r", None)

    assert problems(folder) == ["Other benchmarks on eagle: It did not start."]
    assert len(told.failures) == 1


def test_a_plan_without_other_tools_starts_nothing(server: Loopback, tmp_path: Path) -> None:
    _, told = measure(tmp_path / "r", server, plan())

    assert told.starts == []
