"""What causes of several kinds share: the configuration's values, and the advice in a message.

SGLang, torch and the driver often say themselves what helps. That is quoted, and the flags in it
are compared with SGLang's own table: a text may be older than the flag's name.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Final

from launcher.config.arguments.options import options_of
from launcher.config.ranks import engine_options
from launcher.config.server_config import ServerConfig
from launcher.engines.causes import ErrorSign, LogMatch
from launcher.engines.common.flags import FlagTable
from launcher.engines.sglang.causes.signs import SIGNS
from launcher.engines.sglang.options.flags import load_flag_table
from launcher.engines.sglang.version import VERIFIED_VERSION
from launcher.text import nearest, whole_number

LONGEST_QUOTE_CHARACTERS: Final = 300
# Exceptions by which SGLang refuses something, rather than fails.
REFUSALS: Final = frozenset(
    {"ValueError", "AssertionError", "NotImplementedError", "RuntimeError", "TypeError"}
)
_EQUATION: Final = re.compile(r"(\w+) ==? (\w+) \+ (\d{1,3}), (?:but )?got (\d{1,6}) and (\d{1,6})")
_FLAG: Final = re.compile(r"(?<![\w-])--[a-z][\w-]*[a-z0-9]")
# Words of Python that may be fields of SGLang's arguments: tp_size, enable_dp_attention.
_FIELD: Final = re.compile(r"\b[a-z]+(?:[_-][a-z0-9]+)+\b")
# What people say for a flag, in words parted by single blanks.
_SAID: Final = {
    r" topk ": "--speculative-eagle-topk",
    r" (?:ngram|eagle|eagle3|dflash|nextn|mtp) ": "--speculative-algorithm",
    r" dp attention ": "--enable-dp-attention",
    r" overlap schedul": "--disable-overlap-schedule",
    r" radix cache ": "--disable-radix-cache",
    r" hicache ": "--enable-hierarchical-cache",
    r" (?:tensor parallel|tp)(?: size)? ": "--tp-size",
    r" (?:pipeline parallel|pp)(?: size)? ": "--pp-size",
    r" (?:expert parallel|ep)(?: size)? ": "--ep-size",
    r" (?:data parallel|dp)(?: size)? ": "--dp-size",
}
_SENTENCE_END: Final = re.compile(r"(?<=[.!?;])\s+(?=[\"'`(A-Z-])|\n+")
_ADVISES: Final = re.compile(
    r"\b(?:[Pp]lease|[Cc]onsider|[Tt]ry(?:ing)? to|[Yy]ou (?:can|may|should|need|must)"
    r"|[Uu]se (?:`?--|the|a |an |another)|[Ss]et (?:`?--|`?[A-Z_]{4,}|the|a )|[Uu]nset|[Ii]nstall"
    r"|[Uu]pgrade"
    r"|[Dd]owngrade|[Rr]educe|[Ii]ncrease|[Ll]ower|[Rr]aise|[Dd]isable|[Ee]nable|[Rr]emove|[Ss]peci"
    r"fy|[Pp]ass|[Aa]dd `?--|must be|should be|has to be|have to be|needs to be|instead|to bypass"
    r"|run with)\b"
    r"|[Uu]se `?--|[Ss]et `?--|[A-Z][A-Z_]{4,}=\S"
)
# What torch adds to each error of CUDA helps nobody who serves.
_BOILERPLATE: Final = re.compile(
    r"CUDA kernel errors might be asynchronously|CUDA_LAUNCH_BLOCKING=1|TORCH_USE_CUDA_DSA"
    r"|might be incorrect|Search for .cuda|run with NCCL_DEBUG"
)
# Options under which SGLang takes other ways than most people do.
_SPECIAL: Final = re.compile(
    r"--(?:enable-(?:hierarchical-cache|dp-attention|torch-compile|two-batch-overlap|mixed-chunk"
    r"|eplb|lmcache|symm-mem|single-batch-overlap|pdmux|lora)|moe-a2a-backend|disaggregation-mode"
    r"|dp-size|ep-size|pp-size|quantization)\b"
)
_TRITON_ATTENTION: Final = "use `--attention-backend triton`"
# Library, what shows in a message or a path that it is its, what goes round it.
_LIBRARIES: Final = tuple(
    (name, re.compile(pattern, re.IGNORECASE), way)
    for name, pattern, way in (
        ("DeepGEMM", r"deep_?gemm", "set SGLANG_ENABLE_JIT_DEEPGEMM=0"),
        ("DeepEP", r"deep_?ep\b", "use `-- --moe-a2a-backend none`"),
        (
            "Triton's fused MoE kernels",
            r"fused_moe_triton",
            "use another `-- --moe-runner-backend`",
        ),
        ("xgrammar", r"xgrammar|apply_token_bitmask", "use `-- --grammar-backend llguidance`"),
        ("FlashInfer", r"flashinfer", _TRITON_ATTENTION),
        ("FlashAttention", r"flash_?attn|flashattention|\bfa3\b|/fmha", _TRITON_ATTENTION),
        ("FlashMLA", r"flash_?mla|cutlass_mla", _TRITON_ATTENTION),
        (
            "the fused MoE kernels",
            r"fused_moe|moe_align|moe_sum|cutlass_moe",
            "use `-- --moe-runner-backend triton`",
        ),
        (
            "the custom all-reduce",
            r"custom_all_?reduce",
            "use `-- --disable-custom-all-reduce`",
        ),
    )
)


def quote(text: str) -> str:
    """A message as one line that can stand in a sentence."""
    return " ".join(text.split())[:LONGEST_QUOTE_CHARACTERS].rstrip(" .:")


def said(sign: ErrorSign) -> str:
    """What the exception says; of a bare assertion, what it asserts."""
    error = sign.error
    if error.text:
        return quote(without_boilerplate(error.text))
    code = error.frames[-1].code if error.frames else ""
    return f"the check `{quote(code)}` failed" if code else error.short_kind


def while_doing(sign: ErrorSign) -> str:
    """What the engine was doing, as a clause, or ''."""
    return f" while it {sign.stage}" if sign.stage else ""


def solved(text: str) -> str:
    """The clause that gives both ways to make `A == B + 1, got 8 and 3` true, or ''."""
    found = _EQUATION.search(text)
    if found is None:
        return ""
    left, right, more, is_left, is_right = found.groups()
    more, is_left, is_right = whole_number(more), whole_number(is_left), whole_number(is_right)
    return f": {left} {is_right + more}, or {right} {is_left - more}"


def in_argument_check(match: LogMatch) -> bool:
    """Whether a line belongs to a check of arguments, which says itself which flags it means."""
    return match.in_folder("server_args.py", "/arg_groups/")


@cache
def flag_table() -> FlagTable:
    """The flags of the verified SGLang."""
    return load_flag_table(VERIFIED_VERSION)


def sglang_option(config: ServerConfig, flag: str) -> str | None:
    """The value that `extra_args` give to one of SGLang's own flags; the last one counts."""
    return dict(options_of(config.extra_args)).get(flag)


