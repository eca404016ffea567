"""The presets are what they are said to be, and suit the machine."""

from __future__ import annotations

from typing import Any

import pytest

from launcher.config.presets import (
    GLM_AIR_FP8,
    NANO,
    PRESETS,
    Preset,
    choose_preset,
    describe_gpus,
    get_preset,
    needs_gpus,
    roomy_gpus,
)
from launcher.config.server_config import ServerConfig
from launcher.errors import UnknownPresetError
from launcher.system.hardware import GIB, Gpu, Hardware

# Main model 50.45 GiB, NextN layer 1.16, the draft's embedding and head 1.16, KV cache 0.73: all
# within 0.7 of what is free.
NEEDED_FREE_BYTES = GLM_AIR_FP8.static_bytes_per_gpu / 0.7


def machine(*free_gib: float) -> Hardware:
    gpus = tuple(
        Gpu(index, f"GPU-{index}", "NVIDIA H100", 80 * GIB, int(free * GIB), (9, 0))
        for index, free in enumerate(free_gib)
    )
    note = "all that the driver shows" if gpus else "NVML: no driver"
    return Hardware(gpus=gpus, gpu_note=note, cpus=(0,), available_memory_bytes=GIB)


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_a_preset_is_a_configuration_once_it_has_a_model(preset: Preset) -> None:
    own = {"model_path": "/models/tiny", "served_model_name": "tiny"}
    config = ServerConfig.model_validate({**own, **preset.fields, "preset": preset.name})

    assert config.port == 8000
    assert config.is_loopback
    assert get_preset(preset.name) is preset


@pytest.mark.parametrize("preset", [GLM_AIR_FP8, NANO], ids=lambda preset: preset.name)
def test_a_preset_drafts_a_chain_of_three_and_parses_glm_text(preset: Preset) -> None:
    fields = preset.fields

    assert fields["speculative_algorithm"] == "EAGLE"
    assert fields["speculative_num_steps"] == 3
    assert fields["speculative_eagle_topk"] == 1
    assert fields["speculative_num_draft_tokens"] == 4
    assert fields["tool_call_parser"] == fields["reasoning_parser"] == "glm45"


def test_the_preset_for_gpus_serves_glm_air_on_two_of_them() -> None:
    fields = GLM_AIR_FP8.fields

    assert fields["model_path"] == "zai-org/GLM-4.5-Air-FP8"
    assert fields["served_model_name"] == "glm-4.5-air"
    assert (fields["device"], fields["tp_size"], GLM_AIR_FP8.gpus) == ("cuda", 2, 2)
    assert fields["mem_fraction_static"] == 0.7


def test_the_preset_without_gpu_serves_the_embedded_model() -> None:
    config = ServerConfig.model_validate(NANO.fields)

    assert not config.is_repository
    assert (config.device, config.dtype) == ("cpu", "float32")
    assert NANO.gpus == 0


def test_a_preset_cannot_be_changed() -> None:
    fields: Any = NANO.fields

    with pytest.raises(TypeError):
        fields["port"] = 1


def test_an_unknown_preset_is_refused_with_the_nearest_and_the_list() -> None:
    with pytest.raises(UnknownPresetError) as caught:
        get_preset("glm-4.5-air")

    assert "'glm-4.5-air' (did you mean 'glm-4.5-air-fp8'?)" in caught.value.problem
    assert "glm-4.5-air-fp8, glm-4.5-air-fp8-vllm, nano, nano-vllm, custom" in caught.value.action


def test_the_static_part_is_the_sum_of_what_the_model_has() -> None:
    parts_gib = 50.45 + 1.16 + 1.16 + 0.73
    assert GLM_AIR_FP8.static_bytes_per_gpu / GIB == pytest.approx(parts_gib, abs=0.02)


def gpu(free_bytes: int, capability: tuple[int, int] = (9, 0)) -> Gpu:
    return Gpu(0, "GPU-0", "H100", 80 * GIB, free_bytes, capability)


def test_a_gpu_has_room_up_to_the_byte() -> None:
    enough = int(NEEDED_FREE_BYTES) + 2
    gpus = (gpu(enough), gpu(enough - 4), gpu(enough))
    hardware = Hardware(gpus=gpus, gpu_note="", cpus=(0,), available_memory_bytes=GIB)

    assert roomy_gpus(hardware, GLM_AIR_FP8, 0.7) == (gpus[0], gpus[2])


def test_a_gpu_without_fp8_is_not_taken() -> None:
    gpus = (gpu(79 * GIB, (8, 0)), gpu(79 * GIB, (8, 9)))
    hardware = Hardware(gpus=gpus, gpu_note="", cpus=(0,), available_memory_bytes=GIB)

    assert roomy_gpus(hardware, GLM_AIR_FP8, 0.7) == gpus[1:]


@pytest.mark.parametrize("free_gib", [(79, 79), (79, 10, 79), (77, 78, 79)])
def test_two_roomy_gpus_get_the_large_preset(free_gib: tuple[float, ...]) -> None:
    choice = choose_preset(machine(*free_gib))

    roomy = sum(free > 76 for free in free_gib)
    assert choice.preset is GLM_AIR_FP8
    assert choice.reason == f"{roomy} GPUs have room for it"


def test_without_gpus_the_reason_is_what_the_driver_said() -> None:
    choice = choose_preset(machine())

    assert choice.preset is NANO
    assert choice.reason == "no NVIDIA GPU was found (NVML: no driver)"


@pytest.mark.parametrize("free_gib", [(79,), (79, 70), (20, 20)])
def test_gpus_without_room_are_named_with_their_figures(free_gib: tuple[float, ...]) -> None:
    choice = choose_preset(machine(*free_gib))

    assert choice.preset is NANO
    assert "of compute capability 8.9 or newer with 76 GiB free each; here: " in choice.reason
    assert choice.reason.count("NVIDIA H100 with") == len(free_gib)
    assert f"{free_gib[-1]} of 80 GiB free" in choice.reason


def test_what_is_needed_and_what_is_here_are_clauses() -> None:
    assert needs_gpus(GLM_AIR_FP8) == (
        "needs 2 NVIDIA GPUs of compute capability 8.9 or newer with 76 GiB free each"
    )
    assert describe_gpus(machine()) == "no NVIDIA GPU (NVML: no driver)"
    assert describe_gpus(machine(79, 12.4)) == (
        "NVIDIA H100 with 79 of 80 GiB free, NVIDIA H100 with 12 of 80 GiB free"
    )
