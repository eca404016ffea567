"""Probes are run so that none can stop another, and the command tells what they found."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from rich.console import Console

from launcher.cli.checks import doctor
from launcher.cli.display.findings import show_findings
from launcher.doctor.nvml import DriverState
from launcher.doctor.probes import GROUPS, Probe, ProbeFinding, Row, ask, examine, worst
from launcher.doctor.target import ServingTarget, serving_target
from launcher.errors import UnfitMachineError
from launcher.system.hardware import GIB, Hardware

NO_GPU = Hardware((), "NVML Shared Library Not Found", (0, 1), 20 * GIB)
FINE = Row("disk", "green", "9 GiB free", "1 GiB")


def on_cpu() -> ServingTarget:
    return serving_target("nano", NO_GPU, {})


def raising() -> Iterator[Row]:
    yield FINE
    raise OSError(5, "Input/output error")


def test_a_probe_that_raises_is_a_row_with_its_words_and_stops_no_other() -> None:
    findings = examine([Probe("broken", "host", raising), Probe("disk", "host", lambda: [FINE])])

    assert [finding.probe for finding in findings] == ["broken", "disk"]
    assert findings[0].row.status == "amber"
    assert findings[0].row.measured == "OSError: [Errno 5] Input/output error"
    assert findings[0].row.action is not None
    assert findings[1].row is FINE


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), RecursionError()])
def test_whatever_a_probe_raises_is_a_row(error: BaseException) -> None:
    def look() -> list[Row]:
        raise error

    (finding,) = examine([Probe("broken", "host", look)])

    assert finding.row.measured.startswith(type(error).__name__)


def test_a_probe_that_hangs_is_a_row_and_the_others_are_told() -> None:
    never = threading.Event()

    def hang() -> list[Row]:
        # As statvfs(2) on a server of files that went away.
        never.wait()
        return []

    begun = time.monotonic()
    probes = [Probe(f"nfs-{number}", "host", hang) for number in range(20)]
    findings = examine([*probes, Probe("disk", "host", lambda: [FINE])], deadline_seconds=0.2)

    # One deadline for all of them, not one for each: generous, since a busy machine is no failure.
    assert time.monotonic() - begun < 3.0
    assert len(findings) == 21
    assert {finding.row.status for finding in findings[:-1]} == {"amber"}
    assert findings[0].row.measured == "no answer within 0.2 s"
    assert findings[-1].row is FINE
    never.set()


def test_a_call_that_hangs_does_not_keep_the_process(tmp_path: Path) -> None:
    script = tmp_path / "hang.py"
    script.write_text(
        "import threading\n"
        "from launcher.doctor.probes import Probe, examine\n"
        "rows = examine([Probe('p', 'host', threading.Event().wait)], deadline_seconds=0.1)\n"
        "print(rows[0].row.measured)\n"
    )

    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=True
    )

    assert done.stdout == "no answer within 0.1 s\n"


def test_rows_stand_under_their_groups_in_one_order() -> None:
    probes = [Probe(group, group, lambda: [FINE]) for group in reversed(GROUPS)]

    assert [finding.group for finding in examine(probes)] == list(GROUPS)


def test_what_was_raised_is_kept_for_those_who_know_it() -> None:
    error = UnfitMachineError("It does not fit.", action="Take another.")

    def fail() -> None:
        raise error

    answers = ask({"a": fail, "b": lambda: 7})

    assert answers["a"].error is error
    assert answers["a"].failure == "UnfitMachineError: It does not fit."
    assert answers["b"].values == (7,)


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [([], "green"), (["green", "amber"], "amber"), (["red", "amber", "green"], "red")],
)
def test_the_whole_is_as_good_as_its_worst_row(statuses: list[str], expected: str) -> None:
    rows = [
        ProbeFinding("p", "host", Row("s", status, "m", "w"))  # type: ignore[arg-type]
        for status in statuses
    ]

    assert worst(rows) == expected


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The real command on the real machine; the hub is a port where nobody listens."""
    return subprocess.run(
        [sys.executable, "-m", "launcher", "doctor", *arguments],
        env={
            **os.environ,
            "HF_ENDPOINT": "http://127.0.0.1:9",
            "CUDA_VISIBLE_DEVICES": "",
            "SPECSERVE_PORT": "18123",
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_nano_can_be_served_on_this_machine_and_the_rows_say_so() -> None:
    done = run("nano", "--json")

    report = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (report["exit_code"], "")
    assert (report["preset"], report["reason"]) == ("nano", "asked for")
    rows = {row["probe"]: row for row in report["rows"]}
    assert [*rows["gpus"]] == [
        *("probe", "group", "subject", "status", "measured", "wanted", "action")
    ]
    assert rows["gpus"]["wanted"] == "none: nano runs on the CPU"
    assert rows["servable"]["measured"].startswith("nano on the CPU")
    assert rows["model-files"]["status"] == "green"
    assert rows["hub"]["measured"] == "http://127.0.0.1:9 is not reachable (ConnectError)"
    assert rows["hub"]["status"] == "green"
    # Only the machine itself could be at fault, and then `up` refuses it too.
    red = {row["probe"] for row in report["rows"] if row["status"] == "red"}
    assert red <= {"memory", "shared-memory", "disk-state"}
    assert all((row["action"] is None) == (row["status"] == "green") for row in report["rows"])


def test_a_preset_for_gpus_is_red_without_them_and_has_its_own_exit_code() -> None:
    done = run("glm-4.5-air-fp8")

    assert done.returncode == UnfitMachineError.exit_code == 39
    red = [line for line in done.stdout.splitlines() if line.startswith("red")]
    assert red[0].startswith("red    GPU  GPUs: no NVIDIA GPU")
    assert " -> Use `--preset nano`" in red[0]
    # For grep: one row a line, and no colours.
    assert "\x1b" not in done.stdout
    assert all(line.split()[0] in {"green", "amber", "red"} for line in done.stdout.splitlines())


def test_a_model_that_is_not_here_is_red_with_the_path(tmp_path: Path) -> None:
    done = run(str(tmp_path / "nowhere"), "--json")

    rows = {row["probe"]: row for row in json.loads(done.stdout)["rows"]}
    assert done.returncode == 39
    assert rows["model-files"]["status"] == "red"
    assert str(tmp_path / "nowhere") in rows["model-files"]["measured"]


def test_a_setting_that_makes_no_sense_is_told_as_up_tells_it() -> None:
    done = run("nano", SPECSERVE_PORT="99999")

    assert done.returncode == 13
    assert "port" in done.stderr


def test_a_word_that_names_no_preset_is_told_with_the_nearest() -> None:
    done = run("glm-4.5-air-fp")

    assert done.returncode == 11
    assert "did you mean 'glm-4.5-air-fp8'?" in done.stderr


def test_nothing_is_written(tmp_path: Path) -> None:
    folders = {name: str(tmp_path / name) for name in ("HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME")}

    done = run("nano", "--json", PYTHONDONTWRITEBYTECODE="1", TMPDIR=str(tmp_path), **folders)

    assert json.loads(done.stdout)["preset"] == "nano"
    assert list(tmp_path.iterdir()) == []


def test_a_driver_that_hangs_is_red_and_all_else_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    never = threading.Event()

    def hang() -> Hardware:
        never.wait()
        return NO_GPU

    def hang_too() -> DriverState:
        never.wait()
        return DriverState()

    monkeypatch.setattr(doctor, "probe_hardware", hang)
    monkeypatch.setattr(doctor, "read_driver", hang_too)
    monkeypatch.setattr("launcher.doctor.probes.ask.__kwdefaults__", {"deadline_seconds": 1.0})
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    done = CliRunner().invoke(doctor.doctor, ["--json"])

    report = json.loads(done.output)
    rows = {row["probe"]: row for row in report["rows"]}
    assert done.exit_code == 39
    assert report["preset"] == "nano"
    assert rows["gpus"]["status"] == "red"
    assert rows["gpus"]["measured"] == "NVML: no answer within 1 s"
    assert rows["sglang"]["status"] == "green"
    never.set()


def test_a_model_folder_that_hangs_is_red_and_all_else_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    never = threading.Event()

    def hang(*_: object) -> ServingTarget:
        never.wait()
        return on_cpu()

    monkeypatch.setattr(doctor, "serving_target", hang)
    monkeypatch.setattr("launcher.doctor.probes.ask.__kwdefaults__", {"deadline_seconds": 1.0})
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    done = CliRunner().invoke(doctor.doctor, ["/mnt/gone/model", "--json"])

    rows = {row["probe"]: row for row in json.loads(done.output)["rows"]}
    assert done.exit_code == 39
    assert rows["model-files"]["measured"] == "/mnt/gone/model: no answer within 1 s"
    assert rows["cpu"]["measured"]
    never.set()


ROWS = (
    ProbeFinding("a", "GPU", Row("GPUs", "red", "no NVIDIA GPU " * 8, "two of them", "Buy two.")),
    ProbeFinding("b", "host", FINE),
    ProbeFinding("c", "host", Row("a rather long subject", "amber", "1 [bold]x[/]", "2", "Do it.")),
)


def shown(width: int, *, terminal: bool = True, no_color: bool = False) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=terminal, no_color=no_color)
    show_findings(console, ROWS, on_cpu())
    return out.getvalue()


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_fits_the_terminal_and_says_all(width: int) -> None:
    text = click.unstyle(shown(width))

    assert max(len(line.rstrip()) for line in text.splitlines()) <= width
    for words in ("-> Buy two.", "wanted: two of them", "9 GiB free", "1 [bold]x[/]", "1 red"):
        assert words in text
    # What is as it should be needs no second line.
    assert "wanted: 1 GiB" not in text
    assert text.count("\nhost") == 1


def test_colours_are_for_terminals_that_want_them() -> None:
    assert "\x1b[32m" in shown(80)
    assert "\x1b[3" not in shown(80, no_color=True)
    assert "\x1b" not in shown(80, terminal=False)
