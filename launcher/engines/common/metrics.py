"""A server's metrics: read from its own files where they are here, asked for by HTTP otherwise.

`/metrics` costs a server 10 ms of a processor (SGLang 0.5.23, two cores, 2026-11-30), as it puts
the files of all its processes together. The same files can be read from outside, which costs it
nothing: they are this user's, in the run's own temporary folder. So a server here is looked at as
often as one likes, and one elsewhere every 15 seconds.
"""

from __future__ import annotations

import contextlib
import http.client
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal

from launcher.engines.common.asking import ask
from launcher.metrics.samples import Samples, from_families, parse_text
from launcher.metrics.table import MetricTable
from launcher.system import private

TIMEOUT_SECONDS: Final = 2.0
ASK_SECONDS: Final = 15.0
_MOST_FILE_BYTES: Final = 64 * 1024**2
# SGLang's are 70 KB for each rank that reports.
_MOST_BYTES: Final = 16 * 1024**2


# Where metrics came from; "" before the first.
Origin = Literal["files", "http", ""]


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


def read_files(table: MetricTable, environment: Mapping[str, str]) -> Samples | None:
    """Metrics from the files in which a server's processes keep them.

    Args:
        table: of the engine.
        environment: that the launcher added for the server: TMPDIR leads to the run's folder.

    Returns:
        None where there are no such files, or none that are this user's alone.
    """
    # Imported here: only what shows figures pays for it.
    from prometheus_client.multiprocess import MultiProcessCollector  # noqa: PLC0415

    folder = environment.get("TMPDIR")
    if table.files is None or not folder:
        return None
    files = sorted(Path(folder).glob(table.files))
    if not files or not all(private.is_usable(file) for file in files):
        return None
    try:
        if sum(file.stat().st_size for file in files) > _MOST_FILE_BYTES:
            return None
        merged = MultiProcessCollector.merge([str(one) for one in files])  # type: ignore[no-untyped-call]
        # Files that hold nothing are none: the server itself may know more.
        return from_families(merged) or None
    except (OSError, ValueError, KeyError, RuntimeError, MemoryError, struct.error):
        # One of them was just being made, or removed with the end of the run.
        return None


class MetricSource:
    """The metrics of one run of a server.

    Args:
        table: of its engine.
        url: its address.
        environment: that the launcher added for it; empty for a server elsewhere.
        ask_seconds: between two questions by HTTP.
    """

    def __init__(
        self,
        table: MetricTable,
        url: str,
        environment: Mapping[str, str],
        *,
        ask_seconds: float = ASK_SECONDS,
    ) -> None:
        self._table = table
        self._url = url
        self._environment = environment
        self._ask_seconds = ask_seconds
        self._asked_at: float | None = None
        self.origin: Origin = ""

    def read(self, now: float) -> Samples | None:
        """The newest metrics; None where it is not yet time to ask again.

        Args:
            now: of the monotonic clock, in seconds.

        Raises:
            UnreadMetricsError: there are none.
        """
        with contextlib.suppress(OSError):
            samples = read_files(self._table, self._environment)
            if samples is not None:
                self.origin = "files"
                return samples
        self.origin = "http"
        if self._asked_at is not None and now - self._asked_at < self._ask_seconds:
            return None
        self._asked_at = now
        return ask_metrics(self._url)
