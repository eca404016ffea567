"""Ports on loopback, held and free."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import psutil
import pytest

from launcher.errors import InvalidValueError, PortInUseError
from launcher.serving import free_port
from launcher.system.ports import (
    check_port_is_free,
    describe_listener,
    find_listener,
    is_listening,
    listening_sockets,
    sockets_of,
)
from launcher.system.process import ProcessIdentity

HERE = "127.0.0.1"


@contextmanager
def listener() -> Iterator[int]:
    with socket.create_server((HERE, 0)) as server:
        port: int = server.getsockname()[1]
        yield port


def test_a_free_port_is_free_before_and_after_it_was_checked() -> None:
    port = free_port()

    check_port_is_free(HERE, port)
    check_port_is_free("localhost", port)

    assert not is_listening(HERE, port)


def test_a_port_that_was_closed_a_moment_ago_is_free() -> None:
    with socket.create_server((HERE, 0)) as server:
        port: int = server.getsockname()[1]
        with socket.create_connection((HERE, port)) as client:
            # Whoever closes first keeps the port in TIME_WAIT.
            server.accept()[0].close()
            assert client.recv(1) == b""

    check_port_is_free(HERE, port)


def test_a_taken_port_is_refused_with_the_process_that_has_it() -> None:
    with listener() as port, pytest.raises(PortInUseError) as caught:
        check_port_is_free(HERE, port)

    own_name = psutil.Process().name()
    assert caught.value.problem == (
        f"Port {port} on {HERE} is taken by process {os.getpid()} ({own_name})."
    )
    assert "--port" in caught.value.action


def test_a_port_taken_on_all_interfaces_is_taken_on_loopback() -> None:
    with socket.create_server(("0.0.0.0", 0)) as server, pytest.raises(PortInUseError):  # noqa: S104
        check_port_is_free(HERE, server.getsockname()[1])


@pytest.mark.parametrize("host", ["203.0.113.1", "2001:db8::1"])
def test_an_address_of_another_machine_is_refused(host: str) -> None:
    with pytest.raises(InvalidValueError, match=f"on {host} cannot be bound"):
        check_port_is_free(host, free_port())


@pytest.mark.parametrize("host", ["999.1.1.1.invalid", "a..b", "x" * 70])
def test_a_host_without_address_is_refused(host: str) -> None:
    with pytest.raises(InvalidValueError, match=re.escape(f"The host '{host}' has no address: ")):
        check_port_is_free(host, 8000)


def test_the_listener_is_found_by_its_port() -> None:
    with listener() as port:
        found = find_listener(port)
        assert found is not None
        assert found.pid == os.getpid()
        assert is_listening(HERE, port)

    assert find_listener(port) is None
    assert describe_listener(port) == "a process of another user"
    assert not is_listening(HERE, port)


def test_a_connection_is_not_a_listener() -> None:
    with listener() as port, socket.create_connection((HERE, port)) as client:
        client_port: int = client.getsockname()[1]

        assert find_listener(client_port) is None


def test_a_system_that_does_not_tell_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> NoReturn:
        raise psutil.AccessDenied

    # As on macOS, where only root may list connections.
    monkeypatch.setattr(psutil, "net_connections", refuse)

    with listener() as port:
        assert describe_listener(port) == "a process of another user"


def test_a_listener_that_ends_while_it_is_described_keeps_its_pid(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def gone(self: psutil.Process) -> NoReturn:
        raise psutil.NoSuchProcess(self.pid)

    monkeypatch.setattr(psutil.Process, "name", gone)

    with listener() as port:
        assert describe_listener(port) == f"process {os.getpid()}"


@pytest.mark.parametrize(
    ("bound", "asked", "is_found"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "0.0.0.0", True),  # noqa: S104  # what a server may be told
        ("0.0.0.0", "127.0.0.1", True),  # noqa: S104  # as above
        ("127.0.0.2", "127.0.0.1", False),
        ("127.0.0.1", "localhost", True),
    ],
)
def test_who_could_answer_at_an_address_is_found_by_its_sockets(
    bound: str, asked: str, *, is_found: bool
) -> None:
    with socket.create_server((bound, 0)) as listener:
        found = listening_sockets(asked, listener.getsockname()[1])
        assert bool(found) is is_found
        own = sockets_of([ProcessIdentity.of(os.getpid())])
        assert found <= own
