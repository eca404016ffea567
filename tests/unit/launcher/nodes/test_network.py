"""The way to the other machines: what is found, and what is refused before anything starts."""

from __future__ import annotations

import socket
from collections import namedtuple

import psutil
import pytest

from launcher.config.server_config import ServerConfig
from launcher.errors import InvalidValueError
from launcher.nodes.network import NodeNetwork, find_network, meeting_place
from tests.unit.launcher.examples import make_config

Address = namedtuple("Address", "family address")  # noqa: PYI024  # as psutil's
Stats = namedtuple("Stats", "isup")  # noqa: PYI024

HERE = {
    "lo": [Address(socket.AF_INET, "127.0.0.1")],
    "eth0": [Address(socket.AF_INET, "10.1.0.5"), Address(socket.AF_INET6, "fe80::5%eth0")],
    "ib0": [Address(socket.AF_INET, "10.2.0.5"), Address(socket.AF_INET6, "fd00::5")],
    "down0": [Address(socket.AF_INET, "10.3.0.5")],
    "bare0": [],
}


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "net_if_addrs", lambda: HERE)
    states = {name: Stats(name != "down0") for name in HERE}
    monkeypatch.setattr(psutil, "net_if_stats", lambda: states)


def config(address: str | None, **fields: object) -> ServerConfig:
    return make_config(nnodes=2, tp_size=2, dist_init_addr=address, **fields)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("10.0.0.1:25000", "10.0.0.1", 25000),
        ("[fd00::1]:25000", "fd00::1", 25000),
        ("gpu-1.lan:2", "gpu-1.lan", 2),
    ],
)
def test_an_address_is_read(text: str, host: str, port: int) -> None:
    place = meeting_place(config(text))
    assert (place.host, place.port, place.link_port) == (host, port, port - 1)


@pytest.mark.parametrize(
    "text",
    [
        "10.0.0.1",
        ":25000",
        "10.0.0.1:",
        "10.0.0.1:x",
        "10.0.0.1:1",
        "h:65536",
        "h:-5",
        "",
        "h:25000000000000",
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidValueError, match="no HOST:PORT"):
        meeting_place(config(text))


def test_without_an_address_machines_do_not_find_each_other() -> None:
    with pytest.raises(InvalidValueError, match="dist_init_addr is not set"):
        find_network(config(None))


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("10.1.0.5:25000", NodeNetwork("eth0", "10.1.0.5")),
        ("10.2.0.5:25000", NodeNetwork("ib0", "10.2.0.5")),
        ("[fd00::5]:25000", NodeNetwork("ib0", "fd00::5")),
    ],
)
def test_machine_0_has_the_address_itself(address: str, found: NodeNetwork) -> None:
    assert find_network(config(address)) == found


@pytest.mark.parametrize(
    ("address", "fields", "told"),
    [
        ("10.9.0.5:25000", {}, "is no address of this machine; it has 10.1.0.5"),
        ("127.0.0.1:25000", {}, "other machines do not reach"),
        ("0.0.0.0:25000", {}, "other machines do not reach"),
        ("8.8.8.8:25000", {}, "a public address"),
        ("8.8.8.8:25000", {"node_rank": 1}, "a public address"),
        ("no-such-host.invalid:25000", {}, "has no address"),
        ("10.1.0.5:25000", {"network_interface": "ib0"}, "is on eth0"),
        ("10.1.0.5:25000", {"network_interface": "eth7"}, "this machine has bare0, down0, eth0"),
        ("10.1.0.5:25000", {"network_interface": "down0", "node_rank": 1}, "down0 is down"),
        ("10.1.0.5:25000", {"network_interface": "bare0", "node_rank": 1}, "has no address"),
    ],
)
def test_what_leads_nowhere_is_refused(
    monkeypatch: pytest.MonkeyPatch, address: str, fields: dict[str, object], told: str
) -> None:
    monkeypatch.setattr("launcher.nodes.network._route_to", lambda *_: "10.1.0.5")
    with pytest.raises(InvalidValueError, match=told):
        find_network(config(address, **fields))


def test_a_public_address_is_taken_where_somebody_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("launcher.nodes.network._route_to", lambda *_: "10.1.0.5")
    found = find_network(config("8.8.8.8:25000", node_rank=1, insecure=True))
    assert found == NodeNetwork("eth0", "10.1.0.5")


@pytest.mark.parametrize(("named", "found"), [
    (None, NodeNetwork("eth0", "10.1.0.5")), ("ib0", NodeNetwork("ib0", "10.2.0.5")),
])  # fmt: skip
def test_another_machine_goes_by_the_route(
    monkeypatch: pytest.MonkeyPatch, named: str | None, found: NodeNetwork
) -> None:
    monkeypatch.setattr("launcher.nodes.network._route_to", lambda *_: "10.1.0.5")
    assert find_network(config("10.1.0.9:2500", node_rank=1, network_interface=named)) == found
