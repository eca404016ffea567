"""Scenes that tests share."""

from __future__ import annotations

from benchmarks.records import Cell, CellRecord


class Told:
    """A watcher that remembers."""

    def __init__(self) -> None:
        self.starts: list[str] = []
        self.cells: list[Cell] = []
        self.failures: list[str] = []
        self.answers = 0

    def starting(self, arm: str) -> None:
        self.starts.append(arm)

    def began(self, cell: Cell, requests: int) -> None:
        assert cell.workload in {"chat", "code"}
        assert requests == 4

    def answered(self) -> None:
        self.answers += 1

    def ended(self, cell: CellRecord) -> None:
        self.cells.append(cell.cell)

    def failed(self, problem: str) -> None:
        self.failures.append(problem)

    def says(self, what: str) -> None:
        del what
