"""All probes, and their table as docs/doctor.md shows it."""

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


def table_as_markdown() -> str:
    """A row for each probe: when it is amber or red, what helps, and how we know."""
    rows: list[tuple[str, ...]] = [
        ("Probe", "Group", "Amber", "Red", "What to do", "Source"),
        *(
            (f"`{probe.name}`", probe.group, probe.amber, probe.red, probe.remedy, probe.source)
            for probe in PROBES
        ),
    ]
    heading, *lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([heading, f"|{'---|' * len(rows[0])}", *lines]) + "\n"
