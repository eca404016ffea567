"""The three reports of a run, and its plots, as files that are never seen half-written."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from benchmarks.errors import StorageError
from benchmarks.report.document import Report
from benchmarks.report.html import to_html
from benchmarks.report.markdown import to_markdown
from benchmarks.report.plots.draw import draw, draw_overviews
from benchmarks.report.plots.svg import to_file
from launcher.system.files import replace_file


class ReportFiles(NamedTuple):
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
    _write(files.json, report.to_json())
    _write(files.markdown, to_markdown(report))
    _write(files.html, to_html(report))
    return files


def write_plots(report: Report, folder: Path) -> tuple[Path, ...]:
    """Write every plot, and the overviews, as an SVG file of its own.

    Raises:
        StorageError: the disk is full or not writable.
    """
    written = []
    for plot in (*draw_overviews(report), *draw(report)):
        written.append(folder / f"{plot.name}.svg")
        _write(written[-1], to_file(plot.svg))
    return tuple(written)


def _write(path: Path, text: str) -> None:
    """Replace a file in one step: a reader sees the old text or the new, never a part."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, text.encode(), partial=partial, mode=0o666)
    except OSError as error:
        raise StorageError(
            f"{path} cannot be written: {error.strerror}.",
            action="Free space, mend the permissions, or name another folder; what was measured "
            "is kept in the run's folder, and the report can be made from it again.",
        ) from error
