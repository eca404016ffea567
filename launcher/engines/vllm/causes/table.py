"""The causes of vLLM's ends in the order of the search: the first one that fits wins."""

from __future__ import annotations

from typing import Final

from launcher.engines.causes import CauseTable
from launcher.engines.common.causes import (
    building,
    collectives,
    drivers,
    folders,
    host,
    hub,
    libraries,
)
from launcher.engines.vllm.causes import arguments, gpu, memory, model, processes
from launcher.engines.vllm.causes.signs import SIGNS

# Those of another engine's own kernels.
_LIBRARIES: Final = {
    name: cause for name, cause in libraries.ERRORS.items() if name != "kernels-unloadable"
}

CAUSES: Final = CauseTable(
    errors=memory.ERRORS
    | drivers.ERRORS
    | collectives.ERRORS
    | gpu.ERRORS
    | model.ERRORS
    | arguments.ERRORS
    | hub.ERRORS
    | building.ERRORS
    | folders.ERRORS
    | _LIBRARIES
    | host.ERRORS
    | processes.ERRORS,
    general=arguments.GENERAL,
    # The end of a process before what its neighbours said of it.
    echoes=collectives.ECHOES | processes.ECHOES,
    silent=processes.SILENT,
    signs=SIGNS,
)
