"""What SGLang needs of its surroundings: packages that it does not bring, variables, a file.

Without a package the server fails minutes into its start, at times without naming the option.
Sources: observability/trace.py, model_loader/, constrained/, disaggregation/, the extras of its
wheel.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from launcher.config.ranks import engine_options
from launcher.config.server_config import ServerConfig
from launcher.engines.sglang.version import installed_sglang_version
from launcher.system.foreign import parse_json, read_foreign

_LARGEST_ADAPTIVE_BYTES: Final = 64 * 1024
# More is a slip: each step is a pass through the draft model.
_MOST_STEPS: Final = 64
Finder = Callable[[str], bool]
# Option, its value where that matters -> module, what installs it.
_NEEDS: Final = (
    ("--enable-trace", None, "opentelemetry", "sglang[tracing]"),
    ("--tokenizer-backend", "fastokens", "fastokens", "sglang[fastokens]"),
    ("--load-format", "runai_streamer", "runai_model_streamer", "sglang[runai]"),
    ("--load-format", "instanttensor", "instanttensor", "sglang[instanttensor]"),
    ("--load-format", "fastsafetensors", "fastsafetensors", "fastsafetensors"),
    ("--load-format", "gguf", "gguf", "gguf"),
    ("--quantization", "gguf", "gguf", "gguf"),
    ("--load-format", "bitsandbytes", "bitsandbytes", "bitsandbytes"),
    ("--quantization", "bitsandbytes", "bitsandbytes", "bitsandbytes"),
    ("--grammar-backend", "outlines", "outlines", "outlines"),
    ("--grammar-backend", "llguidance", "llguidance", "llguidance"),
    ("--disaggregation-transfer-backend", "mooncake", "mooncake", "mooncake-transfer-engine"),
    ("--disaggregation-transfer-backend", "nixl", "nixl", "nixl"),
    ("--moe-a2a-backend", "deepep", "deep_ep", "DeepEP from its repository"),
    ("--enable-lmcache", None, "lmcache", "lmcache"),
)


def missing_package(
    config: ServerConfig, *, is_installed: Finder | None = None
) -> tuple[str, str] | None:
    """What an option of the engine needs and this environment lacks, as a pair, or None.

    Args:
        config: what to serve.
        is_installed: tells whether a module of that name can be imported; unset: looked up here.

    Returns:
        A sentence, and what to install.
    """
    find = is_installed or _is_installed
    given = dict(engine_options(config))
    for option, value, module, package in _NEEDS:
        if option not in given or (value is not None and given[option] != value):
            continue
        if not find(module):
            spelled = option if value is None else f"{option} {value}"
            return f"{spelled} needs the package {module}, which is not installed.", package
    return None


def option_of(module: str) -> tuple[str, str] | None:
    """The option, with its value, that needs a module, and what installs it."""
    for option, value, needed, package in _NEEDS:
        if needed == module:
            return (option if value is None else f"{option} {value}"), package
    return None


_OWN: Final = re.compile(rb"\bSGL(?:ANG)?_\w+")
# How SGLang reads a variable of each kind. Source: sglang 0.5.23, srt/environ.py.
_WORDS_OF_A_BOOLEAN: Final = frozenset({"true", "1", "yes", "y", "false", "0", "no", "n"})


def _read_boolean(text: str) -> None:
    if text.lower() not in _WORDS_OF_A_BOOLEAN:
        raise ValueError(text)


_KINDS: Final[Mapping[str, tuple[str, Callable[[str], object]]]] = {
    "EnvBool": ("true or false", _read_boolean),
    "EnvInt": ("a whole number", int),
    "EnvFloat": ("a number", float),
}


def misread_variable(
    environment: Mapping[str, str], *, source: Path | None = None
) -> tuple[str, str] | None:
    """A variable of SGLang's whose value it cannot read, and what it takes, or None.

    SGLang warns of it somewhere in its output, and goes on with its default: never what was meant.

    Args:
        environment: of the server.
        source: SGLang's own list of its variables; unset: of the installed one, which is read, not
            imported: that takes ten seconds.
    """
    given = {name: value for name, value in environment.items() if value and _is_sglangs(name)}
    file = source or _environ_file()
    if not given or file is None:
        return None
    for name, kind in _declared_kinds(file).items():
        wanted, read = _KINDS[kind]
        if name in given:
            try:
                read(given[name])
            except ValueError:
                return name, wanted
    return None


def why_unread(variable: str, *, folder: Path | None = None) -> str | None:
    """Why a variable that is named like SGLang's own has no effect, or None where it may have one.

    Args:
        variable: its name.
        folder: SGLang's sources; unset: the installed ones, which are searched, not imported.
    """
    place = folder or _package_folder()
    if not _is_sglangs(variable) or place is None:
        return None
    if any(variable in name for name in _names_in(place)):
        return None
    return f"SGLang {installed_sglang_version()} does not read it"


@functools.lru_cache(maxsize=1)
def _names_in(folder: Path) -> frozenset[str]:
    """Every name like a variable of SGLang's in some sources, read once for all questions."""
    return frozenset(
        found.decode() for file in folder.rglob("*.py") for found in _OWN.findall(file.read_bytes())
    )


