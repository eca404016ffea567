"""Named starting points for a configuration, and which one suits a machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final

from launcher.errors import UnknownPresetError
from launcher.memory.lines import Settings
from launcher.memory.plan import kv_bytes_per_token
from launcher.memory.shape import count_parameters
from launcher.memory.shapes.known_shapes import KNOWN_SHAPES
from launcher.memory.weights import rank_bytes
from launcher.nano.folder import model_path
from launcher.system.hardware import GIB, Gpu, Hardware
from launcher.text import nearest

_LEAST_CONTEXT_TOKENS: Final = 8_192
_REPOSITORY: Final = "zai-org/GLM-4.5-Air-FP8"
_RANKS: Final = 2

# On a CPU a fraction of the host's memory would be a KV cache of many GiB for a small model; the
# number of tokens is what one wants to say there.
CPU_KV_CACHE_TOKENS: Final = 65_536
# What a preset says of these holds for its own device: a GPU has another memory and other types.
_DEVICE_FIELDS: Final = frozenset(
    {
        *("dtype", "mem_fraction_static", "max_total_tokens", "max_running_requests"),
        "gpu_memory_utilization",
    }
)
DEFAULT_ENGINE: Final = "sglang"
# What a preset says of these holds for its own engine: another one measures memory otherwise, or
# has nothing of the kind.
_ENGINE_FIELDS: Final = frozenset(
    {
        *("mem_fraction_static", "max_total_tokens", "strict_tool_calls"),
        "gpu_memory_utilization",
    }
)


@dataclass(frozen=True, slots=True)
class Preset:
    """A named set of fields with what they need of a machine."""

    name: str
    fields: Mapping[str, Any]
    gpus: int = 0
    least_compute_capability: tuple[int, int] = (0, 0)
    static_bytes_per_gpu: int = 0

    @property
    def engine(self) -> str:
        """Which engine it is for."""
        return str(self.fields.get("engine", DEFAULT_ENGINE))

    @property
    def memory_fraction(self) -> float:
        """The share of a GPU's memory that its engine is given."""
        own = "gpu_memory_utilization" if self.engine == "vllm" else "mem_fraction_static"
        return float(self.fields[own])


def _static_bytes_per_gpu() -> int:
    """What has to lie within the static fraction on each card: weights, draft, a short context.

    docs/architecture.md has the sums.
    """
    shape = KNOWN_SHAPES[_REPOSITORY]
    counted = count_parameters(shape)
    weights = rank_bytes(counted.main + counted.nextn, shape, _RANKS, shape.weight_type)
    settings = Settings(tp_size=_RANKS, draft_layers=shape.nextn_layers)
    return weights + _LEAST_CONTEXT_TOKENS * kv_bytes_per_token(shape, settings, shape.weight_type)


EAGLE_3_1_4: Final[Mapping[str, Any]] = MappingProxyType(
    {
        "speculative_algorithm": "EAGLE",
        "speculative_num_steps": 3,
        "speculative_eagle_topk": 1,
        "speculative_num_draft_tokens": 4,
    }
)
GLM45_PARSERS: Final[Mapping[str, Any]] = MappingProxyType(
    {"tool_call_parser": "glm45", "reasoning_parser": "glm45"}
)

# What any client needs to get right answers. `--enable-response-store` is not among it: the store
# keeps each conversation in memory as long as the server lives, without a bound, and shows it to
# whoever has the API key (sglang 0.5.23, entrypoints/openai/serving_responses.py). Without it
# SGLang refuses `previous_response_id` with a sentence.
FOR_CLIENTS: Final[Mapping[str, Any]] = MappingProxyType(
    {
        # A grammar that allows white space anywhere allows it without end, and a model under
        # speculation stays in it up to its limit (sglang issue 13514).
        "constrained_json_disable_any_whitespace": True,
        # `usage.prompt_tokens_details.cached_tokens` of the OpenAI API is null without it.
        "enable_cache_report": True,
    }
)

