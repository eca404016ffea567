"""Servers on other machines: asked what they are, before anything is routed to them."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterable
from typing import Final

from launcher.engines.common.asking import ask
from launcher.errors import RemoteServerError

TIMEOUT_SECONDS: Final = 5.0
LARGEST_ANSWER_BYTES: Final = 4 * 1024**2


def check_remotes(urls: Iterable[str], *, model: str, api_key: str | None) -> None:
    """Ask each server for its models.

    Args:
        urls: their addresses, without a path.
        model: the name under which the fleet's servers serve.
        api_key: the fleet's: clients' requests carry it to every server.

    Raises:
        RemoteServerError: one does not answer, refuses the key, is no server of a model, or serves
            another one.
    """
    for url in urls:
        served = models_of(url, api_key)
        if model not in served:
            raise RemoteServerError(
                f"The server at {url} serves {', '.join(served) or 'no model'}, and the fleet "
                f"{model}.",
                action="Start it with the same `served_model_name`, or leave it out of `remotes`.",
            )


def models_of(url: str, api_key: str | None) -> tuple[str, ...]:
    """The models that a server lists to whoever has a key.

    Raises:
        RemoteServerError: it does not answer, refuses the key, or is no server of a model.
    """
    try:
        status, body = ask(
            f"{url}/v1/models",
            timeout_seconds=TIMEOUT_SECONDS,
            key=api_key,
            most_bytes=LARGEST_ANSWER_BYTES,
        )
    except (OSError, http.client.HTTPException, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise RemoteServerError(
            f"The server at {url} does not answer: {why}.",
            action="Look whether it runs there, and whether this machine may reach that port.",
        ) from None
    if status in {http.client.UNAUTHORIZED, http.client.FORBIDDEN}:
        raise RemoteServerError(
            f"The server at {url} refuses the fleet's key (status {status}).",
            action="Start it with the same key: a client's key goes through to every server.",
        )
    try:
        if status == http.client.OK:
            return tuple(str(one["id"]) for one in json.loads(body)["data"])
        problem = f"status {status}"
    except (ValueError, KeyError, TypeError, RecursionError):
        problem = "no list of models"
    raise RemoteServerError(
        f"What answers at {url} is no server of a model: {problem} for /v1/models.",
        action="Give the address of an SGLang server, without a path.",
    )
