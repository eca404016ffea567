"""Runs one cell in a process of its own, so that its CPU time can be held against others'.

    python -m benchmarks.selfcheck.one_cell ASKED.json OUTPUT.jsonl

The output has the cell on its first line and a request on each other.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import TypeAdapter
from pydantic.dataclasses import dataclass

from benchmarks.load.loops import run_cell
from benchmarks.load.target import Target
from benchmarks.records import Cell, to_lines
from benchmarks.workloads.workload import Prompt

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What `run_cell` takes; the target has no key, as a file would hold it."""

    base_url: str
    model: str
    cell: Cell
    prompts: tuple[Prompt, ...]
    seed: int
    timeout_seconds: float


ASKED: TypeAdapter[Asked] = TypeAdapter(Asked)


def main(arguments: Sequence[str]) -> None:
    """Run the cell that a file describes, and write its records to another."""
    asked = ASKED.validate_json(Path(arguments[0]).read_bytes())
    cell, records = asyncio.run(
        run_cell(
            Target(asked.base_url, asked.model),
            asked.cell,
            asked.prompts,
            seed=asked.seed,
            timeout_seconds=asked.timeout_seconds,
        )
    )
    Path(arguments[1]).write_bytes(to_lines(cell, records))


if __name__ == "__main__":
    main(sys.argv[1:])
