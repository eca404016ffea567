"""Arguments that SGLang does not take, or that do not go with the model.

The texts are those of SGLang and argparse.
"""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Final

from launcher.engines.causes import LogCause, LogMatch, raised
from launcher.text import nearest

_LEAVE_OUT_QUANTIZATION: Final = (
    "Leave --quantization out: SGLang reads the method from the checkpoint."
)


def _supported_dtype(match: LogMatch) -> str:
    """The change to 'bfloat16' of '[torch.bfloat16, torch.half]'."""
    found = re.search(r"torch\.(\w+)", match["supported"])
    return f"Replace --dtype {match.config.dtype} by --dtype {found[1] if found else 'auto'}."


def _context(match: LogMatch) -> str:
    asked, allowed = int(match["asked"]), int(match["allowed"])
    return f"The context length {asked:,} is more than the model's {allowed:,}."


def _size_does_not_fit(match: LogMatch) -> str:
    number = _number_to_split(match)
    if match["experts"]:
        why = f"the model has {number} experts"
    elif number:
        why = f"{number} is not a multiple of it"
    else:
        why = "it does not divide the model's heads"
    return f"The tensor parallel size {match.config.tp_size} does not fit the model: {why}."


def _smaller_size(match: LogMatch) -> str:
    """The largest smaller tensor parallel size that divides the number, else a power of two."""
    size, number = match.config.tp_size, _number_to_split(match)
    fits = (lambda one: number % one == 0) if number else (lambda one: one & (one - 1) == 0)
    smaller = next(filter(fits, range(size - 1, 0, -1)), 1)
    return f"Lower --tp-size from {size} to {smaller}."


def _number_to_split(match: LogMatch) -> int:
    """What the ranks would share evenly, or 0 where SGLang does not say it."""
    return int(match["number"] or match["experts"] or 0)


def _unknown_choice(match: LogMatch) -> str:
    value = match["value"].strip("'")
    choices = re.findall(r"'([^']*)'", match["choices"])
    return f"SGLang does not take {value!r} for {match['flag']}{nearest(value, choices)}."


def _no_template(match: LogMatch) -> str:
    return f"The chat template {PurePath(match['file']).name} is neither a file nor a known name."


def _no_nextn(match: LogMatch) -> str:
    algorithm = match.config.speculative_algorithm or "EAGLE"
    return f"The model {match.config.model_path} has no NextN layer for {algorithm} to draft with."


ERRORS: Final = {
    "quantization-unknown": LogCause(
        pattern=raised(r"(?:Unknown|Invalid) quantization method: (?P<method>[\w-]+)"),
        sample="ValueError: Unknown quantization method: glm_quant. Must be one of ['fp8', 'awq']",
        summary="This SGLang does not know the quantization {method}.",
        action="Serve another checkpoint of the model, such as the FP8 one.",
    ),
    "quantization-mismatch": LogCause(
        pattern=raised(
            r"Quantization method specified in the model config \((?P<theirs>[^)]*)\) does not "
            r"match the quantization method specified in the `quantization` argument "
            r"\((?P<ours>[^)]*)\)"
        ),
        sample="ValueError: Quantization method specified in the model config (fp8) does not match "
        "the quantization method specified in the `quantization` argument (awq).",
        summary="The checkpoint is quantized with {theirs} and --quantization asks for {ours}.",
        action=_LEAVE_OUT_QUANTIZATION,
    ),
    "checkpoint-not-quantized": LogCause(
        pattern=raised(r"Cannot find the config file for (?P<method>[\w-]+)"),
        sample="ValueError: Cannot find the config file for awq",
        summary="The checkpoint is not quantized with {method}, which --quantization asks for.",
        action=_LEAVE_OUT_QUANTIZATION,
    ),
    "dtype-unsupported": LogCause(
        pattern=raised(
            r"(?P<dtype>\S+) is not supported for quantization method (?P<method>\S+?)\. "
            r"Supported dtypes: (?P<supported>.*)"
        ),
        sample="ValueError: torch.float32 is not supported for quantization method fp8. "
        "Supported dtypes: [torch.bfloat16, torch.float16]",
        summary="The type {dtype} is not supported with quantization {method}: {supported} are.",
        action=_supported_dtype,
        remedy="Choose a `--dtype` of those that it lists.",
    ),
    "context-too-long": LogCause(
        # Only where it is an error: with an environment variable it is a warning.
        pattern=raised(
            r".*context_length \((?P<asked>\d+)\) is greater than the derived context_length "
            r"\((?P<allowed>\d+)\)"
        ),
        sample="ValueError: Warning: User-specified context_length (1000000) is greater than the "
        "derived context_length (8192).",
        summary=_context,
        action="Lower --context-length from {asked} to {allowed}, or leave it out.",
    ),
    "tensor-parallel-size": LogCause(
        pattern=r"^\w*Error: (?:(?P<number>\d+) is not divisible by \d+"
        r"|Tensor parallel size \d+ is greater than the number of experts (?P<experts>\d+))"
        r"|^\s+assert .*heads % (?:attn_)?tp_size == 0",
        sample="AssertionError: 1408 is not divisible by 3\n"
        "ValueError: Tensor parallel size 2 is greater than the number of experts 1.",
        summary=_size_does_not_fit,
        action=_smaller_size,
        remedy="**Lower** `--tp-size`.",
    ),
    "unknown-choice": LogCause(
        pattern=r"error: argument (?P<flag>--[\w-]+)[\w/-]*: invalid choice: (?P<value>\S+)"
        r"(?: \(choose from (?P<choices>[^)]*))?",
        sample="error: argument --tool-call-parser: invalid choice: 'glm9' (choose from 'glm45')",
        summary=_unknown_choice,
        action="Give {flag} one of the names in that line, or leave it out.",
    ),
    "unknown-argument": LogCause(
        pattern=r"error: unrecognized arguments: (?P<arguments>.+)",
        sample="sglang serve: error: unrecognized arguments: --no-such-flag 1",
        summary="SGLang does not take these arguments: {arguments}.",
        action="Leave out, or correct, what stands behind `--`.",
    ),
    "chat-template-missing": LogCause(
        pattern=raised(r".*[Cc]hat template (?P<file>\S+) is not a"),
        sample="RuntimeError: Chat template /nano.jinja is not a built-in template name",
        summary=_no_template,
        action="Check what stands behind --chat-template, or leave it out.",
    ),
    "no-nextn-layer": LogCause(
        pattern=raised(
            r"Only 1 nextn layer is supported|num_nextn_predict_layers is not in the config"
        ),
        sample="AssertionError: Only 1 nextn layer is supported\n"
        "ValueError: num_nextn_predict_layers is not in the config",
        summary=_no_nextn,
        action="Name a draft model with --speculative-draft-model-path, or use --no-speculation.",
    ),
}
