"""What systemd hears of a service, over the real kind of socket."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launcher.supervision.notify import (
    LONGEST_STATUS_BYTES,
    START_EXTENSION_SECONDS,
    VARIABLES,
    Notifier,
)


class Manager:
    """The end of the socket at which systemd reads."""

    def __init__(self, variable: str, address: str) -> None:
        self.environment = {"NOTIFY_SOCKET": variable, "PATH": "/usr/bin"}
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.settimeout(20)

    def heard(self) -> list[str]:
        """The lines of the next message."""
        return self.socket.recv(4096).decode().split("\n")

    def drain(self) -> int:
        """Take all messages that wait, and count them."""
        count = 0
        self.socket.settimeout(0)
        with contextlib.suppress(BlockingIOError):
            while self.socket.recv(4096):
                count += 1
        self.socket.settimeout(20)
        return count


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    if request.param == "path":
        made = Manager(str(tmp_path / "notify"), str(tmp_path / "notify"))
    else:
        name = f"specserve-test-{secrets.token_hex(8)}"
        made = Manager(f"@{name}", f"\0{name}")
    yield made
    made.socket.close()


def test_each_message_is_heard_as_the_protocol_spells_it(manager: Manager) -> None:
    notifier = Notifier.from_environment(manager.environment)

    notifier.extend_timeout(90.5)
    notifier.status("loading weights 3 of 7")
    notifier.ready()
    notifier.watchdog()
    notifier.stopping()
    notifier.watchdog()

    assert [manager.heard() for _ in range(6)] == [
        ["EXTEND_TIMEOUT_USEC=90500000"],
        ["STATUS=loading weights 3 of 7"],
        ["READY=1"],
        ["WATCHDOG=1"],
        ["STOPPING=1"],
        ["WATCHDOG=1"],
    ]


def test_each_beat_of_a_start_asks_for_more_time_for_it(manager: Manager) -> None:
    more = f"EXTEND_TIMEOUT_USEC={START_EXTENSION_SECONDS * 1_000_000:.0f}"
    notifier = Notifier.from_environment(manager.environment)

    for beat in (notifier.watchdog, notifier.watchdog, notifier.ready, notifier.watchdog):
        beat()

    heard = [manager.heard() for _ in range(6)]
    assert heard == [[more], ["WATCHDOG=1"], [more], ["WATCHDOG=1"], ["READY=1"], ["WATCHDOG=1"]]


def test_a_start_that_is_stopped_asks_for_no_more_time(manager: Manager) -> None:
    notifier = Notifier.from_environment(manager.environment)

    notifier.stopping()
    notifier.watchdog()

    assert [manager.heard(), manager.heard()] == [["STOPPING=1"], ["WATCHDOG=1"]]


def test_a_status_stays_one_line_and_cannot_say_something_else(manager: Manager) -> None:
    Notifier.from_environment(manager.environment).status("FATAL\nREADY=1\r\n\x00end")

    assert manager.heard() == ["STATUS=FATAL READY=1 end"]


@given(st.text(max_size=3000))
def test_any_status_fits_and_is_text(text: str) -> None:
    name = f"specserve-test-{secrets.token_hex(8)}"
    manager = Manager(f"@{name}", f"\0{name}")
    with manager.socket:
        Notifier.from_environment(manager.environment).status(text)
        (line,) = manager.heard()

    assert line.startswith("STATUS=")
    assert len(line.encode()) <= len("STATUS=") + LONGEST_STATUS_BYTES


def test_the_variables_stay_or_go_as_asked(manager: Manager) -> None:
    environment = manager.environment | {
        "WATCHDOG_USEC": "30000000",
        "WATCHDOG_PID": str(os.getpid()),
    }
    assert set(VARIABLES) < set(environment)

    Notifier.from_environment(environment)
    assert set(VARIABLES) < set(environment)

    notifier = Notifier.from_environment(environment, unset=True)
    assert environment == {"PATH": "/usr/bin"}

    # What was read still holds.
    notifier.ready()
    assert manager.heard() == ["READY=1"]
    assert notifier.watchdog_seconds == 15.0


def test_without_systemd_nothing_is_sent_and_nothing_breaks() -> None:
    notifier = Notifier.from_environment({})

    notifier.ready()
    notifier.watchdog()

    assert not notifier.is_connected
    assert notifier.watchdog_seconds is None


@pytest.mark.parametrize("address", ["", "/", "@", "relative", "vsock:2:1234"])
def test_an_address_that_is_no_unix_socket_is_not_used(address: str) -> None:
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": address})

    notifier.ready()

    assert not notifier.is_connected


@pytest.mark.parametrize("what", ["missing", "a file", "a folder", "too long"])
def test_a_broken_socket_never_raises(tmp_path: Path, what: str) -> None:
    address = tmp_path / "notify"
    if what == "a file":
        address.write_text("")
    elif what == "a folder":
        address.mkdir()
    elif what == "too long":
        address = tmp_path / ("n" * 200)
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": str(address)})

    notifier.ready()
    notifier.stopping()

    assert notifier.is_connected


def test_what_nobody_heard_is_said_with_the_next_message_once(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    notifier = Notifier(address)
    notifier.status("starting")
    notifier.ready()
    notifier.status("serving")

    manager = Manager(address, address)
    with manager.socket:
        notifier.watchdog()
        notifier.watchdog()

        assert sorted(manager.heard()) == ["READY=1", "STATUS=serving", "WATCHDOG=1"]
        assert manager.heard() == ["WATCHDOG=1"]


def test_a_reader_that_stands_still_does_not_block_and_loses_nothing(manager: Manager) -> None:
    notifier = Notifier.from_environment(manager.environment)

    def fill() -> None:
        for number in range(5000):
            notifier.status(f"request {number}")
        notifier.ready()

    filler = threading.Thread(target=fill, daemon=True)
    filler.start()
    filler.join(60)
    assert not filler.is_alive()

    # The queue was full long before the end, so READY waits for the next message.
    assert 0 < manager.drain() < 5000
    notifier.watchdog()
    assert sorted(manager.heard()) == ["READY=1", "STATUS=request 4999", "WATCHDOG=1"]


@pytest.mark.parametrize(
    ("variables", "seconds"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 15.0),
        # Another process is meant: this one was forked from it.
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid() + 1)}, None),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": ""}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "-5"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "²"}, None),
        ({"WATCHDOG_USEC": ""}, None),
        ({}, None),
    ],
)
def test_the_watchdog_is_fed_twice_in_its_time_where_it_is_ours(
    variables: dict[str, str], seconds: float | None
) -> None:
    assert Notifier.from_environment(variables).watchdog_seconds == seconds
