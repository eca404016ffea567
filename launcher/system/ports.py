"""Who holds a TCP port on this machine."""

from __future__ import annotations

import contextlib
import errno
import socket

import psutil

from launcher.errors import InvalidValueError, PortInUseError


def check_port_is_free(host: str, port: int) -> None:
    """Bind the port for a moment, as the server will: on every address that the host name has.

    Raises:
        PortInUseError: somebody listens there; it names the process where the system tells.
        InvalidValueError: the name has no address, or none of this machine's.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError) as error:
        # A name too long, or with an empty part, does not get as far as a look-up.
        why = error.strerror if isinstance(error, OSError) else "it is no host name"
        raise InvalidValueError(
            f"The host {host!r} has no address: {why}.", action="Check --host."
        ) from error
    refusals: list[OSError] = []
    for family, kind, protocol, _, address in found:
        try:
            with socket.socket(family, kind, protocol) as probe:
                # As uvicorn binds: a port in TIME_WAIT is free.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise PortInUseError(
                    f"Port {port} on {host} is taken by {describe_listener(port)}.",
                    action="Stop that process, or choose another port with --port.",
                ) from error
            refusals.append(error)
    # A name may have an address of a family that this machine does not speak.
    if len(refusals) == len(found):
        raise InvalidValueError(
            f"Port {port} on {host} cannot be bound: {refusals[0].strerror}.",
            action="Check --host and --port.",
        ) from refusals[0]


def find_listener(port: int) -> psutil.Process | None:
    """The process that listens on a TCP port, or None where the system does not tell."""
    with contextlib.suppress(psutil.AccessDenied):
        for connection in psutil.net_connections(kind="tcp"):
            if (
                connection.status == psutil.CONN_LISTEN
                and connection.laddr
                and connection.laddr.port == port
                and connection.pid is not None
            ):
                with contextlib.suppress(psutil.NoSuchProcess):
                    return psutil.Process(connection.pid)
    return None


def describe_listener(port: int) -> str:
    """The process that listens on a port, as a clause with its pid and name."""
    process = find_listener(port)
    if process is None:
        return "a process of another user"
    try:
        return f"process {process.pid} ({process.name()})"
    except psutil.Error:
        return f"process {process.pid}"


def is_listening(host: str, port: int) -> bool:
    """Whether somebody accepts connections there now."""
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=1.0):
        return True
    return False
