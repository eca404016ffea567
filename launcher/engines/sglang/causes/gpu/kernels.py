"""Kernels that this GPU does not run: its architecture, its shared memory, its number formats.

The texts are those of SGLang, triton, flashinfer and torch.
"""

from __future__ import annotations

import re
from typing import Final

from launcher.engines.causes import Confidence, LogCause, LogMatch, raised
from launcher.engines.sglang.causes.advice import quote, quoted_advice, unknown_flags
from launcher.text import whole_number

_FP8_LEAST_CAPABILITY: Final = 89
_NEEDS: Final = (
    r"(?:SM ?(?:>=? ?)?\d{2,3}\w?\b|SM \d+\.\w|sm_?\d{2,3}\w?\b|compute capability"
    r"|[Hh]opper|[Bb]lackwell|Ampere|\bAda\b|MI3\d\d|gfx\d+)"
)


def _kernel_shared_memory(match: LogMatch) -> str:
    required, limit = whole_number(match["required"]), whole_number(match["limit"])
    return (
        f"A Triton kernel needs {required:,} bytes of the GPU's shared memory and the hardware has "
        f"{limit:,}."
    )


def _capabilities(match: LogMatch) -> str:
    """The sentence that says '8.9' of SGLang's 89."""
    if match["type"]:
        return (
            f"This GPU has no {match['type']} (FP8 with 4 bits of exponent): it needs Ada, Hopper "
            "or newer."
        )
    if match["scheme"]:
        return (
            "The checkpoint's quantization needs compute capability "
            f"{_dotted(match['scheme'])} and this GPU has {_dotted(match['current'])}."
        )
    if not match["least"]:
        return "This GPU has no FP8 arithmetic, which the checkpoint or the KV cache asks for."
    least, here = _dotted(match["least"]), _dotted(match["here"])
    return (
        f"Quantization {match['method']} needs compute capability {least} and this GPU has {here}."
    )


def _dotted(capability: str) -> str:
    """The '8.9' of SGLang's 89."""
    whole, tenth = divmod(whole_number(capability), 10)
    return f"{whole}.{tenth}"


def _newer_gpu(match: LogMatch) -> str:
    least = whole_number(match["least"] or match["scheme"]) or _FP8_LEAST_CAPABILITY
    fp8 = "FP8 needs Ada, Hopper or newer; " if least >= _FP8_LEAST_CAPABILITY else ""
    cache = match.config.kv_cache_dtype or ""
    auto = f"Replace --kv-cache-dtype {cache} by auto; or take" if "fp8" in cache else "Take"
    # Where triton complains, the checkpoint or the KV cache may be what is in FP8.
    unsaid = match["type"] and "fp8" not in cache
    return (
        f"{auto} a newer GPU, or --model-path of an unquantized checkpoint ({fp8}BF16 runs here)"
        + (", with --kv-cache-dtype auto." if unsaid else ".")
    )


def _without_feature(match: LogMatch) -> str:
    if "bf16" in match["feature"]:
        return "Replace --dtype by float16, or take a GPU of Ampere or newer."
    if re.search(r"e4m3|e5m2|fp8", match["feature"]):
        return "Take a checkpoint without FP8 and --kv-cache-dtype auto, or a newer GPU."
    return "Leave out the backend or quantization that needs it, or take a newer GPU."


def _more_shared_memory(match: LogMatch) -> str:
    if match.came_through_path("attention") or "attention" in match.text:
        return (
            "Choose another attention backend, `--attention-backend flashinfer`, or serve on a "
            "GPU with more (H100: 232,448 bytes); it is the chip's own memory, not the GPU's."
        )
    return (
        "Serve on a GPU with more (H100: 232,448 bytes), serve the checkpoint without FP8, or "
        "point SGLANG_MOE_CONFIG_DIR at a kernel configuration with smaller blocks."
    )


def _not_for_gpu(match: LogMatch) -> str:
    return f"A chosen part does not run on this GPU: {quote(match.text)}."


def _another_backend(match: LogMatch) -> str:
    advice = quoted_advice(match.text)
    if "kv-cache-dtype" in match.text:
        return "Replace --kv-cache-dtype by fp8_e4m3 (Ada, Hopper and newer) or auto."
    if advice and re.search(r"`?--[a-z]|[A-Z_]{5,}=", advice):
        return f"SGLang itself advises: {advice.rstrip('.')}.{unknown_flags(advice)}"
    frames = " ".join(place for place, _ in match.frames())
    asked = " ".join(arg for arg in match.config.extra_args if "mm-attention" in arg)
    text = f"{match.text} {frames} {asked}".lower()
    return next(
        (action for pattern, action in _BACKENDS if re.search(pattern, text)),
        "Leave the option out that asks for it, or take a GPU that has it.",
    )


_OTHER_FORMAT: Final = (
    "Take a checkpoint in a number format that this GPU has (BF16, or FP8 from Ada and Hopper on), "
    "or a newer GPU."
)
_VISION: Final = (
    "Choose another backend for the vision encoder: `-- --mm-attention-backend triton_attn` or "
    "sdpa."
)
# What the text or the frames name -> the backend that may be another.
_BACKENDS: Final = (
    (r"vision|multimodal|mm-attention-backend", _VISION),
    (
        r"attention|attn|mla|fa3|flashinfer",
        "Choose another attention backend: `--attention-backend flashinfer` or triton.",
    ),
    (r"moe", "Choose another backend for the experts: `-- --moe-runner-backend triton`."),
    (r"fp8|fp4|gemm|quant|marlin", _OTHER_FORMAT),
)


