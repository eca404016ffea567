"""Plans, prompts and records for tests of a run."""

from __future__ import annotations

from benchmarks.plan import Arm, Plan
from benchmarks.records import Cell, CellRecord, Load, RequestRecord
from benchmarks.workloads.workload import Prompt, Workload

C1, C2 = Load(concurrency=1), Load(concurrency=2)


def workload(name: str = "chat", *, prompts: int = 4) -> Workload:
    made = tuple(
        Prompt(
            id=f"{name}-{number}",
            messages=({"role": "user", "content": f"Question {number} of {name}?"},),
            max_tokens=6,
            ignore_eos=True,
        )
        for number in range(prompts)
    )
    return Workload(name, f"A test of {name}.", made, "made for a test")


def plan(*arms: Arm, workloads: tuple[str, ...] = ("chat",), rounds: int = 2, scored: int = 0,
         side_by_side: bool = False, loads: tuple[Load, ...] = (C1, C2)) -> Plan:  # fmt: skip
    return Plan(
        arms=arms or (Arm(name="plain"), Arm(name="eagle")),
        workloads=workloads,
        prompts=4,
        loads=loads,
        rounds=rounds,
        side_by_side=side_by_side,
        warm_up_requests=1,
        scored_prompts=scored,
        cell_timeout_seconds=30.0,
    )


def measured(cell: Cell, *, complete: bool = True) -> tuple[CellRecord, list[RequestRecord]]:
    requests = [
        RequestRecord(
            cell=cell,
            prompt_id=f"{cell.workload}-{number}",
            outcome="successful",
            due_ns=1_000 * number,
            sent_ns=1_000 * number + 1,
            first_byte_ns=1_000 * number + 100,
            chunk_ns=(1_000 * number + 200, 1_000 * number + 300),
            ended_ns=1_000 * number + 400,
            prompt_tokens=7,
            completion_tokens=6,
            verify_rounds=2,
            accepted_histogram=(0, 0, 2),
            answer="a\u2028b \u20ac",
        )
        for number in range(4)
    ]
    return CellRecord(cell=cell, began_ns=0, ended_ns=5_000, is_complete=complete), requests
