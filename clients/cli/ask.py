"""`python -m clients ask` for scripts, and `python -m clients chat` for people."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from typing import TYPE_CHECKING, Any

import click

from clients.chat import ChatClient
from clients.cli.check import check
from clients.cli.safe import terminal_safe
from clients.errors import ClientError
from clients.reply import why_empty

if TYPE_CHECKING:
    from collections.abc import Callable

    from clients.reply import ChatReply

_EMPTY = 87
_INTERRUPTED = 130
EXIT_CODES = """\b
Exit codes:
   0  answered
   2  wrong usage, or a setting that makes no sense
  80  anything else
  81  no server of that name on this machine
  82  the server is not ready: starting, unhealthy, draining, or its queue is full
  83  no connection to the server, or another has its port
  84  the server refused: key, model, length, too many requests
  85  the answer broke off, is none of a chat server's, or the server failed
  86  too slow
  87  the answer is empty; standard error says why
  88  the answer cannot be used
  89  the answer is larger than allowed
 130  interrupted
"""


def _common(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that both commands take."""
    for option in (
        click.option("--base-url", help="Of the server; else SPECSERVE_BASE_URL, else --name's."),
        click.option("--name", default="default", show_default=True, help="Of a local server."),
        click.option("--model", help="Name of the model; else the served one."),
        click.option("--system", help="System message."),
        click.option("--thinking/--no-thinking", default=None, help="Reason before answering."),
        click.option("--max-tokens", type=click.IntRange(min=1), help="Most tokens to generate."),
        click.option("--temperature", type=click.FloatRange(0, 2), help="0 for greedy."),
    ):
        command = option(command)
    return command


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Talk to a served model."""


cli.add_command(check)


@cli.command(epilog=EXIT_CODES)
@click.argument("prompt", required=False)
@click.option("--json", "as_json", is_flag=True, help="The whole reply as one JSON object.")
@_common
def ask(
    prompt: str | None,
    *,
    as_json: bool,
    base_url: str | None,
    name: str,
    model: str | None,
    system: str | None,
    **options: Any,
) -> None:
    """Ask once and print the answer.

    What is piped in follows PROMPT after an empty line: git diff | python -m clients ask "Review
    this". Without PROMPT, or with -, it is all that is asked. Where standard input stays open and
    nothing comes, add < /dev/null.
    """
    text = _question(prompt)
    messages = [{"role": "user", "content": text}]
    if system:
        messages.insert(0, {"role": "system", "content": system})
    with ChatClient(base_url, server=name, model=model) as client:
        reply = client.chat(messages, **options)
    if as_json:
        # JSON writes out the controls of ASCII only; a terminal acts on others, too.
        text = json.dumps(dataclasses.asdict(reply), ensure_ascii=sys.stdout.isatty())
        click.echo(text, color=True)
    elif not reply.is_empty:
        # Into a pipe as it came: there it is data. click would take some of it out without `color`.
        shown = terminal_safe(reply.content) if sys.stdout.isatty() else reply.content
        click.echo(shown, color=True)
    _tell_of_lacks(reply)


def _question(prompt: str | None) -> str:
    """Join the argument and what is piped in."""
    parts = [] if prompt in {None, "-"} else [prompt or ""]
    # It is None where the shell has closed it: `<&-`.
    if sys.stdin is not None and not sys.stdin.isatty():
        try:
            parts.append(sys.stdin.buffer.read().decode("utf-8").strip("\n"))
        except UnicodeDecodeError as error:
            raise click.UsageError("Standard input is not UTF-8 text.") from error
    text = "\n\n".join(part for part in parts if part.strip())
    if not text:
        raise click.UsageError("There is no prompt: give one, or pipe one in.")
    return text


def _tell_of_lacks(reply: ChatReply) -> None:
    """Say on standard error what is wrong with an answer; one without text has its exit code."""
    if reply.is_empty:
        why, action = why_empty(reply)
        click.echo(f"The answer is empty: {why}.\n{action}", err=True)
        sys.exit(_EMPTY)
    if reply.finish_reason == "length":
        click.echo("The answer was cut off at its token limit.", err=True)


@cli.command()
@_common
def chat(
    *, base_url: str | None, name: str, model: str | None, system: str | None, **options: Any
) -> None:
    """Chat in the terminal. Ctrl-C stops an answer; Ctrl-D, or Ctrl-C at the prompt, leaves."""
    from clients.cli.terminal import Conversation  # noqa: PLC0415 - rich, which `ask` does not need

    with ChatClient(base_url, server=name, model=model) as client:
        Conversation(client, options, system=system).run()


def main() -> None:
    """Run the command line; its exit codes are those of `EXIT_CODES`."""
    try:
        cli(standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except ClientError as error:
        click.echo(terminal_safe(f"{error.problem}\n{error.action}".strip()), err=True)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # Whoever reads has read enough, as `| head -1` does. Python would flush once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (click.Abort, KeyboardInterrupt):
        sys.exit(_INTERRUPTED)
