"""What the launcher writes is what the clients read: they share the run record, and no code."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

import clients.http.endpoint
import clients.http.local.processes
import clients.http.local.run_record
from clients import ConfigurationError, read_run_record, run_record_path
from launcher.errors import InvalidValueError
from launcher.names import API_KEY_VARIABLE, SERVER_NAME_PATTERN
from launcher.state.states import ServerState
from launcher.state.store import RunStore
from launcher.system.ports import listening_sockets, sockets_of
from launcher.system.process import ProcessIdentity
from tests.unit.launcher.examples import make_config, make_record


@pytest.fixture(autouse=True)
def state_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


@pytest.mark.parametrize("name", ["default", "night.2_b-1"])
def test_both_look_in_the_same_place(name: str) -> None:
    assert run_record_path(name) == RunStore(name).record_file


@pytest.mark.parametrize("state", list(ServerState))
@pytest.mark.parametrize("key_file", [None, Path("/keys/default")])
def test_a_record_of_the_launcher_is_read_by_the_clients(
    state: ServerState, key_file: Path | None
) -> None:
    store = RunStore("night")
    store.create()
    written = make_record(
        store.folder, name="night", state=state, api_key_file=key_file, admin_key_file=key_file,
        served_model_name="tiny", server=ProcessIdentity.of(os.getpid()),
        config=make_config(api_key_file=key_file, admin_key_file=key_file).model_dump(mode="json"),
    )  # fmt: skip
    store.write(written)

    read = read_run_record("night")

    fields = {*type(read).model_fields} - {"config"}
    assert read.model_dump(include=fields) == written.model_dump(include=fields)
    served = read.config.model_dump()
    assert served == {name: written.config[name] for name in served}


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "0.0.0.0", "::", "::1", "fd00::1", "box", "10.1.2.3"],  # noqa: S104 - told, not bound
)
def test_both_find_the_same_address_in_a_configuration(host: str) -> None:
    config = make_config(host=host, port=8123)
    assert clients.http.local.run_record._base_url(host, 8123) == config.base_url


def test_both_see_the_same_processes_and_sockets() -> None:
    identity = ProcessIdentity.of(os.getpid())
    process = clients.http.local.processes.Process(**identity.model_dump())
    assert process.is_alive()
    assert identity.is_alive()
    assert not process.model_copy(update={"start_ticks": 1}).is_alive()
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        try:
            listening = socket.create_server((host, 0), family=family)
        except OSError:
            continue
        with listening, socket.create_connection(listening.getsockname()[:2]):
            port = listening.getsockname()[1]
            sockets = listening_sockets(host, port)
            assert len(sockets) == 1
            assert clients.http.local.processes.listening_sockets(host, port) == sockets
            tables = clients.http.local.processes._read_table
            rows = {inode for _, inode in (*tables("tcp", port), *tables("tcp6", port))}
            assert sockets == rows
            found = clients.http.local.processes.socket_paths(os.getpid(), sockets)
            assert set(found) == sockets & sockets_of([identity])


def test_the_state_that_the_clients_wait_for_is_one_of_the_launcher() -> None:
    assert ServerState(clients.http.local.run_record._READY) is ServerState.READY


def test_both_know_the_variable_of_the_key() -> None:
    assert clients.http.endpoint.LAUNCHER_KEY_VARIABLE == API_KEY_VARIABLE


def test_both_take_the_same_names() -> None:
    assert clients.http.local.run_record._NAME.pattern == SERVER_NAME_PATTERN
    for name in (".hidden", "-x", "a/b", "", "a" * 65):
        with pytest.raises(ConfigurationError):
            run_record_path(name)
        with pytest.raises(InvalidValueError):
            RunStore(name)
