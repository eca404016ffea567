"""Which of a machine's GPUs a configuration is served on. Pure."""

from __future__ import annotations

from launcher.config.presets import PRESETS, Preset, roomy_gpus
from launcher.config.ranks import ranks_of
from launcher.config.server_config import ServerConfig
from launcher.system.hardware import Gpu, Hardware


def chosen_gpus(config: ServerConfig, hardware: Hardware) -> tuple[Gpu, ...]:
    """The GPUs to serve on, in the driver's order; empty where SGLang is to take what it sees.

    Where the configuration names them, these, as far as they are here. Else, where the preset's
    needs are known, those with room are taken: the first ones may be busy with another server.
    """
    if config.device == "cuda" and config.gpu_ids is not None:
        return named_gpus(config.gpu_ids, hardware)
    preset = PRESETS.get(config.preset)
    if config.device != "cuda" or preset is None or not needs_known(config, preset):
        return ()
    fraction = config.mem_fraction_static or config.gpu_memory_utilization or preset.memory_fraction
    return roomy_gpus(hardware, preset, fraction)[: ranks_of(config).count_here]


def named_gpus(names: str, hardware: Hardware) -> tuple[Gpu, ...]:
    """The GPUs of that number or UUID, in the order of the names; those that are not here are not.

    Args:
        names: as in `CUDA_VISIBLE_DEVICES`; a UUID may be cut short.
        hardware: what there is.
    """
    found = []
    for name in names.split(","):
        one = next((gpu for gpu in hardware.gpus if _is_called(gpu, name)), None)
        if one is not None and one not in found:
            found.append(one)
    return tuple(found)


def _is_called(gpu: Gpu, name: str) -> bool:
    return gpu.index == int(name) if name.isdecimal() else gpu.uuid.startswith(name)


def used_gpus(config: ServerConfig, gpus: tuple[Gpu, ...]) -> tuple[Gpu, ...]:
    """Of the GPUs that CUDA will show, those that ranks run on; fewer than ranks if some lack one.

    Args:
        config: what to serve.
        gpus: in the order in which CUDA shows them.
    """
    return tuple(gpus[place] for place in ranks_of(config).gpu_ids if place < len(gpus))


def needs_known(config: ServerConfig, preset: Preset) -> bool:
    """Whether the preset's figures hold: for its own model, divided among its own GPUs as it is."""
    ranks = ranks_of(config)
    return (
        ranks.is_plain
        and preset.engine == config.engine
        and preset.gpus == ranks.tensor
        and preset.fields.get("model_path") == config.model_path
    )
