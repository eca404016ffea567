"""The causes of SGLang's ends in the order of the search: the first one that fits wins."""

from __future__ import annotations

from typing import Final

from launcher.engines.causes import CauseTable
from launcher.engines.common.causes import building, drivers, folders, hub, libraries
from launcher.engines.sglang.causes import arguments, processes, scheduler, warm_up
from launcher.engines.sglang.causes.general import GENERAL
from launcher.engines.sglang.causes.gpu import collectives, faults, kernels, memory
from launcher.engines.sglang.causes.machine import host, packages
from launcher.engines.sglang.causes.model import files, parallel, speculation, weights
from launcher.engines.sglang.causes.signs import SIGNS

CAUSES: Final = CauseTable(
    # The scheduler's books before the GPU's memory: both say "out of memory". GPUs before the
    # host: "shared memory" is a GPU's there, and a machine's here. What compiles before what does
    # not load, and the collectives before a GPU's own faults, which they wrap.
    errors=scheduler.ERRORS
    | memory.ERRORS
    | drivers.ERRORS
    | collectives.ERRORS
    | faults.ERRORS
    | kernels.ERRORS
    | files.ERRORS
    | speculation.ERRORS
    | weights.ERRORS
    | parallel.ERRORS
    | arguments.ERRORS
    | hub.ERRORS
    | building.ERRORS
    | folders.ERRORS
    | libraries.ERRORS
    | packages.ERRORS
    | host.ERRORS
    | warm_up.ERRORS
    | processes.ERRORS,
    general=arguments.GENERAL | GENERAL,
    # The end of a child before what its neighbours said of it.
    echoes=libraries.ECHOES | building.ECHOES | processes.ECHOES | collectives.ECHOES,
    silent=processes.SILENT,
    signs=SIGNS,
)
