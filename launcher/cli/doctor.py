"""The command `doctor`: what this machine has against what is to be served."""

from __future__ import annotations

import os
import sys
from typing import Any

import click
import psutil

from launcher.cli.common import json_option, print_json
from launcher.cli.display import consoles
from launcher.cli.display.findings import show_findings
from launcher.config.presets import choose_preset
from launcher.config.sources import resolve
from launcher.doctor.gpu import find_holder, gpu_probes, our_processes
from launcher.doctor.host import host_probes
from launcher.doctor.hub import hub_probes
from launcher.doctor.limits import limit_probes
from launcher.doctor.needs import Needs, needs_of
from launcher.doctor.nvml import DriverState, read_driver
from launcher.doctor.packages import Packages, package_probes, torch_cuda
from launcher.doctor.probes import Answer, Probe, ask, examine, worst
from launcher.doctor.readers import host_readers
from launcher.errors import LauncherError, UnfitMachineError
from launcher.system.hardware import Hardware, probe_hardware, usable_cpus


@click.command()
@click.argument("model", required=False, metavar="[MODEL_OR_PRESET]")
@json_option
def doctor(*, model: str | None, as_json: bool) -> None:
    """Look at this machine, and say what of it stands in the way of serving.

    Held against what `up` would serve, or against MODEL_OR_PRESET: a preset, a model folder or a
    repository id. Starts and changes nothing. Exit code 39 where something is red.
    """
    seen = ask({"hardware": probe_hardware, "driver": read_driver, "ours": our_processes})
    needs = _needs(model, _hardware(seen["hardware"]))
    findings = examine(probes_for(needs, seen["driver"], seen["ours"]))
    status = worst(findings)
    code = UnfitMachineError.exit_code if status == "red" else 0
    if as_json:
        print_json(
            {
                "status": status,
                "exit_code": code,
                "preset": needs.config.preset,
                "model_path": needs.config.model_path,
                "reason": needs.reason,
                "rows": [finding.as_json() for finding in findings],
            }
        )
    else:
        show_findings(consoles.out(), findings, needs)
    sys.exit(code)


def probes_for(
    needs: Needs, driver: Answer[DriverState], ours: Answer[dict[int, str]]
) -> tuple[Probe, ...]:
    """Every probe, with the readers of this machine."""
    readers = host_readers()
    runs = ours.values[0] if ours.values else {}
    return (
        *gpu_probes(needs, driver, find_holder(runs), torch_cuda),
        *host_probes(needs, readers),
        *limit_probes(needs, readers),
        *package_probes(needs, Packages()),
        *hub_probes(needs, os.environ),
    )


def _needs(model: str | None, hardware: Hardware) -> Needs:
    """What is to be served. Where its folder hangs, what would be served without it.

    Raises:
        ConfigError: the environment's fields make no sense.
    """
    answer = ask({"needs": lambda: needs_of(model, hardware, os.environ)})["needs"]
    if isinstance(answer.error, LauncherError):
        raise answer.error
    if not answer.values:
        choice = choose_preset(hardware)
        config = resolve(preset=choice.preset.name).config
        problem = f"{model or 'the model'}: {answer.failure}"
        return Needs(config, hardware, choice.reason, None, problem)
    found = answer.values[0]
    assert isinstance(found, Needs)  # noqa: S101  # it is what was asked for
    return found


def _hardware(answer: Answer[Any]) -> Hardware:
    """What the machine has; without GPUs where their driver hangs or fails in a new way."""
    if answer.values:
        found = answer.values[0]
        assert isinstance(found, Hardware)  # noqa: S101  # it is what was asked for
        return found
    available = psutil.virtual_memory().available
    return Hardware((), answer.failure, usable_cpus(), available)
