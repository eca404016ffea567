"""`diagnose`: files, standard input, and what it prints for people and for programs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from launcher.cli.checks import log_lines
from launcher.cli.checks.diagnose import diagnose
from launcher.errors import InvalidValueError
from tests.project import PROJECT
from tests.unit.launcher.diagnosis.test_foreign import SERVED

FAILED = "\n".join(
    (
        "[2026-11-28 20:00:00] server_args={'model_path': '/m', 'tp_size': 6}",
        "[2026-11-28 20:00:06 TP1] Scheduler hit an exception: Traceback (most recent call last):",
        '  File "/app/sglang/srt/model_executor/model_runner.py", line 77, in load_model',
        "RuntimeError: size_n = 1824 is not divisible by tile_n_size = 64",
        "[2026-11-28 20:00:07] kill_process_tree called: parent_pid=9, include_parent=True, pid=9",
        "",
    )
)
FIELDS = ["cause", "confidence", "problem", "action", "evidence", "retry"]


def run(*arguments: str, text: str | bytes | None = None) -> Result:
    return CliRunner().invoke(diagnose, list(arguments), input=text, catch_exceptions=False)


def test_a_file_is_told_in_words(tmp_path: Path) -> None:
    file = tmp_path / "server.log"
    file.write_text(FAILED)

    done = run(str(file), "--exit-code", "137")

    assert done.exit_code == 0
    assert done.output.startswith("tensor-parallel-size (certain): The tensor parallel size 6")
    assert "  -> Lower --tp-size from 6 to 3.\n" in done.output
    assert "killed by SIGKILL" in done.output


def test_standard_input_is_told_as_one_object() -> None:
    done = run("-", "--json", text=FAILED)

    found = json.loads(done.output)
    assert list(found) == FIELDS
    assert (found["cause"], found["confidence"]) == ("tensor-parallel-size", "certain")
    assert found["evidence"] == ["RuntimeError: size_n = 1824 is not divisible by tile_n_size = 64"]
    assert found["retry"] == "never"


@pytest.mark.parametrize("text", ["\n".join(SERVED), ""])
def test_a_log_without_a_failure_has_neither_evidence_nor_a_retry(text: str) -> None:
    found = json.loads(run("-", "--json", text=text).output)

    assert (found["cause"], found["evidence"], found["retry"]) == ("no-failure", [], None)
    assert run("-", text=text).output.startswith("no failure (")


def test_a_kill_for_memory_is_said_by_its_option() -> None:
    done = run("-", "--oom-killed", "--exit-code", "137", "--json", text="\n".join(SERVED))

    assert json.loads(done.output)["cause"] == "host-memory-kill"


def test_bytes_that_are_no_text_are_read_as_far_as_they_go() -> None:
    done = run("-", "--json", text=b"\xff\xfe\x00" + FAILED.encode() + b"\x80")

    assert json.loads(done.output)["cause"] == "tensor-parallel-size"


def test_escapes_of_a_log_do_not_reach_the_terminal() -> None:
    hostile = FAILED.replace("RuntimeError: size", "RuntimeError: \x1b]0;title\x07\x1b[31msize")

    assert "\x1b" not in run("-", text=hostile).output
    assert "title" not in run("-", text=hostile).output


def test_of_a_long_log_the_end_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_lines, "LARGEST_LOG_BYTES", 2_000)
    monkeypatch.setattr(log_lines, "LONGEST_LINE_BYTES", 1_000)
    monkeypatch.setattr(log_lines, "_BLOCK_BYTES", 300)
    file = tmp_path / "server.log"
    file.write_text("x" * 9_000 + "\n" + FAILED)

    from_file = run(str(file), "--json").output

    assert json.loads(from_file)["cause"] == "tensor-parallel-size"
    assert run("-", "--json", text=file.read_text()).output == from_file


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda _: None, "No such file or directory"),
        (lambda file: file.mkdir(), "directory"),
        (lambda file: (file.write_text("x"), file.chmod(0)), "Permission denied"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_reason(
    tmp_path: Path, make: object, why: str
) -> None:
    file = tmp_path / "server.log"
    make(file)  # type: ignore[operator]
    if why.startswith("Permission") and os.access(file, os.R_OK):
        file.unlink()  # root reads everything; a link to itself can be read by nobody
        file.symlink_to(file)
        why = "symbolic links"

    with pytest.raises(InvalidValueError) as caught:
        run(str(file))

    assert why in caught.value.problem


def test_a_pipe_without_a_writer_does_not_hold_it(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)

    assert json.loads(run(str(fifo), "--json").output)["cause"] == "no-failure"


def test_the_command_line_has_it() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "launcher", "diagnose", "-", "--exit-code", "137"],
        input=FAILED,
        capture_output=True,
        text=True,
        cwd=PROJECT,
        timeout=300,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert "tensor-parallel-size" in done.stdout
