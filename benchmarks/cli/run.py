"""`run`: from options or a plan file to a folder with a report."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final

import click
from click.core import ParameterSource

from benchmarks.cli.common import default_folder, facts
from benchmarks.cli.plan import DEFAULT_CONCURRENCIES, DEFAULT_WORKLOADS, load_all, plan_of
from benchmarks.cli.progress import RunProgress
from benchmarks.errors import BenchmarkError, TargetError
from benchmarks.plan import Arm, Plan
from benchmarks.report.display import show_report
from benchmarks.report.document import Report, build
from benchmarks.report.files import write_report
from benchmarks.running.folder import ResultsFolder
from benchmarks.running.peer_runs import run_peers
from benchmarks.running.runner import Runner
from benchmarks.running.schedule import arm_order
from benchmarks.running.servers import ServedArm, configuration, connect, open_arm
from benchmarks.workloads.workload import Workload
from launcher.cli.display import consoles
from launcher.errors import LauncherError
from launcher.serving import command_of
from launcher.state.benchmarks import remember_report

_BESIDE_RESUME: Final = ("--dry-run", "--json")
_BESIDE_PLAN: Final = (*_BESIDE_RESUME, "--output")


@click.command()
@click.option(
    "--plan",
    "plan_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="YAML with all of it, as `--dry-run --json` prints; instead of the options below.",
)
@click.option(
    "--arm",
    "arms",
    multiple=True,
    metavar="ARM",
    help="What to compare, the first being the baseline: plain; eagle or "
    "eagle:STEPS/TOPK/DRAFT_TOKENS; adaptive; mtp=N; ngram or ngram=N; each of these after sglang: "
    "or vllm: on that engine; NAME=URL of a server that runs; "
    "NAME=FIELD:VALUE,... of the launcher's fields.  [default: plain, eagle]",
)
@click.option(
    "--workload",
    "workloads",
    multiple=True,
    metavar="NAME|FILE",
    help="Built in (`workloads` lists them), or a JSONL or ShareGPT file.  "
    f"[default: {', '.join(DEFAULT_WORKLOADS)}]",
)
@click.option(
    "--concurrency",
    metavar="N,N,...",
    help=f"Closed loops: requests in flight.  [default: {DEFAULT_CONCURRENCIES}]",
)
@click.option("--rate", metavar="R,R,...", help="Open loops: Poisson arrivals per second.")
@click.option(
    "--prompts", type=click.IntRange(min=1), default=16, show_default=True, help="Of each workload."
)
@click.option(
    "--rounds",
    type=click.IntRange(min=1),
    default=6,
    show_default=True,
    help="How often everything is measured; three are the least for an interval.",
)
@click.option(
    "--side-by-side",
    is_flag=True,
    help="Keep the servers of all arms up and alternate "
    "cell by cell; needs memory for all.  [default: one after the other, each round]",
)
@click.option(
    "--preset",
    metavar="NAME",
    help="Of the launcher, for all arms.  [default: what suits this machine]",
)
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The launcher's fields for all arms, YAML or TOML.",
)
@click.option(
    "--set",
    "fields",
    multiple=True,
    metavar="FIELD:VALUE",
    help="One of the launcher's fields for all arms.",
)
@click.option(
    "--objective",
    metavar="ttft=S,tpot=S,e2e=S",
    help="Service-level objective in seconds, for goodput.",
)
@click.option(
    "--scored-prompts",
    type=click.IntRange(min=0),
    default=8,
    show_default=True,
    help="Of each workload, whose outputs are compared token by token.",
)
@click.option(
    "--peer",
    "peers",
    multiple=True,
    type=click.Choice(["bench_serving", "guidellm"]),
    help="Measure the last arm with this one too.",
)
@click.option(
    "--warm-up-requests",
    type=click.IntRange(min=0),
    default=4,
    show_default=True,
    help="Of each workload, after each start.",
)
@click.option(
    "--cell-timeout-seconds",
    type=click.FloatRange(min=0, min_open=True),
    default=900.0,
    show_default=True,
    help="What still runs then is incomplete.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="A new folder for the results.  [default: benchmark-results/TIME]",
)
@click.option(
    "--resume",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="FOLDER",
    help="Go on with a run that was interrupted, by its own plan.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be measured; start nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def run(*, resume: Path | None, output: Path | None, dry_run: bool, as_json: bool,
        **options: Any) -> None:  # fmt: skip
    """Compare ways to serve: plain decoding, EAGLE, others, or servers that already run.

    Each arm is started by the launcher, warmed up, measured and stopped; arms take turns, round by
    round. Ctrl-C keeps what was measured, writes the report of it, and `--resume` goes on.
    """
    _check_alone(click.get_current_context())
    if resume is not None:
        folder = ResultsFolder(resume)
        plan, workloads = folder.read_plan(), folder.read_workloads()
    else:
        plan = plan_of(options)
        workloads = load_all(plan)
        folder = ResultsFolder(output or default_folder())
    if dry_run:
        _show_plan(plan, workloads, as_json=as_json)
        return
    for arm in plan.arms:
        if arm.url is None:
            configuration(arm, plan.shared)
        else:
            # Nothing is started, and no folder made, for an address that was mistyped.
            connect(arm, arm.url)
    with contextlib.ExitStack() as stack:
        if resume is None:
            folder.create(plan, workloads, facts())
        stack.enter_context(folder.locked())
        _measure(plan, workloads, folder, as_json=as_json)


def _check_alone(context: click.Context) -> None:
    """Refuse options beside one that says it all: they would be left out without a word.

    Raises:
        click.UsageError: there are some.
    """
    given = [
        parameter.opts[0]
        for parameter in context.command.params
        if parameter.name
        and context.get_parameter_source(parameter.name) is ParameterSource.COMMANDLINE
    ]
    for whole, beside in (("--resume", _BESIDE_RESUME), ("--plan", _BESIDE_PLAN)):
        others = [option for option in given if option not in {whole, *beside}]
        if whole in given and others:
            raise click.UsageError(f"{whole} says all of it; leave out {', '.join(others)}.")


def _measure(
    plan: Plan, workloads: Sequence[Workload], folder: ResultsFolder, *, as_json: bool
) -> None:
    """Run, and write the report whatever comes of it."""
    progress = RunProgress(consoles.err(), plan, workloads, folder, quiet=as_json)

    def opened(arm: Arm, number: int) -> AbstractContextManager[ServedArm]:
        return open_arm(arm, plan.shared, round_number=number, tag=folder.tag, tell=progress.feed)

    failure: BaseException | None = None
    try:
        with progress.show():
            Runner(plan, workloads, folder, opened, progress).run()
            run_peers(plan, workloads[0], folder, opened, progress)
    except (BenchmarkError, LauncherError, OSError, KeyboardInterrupt) as error:
        failure = error
    results = folder.read()
    if failure is None and not results.missing:
        folder.finish()
        results = folder.read()
    folder.release_reserve()
    report = build(results) if results.requests else None
    files = write_report(report, folder.path) if report else ()
    if files:
        remember_report(files.json)
    if failure is None and results.missing:
        failure = TargetError(
            f"{len(results.missing)} parts of the plan were not measured.",
            action=f"`python -m benchmarks run --resume {folder.path}` tries them again.",
            evidence=results.missing[:5],
        )
    _show_end(folder, report, files, failure, as_json=as_json)
    if as_json and isinstance(failure, BenchmarkError | LauncherError):
        # The document is the answer; a second one would be none that a program could read.
        raise SystemExit(failure.exit_code)
    if failure is not None:
        raise failure


def _show_end(
    folder: ResultsFolder,
    report: Report | None,
    files: Sequence[Path],
    failure: BaseException | None,
    *,
    as_json: bool,
) -> None:
    if as_json:
        said: dict[str, Any] = {
            "folder": str(folder.path),
            "files": [str(file) for file in files],
            "sentences": report.sentences if report else [],
            "missing": report.missing if report else folder.read().missing,
        }
        if isinstance(failure, BenchmarkError | LauncherError):
            said |= {"error": type(failure).__name__, "problem": failure.problem}
        click.echo(json.dumps(said, indent=2))
        return
    if report is None:
        click.echo(f"Nothing was measured. The plan stays in {folder.path}.", err=True)
        return
    for part in show_report(report):
        consoles.out().print(part)
    for file in files:
        click.echo(str(file))


def _show_plan(plan: Plan, workloads: Sequence[Workload], *, as_json: bool) -> None:
    commands = {
        arm.name: arm.url or command_of(configuration(arm, plan.shared)).shell()
        for arm in plan.arms
    }
    cells = len(plan.arms) * len(workloads) * len(plan.loads) * plan.rounds
    requests = sum(len(one.prompts) for one in workloads)
    requests *= len(plan.arms) * len(plan.loads) * plan.rounds
    if as_json:
        said = {
            "plan": plan.model_dump(mode="json"),
            "workloads": {one.name: one.sha256 for one in workloads},
            "commands": commands,
            "cells": cells,
            "requests": requests,
        }
        click.echo(json.dumps(said, indent=2))
        return
    click.echo(f"{cells} cells, {requests} requests, in {plan.rounds} rounds:\n")
    for one in workloads:
        click.echo(f"  {one.name}  {len(one.prompts)} prompts, sha256 {one.sha256[:12]}")
        click.echo(f"    {one.description}")
    click.echo(f"\n  {', '.join(load.words for load in plan.loads)}")
    how = "side by side" if plan.side_by_side else "one after the other"
    order = "; ".join(" then ".join(arm_order(plan, number)) for number in range(2))
    click.echo(f"\nServers {how}, in turns ({order}; ...):")
    for name, command in commands.items():
        click.echo(f"\n{name}\n{command}")
