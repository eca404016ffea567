"""Fields that are set by the engine's own arguments, as people have them in their scripts. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from launcher.config.arguments.options import TakenField, TakeOver
from launcher.config.fields.outside import shown
from launcher.config.server_config import ServerConfig
from launcher.errors import ConfigError, SecretInArgumentsError

Layers = list[tuple[str, Mapping[str, Any]]]


def take_over_arguments(
    layers: Layers, take_over: TakeOver
) -> tuple[Layers, tuple[TakenField, ...]]:
    """Turn arguments for the engine into the fields that they stand for, source by source.

    What an argument sets is as strong as the source that it stands in.

    Args:
        layers: each source with its fields, from weakest to strongest.
        take_over: reads the engine's arguments.

    Returns:
        The sources with these fields, and the fields.

    Raises:
        ConfigError: one source says two things of one field; all such fields are told at once, with
            the arguments that the engine is not given.
    """
    contradictions: list[str] = []
    made: Layers = []
    found: list[TakenField] = []
    refused: list[ConfigError] = []
    for source, layer in layers:
        arguments = layer.get("extra_args")
        if not isinstance(arguments, list | tuple) or not all(
            isinstance(one, str) for one in arguments
        ):
            made.append((source, layer))
            continue
        taken = take_over(arguments)
        found += taken.fields
        refused += taken.refused
        fields: dict[str, Any] = {}
        said: dict[str, str] = {}
        for one in taken.fields:
            contradictions += _contradictions(one, source, layer, fields, said)
            fields[one.field], said[one.field] = one.value, one.spelled
        # Fields of the source come first: where both agree its own form of the value stays.
        # Where all became fields, a weaker source's arguments stay.
        rest = {"extra_args": taken.left} if taken.left else {}
        others = {key: value for key, value in layer.items() if key != "extra_args"}
        made.append((source, {**fields, **others, **rest}))
    if contradictions:
        problem = f"Two values for one setting: {'; '.join(contradictions)}."
        refused.insert(0, ConfigError(problem, action="Keep one of each."))
        raise_all(refused)
    return made, tuple(found)


def raise_all(errors: Sequence[ConfigError]) -> None:
    """Raise what is wrong with some arguments: all of it, so that nobody needs a run for each.

    Args:
        errors: of one argument each. A secret among them gives the error its class, else the first.
    """
    if not errors:
        return
    first = next((one for one in errors if isinstance(one, SecretInArgumentsError)), errors[0])
    if len(errors) == 1:
        raise first
    raise type(first)(
        f"{len(errors)} arguments for SGLang are refused. "
        + " ".join(dict.fromkeys(one.problem for one in errors)),
        action=" ".join(dict.fromkeys(one.action for one in errors)),
    )


def _contradictions(
    one: TakenField,
    source: str,
    layer: Mapping[str, Any],
    fields: Mapping[str, Any],
    said: Mapping[str, str],
) -> list[str]:
    """What the source, and the arguments before, say otherwise."""
    mine = f"{one.spelled} {shown(str(one.value))}" if one.value is not True else one.spelled
    found = []
    if one.field in layer and not _alike(one.field, layer[one.field], one.value):
        other = layer[one.field]
        own = "unset" if other is None else shown(str(other))
        found.append(f"{mine} in extra_args, and {one.field} ({source}) is {own}")
    if one.field in fields and not _alike(one.field, fields[one.field], one.value):
        found.append(f"{said[one.field]} {shown(str(fields[one.field]))}, and then {mine}")
    return found


def _alike(field: str, value: Any, other: Any) -> bool:
    """Whether two ways to write a value mean the same: `0.70` and 0.7, `true` and True."""
    if isinstance(value, bool) or isinstance(other, bool):
        return str(value).lower() == str(other).lower()
    try:
        return (_is_number(field) and float(value) == float(other)) or str(value) == str(other)
    except (TypeError, ValueError):
        return str(value) == str(other)


def _is_number(field: str) -> bool:
    """Whether a field is one: `1e5` and `100000` are two names of a branch."""
    annotation = ServerConfig.model_fields[field].annotation
    return bool({int, float} & {annotation, *get_args(annotation)})
