"""The command `doctor`: what this machine has against what is to be served."""

from __future__ import annotations

import os
import sys

import click
import psutil

from launcher.cli.common import json_option, print_json
from launcher.cli.display import consoles
from launcher.cli.display.findings import show_findings
from launcher.config.presets import choose_preset
from launcher.config.sources import resolve
from launcher.doctor.nvml import read_driver
from launcher.doctor.probes import CallOutcome, ask, examine, worst
from launcher.doctor.readers import Readers, find_holder, our_processes
from launcher.doctor.table import PROBES
from launcher.doctor.target import ServingTarget, serving_target
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
    target = _target(model, _hardware(seen["hardware"]))
    readers = Readers(driver=seen["driver"], holder=find_holder(seen["ours"].value_or({})))
    findings = examine(PROBES, target, readers)
    status = worst(findings)
    code = UnfitMachineError.exit_code if status == "red" else 0
    if as_json:
        print_json(
            {
                "status": status,
                "exit_code": code,
                "preset": target.config.preset,
                "model_path": target.config.model_path,
                "reason": target.reason,
                "rows": [finding.as_json() for finding in findings],
            }
        )
    else:
        show_findings(consoles.out(), findings, target)
    sys.exit(code)


def _target(model: str | None, hardware: Hardware) -> ServingTarget:
    """What is to be served. Where its folder hangs, what would be served without it.

    Raises:
        ConfigError: the environment's fields make no sense.
    """
    found: CallOutcome[ServingTarget]
    found = ask({"target": lambda: serving_target(model, hardware, os.environ)})["target"]
    if found.values:
        return found.values[0]
    if isinstance(found.error, LauncherError):
        raise found.error
    choice = choose_preset(hardware)
    config = resolve(preset=choice.preset.name).config
    problem = f"{model or 'the model'}: {found.failure}"
    return ServingTarget(config, hardware, choice.reason, None, problem)


def _hardware(found: CallOutcome[Hardware]) -> Hardware:
    """What the machine has; without GPUs where their driver hangs or fails in a new way."""
    if found.values:
        return found.values[0]
    return Hardware((), found.failure, usable_cpus(), psutil.virtual_memory().available)