def fewer_tokens(config: ServerConfig) -> str:
    """The clause that asks for half of the KV cache's tokens, to stand behind "lower"."""
    tokens = config.max_total_tokens
    change = f"from {tokens} to {max(1, tokens // 2)}" if tokens else "below what SGLang chose"
    return f"--max-total-tokens {change}"


def lower_requests(config: ServerConfig) -> str:
    """The clause that asks for half of the requests at the same time, to stand behind "lower"."""
    requests = config.max_running_requests
    change = f" from {requests} to {max(1, requests // 2)}" if requests else ""
    return f"--max-running-requests{change}"


def quoted_advice(text: str) -> str | None:
    """The sentences of a message that say what to do, or None where none does."""
    found = [
        sentence
        for part in _SENTENCE_END.split(without_boilerplate(text)[:4_000])
        if (sentence := " ".join(part.split()))
        and _ADVISES.search(sentence)
        and not sentence.startswith("Detected")
        and not _BOILERPLATE.search(sentence)
    ]
    quote = ""
    for sentence in found:
        if quote and len(quote) + len(sentence) > LONGEST_QUOTE_CHARACTERS:
            break
        quote = f"{quote} {sentence}".strip()
    return quote[:LONGEST_QUOTE_CHARACTERS] or None


def named_flags(text: str) -> tuple[str, ...]:
    """SGLang's flags that a text names; the first spelling of each, the surest first.

    As flags, as fields (`tp_size`), in words ("dp attention", "IB devices"), or by a value that
    only one of them takes ("trtllm_mha").
    """
    table, text = flag_table(), without_boilerplate(text)
    spelled = [*_FLAG.findall(text), *(_as_flag(field) for field in _FIELD.findall(text))]
    known = [_first_spelling(flag, table) for flag in spelled]
    plain = f" {re.sub(r'[^a-z0-9]+', ' ', text.lower())} "
    known += [flag for words, flag in _phrases() if words.search(plain)]
    known += [flag for value, flag in _values().items() if f" {value.replace('_', ' ')} " in plain]
    return tuple(dict.fromkeys(flag for flag in known if flag))


