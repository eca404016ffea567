"""SGLang's command line, as a table that can be checked without importing SGLang.

The table of the pinned version ships with the launcher. For any other installed version it is made
once by `python -m launcher.engines.sglang.options.dump_flags` in a process of its own and kept in
the cache folder.
"""

from __future__ import annotations

import importlib.resources
import subprocess
import sys
from pathlib import Path
from typing import Final

from launcher.engines.common.flags import FlagTable, TableSource
from launcher.errors import EngineBrokenError

DUMP_TIMEOUT_SECONDS: Final = 180.0


def load_flag_table(version: str, *, cache: Path | None = None) -> FlagTable:
    """The options of the installed version: shipped, or cached, or asked of SGLang once.

    Args:
        version: what `installed_sglang_version` returned.
        cache: folder for tables of versions that none ships for.

    Raises:
        EngineBrokenError: SGLang had to be asked, and could not be imported or said nothing of use.
    """
    source = TableSource(
        key="sglang",
        engine="SGLang",
        help_command="python -m sglang.launch_server --help",
        shipped=importlib.resources.files("launcher.engines.sglang.options").joinpath("data"),
        ask=ask_sglang,
        broken_action="Run `python -m launcher.engines.sglang.options.dump_flags` and see what it "
        "prints.",
    )
    return source.load(version, cache=cache)


def ask_sglang() -> str:
    """What `python -m launcher.engines.sglang.options.dump_flags` prints.

    Raises:
        EngineBrokenError: it failed, or took longer than three minutes.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-m", "launcher.engines.sglang.options.dump_flags"],
            capture_output=True,
            text=True,
            timeout=DUMP_TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise EngineBrokenError(
            f"SGLang could not be imported within {DUMP_TIMEOUT_SECONDS:.0f} s.",
            action="Run `python -c 'import sglang.srt.server_args'` and see where it hangs.",
        ) from error
    if done.returncode != 0:
        raise EngineBrokenError(
            f"SGLang cannot be imported (exit code {done.returncode}).",
            action="Reinstall the engine: `uv sync --reinstall-package sglang`.",
            evidence=tuple(done.stderr.strip().splitlines()[-5:]),
        )
    return done.stdout
