"""The SGLang that this launcher is verified with, and the one that is installed."""

from __future__ import annotations

import importlib.metadata
import platform
from typing import Final

from launcher.errors import EngineMissingError

# Read wherever this project names a file or a behaviour of SGLang without a version.
VERIFIED_VERSION: Final = "0.5.23"
_VERSIONED: Final = ("specserve", "sglang", "torch", "flashinfer-python", "transformers")


def installed_versions() -> dict[str, str]:
    """Versions that decide what a run does, for the run record."""
    versions = {"python": platform.python_version()}
    for name in _VERSIONED:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def installed_sglang_version() -> str:
    """Version of the SGLang beside the launcher, read without importing it.

    Raises:
        EngineMissingError: it is not installed.
    """
    try:
        return importlib.metadata.version("sglang")
    except importlib.metadata.PackageNotFoundError:
        raise EngineMissingError(
            "SGLang is not installed in this Python's environment.",
            action="Install the engine in the checkout: `uv sync`, or `pip install '.[engine]'`.",
        ) from None
