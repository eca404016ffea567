"""The SGLang plugin that imports once for all processes of a server.

`activate` runs in the first process before that has read its arguments, and with nothing imported
but what reads them.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any, Final

from launcher.engines.sglang.plugins import hooks
from launcher.engines.sglang.plugins.sharing import forks, imports, stand_by
from launcher.names import SHARED_IMPORTS_VARIABLE

# All children are there when it returns.
_LAUNCHED: Final = "sglang.srt.entrypoints.engine.Engine._launch_subprocesses"


def activate() -> None:
    """Import, fork, and have SGLang's children take their place in what was forked.

    Without it a server starts as well, but later. So whatever keeps it from working is said in the
    log and is none to stop for.
    """
    count = os.environ.get(SHARED_IMPORTS_VARIABLE, "")
    if not count.isdigit() or not hooks.in_first_process():
        return
    began = time.monotonic()
    try:
        imports.import_engine()
        imports.refuse_to_fork()
        plugins = _plugins_of_none()
        seconds = time.monotonic() - began
        stand_by.wait()
        resting = forks.Forks(int(count), begin=lambda: _load_again(plugins))
        resting.install()
    except Exception as error:  # noqa: BLE001
        if stand_by.is_asked_for():
            # There is nothing to wait for.
            sys.exit(f"specserve: no stand-by: {type(error).__name__}: {error}")
        _say(f"each process imports by itself: {type(error).__name__}: {error}")
        return

    def release(result: Any, *_args: object, **_kwargs: object) -> Any:
        resting.release()
        return result

    hooks.install_if_possible({_LAUNCHED: (release, "AFTER")}, "forked processes stay")
    _say(f"imported once for {count} processes in {seconds:.1f} s")


def _plugins_of_none() -> Any:
    """SGLang's module of plugins, with no hook in place that a forked process would inherit.

    Raises:
        CannotForkError: a plugin came before this one, or SGLang loads plugins otherwise.
    """
    from sglang.srt import plugins  # noqa: PLC0415
    from sglang.srt.plugins.hook_registry import HookRegistry  # noqa: PLC0415

    if HookRegistry._hooks:  # noqa: SLF001
        raise imports.CannotForkError("another plugin has hooked SGLang already")
    if getattr(plugins, "_plugins_loaded", None) is not True:
        raise imports.CannotForkError("SGLang loads its plugins in another way")
    return plugins


def _load_again(plugins: Any) -> None:
    """Have a forked process load the plugins for itself, as a spawned one does."""
    plugins._plugins_loaded = False  # noqa: SLF001


def _say(text: str) -> None:
    print(f"specserve: {text}", flush=True)  # noqa: T201