# GLM-4.5-Air in FP8 on two 80 GB GPUs, EAGLE with the model's own NextN layer.
GLM_AIR_FP8: Final = Preset(
    name="glm-4.5-air-fp8",
    fields=MappingProxyType(
        {
            "model_path": _REPOSITORY,
            "served_model_name": "glm-4.5-air",
            "device": "cuda",
            "tp_size": _RANKS,
            "mem_fraction_static": 0.7,
            **EAGLE_3_1_4,
            **GLM45_PARSERS,
            **FOR_CLIENTS,
        }
    ),
    gpus=_RANKS,
    # FP8 in hardware: Ada, Hopper and newer.
    least_compute_capability=(8, 9),
    static_bytes_per_gpu=_static_bytes_per_gpu(),
)
# The embedded model of the same architecture on a CPU, for development and tests.
NANO: Final = Preset(
    name="nano",
    fields=MappingProxyType(
        {
            "model_path": str(model_path()),
            "served_model_name": "nano",
            "device": "cpu",
            "dtype": "float32",
            "max_total_tokens": CPU_KV_CACHE_TOKENS,
            "max_running_requests": 32,
            **EAGLE_3_1_4,
            **GLM45_PARSERS,
            # So small a model finds the right tool more often than it spells its name.
            "strict_tool_calls": True,
            **FOR_CLIENTS,
        }
    ),
)

# The same two models by the second engine. It counts graphs and activations into its share.
GLM_AIR_FP8_VLLM: Final = Preset(
    name="glm-4.5-air-fp8-vllm",
    fields=MappingProxyType(
        {
            "engine": "vllm",
            "model_path": _REPOSITORY,
            "served_model_name": "glm-4.5-air",
            "device": "cuda",
            "tp_size": _RANKS,
            "gpu_memory_utilization": 0.9,
            **EAGLE_3_1_4,
            **GLM45_PARSERS,
            **FOR_CLIENTS,
        }
    ),
    gpus=_RANKS,
    least_compute_capability=(8, 9),
    static_bytes_per_gpu=_static_bytes_per_gpu(),
)
NANO_VLLM: Final = Preset(
    name="nano-vllm",
    fields=MappingProxyType(
        {
            "engine": "vllm",
            "model_path": str(model_path()),
            "served_model_name": "nano",
            "device": "cpu",
            "dtype": "float32",
            "max_running_requests": 32,
            **EAGLE_3_1_4,
            **GLM45_PARSERS,
            **FOR_CLIENTS,
        }
    ),
)

# A model of the user's own: on a GPU where there is one, else on the CPU; see `on_device`.
CUSTOM: Final = Preset(
    name="custom",
    fields=FOR_CLIENTS,
)

PRESETS: Final[Mapping[str, Preset]] = MappingProxyType(
    {preset.name: preset for preset in (GLM_AIR_FP8, GLM_AIR_FP8_VLLM, NANO, NANO_VLLM, CUSTOM)}
)
# What each engine serves where neither a preset nor a model is named: with GPUs, and without.
_OWN_CHOICE: Final[Mapping[str, tuple[Preset, Preset]]] = MappingProxyType(
    {"sglang": (GLM_AIR_FP8, NANO), "vllm": (GLM_AIR_FP8_VLLM, NANO_VLLM)}
)


@dataclass(frozen=True, slots=True)
class Choice:
    """The preset for a machine, and in one line why."""

    preset: Preset
    reason: str


def get_preset(name: str) -> Preset:
    """The preset of that name.

    Raises:
        UnknownPresetError: there is none; it names the nearest.
    """
    try:
        return PRESETS[name]
    except KeyError:
        raise UnknownPresetError(
            f"There is no preset {name!r}{nearest(name, PRESETS)}.",
            action=f"Choose one of: {', '.join(PRESETS)}.",
        ) from None


