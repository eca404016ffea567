"""All servers and fleets, by records that no server has written and metrics that one answers."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from click.testing import CliRunner

from launcher.cli.running.top import top
from launcher.errors import NotRunningError
from launcher.fleet.fleet_file import FleetConfig
from launcher.fleet.store import FleetStore
from launcher.live.looker import Looker
from launcher.live.snapshot import Snapshot
from launcher.live.watch import Watch
from launcher.metrics.benchmark import Machine
from launcher.state.events import PhaseProgress
from launcher.state.store import RunStore
from tests.unit.launcher.examples import SECRET, make_config, make_record
from tests.unit.launcher.live.scenes import MetricServer
from tests.unit.launcher.metrics.texts import lines

MACHINE = Machine("a processor", ())


class Clock:
    """Goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@contextlib.contextmanager
def served(name: str = "one", **fields: Any) -> Iterator[RunStore]:
    """A server of which this process is the supervisor."""
    store = RunStore(name)
    store.create()
    config = make_config(name=name, device="cpu", **fields.pop("served", {}))
    known = {"name": name, "state": "READY", "config": config.model_dump(mode="json")}
    with store.lock():
        store.write(make_record(store.folder, **known | fields))
        yield store


def ended(requests: int, tokens: int) -> str:
    return lines({"num_requests_total": requests, "generation_tokens_total": tokens}, "") + lines(
        {"num_running_reqs": 2, "num_queue_reqs": 0}
    )


def test_a_server_is_looked_at_by_its_record_and_its_metrics() -> None:
    clock = Clock()
    with MetricServer(ended(10, 100)).running() as metrics, served(base_url=metrics.url):
        watch = Watch(machine=MACHINE, clock=clock)
        watch.look()
        metrics.say(ended(30, 400))
        clock.now += 20
        (seen,) = watch.look().servers

    assert (seen.name, seen.state, seen.engine, seen.origin) == ("one", "READY", "SGLang", "http")
    assert seen.figures.requests_per_second == 1
    assert seen.figures.output_tokens_per_second == 15
    assert list(seen.course.output_tokens_per_second) == [None, 15]
    assert seen.verdict is not None
    assert seen.verdict.kind == "off"


def test_once_asks_twice_so_that_there_are_rates() -> None:
    with MetricServer(ended(10, 100)).running() as metrics, served(base_url=metrics.url):
        done = CliRunner().invoke(
            top, ["one", "--once", "--json", "--interval", "0.5"], catch_exceptions=False
        )
        assert metrics.asked == 2

    (seen,) = json.loads(done.output)["servers"]
    assert seen["figures"]["requests_per_second"] == 0
    assert seen["figures"]["window_seconds"] >= 0.5


def test_a_restart_begins_anew() -> None:
    clock = Clock()
    with MetricServer(ended(10, 100)).running() as metrics:
        watch = Watch("one", machine=MACHINE, clock=clock)
        with served(base_url=metrics.url):
            watch.look()
        clock.now += 20
        metrics.say(ended(2, 5))
        with served(base_url=metrics.url, run_id="f" * 16, restarts=1):
            (seen,) = watch.look().servers

    assert seen.restarts == 1
    assert seen.figures.window_seconds == 0
    assert seen.figures.requests_per_second is None
    assert seen.figures.totals.requests == 2


def test_a_start_shows_its_phase_and_asks_nothing() -> None:
    with MetricServer("").running() as metrics:
        with served(state="STARTING", base_url=metrics.url) as store:
            event = PhaseProgress(
                run_id="0123456789abcdef",
                elapsed_seconds=1.0,
                phase="loading weights",
                done=3,
                total=9,
            )
            store.events_file.write_text(f"no event\n{event.to_json()}\n")
            store.events_file.chmod(0o600)
            (seen,) = Watch(machine=MACHINE).look().servers
        assert metrics.asked == 0

    assert (seen.state, seen.phase) == ("STARTING", "loading weights 3 of 9")
    assert seen.verdict is None


