"""The one plugin that SGLang finds: ours, in the order in which they have to come.

SGLang calls `activate` early in every process (entry point group `sglang.srt.plugins`), and each
plugin by the order of its name. `sharing` has to be first: what it forks must have no hook yet.
"""

from __future__ import annotations

import importlib
import logging
from typing import Final

_LOGGER: Final = logging.getLogger(__name__)
_PACKAGE: Final = "launcher.engines.sglang.plugins"
ORDER: Final = (
    "sharing.plugin",
    "guard.lines",
    "cpu.plugin",
    "redaction",
    "glm.plugin",
    "lifecycle.warm_up",
    "openai_api",
    "lifecycle.last_output",
    "lifecycle.prompt_stop",
    "lifecycle.segment_names",
    "guard.plugin",
)


def activate() -> None:
    """Activate each; one that fails is logged, as SGLang itself would do, and keeps no other away.

    Raises:
        SystemExit: one says that the server must not start without it.
    """
    for name in ORDER:
        try:
            importlib.import_module(f"{_PACKAGE}.{name}").activate()
        except Exception:
            _LOGGER.exception("specserve: the plugin %s failed", name)
