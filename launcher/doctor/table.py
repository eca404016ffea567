"""All probes, in the order of docs/doctor.md."""

from __future__ import annotations

from typing import Final

from launcher.doctor import gpu, host, hub, limits, packages
from launcher.doctor.probes import Probe

PROBES: Final[tuple[Probe, ...]] = (
    *gpu.PROBES,
    *host.PROBES,
    *limits.PROBES,
    *packages.PROBES,
    *hub.PROBES,
)