def roomy_gpus(hardware: Hardware, preset: Preset, fraction: float) -> tuple[Gpu, ...]:
    """The GPUs that are new enough for a preset and have room for its static part as they are now.

    Formula: static bytes <= fraction x free bytes; of vLLM, fraction x all bytes, which have to be
    free.
    Source: sglang, mem_cache/kv_cache_configurator.py: the budget is a fraction of what was free
    before loading. vllm 0.32.0, v1/worker/utils.py, `request_memory`: of all memory, and free
    memory below it is an error.
    """

    def budget(gpu: Gpu) -> float:
        if preset.engine != "vllm":
            return fraction * gpu.free_bytes
        return fraction * gpu.total_bytes if gpu.free_bytes >= fraction * gpu.total_bytes else 0.0

    return tuple(
        gpu
        for gpu in hardware.gpus
        if gpu.compute_capability >= preset.least_compute_capability
        and preset.static_bytes_per_gpu <= budget(gpu)
    )


def choose_preset(
    hardware: Hardware, device: str | None = None, engine: str = DEFAULT_ENGINE
) -> Choice:
    """The preset that `up` takes when neither a preset nor a model is named.

    Args:
        hardware: the machine.
        device: where the model shall run; None: where it can.
        engine: what shall serve it; one that is not known is refused with the other fields, later.
    """
    on_gpus, on_cpu = _OWN_CHOICE.get(engine, _OWN_CHOICE[DEFAULT_ENGINE])
    if device == "cpu":
        return Choice(on_cpu, "the CPU was asked for")
    roomy = roomy_gpus(hardware, on_gpus, on_gpus.memory_fraction)
    if len(roomy) >= on_gpus.gpus:
        return Choice(on_gpus, f"{len(roomy)} GPUs have room for it")
    if not hardware.gpus:
        return Choice(on_cpu, f"no NVIDIA GPU was found ({hardware.gpu_note})")
    return Choice(
        on_cpu,
        f"{on_gpus.name} {needs_gpus(on_gpus)}; "
        f"{'here' if hardware.gpus_are_here else 'named'}: {describe_gpus(hardware)}",
    )


def on_engine(preset: Preset, engine: str) -> Preset:
    """The preset without what holds for another engine alone."""
    if preset.engine == engine:
        return preset
    kept = {field: value for field, value in preset.fields.items() if field not in _ENGINE_FIELDS}
    return replace(preset, fields=MappingProxyType({**kept, "engine": engine}))


def on_device(preset: Preset, device: str) -> Preset:
    """The preset without what holds for another device alone; on a CPU with a KV cache for one."""
    if preset.fields.get("device") == device:
        return preset
    kept = {field: value for field, value in preset.fields.items() if field not in _DEVICE_FIELDS}
    sized = device == "cpu" and preset.engine == DEFAULT_ENGINE
    own = {"max_total_tokens": CPU_KV_CACHE_TOKENS} if sized else {}
    return replace(preset, fields=MappingProxyType({**kept, "device": device, **own}))


def needs_gpus(preset: Preset) -> str:
    """What a preset asks of the GPUs, as a clause."""
    free_gib = preset.static_bytes_per_gpu / preset.memory_fraction / GIB
    major, minor = preset.least_compute_capability
    return (
        f"needs {preset.gpus} NVIDIA GPUs of compute capability {major}.{minor} or newer "
        f"with {free_gib:.0f} GiB free each"
    )


def describe_gpus(hardware: Hardware) -> str:
    """The GPUs with their free memory, as a clause; of those that are not here, all of it."""
    if not hardware.gpus:
        return f"no NVIDIA GPU ({hardware.gpu_note})"
    if not hardware.gpus_are_here:
        return ", ".join(
            f"{gpu.name} with {gpu.total_bytes / GIB:.0f} GiB" for gpu in hardware.gpus
        )
    return ", ".join(
        f"{gpu.name} with {gpu.free_bytes / GIB:.0f} of {gpu.total_bytes / GIB:.0f} GiB free"
        for gpu in hardware.gpus
    )
