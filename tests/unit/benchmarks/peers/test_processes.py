"""Another tool's process: stand-ins that work, fail, hang and print what nobody can read."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.errors import PeerError, StorageError
from benchmarks.load.target import Target
from benchmarks.peers import bench_serving
from benchmarks.peers.adapter import Adapter, Prepared, Task
from benchmarks.peers.child import child_environment, run
from benchmarks.peers.measuring import measure_with
from benchmarks.records import Load
from benchmarks.results import PeerFigures
from tests.unit.benchmarks.peers.recorded_runs import RECORDED, recorded_workload

NANO = Target("http://127.0.0.1:8400", "nano")


def standing_in(script: str) -> Adapter:
    """bench_serving, with a Python script in its place; `OUT` in it is its output file."""

    def prepare(task: Task) -> Prepared:
        real = bench_serving.prepare(task)
        text = f"import sys, time, pathlib\nOUT = pathlib.Path({str(real.output)!r})\n{script}"
        return replace(real, argv=(sys.executable, "-c", text))

    return Adapter(tool="bench_serving", package="pytest", prepare=prepare, read=bench_serving.read)


WRITES_RECORDED = (
    f"OUT.write_bytes(pathlib.Path({str(RECORDED)!r}, 'bench_serving.jsonl').read_bytes())"
)


def measured(
    adapter: Adapter,
    folder: Path,
    *,
    target: Target = NANO,
    timeout_seconds: float = 60.0,
) -> PeerFigures:
    return measure_with(
        adapter,
        target,
        arm="eagle",
        workload=recorded_workload(),
        load=Load(concurrency=2),
        repetition=1,
        folder=folder,
        tokenizer=Path("/models/nano"),
        timeout_seconds=timeout_seconds,
    )


def test_figures_say_where_they_are_from_and_files_are_kept(tmp_path: Path) -> None:
    folder = tmp_path / "peers"

    figures = measured(standing_in(f"print('working')\n{WRITES_RECORDED}"), folder)

    assert (figures.tool, figures.version) == ("bench_serving", pytest.__version__)
    assert (figures.arm, figures.workload, figures.load) == ("eagle", "recorded", "c2")
    assert (figures.repetition, figures.output_tokens) == (1, 36)
    stem = "bench_serving-eagle-recorded-c2-1"
    assert {file.name for file in folder.iterdir()} == {
        f"{stem}.log",
        f"{stem}.output.jsonl",
        f"{stem}.prompts.jsonl",
    }
    assert (folder / f"{stem}.log").read_text() == "working\n"


def test_cpu_time_of_the_tool_and_its_children_is_counted(tmp_path: Path) -> None:
    spin = "import time\nwhile time.process_time() < 0.2: pass\n"
    script = f"import subprocess\nsubprocess.run([sys.executable, '-c', {spin!r}])\n"

    figures = measured(standing_in(script + WRITES_RECORDED), tmp_path)

    assert figures.generator_cpu_seconds >= 0.2


def test_an_earlier_output_is_not_read_again(tmp_path: Path) -> None:
    measured(standing_in(WRITES_RECORDED), tmp_path)

    with pytest.raises(PeerError, match="left no bench_serving-eagle-recorded-c2-1.output.jsonl"):
        measured(standing_in("pass"), tmp_path)


def test_a_tool_that_fails_is_an_error_with_its_last_lines(tmp_path: Path) -> None:
    failing = standing_in("print('\\n'.join(map(str, range(50))))\nsys.exit('no such model')")

    with pytest.raises(PeerError, match="ended with code 1") as caught:
        measured(failing, tmp_path)

    assert caught.value.evidence[-1] == "no such model"
    assert len(caught.value.evidence) == 20


def test_a_tool_that_crashes_is_named_by_its_signal(tmp_path: Path) -> None:
    with pytest.raises(PeerError, match="ended with signal 11"):
        measured(standing_in("import os\nos.kill(os.getpid(), 11)"), tmp_path)


def test_a_tool_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    child_id = tmp_path / "child"
    hanging = standing_in(
        "import subprocess\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"pathlib.Path({str(child_id)!r}).write_text(str(child.pid))\n"
        "print('waiting', flush=True)\n"
        "time.sleep(600)"
    )

    with pytest.raises(PeerError, match="did not end within 3 s") as caught:
        measured(hanging, tmp_path / "peers", timeout_seconds=3)

    assert caught.value.evidence == ("waiting",)
    assert_gone(int(child_id.read_text()))


def test_a_child_that_outlives_its_tool_is_killed(tmp_path: Path) -> None:
    child_id = tmp_path / "child"
    leaving = standing_in(
        "import subprocess\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"pathlib.Path({str(child_id)!r}).write_text(str(child.pid))\n" + WRITES_RECORDED
    )

    measured(leaving, tmp_path / "peers")

    assert_gone(int(child_id.read_text()))


def assert_gone(process_id: int) -> None:
    """Wait until a killed process has left; its new parent may leave it as a zombie."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return
        if state == "Z":
            return
        time.sleep(0.01)
    pytest.fail(f"process {process_id} still runs")


