"""Tasks of SkyPilot: by a schema of our own; `make check-skypilot` asks SkyPilot itself."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from launcher.engines.select import default_engine
from tests.unit.launcher.exporting.scenes import COMMIT, PINNED, documents, run
from tests.unit.launcher.exporting.strict import SkyTask


def task(*arguments: str) -> dict[str, Any]:
    (document,) = documents("skypilot", *PINNED, *arguments)
    return document


@pytest.mark.parametrize(
    "arguments", [(), ("--replicas", "3"), ("--insecure",), ("--tp-size", "8")]
)
def test_it_has_the_fields_of_a_task(arguments: tuple[str, ...]) -> None:
    SkyTask.model_validate(task(*arguments))


def test_it_asks_for_the_gpus_and_installs_the_verified_version() -> None:
    made = task("--tp-size", "4", "--port", "9001")
    assert made["resources"]["accelerators"] == "H100:4"
    assert made["resources"]["ports"] == 9001
    assert default_engine().requirement in made["setup"]
    assert f"--revision {COMMIT}" in made["setup"]


def test_several_replicas_are_a_service_that_is_ready_when_it_generates() -> None:
    assert "service" not in task()
    made = task("--replicas", "3", "--start-timeout-seconds", "600")["service"]
    assert made["replicas"] == 3
    assert made["readiness_probe"]["path"] == default_engine().probes.generates
    assert made["readiness_probe"]["initial_delay_seconds"] == 600
    assert made["readiness_probe"]["timeout_seconds"] > default_engine().probes.answer_seconds


def test_the_key_comes_from_the_caller() -> None:
    assert task()["secrets"] == {"SPECSERVE_API_KEY": None, "HF_TOKEN": ""}
    assert task("--insecure")["secrets"] == {"HF_TOKEN": ""}


def test_the_gpu_has_to_be_named() -> None:
    done = run("kubernetes", "--gpu", "H100")
    assert done.exit_code == 2
    assert "--gpu" in done.output


def started(script: str, home: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a task's script, with a stand-in for the engine's Python that prints its arguments."""
    python = home / "sglang" / "bin" / "python"
    python.parent.mkdir(parents=True, exist_ok=True)
    python.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    return subprocess.run(
        ["/bin/bash", "-c", script],
        env={"PATH": "/usr/bin:/bin", "HOME": str(home), **variables},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


def test_its_script_starts_the_engine_with_the_arguments_as_they_are(tmp_path: Path) -> None:
    script = task("--served-model-name", "it's $HOME `x`")["run"]
    done = started(script, tmp_path, SPECSERVE_API_KEY="0" * 32)
    assert done.returncode == 0, done.stderr
    words = done.stdout.splitlines()
    assert words[:3] == ["-m", "sglang.launch_server", "--config"]
    assert words[words.index("--served-model-name") + 1] == "it's $HOME `x`"
    file = Path(words[3])
    assert file.stat().st_mode & 0o077 == 0
    keys = yaml.safe_load(file.read_text(encoding="utf-8"))
    # In quotes, so that digits alone stay text.
    assert keys["api-key"] == "0" * 32
    assert len(keys["admin-api-key"]) == 64


@pytest.mark.parametrize("variables", [{}, {"SPECSERVE_API_KEY": ""}])
def test_without_a_key_its_script_starts_nothing(variables: dict[str, str], tmp_path: Path) -> None:
    done = started(task()["run"], tmp_path, **variables)
    assert done.returncode != 0
    assert done.stdout == ""
