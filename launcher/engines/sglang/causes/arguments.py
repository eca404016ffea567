"""Arguments that SGLang does not take, or that do not go with the model.

The texts are those of SGLang and argparse.
"""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Final

from launcher.engines.causes import ErrorCause, ErrorSign, LogCause, LogMatch, raised
from launcher.engines.sglang.causes.advice import (
    REFUSALS,
    flag_table,
    named_flags,
    quote,
    quoted_advice,
    said,
    solved,
    unknown_flags,
    value_of,
    with_values,
    without_boilerplate,
)
from launcher.engines.sglang.version import VERIFIED_VERSION
from launcher.text import nearest, whole_number

_LEAVE_OUT_QUANTIZATION: Final = (
    "Leave --quantization out: SGLang reads the method from the checkpoint."
)
_CHECKS: Final = re.compile(r"(?:/|^)server_args\.py$|/arg_groups/|launch_server\.py$")
_DIVISIBLE: Final = re.compile(
    r"(\w+) (?:must be|is not|should be) (?:divisible by|a multiple of) (\w+)"
)
_LISTED: Final = re.compile(
    r"(?:one of|only|Available \w+:|Valid \w+:|choose from) ?[\[(](?P<values>[^\])]+)"
)
# What a refusal says -> what to do with the flags that it names; the first that fits.
_VERBS: Final = (
    (
        r"exclusive|at the same time|together|incompatible|conflict|cannot be used",
        "Leave out",
    ),
    (r" is None\b", "Give all that belong together, or none:"),
    (r"disabled|unset|turned off|== ?\d|=\d", "Change"),
    (
        r"requires?\b|need to specify|must (?:be set|specify)|is required|not set",
        "Give what it requires:",
    ),
    (r"only (?:supported|allowed|available|works|valid)|not supported", "Leave out, or change,"),
)
# Options of vLLM -> SGLang's: people come from there.
_OF_VLLM: Final = {
    "--max-model-len": "--context-length",
    "--gpu-memory-utilization": "--mem-fraction-static",
    "--max-num-seqs": "--max-running-requests",
    "--max-num-batched-tokens": "`--chunked-prefill-size`",
    "--enforce-eager": "`-- --cuda-graph-backend-decode disabled`",
    "--enable-prefix-caching": "its radix cache, which is on by itself,",
    "--no-enable-prefix-caching": "`-- --disable-radix-cache`",
    "--enable-auto-tool-choice": "--tool-call-parser alone",
    "--swap-space": "`-- --enable-hierarchical-cache`",
    "--speculative-config": "--speculative-algorithm and its kin",
    "--enable-chunked-prefill": "`--chunked-prefill-size`",
    "--enable-expert-parallel": "`--ep-size`",
}
# Flags that SGLang had once -> what does their work since: the changes of server_args.py.
_REPLACED: Final = {
    "--enable-ep-moe": "`--ep-size`",
    "--enable-deepep-moe": "`-- --moe-a2a-backend deepep`",
    "--enable-flashinfer-moe": "`-- --moe-runner-backend flashinfer_cutlass`",
    "--enable-flashinfer-cutlass-moe": "`-- --moe-runner-backend flashinfer_cutlass`",
    "--enable-flashinfer-trtllm-moe": "`-- --moe-runner-backend flashinfer_trtllm`",
    "--enable-triton-kernel-moe": "`-- --moe-runner-backend triton_kernel`",
    "--enable-flashinfer-mla": "`--attention-backend flashinfer`",
    "--enable-flashmla": "`--attention-backend flashmla`",
    "--disable-mla": "`--attention-backend`",
    "--disable-flashinfer": "`--attention-backend triton`",
    "--disable-flashinfer-sampling": "`-- --sampling-backend pytorch`",
    "--cuda-graph-max-bs": "`-- --cuda-graph-max-bs-decode`",
    "--cuda-graph-bs": "`-- --cuda-graph-bs-decode`",
    "--disable-cuda-graph": "`-- --cuda-graph-backend-decode disabled`",
    "--torchao-config": "`--quantization`",
    "--schedule-heuristic": "`-- --schedule-policy`",
    "--enable-p2p-check": "nothing",
    "--speculative-draft": "--speculative-draft-model-path",
}