@cache
def _phrases() -> tuple[tuple[re.Pattern[str], str], ...]:
    """The words of each flag of two words or more, and what people say for some."""
    found = [(re.compile(pattern), flag) for pattern, flag in _SAID.items()]
    for option in flag_table().options:
        flag = str(option["options"][0])
        words = re.sub(r"^(?:enable|disable|disaggregation)-", "", flag.removeprefix("--"))
        if "-" in words:
            found.append((re.compile(rf" {words.replace('-', ' ')}s? "), flag))
    return tuple(found)


@cache
def _values() -> dict[str, str]:
    """Values that tell their option: long enough, and no word of everyday."""
    values: dict[str, str] = {}
    for option in flag_table().options:
        for value in option.get("choices", ()):
            if "_" in str(value):
                values.setdefault(str(value), str(option["options"][0]))
    return values


def without_boilerplate(text: str) -> str:
    """A message without what SGLang and torch append to any failure of that kind.

    A failed capture of graphs ends in four proposals (model_executor/, CUDA_GRAPH_CAPTURE_FAILED),
    whatever it failed of; each error of CUDA in advice for programmers.
    """
    return SIGNS.boilerplate.split(text, maxsplit=1)[0]


def unknown_flags(text: str) -> str:
    """A sentence on flags that a text names and the verified SGLang does not have, or ''."""
    table = flag_table()
    absent = [flag for flag in _FLAG.findall(text) if _first_spelling(flag, table) is None]
    if not absent:
        return ""
    flag = absent[0]
    return f" SGLang {VERIFIED_VERSION} has no {flag}{nearest(flag, table.names)}."


def value_of(config: ServerConfig, flag: str) -> str | None:
    """What the configuration gives to one of SGLang's flags; None where SGLang chooses."""
    field = flag.removeprefix("--").replace("-", "_")
    if field in ServerConfig.model_fields:
        value = getattr(config, field)
        # A switch has no value of its own.
        return None if value in (None, (), False) else "" if value is True else str(value)
    return sglang_option(config, flag)


def written(flag: str) -> str:
    """A flag as it is written for the launcher: SGLang's own stand behind `--`."""
    field = flag.removeprefix("--").replace("-", "_")
    return flag if field in ServerConfig.model_fields else f"`-- {flag}`"


def with_values(config: ServerConfig, flags: tuple[str, ...]) -> str:
    """Flags with the values that are in force, as a list for people: '--tp-size (now 6)'."""
    shown = []
    for flag in flags[:4]:
        value = value_of(config, flag)
        shown.append(f"{written(flag)} (now {value})" if value else written(flag))
    return " and ".join(shown) if len(shown) < 3 else ", ".join(shown)


def special_options(config: ServerConfig) -> str:
    """The clause that names the unusual options of a configuration, or ''."""
    flags = [flag for flag in dict(engine_options(config)) if _SPECIAL.match(flag)]
    return " and ".join(f"`{written(flag).strip('`')}`" for flag in flags[:3])


def library_of(*texts: str) -> tuple[str, str] | None:
    """The library that texts or paths name, and what goes round it, as a clause."""
    for text in texts:
        for name, pattern, way in _LIBRARIES:
            if pattern.search(text):
                return name, way
    return None


def _as_flag(field: str) -> str:
    return f"--{field.replace('_', '-')}"


def _first_spelling(flag: str, table: FlagTable) -> str | None:
    """The first spelling of the option that is spelled just so, or None."""
    if flag not in table.names:
        return None
    # `canonical` would take a beginning for the whole, as argparse does.
    return table.canonical(flag)
