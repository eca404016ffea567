"""Fields of a configuration that an engine does not have. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from launcher.config.server_config import ServerConfig
from launcher.errors import InvalidValueError


def refuse_fields(config: ServerConfig, engine: str, lacking: Mapping[str, str]) -> None:
    """Refuse what an engine has nothing for: to leave it out silently would serve something else.

    Args:
        config: what to serve.
        engine: its name, for people.
        lacking: fields -> the nearest that it has, as a sentence.

    Raises:
        InvalidValueError: one of them is set; all are named.
    """
    found = [
        field
        for field in lacking
        if getattr(config, field) != type(config).model_fields[field].get_default()
    ]
    if not found:
        return
    told = ", ".join(f"{field} ({getattr(config, field)})" for field in found)
    raise InvalidValueError(
        f"{engine} has nothing for {told}.",
        action=" ".join(f"{field}: {lacking[field]}" for field in found),
    )
