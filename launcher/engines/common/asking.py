"""One HTTP request, past any proxy and without redirects: how the launcher asks what it watches."""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import urlsplit


def ask(
    url: str,
    *,
    timeout_seconds: float,
    method: str = "GET",
    body: dict[str, Any] | None = None,
    key: str | None = None,
    most_bytes: int | None = None,
) -> tuple[int, bytes]:
    """Send a request and read its answer.

    Args:
        url: with its path; http or https.
        timeout_seconds: of the connection, and of each read.
        method: of the request.
        body: sent as JSON.
        key: sent as a Bearer token.
        most_bytes: of the answer, no more are read; None: all of it.

    Returns:
        Status and body.

    Raises:
        OSError: there is no connection, or it was lost.
        http.client.HTTPException: what came is no answer.
        ValueError: the URL has no such port.
    """
    parts = urlsplit(url)
    https = parts.scheme == "https"
    kind = http.client.HTTPSConnection if https else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=timeout_seconds)
    headers = {"Content-Type": "application/json"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    try:
        connection.request(method, parts.path, json.dumps(body) if body else None, headers)
        response = connection.getresponse()
        return response.status, response.read(most_bytes)
    finally:
        connection.close()
