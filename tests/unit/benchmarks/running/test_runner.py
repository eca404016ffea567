"""A plan is carried out whole, resumed where it stopped, and survives a server that does not.

The servers are loopback ones with known schedules: what a real server cannot be made to do at a
given moment.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.errors import ArmFailedError
from benchmarks.plan import Arm, Plan
from benchmarks.records import Cell
from benchmarks.running.folder import ResultsFolder
from benchmarks.running.runner import Runner
from benchmarks.running.servers import ServedArm, connect
from benchmarks.selfcheck.loopback.schedule import Schedule
from benchmarks.selfcheck.loopback.server import Loopback, loopback
from tests.unit.benchmarks.plans import C1, C2, plan, workload
from tests.unit.benchmarks.scenes import Told

Open = Callable[[Arm, int], contextlib.AbstractContextManager[ServedArm]]


@contextlib.contextmanager
def opening(urls: dict[str, str]) -> Iterator[Open]:
    @contextlib.contextmanager
    def opened(arm: Arm, number: int) -> Iterator[ServedArm]:
        url = urls.get(arm.name)
        if url is None:
            raise ArmFailedError(f"Arm {arm.name!r} did not start.", action="Mend it.")
        yield connect(arm, url, round_number=number)

    yield opened


@pytest.fixture(scope="module")
def quick() -> Iterator[Loopback]:
    with loopback(Schedule(tokens_per_chunk=2)) as server:
        yield server


def run(asked: Plan, path: Path, urls: dict[str, str]) -> tuple[ResultsFolder, Told, bool]:
    folder, told = ResultsFolder(path), Told()
    if not (path / "plan.json").exists():
        folder.create(asked, [workload()], {})
    with opening(urls) as opened:
        whole = Runner(asked, [workload()], folder, opened, told).run()
    return folder, told, whole


@pytest.mark.parametrize("side_by_side", [True, False])
def test_every_cell_of_every_round_is_measured(
    quick: Loopback, tmp_path: Path, *, side_by_side: bool
) -> None:
    urls = {"plain": quick.base_url, "eagle": quick.base_url}
    folder, told, whole = run(plan(side_by_side=side_by_side), tmp_path / "r", urls)
    results = folder.read()

    assert whole
    assert results.missing == ()
    assert {cell.cell for cell in results.cells} == {
        Cell(arm, "chat", load, number)
        for arm in ("plain", "eagle")
        for load in (C1, C2)
        for number in range(2)
    }
    assert all(cell.is_complete for cell in results.cells)
    assert {one.outcome for one in results.requests} == {"successful"}
    assert len(results.requests) == 2 * 2 * 2 * 4
    assert told.answers == len(results.requests)
    # Warming up is not measuring.
    assert all(one.prompt_id.startswith("chat-") for one in results.requests)
    assert len(told.starts) == (2 if side_by_side else 4)
    assert [start.arm for start in results.starts] == told.starts


def test_a_resumed_run_measures_only_what_is_missing(quick: Loopback, tmp_path: Path) -> None:
    urls = {"plain": quick.base_url, "eagle": quick.base_url}
    folder, _, _ = run(plan(), tmp_path / "r", urls)
    gone = folder.path / "cells" / "001-chat-c2-eagle.jsonl"
    gone.unlink()

    _, told, whole = run(plan(), tmp_path / "r", urls)

    assert whole
    assert told.cells == [Cell("eagle", "chat", C2, 1)]
    assert told.starts == ["eagle"]
    assert gone.exists()


def test_a_whole_run_starts_nothing_when_resumed(quick: Loopback, tmp_path: Path) -> None:
    urls = {"plain": quick.base_url, "eagle": quick.base_url}
    for side_by_side in (True, False):
        asked = plan(side_by_side=side_by_side)
        run(asked, tmp_path / str(side_by_side), urls)
        _, told, whole = run(asked, tmp_path / str(side_by_side), urls)

        assert whole
        assert told.starts == []


@pytest.mark.parametrize("side_by_side", [True, False])
def test_an_arm_that_does_not_start_costs_its_own_cells_only(
    quick: Loopback, tmp_path: Path, *, side_by_side: bool
) -> None:
    asked = plan(rounds=4, side_by_side=side_by_side)
    folder, told, whole = run(asked, tmp_path / "r", {"plain": quick.base_url})
    results = folder.read()

    assert not whole
    assert {cell.cell.arm for cell in results.cells} == {"plain"}
    assert len(results.cells) == 8
    assert len(results.missing) == 4
    assert all("arm eagle: 2 of 2" in line for line in results.missing)
    assert all("did not start" in line for line in results.missing)
    # It is given up after two tries.
    assert told.starts.count("eagle") == (1 if side_by_side else 2)


@pytest.mark.parametrize("side_by_side", [True, False])
def test_a_server_that_dies_in_a_cell_leaves_the_others_and_what_it_had_answered(
    quick: Loopback, tmp_path: Path, *, side_by_side: bool
) -> None:
    asked = plan(rounds=1, side_by_side=side_by_side).model_copy(update={"warm_up_requests": 0})
    with loopback(Schedule(tokens_per_chunk=2, fault="exit", fault_after_chunks=1)) as dying:
        urls = {"plain": quick.base_url, "eagle": dying.base_url}
        folder, told, whole = run(asked, tmp_path / "r", urls)
    results = folder.read()

    assert not whole
    assert {c.cell for c in results.cells if c.is_complete} == {
        Cell("plain", "chat", load, 0) for load in (C1, C2)
    }
    (broken,) = [c for c in results.cells if not c.is_complete]
    assert broken.cell.arm == "eagle"
    outcomes = [one.outcome for one in results.requests if one.cell == broken.cell]
    assert outcomes
    assert "successful" not in outcomes
    (said,) = results.missing
    assert "Round 1, arm eagle: 2 of 2 cells are not complete, 1 of them begun." in said
    assert "failed while chat ran at" in said
    assert told.failures


def test_a_cell_that_kills_its_server_twice_is_left_out_and_the_others_are_measured(
    tmp_path: Path,
) -> None:
    chat, code = workload(), workload("code")
    kill = {"loopback": {"fault": "exit", "fault_after_chunks": 1}}
    code = replace(code, prompts=tuple(replace(one, options=kill) for one in code.prompts))
    asked = plan(Arm(name="eagle"), workloads=("chat", "code"), rounds=6, loads=(C1,))
    asked = asked.model_copy(update={"warm_up_requests": 0})
    folder, told = ResultsFolder(tmp_path / "r"), Told()
    folder.create(asked, [chat, code], {})

    @contextlib.contextmanager
    def opened(arm: Arm, number: int) -> Iterator[ServedArm]:
        with loopback(Schedule(tokens_per_chunk=2)) as server:
            yield connect(arm, server.base_url, round_number=number)

    whole = Runner(asked, [chat, code], folder, opened, told).run()

    assert not whole
    assert len(told.failures) == 2
    assert told.starts == ["eagle"] * 6
    measured = {
        (one.cell.workload, one.cell.round) for one in folder.read().cells if one.is_complete
    }
    assert {name for name, _ in measured} == {"chat"}
    # Those of the two rounds that it cost may be missing, those after it may not.
    assert len(measured) >= 4


def test_a_cell_that_is_not_over_in_its_time_says_so(tmp_path: Path) -> None:
    asked = plan(Arm(name="plain"), rounds=1, loads=(C1,))
    asked = asked.model_copy(update={"warm_up_requests": 0, "cell_timeout_seconds": 0.5})
    with loopback(Schedule(fault="stall", fault_after_chunks=1)) as stalling:
        folder, told, whole = run(asked, tmp_path / "r", {"plain": stalling.base_url})

    assert not whole
    (said,) = folder.read().missing
    assert "1 of 1 cells are not complete, 1 of them begun. chat at concurrency 1 was ended" in said
    assert "with 1 of 4 requests sent" in said
    assert len(told.failures) == 1


def test_requests_that_are_all_refused_are_kept_and_measure_nothing(tmp_path: Path) -> None:
    asked = plan(rounds=1).model_copy(update={"warm_up_requests": 0})
    with loopback(Schedule(fault="refuse status")) as refusing:
        urls = {"plain": refusing.base_url, "eagle": refusing.base_url}
        folder, _, whole = run(asked, tmp_path / "r", urls)

    assert not whole
    found = folder.read()
    assert {one.outcome for one in found.requests} == {"errored"}
    assert len(found.missing) == 2
    assert "no successful request" in found.missing[0]
    # Cells come in an order that is drawn; one has two requests, the other four.
    assert re.search(r"None of [24] requests", found.missing[0])
    assert not any(folder.is_measured(one.cell) for one in found.cells)


def test_a_server_that_answers_no_warm_up_request_is_not_measured(tmp_path: Path) -> None:
    with loopback(Schedule(fault="refuse status")) as refusing:
        urls = {"plain": refusing.base_url, "eagle": refusing.base_url}
        folder, told, whole = run(plan(rounds=1), tmp_path / "r", urls)

    assert not whole
    assert told.cells == []
    assert len(folder.read().missing) == 2


def test_a_server_without_log_probabilities_is_measured_and_its_outputs_are_missing(
    quick: Loopback, tmp_path: Path
) -> None:
    urls = {"plain": quick.base_url, "eagle": quick.base_url}
    folder, _, whole = run(plan(rounds=1, scored=2), tmp_path / "r", urls)
    results = folder.read()

    assert not whole
    assert len(results.cells) == 4
    assert all(cell.is_complete for cell in results.cells)
    assert {line.partition(":")[0] for line in results.missing} == {
        "Outputs of plain for chat",
        "Outputs of eagle for chat",
    }