def test_a_server_that_does_not_answer_says_why() -> None:
    with served(base_url="http://127.0.0.1:9", state="UNHEALTHY"):
        (seen,) = Watch(machine=MACHINE).look().servers

    assert "refused" in seen.problem
    assert seen.figures.running_requests is None


def test_metrics_that_are_off_are_named() -> None:
    with served(served={"enable_metrics": False}):
        (seen,) = Watch(machine=MACHINE).look().servers

    assert "enable_metrics" in seen.problem


def test_what_was_stopped_is_shown_only_by_name() -> None:
    with served(state="STOPPED"):
        pass
    at = datetime(2026, 11, 30, tzinfo=UTC)
    with served("two", state="FATAL", last_failure="It is broken.", last_failure_at=at):
        pass

    assert [one.name for one in Watch(machine=MACHINE).look().servers] == ["two"]
    (named,) = Watch("one", machine=MACHINE).look().servers
    assert named.state == "STOPPED"
    assert named.seconds_since_start is None


def test_a_broken_record_hides_no_other_server() -> None:
    with served("two"), served() as store:
        store.record_file.write_text("{")
        seen = Watch(machine=MACHINE).look()

    assert [one.name for one in seen.servers] == ["two"]
    assert len(seen.problems) == 1


def test_a_name_that_nobody_has_is_refused() -> None:
    with served():
        pass

    with pytest.raises(NotRunningError, match="'three'") as caught:
        Watch("three", machine=MACHINE).require()
    assert "one" in caught.value.action
    with pytest.raises(NotRunningError):
        Watch("../x", machine=MACHINE).require()
    Watch("one", machine=MACHINE).require()


def test_a_fleet_s_members_stand_together() -> None:
    clock = Clock()
    with MetricServer("vllm:num_requests_running 4.0\n").running() as metrics:
        fleet = FleetConfig.model_validate(
            {"server": {"preset": "nano"}, "replicas": 1, "remotes": [metrics.url]}
        )
        store = FleetStore("fleet")
        with store.lock():
            store.write(fleet)
        store.discovery_file.write_text(json.dumps({"workers": [{"url": metrics.url}]}))
        store.discovery_file.chmod(0o600)
        with served("alone"):
            watch = Watch(machine=MACHINE, clock=clock)
            everything = watch.look().servers
            assert [one.role for one in everything] == ["gateway", "replica", "remote", "server"]
        gateway, replica, remote = Watch("fleet", machine=MACHINE, clock=clock).look().servers

    assert {one.fleet for one in (gateway, replica, remote)} == {"fleet"}
    assert gateway.routed is None
    assert (replica.state, replica.problem, replica.routed) == ("-", "it was never started", False)
    assert (remote.engine, remote.routed) == ("vLLM", True)
    assert remote.figures.running_requests == 4


def test_a_fleet_that_cannot_be_read_is_said() -> None:
    store = FleetStore("fleet")
    with store.lock():
        store.write(FleetConfig.model_validate({"server": {"preset": "nano"}, "replicas": 1}))
    (store.folder / "fleet.json").write_text("none of ours")

    for watch in (Watch("fleet", machine=MACHINE), Watch(machine=MACHINE)):
        seen = watch.look()
        assert seen.servers == ()
        assert len(seen.problems) == 1


class _Broken(Watch):
    """One in which there is a defect."""

    def look(self) -> Snapshot:
        raise RuntimeError("a defect")


def test_a_defect_of_the_thread_is_heard() -> None:
    told = threading.Event()
    with Looker(_Broken(machine=MACHINE), 1.0, told.set) as looker:
        assert told.wait(30)
        with pytest.raises(RuntimeError, match="a defect"):
            looker.check()


def test_what_is_shown_holds_no_key() -> None:
    with MetricServer(ended(1, 1)).running() as metrics:
        key = RunStore("one").folder / "the.key"
        with served(base_url=metrics.url, served={"api_key_file": str(key)}):
            key.write_text(SECRET)
            shown = json.dumps(Watch(machine=MACHINE).look().as_data())

    assert SECRET not in shown
    assert str(key) not in shown
    assert "environment" not in shown
