"""Carries a plan out: every cell in its order, each kept on the disk as soon as it was measured.

A server that does not start, or ends while it is measured, costs its own cells; the others are
measured all the same, and the report says what is missing.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Final, Protocol

from benchmarks.errors import TargetError
from benchmarks.load.loops import run_cell
from benchmarks.plan import Arm, Plan
from benchmarks.records import Cell, CellRecord, Load, Place, RequestRecord
from benchmarks.running.folder import ResultsFolder
from benchmarks.running.resources import GpuSampler
from benchmarks.running.schedule import in_turn, side_by_side
from benchmarks.running.scoring import score
from benchmarks.running.servers import ServedArm, is_alive
from benchmarks.workloads.workload import Workload

# Starts of one arm that fail in a row before it is left alone, and servers that one cell may cost
# before it is left out: what kills a server must not cost all the other cells.
GIVE_UP_AFTER: Final = 2

OpenArm = Callable[[Arm, int], AbstractContextManager[ServedArm]]


class ProgressListener(Protocol):
    """Who is told how far the run is; the command line draws it."""

    def starting(self, arm: str) -> None:
        """A server is being started."""

    def began(self, cell: Cell, requests: int) -> None:
        """A cell begins."""

    def answered(self) -> None:
        """A request has ended; called while others stream, so it must be quick."""

    def ended(self, cell: CellRecord) -> None:
        """A cell has ended."""

    def failed(self, problem: str) -> None:
        """Something will be missing."""

    def says(self, what: str) -> None:
        """Something else is done now."""


class ArmLostError(TargetError):
    """The server went away within a cell."""


@dataclass(frozen=True, slots=True)
class Runner:
    """Carries a plan out.

    Attributes:
        plan: what to measure.
        workloads: its prompts.
        folder: where everything is kept; locked by the caller.
        open_arm: has the server of an arm for a round.
        progress: is told.
    """

    plan: Plan
    workloads: Sequence[Workload]
    folder: ResultsFolder
    open_arm: OpenArm
    progress: ProgressListener

    def run(self) -> bool:
        """Measure all that is not there yet.

        Returns:
            Whether nothing of the plan is missing.

        Raises:
            StorageError: the folder cannot be written.
        """
        self.folder.forget_problems()
        if self.plan.side_by_side:
            self._run_side_by_side()
        else:
            self._run_in_turn()
        return not self.folder.read().missing

    @property
    def _names(self) -> list[str]:
        return [workload.name for workload in self.workloads]

    @property
    def _arms(self) -> Mapping[str, Arm]:
        return {arm.name: arm for arm in self.plan.arms}

    def _run_side_by_side(self) -> None:
        open_cells = [
            cell
            for cell in side_by_side(self.plan, self._names)
            if not self.folder.is_measured(cell)
        ]
        wanted = {cell.arm for cell in open_cells} | {
            arm.name for arm in self.plan.arms if self._is_unscored(arm.name)
        }
        served: dict[str, ServedArm] = {}
        with contextlib.ExitStack() as stack:
            for arm in self.plan.arms:
                if arm.name in wanted:
                    with self._forgiving(arm.name):
                        served[arm.name] = stack.enter_context(self._start(arm, 0))
            for cell in open_cells:
                if cell.arm in served:
                    try:
                        self._measure(served[cell.arm], cell)
                    except ArmLostError as error:
                        self._note(cell.arm, error)
                        del served[cell.arm]
            for name in tuple(served):
                with self._forgiving(name):
                    self._score(served[name])

    def _run_in_turn(self) -> None:
        failures = dict.fromkeys(self._arms, 0)
        killed: Counter[Place] = Counter()
        for number, name, cells in in_turn(self.plan, self._names):
            todo = [
                cell
                for cell in cells
                if not self.folder.is_measured(cell) and killed[cell.place] < GIVE_UP_AFTER
            ]
            # Answers are compared once; a later start serves as well where the first one failed.
            if not todo and not (number == self.plan.rounds - 1 and self._is_unscored(name)):
                continue
            if failures[name] >= GIVE_UP_AFTER:
                continue
            failures[name] += 1
            with self._forgiving(name), self._start(self._arms[name], number) as served:
                failures[name] = 0
                for cell in todo:
                    try:
                        self._measure(served, cell)
                    except ArmLostError:
                        killed[cell.place] += 1
                        raise
                self._score(served)

    @contextlib.contextmanager
    def _start(self, arm: Arm, number: int) -> Iterator[ServedArm]:
        self.progress.starting(arm.name)
        with self.open_arm(arm, number) as served:
            self.folder.add_start(served.start)
            self._warm_up(served)
            yield served

    @contextlib.contextmanager
    def _forgiving(self, arm: str) -> Iterator[None]:
        """Go on without this arm where its server fails."""
        try:
            yield
        except TargetError as error:
            self._note(arm, error)

    def _note(self, arm: str, error: TargetError) -> None:
        self.folder.add_problem(f"arm {arm}", error.problem, arm=arm)
        self.progress.failed(f"Arm {arm}: {error.problem}")

    def _warm_up(self, served: ServedArm) -> None:
        """Bring kernels, allocators and connections to where they stay; nothing of it is kept."""
        count = self.plan.warm_up_requests
        if not count:
            return
        self.progress.says(f"warming up {served.arm.name}")
        most = max((load.concurrency or 1 for load in self.plan.loads), default=1)
        prompts = [
            replace(workload.prompts[number % len(workload.prompts)], id=f"warm-{number}")
            for number in range(count)
            for workload in self.workloads
        ]
        cell = Cell(served.arm.name, "warm-up", Load(concurrency=min(most, len(prompts))), 0)
        record, requests = asyncio.run(
            run_cell(
                served.target,
                cell,
                prompts,
                seed=self.plan.seed,
                timeout_seconds=self.plan.cell_timeout_seconds,
            )
        )
        if not any(one.outcome == "successful" for one in requests):
            raise _lost(served, record, requests)

    def _measure(self, served: ServedArm, cell: Cell) -> None:
        workload = next(one for one in self.workloads if one.name == cell.workload)
        flushed = served.flush_cache()
        self.progress.began(cell, len(workload.prompts))
        sampler = GpuSampler(served.gpus)
        counted = served.speculation()
        before = served.cpu_seconds()
        with sampler.sampling():
            record, requests = asyncio.run(
                run_cell(
                    served.target,
                    cell,
                    workload.prompts,
                    seed=self.plan.seed + cell.round,
                    timeout_seconds=self.plan.cell_timeout_seconds,
                    on_answered=self.progress.answered,
                )
            )
        after = served.cpu_seconds()
        now_counted = served.speculation() if counted else None
        record = replace(
            record,
            cache_flushed=flushed or None,
            # Less than before: a process has ended, and what it used went with it.
            server_cpu_seconds=None
            if before is None or after is None or after < before
            else after - before,
            speculation=now_counted.since(counted) if now_counted and counted else None,
            gpus=sampler.uses,
        )
        failed = [one for one in requests if one.outcome != "successful"]
        lost = bool(failed) and not is_alive(served)
        if lost:
            # What it answered before its end is no measurement of a server in order.
            record = replace(record, is_complete=False)
        self.folder.add_cell(record, requests)
        self.progress.ended(record)
        if lost:
            raise _lost(served, record, requests)
        if not record.is_complete:
            self._note(cell.arm, _not_over(record, len(requests), len(workload.prompts)))
        elif len(failed) == len(requests):
            self._note(cell.arm, _none_answered(record, requests))

    def _repetitions(self, arm: str) -> tuple[int, ...]:
        return (0, 1) if arm in self.plan.references else (0,)

    def _is_unscored(self, arm: str) -> bool:
        return bool(self.plan.scored_prompts) and any(
            not self.folder.has_scored(arm, workload.name, repetition)
            for workload in self.workloads
            for repetition in self._repetitions(arm)
        )

    def _score(self, served: ServedArm) -> None:
        """Answers for the comparison of outputs; without them there is still a report on speed."""
        if not self._is_unscored(served.arm.name):
            return
        self.progress.says(f"comparing the outputs of {served.arm.name}")
        for workload in self.workloads:
            for repetition in self._repetitions(served.arm.name):
                if self.folder.has_scored(served.arm.name, workload.name, repetition):
                    continue
                served.flush_cache()
                try:
                    answers = score(
                        served.target,
                        workload.prompts[: self.plan.scored_prompts],
                        arm=served.arm.name,
                        workload=workload.name,
                        repetition=repetition,
                        at_once=repetition == 1,
                    )
                except TargetError as error:
                    what = f"Outputs of {served.arm.name} for {workload.name}"
                    self.folder.add_problem(what, error.problem)
                    self.progress.failed(f"{what}: {error.problem}")
                    return
                self.folder.add_scored(served.arm.name, workload.name, repetition, answers)


def _not_over(record: CellRecord, sent: int, asked: int) -> TargetError:
    seconds = (record.ended_ns - record.began_ns) / 1e9
    return TargetError(
        f"{record.cell.workload} at {record.cell.load.words} was ended after {seconds:.0f} s, with "
        f"{sent} of {asked} requests sent.",
        action="Allow more by --cell-timeout-seconds, or ask for fewer prompts.",
    )


def _none_answered(record: CellRecord, requests: Sequence[RequestRecord]) -> TargetError:
    last = next((one.error for one in reversed(requests) if one.error), "no reason was given")
    return TargetError(
        f"None of {len(requests)} requests of {record.cell.workload} at {record.cell.load.words} "
        f"was successful; the last: {last}.",
        action="See the server's log.",
    )


def _lost(served: ServedArm, record: CellRecord, requests: Sequence[RequestRecord]) -> ArmLostError:
    errors = [one.error for one in requests if one.error]
    return ArmLostError(
        f"The server at {served.target.base_url} failed while {record.cell.workload} ran at "
        f"{record.cell.load.words}: {len(errors)} of {len(requests)} requests.",
        action="See `python -m launcher logs`; `--resume` goes on with what is missing.",
        evidence=tuple(errors[-3:]),
    )
