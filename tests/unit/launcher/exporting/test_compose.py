"""Compose files: as docker-compose reads them where it is installed, and for what they mean."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from launcher.engines.select import default_engine
from tests.unit.launcher.exporting.scenes import PINNED, documents, exported

COMPOSE = shutil.which("docker-compose")
needs_compose = pytest.mark.skipif(
    COMPOSE is None, reason="docker-compose is not installed: apt-get install docker-compose"
)
ARGUMENTS = {
    "one": PINNED,
    "several": (*PINNED, "--replicas", "3"),
    "open": (*PINNED, "--host", "0.0.0.0", "--insecure"),  # noqa: S104
    "never again": (*PINNED, "--restart", "never"),
}


def services(*arguments: str) -> dict[str, Any]:
    (document,) = documents("compose", *PINNED, *arguments)
    return dict(document["services"])


def config(text: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Let docker-compose read a file, and print it whole."""
    assert COMPOSE is not None
    file = folder / "docker-compose.yml"
    file.write_text(text, encoding="utf-8")
    return subprocess.run(
        [COMPOSE, "-f", str(file), "config"],
        env={"PATH": os.environ["PATH"], "HOME": str(folder), **variables},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


@needs_compose
@pytest.mark.parametrize("case", ARGUMENTS)
def test_docker_compose_reads_it(case: str, tmp_path: Path) -> None:
    text = exported("compose", *ARGUMENTS[case])
    done = config(text, tmp_path, SPECSERVE_KEYS_FILE=str(tmp_path / "keys.yaml"))
    assert done.returncode == 0, done.stderr


@needs_compose
def test_docker_compose_finds_a_typing_error(tmp_path: Path) -> None:
    text = exported("compose", *PINNED).replace("shm_size:", "shm_sise:")
    done = config(text, tmp_path, SPECSERVE_KEYS_FILE=str(tmp_path / "keys.yaml"))
    assert done.returncode != 0


@needs_compose
def test_without_the_file_of_keys_nothing_starts(tmp_path: Path) -> None:
    done = config(exported("compose", *PINNED), tmp_path)
    assert done.returncode != 0
    assert "set SPECSERVE_KEYS_FILE" in done.stderr


def test_one_server_is_published_on_this_machine_alone() -> None:
    assert services()["server"]["ports"] == ["127.0.0.1:8000:8000"]


def test_others_reach_it_where_the_configuration_says_so() -> None:
    everywhere = "0.0.0.0"  # noqa: S104
    made = services("--host", everywhere, "--port", "9000")
    assert made["server"]["ports"] == [f"{everywhere}:9000:9000"]


def test_it_gets_the_gpus_that_its_ranks_need() -> None:
    (device,) = services("--tp-size", "4")["server"]["deploy"]["resources"]["reservations"][
        "devices"
    ]
    assert device["count"] == 4
    assert device["capabilities"] == ["gpu"]


def test_several_servers_share_no_gpu_and_stand_behind_the_gateway() -> None:
    made = services("--replicas", "3")
    servers = {name: one for name, one in made.items() if name.startswith("server-")}
    gpus = [
        gpu
        for one in servers.values()
        for gpu in one["deploy"]["resources"]["reservations"]["devices"][0]["device_ids"]
    ]
    assert gpus == ["0", "1", "2", "3", "4", "5"]
    assert not any("ports" in one for one in servers.values())
    gateway = made["gateway"]
    assert gateway["ports"] == ["127.0.0.1:8000:8000"]
    begin = gateway["command"].index("--worker-urls") + 1
    assert gateway["command"][begin:] == [f"http://{name}:8000" for name in servers]
    assert set(gateway["depends_on"]) == set(servers)


def test_the_server_waits_for_its_weights_and_has_time_to_start_and_to_stop() -> None:
    made = services("--start-timeout-seconds", "77", "--drain-timeout-seconds", "11.5")
    server = made["server"]
    assert server["depends_on"] == {"download": {"condition": "service_completed_successfully"}}
    assert server["healthcheck"]["start_period"] == "77s"
    assert default_engine().probes.generates in server["healthcheck"]["test"][-1]
    assert server["stop_grace_period"] == "42s"
    assert server["shm_size"] == "16gb"
    assert made["download"]["volumes"] == server["volumes"]


@pytest.mark.parametrize(
    ("restart", "written"), [("never", "no"), ("on-failure", "on-failure"), ("always", "always")]
)
def test_the_restart_policy_is_kept(restart: str, written: str) -> None:
    assert services("--restart", restart)["server"]["restart"] == written


def test_what_looks_like_a_variable_stays_text() -> None:
    made = services("--served-model-name", "a$HOME", "--environment", "NCCL_NET=${HOME}")
    assert "a$$HOME" in made["server"]["command"]
    assert made["server"]["environment"]["NCCL_NET"] == "$${HOME}"


def test_the_gateway_reads_the_same_key_from_the_same_file(tmp_path: Path) -> None:
    """The script in the file, run by a shell, with a stand-in for the gateway that prints."""
    gateway = services("--replicas", "2")["gateway"]
    keys = tmp_path / "keys.yaml"
    keys.write_text('api-key: "0123abcd"\nadmin-api-key: "other"\n', encoding="utf-8")
    script = gateway["entrypoint"][2].replace("$$", "$")
    inside = f"/run/secrets/{default_engine().keys_name}"
    assert inside in script
    done = subprocess.run(
        ["/bin/sh", "-c", script.replace(inside, str(keys)), "echo", "--port", "1"],
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    assert done.stdout == "--port 1 --api-key 0123abcd\n"
    keys.write_text("api-key:\n", encoding="utf-8")
    failed = subprocess.run(
        ["/bin/sh", "-c", script.replace(inside, str(keys)), "echo"],
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert failed.returncode != 0
    assert failed.stdout == ""
