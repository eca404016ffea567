"""The soak itself: short ones over a stand-in, and that what broke is told."""

from __future__ import annotations

import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.selfcheck.soak import left as left_module
from benchmarks.selfcheck.soak.kills import Soak
from benchmarks.selfcheck.soak.report import (
    ADOPTED,
    ANY_MEMBER,
    FROZEN_IN_FLIGHT,
    KEPT,
    NEW_RUN,
    NOT_RECOVERED,
    PAIRS,
    REPLACED,
    SERVING,
    STARTING,
    Kill,
    SoakReport,
    Spread,
    show,
)
from benchmarks.selfcheck.soak.run import plan, run
from launcher.config.server_config import RestartPolicy, ServerConfig
from launcher.engines.launch import Command, Launch
from launcher.state.store import RunStore
from launcher.supervision.stop import stop_server

# As a server looks from outside: a first process with HTTP, children with SGLang's titles, and a
# helper that it does without. Long requests take a while.
STANDIN = """
import http.server, json, subprocess, sys, threading, time

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer({})

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if asked["sampling_params"]["max_new_tokens"] > 100:
            time.sleep(3)
        self.answer({"text": "!", "meta_info": {"completion_tokens": 1}})

    def answer(self, body):
        payload = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *arguments):
        pass

for title in ("sglang::scheduler_TP0", "sglang::detokenizer", "helper"):
    subprocess.Popen([title, "600"], executable="/bin/sleep")
print("[2026-11-23 15:14:20] Load weight begin. avail mem=20.52 GB", flush=True)
time.sleep(0.3)
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
print("The server is fired up and ready to roll!", flush=True)
time.sleep(600)
"""

# What `up` does: it takes over what serves, and ends the rest.
SUPERVISE = """
import sys
from pathlib import Path
from launcher.engines.launch import Launch
from launcher.state.store import RunStore
from launcher.cli.display.starting import events_writer
from launcher.supervision.stop import stop_server
from launcher.supervision.supervisor import Supervisor

store = RunStore("scene", root=Path(sys.argv[1]))
store.create()
record = store.read()
adopted = record if record is not None and record.can_be_adopted else None
if record is not None and adopted is None:
    stop_server(store)
with store.lock():
    launch = Launch.from_json(sys.stdin.read())
    supervisor = Supervisor(launch, store, events_writer(store), adopted=adopted)
    supervisor.handle_signals()
    supervisor.run()
"""


@pytest.fixture(autouse=True)
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Of the test alone; the test's own folder has too long a path for sockets below it."""
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    monkeypatch.setenv("TMPDIR", str(folder))
    yield folder
    shutil.rmtree(folder)


class Standins:
    """Supervisors over a stand-in, each in a process of its own."""

    def __init__(self, folder: Path, *, restart: RestartPolicy = "on-failure") -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        self.port = port
        self.store = RunStore("scene", root=folder / "servers")
        self.temporary = Path(os.environ["TMPDIR"])
        self.started: list[subprocess.Popen[bytes]] = []
        config = ServerConfig(
            model_path="/m", served_model_name="m", device="cpu", port=port, restart=restart,
            drain_timeout_seconds=0.0, restart_limit=1000, restart_delay_seconds=0.01,
            restart_max_delay_seconds=0.01, health_interval_seconds=0.2, health_timeout_seconds=5,
        )  # fmt: skip
        self._launch = Launch(
            config=config, command=Command((sys.executable, "-c", STANDIN, str(port)), {}),
            keys={}, versions={}, detached=True,
        )  # fmt: skip

    def up(self) -> subprocess.Popen[bytes]:
        """Start a supervisor."""
        supervisor = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(SUPERVISE), str(self.store.folder.parent)],
            stdin=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        self.started.append(supervisor)
        assert supervisor.stdin is not None
        with supervisor.stdin as pipe:
            pipe.write(self._launch.to_json().encode())
        return supervisor

    def down(self) -> None:
        """Stop the server."""
        stop_server(self.store)


class Last(random.Random):
    """Draws as ever, but of several processes the one that began last."""

    def choice(self, seq: Any) -> Any:
        """The last one."""
        return seq[-1]


