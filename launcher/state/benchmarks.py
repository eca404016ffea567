"""Where the reports of benchmarks lie that were made here, so that they are found from any folder.

    benchmarks.jsonl  a report's path on each line, the newest last

The file is a convenience: where it cannot be written, a report is found by its name alone.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Final

from launcher.errors import StateError
from launcher.state.paths import servers_root
from launcher.system import private
from launcher.system.files import make_private_folder, write_atomically

MOST_REPORTS: Final = 50
_LARGEST_BYTES: Final = 1024**2


def _file() -> Path:
    return servers_root().parent / "benchmarks.jsonl"


def remember_report(report: Path) -> None:
    """Note where a report lies; a disk that takes no note must not spoil a benchmark."""
    path = report.absolute()
    kept = [one for one in known_reports() if one != path][-(MOST_REPORTS - 1) :]
    lines = "".join(json.dumps(str(one)) + "\n" for one in (*kept, path))
    with contextlib.suppress(StateError, OSError):
        make_private_folder(servers_root().parent)
        write_atomically(_file(), lines)


def known_reports() -> list[Path]:
    """The reports that were noted and are still there, the newest last."""
    try:
        content = private.read_bytes(_file(), largest_bytes=_LARGEST_BYTES)
    except OSError:
        return []
    found = []
    for line in content.splitlines():
        with contextlib.suppress(ValueError):
            name = json.loads(line)
            if isinstance(name, str) and Path(name).is_file():
                found.append(Path(name))
    return found
