"""`engine`: environments of engines that cannot share the launcher's own."""

from __future__ import annotations

from typing import Any

import click

from launcher.cli.common import json_option, print_json, say
from launcher.engines.common import installing
from launcher.engines.common.environments import Environment, list_environments
from launcher.engines.select import installable_of
from launcher.system.hardware import probe_hardware
from launcher.text import human_bytes


@click.group()
def engine() -> None:
    """Install, list and remove engines with environments of their own."""


@engine.command("install")
@click.argument("name", type=click.Choice(["vllm"]))
@click.option(
    "--device",
    type=click.Choice(["cuda", "cpu"]),
    help="For which device.  [default: cuda where there is an NVIDIA GPU]",
)
@click.option("--offline", is_flag=True, help="Take everything from uv's cache.")
@click.option("--force", is_flag=True, help="Make it anew where it is here.")
@json_option
def engine_install(
    *, name: str, device: str | None, offline: bool, force: bool, as_json: bool
) -> None:
    """Make an environment for an engine, at the version that this launcher is verified with."""
    chosen = device or ("cuda" if probe_hardware().gpus else "cpu")
    what = installable_of(name, chosen)
    if not as_json:
        say(f"{what.requirement} goes to {what.environment.folder}.", err=True)
        if what.note:
            say(what.note, err=True)
    made = installing.install(what, offline=offline, force=force, quiet=as_json)
    if as_json:
        print_json({**_as_json(what.environment), "made": made["made"]})
    elif made["made"]:
        size = human_bytes(int(made["size_bytes"]))
        say(f"Installed {what.environment.name}, {size}. `up --engine {name}` uses it.")
    else:
        say(f"{what.environment.name} is here already; --force makes it anew.")


@engine.command("list")
@json_option
def engine_list(*, as_json: bool) -> None:
    """List the environments that are here, and which servers run from them."""
    found = list_environments()
    if as_json:
        print_json({"engines": [_as_json(environment) for environment in found]})
        return
    if not found:
        say("None is installed. SGLang runs beside the launcher; `engine install vllm` adds vLLM.")
    for environment in found:
        record = installing.read_record(environment)
        size = human_bytes(int(record.get("size_bytes") or 0)) if record else "not whole"
        users = ", ".join(installing.users_of(environment))
        serves = f", serves {users}" if users else ""
        say(f"{environment.name}  {size}  {environment.folder}{serves}")
        if record.get("note"):
            say(f"  {record['note']}")


@engine.command("remove")
@click.argument("name", metavar="NAME")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def engine_remove(*, name: str, yes: bool, as_json: bool) -> None:
    """Remove an environment, as `engine list` names it."""
    environment = installing.find_installed(name)
    if not yes:
        click.confirm(f"Remove {environment.folder}?", abort=True, err=True)
    installing.remove(environment)
    if as_json:
        print_json({"removed": environment.name})
    else:
        say(f"Removed {environment.name}.")


def _as_json(environment: Environment) -> dict[str, Any]:
    record = installing.read_record(environment)
    return {
        "name": environment.name,
        "distribution": environment.distribution,
        "version": environment.version,
        "python": str(environment.python),
        "whole": environment.is_whole,
        "size_bytes": record.get("size_bytes"),
        "installed_at": record.get("installed_at"),
        "note": record.get("note") or None,
        "serves": list(installing.users_of(environment)),
    }
