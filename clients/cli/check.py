"""`python -m clients check`: a conformance run against any OpenAI-compatible server."""

from __future__ import annotations

import json
import os
import sys

import click

from clients.cli.safe import terminal_safe
from clients.errors import ClientError
from clients.http.endpoint import resolve_endpoint

_IMPOSSIBLE = 3
_INTERRUPTED = 130


def _names(given: tuple[str, ...]) -> list[str]:
    return [name for text in given for name in text.replace(",", " ").split()]


@click.command()
@click.argument("url", required=False)
@click.option("--name", default="default", show_default=True, help="Of a local server.")
@click.option("--model", help="Name of the model; else the run record's, else the first listed.")
@click.option("--only", multiple=True, metavar="ID", help="Ids or groups, such as tools,n.id.")
@click.option("--skip", multiple=True, metavar="ID", help="Ids or groups.")
@click.option(
    "--timeout-seconds",
    type=click.FloatRange(min=0, min_open=True, max=86400),
    default=60.0,
    show_default=True,
    help="For each whole answer.",
)
@click.option("--json", "as_json", is_flag=True, help="One document with all sent and received.")
@click.option("--full", is_flag=True, help="Contract and source of each line, kept ones too.")
@click.option("--list", "as_list", is_flag=True, help="Say what would be checked; send nothing.")
def check(
    *,
    url: str | None,
    name: str,
    model: str | None,
    only: tuple[str, ...],
    skip: tuple[str, ...],
    timeout_seconds: float,
    as_json: bool,
    full: bool,
    as_list: bool,
) -> None:
    """Check whether a server keeps the contracts of the OpenAI API.

    URL is the server's base URL; else SPECSERVE_BASE_URL, else that of the running server --name.
    The key comes from SPECSERVE_API_KEY or the run record.

    Exit codes: 0 every contract kept, but for what is the model's; 1 a fault of the server; 2 wrong
    usage; 3 there is no server to check; 4 a check failed itself; 130 interrupted.
    """
    # Not on import: `ask` needs none of it.
    from clients.cli.check_display import Progress, show, show_list  # noqa: PLC0415
    from clients.conformance.report import document  # noqa: PLC0415
    from clients.conformance.run import Run  # noqa: PLC0415
    from clients.conformance.table import choose  # noqa: PLC0415
    from clients.conformance.verdicts import CannotCheckError  # noqa: PLC0415
    from clients.conformance.wire import Wire  # noqa: PLC0415

    try:
        checks = choose(_names(only), _names(skip))
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    if as_list:
        show_list(checks)
        return
    try:
        endpoint = resolve_endpoint(url, None, server=name, environ=os.environ)
        wire = Wire(
            endpoint.base_url,
            endpoint.api_key,
            timeout_seconds=timeout_seconds,
            loopback=endpoint.is_loopback,
            own=endpoint.own,
        )
        if endpoint.own is not None:
            endpoint.own.check()
        with Progress(len(checks)) as progress:
            run = Run(wire, model or endpoint.model, checks, on_check=progress.begin)
            run.carry_out()
    except (CannotCheckError, ClientError) as error:
        click.echo(terminal_safe(f"{error.problem}\n{error.action}".strip()), err=True)
        sys.exit(_IMPOSSIBLE)
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    if as_json:
        click.echo(json.dumps(document(run, endpoint.base_url)))
    else:
        show(run, endpoint.base_url, full=full)
    sys.exit(run.exit_code)
