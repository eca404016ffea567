"""Logs of servers that somebody else started: their configuration, and advice in vLLM's words.

vLLM prints what differs from its defaults once, `non-default args: {'model': ...}`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic import ValidationError

from launcher.config.server_config import ServerConfig
from launcher.engines.vllm.command import SWITCH_FLAGS, VALUE_FLAGS
from launcher.text import decimal_number, whole_number

_ARGUMENTS: Final = re.compile(r"non-default args: ")
_LONGEST_ARGUMENTS_CHARACTERS: Final = 60_000
_VALUE: Final = r"(?:'(?:[^'\\]|\\.){0,2000}'|-?\d{1,18}(?:\.\d{1,18})?|True|False|None)"
_WORDS: Final = {"True": True, "False": False, "None": None}
# What vLLM calls a field -> the field.
_NAMES: Final[Mapping[str, str]] = {
    flag.removeprefix("--").replace("-", "_"): field
    for field, flag in {**VALUE_FLAGS, **SWITCH_FLAGS}.items()
    if field not in {"served_model_name", "host", "port"}
}


def read_config(lines: Sequence[str]) -> ServerConfig:
    """What a server was started with, as far as its output tells; vLLM's defaults elsewhere."""
    fields: dict[str, Any] = {}
    for line in reversed(lines):
        if (found := _ARGUMENTS.search(line)) is not None:
            fields = _parse(line[found.end() : found.end() + _LONGEST_ARGUMENTS_CHARACTERS])
            break
    known = {"engine": "vllm", "model_path": "MODEL", "served_model_name": "model", **fields}
    try:
        return ServerConfig.model_validate(known)
    except ValidationError as error:
        wrong = {str(detail["loc"][0]) for detail in error.errors() if detail["loc"]}
        kept = {name: value for name, value in known.items() if name not in wrong - {"model_path"}}
        try:
            return ServerConfig.model_validate(kept)
        except ValidationError:
            return ServerConfig(engine="vllm", model_path="MODEL", served_model_name="model")


def _parse(text: str) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, field in _NAMES.items():
        found = re.search(rf"'{name}': (?P<value>{_VALUE})(?=[,}}])", text)
        if found is not None and (value := _read_value(found["value"])) is not None:
            values[field] = value
    return values


def _read_value(text: str) -> Any:
    """A value as Python prints it; see `_VALUE`."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] == "'":
        return re.sub(r"\\(.)", r"\1", text[1:-1])
    return whole_number(text) if text.removeprefix("-").isdecimal() else decimal_number(text)


def in_own_words(text: str) -> str:
    """Advice for somebody who starts vLLM without this launcher."""
    text = re.sub(r"`-- (--[^`]*)`", r"`\1`", text)
    text = text.replace("--no-speculation", "no --speculative-config")
    for field, flag in VALUE_FLAGS.items():
        text = re.sub(rf"--{field.replace('_', '-')}(?![\w-])", flag, text)
    text = re.sub(r"`?python -m launcher pull (\S+?)`", r"`hf download \1`", text)
    return re.sub(
        r"Stop it with `python -m launcher down`[^.]*\.",
        "Look who stopped it: `docker stop`, the service manager, or a person.",
        text,
    )
