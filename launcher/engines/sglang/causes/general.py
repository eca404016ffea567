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
    named_flags,
    quoted_advice,
    unknown_flags,
    value_of,
    with_values,
)
from launcher.engines.sglang.causes.model.speculation import in_draft

_LONGEST_QUOTE_CHARACTERS: Final = 300
_CHECKS: Final = re.compile(r"(?:/|^)server_args\.py$|/arg_groups/|launch_server\.py$")
_REFUSALS: Final = frozenset(
    {"ValueError", "AssertionError", "NotImplementedError", "RuntimeError", "TypeError"}
)
_DIVISIBLE: Final = re.compile(
    r"(\w+) (?:must be|is not|should be) (?:divisible by|a multiple of) (\w+)"
)
_FILE_MISSING: Final = re.compile(
    r"(?:No such file or directory|does not exist)[:\"' ]+(?P<file>/[^'\"]+)"
)
_CONFIG_FIELD: Final = re.compile(
    r"'(?P<kind>\w*Config\w*)' object has no attribute '(?P<field>\w+)'"
)


def quote(text: str) -> str:
    """A message as one line that can stand in a sentence."""
    return " ".join(text.split())[:_LONGEST_QUOTE_CHARACTERS].rstrip(" .:")


def _said(sign: ErrorSign) -> str:
    """What the exception says; of a bare assertion, what it asserts."""
    error = sign.error
    if error.text:
        return quote(error.text)
    code = error.frames[-1].code if error.frames else ""
    return f"the check `{quote(code)}` failed" if code else error.short_kind


def _while(sign: ErrorSign) -> str:
    return f" while it {sign.stage}" if sign.stage else ""


# --- arguments ---


def _is_argument_check(sign: ErrorSign) -> bool:
    frames = sign.error.frames
    innermost = frames[-1].path if frames else ""
    return bool(_CHECKS.search(innermost)) and sign.error.short_kind in _REFUSALS


def _change_arguments(sign: ErrorSign) -> str:
    text = sign.error.text or (sign.error.frames[-1].code if sign.error.frames else "")
    flags = named_flags(text)
    advice = quoted_advice(sign.error.text)
    change = f"{_how_to_change(text, flags)} {_flags(sign, text, flags)}"
    if advice and advice.rstrip(". ") != quote(sign.error.text):
        return f"{change}; SGLang advises: {advice.rstrip('.; ')}.{unknown_flags(advice)}"
    number = _multiple(sign, text)
    return f"{change}{number}.{unknown_flags(text)}"


def _multiple(sign: ErrorSign, text: str) -> str:
    """The clause that names a value which a check for divisibility takes, where both are known."""
    found = _DIVISIBLE.search(text)
    if found is None:
        return ""
    values = (value_of(sign.config, f"--{name.replace('_', '-')}") or "" for name in found.groups())
    number, step = (int(value) if value.isdecimal() else 0 for value in values)
    return f", such as {-(-number // step) * step} for the first" if number and step > 1 else ""


def _how_to_change(text: str, flags: tuple[str, ...]) -> str:
    """The verb that a refusal asks for, by its words."""
    if re.search(r"exclusive|at the same time|together|incompatible|conflict|cannot be used", text):
        return "Leave out one of" if len(flags) > 1 else "Leave out"
    if re.search(r" is None\b", text):
        return "Give all that belong together, or none:"
    if re.search(r"disabled|unset|turned off|== ?\d|=\d", text):
        return "Change"
    if re.search(r"requires?\b|need to specify|must (?:be set|specify)|is required|not set", text):
        return "Give what it requires:"
    if re.search(r"only (?:supported|allowed|available|works|valid)|not supported", text):
        return "Leave out, or change,"
    return "Change"


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
    return sign.error.short_kind in _REFUSALS and any(
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
    return bool(_CONFIG_FIELD.search(sign.error.text)) or (
        sign.error.short_kind == "KeyError"
        and any("config" in frame.file for frame in sign.error.frames[-2:])
    )


def _missing_field(sign: ErrorSign) -> str:
    found = _CONFIG_FIELD.search(sign.error.text)
    field = found["field"] if found else quote(sign.error.text).strip("'\"")
    return f"The configuration of {sign.config.model_path} lacks what SGLang looks for: {field}."


def _missing_file(sign: ErrorSign) -> str:
    found = _FILE_MISSING.search(sign.error.text)
    return f"A file that SGLang wants is not there: {found['file'] if found else _said(sign)}."


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


_LIKELY: Final = Confidence.LIKELY
GENERAL: Final = {
    "arguments-refused": ErrorCause(
        applies=_is_argument_check,
        summary=lambda sign: f"SGLang refuses this combination of arguments: {_said(sign)}.",
        action=_change_arguments,
        looks="any exception below `server_args.py` or `arg_groups/`",
        remedy="Change the flags that it names; its own advice is quoted.",
    ),
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
            f"{(_packages(sign) or ('a module',))[0]}, {_said(sign)}."
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
        summary=lambda sign: f"SGLang failed{_while(sign)}: {_said(sign)}.",
        action=_follow_advice,
        looks="an exception whose text says what to do",
        remedy="What SGLang, torch or the driver itself advises, quoted.",
    ),
    "grammar-failed": ErrorCause(
        confidence=_LIKELY,
        retry=Retry.ONCE_SERVED,
        applies=_in_stage("compiled a grammar"),
        summary=lambda sign: (
            f"The grammar of a request (JSON schema, regular expression) ended the server: "
            f"{_said(sign)}."
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
            f"{_said(sign)}."
        ),
        action="Check that its files (tokenizer.json, preprocessor_config.json) are of the same "
        "revision as the weights and in the form that transformers reads; a model newer than this "
        "SGLang needs a newer one with its transformers.",
        looks="any exception while the tokenizer or processor is loaded",
    ),
    "custom-all-reduce": ErrorCause(
        confidence=_LIKELY,
        applies=_in_collectives,
        summary=lambda sign: f"The custom all-reduce failed: {_said(sign)}.",
        action="Leave it out: `-- --disable-custom-all-reduce`; NCCL does its work then.",
        looks="any exception below `custom_all_reduce`",
    ),
    "attention-backend": ErrorCause(
        confidence=_LIKELY,
        applies=_in_attention,
        summary=lambda sign: (
            f"The attention backend does not take this model, GPU or option: {_said(sign)}."
        ),
        action="Choose another attention backend: `-- --attention-backend flashinfer`, or triton.",
        looks="a refusal below `layers/attention/`",
    ),
    "speculation-failed": ErrorCause(
        confidence=_LIKELY,
        retry=Retry.ONCE_SERVED,
        applies=_in_speculation,
        summary=lambda sign: (
            f"Speculation failed{_while(sign)}: {sign.error.short_kind}, {_said(sign)}."
        ),
        action="Serve without it, --no-speculation, to see that the rest works; then look whether "
        "the draft model was made for this target, and whether the other options go with it.",
        looks="any exception below `speculative/`",
    ),
}
