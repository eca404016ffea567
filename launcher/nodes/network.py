"""The network between machines that serve together: which interface, which address."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from typing import Final

import psutil

from launcher.config.server_config import ServerConfig
from launcher.errors import InvalidValueError

# The supervisors talk on the port below the one that SGLang's processes meet at. SGLang itself may
# take several above it (sglang 0.5.23, srt/server_args.py, `PortArgs.init_new`).
LINK_PORT_OFFSET: Final = -1


@dataclass(frozen=True, slots=True)
class NodeNetwork:
    """How this machine reaches those that it serves with.

    Attributes:
        interface: of the network, such as eth0.
        address: of this machine there.
    """

    interface: str
    address: str


@dataclass(frozen=True, slots=True)
class MeetingPlace:
    """Where the machines find each other: `dist_init_addr`, read.

    Attributes:
        host: of machine 0, as it was written, without brackets.
        port: SGLang's.
    """

    host: str
    port: int

    @property
    def link_port(self) -> int:
        """The port of the supervisors."""
        return self.port + LINK_PORT_OFFSET


def meeting_place(config: ServerConfig) -> MeetingPlace:
    """Read `dist_init_addr`.

    Raises:
        InvalidValueError: it is not set, or is no HOST:PORT.
    """
    text = config.dist_init_addr
    if text is None:
        raise InvalidValueError(
            f"nnodes is {config.nnodes}, and dist_init_addr is not set: the machines would not "
            "find each other.",
            action="Give --dist-init-addr HOST:PORT, an address of machine 0, on each machine.",
        )
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    number = int(port) if port.isdecimal() and len(port) <= 5 else 0
    if not colon or not host or not 2 <= number <= 65535:
        raise InvalidValueError(
            f"dist_init_addr is {text!r}, which is no HOST:PORT with a port from 2 to 65535.",
            action="Give --dist-init-addr as in 10.0.0.1:25000, or [fd00::1]:25000.",
        )
    return MeetingPlace(host, number)


def find_network(config: ServerConfig) -> NodeNetwork:
    """The interface and the address by which this machine serves with the others.

    Machine 0 has the address itself; the others have a route to it.

    Raises:
        InvalidValueError: there is no such interface, address or route, or it is not private.
    """
    place = meeting_place(config)
    found = _resolve(place)
    _check_private(config, place, found)
    if config.node_rank == 0:
        return _network_of_leader(config, place, found)
    address = _route_to(place, found)
    if config.network_interface is not None:
        address = _address_on(config.network_interface, found.version)
        return NodeNetwork(config.network_interface, address)
    return NodeNetwork(_interface_with(address) or "", address)


_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _resolve(place: MeetingPlace) -> _Address:
    try:
        found = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no host name"
        raise InvalidValueError(
            f"The host {place.host!r} of dist_init_addr has no address: {why}.",
            action="Name machine 0 by an address, or make the name known on each machine.",
        ) from error
    return ipaddress.ip_address(str(found[0][4][0]).partition("%")[0])


def _check_private(config: ServerConfig, place: MeetingPlace, found: _Address) -> None:
    """Refuse what is reached from elsewhere, or from this machine alone.

    SGLang unpickles what comes in from the other machines: whoever reaches its ports runs code.
    """
    if found.is_loopback or found.is_unspecified:
        raise InvalidValueError(
            f"dist_init_addr names {place.host} ({found}), which other machines do not reach.",
            action="Name an address of machine 0 in the network between the machines.",
        )
    if found.is_global and not config.insecure:
        raise InvalidValueError(
            f"dist_init_addr names {found}, a public address. SGLang unpickles what comes in from "
            "the other machines, so whoever reaches its ports runs code here.",
            action="Use a private network; or --insecure, where a firewall lets in nobody else.",
        )


def _network_of_leader(config: ServerConfig, place: MeetingPlace, found: _Address) -> NodeNetwork:
    interface = _interface_with(str(found))
    if interface is None:
        raise InvalidValueError(
            f"node_rank is 0, and {place.host} ({found}) is no address of this machine; it has "
            f"{_own_addresses()}.",
            action="Give an address of this machine, or the node_rank that this machine has.",
        )
    wanted = config.network_interface
    if wanted is not None and wanted != interface:
        _address_on(wanted, found.version)
        raise InvalidValueError(
            f"network_interface is {wanted}, and {found} of dist_init_addr is on {interface}.",
            action=f"Leave --network-interface out, or name an address on {wanted}.",
        )
    return NodeNetwork(interface, str(found))


def _route_to(place: MeetingPlace, found: _Address) -> str:
    """The address of this machine from which the other one is reached; sends nothing."""
    family = socket.AF_INET if found.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((str(found), place.port))
            return str(probe.getsockname()[0])
    except OSError as error:
        raise InvalidValueError(
            f"There is no route to {place.host} ({found}) of dist_init_addr: {error.strerror}.",
            action="Look at the address, and at `ip route get` with it.",
        ) from error


def _address_on(interface: str, version: int) -> str:
    """The first address of an interface.

    Raises:
        InvalidValueError: there is no such interface, it is down, or has no address.
    """
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    known = psutil.net_if_addrs()
    if interface not in known:
        raise InvalidValueError(
            f"network_interface is {interface!r}; this machine has {', '.join(sorted(known))}.",
            action="Name one of these, or leave --network-interface out.",
        )
    state = psutil.net_if_stats().get(interface)
    addresses = [one.address for one in known[interface] if one.family == family]
    if (state is not None and not state.isup) or not addresses:
        why = "is down" if state is not None and not state.isup else "has no address"
        raise InvalidValueError(
            f"The network interface {interface} {why}.",
            action="See `ip address`; name another one, or leave --network-interface out.",
        )
    return addresses[0].partition("%")[0]


def _interface_with(address: str) -> str | None:
    """The interface that has an address; None where none has."""
    wanted = ipaddress.ip_address(address)
    for name, addresses in psutil.net_if_addrs().items():
        for one in addresses:
            if one.family in {socket.AF_INET, socket.AF_INET6} and (
                ipaddress.ip_address(one.address.partition("%")[0]) == wanted
            ):
                return name
    return None


def _own_addresses() -> str:
    found = [
        one.address.partition("%")[0]
        for addresses in psutil.net_if_addrs().values()
        for one in addresses
        if one.family in {socket.AF_INET, socket.AF_INET6}
    ]
    return ", ".join(sorted(set(found))) or "none"
