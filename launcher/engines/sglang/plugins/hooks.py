"""Hooks on functions of SGLang, by its own registry, that are known to hold.

For our plugins, in a server's processes. SGLang logs a hook that it cannot apply and carries on
(sglang/srt/plugins/hook_registry.py), and would then fail later and less clearly.
"""

from __future__ import annotations

import multiprocessing
import pkgutil
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

Hook: TypeAlias = tuple[Callable[..., Any], Literal["AFTER", "AROUND", "REPLACE"]]


def install(hooks: Mapping[str, Hook]) -> None:
    """Register hooks by the dotted name of their target, apply them, and look.

    Raises:
        RuntimeError: a target is there and was not hooked.
        AttributeError, ImportError: a target is not there, as in another version of SGLang.
    """
    from sglang.srt.plugins.hook_registry import HookRegistry, HookType  # noqa: PLC0415

    for target, (hook, kind) in hooks.items():
        HookRegistry.register(target, hook, getattr(HookType, kind))
    # SGLang applies the hooks only after its plugins have returned. Applying is idempotent.
    HookRegistry.apply_hooks()
    missing = [target for target in hooks if not is_hooked(target)]
    if missing:
        raise RuntimeError(f"hooks not applied: {', '.join(missing)}")


def install_if_possible(hooks: Mapping[str, Hook], otherwise: str) -> bool:
    """Install hooks without which a server serves as well as before; says whether they hold.

    Args:
        hooks: as `install` takes them.
        otherwise: what holds where they do not, for the log.
    """
    try:
        install(hooks)
    except (AttributeError, ImportError, RuntimeError) as error:
        print(f"specserve: {otherwise}: {error}", flush=True)  # noqa: T201
        return False
    return True


def is_hooked(target: str) -> bool:
    """Whether the registry has wrapped a function."""
    path, _, name = target.rpartition(".")
    return hasattr(getattr(pkgutil.resolve_name(path), name), "__wrapped__")


def in_first_process() -> bool:
    """Whether this is the process that answers HTTP, and no scheduler or detokenizer.

    SGLang starts those as children by `multiprocessing` (entrypoints/engine.py). What they do not
    use they should not import: it takes seconds.
    """
    return multiprocessing.parent_process() is None
