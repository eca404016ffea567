"""The command line of a comparison: what it prints, leaves behind, and exits with.

Its servers are loopback ones; tests/server has the real one.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.records import Load
from benchmarks.selfcheck.loopback.schedule import Schedule
from benchmarks.selfcheck.loopback.server import Loopback, loopback
from launcher.state.benchmarks import known_reports
from tests.unit.benchmarks.command_line import bench
from tests.unit.benchmarks.report.samples import sample_report


@pytest.fixture(scope="module")
def quick() -> Iterator[Loopback]:
    with loopback(Schedule(tokens_per_chunk=2, gap_seconds=0.001)) as server:
        yield server


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in which the command runs."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def options(server: Loopback, folder: Path, *more: str) -> list[str]:
    return [
        *("run", "--arm", f"a={server.base_url}", "--arm", f"b={server.base_url}/v1"),
        *("--workload", "chat", "--prompts", "2", "--rounds", "2", "--concurrency", "1"),
        *("--warm-up-requests", "1", "--scored-prompts", "0", "--output", str(folder), *more),
    ]


def read(folder: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return report


def test_a_run_leaves_a_report_in_three_forms_and_says_where(
    quick: Loopback, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = bench(*options(quick, tmp_path / "r"))
    out = capsys.readouterr().out

    assert code == 0
    assert known_reports() == [tmp_path / "r" / "report.json"]
    for name in ("report.json", "report.md", "report.html"):
        assert (tmp_path / "r" / name).stat().st_size > 1000
        assert str(tmp_path / "r" / name) in out
    assert "b against a" in out
    report = read(tmp_path / "r")
    assert report["missing"] == []
    assert {cell["arm"] for cell in report["cells"]} == {"a", "b"}


def test_for_programs_it_prints_one_json_document(
    quick: Loopback, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench(*options(quick, tmp_path / "r", "--json")) == 0

    said = json.loads(capsys.readouterr().out)
    assert said["folder"] == str(tmp_path / "r")
    assert said["missing"] == []
    assert all(Path(file).exists() for file in said["files"])


def test_a_dry_run_starts_nothing_and_its_plan_can_be_run(
    quick: Loopback, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench(*options(quick, tmp_path / "r", "--dry-run", "--json")) == 0
    said = json.loads(capsys.readouterr().out)
    assert not (tmp_path / "r").exists()
    assert said["cells"] == 4
    assert said["requests"] == 8

    (tmp_path / "plan.yaml").write_text(json.dumps(said))
    code = bench("run", "--plan", str(tmp_path / "plan.yaml"), "--output", str(tmp_path / "r"))
    assert code == 0
    assert read(tmp_path / "r")["plan"] == said["plan"]


def test_a_dry_run_shows_the_command_of_each_arm(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = bench("run", "--dry-run", "--preset", "nano", "--output", str(tmp_path / "r"))
    out = capsys.readouterr().out

    assert code == 0
    assert "--speculative-num-steps 3" in out
    assert out.count("sglang.launch_server") == 2
    assert "plain then eagle-3-1-4; eagle-3-1-4 then plain" in out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--arm", "a=http://127.0.0.1:9"], 73, "127.0.0.1:9"),
        (["--arm", "a=http://"], 70, "a"),
        (["--arm", "nonsense"], 70, "Arms are"),
        (["--workload", "chatt"], 71, "chat"),
        (["--concurrency", "1,x"], 70, "--concurrency"),
        (["--concurrency", "0"], 70, "--concurrency"),
        (["--rate", "1,1"], 70, "--rate"),
        (["--objective", "ttft"], 70, "objective"),
        (["--objective", "ttft=-1"], 70, "objective"),
        (["--set", "colour:red"], 70, "colour"),
        (["--set", "mem_fraction_static:2"], 13, "mem_fraction_static"),
        (["--rounds", "0"], 2, "--rounds"),
        (["--arm", "plain", "--arm", "plain"], 70, "two arms have one name"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_made(
    *,
    arguments: list[str],
    code: int,
    said: str,
    here: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:

    assert bench("run", "--preset", "nano", *arguments) == code

    assert said in "".join(capsys.readouterr())
    assert list(here.iterdir()) == []


def test_options_beside_one_that_says_it_all_are_refused_and_not_forgotten(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench("run", "--resume", str(here), "--rounds", "9", "--arm", "plain") == 2
    assert "leave out --arm, --rounds" in capsys.readouterr().err
    assert bench("run", "--plan", "plan.yaml", "--prompts", "9") == 2
    assert "leave out --prompts" in capsys.readouterr().err
    assert bench("run", "--plan", "nonexistent.yaml", "--output", "r") == 70
    assert "cannot be read" in capsys.readouterr().err
    assert list(here.iterdir()) == []


def test_a_malformed_line_is_named_and_nothing_is_made(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "mine.jsonl").write_text('{"prompt": "Hello"}\n{"prompt": \n')

    assert bench("run", "--preset", "nano", "--workload", "mine.jsonl") == 71

    assert "mine.jsonl" in (said := capsys.readouterr().err)
    assert "line 2" in said
    assert [file.name for file in here.iterdir()] == ["mine.jsonl"]


def test_an_error_for_programs_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench("run", "--json", "--arm", "nonsense") == 70

    said = json.loads(capsys.readouterr().out)
    assert said["error"] == "PlanError"
    assert said["exit_code"] == 70


def test_a_server_that_dies_leaves_a_report_that_says_what_is_missing(
    quick: Loopback, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with loopback(Schedule(tokens_per_chunk=2, fault="exit", fault_after_chunks=1)) as dying:
        arguments = options(quick, tmp_path / "r", "--warm-up-requests", "0")
        arguments[4] = f"b={dying.base_url}"
        code = bench(*arguments)
    said = capsys.readouterr()

    assert code == 72
    assert "--resume" in said.err
    report = read(tmp_path / "r")
    assert {cell["arm"] for cell in report["cells"] if cell["successful"]} == {"a"}
    assert len(report["missing"]) == 2
    assert "missing:" in said.out


def test_a_run_without_a_successful_request_measured_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with loopback(Schedule(fault="refuse status")) as refusing:
        arguments = options(refusing, tmp_path / "r", "--warm-up-requests", "0")
        assert bench(*arguments) == 72
        said = capsys.readouterr()
        assert "no successful request" in said.out
        assert bench("report", str(tmp_path / "r")) == 72
        assert bench("report", str(tmp_path / "r"), "--json") == 72
    assert len(read(tmp_path / "r")["missing"]) == 4


def test_a_run_that_lacks_something_is_one_document_for_programs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with loopback(Schedule(fault="refuse status")) as refusing:
        assert bench(*options(refusing, tmp_path / "r", "--json")) == 72

    said = json.loads(capsys.readouterr().out)
    assert said["error"] == "TargetError"
    assert len(said["missing"]) == 4
    assert said["files"] == []


def test_ctrl_c_keeps_what_was_measured_and_resume_goes_on(tmp_path: Path) -> None:
    with loopback(Schedule(tokens_per_chunk=2, first_seconds=0.3)) as slow:
        command = [sys.executable, "-m", "benchmarks", *options(slow, tmp_path / "r")]
        running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        cells = tmp_path / "r" / "cells"
        deadline = time.monotonic() + 120
        while not (cells.exists() and any(cells.glob("*.jsonl"))):
            assert time.monotonic() < deadline
            assert running.poll() is None
            time.sleep(0.02)
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=120)

        assert running.returncode == 130
        report = read(tmp_path / "r")
        assert report["cells"]
        assert report["missing"]
        assert report["ended_at"] is None

        again = [sys.executable, "-m", "benchmarks", "run", "--resume", str(tmp_path / "r")]
        done = subprocess.run(again, capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    report = read(tmp_path / "r")
    assert report["missing"] == []
    assert report["ended_at"] is not None


def test_a_report_is_made_anew_from_the_folder_with_its_plots(
    quick: Loopback, tmp_path: Path
) -> None:
    bench(*options(quick, tmp_path / "r"))
    before = (tmp_path / "r" / "report.json").read_bytes()
    (tmp_path / "r" / "report.json").unlink()

    assert bench("report", str(tmp_path / "r"), "--plots", str(tmp_path / "plots")) == 0

    assert (tmp_path / "r" / "report.json").read_bytes() == before
    assert list((tmp_path / "plots").glob("*.svg"))


def test_a_run_that_is_much_slower_is_a_regression(
    quick: Loopback, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench(*options(quick, tmp_path / "before"))
    slow = Schedule(tokens_per_chunk=2, gap_seconds=0.01, first_seconds=0.05)
    with loopback(slow) as server:
        bench(*options(server, tmp_path / "after"))
    capsys.readouterr()
    folders = [str(tmp_path / "before"), str(tmp_path / "after")]

    assert bench("compare", *folders) == 77
    assert "regression" in capsys.readouterr().err
    assert bench("compare", *folders, "--json") == 77
    assert json.loads(capsys.readouterr().out)["changes"]
    # Two rounds have no intervals, and the speed-up of two servers that are the same is noise; what
    # changed more than twofold has become faster.
    assert bench("compare", *reversed(folders), "--threshold", "1", "--json") == 0
    changes = json.loads(capsys.readouterr().out)["changes"]
    assert {"improvement"} < {one["judgement"] for one in changes}
    assert bench("compare", folders[0], str(tmp_path / "no.json")) == 76


def test_figures_that_the_second_report_lacks_are_a_regression_unless_they_are_allowed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = sample_report(workloads=("chat",), loads=(Load(concurrency=1),), rounds=2)
    died = whole.model_copy(update={"cells": whole.cells[:1], "speedups": ()})
    files = [str(tmp_path / name) for name in ("whole.json", "died.json")]
    for file, report in zip(files, (whole, died), strict=True):
        Path(file).write_text(report.to_json())

    assert bench("compare", *files) == 77
    assert "lacks 5 figures of the first" in " ".join(capsys.readouterr().err.split())
    assert bench("compare", *files, "--json") == 77
    assert len(json.loads(capsys.readouterr().out)["only_in_a"]) == 5
    assert bench("compare", *files, "--allow-missing") == 0


def test_the_built_in_workloads_are_listed_and_printed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert bench("workloads") == 0
    assert "long-prompt" in capsys.readouterr().out
    assert bench("workloads", "--json") == 0
    assert "sha256" in json.loads(capsys.readouterr().out)["chat"]
    assert bench("workloads", "--show", "code", "--prompts", "3") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [set(json.loads(line)) >= {"id", "messages"} for line in lines] == [True] * 3


def test_help_lists_every_command_and_every_exit_code() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--help"],
        capture_output=True, text=True, check=True, env={**os.environ, "COLUMNS": "100"},
    )  # fmt: skip
    for name in ("run", "tune", "report", "compare", "workloads", "70", "77", "78", "130"):
        assert name in done.stdout


def test_tune_refuses_what_cannot_be_written_before_it_starts_anything(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:

    assert bench("tune", "--preset", "nano", "--write", "no/such/folder.yaml") == 75
    assert bench("tune", "--preset", "nano", "--write", "tuned.json") == 70
    assert bench("tune", "--preset", "nano", "--arm", "a=http://127.0.0.1:9") == 70
    assert list(here.iterdir()) == []
    assert capsys.readouterr().err.count("error:") == 3
