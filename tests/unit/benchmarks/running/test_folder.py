"""A folder of results: whole or not at all, read back as it was, and kept when the disk is full."""

from __future__ import annotations

import json
import multiprocessing
import os
from pathlib import Path

import pytest

from benchmarks.errors import PlanError, StorageError, WorkloadError
from benchmarks.records import Cell, ScoredAnswer, ScoredToken
from benchmarks.results import ArmStart, PeerFigures
from benchmarks.running.folder import RESERVED_BYTES, ResultsFolder
from tests.unit.benchmarks.plans import C1, C2, measured, plan, workload


@pytest.fixture
def folder(tmp_path: Path) -> ResultsFolder:
    made = ResultsFolder(tmp_path / "results")
    made.create(plan(), [workload()], {"machine": {"cpus": 2}, "versions": {"specserve": "1"}})
    return made


def test_what_was_written_is_read_back(folder: ResultsFolder) -> None:
    cell, requests = measured(Cell("plain", "chat", C1, 0))
    answer = ScoredAnswer(
        arm="plain", workload="chat", prompt_id="chat-0", repetition=0,
        tokens=(ScoredToken(text="a", log_probability=-0.5, alternatives={"a": -0.5}),),
    )  # fmt: skip
    start = ArmStart(arm="plain", round=0, base_url="http://127.0.0.1:1")
    peer = PeerFigures(
        tool="guidellm", version="0.8.1", arm="plain", workload="chat", load="c1", repetition=0,
        requests=4, output_tokens=24, output_tokens_per_second=1.0,
        median_time_to_first_token_seconds=0.1, median_time_per_output_token_seconds=None,
        generator_cpu_seconds=2.0,
    )  # fmt: skip

    folder.add_start(start)
    folder.add_cell(cell, requests)
    folder.add_scored("plain", "chat", 0, [answer])
    folder.add_peer(peer)
    results = folder.read()

    assert results.plan == plan()
    assert results.workloads == {"chat": workload()}
    assert results.machine == {"cpus": 2}
    assert results.starts == (start,)
    assert results.cells == (cell,)
    assert results.requests == tuple(requests)
    assert results.scored == (answer,)
    assert results.peers == (peer,)
    assert results.ended_at is None


def test_what_is_missing_is_said_by_round_and_arm_with_its_reason(folder: ResultsFolder) -> None:
    for load in (C1, C2):
        folder.add_cell(*measured(Cell("plain", "chat", load, 0)))
    folder.add_cell(*measured(Cell("plain", "chat", C1, 1), complete=False))
    folder.add_problem("arm eagle", "It did not start: no memory.", arm="eagle")
    folder.add_problem("Outputs of plain", "No log-probabilities.")

    assert folder.read().missing == (
        "Round 1, arm eagle: 2 of 2 cells are not complete. It did not start: no memory.",
        (
            "Round 2, arm plain: 2 of 2 cells are not complete, 1 of them begun. "
            "The run was interrupted."
        ),
        "Round 2, arm eagle: 2 of 2 cells are not complete. It did not start: no memory.",
        "Outputs of plain: No log-probabilities.",
    )


def test_a_resumed_run_tries_again_and_forgets_why_it_had_failed(folder: ResultsFolder) -> None:
    folder.add_problem("Outputs of plain", "No log-probabilities.")
    folder.forget_problems()
    folder.forget_problems()

    assert not any("Outputs" in line for line in folder.read().missing)


def test_a_cell_that_was_not_complete_is_not_measured_and_is_replaced(
    folder: ResultsFolder,
) -> None:
    cell = Cell("plain", "chat", C1, 0)

    assert not folder.is_measured(cell)
    folder.add_cell(*measured(cell, complete=False))
    assert not folder.is_measured(cell)
    folder.add_cell(*measured(cell))
    assert folder.is_measured(cell)
    assert len(folder.read().cells) == 1


