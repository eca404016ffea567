"""An engine's spellings of our options, before `--`: understood where we have the option."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Final

import click

from launcher.config.fields.secret_names import is_secret_name
from launcher.config.sources import ENVIRONMENT_PREFIX, asked_engine
from launcher.engines.engine import Engine
from launcher.engines.select import engine_named, version_of

# They say whose spellings are meant.
_DECIDES: Final = ("engine", "preset")


class ConfigCommand(click.Command):
    """A command that takes a whole configuration.

    An engine's spelling of an option that the launcher has is taken for it (`--tp 2`); an option
    that only the engine has is refused with the place where it belongs.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the command line."""
        known = {name for one in self.get_params(ctx) for name in (*one.opts, *one.secondary_opts)}
        end = args.index("--") if "--" in args else len(args)
        passes_on = any(one.name == "extra_args" for one in self.get_params(ctx))
        engine = engine_named(asked_engine([_read_environment(), _given(args[:end])]))
        own = [_respelled(word, known, ctx, engine, passes_on=passes_on) for word in args[:end]]
        return super().parse_args(ctx, own + args[end:])


def _read_environment() -> dict[str, Any]:
    """What the environment says of engine and preset."""
    names = {field: f"{ENVIRONMENT_PREFIX}{field.upper()}" for field in _DECIDES}
    return {field: os.environ[name] for field, name in names.items() if os.environ.get(name)}


def _given(words: Sequence[str]) -> dict[str, Any]:
    """What the options say of them, before they are read as options."""
    found: dict[str, Any] = {}
    for place, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name in {f"--{field}" for field in _DECIDES}:
            found[name[2:]] = value if equals else next(iter(words[place + 1 : place + 2]), "")
    return found


def _respelled(
    word: str, known: set[str], ctx: click.Context, engine: Engine, *, passes_on: bool
) -> str:
    """A word as the launcher spells it."""
    name, equals, value = word.partition("=")
    if not name.startswith("--") or name in known:
        return word
    version = version_of(engine)
    found = engine.own_option(name, version)
    field = None if found is None or found.field is None else found.field.replace("_", "-")
    if field is not None and f"--{field}" in known:
        return f"--{field}{equals}{value}"
    if is_secret_name(name):
        # What it would be given is not repeated, nor is anybody sent where it would be seen.
        raise click.UsageError(
            f"{name} would show a secret in the process list; name a file of mode 0600 with "
            "--api-key-file or --admin-key-file.",
            ctx,
        )
    if found is not None:
        where = f"put it after `--`: `-- {name}`." if passes_on else "only `up` takes it."
        raise click.UsageError(f"{name} is an option of {engine.name}'s; {where}", ctx)
    settings: dict[str, Any] = {"ctx": ctx}
    near = engine.near_options(name, version)
    if near and passes_on:
        raise click.NoSuchOption(
            name,
            f"There is no option {name}. {engine.name} has {' and '.join(near)}, which belong "
            "after `--`.",
            **settings,
        )
    return word