def test_garbage_is_an_error_with_what_was_printed(tmp_path: Path) -> None:
    with pytest.raises(PeerError, match="cannot be read") as caught:
        measured(standing_in("print('strange')\nOUT.write_text('{{')"), tmp_path)

    assert caught.value.evidence == ("strange",)


def test_a_tool_that_is_not_there_says_how_to_get_it(tmp_path: Path) -> None:
    absent = replace(standing_in("pass"), package="no-such-package-anywhere")

    with pytest.raises(PeerError, match="is not installed") as caught:
        measured(absent, tmp_path)

    assert "uv sync" in caught.value.action


def test_a_command_that_cannot_be_started_is_the_tool_s_error(tmp_path: Path) -> None:
    with pytest.raises(PeerError, match="cannot be started"):
        run(
            (str(tmp_path / "absent"),),
            tool="absent",
            environment={},
            cwd=tmp_path,
            log=tmp_path / "log",
            timeout_seconds=5,
        )


def test_a_folder_that_cannot_be_written_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(StorageError, match="cannot be written"):
        measured(standing_in("pass"), tmp_path / "file" / "peers")


def test_a_key_reaches_the_tool_but_no_evidence(tmp_path: Path) -> None:
    telling = standing_in("import os\nprint('key', os.environ['OPENAI_API_KEY'])\nsys.exit(1)")

    with pytest.raises(PeerError) as caught:
        measured(telling, tmp_path, target=replace(NANO, api_key="sk-secret"))

    assert caught.value.evidence == ("key ***",)


def test_a_tool_inherits_no_settings_keys_or_proxies() -> None:
    inherited = {
        "PATH": "/bin",
        "OPENAI_API_KEY": "the user's own",
        "HF_TOKEN": "the user's own",
        "https_proxy": "http://proxy",
        "GUIDELLM__SPEC__BACKEND__MODEL": "other",
        "SGLANG_IS_IN_CI": "true",
        "CUDA_VISIBLE_DEVICES": "0",
    }

    given = child_environment(inherited, {"OWN": "1"}, scratch=Path("/scratch"))

    assert given["PATH"] == "/bin"
    assert given["OWN"] == "1"
    assert given["HF_HUB_OFFLINE"] == "1"
    assert given["HF_DATASETS_CACHE"] == "/scratch"
    assert given["CUDA_VISIBLE_DEVICES"] == ""
    kept = inherited.keys() - {"PATH", "CUDA_VISIBLE_DEVICES"}
    assert kept & given.keys() == set()


def test_both_tools_of_the_plan_are_installed_under_the_names_that_are_run() -> None:
    # Without importing either: that takes ten seconds.
    folders = [Path(entry) for entry in sys.path if entry and Path(entry).is_dir()]
    assert any((folder / "sglang" / "benchmark" / "serving.py").is_file() for folder in folders)
    assert any((folder / "guidellm" / "__main__.py").is_file() for folder in folders)
