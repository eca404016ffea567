"""A fleet on a machine: names, ports and GPUs, each of them one member's alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from launcher.config.gateway_config import GatewayConfig, parse_config
from launcher.errors import ConfigError, InvalidValueError, NoGpuError
from launcher.fleet.fleet_file import FleetConfig
from launcher.fleet.layout import Layout, lay_out
from launcher.system.hardware import Hardware
from tests.unit.launcher.fleet.cards import machine

FILE = Path("/state/discovery.json")
AIR = {"preset": "glm-4.5-air-fp8"}


def layout(hardware: Hardware, held: dict[str, str] | None = None, **fields: Any) -> Layout:
    return lay_out(FleetConfig.model_validate(fields), hardware, FILE, held or {})


def test_each_member_has_a_name_and_a_port_of_its_own() -> None:
    made = layout(machine(0), name="chat", replicas=3, server={"preset": "nano"})
    assert [config.name for config in made.replicas] == ["chat-0", "chat-1", "chat-2"]
    assert [config.port for config in made.replicas] == [8001, 8002, 8003]
    assert {config.discovery_file for config in made.replicas} == {FILE}
    gateway = made.gateway
    assert (gateway.name, gateway.port, gateway.metrics_port) == ("chat-gateway", 8000, 8100)
    assert gateway.served_model_name == "nano"


def test_a_gateways_configuration_reads_back_as_one() -> None:
    gateway = layout(machine(0), server={"preset": "nano"}).gateway
    assert parse_config(gateway.model_dump(mode="json")) == gateway
    server = layout(machine(0), server={"preset": "nano"}).replicas[0]
    assert parse_config(server.model_dump(mode="json")) == server
    assert not isinstance(server, GatewayConfig)


def test_two_cards_each() -> None:
    made = layout(machine(4), server=AIR)
    assert [config.gpu_ids for config in made.replicas] == ["GPU-00,GPU-01", "GPU-02,GPU-03"]


def test_cards_without_room_are_passed_over() -> None:
    made = layout(machine(6, busy=(0, 3)), server=AIR)
    assert [config.gpu_ids for config in made.replicas] == ["GPU-01,GPU-02", "GPU-04,GPU-05"]


def test_the_file_may_name_the_cards() -> None:
    made = layout(machine(8), server={**AIR, "gpu_ids": "7,GPU-02,0,1"})
    assert [config.gpu_ids for config in made.replicas] == ["GPU-07,GPU-02", "GPU-00,GPU-01"]


def test_too_few_cards_say_how_many_servers_there_could_be() -> None:
    with pytest.raises(NoGpuError) as caught:
        layout(machine(5), server=AIR, replicas=3)
    assert "need 6" in caught.value.problem
    assert "replicas: 2" in caught.value.action


@pytest.mark.parametrize("names", ["0,0,1,2", "0,GPU-00,1,2", "0,1,2,9"])
def test_a_card_is_named_once_and_is_here(names: str) -> None:
    with pytest.raises(NoGpuError, match="names 4 GPUs; 3 different"):
        layout(machine(4), server={**AIR, "gpu_ids": names})


def test_a_server_that_runs_keeps_its_cards() -> None:
    running = {"fleet-0": "GPU-02,GPU-03"}
    made = layout(machine(4, busy=(2, 3)), running, server=AIR)
    assert [config.gpu_ids for config in made.replicas] == ["GPU-02,GPU-03", "GPU-00,GPU-01"]


def test_it_has_room_for_no_more_than_there_are() -> None:
    running = {"fleet-0": "GPU-00,GPU-01"}
    with pytest.raises(NoGpuError) as caught:
        layout(machine(4, busy=(0, 1)), running, server=AIR, replicas=3)
    assert "replicas: 2" in caught.value.action


@pytest.mark.parametrize("field", ["name", "port", "discovery_file", "nnodes"])
def test_what_a_fleet_gives_its_servers_is_not_theirs_to_say(field: str) -> None:
    with pytest.raises(InvalidValueError, match=rf"server\.{field}"):
        layout(machine(0), server={"preset": "nano", field: "1"})


def test_fields_of_the_servers_are_checked_and_named_with_their_place() -> None:
    with pytest.raises(ConfigError, match="tp_size.*fleet file"):
        layout(machine(0), server={"preset": "nano", "tp_size": 0})


@pytest.mark.parametrize(
    ("gateway", "words"),
    [
        ({"port": 65535}, "no room"),
        ({"port": 8000, "metrics_port": 8001}, "port of a member"),
        ({"port": 8000, "metrics_port": 8000}, "port of a member"),
    ],
)
def test_ports_that_meet_are_refused(gateway: dict[str, int], words: str) -> None:
    with pytest.raises(InvalidValueError, match=words):
        layout(machine(0), server={"preset": "nano"}, gateway=gateway)
