"""The causes of vLLM's ends in the order of the search: the first one that fits wins."""

from __future__ import annotations

from typing import Final

from launcher.engines.causes import CauseTable
from launcher.engines.vllm.causes import processes
from launcher.engines.vllm.causes.signs import SIGNS

CAUSES: Final = CauseTable(
    errors=processes.ERRORS,
    general={},
    echoes=processes.ECHOES,
    silent=processes.SILENT,
    signs=SIGNS,
)
