"""Where the fields of a configuration come from, and which source wins.

From weakest to strongest: the fields' own defaults, the preset, the config file, environment
variables (`SPECSERVE_PORT` sets `port`), flags. Each field remembers its source, so that
`config show` and error messages can name it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from pydantic import ValidationError

from launcher.config.arguments.options import TakenField, TakeOver
from launcher.config.arguments.taken_over import Layers, take_over_arguments
from launcher.config.config_file import FIELD_NAMES, check_known, read_config_file
from launcher.config.fields.outside import flaw_of, shown
from launcher.config.fields.variables import parts_of
from launcher.config.presets import (
    CUSTOM,
    DEFAULT_ENGINE,
    PRESETS,
    Preset,
    choose_preset,
    get_preset,
    on_device,
    on_engine,
)
from launcher.config.server_config import REPOSITORY_PATTERN, ServerConfig
from launcher.errors import ConfigError, InvalidValueError
from launcher.names import REDACT_VARIABLE, RUN_ID_VARIABLE
from launcher.system.hardware import HardwareProbe, probe_hardware

MODEL_PATH_FIELDS: Final = ("model_path", "speculative_draft_model_path")
KEY_FILE_FIELDS: Final = ("api_key_file", "admin_key_file")
_FILE_FIELDS: Final = (
    *KEY_FILE_FIELDS,
    "discovery_file",
    "engine_python",
    "speculative_adaptive_config",
)
ENVIRONMENT_PREFIX: Final = "SPECSERVE_"
# Variables with our prefix that are not fields: they are read elsewhere.
OTHER_VARIABLES: Final = frozenset(
    {
        "SPECSERVE_BASE_URL",
        "SPECSERVE_API_KEY",
        "SPECSERVE_CPU_ENGINE",
        REDACT_VARIABLE,
        RUN_ID_VARIABLE,
    }
)
SEVERAL_WORDS: Final = ("extra_args", "environment")
SPECULATION_NUMBERS: Final = (
    "speculative_num_steps",
    "speculative_eagle_topk",
    "speculative_num_draft_tokens",
)


@dataclass(frozen=True, slots=True)
class ResolvedConfig:
    """A configuration, where each field came from, and why this preset.

    Attributes:
        config: what to serve.
        sources: of each field.
        preset_reason: in one line.
        taken: fields that the engine's own arguments set.
    """

    config: ServerConfig
    sources: Mapping[str, str]
    preset_reason: str
    taken: tuple[TakenField, ...] = ()


def resolve(
    *,
    preset: str | None = None,
    config_file: Path | None = None,
    environment: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
    flags_are: str = "flag",
    probe: HardwareProbe = probe_hardware,
    take_over: Callable[[str], TakeOver] | None = None,
) -> ResolvedConfig:
    """Merge all sources into one checked configuration.

    Args:
        preset: name given on the command line; unset, the file or the environment may name one,
            and where nobody does the machine decides.
        config_file: YAML (`.yaml`, `.yml`) or TOML (`.toml`) with fields of `ServerConfig`.
        environment: variables to look for `SPECSERVE_*` in.
        flags: fields given on the command line.
        flags_are: what messages call these, where they come from elsewhere.
        probe: how to look at the machine; called only when no preset is named.
        take_over: gives what reads arguments for an engine, by its name, of which some set fields;
            without, all stay what they are.

    Raises:
        UnknownPresetError: no preset has the name.
        UnknownKeyError: the file or the environment names a field that does not exist.
        ConfigFileError: the file cannot be read, or is malformed.
        InvalidValueError: a value has the wrong type or is out of range.
        ConfigError: a source contradicts itself.
    """
    layers: Layers = []
    if config_file is not None:
        layers.append((f"file {config_file}", read_config_file(config_file)))
    layers.append(("environment", read_environment(environment or {})))
    layers.append((flags_are, dict(flags or {}) | ({"preset": preset} if preset else {})))

    for source, layer in layers:
        _check_clean(source, layer)
    taken: tuple[TakenField, ...] = ()
    named = next((layer["preset"] for _, layer in reversed(layers) if layer.get("preset")), None)
    engine = asked_engine([layer for _, layer in layers])
    if take_over is not None:
        layers, taken = take_over_arguments(layers, take_over(engine))
    chosen, reason = _choose(named, engine, layers, probe)

    own = (f"preset {chosen.name}", {**chosen.fields, "preset": chosen.name})
    values: dict[str, Any] = {}
    sources: dict[str, str] = dict.fromkeys(FIELD_NAMES, "default")
    for source, layer in (own, *layers):
        given = {key: value for key, value in layer.items() if value or key != "preset"}
        values |= given
        sources |= dict.fromkeys(given, source)
    _settle_paths(values)
    _drop_preset_of_another(values, sources, chosen)
    # An unset field falls back to its own default, which is not None for all of them.
    values = {key: value for key, value in values.items() if value is not None}
    try:
        config = ServerConfig.model_validate(values)
    except ValidationError as error:
        raise _describe_invalid(error, sources) from None
    return ResolvedConfig(config, MappingProxyType(sources), reason, taken)


def _check_clean(source: str, layer: Mapping[str, Any]) -> None:
    """Before anything looks at a value, and so that a dry run refuses what a start would."""
    for field, value in layer.items():
        parts = parts_of(value) if field == "environment" else value
        if (flaw := flaw_of(parts)) is not None:
            raise InvalidValueError(
                f"{field} ({source}) {flaw}.",
                action="Write it without; `python -m launcher config show` lists each field with "
                "its meaning.",
            )


def asked_engine(layers: Sequence[Mapping[str, Any]]) -> str:
    """The engine that the strongest source names, itself or by its preset; else the default.

    Args:
        layers: the fields of each source, the weakest first.
    """
    for layer in reversed(layers):
        if layer.get("engine") is not None:
            return str(layer["engine"] or DEFAULT_ENGINE)
    named = next((str(one["preset"]) for one in reversed(layers) if one.get("preset")), "")
    return PRESETS[named].engine if named in PRESETS else DEFAULT_ENGINE


def _choose(named: object, engine: str, layers: Layers, probe: HardwareProbe) -> tuple[Preset, str]:
    """The preset where the fields begin, for the device and engine that are asked for, and why."""
    device = _asked_device(layers)
    if named is not None and str(named) != CUSTOM.name:
        preset, reason = get_preset(str(named)), "asked for"
    elif named is not None or any(layer.get("model_path") for _, layer in layers):
        preset, reason = CUSTOM, "asked for" if named else "a model was named"
        if device is None:
            hardware = probe()
            device = "cuda" if hardware.gpus else "cpu"
            if not hardware.gpus:
                reason += f", and it goes to the CPU: no NVIDIA GPU was found ({hardware.gpu_note})"
    else:
        choice = choose_preset(probe(), device, engine)
        preset, reason = choice.preset, choice.reason
    preset = on_engine(preset, engine)
    return (on_device(preset, device) if device else preset), reason


def _asked_device(layers: Layers) -> str | None:
    """The device that the strongest source names; an emptied one is the field's own default."""
    for _, layer in reversed(layers):
        if "device" in layer:
            return str(layer["device"] or ServerConfig.model_fields["device"].default)
    return None


