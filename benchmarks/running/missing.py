"""What a plan asks for and a folder has not, in sentences. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from pydantic import TypeAdapter

from benchmarks.plan import Plan
from benchmarks.records import Cell, CellRecord


@dataclass(frozen=True, slots=True)
class Problem:
    """Why something was not measured.

    Attributes:
        what: in a few words.
        why: a sentence.
        arm: whose cells are missing for it; None where no cell is.
    """

    what: str
    why: str
    arm: str | None


PROBLEM: TypeAdapter[Problem] = TypeAdapter(Problem)


def missing(
    plan: Plan,
    workloads: Sequence[str],
    cells: Sequence[CellRecord],
    problems: Sequence[Problem],
    *,
    answered: Collection[Cell],
) -> tuple[str, ...]:
    """What is not there, with the last known reason.

    Args:
        plan: what was to be measured.
        workloads: by the names that cells have.
        cells: those that are there, complete or not.
        problems: the newest last.
        answered: those in which a request was successful. One without measures nothing, though
            its failures are a result.

    Returns:
        A sentence for each round and arm, then one for each problem that costs no cell.
    """
    whole = {one.cell for one in cells if one.is_complete}
    begun = {one.cell for one in cells} - whole
    reasons = {one.arm: one.why for one in problems if one.arm}
    said: list[str] = []
    for number in range(plan.rounds):
        for arm in plan.arms:
            wanted = [
                Cell(arm.name, name, load, number) for name in workloads for load in plan.loads
            ]
            place = f"Round {number + 1}, arm {arm.name}"
            if absent := [cell for cell in wanted if cell not in whole]:
                partly = sum(cell in begun for cell in absent)
                part = f", {partly} of them begun" if partly else ""
                said.append(
                    f"{place}: {len(absent)} of {len(wanted)} cells are not complete{part}. "
                    f"{reasons.get(arm.name, 'The run was interrupted.')}"
                )
            if failed := [cell for cell in wanted if cell in whole and cell not in answered]:
                said.append(
                    f"{place}: {len(failed)} of {len(wanted)} cells have no successful request. "
                    f"{reasons.get(arm.name, 'Each of them failed.')}"
                )
    return (*said, *(f"{one.what}: {one.why}" for one in problems if not one.arm))