def _supported_dtype(match: LogMatch) -> str:
    """The change to 'bfloat16' of '[torch.bfloat16, torch.half]'."""
    found = re.search(r"torch\.(\w+)", match["supported"])
    return f"Replace --dtype {match.config.dtype} by --dtype {found[1] if found else 'auto'}."


def _context(match: LogMatch) -> str:
    asked, allowed = whole_number(match["asked"]), whole_number(match["allowed"])
    return f"The context length {asked:,} is more than the model's {allowed:,}."


def _unknown_choice(match: LogMatch) -> str:
    value = match["value"].strip("'")
    choices = re.findall(r"[\w.-]+", match["choices"].replace("choose from", ""))
    # Relatives have the same beginning: 'fp8' is one of fp8_e4m3, 'qwen3' of qwen and qwen25.
    alike = [one for one in choices if one[:4] == value[:4] or one.startswith(value)]
    near = f" (near it are {', '.join(map(repr, alike[:4]))})" if alike else nearest(value, choices)
    return f"SGLang does not take {value!r} for {match['flag']}{near}."


def _no_template(match: LogMatch) -> str:
    return f"The chat template {PurePath(match['file']).name} is neither a file nor a known name."


def _correct(match: LogMatch) -> str:
    flag = match["flag"] or match["ambiguous"]
    if "ignored explicit argument" in match["text"]:
        return f"Write {flag} alone: it takes no value."
    if re.search(r"expected (?:one|at least one|\d+) argument", match["text"]):
        return f"Give {flag} its value, right behind it."
    if flag in _REPLACED:
        return f"Write {_REPLACED[flag]} instead, which does its work now, or leave it out."
    return (
        f"Correct {flag or 'what that line names'}, or leave it out; `sglang serve --help` shows "
        "what each option takes."
    )


def _leave_out(match: LogMatch) -> str:
    """The nearest known flag for each, or that the server's version is older than the flag."""
    flags = re.findall(r"--[a-z][\w-]*", match["arguments"])
    hyphened = next((flag for flag in flags if "_" in flag), "").replace("_", "-")
    if hyphened in flag_table().names:
        return f"Write {hyphened}, with hyphens."
    known = [flag for flag in flags if flag in flag_table().names]
    if known:
        return (
            f"Leave out {known[0]}, which SGLang {VERIFIED_VERSION} has: the one that was started "
            "is of another version; or install that version."
        )
    theirs = [_OF_VLLM[flag] for flag in flags if flag in _OF_VLLM]
    if theirs:
        return f"Those are vLLM's options; SGLang has {', '.join(theirs)} for them."
    instead = next((_REPLACED[flag] for flag in flags if flag in _REPLACED), "")
    if instead:
        return f"Leave it out: newer versions of SGLang have {instead} in its place."
    near = nearest(flags[0], flag_table().names, least=0.8) if flags else ""
    return (
        f"Leave out, or correct, what stands behind `--`{near}; a flag of a newer SGLang needs that"
        " version."
    )


def _is_argument_check(sign: ErrorSign) -> bool:
    frames = sign.error.frames
    innermost = frames[-1].path if frames else ""
    return bool(_CHECKS.search(innermost)) and sign.error.short_kind in REFUSALS


def _change_arguments(sign: ErrorSign) -> str:
    text = without_boilerplate(sign.error.text) or (
        sign.error.frames[-1].code if sign.error.frames else ""
    )
    flags = named_flags(text)
    advice = quoted_advice(sign.error.text)
    change = f"{_how_to_change(text, flags)} {_flags(sign, text, flags)}"
    if advice and advice.rstrip(". ") != quote(sign.error.text):
        return f"{change}; SGLang advises: {advice.rstrip('.; ')}.{unknown_flags(advice)}"
    number = _multiple(sign, text) or _alternatives(text) or solved(text)
    return f"{change}{number}.{unknown_flags(text)}"


