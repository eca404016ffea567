"""An option for every field of a configuration, for the commands that take a whole one.

Apart from `launcher.cli.main`, which imports this only for them: so many options cost more time
than `status` may take.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal, TypeVar, get_args, get_origin

import click
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from launcher.config.arguments.options import TakeOver
from launcher.config.fields.secret_names import is_secret_name
from launcher.config.presets import PRESETS
from launcher.config.server_config import ServerConfig
from launcher.config.sources import ResolvedConfig, asked_engine, resolve
from launcher.config.untaken import UntakenPreset, preset_serving
from launcher.engines.engine import Engine
from launcher.engines.select import engine_named, version_of
from launcher.errors import InvalidValueError, UnknownKeyError

# Fields that have an option of another form, or none.
_SPECIAL_FIELDS: Final = frozenset({"preset", "extra_args"})
# Their options may be given several times.
_SEVERAL: Final = frozenset({"environment"})

_F = TypeVar("_F", bound=Callable[..., Any])


def config_options(command: _F) -> _F:
    """Add an option for every field of `ServerConfig`, and the arguments that go to the engine."""
    return click.argument(
        "extra_args", nargs=-1, type=click.UNPROCESSED, metavar="[-- ENGINE_ARGS...]"
    )(field_options(command))


def field_options(command: _F) -> _F:
    """Add an option for every field of `ServerConfig`, with its description as help."""
    for field, info in reversed(ServerConfig.model_fields.items()):
        if field in _SPECIAL_FIELDS:
            continue
        flag = f"--{field.replace('_', '-')}"
        if info.annotation in (bool, bool | None):
            option = click.option(
                f"{flag}/--no-{flag[2:]}", field, default=None, help=info.description
            )
        else:
            # Values stay text here: pydantic checks them, whatever source they come from.
            several = field in _SEVERAL
            metavar = "NAME=VALUE" if several else _metavar(info)
            option = click.option(flag, field, metavar=metavar, help=_help(info), multiple=several)
        command = option(command)
    command = click.option("--no-speculation", is_flag=True, help="Decode without a draft model.")(
        command
    )
    command = click.option(
        "--config",
        "config_file",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="YAML or TOML file with fields of the configuration.",
    )(command)
    return click.option(
        "--preset",
        metavar=f"[{'|'.join(PRESETS)}]",
        help="Starting values; without it, what suits this machine.",
    )(command)


def _help(info: FieldInfo) -> str:
    description = info.description or ""
    if info.default in (None, (), PydanticUndefined):
        return description
    return f"{description}  [default: {info.default}]"


def _metavar(info: FieldInfo) -> str:
    """What kind of value a field takes: its choices, or the name of its type."""
    annotation: Any = info.annotation
    kinds = [kind for kind in get_args(annotation) if kind is not type(None)] or [annotation]
    if get_origin(annotation) is Literal:
        return f"[{'|'.join(get_args(annotation))}]"
    if get_origin(kinds[0]) is Literal:
        return f"[{'|'.join(get_args(kinds[0]))}]"
    return {int: "INTEGER", float: "NUMBER", Path: "FILE"}.get(kinds[0], "TEXT")


def resolve_options(options: dict[str, Any], **dependencies: Any) -> ResolvedConfig:
    """What the options of a command line, over weaker sources, say to serve."""
    flags = {
        # An empty value unsets what a weaker source has set.
        field: None if value in ("", ("",)) else value
        for field, value in options.items()
        if field in ServerConfig.model_fields and field != "preset" and value not in (None, ())
    }
    if options["no_speculation"]:
        flags["speculative_algorithm"] = None

    def take_over(engine: str) -> TakeOver:
        named = engine_named(engine)
        return lambda arguments: named.take_over(arguments, version_of(named))

    try:
        return resolve(
            preset=options["preset"],
            config_file=options["config_file"],
            environment=os.environ,
            flags=flags,
            take_over=take_over,
            **dependencies,
        )
    except UnknownKeyError as error:
        engine = asked_engine([{"preset": options["preset"]}, flags])
        raise _with_place(error, engine_named(engine)) from None


def _with_place(error: UnknownKeyError, engine: Engine) -> UnknownKeyError:
    """The error with the place of a key that the engine has an option for."""
    own = engine.own_option(error.key, version_of(engine))
    if own is None or is_secret_name(error.key):
        return error
    where = (
        f"The field is {own.field}."
        if own.field is not None
        else f"{own.option} is an option of {engine.name}'s: write it into the list extra_args."
    )
    return UnknownKeyError(error.problem, action=where, key=error.key)


def resolve_untaken(
    options: dict[str, Any], resolved: ResolvedConfig, **dependencies: Any
) -> UntakenPreset | None:
    """The preset whose model is served although another preset was taken, by the same options."""
    config = resolved.config
    preset = preset_serving(config.model_path, config.engine)
    if preset is None or preset.name == config.preset:
        return None
    try:
        of_preset = resolve_options(
            {**options, "preset": preset.name, "model_path": None}, **dependencies
        )
    except InvalidValueError:
        # The same options do not go together with it: nobody is to take it so.
        return None
    return UntakenPreset(preset.name, of_preset.config, config)
