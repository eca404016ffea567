"""Variables that a configuration gives to a server's processes: how they are written. Pure.

They are kept as `NAME=VALUE`, one text for each, so that a configuration can be hashed, and reads
back from a record as it was. Messages name a variable, never its value.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

from launcher.config.fields.outside import LARGEST_COUNT
from launcher.config.fields.secret_names import is_secret_name

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# What stands before the host, as in the address of a proxy.
_CREDENTIALS: Final = re.compile(r"://[^/\s@]+@")
_SECRET_PART: Final = re.compile(
    r"SECRET|PASSW(?:OR)?D|PASSPHRASE|CREDENTIAL|(?:API|ACCESS|PRIVATE)_?KEY", re.IGNORECASE
)
# As a whole part of a name: most variables of an engine that have the word count a text's tokens.
_TOKEN_PART: Final = re.compile(r"(?:^|_)TOKEN(?:_|$)", re.IGNORECASE)
_ENGINE_PREFIXES: Final = ("SGLANG_", "SGL_")
LAUNCHER_PREFIX: Final = "SPECSERVE_"

# What the launcher sets for a server, whatever it runs on: `launcher.engines.sglang.command`. The
# tests hold the three against what it does set.
SET_ALWAYS: Final = frozenset({"PYTHONFAULTHANDLER", "SPT_NOENV", "PYTORCH_NVML_BASED_CUDA_CHECK"})
# On a CPU alone: `launcher.engines.sglang.plugins.cpu.settings`.
SET_ON_CPU: Final = frozenset(
    {
        *("SGLANG_USE_CPU_ENGINE", "SGLANG_CPU_OMP_THREADS_BIND", "OMP_NUM_THREADS"),
        *("MKL_NUM_THREADS", "OMP_WAIT_POLICY", "TORCHDYNAMO_DISABLE", "PYTHONDONTWRITEBYTECODE"),
        "TOKENIZERS_PARALLELISM",
    }
)
# What the launcher goes by itself: which GPUs it measures, where a run's files lie.
READ_HERE: Final = frozenset({"CUDA_VISIBLE_DEVICES", "TMPDIR"})
# A configuration may come from a stranger. These have any program run code of his choice.
_LOADS_CODE: Final = frozenset({"PATH", "PYTHONPATH", "PYTHONHOME", "PYTHONUSERBASE", "BASH_ENV"})
_LOADER_PREFIX: Final = "LD_"

_EXPORT: Final = "export it in the shell that starts the server instead"


def entries_of(value: Any) -> Any:
    """A mapping of names to values as `NAME=VALUE`; anything else as it is.

    Raises:
        ValueError: a value is none that has one obvious text.
    """
    if not isinstance(value, Mapping):
        return value
    return tuple(f"{name}={_text(str(name), given)}" for name, given in value.items())


def parts_of(value: Any) -> Any:
    """Names and values of a mapping one behind the other; anything else as it is."""
    return [*value, *value.values()] if isinstance(value, Mapping) else value


def variables_of(entries: Iterable[str]) -> Mapping[str, str]:
    """The variables of a checked configuration, in their order."""
    pairs = (entry.partition("=") for entry in entries)
    return MappingProxyType({name: value for name, _, value in pairs})


def flaw_of_variables(entries: Iterable[str], *, on_cpu: bool) -> str | None:
    """Why some variables cannot be given to a server, as a clause; None if nothing.

    Args:
        entries: as `NAME=VALUE`.
        on_cpu: it runs on a CPU, for which the launcher sets more of them itself.
    """
    seen: set[str] = set()
    for number, entry in enumerate(entries, 1):
        name, equals, value = entry.partition("=")
        # What stands there instead of a name may be a secret that lost it.
        if not equals:
            return f"entry {number} of the environment is not NAME=VALUE"
        if not _NAME.fullmatch(name):
            return (
                f"the name in entry {number} of the environment has more than letters, digits and "
                "_, or begins with a digit"
            )
        if name in seen:
            return f"{name} stands twice in the environment"
        seen.add(name)
        if (flaw := _flaw_of_one(name, value, on_cpu=on_cpu)) is not None:
            return f"{name} {flaw}"
    return None


def _flaw_of_one(name: str, value: str, *, on_cpu: bool) -> str | None:
    of_launcher = name in SET_ALWAYS or name.startswith(LAUNCHER_PREFIX)
    loads_code = name in _LOADS_CODE or name.startswith(_LOADER_PREFIX)
    reasons = {
        f"is or holds a secret, which `--dry-run` and records would show; {_EXPORT}": (
            _is_secret(name) or _CREDENTIALS.search(value)
        ),
        "is set by the launcher itself; leave it out": of_launcher,
        "is set by the launcher itself on a CPU; leave it out": on_cpu and name in SET_ON_CPU,
        f"is what the launcher itself goes by; {_EXPORT}": name in READ_HERE,
        "would leave out the launcher's own plugins": name == "SGLANG_PLUGINS",
        f"decides which code a program runs, and a configuration may not; {_EXPORT}": loads_code,
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def _is_secret(name: str) -> bool:
    if _SECRET_PART.search(name):
        return True
    if name.startswith(_ENGINE_PREFIXES):
        # SGLANG_KV_CANARY_ENABLE_TOKEN_ORACLE, SGLANG_LOG_DECODE_GRAPH_KEY
        return name.endswith("_TOKEN")
    return is_secret_name(name) or _TOKEN_PART.search(name) is not None


def _text(name: str, value: Any) -> str:
    """The text of a value as a program, a flag or TOML gave it; of YAML it is text already.

    Raises:
        ValueError: it has none, or several.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and abs(value) <= LARGEST_COUNT:
        return str(value)
    shown = name if _NAME.fullmatch(name) else "a name"
    flaws = {
        type(None): 'has no value; "" is the empty text',
        float: "has a fraction, whose digits may change; put it in quotes",
    }
    raise ValueError(f"{shown} {flaws.get(type(value), 'has a value that is no text; quote it')}")
