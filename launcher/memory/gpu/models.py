"""GPUs by name, to plan for a machine that is not here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from launcher.errors import InvalidValueError
from launcher.system.hardware import MIB, Gpu
from launcher.text import nearest


def _gpu(name: str, total_mib: int, capability: tuple[int, int]) -> Gpu:
    """One that is idle, all of its memory free."""
    total_bytes = total_mib * MIB
    return Gpu(0, name, name, total_bytes, total_bytes, capability)


# Source: the "Memory-Usage" column of nvidia-smi with ECC on, as people post it (H100: sglang issue
# 10216), and NVIDIA's list of CUDA GPUs for the compute capability. A card of the same name may
# show some MiB more or less; where the card is here, the driver is asked instead.
GPU_MODELS: Final[Mapping[str, Gpu]] = MappingProxyType(
    {
        model.name: model
        for model in (
            _gpu("A100-40GB", 40_960, (8, 0)),
            _gpu("A100-80GB", 81_920, (8, 0)),
            _gpu("A10", 23_028, (8, 6)),
            _gpu("A6000", 49_140, (8, 6)),
            _gpu("L4", 23_034, (8, 9)),
            _gpu("L40S", 46_068, (8, 9)),
            _gpu("RTX4090", 24_564, (8, 9)),
            _gpu("RTX6000-Ada", 49_140, (8, 9)),
            _gpu("H100-80GB", 81_559, (9, 0)),
            _gpu("H100-NVL", 95_830, (9, 0)),
            _gpu("H20", 97_871, (9, 0)),
            _gpu("GH200", 97_871, (9, 0)),
            _gpu("H200", 143_771, (9, 0)),
            _gpu("B200", 183_359, (10, 0)),
            _gpu("RTX5090", 32_607, (12, 0)),
            _gpu("RTX-PRO-6000", 97_887, (12, 0)),
        )
    }
)
# What each one's memory can deliver at the most, in 10^9 bytes a second. Source: NVIDIA's data
# sheets, the line "memory bandwidth", as others quote them; no public one of the H20 is known.
# H100-80GB and A100-80GB are the SXM modules; their PCIe cards have 2,000 and 1,935. GH200 is that
# of 96 GB; RTX-PRO-6000 is the workstation card, the server's has 1,597.
BANDWIDTHS_GB_PER_S: Final[Mapping[str, int]] = MappingProxyType(
    {
        "A100-40GB": 1_555,
        "A100-80GB": 2_039,
        "A10": 600,
        "A6000": 768,
        "L4": 300,
        "L40S": 864,
        "RTX4090": 1_008,
        "RTX6000-Ada": 960,
        "H100-80GB": 3_350,
        "H100-NVL": 3_900,
        "H20": 4_000,
        "GH200": 4_000,
        "H200": 4_800,
        "B200": 8_000,
        "RTX5090": 1_792,
        "RTX-PRO-6000": 1_792,
    }
)
_ALIASES: Final = {"h100": "h10080gb", "h100sxm": "h10080gb", "a100": "a10080gb"}
_MACHINE: Final = re.compile(r"(?:(?P<count>\d{1,3})\s*[xX*]\s*)?(?P<name>[A-Za-z][\w. -]*)")
LARGEST_COUNT: Final = 64


def parse_machine(text: str) -> tuple[Gpu, ...]:
    """GPUs from a text such as `2xH100-80GB`, idle, all of their memory free.

    Raises:
        InvalidValueError: no such GPU is known, or the count is not 1 to 64.
    """
    match = _MACHINE.fullmatch(text.strip())
    if match is None:
        raise _invalid(text, "it is not of the form COUNTxNAME")
    count = int(match["count"] or 1)
    if not 1 <= count <= LARGEST_COUNT:
        raise _invalid(text, f"the count is {count}, and 1 to {LARGEST_COUNT} are planned")
    gpu = _find(match["name"])
    if gpu is None:
        near = nearest(match["name"], GPU_MODELS)
        raise _invalid(text, f"no GPU is known as {match['name']!r}{near}")
    bandwidth = BANDWIDTHS_GB_PER_S[gpu.name] * 10**9
    return tuple(
        replace(gpu, index=index, uuid=f"{gpu.name}-{index}", bandwidth_bytes_per_s=bandwidth)
        for index in range(count)
    )


def _find(name: str) -> Gpu | None:
    """The GPU of that name; case, blanks, dashes and underscores make no difference."""
    wanted = _plain(name)
    wanted = _ALIASES.get(wanted, wanted)
    return next((gpu for key, gpu in GPU_MODELS.items() if _plain(key) == wanted), None)


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name).lower()


def _invalid(text: str, why: str) -> InvalidValueError:
    return InvalidValueError(
        f"--gpus {text!r} cannot be planned for: {why}.",
        action=f"Write for example 2xH100-80GB; known are {', '.join(GPU_MODELS)}.",
    )
