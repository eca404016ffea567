"""The command `service`: a systemd unit that runs `up` with the same flags."""

from __future__ import annotations

import os
import pwd
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click

from launcher.cli.common import json_option, print_json
from launcher.cli.options.fields import config_options, resolve_options
from launcher.cli.options.spellings import ConfigCommand
from launcher.cli.service.unit import Service, unit_text
from launcher.config.config_file import read_config_file
from launcher.config.presets import CUSTOM
from launcher.config.server_config import ServerConfig
from launcher.config.sources import (
    ENVIRONMENT_PREFIX,
    KEY_FILE_FIELDS,
    MODEL_PATH_FIELDS,
    ResolvedConfig,
    read_environment,
)
from launcher.engines.select import engine_of, version_of
from launcher.errors import ConfigError, InvalidValueError, StateError
from launcher.names import API_KEY_VARIABLE
from launcher.preflight import prepare
from launcher.state.store import RunStore
from launcher.supervision.stop import SUPERVISOR_MARGIN_SECONDS
from launcher.system.files import write_atomically
from launcher.system.hardware import probe_hardware

PATH_FIELDS: Final = (*MODEL_PATH_FIELDS, *KEY_FILE_FIELDS)
# Where things lie. systemd's environment is not the shell's, so the unit repeats these.
PLACES: Final = ("HF_HOME", "HF_HUB_CACHE", "CUDA_HOME")
# A unit of the system has its own.
USER_PLACES: Final = ("XDG_STATE_HOME", "XDG_CACHE_HOME")
WRITABLE_PLACES: Final = ("HF_HOME", "HF_HUB_CACHE")
# What else changes what a server does; its values may be secrets, so only the names are told.
TELLING_PREFIXES: Final = ("CUDA_", "FLASHINFER_", "HF_", "NCCL_", "SGLANG_", "PYTORCH_", "TORCH_",
    "TRITON_")  # fmt: skip
SYSTEM_UNITS: Final = Path("/etc/systemd/system")
# logind treats accounts from here on as people (SYS_UID_MAX of login.defs(5), as shipped).
FIRST_PERSON_UID: Final = 1000


@click.command(cls=ConfigCommand)
@config_options
@click.option("--user", "for_user", is_flag=True, help="For your own systemd; needs no root.")
@click.option("--run-as", metavar="ACCOUNT", help="Who runs it, without --user; unset: you.")
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write it there instead of printing it.",
)
@json_option
def service(
    *, for_user: bool, run_as: str | None, output: Path | None, as_json: bool, **options: Any
) -> None:
    """Print a systemd unit that runs `up` with the same flags.

    Nothing is installed or started; what to type for that is said at the end.
    """
    account = _account(run_as, for_user=for_user)
    _refuse_fields_in_environment(os.environ)
    hardware = probe_hardware()
    resolved = resolve_options(options, probe=lambda: hardware)
    config = resolved.config
    _refuse_moving_paths(resolved, options["config_file"])
    # Refuses what `up` would refuse of the arguments, above all a secret among them.
    secrets_file = RunStore(config.name).secrets_file
    prepare.plan_command(config, hardware, secrets_file=secrets_file)
    made = _service(resolved, options, account)
    text = unit_text(made)
    notes = list(_notes(resolved, made, os.environ))
    commands = _commands(made, output)
    if output is not None:
        _write(output, text)
    if as_json:
        print_json({"name": made.unit_name, "unit": text, "notes": notes, "commands": commands})
        return
    if output is None:
        click.echo(text, nl=False)
    for note in notes:
        click.echo(f"Note: {note}", err=True)
    if output is None:
        click.echo(f"Save it as {_place(made)}, then:", err=True)
    for command in commands:
        click.echo(f"  {command}", err=True)


