"""What the commands that start servers share: options, the folder, facts for the report."""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.running.arms import parse_field
from launcher.config.config_file import read_config_file
from launcher.serving import configure
from launcher.system.hardware import GIB, probe_hardware, read_cpu_model


def shared_fields(options: Mapping[str, Any]) -> dict[str, Any]:
    """The launcher's fields that `--config`, `--set` and `--preset` give, the later the stronger.

    Raises:
        PlanError: there is no such field.
        ConfigError: the file cannot be read.
    """
    shared: dict[str, Any] = {}
    if options["config_file"] is not None:
        shared |= read_config_file(options["config_file"])
    for text in options["fields"]:
        field, colon, value = text.partition(":")
        shared |= parse_field(field, value if colon else None)
    if options["preset"]:
        shared["preset"] = options["preset"]
    return shared


def with_preset(shared: Mapping[str, Any]) -> dict[str, Any]:
    """With the preset that suits this machine, where none is named.

    Said once, so that a run that goes on elsewhere measures the same.
    """
    return {"preset": configure(shared).preset, **shared}


def default_folder() -> Path:
    """Where results go that nobody named a place for."""
    return Path("benchmark-results") / datetime.now(UTC).strftime("%Y%m%d-%H%M%S")


def facts() -> dict[str, Any]:
    """What measures, for the report."""
    hardware = probe_hardware()
    versions = {"python": platform.python_version()}
    for name in ("specserve", "sglang", "torch", "guidellm", "httptools", "numpy"):
        with contextlib.suppress(PackageNotFoundError):
            versions[name] = version(name)
    return {
        "machine": {
            "system": f"{platform.system()} {platform.release()}",
            "cpu_model": read_cpu_model(),
            "cpus": len(hardware.cpus),
            "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB, 1),
            "gpus": [gpu.name for gpu in hardware.gpus],
        },
        "versions": versions,
    }
