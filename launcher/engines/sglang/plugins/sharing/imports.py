"""What every process of a server imports, and whether a process may be forked after it."""

from __future__ import annotations

import contextlib
import gc
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from launcher.engines.sglang.plugins.sharing import models

# They bring nearly all that each process imports (sglang/srt/entrypoints/engine.py).
MODULES: Final = (
    "sglang.srt.entrypoints.http_server",
    "sglang.srt.managers.scheduler",
    "sglang.srt.managers.detokenizer_manager",
)
# Imports the modules of all models, one of which asks CUDA for its devices at once
# (srt/layers/attention/trtllm_mla_backend.py): with a GPU that is left to each process.
MODELS: Final = "sglang.srt.models.registry"


class CannotForkError(RuntimeError):
    """This process has what a fork would break."""


def import_engine() -> None:
    """Import what the server's processes need, and let the garbage collector forget about it.

    A collection would write into the pages of all objects, and so copy them in each process.

    Raises:
        ImportError: this version of SGLang has its modules elsewhere.
    """
    # It looks for the place of a title once, from where the environment begins: as long as that has
    # not moved. SGLang's children give themselves titles, by which they are known.
    importlib.import_module("setproctitle").getproctitle()
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        for name in MODULES:
            importlib.import_module(name)
        torch = importlib.import_module("torch")
        if not torch.cuda.is_available():
            models.leave_out_others(sys.argv)
            with _cuda_left_alone(torch.cuda):
                importlib.import_module(MODELS)
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()


@contextlib.contextmanager
def _cuda_left_alone(cuda: Any) -> Iterator[None]:
    """Where there is no device, say so before the driver is asked: torch would remember the asking.

    From then on it takes a forked process for one that cannot use CUDA, and says so even where
    nothing but the absence of a device is asked for.
    """
    start = cuda._lazy_init  # noqa: SLF001

    def refuse() -> None:
        raise RuntimeError("there is no CUDA device")

    cuda._lazy_init = refuse  # noqa: SLF001
    try:
        yield
    finally:
        cuda._lazy_init = start  # noqa: SLF001


def refuse_to_fork() -> None:
    """See that nothing is there that a forked process cannot go on with.

    A thread is not there after a fork, but the locks that it held are. A CUDA context is of no use
    in a forked process, and torch refuses it there.

    Raises:
        CannotForkError: what it is.
    """
    threads = len(list(Path("/proc/self/task").iterdir()))
    if threads > 1:
        raise CannotForkError(f"this process has {threads} threads")
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        raise CannotForkError("CUDA is initialised")
    # Who else has touched the driver has its device open.
    opened = {str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()}
    devices = sorted(name for name in opened if name.startswith("/dev/nvidia"))
    if devices:
        raise CannotForkError(f"{devices[0]} is open")
