"""A disk that fills, a port that a stranger takes, keys in other places: with real processes."""

from __future__ import annotations

import contextlib
import dataclasses
import http.server
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from launcher.engines.launch import Command
from launcher.supervision.server.scratch import scratch_name
from tests.unit.launcher.supervision.walk.scene import KEYS, WalkScene, Zygote


@pytest.fixture(scope="module")
def zygote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zygote]:
    started = Zygote(tmp_path_factory.mktemp("zygote"))
    yield started
    started.close()


@pytest.fixture
def scene(zygote: Zygote, tmp_path: Path) -> Iterator[WalkScene]:
    made = WalkScene(zygote, tmp_path)
    yield made
    made.end()


@contextlib.contextmanager
def stranger(port: int) -> Iterator[list[str | None]]:
    """Somebody who listens on a port, answers like a server, and keeps what keys he is sent."""
    heard: list[str | None] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            heard.append(self.headers["Authorization"])
            self.send_response(200)
            self.end_headers()

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Quiet."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield heard
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("step", ["import", "load", "cache", "port"])
def test_a_stranger_on_the_port_is_sent_no_key_and_never_called_ready(
    step: str, scene: WalkScene
) -> None:
    scene.tell(f"hold-{step}")
    task = scene.do("supervise")
    scene.until(lambda: bool(scene.processes()), "a process")
    with stranger(scene.config.port) as heard:
        end = task.wait()
        assert "was taken by process" in end["error"]
        assert end["error"].startswith("PortInUseError")
        assert heard == []
        scene.check_down()
    scene.check_up()


def test_a_stranger_that_comes_after_the_server_is_sent_no_key(scene: WalkScene) -> None:
    scene.do("supervise")
    scene.until_state("READY")
    scene.tell("broken")
    server = scene.known().server
    assert server is not None
    server.send_signal(signal.SIGKILL)
    scene.until(lambda: not scene.processes(), "the end of the server")
    with stranger(scene.config.port) as heard:
        scene.untell("broken")
        scene.until_state("BACKOFF", "FATAL")
        scene.check_down()
    assert heard == []
    scene.check_up()


def test_a_record_that_a_full_disk_did_not_take_is_written_when_there_is_room(
    scene: WalkScene,
) -> None:
    """Of its own accord, and not at the next move."""
    scene.do("supervise", trap="full-disk")
    scene.until_state("READY")
    scene.tell("disk-full", "stall")
    scene.until(
        lambda: "UNHEALTHY" in scene.store.events_file.read_text(), "word of a probe that failed"
    )
    assert scene.known().live_state == "READY"
    scene.untell("disk-full")
    scene.until_state("UNHEALTHY")
    scene.check_down()
    scene.check_up()


@pytest.mark.parametrize("where", ["an argument", "a variable"])
def test_a_value_that_no_process_can_be_given_leaves_no_key(where: str, scene: WalkScene) -> None:
    command = scene.launch.command
    odd = (
        Command((*command.argv, "a\0b"), command.environment)
        if where == "an argument"
        else Command(command.argv, {**command.environment, "ODD": "a\0b"})
    )
    scene.launch = dataclasses.replace(scene.launch, command=odd)
    end = scene.do("supervise").wait()
    assert end["error"].startswith("SpawnError")
    scene.check_nothing_is_left("a start that failed")


def test_no_key_is_in_an_environment_or_an_argument_and_no_core_is_dumped(
    scene: WalkScene,
) -> None:
    scene.do("follow")
    scene.until_state("READY")
    record = scene.known()
    pids = [*scene.processes(), *scene.collectors(), record.supervisor.pid]
    for pid in pids:
        for place in ("environ", "cmdline"):
            content = Path(f"/proc/{pid}/{place}").read_bytes()
            assert not any(key.encode() in content for key in KEYS.values()), (pid, place)
        limits = Path(f"/proc/{pid}/limits").read_text()
        (line,) = [line for line in limits.splitlines() if line.startswith("Max core file size")]
        assert line.split()[4] in {"0", "1"}


def test_what_a_server_leaves_in_its_temporary_folder_goes_with_it(scene: WalkScene) -> None:
    scene.do("supervise")
    scene.until_state("READY")
    record = scene.known()
    folder = Path(record.environment["TMPDIR"])
    assert folder.name == scratch_name(record.run_id)
    assert folder.stat().st_mode & 0o777 == 0o700
    outside = scene.control / "outside"
    outside.touch()
    (folder / "left").touch()
    (folder / "deep").mkdir()
    (folder / "deep" / "link").symlink_to(outside.parent)
    # Whoever stops it.
    record.supervisor.send_signal(signal.SIGKILL)
    scene.until_state("ORPHANED")
    scene.check_down()
    assert not folder.exists()
    assert outside.exists()
