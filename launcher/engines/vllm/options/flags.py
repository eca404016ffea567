"""vLLM's command line, as a table that can be checked without importing vLLM."""

from __future__ import annotations

import importlib.resources
import os
import subprocess
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Final

from launcher.engines.common.flags import FlagTable, TableSource
from launcher.engines.vllm.command import INSIDE
from launcher.errors import EngineBrokenError

DUMP_TIMEOUT_SECONDS: Final = 180.0
DUMP_MODULE: Final = "specserve_vllm.dump_flags"
HELP_COMMAND: Final = "python -m vllm.entrypoints.openai.api_server --help"


def load_flag_table(version: str, python: Path, *, cache: Path | None = None) -> FlagTable:
    """The options of a version: shipped, or cached, or asked of it once.

    Args:
        version: of the vLLM in an environment.
        python: that environment's interpreter.
        cache: folder for tables of versions that none ships for.

    Raises:
        EngineBrokenError: it had to be asked, and could not be imported or said nothing of use.
    """
    source = TableSource(
        key="vllm",
        engine="vLLM",
        help_command=HELP_COMMAND,
        shipped=importlib.resources.files("launcher.engines.vllm.options").joinpath("data"),
        ask=partial(ask_vllm, python),
        broken_action=f"Run `{python} -m {DUMP_MODULE}` with PYTHONPATH={INSIDE} and see what it "
        "prints.",
    )
    return source.load(version, cache=cache)


def plain_words(arguments: Iterable[str]) -> tuple[str, ...]:
    """Arguments with dashes in the names of options, as vLLM's parser makes them of underscores.

    Source: vllm 0.32.0, utils/argparse_utils.py, `FlexibleArgumentParser.parse_args`.
    """
    return tuple(_plain(word) for word in arguments)


def _plain(word: str) -> str:
    if not word.startswith("--"):
        return word
    name, equals, value = word.partition("=")
    return f"{name.replace('_', '-')}{equals}{value}"


def ask_vllm(python: Path) -> str:
    """What our module in that environment prints.

    Raises:
        EngineBrokenError: it failed, or took longer than three minutes.
    """
    environment = {**os.environ, "PYTHONPATH": str(INSIDE), "VLLM_NO_USAGE_STATS": "1"}
    try:
        done = subprocess.run(
            [str(python), "-m", DUMP_MODULE],
            capture_output=True,
            text=True,
            timeout=DUMP_TIMEOUT_SECONDS,
            check=False,
            env=environment,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        why = error.strerror if isinstance(error, OSError) else f"{DUMP_TIMEOUT_SECONDS:.0f} s"
        raise EngineBrokenError(
            f"vLLM could not be imported by {python}: {why}.",
            action=f"Run `{python} -c 'import vllm'` and see where it ends.",
        ) from error
    if done.returncode != 0:
        raise EngineBrokenError(
            f"vLLM cannot be imported by {python} (exit code {done.returncode}).",
            action="Install it again: `python -m launcher engine install vllm --force`.",
            evidence=tuple(done.stderr.strip().splitlines()[-5:]),
        )
    return done.stdout
