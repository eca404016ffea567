"""What vLLM needs of its surroundings: variables that it can read.

Source: vllm 0.32.0, envs.py.
"""

from __future__ import annotations

import functools
import importlib.resources
import json
from collections.abc import Callable, Mapping
from typing import Final

from launcher.engines.vllm.version import VERIFIED_VERSION

# How vLLM reads them. A value that it cannot read ends it with a ValueError and no name.
_KINDS: Final[Mapping[str, tuple[str, Callable[[str], object]]]] = {
    "VLLM_CPU_KVCACHE_SPACE": ("a whole number of GiB", int),
    "VLLM_ENGINE_READY_TIMEOUT_S": ("a whole number of seconds", int),
    "VLLM_HTTP_TIMEOUT_KEEP_ALIVE": ("a whole number of seconds", int),
    "VLLM_USE_FLASHINFER_SAMPLER": ("0 or 1", int),
    "VLLM_PORT": ("a port's number", int),
}
_PREFIX: Final = "VLLM_"


def misread_variable(environment: Mapping[str, str]) -> tuple[str, str] | None:
    """A variable of vLLM's whose value it cannot read, and what it takes, or None."""
    for name, (wanted, read) in _KINDS.items():
        value = environment.get(name)
        try:
            if value:
                read(value)
        except ValueError:
            return name, wanted
    return None


def why_unread(variable: str) -> str | None:
    """Why a variable that is named like vLLM's own has no effect; None where it has."""
    if not variable.startswith(_PREFIX) or variable in _known_variables():
        return None
    return f"vLLM {VERIFIED_VERSION} does not read it"


@functools.cache
def _known_variables() -> frozenset[str]:
    """Those of the verified version, as its own list has them."""
    data = importlib.resources.files("launcher.engines.vllm.options").joinpath("data")
    text = data.joinpath(f"vllm_flags_{VERIFIED_VERSION}.json").read_text(encoding="utf-8")
    return frozenset(json.loads(text)["variables"])
