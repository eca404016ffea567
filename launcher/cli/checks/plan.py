"""The command that says what fits: `plan`."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from launcher.cli.common import json_option, print_json, require_record
from launcher.cli.display import consoles
from launcher.cli.display.plan import show_explanation, show_feasibility, show_plan
from launcher.cli.display.plan_json import answer_as_json, feasibility_as_json
from launcher.cli.options.fields import field_options, resolve_options, resolve_untaken
from launcher.cli.options.spellings import ConfigCommand
from launcher.config.presets import CUSTOM, PRESETS
from launcher.config.ranks import ranks_of
from launcher.config.server_config import REPOSITORY_PATTERN
from launcher.config.sources import ResolvedConfig, asked_engine
from launcher.config.untaken import UntakenPreset, preset_serving
from launcher.errors import InsufficientMemoryError, ModelNotFoundError, NotRunningError
from launcher.memory.gpu.models import parse_machine
from launcher.memory.plan import Verdict
from launcher.memory.report import compare_memory
from launcher.memory.shapes.known_shapes import KNOWN_SHAPES, find_known_shape
from launcher.memory.speed import REQUESTS
from launcher.memory.table import feasibility
from launcher.preflight.answer import NAMED_GPUS, SpeedQuestion, answer_plan
from launcher.preflight.fit import find_shape
from launcher.state.store import RunStore
from launcher.system.hardware import Hardware, probe_hardware
from launcher.text import nearest


def _requests(
    _context: click.Context, _option: click.Parameter, value: str | None
) -> tuple[int, ...] | None:
    """Numbers of requests from a list such as `1,8,32`."""
    if value is None:
        return None
    numbers = tuple(int(part) if part.strip().isdecimal() else 0 for part in value.split(","))
    if min(numbers) < 1:
        raise click.BadParameter(f"{value!r} is no list of counts such as 1,8,32.")
    return numbers


@click.command(cls=ConfigCommand)
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
@click.option(
    "--speed", is_flag=True, help="Bound the tokens per second of decoding, by memory bandwidth."
)
@click.option(
    "--speed-requests",
    metavar="N,N,...",
    callback=_requests,
    help="With --speed: for so many requests at a time.  [default: 1,8,32]",
)
@click.option(
    "--speed-context",
    type=click.IntRange(min=1),
    metavar="TOKENS",
    help="With --speed: tokens in the KV cache of each.  [default: 4096]",
)
@field_options
@json_option
def plan(
    *,
    model: str | None,
    gpus: str | None,
    table: bool,
    explain: bool,
    speed: bool,
    speed_requests: tuple[int, ...] | None,
    speed_context: int | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Say whether a model fits, before anything is loaded.

    MODEL is a preset, a folder or a repository id; without it, what `up` would serve. Takes the
    same options as `up`. Exit code 25 where it does not fit.
    """
    speed = speed or speed_requests is not None or speed_context is not None
    of_one_model = model is not None or gpus is not None or speed
    if sum((table, explain, of_one_model)) > 1:
        raise click.UsageError("--table, --explain, and a plan of one model are three answers.")
    if table:
        _table(as_json=as_json)
        return
    if explain:
        _explain(options["name"] or "default", as_json=as_json)
        return
    hardware = _machine(gpus)
    resolved, up_ranks, untaken = _resolve(model, options, hardware)
    found = find_shape(resolved.config.model_path, revision=resolved.config.revision)
    question = SpeedQuestion(speed_requests or REQUESTS, speed_context) if speed else None
    answer = answer_plan(
        resolved, hardware, found, up_ranks=up_ranks, untaken=untaken, speed=question
    )
    if as_json:
        print_json(answer_as_json(answer))
    else:
        show_plan(consoles.out(), answer)
    if answer.plan.verdict is Verdict.DOES_NOT_FIT:
        sys.exit(InsufficientMemoryError.exit_code)


def _table(*, as_json: bool) -> None:
    cells = feasibility()
    if as_json:
        print_json(feasibility_as_json(cells))
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


def _machine(gpus: str | None) -> Hardware:
    """This machine, with the GPUs that are named in place of its own."""
    hardware = probe_hardware()
    if gpus is None:
        return hardware
    return replace(hardware, gpus=parse_machine(gpus), gpu_note="named", gpus_are_here=False)


def _resolve(
    model: str | None, options: dict[str, Any], hardware: Hardware
) -> tuple[ResolvedConfig, int | None, UntakenPreset | None]:
    """The configuration, the ranks that `up` would take instead, and a preset not taken."""
    given, reason = _with_model(model, {**options, "extra_args": ()})
    resolved = resolve_options(given, probe=lambda: hardware)
    resolved = replace(resolved, preset_reason=reason or resolved.preset_reason)
    untaken = resolve_untaken(given, resolved, probe=lambda: hardware)
    config, source = resolved.config, resolved.sources["tp_size"]
    asked = ranks_of(config)
    # Each stage of each copy has as many.
    ranks, over = divmod(len(hardware.gpus), asked.pipeline * asked.replicas)
    if (
        hardware.gpus_are_here
        or config.device == "cpu"
        or ranks == config.tp_size
        or over
        or not ranks
        or not source.startswith(("default", "preset"))
    ):
        return resolved, None, untaken
    # Whoever names so many GPUs means to use them.
    on_all = replace(
        resolved,
        config=config.model_copy(update={"tp_size": ranks}),
        sources={**resolved.sources, "tp_size": NAMED_GPUS},
    )
    if untaken is not None:
        untaken = replace(
            untaken,
            config=untaken.config.model_copy(update={"tp_size": ranks}),
            here=on_all.config,
        )
    return on_all, config.tp_size, untaken


def _with_model(model: str | None, options: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """The options with what MODEL says, and why it is that preset, where MODEL decides it.

    Raises:
        ModelNotFoundError: MODEL is a word that names nothing.
    """
    if model is None:
        return options, ""
    if options["model_path"]:
        raise click.UsageError("MODEL and --model-path both name a model; give one.")
    if model in PRESETS:
        if options["preset"] not in (None, "", model):
            raise click.UsageError(f"MODEL and --preset both name a preset; {model} is one.")
        return {**options, "preset": model}, ""
    known = find_known_shape(model)
    path = known[0] if known else model
    preset = preset_serving(path, asked_engine([options]))
    if preset is not None and not options["preset"]:
        return {**options, "preset": preset.name, "model_path": path}, f"its model is {path}"
    if not known and not re.fullmatch(REPOSITORY_PATTERN, model) and not _exists(model):
        names = [
            *(name for name in PRESETS if name != CUSTOM.name),
            *(name.partition("/")[2].lower() for name in KNOWN_SHAPES),
        ]
        raise ModelNotFoundError(
            f"{model!r} is no preset, no model that the launcher knows by its name and no folder "
            f"here{nearest(model.lower(), names)}.",
            action=f"Name a folder, a repository id of the form OWNER/NAME, or one of: "
            f"{', '.join(dict.fromkeys(names))}.",
        )
    return {**options, "model_path": path}, ""


def _exists(model: str) -> bool:
    try:
        return Path(model).expanduser().exists()
    except (OSError, RuntimeError):
        # Said better where the configuration settles its paths.
        return True