def _account(run_as: str | None, *, for_user: bool) -> str | None:
    """Who runs a unit of the system; None for a unit of a user's own systemd.

    Raises:
        UsageError: both kinds were asked for.
        InvalidValueError: there is no such account, or it would be root and nobody said so.
    """
    if for_user:
        if run_as is not None:
            raise click.UsageError("--run-as is for a unit of the system: leave out --user.")
        return None
    if run_as is None:
        if os.getuid() == 0:
            raise InvalidValueError(
                "Root asks for the unit, and the server would run as root.",
                action="Name an account for it: --run-as ACCOUNT.",
            )
        return pwd.getpwuid(os.getuid()).pw_name
    try:
        return pwd.getpwnam(run_as).pw_name
    except KeyError:
        raise InvalidValueError(
            f"There is no account {run_as!r} on this machine.",
            action="Make one: `sudo useradd --system --shell /usr/sbin/nologin ACCOUNT`.",
        ) from None


def _refuse_fields_in_environment(environment: Mapping[str, str]) -> None:
    """A unit does not see the shell's environment: what it sets here would silently be lost."""
    if fields := sorted(read_environment(environment)):
        variables = [f"{ENVIRONMENT_PREFIX}{field.upper()}" for field in fields]
        flags = [f"--{field.replace('_', '-')}" for field in fields]
        raise ConfigError(
            f"{', '.join(variables)} set here would not be set for a service.",
            action=f"Give {', '.join(flags)} instead, or a --config file, and unset them.",
        )


def _refuse_moving_paths(resolved: ResolvedConfig, config_file: Path | None) -> None:
    """A path in a config file that means something else in another folder or for another account.

    Raises:
        ConfigError: there is one.
    """
    if config_file is None:
        return
    given = read_config_file(config_file)
    for field in PATH_FIELDS:
        if not resolved.sources[field].startswith("file") or not given.get(field):
            continue
        is_path = (
            Path(str(getattr(resolved.config, field))).is_absolute() or field in KEY_FILE_FIELDS
        )
        if is_path and not Path(str(given[field])).is_absolute():
            raise ConfigError(
                f"{field} in {config_file} is relative to this folder or this account's home, and "
                "the service runs in another one.",
                action=f"Write the whole path there: {_absolute(getattr(resolved.config, field))}",
            )


def _service(resolved: ResolvedConfig, options: Mapping[str, Any], account: str | None) -> Service:
    config = resolved.config
    credentials = {} if account is None else dict(_credentials(config))
    places = [*PLACES, *(USER_PLACES if account is None else ())]
    environment = {place: os.environ[place] for place in places if os.environ.get(place)}
    config_file = options["config_file"]
    return Service(
        name=config.name,
        python=Path(sys.executable),
        arguments=tuple(_arguments(resolved, options, credentials)),
        account=account,
        stop_seconds=config.stop_seconds + SUPERVISOR_MARGIN_SECONDS,
        restart=config.restart != "never",
        restart_limit=config.restart_limit,
        restart_window_seconds=config.restart_window_seconds,
        credentials=credentials,
        environment=environment,
        writable=tuple(Path(environment[at]) for at in WRITABLE_PLACES if at in environment),
        needed=tuple(
            Path(path)
            for path in (
                sys.executable,
                *(() if config_file is None else (_absolute(config_file),)),
                *(getattr(config, field) for field in PATH_FIELDS),
            )
            if path is not None and Path(path).is_absolute()
        ),
    )


def _credentials(config: ServerConfig) -> Iterator[tuple[str, Path]]:
    """Name for systemd and file of each key."""
    for field in KEY_FILE_FIELDS:
        if (file := getattr(config, field)) is not None:
            yield field.removesuffix("_file").replace("_", "-"), _absolute(file)


