"""Arms take turns, and every cell comes once."""

from __future__ import annotations

from collections import Counter

import pytest

from benchmarks.plan import Arm, Plan
from benchmarks.records import Load
from benchmarks.running.schedule import arm_order, in_turn, side_by_side


def plan(*, arms: int = 2, rounds: int = 4, seed: int = 0) -> Plan:
    return Plan(
        arms=tuple(Arm(name=f"arm{number}") for number in range(arms)),
        workloads=("chat", "code"),
        loads=(Load(concurrency=1), Load(concurrency=4)),
        rounds=rounds,
        seed=seed,
    )


@pytest.mark.parametrize("arms", [1, 2, 3])
def test_every_cell_comes_once_whatever_the_order(arms: int) -> None:
    asked = plan(arms=arms)

    one = list(side_by_side(asked, ["chat", "code"]))
    other = [cell for _, _, cells in in_turn(asked, ["chat", "code"]) for cell in cells]

    assert len(one) == arms * 2 * 2 * 4
    assert Counter(one) == Counter(set(one)) == Counter(other)


def test_side_by_side_measures_the_arms_of_a_cell_in_a_row_and_each_goes_first_as_often() -> None:
    cells = list(side_by_side(plan(), ["chat", "code"]))

    pairs = list(zip(cells[::2], cells[1::2], strict=True))
    assert all((a.workload, a.load, a.round) == (b.workload, b.load, b.round) for a, b in pairs)
    assert Counter(first.arm for first, _ in pairs) == {"arm0": 8, "arm1": 8}


def test_in_turn_each_arm_goes_first_in_every_other_round() -> None:
    starts = [(number, arm) for number, arm, _ in in_turn(plan(), ["chat"])]

    assert starts[:4] == [(0, "arm0"), (0, "arm1"), (1, "arm1"), (1, "arm0")]


def test_the_arms_of_a_round_measure_their_cells_in_one_order_and_rounds_differ() -> None:
    asked = plan(rounds=6)
    orders: dict[int, list[list[tuple[str, str]]]] = {}
    for number, _, cells in in_turn(asked, ["chat", "code"]):
        orders.setdefault(number, []).append([(c.workload, c.load.label) for c in cells])

    assert all(first == second for first, second in orders.values())
    assert len({tuple(pair[0]) for pair in orders.values()}) > 1


def test_the_order_is_the_same_for_the_same_seed_and_another_for_another() -> None:
    names = ["chat", "code"]

    assert list(side_by_side(plan(), names)) == list(side_by_side(plan(), names))
    assert list(side_by_side(plan(), names)) != list(side_by_side(plan(seed=1), names))


def test_a_single_arm_is_always_first() -> None:
    assert arm_order(plan(arms=1), 3) == ("arm0",)
