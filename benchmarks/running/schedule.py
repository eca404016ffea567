"""The order in which cells are measured, so that drift of the machine meets all arms. Pure."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace

from benchmarks.plan import Plan
from benchmarks.records import Cell


def arm_order(plan: Plan, number: int) -> tuple[str, ...]:
    """Who goes first takes turns: in the n-th place, the arms are rotated by n.

    With two arms that is A B, B A, A B, ...: what drifts evenly meets both alike.
    """
    names = [arm.name for arm in plan.arms]
    shift = number % len(names)
    return (*names[shift:], *names[:shift])


def cell_pairs(plan: Plan, workloads: Sequence[str], round_number: int) -> list[Cell]:
    """One arm's cells of a round, in an order drawn for that round; the arm is left empty."""
    cells = [Cell("", name, load, round_number) for name in workloads for load in plan.loads]
    # An order of cells is no secret.
    random.Random(f"{plan.seed}-{round_number}").shuffle(cells)  # noqa: S311
    return cells


def side_by_side(plan: Plan, workloads: Sequence[str]) -> Iterator[Cell]:
    """All cells of all rounds: the arms alternate cell by cell, a pair being measured in a row."""
    for number in range(plan.rounds):
        for place, cell in enumerate(cell_pairs(plan, workloads, number)):
            for arm in arm_order(plan, number + place):
                yield replace(cell, arm=arm)


def in_turn(plan: Plan, workloads: Sequence[str]) -> Iterator[tuple[int, str, list[Cell]]]:
    """Round, arm and its cells: each needs one start of a server.

    All arms of a round measure their cells in the same order.
    """
    for number in range(plan.rounds):
        for arm in arm_order(plan, number):
            yield number, arm, [replace(c, arm=arm) for c in cell_pairs(plan, workloads, number)]
