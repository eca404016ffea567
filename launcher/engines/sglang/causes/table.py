"""The causes of SGLang's ends in the order of the search: the first one that fits wins."""

from __future__ import annotations

from typing import Final

from launcher.engines.causes import CauseTable
from launcher.engines.sglang.causes import (
    arguments,
    gpu_faults,
    gpu_memory,
    host,
    hub,
    model_files,
    processes,
)

CAUSES: Final = CauseTable(
    # GPUs before the host: "shared memory" is a GPU's there, and a machine's here.
    errors=gpu_memory.ERRORS
    | gpu_faults.ERRORS
    | model_files.ERRORS
    | arguments.ERRORS
    | hub.ERRORS
    | host.ERRORS
    | processes.ERRORS,
    # The end of a child before what its neighbours said of it.
    echoes=host.ECHOES | processes.ECHOES | gpu_faults.ECHOES,
    silent=processes.SILENT,
)
