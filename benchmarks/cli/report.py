"""Commands that start no server: make a report anew, compare two, list the built-in workloads."""

from __future__ import annotations

import json
from pathlib import Path

import click

from benchmarks.errors import RegressionError, ReportError, TargetError
from benchmarks.running.folder import ResultsFolder
from launcher.cli.display import consoles

_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--plots", type=_PATH, metavar="FOLDER", help="Also write each plot as an SVG file.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def report(*, folder: Path, plots: Path | None, as_json: bool) -> None:
    """Make the reports of a run anew from what was measured; it may still be running."""
    from benchmarks.report.display import show_report  # noqa: PLC0415  # arrays and plots
    from benchmarks.report.document import build  # noqa: PLC0415
    from benchmarks.report.files import write_plots, write_report  # noqa: PLC0415

    results = ResultsFolder(folder).read()
    if not results.requests:
        raise ReportError(
            f"Nothing was measured in {folder} so far.",
            action=f"`python -m benchmarks run --resume {folder}` measures what is missing.",
        )
    is_measured = any(one.outcome == "successful" for one in results.requests)
    made = build(results)
    written = [*write_report(made, folder), *(write_plots(made, plots) if plots else ())]
    if as_json:
        click.echo(json.dumps({"files": [str(file) for file in written]}, indent=2))
        if not is_measured:
            # The document is the answer; a second one would be none that a program could read.
            raise SystemExit(TargetError.exit_code)
        return
    for part in show_report(made):
        consoles.out().print(part)
    for file in written:
        click.echo(str(file))
    if not is_measured:
        raise TargetError(
            f"None of {len(results.requests)} requests was successful: the report has no figure.",
            action=f"`python -m benchmarks run --resume {folder}` tries them again.",
        )


@click.command()
@click.argument("before", type=_PATH)
@click.argument("after", type=_PATH)
@click.option(
    "--threshold",
    type=click.FloatRange(min=0),
    default=0.05,
    show_default=True,
    help="A share: what is worse by more, its intervals apart, is a regression.",
)
@click.option("--allow-other-prompts", is_flag=True, help="Compare although the prompts differ.")
@click.option(
    "--allow-missing", is_flag=True, help="Figures that AFTER lacks are listed, and no regression."
)
@click.option("--markdown", is_flag=True, help="Print Markdown.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def compare(*, before: Path, after: Path, threshold: float, allow_other_prompts: bool,
            allow_missing: bool, markdown: bool, as_json: bool) -> None:  # fmt: skip
    """Hold the report AFTER against BEFORE, figure by figure; exit code 77 for a regression.

    A figure that AFTER lacks is one too: a server that died is not as fast as before.

    Each is a report.json, or the folder that holds it.
    """
    from benchmarks.report.comparing import compare_reports  # noqa: PLC0415
    from benchmarks.report.display import (  # noqa: PLC0415
        comparison_to_markdown,
        headline,
        show_comparison,
    )
    from benchmarks.report.document import read_report  # noqa: PLC0415

    found = compare_reports(
        read_report(_report_file(before)),
        read_report(_report_file(after)),
        threshold=threshold,
        allow_other_prompts=allow_other_prompts,
        allow_missing=allow_missing,
    )
    if as_json:
        click.echo(found.to_json(), nl=False)
    elif markdown:
        click.echo(comparison_to_markdown(found), nl=False)
    else:
        for part in show_comparison(found):
            consoles.out().print(part)
    if not found.is_worse:
        return
    if as_json:
        # The document is the answer; a second one would be none that a program could read.
        raise SystemExit(RegressionError.exit_code)
    raise RegressionError(
        headline(found),
        action="Look at the servers' flags and versions above, and measure again."
        if found.regressions
        else "See what the second report says is missing; `--allow-missing` lets it pass.",
    )


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
@click.option("--show", "name", metavar="NAME|FILE", help="Print the prompts of one, as JSONL.")
@click.option("--prompts", type=click.IntRange(min=1), default=16, show_default=True)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
def workloads(*, as_json: bool, name: str | None, prompts: int, seed: int) -> None:
    """List the built-in workloads, or print the prompts of one."""
    from benchmarks.workloads.builtin import BUILT_IN  # noqa: PLC0415
    from benchmarks.workloads.loading import load_workload  # noqa: PLC0415

    if name is not None:
        click.echo(load_workload(name, prompts=prompts, seed=seed).to_jsonl().decode(), nl=False)
        return
    made = {one: load_workload(one, prompts=prompts, seed=seed) for one in BUILT_IN}
    if as_json:
        said = {
            one.name: {"description": one.description, "source": one.source, "sha256": one.sha256}
            for one in made.values()
        }
        click.echo(json.dumps(said, indent=2))
        return
    width = max(len(one) for one in made)
    for one in made.values():
        click.echo(f"{one.name.ljust(width)}  {one.description}")
        click.echo(f"{' ' * width}  {one.source}")


def _report_file(path: Path) -> Path:
    return path / "report.json" if path.is_dir() else path
