"""The smg that this launcher is verified with, and the one that is installed."""

from __future__ import annotations

import importlib.metadata
import platform
from typing import Final

from launcher.errors import EngineMissingError

DISTRIBUTION: Final = "smg"
VERIFIED_VERSION: Final = "1.13.0"


def installed_version() -> str:
    """The version beside the launcher, read without importing it.

    Raises:
        EngineMissingError: it is not installed.
    """
    try:
        return importlib.metadata.version(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        raise EngineMissingError(
            "The gateway smg is not installed in this Python's environment.",
            action=f"Install it: `uv pip install 'smg=={VERIFIED_VERSION}'`, or "
            "`pip install '.[gateway]'` in the checkout.",
        ) from None


def versions() -> dict[str, str]:
    """Versions that decide what a run does, for the run record."""
    return {
        "python": platform.python_version(),
        "specserve": importlib.metadata.version("specserve"),
        DISTRIBUTION: installed_version(),
    }
