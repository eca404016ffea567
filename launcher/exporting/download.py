"""How a container gets the weights before the server starts: the hub's own command. Pure."""

from __future__ import annotations

from typing import Final

from launcher.engines.containers import ContainerLaunch
from launcher.exporting.request import Export, Weights
from launcher.models.files import NEEDED_PATTERNS, NEEDLESS_PATTERN

_PYTHON_FILES: Final = "*.py"


def offline(launch: ContainerLaunch) -> dict[str, str]:
    """The variable by which a server asks nothing of the hub, where it needs nothing more."""
    return {"HF_HUB_OFFLINE": "1"} if launch.is_offline else {}


def download_command(weights: Weights, export: Export) -> tuple[str, ...]:
    """`hf download` of what serving needs, into the cache that HF_HOME names; it resumes.

    Never pickles, which run code when they are read; Python files only where the configuration
    says that they may run.
    """
    patterns = (*NEEDED_PATTERNS, *([_PYTHON_FILES] if export.config.trust_remote_code else ()))
    revision = ("--revision", weights.revision) if weights.revision else ()
    included = [word for pattern in patterns for word in ("--include", pattern)]
    return ("hf", "download", weights.repository, *revision, *included, "--exclude",
            NEEDLESS_PATTERN)  # fmt: skip
