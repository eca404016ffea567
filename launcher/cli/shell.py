"""What a command line of ours is: lazy commands, failures as messages and exit codes.

The launcher's own and that of the benchmarks are both made of it.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from launcher.cli.common import EXIT_INTERRUPTED, cannot_print, say, show_failure
from launcher.cli.display.unhurried import STREAMS
from launcher.errors import OutputError, SpecserveError, StateError
from launcher.system.process import hear_signals

if TYPE_CHECKING:
    from collections.abc import Mapping


class LazyGroup(click.Group):
    """Imports a command when it is called, not before.

    Args:
        modules: the module of each command, by its name there, in the order of `--help`.
        settings: as click takes them.
    """

    def __init__(self, *, modules: Mapping[str, str], **settings: Any) -> None:
        context = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
        super().__init__(context_settings=context, **settings)
        self.modules = modules

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of all commands, for `--help` and completion."""
        return [*self.modules, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, imported where need be."""
        if cmd_name not in self.modules:
            return super().get_command(ctx, cmd_name)
        command = getattr(importlib.import_module(self.modules[cmd_name]), cmd_name)
        assert isinstance(command, click.Command)  # noqa: S101  # our own table
        return command


def run_command_line(cli: click.Group, *, script: str, module: str) -> NoReturn:
    """Run a command line; every failure becomes a message and an exit code.

    Args:
        cli: its commands.
        script: name of the installed script.
        module: what stands before the command where no script is installed.
    """
    hear_signals()
    _open_standard_streams()
    arguments = sys.argv[1:]
    own_arguments = arguments[: arguments.index("--")] if "--" in arguments else arguments
    # Looked for here because an error may come before the flag was parsed.
    as_json = "--json" in own_arguments
    try:
        code = cli.main(
            args=arguments, prog_name=_program_name(script, module), standalone_mode=False
        )
        sys.exit(code if isinstance(code, int) else 0)
    except click.ClickException as error:
        if as_json:
            usage = {"error": "UsageError", "exit_code": error.exit_code}
            with contextlib.suppress(OSError):
                click.echo(json.dumps(usage | {"problem": error.format_message()}))
        else:
            # What was typed is quoted there.
            shown = io.StringIO()
            error.show(shown)
            say(shown.getvalue(), err=True, end="")
        _leave(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _leave(EXIT_INTERRUPTED)
    except SpecserveError as error:
        _fail(error, as_json=as_json)
    except BrokenPipeError:
        # Whoever reads, such as `head`, has had enough.
        _leave(0)
    except OSError as error:
        # Nothing else lets one out: a stream that takes nothing has no name.
        _fail(cannot_print(error) if error.filename is None else _refused(error), as_json=as_json)
    except SystemExit:
        # How click ends where a pipe is broken.
        if isinstance(sys.stdout, click.utils.PacifyFlushWrapper):
            _leave(0)
        raise
    finally:
        STREAMS.uninstall()


def _fail(error: SpecserveError, *, as_json: bool) -> NoReturn:
    """Show a failure, where anybody can be told, and end with its code."""
    with contextlib.suppress(OSError, OutputError):
        show_failure(error, as_json=as_json)
    _leave(error.exit_code)


def _refused(error: OSError) -> StateError:
    return StateError(
        f"{error.filename} cannot be used: {error.strerror}.",
        action="Mend its permissions, or free space, and try again.",
    )


def _leave(code: int) -> NoReturn:
    """End with a code that stays: Python flushes once more, and a stream may take nothing."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    sys.exit(code)


def _open_standard_streams() -> None:
    """Put /dev/null where a caller has closed a standard stream.

    Otherwise the first file that we open gets its number, and a child prints into that.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(number, True)  # noqa: FBT003  # its own form


def _program_name(script: str, module: str) -> str:
    """What people typed. Completion goes by the name of the installed script."""
    completion_variable = f"_{script}_COMPLETE".replace("-", "_").upper()
    installed = Path(sys.argv[0]).name == script
    return script if installed or completion_variable in os.environ else module