def _drop_preset_of_another(
    values: dict[str, Any], sources: dict[str, str], preset: Preset
) -> None:
    """Take back what a preset says of its own model and its own algorithm, for others."""
    if values.get("model_path") and _is_weaker(sources["served_model_name"], sources["model_path"]):
        # A preset's name for its own model would be a lie about another.
        values["served_model_name"] = Path(str(values["model_path"])).name
        sources["served_model_name"] = f"{sources['model_path']} (model_path)"
    if values.get("speculative_algorithm") != preset.fields.get("speculative_algorithm"):
        # A preset's numbers are those of its own algorithm.
        for field in SPECULATION_NUMBERS:
            if sources[field].startswith("preset"):
                del values[field]
                sources[field] = "default"


def _settle_paths(values: dict[str, Any]) -> None:
    """Make paths absolute: the server runs in another folder. A repository id stays as it is."""
    for field in (*MODEL_PATH_FIELDS, *_FILE_FIELDS):
        given = values.get(field)
        if not given or not isinstance(given, str | Path) or "://" in str(given):
            continue
        try:
            path = Path(given).expanduser()
            exists = path.exists()
        except (OSError, RuntimeError) as error:
            why = error.strerror if isinstance(error, OSError) else str(error).rstrip(".")
            raise InvalidValueError(
                f"{field} is a path that cannot be looked at: {why}.",
                action="Check the path and its permissions.",
            ) from error
        if field in _FILE_FIELDS or exists or not re.fullmatch(REPOSITORY_PATTERN, str(given)):
            values[field] = str(path.absolute())


def _is_weaker(source: str, other: str) -> bool:
    """Whether one field is still the preset's and the other is not."""
    return source.startswith(("preset", "default")) and not other.startswith("preset")


def read_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    """Fields set by `SPECSERVE_*` variables; those of several words are split as a shell would.

    Raises:
        UnknownKeyError: a variable with the prefix names no field.
        InvalidValueError: a quotation in one of several words has no end.
    """
    fields: dict[str, Any] = {}
    for variable, value in environment.items():
        if not variable.startswith(ENVIRONMENT_PREFIX) or variable in OTHER_VARIABLES:
            continue
        name = variable if variable.isidentifier() else shown(variable)
        field = variable.removeprefix(ENVIRONMENT_PREFIX).lower()
        check_known(field, f"The environment variable {name}")
        fields[field] = _split(variable, value) if field in SEVERAL_WORDS else _unset(value)
    return fields


def _split(variable: str, value: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(value))
    except ValueError:
        raise InvalidValueError(
            f"The environment variable {variable} has a quotation or escape without an end.",
            action="It is split as a shell would; balance its quotes.",
        ) from None


def _unset(value: str) -> str | None:
    """An empty variable or flag unsets a field that a weaker source has set."""
    return value or None


def _describe_invalid(error: ValidationError, sources: Mapping[str, str]) -> ConfigError:
    problems = []
    for detail in error.errors(include_url=False, include_input=False):
        message = detail["msg"].removeprefix("Value error, ")
        if not detail["loc"]:
            problems.append(message)
            continue
        field = str(detail["loc"][0])
        problems.append(f"{field} ({sources.get(field, 'unset')}): {message}")
    return InvalidValueError(
        f"The configuration is not valid: {'; '.join(problems)}.",
        action=(
            "`python -m launcher config show` lists each field with its meaning; "
            f"presets are {', '.join(PRESETS)}."
        ),
    )
