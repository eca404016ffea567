"""`tune`: find the fastest draft settings here, and write them into a config file for `up`."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import click
import yaml
from rich.table import Table

from benchmarks.cli.common import default_folder, facts, shared_fields, with_preset
from benchmarks.cli.progress import RunProgress
from benchmarks.errors import PlanError, StorageError, TargetError
from benchmarks.plan import Arm, Plan
from benchmarks.records import Load
from benchmarks.running.arms import PLAIN, option_of, parse_arm
from benchmarks.running.folder import ResultsFolder
from benchmarks.running.runner import Runner
from benchmarks.running.servers import configuration, open_arm
from benchmarks.running.tuning import Search, Trial, candidates, search, trial_of, tuned_fields
from benchmarks.workloads.loading import load_workload
from benchmarks.workloads.workload import Workload
from launcher.cli.display import consoles

MOST_PROMPTS: Final = 64


@click.command()
@click.option(
    "--workload",
    "spec",
    default="chat",
    show_default=True,
    metavar="NAME|FILE",
    help="What your traffic is like.",
)
@click.option(
    "--concurrency",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Requests in flight.",
)
@click.option(
    "--minutes",
    type=click.FloatRange(min=0, min_open=True),
    default=30.0,
    show_default=True,
    help="No measurement begins that would not end in time.",
)
@click.option(
    "--arm",
    "arms",
    multiple=True,
    metavar="ARM",
    help="A candidate, as `run` takes it.  [default: plain, and EAGLE with 1 to 5 steps "
    "and two trees]",
)
@click.option(
    "--preset", metavar="NAME", help="Of the launcher.  [default: what suits this machine]"
)
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The launcher's fields, YAML or TOML.",
)
@click.option(
    "--set", "fields", multiple=True, metavar="FIELD:VALUE", help="One of the launcher's fields."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option(
    "--write",
    "target",
    type=click.Path(path_type=Path),
    default=Path("tuned.yaml"),
    show_default=True,
    metavar="FILE",
    help="The config file.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="A new folder for what was measured.  [default: benchmark-results/TIME]",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def tune(*, spec: str, concurrency: int, minutes: float, arms: Sequence[str], target: Path,
         output: Path | None, seed: int, as_json: bool, **options: Any) -> None:  # fmt: skip
    """Find the draft settings that are fastest for your traffic on this machine.

    Successive halving: all candidates answer a few prompts, the slower half is dropped, the others
    answer twice as many, and so on. Plain decoding is one of them, and may win.
    """
    deadline = time.monotonic() + 60 * minutes
    shared = with_preset(shared_fields(options))
    workload = load_workload(spec, prompts=MOST_PROMPTS, seed=seed)
    chosen = tuple(parse_arm(text) for text in arms) or candidates()
    if any(arm.url is not None for arm in chosen):
        raise PlanError("A server that already runs cannot be tuned.", action="Leave that arm out.")
    for arm in chosen:
        configuration(arm, shared)
    _check_writable(target)
    tuner = _Tuner(
        shared=shared,
        workload=workload,
        load=Load(concurrency=concurrency),
        seed=seed,
        root=output or default_folder(),
        quiet=as_json,
    )
    found = search(
        chosen,
        tuner.measure,
        most_prompts=len(workload.prompts),
        seconds_left=lambda: deadline - time.monotonic(),
    )
    if found.best is None:
        raise TargetError(
            f"None of {len(chosen)} candidates could be measured.",
            action=f"See {tuner.root} and `python -m launcher doctor`.",
            evidence=tuple(f"{one.arm}: {one.failure}" for one in found.trials[-5:]),
        )
    _write(target, found, shared, workload, concurrency)
    _show(found, target, tuner.root, as_json=as_json)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tuner:
    """Measures a candidate in a folder of its own."""

    shared: dict[str, Any]
    workload: Workload
    load: Load
    seed: int
    root: Path
    quiet: bool

    def measure(self, arm: Arm, rung: int, prompts: int) -> Trial:
        """Start the candidate, let it answer, stop it."""
        plan = Plan(
            arms=(arm,),
            shared=self.shared,
            workloads=(self.workload.name,),
            prompts=prompts,
            loads=(self.load,),
            rounds=1,
            seed=self.seed,
            scored_prompts=0,
        )
        workloads = (self.workload.first(prompts),)
        folder = ResultsFolder(self.root / f"rung-{rung}" / arm.name)
        began = time.monotonic()
        folder.create(plan, workloads, facts())
        with folder.locked():
            progress = RunProgress(consoles.err(), plan, workloads, folder, quiet=self.quiet)

            def opened(one: Arm, number: int) -> Any:
                return open_arm(
                    one, self.shared, round_number=number, tag=folder.tag, tell=progress.feed
                )

            with progress.show():
                Runner(plan, workloads, folder, opened, progress).run()
            folder.release_reserve()
            results = folder.read()
        seconds = time.monotonic() - began
        if results.missing:
            return Trial(
                arm=arm.name, rung=rung, prompts=0, seconds_per_output_token=None,
                seconds=seconds, failure=results.missing[0],
            )  # fmt: skip
        return trial_of(arm.name, rung, results.requests, seconds=seconds)


def _check_writable(target: Path) -> None:
    """Before the servers start, not after.

    Raises:
        StorageError: the config file could not be written.
    """
    if target.suffix not in {".yaml", ".yml"}:
        raise PlanError(f"{target} does not end in .yaml.", action="`up --config` reads YAML.")
    if not target.parent.is_dir():
        raise StorageError(
            f"The folder {target.parent} of {target.name} does not exist.",
            action="Make it, or name another with --write.",
        )


def _write(
    target: Path, found: Search, shared: dict[str, Any], workload: Workload, concurrency: int
) -> None:
    assert found.best is not None  # noqa: S101  # the caller has looked
    last = [one for one in found.trials if one.arm == found.best.name][-1]
    seconds = last.seconds_per_output_token or 0.0
    head = (
        f"# Written by `python -m benchmarks tune`: {found.best.name} for {workload.name} at "
        f"concurrency {concurrency},\n"
        f"# {1000 * seconds:.2f} ms per output token over {last.prompts} prompts, "
        f"{len(found.trials)} measurements.\n"
    )
    fields = yaml.safe_dump(tuned_fields(found.best, shared), sort_keys=False)
    try:
        target.write_text(head + fields, encoding="utf-8")
    except OSError as error:
        raise StorageError(
            f"{target} cannot be written: {error.strerror}.", action="Name another with --write."
        ) from error


def _show(found: Search, target: Path, folder: Path, *, as_json: bool) -> None:
    assert found.best is not None  # noqa: S101  # the caller has looked
    if as_json:
        said = {
            "best": found.best.name,
            "fields": found.best.fields,
            "config_file": str(target),
            "folder": str(folder),
            "out_of_time": found.out_of_time,
            "trials": [asdict(one) for one in found.trials],
        }
        click.echo(json.dumps(said, indent=2))
        return
    table = Table(box=None, header_style="dim", pad_edge=False)
    for title in ("RUNG", "ARM", "PROMPTS", "MS PER TOKEN", "ACCEPTANCE LENGTH", "TOOK"):
        table.add_column(title, justify="left" if title == "ARM" else "right")
    for one in found.trials:
        speed, length = one.seconds_per_output_token, one.acceptance_length
        table.add_row(
            str(one.rung + 1),
            one.arm,
            str(one.prompts),
            one.failure or "-" if speed is None else f"{1000 * speed:.2f}",
            "-" if length is None else f"{length:.2f}",
            f"{one.seconds:.0f} s",
        )
    out = consoles.out()
    out.print(table)
    ended = " The time was over before one was left." if found.out_of_time else ""
    out.print(f"\nThe fastest: {found.best.name}.{ended}", highlight=False, markup=False)
    # Where plain decoding won, the default of EAGLE shows by how much.
    other = "eagle" if found.best.name == PLAIN else shlex.quote(option_of(found.best))
    out.print(
        f"Serve so:  python -m launcher up --config {target}\n"
        f"Compare:   python -m benchmarks run --config {target} --arm {PLAIN} --arm {other}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
