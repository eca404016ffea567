"""Which of a machine's GPUs a configuration is served on. Pure."""

from __future__ import annotations

from launcher.config.presets import PRESETS, Preset, roomy_gpus
from launcher.config.server_config import ServerConfig
from launcher.system.hardware import Gpu, Hardware


def chosen_gpus(config: ServerConfig, hardware: Hardware) -> tuple[Gpu, ...]:
    """The GPUs to serve on, in the driver's order; empty where SGLang is to take what it sees.

    Where the preset's needs are known, those with room are taken: the first ones may be busy with
    another server.
    """
    preset = PRESETS.get(config.preset)
    if config.device != "cuda" or preset is None or not needs_known(config, preset):
        return ()
    fraction = config.mem_fraction_static or preset.fields["mem_fraction_static"]
    return roomy_gpus(hardware, preset, fraction)[: config.tp_size]


def needs_known(config: ServerConfig, preset: Preset) -> bool:
    """Whether the preset's figures hold: for its own model on its own number of GPUs."""
    return preset.gpus == config.tp_size and preset.fields.get("model_path") == config.model_path