def test_a_folder_that_holds_a_run_is_not_written_over(folder: ResultsFolder) -> None:
    with pytest.raises(StorageError, match="holds a run already") as caught:
        folder.create(plan(), [workload()], {})

    assert "--resume" in caught.value.action


def test_a_folder_that_is_none_says_so(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"no plan\.json"):
        ResultsFolder(tmp_path).read_plan()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"plan": {}}', '{"plan": 3}'])
def test_a_plan_that_cannot_be_read_says_so(folder: ResultsFolder, text: str) -> None:
    (folder.path / "plan.json").write_text(text)

    with pytest.raises(PlanError, match="cannot be read as a plan"):
        folder.read()


def test_prompts_that_were_changed_are_refused(folder: ResultsFolder) -> None:
    file = folder.path / "workloads" / "chat.jsonl"
    lines = file.read_text().splitlines()
    changed = json.loads(lines[0]) | {"max_tokens": 7}
    file.write_text("\n".join([json.dumps(changed), *lines[1:]]) + "\n")

    with pytest.raises(WorkloadError, match="has changed"):
        folder.read_workloads()


def test_a_full_disk_gives_the_reserve_back_and_keeps_what_was_measured(
    folder: ResultsFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Cell("plain", "chat", C1, 0)
    folder.add_cell(*measured(kept))
    assert (folder.path / "reserve").stat().st_size == RESERVED_BYTES
    full = folder.path / "cells" / ".000-chat-c2-plain.jsonl.partial"
    really_open = os.open

    def open_on_a_full_disk(path: Path, flags: int, mode: int = 0o777) -> int:
        """The kernel's own full disk."""
        return (
            really_open("/dev/full", os.O_WRONLY)
            if path == full
            else really_open(path, flags, mode)
        )

    monkeypatch.setattr(os, "open", open_on_a_full_disk)

    with pytest.raises(StorageError, match="No space left") as caught:
        folder.add_cell(*measured(Cell("plain", "chat", C2, 0)))

    assert "--resume" in caught.value.action
    assert not (folder.path / "reserve").exists()
    assert [cell.cell for cell in folder.read().cells] == [kept]
    assert [file.name for file in (folder.path / "cells").iterdir()] == ["000-chat-c1-plain.jsonl"]


def test_a_line_that_a_full_disk_cut_is_passed_over(folder: ResultsFolder) -> None:
    folder.add_start(ArmStart(arm="plain", round=0, base_url="http://127.0.0.1:1"))
    folder.add_problem("a", "b")
    for name in ("starts.jsonl", "problems.jsonl"):
        with (folder.path / name).open("a") as file:
            file.write('{"arm": "ea')

    results = folder.read()

    assert [start.arm for start in results.starts] == ["plain"]
    assert "a: b" in results.missing


def _try_lock(path: Path, answers: multiprocessing.Queue[str]) -> None:
    try:
        with ResultsFolder(path).locked():
            answers.put("had it")
    except StorageError as error:
        answers.put(error.problem)


def test_two_runs_never_write_to_one_folder(folder: ResultsFolder) -> None:
    context = multiprocessing.get_context("spawn")
    answers: multiprocessing.Queue[str] = context.Queue()
    with folder.locked():
        other = context.Process(target=_try_lock, args=(folder.path, answers))
        other.start()
        said = answers.get(timeout=60)
        other.join()

    assert said == f"Another run is writing to {folder.path}."
    with folder.locked():
        pass


def test_the_tag_tells_folders_apart(tmp_path: Path) -> None:
    tags = {ResultsFolder(tmp_path / name).tag for name in ("a", "b")}

    assert len(tags) == 2
    assert ResultsFolder(tmp_path / "a").tag in tags


def test_a_finished_run_has_an_end_and_no_reserve(folder: ResultsFolder) -> None:
    folder.finish()

    assert folder.read().ended_at is not None
    assert not (folder.path / "reserve").exists()