ERRORS: Final = {
    "kernel-shared-memory": LogCause(
        pattern=r"(?:out of resource: )?shared memory, Required: (?P<required>\d+), "
        r"Hardware limit: (?P<limit>\d+)",
        sample="out of resource: shared memory, Required: 147456, Hardware limit: 101376.",
        summary=_kernel_shared_memory,
        action=_more_shared_memory,
        remedy="Choose another attention backend, or smaller blocks (SGLANG_MOE_CONFIG_DIR), or a "
        "GPU with more.",
    ),
    "quantization-needs-newer-gpu": LogCause(
        pattern=r"The quantization method (?P<method>\S+) is not supported for the current GPU\. "
        r"Minimum capability: (?P<least>\d+)\. Current capability: (?P<here>\d+)"
        r"|[Qq]uantization scheme is not supported.*?capability: (?P<scheme>\d+)\W+"
        r"Current capability: (?P<current>\d+)"
        r"|(?:type )?(?P<type>fp8e4\w+) (?:data type is )?not supported (?:in this|on CUDA) arch"
        r"|torch\._scaled_mm is only supported on|No implemented fp8\w* for current compute"
        r"|[Ff]loat8_e4m3\w* is (?:only|not) supported",
        sample="ValueError: The quantization method compressed-tensors is not supported for the "
        "current GPU. Minimum capability: 89. Current capability: 80.\n"
        'ValueError("type fp8e4nv not supported in this architecture. The supported fp8 dtypes '
        "are ('fp8e5',)\")",
        summary=_capabilities,
        action=_newer_gpu,
        remedy="Take a newer GPU, or an unquantized checkpoint; `--kv-cache-dtype auto`.",
    ),
    "no-kernel-for-gpu": LogCause(
        pattern=r"no kernel image is available for execution|CUDA error: invalid device function",
        sample="CUDA error: no kernel image is available for execution on the device",
        summary="The installed kernels were not built for this GPU.",
        action="Install torch and sglang-kernel for this GPU's compute capability, or take another "
        "GPU.",
    ),
    "gpu-too-old": LogCause(
        pattern=r"SGLang only supports (?P<least>sm_?\d+)",
        sample="RuntimeError: SGLang only supports sm75 and above.",
        summary="This GPU is older than SGLang supports at all: {least} is the least.",
        action="Take a newer GPU (Turing, such as T4, or later): no option helps.",
    ),
    "gpu-lacks-feature": LogCause(
        pattern=r"Feature '(?P<feature>[^']{1,60})' (?:requires|not supported on) \.target "
        r"'?(?P<target>sm_\w+)",
        sample="ptxas /tmp/tmp7z.ptx, line 97; error   : Feature '.bf16' requires .target sm_80 or "
        "higher",
        summary="This GPU has no {feature}: a kernel needs {target} or newer.",
        action=_without_feature,
        remedy="Take a number format that this GPU has (`--dtype float16` for bf16), or a newer "
        "GPU.",
    ),
    "kernel-not-built": LogCause(
        pattern=r"^AttributeError: '_OpNamespace' '(?P<package>\w+)' object has no attribute "
        r"'(?P<kernel>\w+)'|^NameError: name '(?P<name>(?:sgl|sglang|flashinfer|cutlass|deep_gemm|"
        r"triton|marlin|tinygemm|fused)_\w+)' is not defined",
        sample="AttributeError: '_OpNamespace' 'sgl_kernel' object has no attribute 'moe_align'\n"
        "NameError: name 'sgl_per_tensor_quant_fp8' is not defined",
        summary=lambda match: (
            f"The installed kernels have no {match['kernel'] or match['name']}: they are of "
            "another version than this SGLang, or built for another device."
        ),
        action="Install sglang-kernel in the version that this SGLang asks for; where it is right, "
        "this device has no such kernel: leave out the quantization or backend that needs it.",
    ),
    "attention-shape": LogCause(
        pattern=r"[Uu]nsupported head_?dim\w*:? ?(?P<dim>\d+)?"
        r"|[Hh]ead (?:dim(?:ension)?|size) (?P<size>\d+)? ?(?:is )?(?:not supported|unsupported)"
        r"|FlashInfer Internal Error: Invalid configuration|Invalid configuration ?: NUM_MMA"
        r"|FlashAttention (?:forward )?only supports head dim\w* at most"
        r"|[Uu]nsupported (?:group_?size|page_?size|num_qo_heads)\w*",
        sample="RuntimeError: Error in function 'VariableLengthMergeStates' at "
        "flashinfer/attention/cascade.cuh:697: Unsupported head_dim: 106",
        summary=lambda match: (
            "The attention backend has no kernel for this model's heads"
            + (f": head dimension {dim}." if (dim := match["dim"] or match["size"]) else ".")
        ),
        action="Choose one that takes any: `--attention-backend triton` (or torch_native); "
        "memory and graphs are not to blame.",
    ),
    "not-for-this-gpu": LogCause(
        confidence=Confidence.LIKELY,
        pattern=raised(
            rf".*(?:requires?|[Oo]nly {_NEEDS}.*supported|only (?:supported|supports|available"
            rf"|works)|needs?|not supported|unsupported|not implemented"
            rf"|[Nn]o (?:implemented|kernel))\b.*{_NEEDS}"
            rf"|.*{_NEEDS}.*(?:is required|are required|or newer|not supported|is not)"
        ),
        sample="AssertionError: FlashAttention v3 Backend requires SM>=80 and SM<=90. Please use "
        "`--attention-backend flashinfer`.",
        summary=_not_for_gpu,
        action=_another_backend,
        remedy="Choose what SGLang advises, another backend, or another number format.",
    ),
}
