"""Where requests go."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Target:
    """A server.

    Attributes:
        base_url: scheme, host and port, without `/v1` and without a slash at the end.
        model: what requests call the model.
        api_key: never shown.
    """

    base_url: str
    model: str
    api_key: str | None = field(default=None, repr=False)
