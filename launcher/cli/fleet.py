"""`fleet`: several servers of one model behind one gateway."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from launcher.cli.common import json_option, print_json, print_line, say
from launcher.errors import FleetError, NotRunningError
from launcher.fleet.store import FleetStore, list_fleets
from launcher.state.events import Event, PhaseProgress, ServerReady, StateChanged
from launcher.text import human_bytes, human_seconds

if TYPE_CHECKING:
    from launcher.fleet.view import MemberView

_WELL: Final = "green"
_ILL: Final = "red"
_HEAD: Final = ("NAME", "STATE", "ROUTED", "GATEWAY", "RUN", "WAIT", "ACCEPTED", "RESTARTS")

name_option = click.option(
    "--name", default="fleet", show_default=True, metavar="NAME", help="Which fleet."
)
file_argument = click.argument(
    "file", type=click.Path(path_type=Path, dir_okay=False), metavar="FLEET.yaml"
)


@click.group()
def fleet() -> None:
    """Serve one model by several servers behind one address."""


@fleet.command("up")
@file_argument
@json_option
def up(*, file: Path, as_json: bool) -> None:
    """Start what of a fleet does not run yet, and wait until all of it is ready."""
    from launcher.fleet.fleet_file import read_fleet_file  # noqa: PLC0415
    from launcher.fleet.lifecycle import bring_up  # noqa: PLC0415
    from launcher.system.hardware import probe_hardware  # noqa: PLC0415

    described = read_fleet_file(file)
    store = FleetStore(described.name)
    with store.lock():
        done = bring_up(described, store, probe_hardware(), teller(as_json=as_json))
    layout = done.layout
    if as_json:
        ready = {
            "event": "fleet.ready",
            "name": described.name,
            "base_url": layout.gateway.base_url,
            "served_model_name": layout.gateway.served_model_name,
            "replicas": [config.base_url for config in layout.replicas],
            "remotes": list(layout.remotes),
            "started": list(done.started),
        }
        print_line(json.dumps(ready))
        return
    say(("READY", _WELL), f"  {layout.gateway.base_url}/v1")
    say(f"  model      {layout.gateway.served_model_name}")
    say(f"  servers    {len(layout.replicas)} here, {len(layout.remotes)} elsewhere")
    say(f"  policy     {layout.gateway.policy}")
    say(f"  `python -m launcher fleet status --name {described.name}` shows them,")
    say(f"  `python -m launcher fleet down --name {described.name}` stops them.")


@fleet.command("check")
@file_argument
@json_option
def check(*, file: Path, as_json: bool) -> None:
    """Say whether all of a fleet can be brought up here; start and download nothing."""
    from launcher.fleet.check import check_fit  # noqa: PLC0415
    from launcher.fleet.fleet_file import read_fleet_file  # noqa: PLC0415
    from launcher.system.hardware import probe_hardware  # noqa: PLC0415

    described = read_fleet_file(file)
    fit = check_fit(described, FleetStore(described.name), probe_hardware())
    if as_json:
        members = [
            {
                "name": config.name,
                "base_url": config.base_url,
                "gpu_ids": config.gpu_ids,
                "runs": config.name not in fit.new,
            }
            for config in (fit.layout.gateway, *fit.layout.replicas)
        ]
        print_json(
            {
                "fleet": described.name,
                "members": members,
                "needed_bytes": fit.needed_bytes,
                "available_bytes": fit.available_bytes,
            }
        )
        return
    say(("FITS", _WELL), f"  {described.name}: {len(fit.new)} of its members would be started")
    for config in (fit.layout.gateway, *fit.layout.replicas):
        how = "starts" if config.name in fit.new else "runs"
        gpus = f", GPUs {config.gpu_ids}" if config.gpu_ids else ""
        say(f"  {config.name}  {how} at {config.base_url}{gpus}")
    if fit.needed_bytes:
        needed, available = human_bytes(fit.needed_bytes), human_bytes(fit.available_bytes)
        say(f"  memory     about {needed} of {available} that are available")


@fleet.command("down")
@name_option
@json_option
def down(*, name: str, as_json: bool) -> None:
    """Stop the gateway, then the servers, and see that nothing of them is left."""
    from launcher.cli.display import consoles  # noqa: PLC0415
    from launcher.cli.display.progress import show_stop  # noqa: PLC0415
    from launcher.fleet.lifecycle import take_down  # noqa: PLC0415

    store = FleetStore(name)
    store.require()
    with store.lock():
        reports = take_down(store)
    if as_json:
        print_json({"fleet": name, "servers": [asdict(report) for report in reports]})
        return
    for report in reports:
        show_stop(consoles.out(), report)


@fleet.command("status")
@name_option
@json_option
def status(*, name: str, as_json: bool) -> None:
    """List the members of a fleet; exit code 53 unless all of them are well.

    RUN and WAIT are the requests that a server decodes and has queued, by its own metrics;
    ACCEPTED is its acceptance length since its start.
    """
    from launcher.cli.running.table import print_table  # noqa: PLC0415
    from launcher.fleet.view import view, with_figures  # noqa: PLC0415

    members = with_figures(view(FleetStore(name)))
    well = all(member.is_well for member in members)
    if as_json:
        shown = [asdict(member) | {"is_well": member.is_well} for member in members]
        print_json({"fleet": name, "is_well": well, "members": shown})
    else:
        rows = [_HEAD, *map(_row, members)]
        colours = [None, *(_WELL if member.is_well else _ILL for member in members)]
        print_table(rows, lambda row, _column: colours[row])
        for member in members:
            if member.note:
                say(f"\n{member.name}: {member.note}")
    if not well:
        sys.exit(FleetError.exit_code)


def _row(member: MemberView) -> tuple[str, ...]:
    """A member for people; "-" where something is unknown."""
    figures = member.figures
    accepted = figures.acceptance.since_start
    counts = (figures.running_requests, figures.waiting_requests)
    run, wait = ("-" if count is None else f"{count:.0f}" for count in counts)
    return (
        member.name,
        member.state,
        "-" if member.role == "gateway" else "yes" if member.listed else "no",
        member.gateway_status,
        run,
        wait,
        "-" if accepted is None else f"{accepted:.2f}",
        str(member.restarts),
    )


@fleet.command("scale")
@click.argument("replicas", type=click.IntRange(min=0), metavar="N")
@name_option
@json_option
def scale(*, replicas: int, name: str, as_json: bool) -> None:
    """Have N servers on this machine: start new ones, or stop the last ones."""
    from launcher.fleet import lifecycle  # noqa: PLC0415
    from launcher.system.hardware import probe_hardware  # noqa: PLC0415

    store = FleetStore(name)
    store.require()
    with store.lock():
        started, stopped = lifecycle.scale(
            replicas, store, probe_hardware(), teller(as_json=as_json)
        )
    if as_json:
        scaled = {
            "event": "fleet.scaled",
            "name": name,
            "replicas": replicas,
            "started": list(started),
            "stopped": [report.name for report in stopped],
        }
        print_line(json.dumps(scaled))
        return
    say(f"The fleet {name!r} has {replicas} {'server' if replicas == 1 else 'servers'} here.")


@fleet.command("roll")
@file_argument
@click.option(
    "--another-model",
    is_flag=True,
    help="The new servers may answer differently; their drafts still must be accepted as well.",
)
@json_option
def roll(*, file: Path, another_model: bool, as_json: bool) -> None:
    """Replace the servers one by one by what the file says, without losing a request.

    Each new server answers a set of prompts before it gets requests. Where it answers differently,
    or its drafts are accepted less, the roll stops, and the servers are as they were.
    """
    from launcher.fleet.fleet_file import read_fleet_file  # noqa: PLC0415
    from launcher.fleet.roll import Roll  # noqa: PLC0415
    from launcher.system.hardware import probe_hardware  # noqa: PLC0415

    described = read_fleet_file(file)
    store = FleetStore(described.name)
    store.require()
    with store.lock():
        rolled = Roll(
            described,
            store,
            probe_hardware,
            teller(as_json=as_json),
            same_model=not another_model,
        ).run()
    if as_json:
        grades = [{"name": one.name} | (asdict(one.grade) if one.grade else {}) for one in rolled]
        print_line(json.dumps({"event": "fleet.rolled", "name": described.name, "servers": grades}))
        return
    for one in rolled:
        found = one.grade
        if found is None:
            say(f"{one.name}: started; no server was there to compare it with.")
            continue
        accepted = "" if found.acceptance is None else f", acceptance length {found.acceptance:.2f}"
        before = (
            "" if found.former_acceptance is None else f" (before {found.former_acceptance:.2f})"
        )
        say(
            f"{one.name}: replaced; {found.same} of {found.asked} answers as before"
            f"{accepted}{before}."
        )


@fleet.command("logs")
@click.argument("member", metavar="MEMBER")
@name_option
@click.option("--follow", "-f", is_flag=True, help="Go on until Ctrl-C.")
@click.pass_context
def logs(context: click.Context, *, member: str, name: str, follow: bool) -> None:
    """Print what a member printed: `gateway`, or the number of a server."""
    from launcher.cli.running.logs import logs as logs_of_server  # noqa: PLC0415
    from launcher.fleet.lifecycle import members_of  # noqa: PLC0415

    known = members_of(FleetStore(name).require())
    wanted = member if member in known else f"{name}-{member}"
    if wanted not in known:
        raise NotRunningError(
            f"The fleet {name!r} has no member {member!r}.",
            action=f"Its members: {', '.join(known)}.",
        )
    context.invoke(logs_of_server, name=wanted, follow=follow)


@fleet.command("list")
@json_option
def list_(*, as_json: bool) -> None:
    """List the fleets that were brought up here."""
    names = list_fleets()
    if as_json:
        print_json({"fleets": names})
        return
    for name in names:
        say(name)
    if not names:
        say("No fleet was brought up here. Start one: python -m launcher fleet up FLEET.yaml")


def teller(*, as_json: bool) -> Callable[[str, Event], None]:
    """What shows the events of several members: lines with a name, or JSON with one."""

    def tell_program(name: str, event: Event) -> None:
        print_line(json.dumps({"server": name} | json.loads(event.to_json())))

    def tell_person(name: str, event: Event) -> None:
        if (text := _describe(event)) is not None:
            say(f"{name}: {text}", err=True)

    return tell_program if as_json else tell_person


def _describe(event: Event) -> str | None:
    """An event in a few words; None for one that says nothing new to a person."""
    if isinstance(event, ServerReady):
        return f"ready after {human_seconds(event.elapsed_seconds)}"
    if isinstance(event, PhaseProgress):
        return event.phase if event.done is None else None
    if isinstance(event, StateChanged):
        return None if event.state in {"READY", "STARTING"} else str(event.state)
    fields: dict[str, Any] = asdict(event)
    return str(fields["problem"]) if "problem" in fields else None
