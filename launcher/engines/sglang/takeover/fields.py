"""Fields that SGLang's own arguments stand for, in every spelling that its parser takes."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Final

from launcher.config.arguments.options import OwnOption, TakenField, TakenOver
from launcher.engines.common.flags import FlagTable, GivenOption
from launcher.engines.sglang.command import SWITCH_FLAGS, VALUE_FLAGS, refusals

_FLAGS: Final[Mapping[str, str]] = {**VALUE_FLAGS, **SWITCH_FLAGS}

# Options whose values name files and folders, as `--lora-paths name=folder` does, too.
_PATHS: Final = re.compile(r"--[\w-]*(?:path|paths|dir|file|config|chat-template|table)")
_MOST_NEAR: Final = 3
# Fields whose option takes a number with a suffix.
_COUNTS: Final = frozenset({"context_length", "max_total_tokens"})
# Two names for one type. Source: sglang 0.5.23, srt/arg_groups/fields/model.py.
_KV_CACHE_TYPES: Final[Mapping[str, str]] = {"bf16": "bfloat16"}
_COUNT: Final = re.compile(r"(\d+(?:\.\d+)?)(Ki|Mi|Gi|Ti|k|M|G|T)")


def field_of(option: str | None, table: FlagTable) -> str | None:
    """The field whose flag an option is; None where it has none.

    Args:
        option: its first spelling.
        table: options of the version that is served with.
    """
    if option is None:
        return None
    return next((field for field, flag in _FLAGS.items() if table.canonical(flag) == option), None)


def take_over(arguments: Sequence[str], table: FlagTable) -> TakenOver:
    """Turn arguments into fields; what has no field, or lacks its value, stays as it is.

    Args:
        arguments: SGLang's, as users have them in their scripts.
        table: options of the version that is served with.
    """
    fields: list[TakenField] = []
    left: list[str] = []
    for given in table.split(arguments):
        field = field_of(given.option, table)
        value = None if field is None else value_of(given, field)
        if field is None or value is None:
            left += with_absolute_paths(given)
        else:
            fields.append(TakenField(field, value, given.spelled))
    return TakenOver(tuple(fields), tuple(left), tuple(refusals(left, table)))


def with_absolute_paths(given: GivenOption) -> tuple[str, ...]:
    """The words of an option, its relative paths made absolute: the server runs elsewhere.

    What is not there stays: it may be a repository, or a value of another kind.
    """
    if given.option is None or _PATHS.fullmatch(given.option) is None:
        return given.words
    values = [_absolute(value) for value in given.values]
    return given.words if tuple(values) == given.values else (given.spelled, *values)


def _absolute(value: str) -> str:
    name, equals, path = value.rpartition("=")
    try:
        here = bool(path) and not Path(path).is_absolute() and Path(path).exists()
    except OSError:
        here = False
    return f"{name}{equals}{Path(path).absolute()}" if here else value


def near_options(name: str, table: FlagTable) -> tuple[str, ...]:
    """Options of SGLang's that are spelled like a name; see `Engine.near_options`."""
    return tuple(difflib.get_close_matches(name, sorted(table.names), n=_MOST_NEAR, cutoff=0.75))


def own_option(name: str, table: FlagTable) -> OwnOption | None:
    """What a name is among SGLang's options; see `Engine.own_option`."""
    option = table.canonical(f"--{name.lstrip('-').replace('_', '-')}")
    return None if option is None else OwnOption(option, field_of(option, table))


def value_of(given: GivenOption, field: str) -> str | bool | None:
    """The value of an option that has the right number of them."""
    if field in SWITCH_FLAGS:
        return True if not given.values else None
    if len(given.values) != 1:
        return None
    value = given.values[0]
    if field == "kv_cache_dtype":
        return _KV_CACHE_TYPES.get(value, value)
    return plain_count(value) if field in _COUNTS else value


def plain_count(text: str) -> str:
    """A count with a suffix in plain digits: `160k` is 160000, `128Ki` is 131072; else as it is.

    Source: sglang 0.5.23, srt/utils/common.py, `human_readable_int`; srt/arg_groups/fields.
    """
    found = _COUNT.fullmatch(text.strip())
    if found is None or ("." in found[1] and found[2].endswith("i")):
        return text
    power = "kMGT".index(found[2][0].replace("K", "k")) + 1
    return str(int(Decimal(found[1]) * (1024 if found[2].endswith("i") else 1000) ** power))