def _is_sglangs(name: str) -> bool:
    return name.startswith(("SGLANG_", "SGL_"))


def _environ_file() -> Path | None:
    folder = _package_folder()
    return None if folder is None else folder / "srt" / "environ.py"


def _package_folder() -> Path | None:
    spec = importlib.util.find_spec("sglang")
    places = spec.submodule_search_locations if spec is not None else None
    return Path(next(iter(places))) if places else None


def _declared_kinds(file: Path) -> dict[str, str]:
    """Variable -> its kind, of those that SGLang declares with one of `_KINDS`."""
    try:
        module = ast.parse(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, SyntaxError):
        return {}  # another version, which keeps them elsewhere
    return {
        statement.targets[0].id: kind
        for part in module.body
        if isinstance(part, ast.ClassDef)
        for statement in part.body
        if isinstance(statement, ast.Assign)
        and isinstance(statement.targets[0], ast.Name)
        and isinstance(statement.value, ast.Call)
        and isinstance(statement.value.func, ast.Name)
        and (kind := statement.value.func.id.removesuffix("WithAlias")) in _KINDS
    }


def _is_installed(module: str) -> bool:
    """Looked up without importing it, which may take seconds or touch a GPU."""
    return importlib.util.find_spec(module) is not None


def flaw_of_adaptive_file(config: ServerConfig) -> str | None:
    """Why SGLang could not read the file of draft steps, or not start with it; None if it can.

    Source: sglang 0.5.23, srt/speculative/adaptive_spec_params.py, `_load_adaptive_config`, and
    srt/arg_groups/speculative_hook.py, `_init_adaptive_speculative_params`.
    """
    file = config.speculative_adaptive_config
    if file is None or config.speculative_algorithm is None:
        return None
    try:
        steps = _read_steps(file)
    except OSError as error:
        return f"{file} cannot be read: {error.strerror}"
    except ValueError as error:
        return f"{file} {error}"
    first = config.speculative_num_steps
    if first is not None and first not in steps:
        return f"speculative_num_steps is {first}, and {file} has the steps {sorted(steps)}"
    return None


def _read_steps(file: Path) -> set[int]:
    """All draft steps of all numbers of requests.

    Raises:
        OSError: the file cannot be read.
        ValueError: SGLang would not take it; the text says why.
    """
    content = read_foreign(file, most_bytes=_LARGEST_ADAPTIVE_BYTES)
    try:
        tiers = parse_json(content)
    except ValueError:
        raise ValueError("is not JSON") from None
    steps: set[int] = set()
    for size, tier in tiers.items() if isinstance(tiers, dict) else ():
        if size.isdigit():
            try:
                steps |= {*_Tier.model_validate(tier).candidate_steps}
            except ValidationError:
                raise ValueError(
                    f"has no list of whole numbers as candidate_steps for {size} requests"
                ) from None
    if not steps:
        raise ValueError('names no number of requests, as in {"1": {"candidate_steps": [1, 3]}}')
    return steps


class _Tier(BaseModel):
    model_config = ConfigDict(strict=True)

    candidate_steps: Annotated[
        list[Annotated[int, Field(ge=0, le=_MOST_STEPS)]], Field(min_length=1)
    ]
