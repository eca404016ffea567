"""`pull` and `models` as commands, in processes of their own, and how they take being killed."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from launcher import errors
from launcher.cli import main
from launcher.models.store import hub_cache
from launcher.nano.folder import model_path
from launcher.state.paths import servers_root
from launcher.state.states import ServerState
from launcher.state.store import RunStore
from tests.project import PROJECT
from tests.unit.launcher.examples import make_record
from tests.unit.launcher.models.hub_models import model_files
from tests.unit.launcher.models.hub_server import HubServer, running_hub

MODEL = "owner/model"


@pytest.fixture
def server() -> Iterator[HubServer]:
    with running_hub() as running:
        yield running


class Done(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


Run = Callable[..., Done]


@pytest.fixture
def run(
    server: HubServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """The command line in this process."""

    def call(*arguments: str) -> Done:
        asks = ["--endpoint", server.endpoint] if arguments[0] == "pull" else []
        monkeypatch.setattr(sys, "argv", ["launcher", *arguments, *asks])
        with pytest.raises(SystemExit) as end:
            main.main()
        captured = capsys.readouterr()
        return Done(int(end.value.code or 0), captured.out, captured.err)

    return call


@pytest.fixture(autouse=True)
def environment(server: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("HF_HOME", "HF_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HF_ENDPOINT", server.endpoint)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    # Nobody is there to answer.
    monkeypatch.setattr(sys, "stdin", io.StringIO())


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "launcher", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def snapshot(model: str = MODEL) -> Path:
    return hub_cache() / f"models--{model.replace('/', '--')}" / "snapshots" / ("a" * 40)


def wait_for_bytes(server: HubServer, count: int, process: subprocess.Popen[str]) -> None:
    while server.total_sent_bytes() < count and process.poll() is None:
        time.sleep(0.002)


def test_ctrl_c_leaves_what_the_next_pull_continues(run: Run, server: HubServer) -> None:
    files = model_files(shards=1, shard_bytes=3_000_000)
    server.add(MODEL, files)
    server.bytes_per_second = 2_000_000
    process = start("pull", MODEL)
    wait_for_bytes(server, 1_000_000, process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (130, "")
    assert "Traceback" not in err
    server.bytes_per_second = None
    before = server.total_sent_bytes()
    assert run("pull", MODEL).code == 0
    # The rest, and not the whole again.
    assert server.total_sent_bytes() - before < 2_500_000


def test_a_pipe_gets_the_folder_and_a_program_gets_events(run: Run, server: HubServer) -> None:
    server.add(MODEL, model_files())
    done = run("pull", MODEL)
    assert (done.code, done.out, done.err) == (0, f"{snapshot()}\n", "")
    events = [json.loads(line) for line in run("pull", MODEL, "--json").out.splitlines()]
    assert [event["event"] for event in events if event["event"] != "pull.progress"] == [
        "pull.resolved",
        "pull.finished",
    ]
    assert events[-1]["commit"] == "a" * 40
    assert events[-1]["fetched_bytes"] == 0
    offline = run("pull", MODEL, "--offline", "--json")
    assert json.loads(offline.out.splitlines()[-1])["by_hash"] is True


def test_a_refusal_has_its_exit_code_and_one_line_of_json(run: Run, server: HubServer) -> None:
    server.add("owner/gated", model_files(), gated=True)
    done = run("pull", "owner/gated", "--json")
    assert done.code == errors.GatedRepositoryError.exit_code
    assert json.loads(done.out.splitlines()[-1])["error"] == "GatedRepositoryError"


def test_a_preset_is_pulled_by_its_name(run: Run, server: HubServer) -> None:
    server.add("zai-org/GLM-4.5-Air-FP8", model_files())
    assert run("pull", "glm-4.5-air-fp8").code == 0
    assert snapshot("zai-org/GLM-4.5-Air-FP8").is_dir()


def test_models_are_listed_and_removed(run: Run, server: HubServer, tmp_path: Path) -> None:
    server.add(MODEL, model_files())
    server.add("owner/other", model_files(seed=1))
    assert "No model is here" in run("models").out
    for arguments in ((MODEL,), ("owner/other",), (MODEL, "--target", str(tmp_path / "plain"))):
        assert run("pull", *arguments).code == 0
    (tmp_path / "plain" / "notes.txt").write_text("mine")

    listed = json.loads(run("models", "--json").out)["models"]
    assert [(model["repository"], model["in_cache"]) for model in listed] == [
        (MODEL, True),
        ("owner/other", True),
        (MODEL, False),
    ]
    assert all(model["complete"] and model["verified_at"] for model in listed)
    assert all(model["commit"] == "a" * 40 for model in listed)

    assert run("models", "rm", MODEL).code == 130
    assert snapshot().is_dir()
    assert run("models", "rm", MODEL, "--yes").code == 0
    assert run("models", "rm", str(tmp_path / "plain"), "--yes").code == 0
    assert {file.name for file in (tmp_path / "plain").iterdir()} == {"notes.txt"}
    assert not snapshot().parent.parent.exists()
    (left,) = json.loads(run("models", "--json").out)["models"]
    assert left["repository"] == "owner/other"
    missing = run("models", "rm", "owner/othr", "--yes")
    assert missing.code == errors.ModelNotFoundError.exit_code
    assert "owner/other" in missing.err


@pytest.mark.parametrize("by", ["id", "folder"])
def test_a_model_that_is_served_is_not_removed(run: Run, server: HubServer, by: str) -> None:
    server.add(MODEL, model_files())
    assert run("pull", MODEL).code == 0
    store = RunStore("night")
    store.create()
    fields: Mapping[str, object] = (
        {"model_path": MODEL} if by == "id" else {"command": ("python", str(snapshot()))}
    )
    store.write(make_record(store.folder, name="night", state=ServerState.READY, **fields))
    # This process is its supervisor, for as long as it holds the lock.
    with store.lock():
        done = run("models", "rm", MODEL, "--yes")
    assert done.code == errors.ModelInUseError.exit_code
    assert "night" in done.err
    assert snapshot().is_dir()


def test_a_model_that_is_being_downloaded_is_not_removed(run: Run, server: HubServer) -> None:
    server.add(MODEL, model_files(shards=1, shard_bytes=5_000_000))
    server.bytes_per_second = 1_000_000
    pulling = start("pull", MODEL)
    wait_for_bytes(server, 500_000, pulling)
    done = run("models", "rm", MODEL, "--yes")
    pulling.kill()
    pulling.communicate()
    assert done.code == errors.ModelInUseError.exit_code
    assert f"process {pulling.pid}" in done.err
    # The lock of a process that was killed holds nobody up.
    assert run("models", "rm", MODEL, "--yes").code == 0


def test_no_token_is_in_argv_output_or_on_the_disk(
    server: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = "hf_swordfish0123456789"  # noqa: S105  # planted, to be looked for
    monkeypatch.setenv("HF_TOKEN", token)
    server.token = token
    server.add(MODEL, model_files(shards=1, shard_bytes=2_000_000), gated=True)
    server.bytes_per_second = 2_000_000
    process = start("pull", MODEL, "--json")
    wait_for_bytes(server, 500_000, process)
    argv = Path(f"/proc/{process.pid}/cmdline").read_bytes()
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert token.encode() not in argv
    assert token not in out + err
    for file in tmp_path.rglob("*"):
        if file.is_file():
            assert token.encode() not in file.read_bytes()


def test_up_downloads_the_model_and_serves_the_folder_of_its_commit(
    run: Run, server: HubServer
) -> None:
    folder = model_path()
    server.add(MODEL, {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()})
    # More than any machine has: it is found after the download, from the model's own shape.
    arguments = ("up", "--model-path", MODEL, "--device", "cpu", "--max-total-tokens", "9999999999")
    before = json.loads(run(*arguments, "--dry-run", "--json").out)
    assert MODEL in before["argv"]
    process = start(*arguments, "--json")
    out, err = process.communicate(timeout=60)
    assert process.returncode == errors.InsufficientMemoryError.exit_code, out + err
    events = [json.loads(line) for line in out.splitlines()]
    assert "pull.finished" in [event.get("event") for event in events]
    assert not servers_root().exists()

    after = json.loads(run(*arguments, "--dry-run", "--json").out)

    assert after["argv"][after["argv"].index("--model-path") + 1] == str(snapshot())
    assert MODEL not in after["argv"]
    assert after["environment"]["HF_HUB_OFFLINE"] == "1"
    # What else may need the hub can ask it.
    other = run(*arguments, "--dry-run", "--json", "--", "--tokenizer-path", "owner/tokenizer")
    assert "HF_HUB_OFFLINE" not in json.loads(other.out)["environment"]


def test_a_duplicate_of_a_repository_that_is_removed_stays(run: Run, server: HubServer) -> None:
    for repository in (MODEL, "owner/duplicate"):
        server.add(repository, model_files())
        assert run("pull", repository).code == 0
    assert run("models", "rm", MODEL, "--yes").code == 0
    assert run("pull", "owner/duplicate", "--offline", "--verify-only").code == 0


def test_the_list_is_a_table_for_people_and_says_what_is_not_whole(
    run: Run, server: HubServer
) -> None:
    server.add(MODEL, model_files())
    run("pull", MODEL)
    (snapshot() / "model-00002-of-00003.safetensors").unlink()
    shown = " ".join(run("models").out.split())
    assert f"{MODEL} main aaaaaaaaaaaa" in shown
    assert "model-00002-of-00003.safetensors is missing" in shown
    assert f"python -m launcher pull {MODEL}" in shown


def test_nothing_is_written_but_the_target_and_our_own_state(
    server: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.add(MODEL, model_files())
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("PYTHONPATH", str(PROJECT))
    process = start("pull", MODEL, "--target", "model")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, f"{tmp_path}/work/model\n"), err
    # Neither a home folder nor a cache was made.
    assert {path.name for path in tmp_path.iterdir()} == {"work", "xdg_state_home"}
    assert {path.name for path in (tmp_path / "work").iterdir()} == {"model"}
    assert not any("agent" in path or "telemetry" in path for _, path, _ in server.requests)


def test_a_folder_that_was_written_to_is_not_called_verified_nor_served(
    run: Run, server: HubServer, tmp_path: Path
) -> None:
    folder = model_path()
    server.add(MODEL, {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()})
    plain = tmp_path / "plain"
    assert run("pull", MODEL, "--target", str(plain)).code == 0
    with (plain / "model.safetensors").open("r+b") as weights:
        weights.seek(-1, os.SEEK_END)
        weights.write(b"x")
    (model,) = json.loads(run("models", "--json").out)["models"]
    assert (model["complete"], model["verified_at"]) == (True, None)
    done = run("up", "--model-path", str(plain), "--device", "cpu")
    assert done.code == errors.ModelIncompleteError.exit_code
    assert "model.safetensors: its hash is" in " ".join(done.err.split())


def test_help_names_both_commands_and_asks_nobody(run: Run, server: HubServer) -> None:
    done = run("--help")
    assert {"pull", "models"} <= set(done.out.split())
    assert server.requests == []
    assert os.environ["HF_ENDPOINT"] == server.endpoint
