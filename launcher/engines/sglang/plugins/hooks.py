"""Hooks on functions of SGLang that are known to hold. For our plugins, in a server's processes.

SGLang's own registry (sglang/srt/plugins/hook_registry.py) logs a hook that it cannot apply and
carries on, and would then fail later and less clearly. And it looks through all 6,000 modules for
each of its targets, which by now took more than a second of each process's start. The kinds of
hooks, and what a hook is called with, are the registry's.
"""

from __future__ import annotations

import functools
import multiprocessing
import pkgutil
import sys
import types
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, TypeAlias

Kind: TypeAlias = Literal["AFTER", "AROUND", "REPLACE"]
Hook: TypeAlias = tuple[Callable[..., Any], Kind]
# Whose modules may have taken a function by name from where it is defined.
_IMPORTERS: Final = "sglang."


def install(hooks: Mapping[str, Hook]) -> None:
    """Put hooks in the place of functions and methods, by their dotted names; all of them or none.

    Raises:
        RuntimeError: a target is no function.
        AttributeError, ImportError: a target is not there, as in another version of SGLang.
    """
    found = {target: _resolve(target) for target in hooks}
    replaced: dict[int, Callable[..., Any]] = {}
    for target, (hook, kind) in hooks.items():
        owner, name, original = found[target]
        if isinstance(original, classmethod | staticmethod):
            setattr(owner, name, type(original)(_wrap(original.__func__, hook, kind)))
            continue
        wrapped = _wrap(original, hook, kind)
        setattr(owner, name, wrapped)
        if isinstance(owner, types.ModuleType):
            replaced[id(original)] = wrapped
    if replaced:
        _replace_imported(replaced)


def _resolve(target: str) -> tuple[Any, str, Any]:
    """Where a target is, and what stands there: of a class what it has itself, undescribed."""
    path, _, name = target.rpartition(".")
    owner = pkgutil.resolve_name(path)
    if isinstance(owner, types.ModuleType):
        original = getattr(owner, name)
        is_function = callable(original) and not isinstance(original, type)
    else:
        original = vars(owner).get(name)
        is_function = isinstance(original, types.FunctionType | classmethod | staticmethod)
    if not is_function:
        raise RuntimeError(f"{target} is no function that can be hooked")
    return owner, name, original


def _wrap(original: Callable[..., Any], hook: Callable[..., Any], kind: Kind) -> Any:
    @functools.wraps(original)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if kind == "REPLACE":
            return hook(*args, **kwargs)
        if kind == "AROUND":
            return hook(original, *args, **kwargs)
        result = original(*args, **kwargs)
        changed = hook(result, *args, **kwargs)
        return result if changed is None else changed

    return wrapper


def _replace_imported(replaced: Mapping[int, Callable[..., Any]]) -> None:
    """Replace functions where a module has them by `from ... import`.

    Args:
        replaced: what takes the place of a function, by the function's id.
    """
    for name, module in list(sys.modules.items()):
        if not name.startswith(_IMPORTERS) or not isinstance(module, types.ModuleType):
            continue
        for attribute, value in list(vars(module).items()):
            if (wrapped := replaced.get(id(value))) is not None:
                setattr(module, attribute, wrapped)


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
