"""Which of SGLang's modules of models a server needs: those that know its architecture.

SGLang imports the modules of all models, some 200, to find the one (srt/models/registry.py), and
leaves out those that SGLANG_DISABLED_MODEL_ARCHS names.
"""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

LEFT_OUT_VARIABLE: Final = "SGLANG_DISABLED_MODEL_ARCHS"
_PACKAGE: Final = "sglang.srt.models"
_MODEL_FLAGS: Final = ("--model-path", "--speculative-draft-model-path")
# Stands in for an architecture that has no module of its own.
_FALLBACK: Final = "transformers"


def leave_out_others(arguments: Sequence[str]) -> None:
    """Have SGLang import only what the models in a server's arguments need.

    Nothing is left out where a model's folder says no architecture, or one that no module names:
    SGLang then says itself which ones it knows. Nor where the user has named modules.
    """
    if LEFT_OUT_VARIABLE in os.environ:
        return
    folders = [Path(value) for value in _values(arguments, _MODEL_FLAGS)]
    architectures = {name for folder in folders for name in _architectures(folder)}
    sources = _sources()
    if not folders or not all(map(_architectures, folders)):
        return
    needed = needed_modules(architectures, sources)
    if needed:
        os.environ[LEFT_OUT_VARIABLE] = ",".join(sorted(set(sources) - needed))


def needed_modules(architectures: Iterable[str], sources: Mapping[str, str]) -> set[str]:
    """The modules that name an architecture, or a class whose name begins with it, as a draft's.

    Args:
        architectures: of the models that are served.
        sources: the text of each module, by its name.

    Returns:
        Nothing where one of them is named nowhere.
    """
    needed = {_FALLBACK}
    for architecture in architectures:
        named = {module for module, text in sources.items() if architecture in text}
        if not named:
            return set()
        needed |= named
    return needed


def _values(arguments: Sequence[str], flags: Sequence[str]) -> list[str]:
    found = []
    for position, argument in enumerate(arguments):
        flag, equals, value = argument.partition("=")
        if flag in flags:
            found += [value] if equals else list(arguments[position + 1 : position + 2])
    return found


def _architectures(folder: Path) -> list[str]:
    try:
        content = json.loads((folder / "config.json").read_bytes())
    except (OSError, ValueError):
        return []
    names = content.get("architectures") if isinstance(content, dict) else None
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []


def _sources() -> dict[str, str]:
    spec = importlib.util.find_spec(_PACKAGE)
    places = [] if spec is None else spec.submodule_search_locations or []
    files = [file for place in places for file in Path(place).glob("*.py")]
    return {file.stem: file.read_text(encoding="utf-8", errors="replace") for file in files}
