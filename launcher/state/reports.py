"""Reports of benchmarks: those that were noted here, and those below the current folder."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pydantic import ValidationError

from launcher.metrics.benchmark import Machine, ReportFile
from launcher.state.benchmarks import known_reports
from launcher.system.hardware import probe_hardware, read_cpu_model

# Where `python -m benchmarks run` puts results that nobody named a place for.
_USUAL: Final = "benchmark-results/*/report.json"
# A report of all workloads and loads has 600 KB.
_LARGEST_BYTES: Final = 64 * 1024**2


def this_machine() -> Machine:
    """By what a benchmark's report names the machine on which it was made."""
    hardware = probe_hardware()
    return Machine(read_cpu_model(), tuple(gpu.name for gpu in hardware.gpus))


class Reports:
    """Reads each report once, and again only where its file has changed.

    Args:
        named: a report, or the folder that has one, of which alone the verdict is to be; None:
            those that are found.
    """

    def __init__(self, named: Path | None = None) -> None:
        self._named = named
        self._read: dict[Path, tuple[int, ReportFile | None]] = {}

    def all(self) -> list[tuple[str, ReportFile]]:
        """Each report with its file."""
        found = []
        for file in self._files():
            report = self._report(file)
            if report is not None:
                found.append((str(file), report))
        return found

    def _files(self) -> list[Path]:
        if self._named is not None:
            return [self._named / "report.json" if self._named.is_dir() else self._named]
        here = [file.absolute() for file in sorted(Path().glob(_USUAL))]
        return list(dict.fromkeys([*known_reports(), *here]))

    def _report(self, file: Path) -> ReportFile | None:
        try:
            found = file.stat()
            known = self._read.get(file)
            if known is not None and known[0] == found.st_mtime_ns:
                return known[1]
            report = (
                ReportFile.model_validate_json(file.read_bytes())
                if found.st_size <= _LARGEST_BYTES
                else None
            )
        except ValidationError:
            # Another version's, or another program's.
            report = None
        except OSError:
            return None
        self._read[file] = (found.st_mtime_ns, report)
        return report
