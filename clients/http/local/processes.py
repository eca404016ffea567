"""What the kernel says of a server: whether it lives, and which sockets listen for it. Linux only.

The same as `launcher.system.process` and `launcher.system.ports`, which are not imported: a test
holds them together.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import struct
import sys
from pathlib import Path
from typing import TypeAlias

from pydantic import BaseModel, ConfigDict

_Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
_PROC = "/proc"
_LISTEN = "0A"  # include/net/tcp_states.h
# include/uapi/linux/netlink.h and sock_diag.h
_DIAG, _BY_FAMILY, _REQUEST_DUMP, _DONE = 4, 20, 0x301, 3
_ENDED = frozenset({"Z", "X"})
# Places in the part of /proc/PID/stat behind the command: the state, and the start in clock ticks.
_STATE, _START = 0, 19


class Process(BaseModel):
    """A process that cannot be mistaken for a later one with the same pid.

    Attributes:
        pid: of the process.
        start_ticks: clock ticks from the boot to its start.
        boot_id: of the boot.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    pid: int
    start_ticks: int
    boot_id: str

    def is_alive(self) -> bool:
        """Whether this very process runs and can be seen from here."""
        try:
            boot = Path(f"{_PROC}/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
            stat = Path(f"{_PROC}/{self.pid}/stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return False
        # The command in parentheses may itself hold spaces and parentheses.
        fields = stat.rpartition(")")[2].split()
        if boot != self.boot_id or len(fields) <= _START:
            return False
        return fields[_STATE] not in _ENDED and int(fields[_START]) == self.start_ticks


def listening_sockets(host: str, port: int) -> frozenset[int]:
    """The sockets that could answer at an address of this machine, by inode; all users'."""
    with contextlib.suppress(OSError, UnicodeError):
        wanted = _addresses(host, port)
        return frozenset(
            inode
            for address, inode in _listeners(port)
            if address.is_unspecified or address in wanted
        )
    return frozenset()


def socket_paths(leader: int, sockets: frozenset[int]) -> dict[int, str]:
    """Where a server's processes hold these sockets: by inode, the path below /proc.

    Args:
        leader: pid of the server's first process, which made its session and lives: the kernel
            gives the number of a session to nobody else meanwhile.
        sockets: inodes to look for.
    """
    found = _held_by(leader, sockets)
    if len(found) < len(sockets):
        for pid in _session(leader):
            found = {**_held_by(pid, sockets), **found}
    return found


def is_held_at(path: str, inode: int) -> bool:
    """Whether a socket still stands at a path that `socket_paths` gave."""
    try:
        return os.readlink(path) == f"socket:[{inode}]"  # noqa: PTH115 - as text, and quickly
    except OSError:
        return False


def _held_by(pid: int, sockets: frozenset[int]) -> dict[int, str]:
    wanted = {f"socket:[{inode}]": inode for inode in sockets}
    found = {}
    folder = f"{_PROC}/{pid}/fd"
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):  # noqa: PTH208 - names alone
            with contextlib.suppress(OSError):
                path = f"{folder}/{name}"
                inode = wanted.get(os.readlink(path))  # noqa: PTH115 - as above
                if inode is not None:
                    found[inode] = path
    return found


def _session(leader: int) -> list[int]:
    pids = []
    for name in os.listdir(_PROC):  # noqa: PTH208 - names alone
        with contextlib.suppress(OSError):
            if name.isdecimal() and int(name) != leader and os.getsid(int(name)) == leader:
                pids.append(int(name))
    return pids


def _addresses(host: str, port: int) -> set[_Address]:
    with contextlib.suppress(ValueError):
        return {_plain(host)}
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return {_plain(str(address[0])) for *_, address in found}


def _listeners(port: int) -> list[tuple[_Address, int]]:
    """Address and inode of each socket that listens on a port."""
    try:
        return [*_ask_kernel(socket.AF_INET, port), *_ask_kernel(socket.AF_INET6, port)]
    except (AttributeError, OSError, struct.error):
        # Not Linux, or one that does not offer it.
        return [*_read_table("tcp", port), *_read_table("tcp6", port)]


def _ask_kernel(family: int, port: int) -> list[tuple[_Address, int]]:
    """The same, by a question to the kernel.

    In 30 microseconds: /proc/net/tcp takes as many milliseconds where there are many connections.
    Source: sock_diag(7), include/uapi/linux/inet_diag.h.
    """
    found: list[tuple[_Address, int]] = []
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _DIAG) as kernel:
        asked = struct.pack("=BBBxL48x", family, socket.IPPROTO_TCP, 0, 1 << int(_LISTEN, 16))
        head = struct.pack("=LHHLL", 16 + len(asked), _BY_FAMILY, _REQUEST_DUMP, 1, 0)
        kernel.sendto(head + asked, (0, 0))
        while True:
            data = kernel.recv(1 << 16)
            while data:
                length, kind, *_ = struct.unpack_from("=LHHLL", data)
                if kind == _DONE:
                    return found
                if kind != _BY_FAMILY:
                    raise OSError("sock_diag: refused")
                if struct.unpack_from("!H", data, 20) == (port,):
                    packed = data[24 : 24 + (4 if family == socket.AF_INET else 16)]
                    (inode,) = struct.unpack_from("=L", data, 84)
                    found.append((_plain(str(ipaddress.ip_address(packed))), inode))
                data = data[(length + 3) & ~3 :]


def _read_table(table: str, port: int) -> list[tuple[_Address, int]]:
    """The same, from proc(5)'s /proc/net/tcp."""
    found = []
    with contextlib.suppress(OSError):
        for line in Path(f"{_PROC}/net/{table}").read_text(encoding="ascii").splitlines():
            fields = line.split(maxsplit=10)
            if len(fields) > 9 and fields[3] == _LISTEN and fields[1].endswith(f":{port:04X}"):
                words = bytes.fromhex(fields[1].partition(":")[0])
                # In words of the processor's own order.
                packed = b"".join(
                    int.from_bytes(words[at : at + 4], sys.byteorder).to_bytes(4, "big")
                    for at in range(0, len(words), 4)
                )
                found.append((_plain(str(ipaddress.ip_address(packed))), int(fields[9])))
    return found


def _plain(text: str) -> _Address:
    """An address; one of the fourth version that was written as one of the sixth as what it is."""
    address = ipaddress.ip_address(text.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