def _multiple(sign: ErrorSign, text: str) -> str:
    """The clause that names a value which a check for divisibility takes, where both are known."""
    found = _DIVISIBLE.search(text)
    if found is None:
        return ""
    values = (value_of(sign.config, f"--{name.replace('_', '-')}") or "" for name in found.groups())
    number, step = (whole_number(value) if value.isdecimal() else 0 for value in values)
    return f", such as {-(-number // step) * step} for the first" if number and step > 1 else ""


def _alternatives(text: str) -> str:
    """The clause that names the values which a refusal lists, the first few."""
    found = _LISTED.search(text)
    values = re.findall(r"[\w.-]+", found["values"]) if found else []
    return f", to one of {', '.join(values[:4])}" if len(values) > 1 else ""


def _how_to_change(text: str, flags: tuple[str, ...]) -> str:
    """The verb that a refusal asks for, by its words."""
    if _alternatives(text):
        return "Change"
    verb = next((verb for pattern, verb in _VERBS if re.search(pattern, text)), "Change")
    return f"{verb} one of" if verb == "Leave out" and len(flags) > 1 else verb


def _flags(sign: ErrorSign, text: str, flags: tuple[str, ...]) -> str:
    if not flags:
        return "the options that it speaks of"
    if " is None" in text and flags[0].startswith("--speculative-"):
        # arg_groups/speculative_hook.py asserts one of the three at a time.
        flags = (
            "--speculative-num-steps",
            "--speculative-eagle-topk",
            "--speculative-num-draft-tokens",
        )
    return with_values(sign.config, flags)


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
    "draft-context-shorter": LogCause(
        pattern=raised(
            r".*Target model's context_length \((?P<asked>\d+)\) is greater than the derived "
            r"context_length \((?P<allowed>\d+)\)"
        ),
        sample="ValueError: Warning: Target model's context_length (131072) is greater than the "
        "derived context_length (2048).",
        summary="The draft model takes {allowed} tokens of context, and the target {asked}.",
        action="Set SGLANG_ALLOW_OVERWRITE_LONGER_CONTEXT_LEN=1, which lets it draft further than "
        "it was made for; or take a draft that was made for longer contexts, or --no-speculation.",
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
        action=_leave_out,
        remedy="Leave out, or correct, what stands behind `--`, or take the SGLang that has it.",
    ),
    "argument-malformed": LogCause(
        pattern=r"error: (?P<text>argument (?P<flag>--[\w-]+)[\w/-]*: .+"
        r"|the following arguments are required: .+|ambiguous option: (?P<ambiguous>--[\w-]+).*"
        r"|one of the arguments .+ is required)",
        sample="launch_server.py: error: argument --tp-size: invalid int value: 'two'\n"
        "launch_server.py: error: the following arguments are required: --model-path",
        summary=lambda match: (
            f"SGLang cannot read its command line: {match['text'].strip().rstrip('.')}."
        ),
        action=_correct,
        remedy="Correct that option, or leave it out.",
    ),
    "chat-template-missing": LogCause(
        pattern=raised(r".*[Cc]hat template (?P<file>\S+) is not a"),
        sample="RuntimeError: Chat template /nano.jinja is not a built-in template name",
        summary=_no_template,
        action="Check what stands behind --chat-template, or leave it out.",
    ),
}

# Whatever a check of the arguments says: its text is quoted, its flags are shown with their values.
GENERAL: Final = {
    "arguments-refused": ErrorCause(
        applies=_is_argument_check,
        summary=lambda sign: f"SGLang refuses this combination of arguments: {said(sign)}.",
        action=_change_arguments,
        looks="any exception below `server_args.py` or `arg_groups/`",
        remedy="Change the flags that it names; its own advice is quoted.",
    ),
}
