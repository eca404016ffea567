"""Packages that some of SGLang's options need, and that SGLang itself does not bring.

Without them the server fails minutes into its start, at times without naming the option. Sources:
observability/trace.py, model_loader/, constrained/, disaggregation/, the extras of its wheel.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Final

from launcher.config.arguments import options_of
from launcher.config.server_config import ServerConfig

Finder = Callable[[str], bool]

# Option, its value where that matters -> module, what installs it.
_NEEDS: Final = (
    ("--enable-trace", None, "opentelemetry", "sglang[tracing]"),
    ("--tokenizer-backend", "fastokens", "fastokens", "sglang[fastokens]"),
    ("--load-format", "runai_streamer", "runai_model_streamer", "sglang[runai]"),
    ("--load-format", "instanttensor", "instanttensor", "sglang[instanttensor]"),
    ("--load-format", "fastsafetensors", "fastsafetensors", "fastsafetensors"),
    ("--load-format", "gguf", "gguf", "gguf"),
    ("--quantization", "gguf", "gguf", "gguf"),
    ("--load-format", "bitsandbytes", "bitsandbytes", "bitsandbytes"),
    ("--quantization", "bitsandbytes", "bitsandbytes", "bitsandbytes"),
    ("--grammar-backend", "outlines", "outlines", "outlines"),
    ("--grammar-backend", "llguidance", "llguidance", "llguidance"),
    ("--disaggregation-transfer-backend", "mooncake", "mooncake", "mooncake-transfer-engine"),
    ("--disaggregation-transfer-backend", "nixl", "nixl", "nixl"),
    ("--moe-a2a-backend", "deepep", "deep_ep", "DeepEP from its repository"),
    ("--enable-lmcache", None, "lmcache", "lmcache"),
)


def missing_package(
    config: ServerConfig, *, is_installed: Finder | None = None
) -> tuple[str, str] | None:
    """What an option in `extra_args` needs and this environment lacks, as a pair, or None.

    Args:
        config: what to serve.
        is_installed: tells whether a module of that name can be imported; unset: looked up here.

    Returns:
        A sentence, and what to install.
    """
    find = is_installed or _is_installed
    given = dict(options_of(config.extra_args))
    for option, value, module, package in _NEEDS:
        if option not in given or (value is not None and given[option] != value):
            continue
        if not find(module):
            spelled = option if value is None else f"{option} {value}"
            return f"{spelled} needs the package {module}, which is not installed.", package
    return None


def option_of(module: str) -> tuple[str, str] | None:
    """The option, with its value, that needs a module, and what installs it."""
    for option, value, needed, package in _NEEDS:
        if needed == module:
            return (option if value is None else f"{option} {value}"), package
    return None


def _is_installed(module: str) -> bool:
    """Looked up without importing it, which may take seconds or touch a GPU."""
    return importlib.util.find_spec(module) is not None
