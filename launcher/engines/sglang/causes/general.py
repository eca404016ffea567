"""What the kind, the place or the advice of an exception tells, whatever its text.

SGLang's checks of its arguments alone raise in hundreds of places, so no table holds them all.
These rules are asked where no line of the output is known; none of them invents a remedy: they
quote what SGLang says, name the flags that it speaks of with their values, and say what it did.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from launcher.engines.causes import Confidence, ErrorCause, ErrorSign, Retry
from launcher.engines.sglang.causes.advice import (
    REFUSALS,
    library_of,
    named_flags,
    quote,
    quoted_advice,
    said,
    solved,
    special_options,
    unknown_flags,
    while_doing,
    with_values,
)
from launcher.engines.sglang.causes.model.speculation import in_draft

_NOT_SUPPORTED: Final = re.compile(
    r"\bnot (?:yet )?(?:currently )?(?:supported|implemented|allowed)|\b[Uu]nsupported"
    r"|\bdoes(?: not|n't) support|\bonly supports?\b|\bonly (?:supported|works)"
    r"|\brequires?\b|\bmust be\b|\bexpected\b"
)
_FILE_MISSING: Final = re.compile(
    r"(?:No such file or directory|does not exist)[:\"' ]+(?P<file>/[^'\"]+)"
)
_CONFIG_FIELD: Final = re.compile(
    r"'(?P<kind>\w*Config\w*)' object has no attribute '(?P<field>\w+)'"
)


# --- advice ---


def _has_advice(sign: ErrorSign) -> bool:
    return quoted_advice(sign.error.text) is not None


def _follow_advice(sign: ErrorSign) -> str:
    advice = quoted_advice(sign.error.text) or ""
    flags = named_flags(advice)
    values = f" ({with_values(sign.config, flags)})" if flags else ""
    return f"SGLang itself advises{values}: {advice.rstrip('.; ')}.{unknown_flags(advice)}"


# --- places ---


def _in_attention(sign: ErrorSign) -> bool:
    frames = sign.error.frames[-3:]
    return sign.error.short_kind in REFUSALS and any(
        re.search(r"/layers/attention/|flashinfer/(?:prefill|decode|mla)|flash_attn", frame.path)
        for frame in frames
    )


def _in_collectives(sign: ErrorSign) -> bool:
    return any(
        re.search(r"custom_all_reduce|quick_all_reduce|symm_mem|mscclpp", frame.path)
        for frame in sign.error.frames[-3:]
    )


def _in_speculation(sign: ErrorSign) -> bool:
    return any(in_draft(frame.path) for frame in sign.error.frames)


def _reads_config(sign: ErrorSign) -> bool:
    return bool(_CONFIG_FIELD.search(sign.error.text) or _asserts_a_value(sign)) or (
        sign.error.short_kind == "KeyError"
        and any("config" in frame.file for frame in sign.error.frames[-2:])
    )


def _asserts_a_value(sign: ErrorSign) -> re.Match[str] | None:
    """A bare assertion that something is there, while the model is made: a field of config.json."""
    frames = sign.error.frames
    if sign.error.text or not frames or sign.stage not in {"loaded weights", "computed a batch"}:
        return None
    return re.match(r"assert (?:[\w.]*\.)?(?P<field>\w+) is not None", frames[-1].code)


def _missing_field(sign: ErrorSign) -> str:
    found = _CONFIG_FIELD.search(sign.error.text) or _asserts_a_value(sign)
    field = found["field"] if found else quote(sign.error.text).strip("'\"")
    return f"The configuration of {sign.config.model_path} lacks what SGLang looks for: {field}."


def _missing_file(sign: ErrorSign) -> str:
    found = _FILE_MISSING.search(sign.error.text)
    return f"A file that SGLang wants is not there: {found['file'] if found else said(sign)}."


def _in_stage(*stages: str) -> Callable[[ErrorSign], bool]:
    return lambda sign: sign.stage in stages


def _while_importing(sign: ErrorSign) -> bool:
    """Whether a module was being imported: by a module that was being imported itself."""
    modules = [frame for frame in sign.error.frames if frame.function == "<module>"]
    return len(modules) > 1 or bool(
        modules and not sign.end.served and "-packages" in modules[-1].path
    )


def _packages(sign: ErrorSign) -> tuple[str, ...]:
    """The Python packages that the traceback goes through, the innermost first."""
    found = [
        match[1]
        for frame in reversed(sign.error.frames)
        if (match := re.search(r"(?:site|dist)-packages/([A-Za-z]\w*)", frame.path))
    ]
    return tuple(dict.fromkeys(name for name in found if name not in {"importlib", "packaging"}))


def _mend_import(sign: ErrorSign) -> str:
    names = _packages(sign)
    named = " and ".join(names[:2]) or "the package that it names"
    return (
        f"Install {named} in the versions that this SGLang asks for, and remove what an older "
        "installation left in site-packages (`uv pip check` lists what does not agree)."
    )


def _avoid(sign: ErrorSign) -> str:
    flags = named_flags(sign.error.text)
    special = special_options(sign.config)
    if flags:
        change = solved(sign.error.text)
        verb = "Change" if change else "Leave out, or change,"
        return f"{verb} {with_values(sign.config, flags)}{change}."
    what = f"{special}, or whatever asks for it" if special else "whatever asks for it"
    return f"Leave out {what}: an option, a quantization, a model that this version does not know."


def _failed_library(sign: ErrorSign) -> tuple[str, str] | None:
    frames = sign.error.frames
    return library_of(frames[-1].path) if frames else None


def _without_library(sign: ErrorSign) -> str:
    _, way = _failed_library(sign) or ("", "leave that library out")
    return f"{way[0].upper()}{way[1:]}, which goes round that library, or take a newer SGLang."


def _without_caches(sign: ErrorSign) -> str:
    special = special_options(sign.config)
    leave = f"leave out {special}" if special else "use `-- --disable-radix-cache`"
    return f"Start it again; should it return, {leave}, take a newer SGLang, and report it."


_LIKELY: Final = Confidence.LIKELY
GENERAL: Final = {
    "file-missing": ErrorCause(
        applies=lambda sign: bool(_FILE_MISSING.search(sign.error.text)),
        summary=_missing_file,
        action="Check that path in the options and the model's folder; in a container, check that "
        "the folder is mounted.",
        looks="`No such file or directory: '/…'`",
    ),
    "import-broken": ErrorCause(
        confidence=_LIKELY,
        broken_engine=True,
        applies=_while_importing,
        summary=lambda sign: (
            f"SGLang cannot be imported: {sign.error.short_kind} in "
            f"{(_packages(sign) or ('a module',))[0]}, {said(sign)}."
        ),
        action=_mend_import,
        looks="any exception while modules are imported",
        remedy="Install the packages in the versions that SGLang asks for.",
    ),
    "config-lacks-field": ErrorCause(
        confidence=_LIKELY,
        applies=_reads_config,
        summary=_missing_field,
        action="Take config.json and weights of the same revision, and the transformers that this "
        "SGLang asks for; a model that is newer than SGLang needs a newer one.",
        looks="`'…Config' object has no attribute '…'`",
    ),
    "engine-advice": ErrorCause(
        confidence=_LIKELY,
        retry=Retry.ONCE_SERVED,
        applies=_has_advice,
        summary=lambda sign: f"SGLang failed{while_doing(sign)}: {said(sign)}.",
        action=_follow_advice,
        looks="an exception whose text says what to do",
        remedy="What SGLang, torch or the driver itself advises, quoted.",
    ),
    "cache-check-failed": ErrorCause(
        confidence=_LIKELY,
        retry=Retry.ALWAYS,
        applies=lambda sign: (
            sign.error.short_kind in {"AssertionError", "KeyError", "IndexError"}
            and bool(sign.error.frames)
            and "/mem_cache/" in sign.error.frames[-1].path
            and any("scheduler" in f.path or "schedule_policy" in f.path for f in sign.error.frames)
            and not any(
                "__init__" in f.function or "load_model" in f.function
                for f in sign.error.frames[-2:]
            )
        ),
        summary=lambda sign: (
            f"SGLang's own books of its KV cache do not add up, a fault of SGLang and not of this "
            f"machine: {said(sign)}."
        ),
        action=_without_caches,
        looks="an assertion below `mem_cache/` while it serves",
        remedy="Leave out the hierarchical or the radix cache; start again.",
    ),
    "grammar-failed": ErrorCause(
        confidence=_LIKELY,
        retry=Retry.ONCE_SERVED,
        applies=_in_stage("compiled a grammar"),
        summary=lambda sign: (
            f"The grammar of a request (JSON schema, regular expression) ended the server: "
            f"{said(sign)}."
        ),
        action="Start again, and find the request with that schema; another backend may take it: "
        "`-- --grammar-backend llguidance`.",
        looks="any exception below `constrained/` or `xgrammar`",
    ),
    "tokenizer-failed": ErrorCause(
        confidence=_LIKELY,
        applies=_in_stage("loaded the tokenizer", "prepared an image, a sound or a video"),
        summary=lambda sign: (
            f"The tokenizer or processor of {sign.config.model_path} cannot be loaded or used: "
            f"{said(sign)}."
        ),
        action="Check that its files (tokenizer.json, preprocessor_config.json) are of the same "
        "revision as the weights and in the form that transformers reads; a model newer than this "
        "SGLang needs a newer one with its transformers.",
        looks="any exception while the tokenizer or processor is loaded",
    ),
    "transfer-failed": ErrorCause(
        confidence=_LIKELY,
        retry=Retry.ONCE_SERVED,
        applies=_in_stage("moved KV caches between servers"),
        summary=lambda sign: (
            f"KV caches could not be moved between the prefill and the decode servers: "
            f"{said(sign)}."
        ),
        action="Look at the other side's log: a server that ended there shows so here; see to RDMA "
        "(`ulimit -l unlimited`, nvidia_peermem, the devices of `-- --disaggregation-ib-device`), "
        "try `-- --disaggregation-transfer-backend nixl`, and start both again.",
        looks="any exception below `disaggregation/`",
    ),
    "custom-all-reduce": ErrorCause(
        confidence=_LIKELY,
        applies=_in_collectives,
        summary=lambda sign: f"The custom all-reduce failed: {said(sign)}.",
        action="Leave it out: `-- --disable-custom-all-reduce`; NCCL does its work then.",
        looks="any exception below `custom_all_reduce`",
    ),
    "attention-backend": ErrorCause(
        confidence=_LIKELY,
        applies=_in_attention,
        summary=lambda sign: (
            f"The attention backend does not take this model, GPU or option: {said(sign)}."
        ),
        action="Choose another attention backend: `--attention-backend flashinfer`, or triton.",
        looks="a refusal below `layers/attention/`",
    ),
    "library-failed": ErrorCause(
        confidence=_LIKELY,
        retry=Retry.ONCE_SERVED,
        applies=lambda sign: _failed_library(sign) is not None,
        summary=lambda sign: (
            f"{(_failed_library(sign) or ('A library', ''))[0]} failed{while_doing(sign)}: "
            f"{said(sign)}."
        ),
        action=_without_library,
        looks="any exception whose innermost frame is DeepGEMM's, FlashInfer's, xgrammar's, …",
        remedy="Go round that library, by the flag or variable that switches it off.",
    ),
    "weights-not-loaded": ErrorCause(
        confidence=_LIKELY,
        applies=lambda sign: (
            sign.error.short_kind in {*REFUSALS, "AttributeError", "KeyError", "IndexError"}
            and any(
                "load_weight" in frame.function or "weight_loader" in frame.function
                for frame in sign.error.frames
            )
        ),
        summary=lambda sign: (
            f"The model's class in this SGLang cannot load this checkpoint's weights: "
            f"{sign.error.short_kind}, {said(sign)}."
        ),
        action="Serve another checkpoint of the model, quantized another way or not at all, or a "
        "newer SGLang; the same files again do not help.",
        looks="any exception below `load_weights` or `weight_loader`",
    ),
    "not-supported": ErrorCause(
        confidence=_LIKELY,
        applies=lambda sign: bool(_NOT_SUPPORTED.search(sign.error.text)),
        summary=lambda sign: f"SGLang does not take this{while_doing(sign)}: {said(sign)}.",
        action=_avoid,
        looks="an exception that says what is not supported, required or expected",
        remedy="Leave out or change what it names.",
    ),
    "speculation-failed": ErrorCause(
        confidence=_LIKELY,
        retry=Retry.ONCE_SERVED,
        applies=_in_speculation,
        summary=lambda sign: (
            f"Speculation failed{while_doing(sign)}: {sign.error.short_kind}, {said(sign)}."
        ),
        action="Serve without it, --no-speculation, to see that the rest works; then look whether "
        "the draft model was made for this target, and whether the other options go with it.",
        looks="any exception below `speculative/`",
    ),
}
