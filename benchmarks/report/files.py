"""The three reports of a run, in its folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmarks.report.atomic import write_atomically
from benchmarks.report.document import Report
from benchmarks.report.html import to_html
from benchmarks.report.markdown import to_markdown


@dataclass(frozen=True, slots=True)
class ReportFiles:
    """Where they are.

    Attributes:
        json: everything.
        markdown: to read in two minutes.
        html: the same with plots; needs no other file and no network.
    """

    json: Path
    markdown: Path
    html: Path


def write_report(report: Report, folder: Path) -> ReportFiles:
    """Write `report.json` first, so that nothing that draws can lose what was measured.

    Raises:
        StorageError: the disk is full or not writable; what was there before is untouched.
    """
    files = ReportFiles(folder / "report.json", folder / "report.md", folder / "report.html")
    write_atomically(files.json, report.to_json())
    write_atomically(files.markdown, to_markdown(report))
    write_atomically(files.html, to_html(report))
    return files
