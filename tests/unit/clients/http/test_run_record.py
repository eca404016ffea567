"""Reading the run record."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clients import (
    ConfigurationError,
    RunRecordError,
    ServerLookupError,
    ServerNotFoundError,
    ServerNotReadyError,
    read_run_record,
    run_record_path,
)
from clients.http.local.run_record import find_ready_server, running_servers
from tests.unit.clients.records import RECORD, make_record, process


def write(text: str | bytes, name: str = "default") -> Path:
    path = run_record_path(name)
    path.parent.mkdir(parents=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_record_stands_in_the_state_folder(state_home: Path) -> None:
    assert run_record_path("a.b_c-1") == state_home / "specserve/servers/a.b_c-1/run.json"


def test_record_is_read_and_what_the_client_does_not_need_ignored() -> None:
    write(json.dumps(make_record(api_key_file="/keys/default")))
    record = find_ready_server()
    assert record.base_url == "http://127.0.0.1:8000"
    assert record.served_model_name == "glm-4.5-air"
    assert record.api_key_file == Path("/keys/default")
    assert not hasattr(record, "command")
    # Of the configuration, what says that clients ask another machine.
    assert record.config.model_dump() == {"node_rank": 0, "dist_init_addr": None}


def test_a_machine_that_computes_for_another_is_not_asked() -> None:
    record = make_record()
    record["config"] |= {"node_rank": 1, "dist_init_addr": "10.0.0.1:25000"}
    write(json.dumps(record))
    with pytest.raises(ServerLookupError, match="computes for machine 0"):
        find_ready_server()
    assert running_servers() == ()


@pytest.mark.parametrize(
    ("name", "command"),
    [("default", "python -m launcher up"), ("night", "python -m launcher up --name night")],
)
def test_missing_record_says_where_it_looked_and_how_to_start_it(name: str, command: str) -> None:
    with pytest.raises(ServerNotFoundError) as caught:
        find_ready_server(name)
    assert caught.value.path == run_record_path(name)
    assert str(caught.value.path) in str(caught.value)
    assert caught.value.action == f"Start one with: {command}"
    assert caught.value.__suppress_context__, "a missing file is no trace that helps anybody"


@pytest.mark.parametrize("state", [None, "STOPPED", "UNHEALTHY"])
def test_the_error_for_a_wrong_name_lists_those_that_run(state: str | None) -> None:
    if state is not None:
        write(json.dumps({**RECORD, "state": state}))
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        for name, other, held in (
            ("day", "READY", listening), ("dead", "READY", deaf), ("slow", "STARTING", listening)
        ):  # fmt: skip
            write(json.dumps(make_record(held.getsockname()[1], name, state=other)), name)
        gone = make_record(listening.getsockname()[1], "gone", server=process(start_ticks=1))
        write(json.dumps(gone), "gone")
        write("torn", "torn")
        with pytest.raises(ServerLookupError, match=r"Running: day\.") as caught:
            find_ready_server()
    assert caught.value.running == ("day",)
    assert "ChatClient(server='day')" in caught.value.action
    assert "--name day" in caught.value.action


@pytest.mark.parametrize("state", ["STARTING", "STOPPING", "FATAL", "UNHEALTHY"])
def test_only_a_ready_server_is_found(state: str) -> None:
    write(json.dumps({**RECORD, "state": state}))
    with pytest.raises(ServerNotReadyError, match=f"is {state}, not READY") as caught:
        find_ready_server()
    assert caught.value.state == state
    assert read_run_record().state == state


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "the file"),
        (json.dumps(RECORD)[:60], "the file"),
        (b"\xff\xfe", "the file"),
        ("[]", "the file"),
        (json.dumps({**RECORD, "schema_version": 2}), "schema_version"),
        (json.dumps({**RECORD, "base_url": None}), "base_url"),
    ],
    ids=["empty", "torn", "not-text", "not-an-object", "other-schema", "wrong-type"],
)
def test_bad_record_names_its_path_and_the_field(text: str | bytes, says: str) -> None:
    path = write(text)
    with pytest.raises(RunRecordError, match=says) as caught:
        read_run_record()
    assert str(path) in str(caught.value)


def test_unreadable_record_is_not_a_missing_one() -> None:
    run_record_path().mkdir(parents=True)
    with pytest.raises(RunRecordError, match="it is no regular file"):
        read_run_record()


@pytest.mark.parametrize("name", ["a", "7", "a.b_c-1", "A" * 64])
def test_names_that_a_server_may_have(name: str) -> None:
    assert run_record_path(name).parent.name == name


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", ".a", "-a", "_a", "../x", "a/b", "a\\b", "a\n", "é", "a b", "\0", "a" * 65],
)
def test_names_that_could_lead_elsewhere_are_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="Not a server name"):
        run_record_path(name)


@settings(deadline=None)
@given(st.text())
def test_no_name_leads_out_of_the_folder(name: str) -> None:
    try:
        path = run_record_path(name)
    except ConfigurationError:
        return
    servers = run_record_path().parent.parent
    assert path.resolve().parent.parent == servers.resolve()
