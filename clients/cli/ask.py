"""`python -m clients ask` for scripts, and `python -m clients chat` for people."""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import TYPE_CHECKING, Any

import click

from clients.chat import ChatClient
from clients.cli.check import check
from clients.errors import ClientError

if TYPE_CHECKING:
    from collections.abc import Callable

_FAILED = 1
_INTERRUPTED = 130


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


@cli.command()
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
    """Ask once and print the answer. Without PROMPT, or with -, it reads standard input."""
    text = prompt or "-"
    if text == "-":
        text = "" if sys.stdin.isatty() else sys.stdin.read()
    if not text.strip():
        raise click.UsageError("There is no prompt: give one, or pipe one in.")
    messages = [{"role": "user", "content": text}]
    if system:
        messages.insert(0, {"role": "system", "content": system})
    with ChatClient(base_url, server=name, model=model) as client:
        reply = client.chat(messages, **options)
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(reply), ensure_ascii=False))
        return
    if reply.answer_in_reasoning:
        click.echo("The answer came wholly as reasoning; here it is.", err=True)
    click.echo(reply.content or reply.reasoning)


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
    """Run the command line: 0 done, 1 no answer, 2 wrong usage, 130 interrupted."""
    try:
        cli(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except ClientError as error:
        click.echo(f"{error.problem}\n{error.action}".strip(), err=True)
        sys.exit(_FAILED)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(_INTERRUPTED)
