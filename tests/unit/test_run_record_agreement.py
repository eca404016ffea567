"""What the launcher writes is what the clients read: they share the run record, and no code."""

from __future__ import annotations

from pathlib import Path

import pytest

import clients.http.endpoint
import clients.http.run_record
from clients import ConfigurationError, read_run_record, run_record_path
from launcher.errors import InvalidValueError
from launcher.names import API_KEY_VARIABLE, SERVER_NAME_PATTERN
from launcher.state.states import ServerState
from launcher.state.store import RunStore
from tests.unit.launcher.examples import make_record


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
        served_model_name="tiny",
    )  # fmt: skip
    store.write(written)

    read = read_run_record("night")

    fields = type(read).model_fields
    assert read.model_dump() == written.model_dump(include=set(fields))


def test_the_state_that_the_clients_wait_for_is_one_of_the_launcher() -> None:
    assert ServerState(clients.http.run_record._READY) is ServerState.READY


def test_both_know_the_variable_of_the_key() -> None:
    assert clients.http.endpoint.LAUNCHER_KEY_VARIABLE == API_KEY_VARIABLE


def test_both_take_the_same_names() -> None:
    assert clients.http.run_record._NAME.pattern == SERVER_NAME_PATTERN
    for name in (".hidden", "-x", "a/b", "", "a" * 65):
        with pytest.raises(ConfigurationError):
            run_record_path(name)
        with pytest.raises(InvalidValueError):
            RunStore(name)
