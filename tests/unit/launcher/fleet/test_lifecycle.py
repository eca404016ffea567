"""What a fleet refuses before anything starts, over records that no server has written."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from click.testing import CliRunner

from benchmarks.selfcheck.fleet.run import fleet_port
from launcher.cli.fleet import check, status
from launcher.errors import (
    AlreadyRunningError,
    ConfigError,
    EngineMissingError,
    FleetError,
    InsufficientMemoryError,
    InvalidValueError,
    NoGpuError,
    PortInUseError,
    RemoteServerError,
    StateError,
)
from launcher.fleet.check import check_fit, lay_out_here
from launcher.fleet.fleet_file import FleetConfig
from launcher.fleet.layout import lay_out
from launcher.fleet.lifecycle import bring_up, scale, settled, take_down
from launcher.fleet.store import FleetStore, list_fleets
from launcher.fleet.view import view
from launcher.serving import free_port
from launcher.state.states import ServerState
from launcher.state.store import RunStore
from launcher.system.hardware import Hardware, probe_hardware
from tests.unit.launcher.examples import SECRET, make_record
from tests.unit.launcher.fleet.cards import machine


def fleet(**fields: Any) -> FleetConfig:
    return FleetConfig.model_validate(
        {"server": {"preset": "nano"}, "gateway": {"port": fleet_port()}} | fields
    )


@pytest.fixture
def hardware() -> Hardware:
    return probe_hardware()


@pytest.fixture
def store() -> FleetStore:
    return FleetStore("fleet")


def up(described: FleetConfig, store: FleetStore, hardware: Hardware) -> None:
    with store.lock():
        bring_up(described, store, hardware, lambda _name, _event: None)


@contextlib.contextmanager
def running(name: str, described: FleetConfig, hardware: Hardware) -> Iterator[None]:
    """A server whose supervisor is this process."""
    store = RunStore(name)
    store.create()
    layout = lay_out(described, hardware, FleetStore("fleet").discovery_file)
    config = next(one for one in (*layout.replicas, layout.gateway) if one.name == name)
    record = make_record(
        store.folder,
        name=name,
        state=ServerState.READY,
        base_url=config.base_url,
        config=config.model_dump(mode="json"),
    )
    with store.lock():
        store.write(record)
        yield


def test_a_gateway_before_nothing_is_refused(store: FleetStore, hardware: Hardware) -> None:
    with pytest.raises(InvalidValueError, match="no servers"):
        up(fleet(replicas=0), store, hardware)
    assert list_fleets() == ()


def test_a_file_with_fewer_servers_than_run_is_refused(
    store: FleetStore, hardware: Hardware
) -> None:
    described = fleet(replicas=2)
    with store.lock():
        store.write(described)
    fewer = described.model_copy(update={"replicas": 1})
    with (
        running("fleet-1", described, hardware),
        pytest.raises(FleetError, match="'fleet-1' runs as well") as caught,
    ):
        up(fewer, store, hardware)
    assert "fleet scale 1" in caught.value.action


def test_a_server_that_runs_otherwise_is_not_touched(store: FleetStore, hardware: Hardware) -> None:
    described = fleet(replicas=1)
    changed = described.model_copy(update={"server": {"preset": "nano", "max_running_requests": 3}})
    with (
        running("fleet-0", described, hardware),
        pytest.raises(AlreadyRunningError, match="max_running_requests") as caught,
    ):
        up(changed, store, hardware)
    assert "fleet roll" in caught.value.action


def test_a_port_that_is_taken_starts_nothing(store: FleetStore, hardware: Hardware) -> None:
    described = fleet()
    taken = ThreadingHTTPServer(("127.0.0.1", described.gateway.port + 1), BaseHTTPRequestHandler)
    with taken, pytest.raises(PortInUseError):
        up(described, store, hardware)
    assert list_fleets() == ()


def test_a_gateway_that_is_not_installed_is_named(
    store: FleetStore, hardware: Hardware, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("launcher.engines.smg.version.DISTRIBUTION", "no-such-gateway")
    with pytest.raises(EngineMissingError, match="smg is not installed"):
        up(fleet(), store, hardware)


class Remote(BaseHTTPRequestHandler):
    """A server elsewhere, which lists its models to whoever has the key."""

    models: ClassVar[list[str]] = ["nano"]
    key: ClassVar[str | None] = None
    text: ClassVar[str | None] = None

    def do_GET(self) -> None:
        refused = self.key and self.headers.get("Authorization") != f"Bearer {self.key}"
        listed = json.dumps({"data": [{"id": name} for name in self.models]})
        body = (self.text if self.text is not None else listed).encode()
        self.send_response(401 if refused else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def remote() -> Iterator[str]:
    Remote.models, Remote.key, Remote.text = ["nano"], None, None
    with ThreadingHTTPServer(("127.0.0.1", 0), Remote) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"models": ["other"]}, "serves other, and the fleet nano"),
        ({"key": SECRET}, "refuses the fleet's key"),
        ({"text": "<html>"}, "no server of a model"),
        ({"text": "[]"}, "no server of a model"),
        ({"text": '{"data": [1]}'}, "no server of a model"),
    ],
)
def test_a_remote_that_cannot_be_routed_to_is_refused(
    store: FleetStore, hardware: Hardware, remote: str, changes: dict[str, Any], words: str
) -> None:
    for name, value in changes.items():
        setattr(Remote, name, value)
    with pytest.raises(RemoteServerError, match=words):
        up(fleet(replicas=0, remotes=[remote]), store, hardware)
    assert list_fleets() == ()


def test_a_remote_that_is_not_there_is_refused(store: FleetStore, hardware: Hardware) -> None:
    with pytest.raises(RemoteServerError, match="does not answer"):
        up(fleet(replicas=0, remotes=[f"http://127.0.0.1:{free_port()}"]), store, hardware)


def test_a_remote_that_was_there_and_is_away_stops_nobody(
    store: FleetStore, hardware: Hardware
) -> None:
    away = f"http://127.0.0.1:{free_port()}"
    with store.lock():
        store.write(fleet(replicas=0, remotes=[away]))
    taken = fleet(replicas=1, remotes=[away])
    port = ThreadingHTTPServer(("127.0.0.1", taken.gateway.port), BaseHTTPRequestHandler)
    # Past the remote: the next check is the gateway's.
    with port, pytest.raises(PortInUseError):
        up(taken, store, hardware)


def test_what_the_machine_chose_stays_chosen(store: FleetStore) -> None:
    described = FleetConfig.model_validate({"server": {}})
    first = lay_out_here(described, None, store.discovery_file, machine(4))
    assert first.server.preset == "glm-4.5-air-fp8"
    with store.lock():
        store.write(settled(described, first))
    # Full of the fleet's own servers, it would be the nano model on the CPU.
    full = machine(4, busy=(0, 1, 2, 3))
    with pytest.raises(NoGpuError):
        lay_out_here(described, store.read(), store.discovery_file, full)


def test_paths_mean_the_same_in_any_folder(
    store: FleetStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    server = {"preset": "nano", "api_key_file": "k.key", "admin_key_file": "a.key"}
    for replicas in (0, 2):
        described = FleetConfig.model_validate({"server": server, "replicas": replicas})
        layout = lay_out_here(described, None, store.discovery_file, machine(0))
        kept = settled(described, layout).server
        assert kept["api_key_file"] == str(tmp_path / "k.key")
        assert kept["admin_key_file"] == str(tmp_path / "a.key")


def test_two_commands_at_once_are_one_too_many(store: FleetStore, hardware: Hardware) -> None:
    with store.lock(), pytest.raises(AlreadyRunningError, match="is changing the fleet"):
        up(fleet(), FleetStore("fleet"), hardware)


def test_what_was_never_started_is_named(store: FleetStore, hardware: Hardware) -> None:
    for ask in (
        lambda: view(store),
        lambda: take_down(store),
        lambda: scale(2, store, hardware, lambda _name, _event: None),
    ):
        with pytest.raises(FleetError, match="was ever started here"):
            ask()


def test_a_fleet_of_which_nothing_runs_is_shown_so_and_forgotten(store: FleetStore) -> None:
    with store.lock():
        store.write(fleet(replicas=1))
        members = view(store)
        assert [member.name for member in members] == ["fleet-gateway", "fleet-0"]
        assert not any(member.is_well for member in members)
        take_down(store)
    assert list_fleets() == ()


def test_what_is_not_known_of_a_member_is_a_dash(store: FleetStore) -> None:
    with store.lock():
        store.write(fleet(replicas=1, remotes=["http://127.0.0.1:9"]))
    done = CliRunner().invoke(status, [])
    assert done.exit_code == FleetError.exit_code
    head, *rows = [line.split() for line in done.output.splitlines()[:4]]
    assert head == ["NAME", "STATE", "ROUTED", "GATEWAY", "RUN", "WAIT", "ACCEPTED", "RESTARTS"]
    assert rows == [
        ["fleet-gateway", *"-" * 6, "0"],
        ["fleet-0", "-", "no", *"-" * 4, "0"],
        ["http://127.0.0.1:9", "-", "no", *"-" * 4, "0"],
    ]


def test_a_fleet_name_is_no_path() -> None:
    with pytest.raises(ConfigError, match="not valid"):
        FleetStore("../servers")


def test_a_file_of_another_version_is_not_guessed_at(store: FleetStore) -> None:
    with store.lock():
        store.write(fleet())
    (store.folder / "fleet.json").write_text('{"fleet": 2}')
    with pytest.raises(StateError, match="another version"):
        store.require()


def test_servers_that_did_not_start_are_no_members(
    store: FleetStore, hardware: Hardware, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        # By now what is to be is written down.
        assert store.require().replicas == 2
        raise FleetError("it did not start", action="see why")

    monkeypatch.setattr("launcher.fleet.lifecycle.start_all", fail)
    with store.lock():
        store.write(fleet(replicas=1))
        with pytest.raises(FleetError, match="did not start"):
            scale(2, store, hardware, lambda _name, _event: None)
    assert store.require().replicas == 1


def test_a_check_starts_nothing_and_says_what_would_be(
    store: FleetStore, hardware: Hardware
) -> None:
    described = fleet(replicas=2)
    with running("fleet-0", described, hardware):
        fit = check_fit(described, store, hardware)
    assert fit.new == ("fleet-1", "fleet-gateway")
    assert 0 < fit.needed_bytes < fit.available_bytes
    assert not store.folder.exists()
    assert not RunStore("fleet-1").folder.exists()


def test_a_check_refuses_what_bring_up_would(store: FleetStore, hardware: Hardware) -> None:
    described = fleet(replicas=2)
    small = dataclasses.replace(hardware, available_memory_bytes=4 * 1024**3)
    with pytest.raises(InsufficientMemoryError, match="2 servers need about"):
        check_fit(described, store, small)
    with pytest.raises(NoGpuError, match="3 servers of 2 GPUs need 6"):
        check_fit(FleetConfig.model_validate({"server": {}, "replicas": 3}), store, machine(4))
    port = ThreadingHTTPServer(("127.0.0.1", described.gateway.port + 2), BaseHTTPRequestHandler)
    with port, pytest.raises(PortInUseError):
        check_fit(described, store, hardware)


def test_a_check_is_told_to_people_and_to_programs(tmp_path: Path) -> None:
    file = tmp_path / "fleet.yaml"
    file.write_text(fleet(replicas=1).model_dump_json())
    shown = CliRunner().invoke(check, [str(file)], catch_exceptions=False).output
    assert shown.startswith("FITS  fleet: 2 of its members would be started")
    told = json.loads(CliRunner().invoke(check, [str(file), "--json"]).output)
    assert [(one["name"], one["runs"]) for one in told["members"]] == [
        ("fleet-gateway", False),
        ("fleet-0", False),
    ]
