"""The folder of one run: everything that was measured, on the disk as soon as it was measured.

    plan.json            what is to be measured; `--resume` reads it
    workloads/NAME.jsonl the prompts
    starts.jsonl         a line a start of a server
    cells/*.jsonl        a file a cell: the cell's own line, then a line a request
    scored/*.jsonl       a file an arm and workload: answers for the comparison of outputs
    peers.jsonl          a line a measurement by another benchmark, and ours beside it
    problems.jsonl       what could not be measured, and why
    report.*             made from the rest, and made anew at any time
    lock                 held while a run writes

A file of a cell appears whole or not at all. `reserve` is room that is given back when the disk is
full, so that the report can still be written.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import TypeAdapter, ValidationError

from benchmarks.errors import PlanError, StorageError, WorkloadError
from benchmarks.plan import Plan
from benchmarks.records import (
    CELL,
    SCORED,
    Cell,
    CellRecord,
    RequestRecord,
    ScoredAnswer,
    read_lines,
    to_line,
    to_lines,
)
from benchmarks.results import PEER, START, ArmStart, PeerFigures, Results
from benchmarks.running.missing import PROBLEM, Problem, missing
from benchmarks.workloads.files import read_jsonl
from benchmarks.workloads.workload import Workload
from launcher.system.files import replace_file
from launcher.system.locks import open_locked

RESERVED_BYTES: Final = 8 * 1024**2
T = TypeVar("T")


class ResultsFolder:
    """Writes and reads one run.

    Args:
        path: of the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def tag(self) -> str:
        """Eight characters that stand for this folder in the names of servers."""
        return hashlib.sha256(str(self.path.resolve()).encode()).hexdigest()[:8]

    def create(self, plan: Plan, workloads: Sequence[Workload], facts: dict[str, Any]) -> None:
        """Make the folder for a new run.

        Args:
            plan: what will be measured.
            workloads: its prompts.
            facts: `machine` and `versions`, for the report.

        Raises:
            StorageError: it holds a run already, or cannot be written.
        """
        if (self.path / "plan.json").exists():
            raise StorageError(
                f"{self.path} holds a run already.",
                action=f"Go on with it by `--resume {self.path}`, or name another folder.",
            )
        with self._storing():
            for name in ("cells", "scored", "workloads"):
                (self.path / name).mkdir(parents=True, exist_ok=True)
            (self.path / "reserve").write_bytes(os.urandom(RESERVED_BYTES))
        for workload in workloads:
            self._write_whole(self._workload_file(workload.name), workload.to_jsonl())
        kept = {
            "plan": plan.model_dump(mode="json"),
            "workloads": {
                one.name: {
                    "description": one.description,
                    "source": one.source,
                    "sha256": one.sha256,
                }
                for one in workloads
            },
            "began_at": datetime.now(UTC).isoformat(timespec="seconds"),
            **facts,
        }
        self._write_whole(self.path / "plan.json", json.dumps(kept, indent=2).encode() + b"\n")

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Be the only one that writes. The kernel lets go when the process dies.

        Raises:
            StorageError: another run holds it, or it cannot be made.
        """
        with self._storing():
            try:
                lock = open_locked(self.path / "lock", shared=True)
            except BlockingIOError:
                raise StorageError(
                    f"Another run is writing to {self.path}.",
                    action="Wait for its end, or name another folder.",
                ) from None
        with lock:
            yield

    def read_plan(self) -> Plan:
        """The plan of the run.

        Raises:
            PlanError: there is none, or another version of this project wrote it.
        """
        return Plan.model_validate(self._read_kept()["plan"])

    def read_workloads(self) -> tuple[Workload, ...]:
        """The prompts, as they were when the run began.

        Raises:
            WorkloadError: one was changed since.
        """
        found = []
        for name, said in self._read_kept()["workloads"].items():
            file = self._workload_file(name)
            one = replace(
                read_jsonl(file), name=name, description=said["description"], source=said["source"]
            )
            if one.sha256 != said["sha256"]:
                raise WorkloadError(
                    f"{file} has changed: its hash is {one.sha256[:12]}, and was "
                    f"{said['sha256'][:12]}.",
                    action="Begin a new run: figures of other prompts do not belong together.",
                )
            found.append(one)
        return tuple(found)

    def is_measured(self, cell: Cell) -> bool:
        """Whether a cell is there whole, and a request of it was successful."""
        file = self._cell_file(cell)
        if not file.exists():
            return False
        with file.open("rb") as lines:
            return CELL.validate_json(lines.readline()).is_complete and any(
                json.loads(line)["outcome"] == "successful" for line in lines
            )

    def add_start(self, start: ArmStart) -> None:
        """Keep what a server was. Raises StorageError, as all that add do."""
        self._append("starts.jsonl", to_line(start, START))

    def add_cell(self, cell: CellRecord, requests: Iterable[RequestRecord]) -> None:
        """Keep a cell with its requests; one that was not complete is replaced."""
        self._write_whole(self._cell_file(cell.cell), to_lines(cell, requests))

    def has_scored(self, arm: str, workload: str, repetition: int) -> bool:
        """Whether answers for the comparison of outputs are there."""
        return self._scored_file(arm, workload, repetition).exists()

    def add_scored(
        self, arm: str, workload: str, repetition: int, answers: Iterable[ScoredAnswer]
    ) -> None:
        """Keep an arm's answers to one workload."""
        lines = b"".join(to_line(one, SCORED) for one in answers)
        self._write_whole(self._scored_file(arm, workload, repetition), lines)

    def add_peer(self, figures: PeerFigures) -> None:
        """Keep one benchmark's figures."""
        self._append("peers.jsonl", to_line(figures, PEER))

    def add_problem(self, what: str, why: str, *, arm: str | None = None) -> None:
        """Keep why something was not measured: the fields of a `Problem`."""
        # ASCII: an error may quote a file name that is no text.
        line = json.dumps(asdict(Problem(what, why, arm))) + "\n"
        self._append("problems.jsonl", line.encode())

    def forget_problems(self) -> None:
        """What is missing will be tried again."""
        with self._storing():
            (self.path / "problems.jsonl").unlink(missing_ok=True)

    def finish(self) -> None:
        """Note that all was measured."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self._write_whole(self.path / "ended", now.encode() + b"\n")
        self.release_reserve()

    def release_reserve(self) -> None:
        """Give back the room that was kept for the report."""
        with contextlib.suppress(OSError):
            (self.path / "reserve").unlink()

    def read(self) -> Results:
        """All that is there, whole or not.

        Raises:
            PlanError: it is no folder of a run.
        """
        kept = self._read_kept()
        plan = Plan.model_validate(kept["plan"])
        cells, requests = self._read_cells()
        ended = self.path / "ended"
        return Results(
            plan=plan,
            workloads={one.name: one for one in self.read_workloads()},
            machine=kept.get("machine", {}),
            versions=kept.get("versions", {}),
            began_at=kept["began_at"],
            ended_at=ended.read_text().strip() if ended.exists() else None,
            starts=tuple(_read_all(self.path / "starts.jsonl", START)),
            cells=tuple(cells),
            requests=tuple(requests),
            scored=tuple(
                answer
                for file in sorted((self.path / "scored").glob("*.jsonl"))
                for answer in _read_all(file, SCORED)
            ),
            peers=tuple(_read_all(self.path / "peers.jsonl", PEER)),
            missing=missing(
                plan,
                list(kept["workloads"]),
                cells,
                tuple(_read_all(self.path / "problems.jsonl", PROBLEM)),
                answered={one.cell for one in requests if one.outcome == "successful"},
            ),
        )

    def _read_kept(self) -> dict[str, Any]:
        file = self.path / "plan.json"
        try:
            kept: dict[str, Any] = json.loads(file.read_bytes())
            Plan.model_validate(kept["plan"])
        except FileNotFoundError:
            raise PlanError(
                f"{self.path} is no folder of a run: there is no plan.json.",
                action="Name the folder that `run` made.",
            ) from None
        except (OSError, ValueError, ValidationError, KeyError, TypeError) as error:
            raise PlanError(
                f"{file} cannot be read as a plan.",
                action="Begin a new run; another version of this project may have written it.",
                evidence=(str(error).splitlines()[0],),
            ) from error
        return kept

    def _read_cells(self) -> tuple[list[CellRecord], list[RequestRecord]]:
        cells: list[CellRecord] = []
        requests: list[RequestRecord] = []
        for file in sorted((self.path / "cells").glob("*.jsonl")):
            cell, own = read_lines(file.read_bytes())
            cells.append(cell)
            requests += own
        cells.sort(key=lambda one: (one.began_wall_ns or 0, one.began_ns))
        return cells, requests

    def _workload_file(self, name: str) -> Path:
        return self.path / "workloads" / f"{name}.jsonl"

    def _cell_file(self, cell: Cell) -> Path:
        name = f"{cell.round:03}-{cell.workload}-{cell.load.label}-{cell.arm}.jsonl"
        return self.path / "cells" / name

    def _scored_file(self, arm: str, workload: str, repetition: int) -> Path:
        return self.path / "scored" / f"{workload}-{arm}-{repetition}.jsonl"

    def _append(self, name: str, line: bytes) -> None:
        with self._storing(), (self.path / name).open("ab") as file:
            file.write(line)

    def _write_whole(self, file: Path, content: bytes) -> None:
        # What a run that was killed has left under this name is written over.
        partial = file.with_name(f".{file.name}.partial")
        with self._storing():
            replace_file(file, content, partial=partial, mode=0o666)

    @contextlib.contextmanager
    def _storing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                self.release_reserve()
            raise StorageError(
                f"{self.path} cannot be written: {error.strerror}.",
                action=f"Free space or mend the permissions, then `--resume {self.path}`: what was "
                "measured is kept.",
            ) from error


def _read_all(file: Path, adapter: TypeAdapter[T]) -> Iterator[T]:
    """A record a line; none where there is no file."""
    if not file.exists():
        return
    for line in file.read_bytes().splitlines():
        # A full disk may have cut the last one.
        with contextlib.suppress(ValidationError):
            yield adapter.validate_json(line)
