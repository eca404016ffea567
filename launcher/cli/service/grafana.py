"""The command `export grafana`: what `top` shows, for Prometheus and Grafana."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from launcher.cli.common import json_option, print_json, say
from launcher.errors import ConfigFileError, InvalidValueError, StateError
from launcher.exporting.grafana.bundle import bundle, notes
from launcher.exporting.grafana.targets import ScrapeTarget, parse_target
from launcher.fleet.layout import gateway_name, replica_names
from launcher.fleet.store import FleetStore, list_fleets
from launcher.metrics.benchmark import find_benchmark
from launcher.state.record import RunRecord
from launcher.state.reports import Reports, this_machine
from launcher.state.store import list_stores
from launcher.system.files import cannot_write, replace_file


@click.command()
@click.option(
    "--target",
    "named",
    multiple=True,
    metavar="HOST:PORT",
    help="A server to watch; unset: all that run here, and those elsewhere of their fleets.",
)
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Where the files go; needed without --json.",
)
@click.option("--force", is_flag=True, help="Replace files that are there.")
@json_option
def grafana(*, named: tuple[str, ...], output: Path | None, force: bool, as_json: bool) -> None:
    """Write a scrape configuration, rules and alerts, and a dashboard."""
    if output is None and not as_json:
        raise click.UsageError("Name a folder with --output, or give --json.")
    targets = [parse_target(one) for one in named] if named else list(_running())
    if not targets:
        raise InvalidValueError(
            "No server runs here that could be watched.",
            action="Start one: `python -m launcher up --detach`; or name one with --target.",
        )
    files = bundle(targets, [word for one in named for word in ("--target", one)])
    if output is not None:
        _write(output, files, force=force)
    if as_json:
        print_json({"files": files, "notes": list(notes(targets))})
        return
    for note in notes(targets):
        say(f"Note: {note}", err=True)
    say(f"Wrote {', '.join(files)} to {output}, for {len(targets)} servers.")
    sys.stdout.flush()


def _running() -> Iterator[ScrapeTarget]:
    """The servers that run here, but for gateways, and those elsewhere of the fleets."""
    fleets: dict[str, str] = {}
    gateways = set()
    remotes: list[ScrapeTarget] = []
    for name in list_fleets():
        fleet = FleetStore(name).require()
        fleets |= dict.fromkeys(replica_names(fleet), name)
        gateways.add(gateway_name(name))
        for url in fleet.remotes:
            known = parse_target(url)
            remotes.append(ScrapeTarget(known.address, known.server, name, https=known.https))
    machine, reports = this_machine(), Reports().all()
    for store in list_stores():
        try:
            record = store.read()
        except StateError as error:
            say(f"Note: {error.problem}", err=True)
            continue
        if record is None or not record.is_running or record.name in gateways:
            continue
        if not record.config.get("enable_metrics", True):
            say(f"Note: {record.name} has its metrics off (enable_metrics).", err=True)
            continue
        found = find_benchmark(reports, record.config, machine)
        costs = [one.step_cost for one in found.loads if one.step_cost] if found else []
        yield _target(record, fleets.get(record.name, ""), costs)
    yield from remotes


def _target(record: RunRecord, fleet: str, costs: Sequence[float]) -> ScrapeTarget:
    known = parse_target(record.base_url)
    speculates = bool(record.config.get("speculative_algorithm"))
    return ScrapeTarget(
        known.address,
        record.name,
        fleet,
        known.https,
        # Below the least of all loads it pays at none of them.
        min(costs) if costs and speculates else None,
    )


def _write(folder: Path, files: dict[str, str], *, force: bool) -> None:
    """Write all files, or none where one of them is there.

    Raises:
        ConfigFileError: a file is there.
        InvalidValueError: the folder cannot be made.
        StateError: the disk does not take one.
    """
    there = [name for name in files if (folder / name).exists()]
    if there and not force:
        raise ConfigFileError(
            f"{folder / there[0]} exists.", action="Name another folder, or give --force."
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidValueError(
            f"The folder {folder} cannot be made: {error.strerror}.", action="Name another."
        ) from error
    for name, text in files.items():
        try:
            # For Prometheus and Grafana, which run as other users. They hold no secret.
            replace_file(folder / name, text.encode(), mode=0o644)
        except OSError as error:
            raise cannot_write(folder / name, error) from error
