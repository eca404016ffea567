"""A preset for the model that is served, where another one was taken: what it would set. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from launcher.config.presets import PRESETS, Preset
from launcher.config.server_config import ServerConfig, describe_speculation


@dataclass(frozen=True, slots=True)
class UntakenPreset:
    """A preset that serves the same model.

    Attributes:
        name: the preset's.
        config: what it would make of the same flags, file and environment.
        here: what is taken instead.
    """

    name: str
    config: ServerConfig
    here: ServerConfig

    @property
    def differences(self) -> Mapping[str, tuple[Any, Any]]:
        """Field -> what the preset would set, and what is set here."""
        pairs = {
            field: (getattr(self.config, field), getattr(self.here, field))
            for field in ServerConfig.model_fields
            if field != "preset"
        }
        return {field: pair for field, pair in pairs.items() if pair[0] != pair[1]}

    def as_json(self) -> dict[str, Any]:
        """Its name and the differences, for programs."""
        both = {
            field: {"preset": of_preset, "here": here}
            for field, (of_preset, here) in self.differences.items()
        }
        return {"name": self.name, "would_set": both}


def preset_serving(model: str, engine: str) -> Preset | None:
    """The preset of an engine whose own model that is: a folder or a repository id."""
    own = (preset for preset in PRESETS.values() if preset.engine == engine)
    return next((preset for preset in own if preset.fields.get("model_path") == model), None)


def describe_untaken(untaken: UntakenPreset) -> str:
    """That there is such a preset, and what it would set, in sentences."""
    words = [
        f"{field} {_word(of_preset)} (here {_word(here)})"
        for field, (of_preset, here) in untaken.differences.items()
        if not field.startswith("speculative_")
    ]
    of_preset, here = describe_speculation(untaken.config), describe_speculation(untaken.here)
    if of_preset != here:
        words.append(f"speculation {of_preset} (here {here})")
    return (
        f"Preset {untaken.name} serves the same model, and is not taken. It would set "
        f"{', '.join(words) or 'the same'}. `--preset {untaken.name}` takes it."
    )


def _word(value: object) -> str:
    return "unset" if value is None else str(value)
