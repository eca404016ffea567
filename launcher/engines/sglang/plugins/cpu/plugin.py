"""The SGLang plugin that adapts each server process to a machine without a GPU.

SGLang calls ``activate`` early in every process (entry point group
``sglang.srt.plugins``; sglang/srt/plugins/__init__.py). Without
``SPECSERVE_CPU_ENGINE=1`` it returns at once and imports nothing.
"""

import os
from typing import Any

from launcher.engines.sglang.plugins import hooks
from launcher.engines.sglang.plugins.cpu.settings import ENVIRONMENT_SWITCH, parse_cores
from launcher.engines.sglang.version import VERIFIED_VERSION


def activate() -> None:
    """Install the platform fact and the hooks of the CPU engine.

    SGLang logs what a plugin raises and carries on, and would then fail later and less
    clearly. So any failure here ends the process.

    Raises:
        SystemExit: If SGLang is not the version that the hooks were written for, with
            what failed.
    """
    if os.environ.get(ENVIRONMENT_SWITCH) != "1":
        return
    try:
        _install()
    except Exception as error:
        raise SystemExit(
            f"specserve: the CPU engine could not be set up in process {os.getpid()}: "
            f"{type(error).__name__}: {error}. It is written for sglang {VERIFIED_VERSION}; "
            "check the installed version."
        ) from error


def _install() -> None:
    from sglang.srt.runtime_context import override_platform  # noqa: PLC0415

    # The backend "intel_amx" is the one CPU backend that knows target verify; the fact
    # guards nothing but that choice (srt/arg_groups/overrides.py).
    override_platform(has_amx=True).install()
    hooks.install(
        {
            "torch.cuda.synchronize": (_no_device_to_wait_for, "REPLACE"),
            "sglang.srt.distributed.device_communicators.pynccl.PyNcclCommunicator.__init__": (
                _come_up_disabled,
                "REPLACE",
            ),
            "sglang.srt.utils.numa_utils.init_threads_binding": (_bind_rank_to_cores, "AFTER"),
        }
    )


def _no_device_to_wait_for(*_args: object, **_kwargs: object) -> None:
    """Stand in for ``torch.cuda.synchronize``: there is no device.

    ``Glm4MoeForCausalLM.set_embed_and_head`` calls it on every platform.
    """


def _come_up_disabled(communicator: Any, *_args: object, **_kwargs: object) -> None:
    """Stand in for ``PyNcclCommunicator.__init__``, as if NCCL were not installed.

    The NCCL library of a CUDA build of PyTorch loads without a driver and then fails.
    """
    communicator.available = False
    communicator.disabled = True


def _bind_rank_to_cores(result: str, **_kwargs: object) -> None:
    """Keep a rank on its own cores; SGLang leaves that to the compiled kernels.

    Args:
        result: Cores of this rank, such as ``0,1`` or ``0-3,8``.
        _kwargs: Arguments of the hooked function.
    """
    import torch  # noqa: PLC0415

    cores = parse_cores(result)
    os.sched_setaffinity(0, cores)
    # OMP_NUM_THREADS has set the count; more threads than cores would only wait.
    torch.set_num_threads(min(torch.get_num_threads(), len(cores)))
