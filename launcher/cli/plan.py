"""The command that says what fits: `plan`."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import click

from launcher.cli.common import json_option, print_json, require_record
from launcher.cli.display import consoles
from launcher.cli.display.plan import (
    change_as_json,
    plan_as_json,
    show_explanation,
    show_feasibility,
    show_plan,
)
from launcher.cli.options import field_options, resolve_options
from launcher.config.presets import PRESETS
from launcher.config.server_config import ServerConfig
from launcher.errors import InsufficientMemoryError, NotRunningError
from launcher.memory.advice import nearest_changes
from launcher.memory.gpus import parse_machine
from launcher.memory.known_shapes import find_known_shape
from launcher.memory.plan import Verdict
from launcher.memory.report import compare_memory
from launcher.memory.table import feasibility
from launcher.preflight.facts import ServingFacts
from launcher.preflight.fit import find_shape
from launcher.state.store import RunStore
from launcher.system.hardware import Gpu, Hardware, probe_hardware


@click.command()
@click.argument("model", required=False)
@click.option(
    "--gpus", metavar="COUNTxNAME", help="Plan for a machine that is not here, such as 2xH100-80GB."
)
@click.option("--table", is_flag=True, help="All GLM-4.5 and 4.6 models on 2 to 16 H100 and H200.")
@click.option(
    "--explain",
    is_flag=True,
    help="The last run's plan beside what its server reported, and where they part.",
)
@field_options
@json_option
def plan(
    *,
    model: str | None,
    gpus: str | None,
    table: bool,
    explain: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Say whether a model fits, before anything is loaded.

    MODEL is a preset, a folder or a repository id; without it, what `up` would serve. Takes the
    same options as `up`. Exit code 25 where it does not fit.
    """
    if table:
        _table(as_json=as_json)
        return
    if explain:
        _explain(options["name"] or "default", as_json=as_json)
        return
    hardware = probe_hardware()
    machine = parse_machine(gpus) if gpus else None
    if machine is not None:
        hardware = replace(hardware, gpus=machine, gpu_note="planned")
    config = _resolve(model, options, hardware, machine)
    found = find_shape(config.model_path, revision=config.revision)
    planned = ServingFacts(config, hardware).plan_with(found)
    changes = nearest_changes(planned)
    if as_json:
        print_json(
            plan_as_json(planned) | {"changes": [change_as_json(change) for change in changes]}
        )
    else:
        show_plan(consoles.out(), planned, found, changes)
    if planned.verdict is Verdict.DOES_NOT_FIT:
        sys.exit(InsufficientMemoryError.exit_code)


def _table(*, as_json: bool) -> None:
    cells = feasibility()
    if as_json:
        print_json(
            {"cells": [{"machine": cell.machine, **plan_as_json(cell.plan)} for cell in cells]}
        )
    else:
        show_feasibility(consoles.out(), cells)


def _explain(name: str, *, as_json: bool) -> None:
    memory = require_record(RunStore(name)).memory
    if memory.planned is None or memory.reported is None:
        known = "it was not planned" if memory.planned is None else "the server reported nothing"
        raise NotRunningError(
            f"There is no plan to explain for the last run of {name!r}: {known}.",
            action="A plan is explained once its server was ready: `python -m launcher up`.",
        )
    if as_json:
        print_json(memory.model_dump(mode="json"))
    else:
        show_explanation(consoles.out(), compare_memory(memory.planned, memory.reported))


def _resolve(
    model: str | None, options: dict[str, Any], hardware: Hardware, machine: tuple[Gpu, ...] | None
) -> ServerConfig:
    """The configuration, as `up` would have it; MODEL names a preset where one serves it."""
    given = dict(options)
    if model is not None:
        preset = _preset_of(model)
        if preset is not None and not given["preset"] and not given["model_path"]:
            given["preset"] = preset
        else:
            known = find_known_shape(model)
            given["model_path"] = known[0] if known else model
    resolved = resolve_options(given | {"extra_args": ()}, probe=lambda: hardware)
    if machine is None or not resolved.sources["tp_size"].startswith(("default", "preset")):
        return resolved.config
    # Whoever names so many GPUs means to use them.
    return resolved.config.model_copy(update={"tp_size": len(machine)})


def _preset_of(model: str) -> str | None:
    if model in PRESETS:
        return model
    known = find_known_shape(model)
    path = known[0] if known else model
    return next(
        (name for name, preset in PRESETS.items() if preset.fields.get("model_path") == path), None
    )
