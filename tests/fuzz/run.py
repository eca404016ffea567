"""Run one target: `python -m tests.fuzz.run TARGET SECONDS`, with atheris installed."""

from __future__ import annotations

import importlib
import sys
import tempfile
from pathlib import Path
from typing import Any

LONGEST_INPUT_BYTES = 4096
LONGEST_RUN_SECONDS = 20


def main() -> None:
    """Instrument, seed and run; atheris prints the number of runs, and ends the process."""
    target, seconds = sys.argv[1], int(sys.argv[2])
    # Not a dependency of ours: `uv run --with atheris` brings it.
    atheris: Any = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["launcher", "yaml", "tomllib", "json"]):
        parsers = importlib.import_module("tests.fuzz.parsers")
    corpus = Path(tempfile.mkdtemp(prefix=f"specserve-fuzz-{target}-"))
    for number, seed in enumerate(parsers.SEEDS[target]):
        (corpus / f"seed-{number}").write_bytes(seed)
    print(f"{target}: {seconds} s; what is found lies in {corpus}", flush=True)
    options = [
        f"-max_total_time={seconds}",
        f"-max_len={LONGEST_INPUT_BYTES}",
        f"-timeout={LONGEST_RUN_SECONDS}",
        f"-artifact_prefix={corpus}/",
        "-rss_limit_mb=4096",
        "-print_final_stats=1",
    ]
    atheris.Setup([sys.argv[0], *options, str(corpus)], parsers.TARGETS[target])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
