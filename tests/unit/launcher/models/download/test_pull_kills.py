"""A download that is killed again and again, at random points of random files."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest

from launcher.models.download import pull
from launcher.models.download.hub import Hub
from launcher.models.download.request import PullRequest, ignore
from tests.unit.launcher.models.hub_models import model_files
from tests.unit.launcher.models.hub_server import HubServer, running_hub

MODEL = "owner/model"
KILLS = 20
SEED = 20261124
SHARD_BYTES = 60_000_000
# Slow enough that little lies in the kernel's buffers, of which a kill makes waste.
BYTES_PER_SECOND = 40_000_000


PRELOADED = [__name__, "huggingface_hub.file_download", "huggingface_hub.hf_api", "pytest"]


def pull_in_child(endpoint: str, cache: Path, state: Path) -> None:
    """What `python -m launcher pull` does, in a process that has imported all of it already."""
    os.environ |= {"HF_HUB_CACHE": str(cache), "XDG_STATE_HOME": str(state)}
    pull_here(endpoint)


def pull_here(endpoint: str) -> None:
    pull.pull(PullRequest(MODEL, threads=2), Hub(endpoint), ignore)


def wait_until(condition: Callable[[], bool], process: ForkServerProcess) -> None:
    while not condition() and process.is_alive():
        time.sleep(0.001)


def test_a_download_killed_twenty_times_ends_verified_and_fetches_next_to_nothing_twice(
    tmp_path: Path,
) -> None:
    context = multiprocessing.get_context("forkserver")
    # Importing takes a second, twenty times over.
    context.set_forkserver_preload(PRELOADED)
    files = model_files(shards=4, shard_bytes=SHARD_BYTES)
    with running_hub() as server:
        server.add(MODEL, files)
        server.bytes_per_second = BYTES_PER_SECOND
        arguments = (server.endpoint, tmp_path / "hub", tmp_path / "state")
        weights = {name: files[name] for name in files if name.startswith("model-0")}
        needed = sum(map(len, weights.values()))
        dice = random.Random(SEED)  # noqa: S311  # the same in each run
        for share in sorted(dice.uniform(0.0, 0.98) for _ in range(KILLS)):
            process = context.Process(target=pull_in_child, args=arguments)
            process.start()
            wait_until(lambda at=share * needed: _sent(server) >= at, process)  # type: ignore[misc]
            process.kill()
            process.join()
            assert process.exitcode == -signal.SIGKILL

        last = context.Process(target=pull_in_child, args=arguments)
        last.start()
        last.join()

        assert last.exitcode == 0
        print(f"sent {_sent(server) / needed:.4f} of the size")
        assert _sent(server) <= 1.01 * needed
    (snapshot,) = (tmp_path / "hub").glob("models--*/snapshots/*")
    for name, content in weights.items():
        assert (snapshot / name).read_bytes() == content
    assert list((tmp_path / "hub").rglob("*incomplete")) == []


def _sent(server: HubServer) -> int:
    with server.lock:
        sent = server.sent_bytes.items()
        return sum(count for name, count in sent if name.startswith("model-0"))


@pytest.mark.parametrize("after", ["the last byte", "the hash"])
def test_whoever_is_killed_between_the_last_byte_and_the_name_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: str
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    files = model_files(shards=1, shard_bytes=100_000)
    with running_hub() as server:
        server.add(MODEL, files)
        pull_here(server.endpoint)
        (snapshot,) = (tmp_path / "hub").glob("models--*/snapshots/*")
        blob = (snapshot / "model-00001-of-00001.safetensors").resolve()
        if after == "the last byte":
            blob.rename(blob.with_name(f"{blob.name}.specserve.incomplete"))
        else:
            (snapshot / "model-00001-of-00001.safetensors").unlink()
        server.sent_bytes.clear()
        pull_here(server.endpoint)
        assert not server.sent_bytes
        assert (snapshot / "model-00001-of-00001.safetensors").is_file()
