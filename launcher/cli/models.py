"""The commands about models on the disk: `pull`, `models` and `models rm`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from launcher.cli.common import json_option, print_json
from launcher.cli.display import consoles
from launcher.cli.display.download import PullDisplay, show_finished, show_models
from launcher.config.presets import PRESETS
from launcher.models.download.events import PullEvent, PullFinished
from launcher.models.download.hub import Hub
from launcher.models.download.pull import pull as pull_model
from launcher.models.download.request import DEFAULT_THREADS, PullRequest
from launcher.models.download.verify import verify
from launcher.models.removal import plan_removal, remove
from launcher.models.store import LocalModel, is_offline, list_models
from launcher.text import human_bytes


@click.command()
@click.argument("model", metavar="MODEL")
@click.option("--revision", metavar="NAME", help="Branch, tag or commit.  [default: main]")
@click.option(
    "--target",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="A plain folder instead of the hub's cache.",
)
@click.option("--endpoint", metavar="URL", help="A mirror of the hub; or HF_ENDPOINT names it.")
@click.option(
    "--jobs",
    type=click.IntRange(1, 32),
    default=DEFAULT_THREADS,
    show_default=True,
    help="Files at a time.",
)
@click.option(
    "--verify-only", is_flag=True, help="Read each file again, tell what is wrong, change nothing."
)
@click.option(
    "--offline", is_flag=True, help="Check what is here without asking the hub; or HF_HUB_OFFLINE."
)
@json_option
def pull(
    *,
    model: str,
    revision: str | None,
    target: Path | None,
    endpoint: str | None,
    jobs: int,
    verify_only: bool,
    offline: bool,
    as_json: bool,
) -> None:
    """Download a model, or what is missing of it, and verify each file by its hash.

    MODEL is OWNER/NAME at the hub, or a preset. A token is taken from HF_TOKEN or `hf auth login`.
    """
    preset = PRESETS.get(model)
    repository = str(preset.fields.get("model_path", model)) if preset else model
    folder = target.expanduser().resolve() if target else None
    request = PullRequest(repository, revision, folder, jobs)
    hub = Hub(endpoint)
    display = PullDisplay(consoles.err(), quiet=as_json)
    finished: list[PullFinished] = []

    def report(event: PullEvent) -> None:
        if as_json:
            click.echo(event.to_json())
            return
        display.feed(event)
        if isinstance(event, PullFinished):
            finished.append(event)

    with display.show():
        if offline or is_offline():
            verify(request, None, report, reread=verify_only)
        elif verify_only:
            verify(request, hub, report)
        else:
            pull_model(request, hub, report)
    # Below the bars, not among them.
    for event in finished:
        show_finished(consoles.out(), event)


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def models(context: click.Context, *, as_json: bool) -> None:
    """List the models that are here, or remove one."""
    if context.invoked_subcommand is not None:
        return
    found = list_models()
    if as_json:
        print_json({"models": [_as_json(model) for model in found]})
    elif found:
        show_models(consoles.out(), found)
    else:
        click.echo("No model is here yet. Get one: python -m launcher pull OWNER/NAME")


@models.command("rm")
@click.argument("name", metavar="NAME")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def models_rm(*, name: str, yes: bool, as_json: bool) -> None:
    """Remove a model: a repository of the hub's cache, or a folder that `pull` has filled."""
    removal = plan_removal(name)
    size = human_bytes(removal.size_bytes)
    if not yes:
        where = removal.models[0].folder.parent if removal.models[0].in_cache else name
        click.confirm(f"Remove {name}, {size}, from {where}?", abort=True, err=True)
    remove(removal)
    if as_json:
        print_json({"removed": [_as_json(model) for model in removal.models]})
    else:
        click.echo(f"Removed {name}, {size}.")


def _as_json(model: LocalModel) -> dict[str, Any]:
    record = model.record
    return {
        "repository": model.repository,
        "commit": model.commit or None,
        "revisions": model.names,
        "folder": str(model.folder),
        "in_cache": model.in_cache,
        "size_bytes": model.size_bytes,
        "complete": model.missing is None,
        "missing": model.missing,
        "pulled_at": record.pulled_at.isoformat() if record else None,
        "verified_at": model.verified_at.isoformat() if model.verified_at else None,
        "endpoint": record.endpoint if record else None,
    }
