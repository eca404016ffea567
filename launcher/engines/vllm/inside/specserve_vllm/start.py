"""Hands vLLM its keys, and puts our middleware before its routes.

vLLM takes its key from an argument or a variable, and every user of the machine can read the one in
the list of processes, each of its own user's programs the other. So the file is read here, and the
key is handed over inside the process.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Final

from . import guard

SECRETS_FLAG: Final = "--secrets-file"
MIDDLEWARE: Final = "specserve_vllm.guard.Guard"


def main() -> None:
    """Read the keys, and become vLLM's server."""
    words = sys.argv[1:]
    if words[:1] == [SECRETS_FLAG]:
        keys = json.loads(Path(words[1]).read_text(encoding="utf-8"))
        words = words[2:]
        if (key := keys.get("api-key")) is not None:
            guard.require(key)
            # Changes what this process reads, not what /proc shows of it.
            words.append(f"--api-key={key}")
    sys.argv[1:] = [*words, f"--middleware={MIDDLEWARE}"]
    guard.note_outputs()
    _serve()


def _serve() -> None:
    """Run what `python -m vllm.entrypoints.openai.api_server` runs.

    Source: vllm 0.32.0, entrypoints/launchers/api_server/entry.py, `main`; in versions before, the
    module itself does the same in its last lines.
    """
    try:
        from vllm.entrypoints.launchers.api_server.entry import main as serve  # noqa: PLC0415
    except ImportError:
        import runpy  # noqa: PLC0415

        runpy.run_module("vllm.entrypoints.openai.api_server", run_name="__main__")
    else:
        serve()
