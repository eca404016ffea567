"""Other people's benchmarks on one of the arms, in turns with ours, on the same prompts."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.errors import PeerError, TargetError
from benchmarks.load.loops import run_cell
from benchmarks.peers.agreement import REFERENCE as OURS
from benchmarks.peers.measuring import ADAPTERS, measure_with
from benchmarks.peers.own import ours
from benchmarks.plan import Arm, Plan
from benchmarks.records import Cell, Load
from benchmarks.results import PeerFigures
from benchmarks.running.folder import ResultsFolder
from benchmarks.running.runner import OpenArm, ProgressListener
from benchmarks.running.servers import ServedArm
from benchmarks.workloads.workload import Workload

REPETITIONS: Final = 3
_Turn = tuple[str, Load, int]


def chosen(plan: Plan) -> tuple[Arm, tuple[Load, ...]]:
    """What the tools are held against each other on: the last arm, at the ends of its loads."""
    loads = sorted(plan.loads, key=lambda load: load.concurrency or load.rate_per_second or 0)
    ends = (loads[0],) if len(loads) == 1 else (loads[0], loads[-1])
    return plan.arms[-1], ends


def run_peers(
    plan: Plan,
    workload: Workload,
    folder: ResultsFolder,
    open_arm: OpenArm,
    progress: ProgressListener,
) -> None:
    """Measure with all tools what is not there yet; what fails is noted as missing.

    Args:
        plan: names the tools.
        workload: what is sent.
        folder: where it is kept.
        open_arm: has the server.
        progress: is told.

    Raises:
        StorageError: the folder cannot be written.
    """
    arm, loads = chosen(plan)
    # guidellm's median of an even number of values is the lower of the two in the middle.
    workload = workload.first(len(workload.prompts) - 1 + len(workload.prompts) % 2)
    tools = (OURS, *plan.peers)
    done = {(one.tool, one.load, one.repetition) for one in folder.read().peers}
    wanted = [
        (tool, load, repetition)
        for load in loads
        for repetition in range(REPETITIONS)
        # Who goes first takes turns.
        for tool in (*tools[repetition % len(tools) :], *tools[: repetition % len(tools)])
        if (tool, load.label, repetition) not in done
    ]
    if not plan.peers or not wanted:
        return
    progress.starting(arm.name)
    try:
        with open_arm(arm, plan.rounds) as served:
            _take_turns(plan, served, workload, wanted, folder=folder, progress=progress)
    except TargetError as error:
        folder.add_problem(f"Other benchmarks on {arm.name}", error.problem)
        progress.failed(f"Other benchmarks on {arm.name}: {error.problem}")


def _take_turns(
    plan: Plan,
    served: ServedArm,
    workload: Workload,
    turns: Sequence[_Turn],
    *,
    folder: ResultsFolder,
    progress: ProgressListener,
) -> None:
    """Tool by tool; one that failed is not asked again."""
    arm = served.arm.name
    broken: set[str] = set()
    for turn in turns:
        tool, load, repetition = turn
        if tool in broken:
            continue
        number = f"{repetition + 1} of {REPETITIONS}"
        progress.says(f"{tool} measures {arm} at {load.words}, {number}")
        served.flush_cache()
        try:
            folder.add_peer(_measure(plan, served, workload, turn, folder.path))
        except PeerError as error:
            broken.add(tool)
            folder.add_problem(f"{tool} on {arm}", error.problem)
            progress.failed(f"{tool}: {error.problem}")


def _measure(
    plan: Plan, served: ServedArm, workload: Workload, turn: _Turn, folder: Path
) -> PeerFigures:
    tool, load, repetition = turn
    if tool == OURS:
        cell = Cell(served.arm.name, workload.name, load, repetition)
        record, requests = asyncio.run(
            run_cell(
                served.target,
                cell,
                workload.prompts,
                seed=plan.seed,
                timeout_seconds=plan.cell_timeout_seconds,
            )
        )
        return ours(record, requests)
    peer = next(one for one in plan.peers if one == tool)
    if served.tokenizer is None:
        raise PeerError(
            f"{tool} needs the tokenizer of the model, which is not on this machine.",
            action="Measure a server that runs here, or leave --peer out.",
        )
    return measure_with(
        ADAPTERS[peer],
        served.target,
        arm=served.arm.name,
        workload=workload,
        load=load,
        repetition=repetition,
        folder=folder / "peers" / f"{tool}-{load.label}-{repetition}",
        tokenizer=served.tokenizer,
        timeout_seconds=plan.cell_timeout_seconds,
    )