def _arguments(
    resolved: ResolvedConfig, options: Mapping[str, Any], credentials: Mapping[str, Path]
) -> Iterator[str]:
    """The flags that were given, and what was chosen by a look at this machine.

    The choice is kept, since after a boot the machine may look another way for a moment: a server
    for two GPUs must not come back as the small one on the CPU.
    """
    config = resolved.config
    if options["preset"] is not None or resolved.sources["preset"].startswith("preset"):
        yield f"--preset={config.preset}"
    if config.preset == CUSTOM.name and resolved.sources["device"].startswith("preset"):
        yield f"--device={config.device}"
    if options["config_file"] is not None:
        yield f"--config={_absolute(options['config_file'])}"
    handed_on = {f"{name.replace('-', '_')}_file" for name in credentials}
    for field in ServerConfig.model_fields:
        value = options.get(field)
        if field in {"preset", "extra_args"} or field in handed_on or value is None:
            continue
        flag = field.replace("_", "-")
        if isinstance(value, bool):
            yield f"--{flag}" if value else f"--no-{flag}"
        elif isinstance(value, tuple):
            # An option that may be given several times.
            yield from (f"--{flag}={one}" for one in value)
        elif value and field in (*KEY_FILE_FIELDS, "engine_python"):
            yield f"--{flag}={_absolute(value)}"
        elif value and field in PATH_FIELDS:
            # A folder, with its whole path by now, or the id of a repository.
            yield f"--{flag}={getattr(config, field)}"
        else:
            yield f"--{flag}={value}"
    if options["no_speculation"]:
        yield "--no-speculation"
    if options["extra_args"]:
        yield from _behind(config, options["extra_args"])


def _behind(config: ServerConfig, arguments: Sequence[str]) -> Iterator[str]:
    """What stands behind `--`: its fields with their whole paths, and the arguments that are left.

    The unit runs in another folder.
    """
    engine = engine_of(config)
    taken = engine.take_over(arguments, version_of(engine))
    for field in dict.fromkeys(one.field for one in taken.fields):
        flag, value = field.replace("_", "-"), getattr(config, field)
        yield f"--{flag}" if value is True else f"--{flag}={value}"
    if taken.left:
        yield from ("--", *taken.left)


def _absolute(path: str | Path) -> Path:
    return Path(path).expanduser().absolute()


def _notes(
    resolved: ResolvedConfig, made: Service, environment: Mapping[str, str]
) -> Iterator[str]:
    """What a person may not expect."""
    config = resolved.config
    if resolved.sources["preset"].startswith("preset"):
        yield f"preset {config.preset} is written into the unit: {resolved.preset_reason}."
    left_out = sorted(
        name
        for name in environment
        if name not in made.environment and name.startswith(TELLING_PREFIXES)
    )
    if left_out:
        yield (
            f"not in the unit, since values may be secret: {', '.join(left_out)}. "
            "`--environment NAME=VALUE` puts one of the server's into it; "
            f"`systemctl edit {made.unit_name}` can add any."
        )
    if API_KEY_VARIABLE in environment and config.api_key_file is None:
        yield (
            f"{API_KEY_VARIABLE} is set here, and a unit holds no secret: put the key in a file of "
            "mode 0600 and give --api-key-file, or the service has no key."
        )
    if made.account is not None and pwd.getpwnam(made.account).pw_uid >= FIRST_PERSON_UID:
        yield (
            f"when {made.account} logs out, logind removes the shared memory of that account, and "
            "the server's with it: use an account of the system, or "
            f"`loginctl enable-linger {made.account}`."
        )


def _place(made: Service) -> Path:
    """Where systemd looks for the unit."""
    if made.account is not None:
        return SYSTEM_UNITS / made.unit_name
    folder = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(folder).expanduser() / "systemd" / "user" / made.unit_name


def _commands(made: Service, output: Path | None) -> list[str]:
    """What to type once the unit is printed or written."""
    place = _place(made)
    sudo, systemctl = ("", "systemctl --user")
    if made.account is not None:
        sudo, systemctl = ("sudo ", "sudo systemctl")
    commands = []
    if output is not None and output.absolute() != place:
        commands.append(f"{sudo}install -D -m 0644 {shlex.join([str(output), str(place)])}")
    commands += [f"{systemctl} daemon-reload", f"{systemctl} enable --now {made.unit_name}"]
    if made.account is None:
        # Without it, the user's systemd ends with the last session, and starts with the first.
        commands.append("loginctl enable-linger")
    return commands


def _write(output: Path, text: str) -> None:
    try:
        write_atomically(output, text)
    except StateError as error:
        raise StateError(
            error.problem, action="Give another --output, or print it and save it as root."
        ) from error
