"""A server for the length of a block, over a stand-in; tests/server has the real one."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

import pytest

from launcher.engines.launch import Launch
from launcher.errors import AlreadyRunningError, ConfigError, LauncherError, ServerExitedError
from launcher.preflight import prepare
from launcher.serving import command_of, configure, free_port, serving
from launcher.state.events import Event, ServerReady
from launcher.state.record import RunRecord
from launcher.state.store import RunStore
from launcher.system.ports import is_listening
from tests.unit.launcher.scenes import make_launch

NAME = "mine"
FIELDS: dict[str, Any] = {"preset": "nano"}


@pytest.fixture
def store() -> RunStore:
    return RunStore(NAME)


def stand_in(monkeypatch: pytest.MonkeyPatch, *behaviour: str) -> Launch:
    """What any configuration starts from now on."""
    launch = make_launch(*behaviour, name=NAME)
    monkeypatch.setattr(prepare, "prepare", lambda *_, **__: launch)
    return launch


def record_of(store: RunStore) -> RunRecord:
    record = store.read()
    assert record is not None
    return record


def assert_stopped(store: RunStore, launch: Launch) -> None:
    record = record_of(store)
    assert record.state == "STOPPED"
    assert not record.supervisor.is_alive()
    assert not is_listening("127.0.0.1", launch.config.port)


def test_a_server_lives_as_long_as_the_block(
    monkeypatch: pytest.MonkeyPatch, store: RunStore
) -> None:
    launch = stand_in(monkeypatch, "serve")
    told: list[Event] = []

    with serving(FIELDS, name=NAME, tell=told.append) as record:
        assert record.state == "READY"
        assert record.supervisor.is_alive()
        assert is_listening("127.0.0.1", launch.config.port)

    assert isinstance(told[-1], ServerReady)
    assert_stopped(store, launch)


def test_a_block_that_fails_leaves_no_server(
    monkeypatch: pytest.MonkeyPatch, store: RunStore
) -> None:
    launch = stand_in(monkeypatch, "serve")

    with pytest.raises(ZeroDivisionError), serving(FIELDS, name=NAME):
        _ = 1 / 0

    assert_stopped(store, launch)


def test_one_that_runs_is_not_started_twice_and_goes_on(
    monkeypatch: pytest.MonkeyPatch, store: RunStore
) -> None:
    launch = stand_in(monkeypatch, "serve")

    with serving(FIELDS, name=NAME):
        with pytest.raises(AlreadyRunningError), serving(FIELDS, name=NAME):
            pytest.fail("two of one name")
        assert record_of(store).state == "READY"
        assert is_listening("127.0.0.1", launch.config.port)

    assert_stopped(store, launch)


def test_a_start_that_fails_says_why_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, store: RunStore
) -> None:
    stand_in(monkeypatch, "exit-before-ready", "3")

    with pytest.raises(ServerExitedError) as caught, serving(FIELDS, name=NAME):
        pytest.fail("it never was ready")

    assert caught.value.evidence[-1] == "RuntimeError: out of ideas"
    assert not record_of(store).supervisor.is_alive()


def test_ctrl_c_while_it_starts_stops_it(monkeypatch: pytest.MonkeyPatch, store: RunStore) -> None:
    launch = stand_in(monkeypatch, "never-ready")

    def cancel() -> None:
        while (record := store.read()) is None or record.server is None:
            threading.Event().wait(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=cancel).start()
    with pytest.raises(KeyboardInterrupt), serving(FIELDS, name=NAME):
        pytest.fail("it never was ready")

    assert_stopped(store, launch)


@pytest.mark.parametrize(
    "fields", [{"colour": "red"}, {"mem_fraction_static": 2}, {"preset": "nonsense"}]
)
def test_fields_that_make_no_sense_leave_nothing(store: RunStore, fields: dict[str, Any]) -> None:
    with pytest.raises(ConfigError), serving({**FIELDS, **fields}, name=NAME):
        pytest.fail("it cannot be served")

    assert not store.folder.exists()


def test_what_this_machine_cannot_serve_leaves_nothing(
    store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("launcher.preflight.command.sys.platform", "darwin")

    with pytest.raises(LauncherError, match="runs on Linux"), serving(FIELDS, name=NAME):
        pytest.fail("it cannot be served")

    assert not store.folder.exists()


def test_a_program_s_fields_go_over_the_preset_and_the_environment_is_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LAUNCHER_SPECULATIVE_NUM_STEPS", "7")
    monkeypatch.setenv("SPECSERVE_SPECULATIVE_NUM_STEPS", "7")

    fields = {**FIELDS, "speculative_num_steps": 2, "speculative_num_draft_tokens": 3}
    config = configure({**fields, "port": 1234, "name": NAME})

    assert (config.preset, config.port, config.speculative_num_steps) == ("nano", 1234, 2)
    assert configure({**FIELDS, "speculative_algorithm": None}).speculative_algorithm is None
    assert configure(FIELDS).speculative_num_steps == 3
    argv = command_of(config).argv
    assert argv[argv.index("--speculative-num-steps") + 1] == "2"
    assert not RunStore(NAME).folder.exists()


def test_a_free_port_is_one_that_nobody_listens_on() -> None:
    assert not is_listening("127.0.0.1", free_port())