def make_soak(
    standins: Standins, *, frozen_seconds: float = 30.0, recovery_seconds: float = 60.0
) -> Soak:
    """One that looks at no shared memory but its own: other tests use the machine's meanwhile."""
    segments = standins.store.folder / "segments"
    segments.mkdir(parents=True)
    return Soak(
        standins, Last(1), frozen_seconds=frozen_seconds, recovery_seconds=recovery_seconds,
        shared_memory=segments,
    )  # fmt: skip


def soak(standins: Standins, *pairs: tuple[str, str]) -> tuple[list[Kill], list[str]]:
    """A short one."""
    return run(make_soak(standins), pairs, total_seconds=600)


def test_a_server_that_is_killed_comes_back_and_leaves_nothing(tmp_path: Path) -> None:
    kills, left = soak(
        Standins(tmp_path), ("scheduler", "idle"), ("server", "start"), ("detokenizer", "in flight")
    )
    assert [kill.problems for kill in kills] == [()] * 3
    assert [kill.outcome for kill in kills] == [NEW_RUN] * 3
    assert kills[0].title == "sglang::scheduler_TP0"
    assert kills[2].broken_requests == 4
    for kill in kills:
        assert kill.detected_seconds is not None
        assert kill.recovered_seconds is not None
        assert kill.start_seconds is not None
        assert kill.added_seconds == pytest.approx(
            kill.recovered_seconds - kill.start_seconds, abs=0.002
        )
    assert left == []


def test_a_process_that_stands_still_is_noticed_and_the_server_comes_back(tmp_path: Path) -> None:
    """The scheduler and the collector; the stand-in's own HTTP goes on answering."""
    kills, left = soak(
        Standins(tmp_path), ("scheduler", FROZEN_IN_FLIGHT), ("collector", "frozen, idle")
    )
    assert [kill.problems for kill in kills] == [(), ()]
    assert [kill.outcome for kill in kills] == [NEW_RUN, REPLACED]
    assert kills[0].detected_seconds is not None
    assert kills[0].longest_request_seconds is not None
    assert left == []


def test_what_is_noticed_too_late_is_told(tmp_path: Path) -> None:
    one = make_soak(Standins(tmp_path), frozen_seconds=-10.0)
    kills, _ = run(one, [("scheduler", "frozen, idle")], total_seconds=600)
    assert "allowed are 0.0 s" in kills[0].problems[0]


def test_a_server_that_can_go_on_goes_on_with_its_requests(tmp_path: Path) -> None:
    kills, left = soak(
        Standins(tmp_path), ("collector", "in flight"), (ANY_MEMBER, "in flight"),
        ("supervisor", "in flight"),
    )  # fmt: skip
    assert [kill.problems for kill in kills] == [()] * 3
    assert [kill.outcome for kill in kills] == [REPLACED, KEPT, ADOPTED]
    assert kills[1].title == "helper"
    assert [(kill.finished_requests, kill.broken_requests) for kill in kills] == [(4, 0)] * 3
    assert left == []


def test_a_server_that_does_not_come_back_is_told_and_started_anew(tmp_path: Path) -> None:
    standins = Standins(tmp_path, restart="never")
    kills, left = soak(standins, ("server", "idle"), ("supervisor", "idle"))
    assert [kill.outcome for kill in kills] == [NOT_RECOVERED, ADOPTED]
    assert kills[0].title == "python"
    assert kills[0].problems[0].startswith("given up: ")
    assert not make_report(kills=kills).is_clean
    assert left == []


def test_a_server_that_never_starts_ends_the_soak(tmp_path: Path) -> None:
    standins = Standins(tmp_path)
    with socket.create_server(("127.0.0.1", standins.port)):
        one = make_soak(standins, recovery_seconds=10.0)
        kills, left = run(one, [("server", "idle")], total_seconds=600)
    assert kills == []
    assert any("the server does not start" in what for what in left)


