"""Who holds a TCP port on this machine."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import socket
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, TypeAlias

import psutil

from launcher.errors import InvalidValueError, PortInUseError
from launcher.system.process import ProcessIdentity

_Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
_LISTEN: Final = "0A"  # include/net/tcp_states.h


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


def listening_sockets(host: str, port: int) -> frozenset[int]:
    """The sockets that could answer at an address of this machine, by inode. Linux only.

    Those of other users too. Source: proc(5), /proc/net/tcp.
    """
    with contextlib.suppress(OSError, UnicodeError):
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        wanted = {_plain(str(address[0])) for *_, address in found}
        anywhere = any(address.is_unspecified for address in wanted)
        return frozenset(
            inode
            for address, inode in _listeners(port)
            if anywhere or address.is_unspecified or address in wanted
        )
    return frozenset()


def sockets_of(members: Iterable[ProcessIdentity]) -> frozenset[int]:
    """The sockets that processes have open, by inode; of those that may not be read, none."""
    found = set()
    for member in members:
        folder = f"/proc/{member.pid}/fd"
        with contextlib.suppress(OSError):
            for descriptor in os.listdir(folder):  # noqa: PTH208  # names alone
                with contextlib.suppress(OSError):
                    target = os.readlink(f"{folder}/{descriptor}")  # noqa: PTH115  # as above
                    if target.startswith("socket:["):
                        found.add(int(target[len("socket:[") : -1]))
    return frozenset(found)


def _listeners(port: int) -> Iterator[tuple[_Address, int]]:
    """Address and inode of each socket that listens on a port."""
    ending = f":{port:04X}"
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/net/{table}").read_text(encoding="ascii").splitlines():
                fields = line.split(maxsplit=10)
                if len(fields) > 9 and fields[3] == _LISTEN and fields[1].endswith(ending):
                    words = bytes.fromhex(fields[1].partition(":")[0])
                    # In words of the processor's own order.
                    packed = b"".join(
                        int.from_bytes(words[at : at + 4], sys.byteorder).to_bytes(4, "big")
                        for at in range(0, len(words), 4)
                    )
                    yield _plain(str(ipaddress.ip_address(packed))), int(fields[9])


def _plain(text: str) -> _Address:
    """An address, one of the fourth version that was written as one of the sixth as what it is."""
    address = ipaddress.ip_address(text.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def is_listening(host: str, port: int) -> bool:
    """Whether somebody accepts connections there now."""
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=1.0):
        return True
    return False
