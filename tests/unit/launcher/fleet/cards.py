"""Machines with GPUs that nobody has here."""

from __future__ import annotations

from launcher.system.hardware import GIB, Gpu, Hardware


def machine(cards: int, *, busy: tuple[int, ...] = ()) -> Hardware:
    """One with so many H100, of which some have no room."""
    gpus = tuple(
        Gpu(
            index,
            f"GPU-{index:02x}",
            "NVIDIA H100 80GB HBM3",
            80 * GIB,
            (5 if index in busy else 79) * GIB,
            (9, 0),
        )
        for index in range(cards)
    )
    return Hardware(gpus, "by NVML" if cards else "no driver", (0, 1), 500 * GIB)