def test_what_is_left_in_shared_memory_is_told_of_the_kill_that_left_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once, and of all in the end."""
    monkeypatch.setattr(left_module, "GRACE_SECONDS", 0.0)
    standins = Standins(tmp_path)

    def litter(kill: Kill) -> None:
        (standins.store.folder / "segments" / f"psm_{kill.number}").touch()

    pairs = [("collector", "idle")] * 3
    kills, left = run(make_soak(standins), pairs, total_seconds=600, tell=litter)
    assert [kill.problems for kill in kills] == [
        (),
        ("shared memory psm_1: Python's shared memory, never seen by the supervisor, is left",),
        ("shared memory psm_2: Python's shared memory, never seen by the supervisor, is left",),
    ]
    assert [what.partition(":")[0] for what in left] == [
        f"shared memory psm_{number}" for number in (1, 2, 3)
    ]


def test_no_kill_begins_after_the_time_is_over(tmp_path: Path) -> None:
    one = make_soak(Standins(tmp_path))
    assert run(one, [("server", "idle")], total_seconds=0.0) == ([], [])


def test_every_pair_comes_once_before_any_comes_again() -> None:
    chance = random.Random(7)  # noqa: S311
    pairs = list(plan(40, chance))
    every = len(PAIRS)
    assert set(pairs[:every]) == set(PAIRS)
    assert len(set(pairs[every:])) == 40 - every
    assert pairs[: 40 - every] != pairs[every:]
    assert pairs == list(plan(40, random.Random(7)))  # noqa: S311


def test_a_spread_names_values_that_were_measured() -> None:
    assert Spread.of([]) is None
    assert Spread.of([3.0]) == Spread(1, 3.0, 3.0, 3.0, 3.0)
    assert Spread.of([float(n) for n in range(10, 0, -1)]) == Spread(10, 5.5, 9.0, 1.0, 10.0)
    assert Spread.of([float(n) for n in range(1, 12)]) == Spread(11, 6.0, 10.0, 1.0, 11.0)


def make_kill(number: int, **fields: Any) -> Kill:
    """A scheduler that was killed while it served."""
    known: dict[str, Any] = {
        "number": number, "target": "scheduler", "title": "sglang::scheduler", "moment": "idle",
        "phase": None, "outcome": NEW_RUN, "detected_seconds": 0.1, "added_seconds": 1.0,
    }  # fmt: skip
    return Kill(**(known | fields))


def make_report(**fields: Any) -> SoakReport:
    """One of no kill."""
    known: dict[str, Any] = {"seed": 1, "asked_kills": 3, "machine": {}, "seconds": 60.0}
    return SoakReport(**(known | fields))


def test_a_report_keeps_apart_what_cannot_be_compared() -> None:
    report = make_report(
        kills=[
            make_kill(1), make_kill(2, added_seconds=2.0),
            make_kill(3, moment="start", phase="warm-up", added_seconds=70.0),
            make_kill(4, target="supervisor", outcome=ADOPTED, added_seconds=4.0),
        ]
    )  # fmt: skip
    assert report.is_clean
    assert report.spread("added_seconds", SERVING) == Spread(2, 1.5, 2.0, 1.0, 2.0)
    told = json.loads(report.to_json())
    assert told["clean"]
    assert told["spreads"][STARTING]["added_seconds"]["largest"] == 70.0
    assert len(told["kills"]) == 4


def test_what_else_is_in_the_temporary_folder_is_named_and_no_failure() -> None:
    report = make_report(temporary_files=["tmp1", "torchinductor_me (torch's cache)"])
    assert report.is_clean
    assert list(show(report))[-1] == (
        "In the temporary folder, and no failure: tmp1, torchinductor_me (torch's cache)"
    )


@pytest.mark.parametrize(
    "fields",
    [{"left": ["the lock is held"]}, {"kills": [make_kill(1, problems=("it is hot",))]}],
    ids=["left", "problem"],
)
def test_what_is_left_and_what_went_wrong_is_shown_and_fails(fields: dict[str, Any]) -> None:
    report = make_report(**fields)
    assert not report.is_clean
    shown = "\n".join(part for part in show(report) if isinstance(part, str))
    assert "the lock is held" in shown or "Kill 1 (scheduler): it is hot" in shown
