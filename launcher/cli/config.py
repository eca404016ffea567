"""`config`: look at a configuration, and make one of a launch that already runs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from launcher.cli.common import json_option, print_json, print_line, say
from launcher.cli.display import consoles
from launcher.cli.display.progress import show_config
from launcher.cli.options.fields import config_options, resolve_options
from launcher.cli.options.spellings import ConfigCommand
from launcher.config.fields.outside import shown
from launcher.config.fields.secret_names import is_secret_name
from launcher.errors import ConfigFileError
from launcher.importing.recognise import (
    LARGEST_FILE_BYTES,
    Launches,
    choose,
    launches_of_command,
    launches_of_file,
)
from launcher.importing.translate import Imported, translate
from launcher.system.files import write_atomically
from launcher.system.foreign import read_foreign


@click.group()
def config() -> None:
    """Look at a configuration, or import one."""


@config.command("show", cls=ConfigCommand)
@config_options
@json_option
def config_show(*, as_json: bool, **options: Any) -> None:
    """Print every field, its value, where it came from and what it means."""
    resolved = resolve_options(options)
    if as_json:
        print_json(
            {
                "config": resolved.config.model_dump(mode="json"),
                "sources": dict(resolved.sources),
                "preset_reason": resolved.preset_reason,
            }
        )
    else:
        show_config(consoles.out(), resolved.config, resolved.sources, resolved.preset_reason)


@config.command("import")
@click.argument("source", nargs=-1, type=click.UNPROCESSED, metavar="FILE | -- COMMAND...")
@click.option("--service", metavar="NAME", help="Which service or container of the file.")
@click.option(
    "--output", "-o", type=click.Path(path_type=Path), metavar="FILE", help="Write the YAML there."
)
@json_option
def config_import(
    *, source: tuple[str, ...], service: str | None, output: Path | None, as_json: bool
) -> None:
    """Turn a launch that already runs into a file for `up --config`.

    FILE is a script, a compose file, a Kubernetes manifest, a systemd unit, a Slurm or a SkyPilot
    job; `-` is standard input. Or put `python -m launcher config import --` in front of the command
    inside your own script, where the shell has filled everything in. Nothing is started, and no
    secret is written.

    The YAML goes to standard output, and what was taken over, added and left out to standard error.
    """
    imported = translate(*choose(_read(source), service))
    if output is not None:
        _write(output, imported.as_yaml())
    if as_json:
        print_json(
            {
                "config": dict(imported.fields),
                "taken_over": imported.taken,
                "added": imported.added,
                "not_taken_over": imported.dropped,
            }
        )
        return
    if output is None:
        print_line(imported.as_yaml(), end="")
    _tell(imported)
    if output is not None:
        say(f"Wrote {output}. Check it: `python -m launcher up --config {output} --dry-run`.")


def _read(source: tuple[str, ...]) -> Launches:
    """The servers of a file, or of a command."""
    if not source:
        raise click.UsageError("Name a file, or put a command after `--`.")
    # Nobody's file is filled in with a secret of whoever imports it.
    variables = {name: value for name, value in os.environ.items() if not is_secret_name(name)}
    (first, *others) = source
    if others:
        return launches_of_command(list(source), variables, Path.cwd())
    if " " in first:
        # A whole command in quotes.
        return launches_of_file(first, "command", variables, Path.cwd())
    path = Path(first)
    try:
        if first == "-":
            content = click.get_binary_stream("stdin").read(LARGEST_FILE_BYTES + 1)
        else:
            content = read_foreign(path, most_bytes=LARGEST_FILE_BYTES)
        text = content.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        name = "Standard input" if first == "-" else shown(first)
        raise ConfigFileError(f"{name} cannot be read: {why}.", action="Check the path.") from None
    if len(content) > LARGEST_FILE_BYTES:
        raise ConfigFileError(
            f"What is read has more than {LARGEST_FILE_BYTES:,} bytes.", action="Give the command."
        )
    if first == "-":
        return launches_of_file(text, "standard input", variables, Path.cwd())
    return launches_of_file(text, path.name, variables, path.parent.absolute())


def _tell(imported: Imported) -> None:
    """What happened to each part of the definition."""
    for title, lines in (
        ("Taken over", imported.taken),
        ("Added by the launcher", imported.added),
        ("Not taken over", imported.dropped),
    ):
        if lines:
            say(f"\n{title}:", err=True)
        for line in lines:
            say(f"  {line}", err=True)


def _write(path: Path, text: str) -> None:
    if path.suffix not in {".yaml", ".yml"}:
        raise ConfigFileError(f"{path} is to hold YAML.", action="Let its name end in .yaml.")
    if path.exists():
        raise ConfigFileError(f"{path} exists.", action="Name another file, or remove it.")
    write_atomically(path, text)
