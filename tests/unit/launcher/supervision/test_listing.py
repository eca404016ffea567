"""A server's place in a gateway's file: there while it is READY, and gone before it ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from launcher.engines.smg.discovery import NOTICED_SECONDS, change_listed, read_listed
from launcher.state.events import Event, ServerReady, StateChanged
from launcher.state.states import ServerState
from launcher.state.store import RunStore
from launcher.supervision.listing import Listing
from launcher.supervision.mailbox import Request
from launcher.supervision.stop import clear_up
from tests.unit.launcher.examples import dead_process, make_config, make_record
from tests.unit.launcher.scenes import Scene


class Followed(Scene):
    """A scene that notes after each state who stands in the file."""

    def __init__(self, tmp_path: Path, *behaviour: str) -> None:
        self.file = tmp_path / "discovery.json"
        self.listed: dict[str, bool] = {}
        super().__init__(tmp_path, *behaviour, discovery_file=self.file)

    def _emit(self, event: Event) -> None:
        if isinstance(event, StateChanged):
            self.listed[event.state] = read_listed(self.file).servers == (self.config.base_url,)
        super()._emit(event)


def test_it_stands_there_only_while_it_is_ready(tmp_path: Path) -> None:
    scene = Followed(tmp_path, "serve")
    scene.reactions[ServerReady] = Request.STOP
    scene.run()
    assert scene.listed == {"STARTING": False, "READY": True, "STOPPING": False, "STOPPED": False}


def test_one_that_ended_by_itself_stands_there_no_more(tmp_path: Path) -> None:
    scene = Followed(tmp_path, "exit-after-ready", "3")
    with pytest.raises(Exception, match="."):
        scene.run()
    assert scene.listed["READY"]
    assert read_listed(scene.file).servers == ()


def test_it_is_asked_to_end_only_when_the_gateway_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Followed(tmp_path, "serve")
    scene.reactions[ServerReady] = Request.STOP
    waited: list[float] = []
    from launcher.supervision.mailbox import Mailbox, Timer  # noqa: PLC0415

    set_timer = Mailbox.set

    def note(self: Mailbox, timer: Timer, seconds: float) -> None:
        if timer is Timer.TERM:
            waited.append(seconds)
        set_timer(self, timer, seconds)

    monkeypatch.setattr(Mailbox, "set", note)
    scene.run()
    assert waited == [NOTICED_SECONDS]
    assert scene.record.exit is not None


def test_a_server_without_such_a_file_is_asked_at_once() -> None:
    assert Listing.of(make_config()).leave_seconds == 0.0


def test_a_file_that_somebody_removes_is_written_again(tmp_path: Path) -> None:
    file = tmp_path / "discovery.json"
    config = make_config(discovery_file=file)
    listing = Listing.of(config)
    listing.follow(ServerState.READY)
    file.unlink()
    listing.follow(ServerState.READY)
    assert read_listed(file).servers == (config.base_url,)


def test_a_broken_file_ends_no_server(tmp_path: Path) -> None:
    file = tmp_path / "discovery.json"
    file.write_text("no JSON")
    Listing.of(make_config(discovery_file=file)).follow(ServerState.READY)
    assert file.read_text() == "no JSON"


def test_what_a_killed_supervisor_left_there_is_taken_out_by_whoever_clears_up(
    tmp_path: Path,
) -> None:
    file = tmp_path / "discovery.json"
    config = make_config(discovery_file=file)
    store = RunStore("left", root=tmp_path / "servers")
    store.create()
    store.write(
        make_record(
            store.folder,
            name="left",
            state=ServerState.READY,
            supervisor=dead_process(),
            server=dead_process(),
            config=config.model_dump(mode="json"),
        )
    )
    change_listed(file, add=(config.base_url, "http://127.0.0.1:9"))
    clear_up(store)
    assert read_listed(file).servers == ("http://127.0.0.1:9",)


def test_a_gateway_stands_in_no_file() -> None:
    record = make_record(Path("/nowhere"), config={"gateway": "smg", "discovery_file": "/x"})
    assert Listing.of_record(record).leave_seconds == 0.0
