"""A server's command line by somebody else, said in fields: what each engine's reader gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class ForeignLaunch:
    """What a command line says, with the engine's own defaults where ours differ.

    Attributes:
        fields: of `ServerConfig`, values as written.
        extra: arguments that have no field.
        taken: what became a field or an argument, one line each.
        dropped: what did not, and what to do.
        refused: why nothing that the launcher can serve comes of it; "" where something does.
    """

    fields: dict[str, Any] = field(default_factory=dict)
    extra: list[str] = field(default_factory=list)
    taken: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    refused: str = ""

    def take(self, name: str, value: Any, spelled: str) -> None:
        """Set a field; where it was set already, the last one counts, as for the engine."""
        if name in self.fields and self.fields[name] != value:
            self.dropped.append(f"{spelled}: given twice; the last one counts")
        self.fields[name] = value
        line = spelled if value is True else f"{spelled} {value}"
        self.taken.append(f"{line}: {name}")
