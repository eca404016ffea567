"""The metrics of a server that runs, by HTTP; which engine's they are, whoever reads them knows."""

from __future__ import annotations

import http.client
from typing import Final

from launcher.engines.common.asking import ask
from launcher.metrics.samples import Samples, parse_text

TIMEOUT_SECONDS: Final = 2.0
# SGLang's are 70 KB for each rank that reports.
_MOST_BYTES: Final = 16 * 1024**2


class UnreadMetricsError(Exception):
    """There are no metrics now; the text says why."""


def ask_metrics(url: str, *, timeout_seconds: float = TIMEOUT_SECONDS) -> Samples:
    """Metrics by `GET /metrics`, for which no engine wants a key.

    Args:
        url: of the server, without a path.
        timeout_seconds: of the connection, and of each read.

    Raises:
        UnreadMetricsError: none came.
    """
    try:
        status, body = ask(
            f"{url}/metrics", timeout_seconds=timeout_seconds, most_bytes=_MOST_BYTES
        )
        if status != http.client.OK:
            raise UnreadMetricsError(f"/metrics answers with status {status}")
        return parse_text(body.decode("utf-8", "replace"))
    except OSError as error:
        raise UnreadMetricsError(f"/metrics: {error.strerror or error}") from error
    except (http.client.HTTPException, ValueError) as error:
        raise UnreadMetricsError(f"/metrics: {type(error).__name__}") from error
