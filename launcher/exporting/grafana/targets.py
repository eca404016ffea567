"""Which servers are asked for their metrics."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from launcher.errors import InvalidValueError

JOB = "specserve"


@dataclass(frozen=True, slots=True)
class ScrapeTarget:
    """One server.

    Attributes:
        address: host and port.
        server: what it is called.
        fleet: to which it belongs; "" to none.
        https: whether it is asked so.
        needed_acceptance_length: below which plain decoding is faster there, by a benchmark; None
            where there is none.
    """

    address: str
    server: str
    fleet: str = ""
    https: bool = False
    needed_acceptance_length: float | None = None


def parse_target(text: str) -> ScrapeTarget:
    """A target as a person writes it: `HOST:PORT`, or an address with http:// or https://.

    Raises:
        InvalidValueError: it is neither.
    """
    parts = urlsplit(text if "://" in text else f"http://{text}")
    try:
        port = parts.port
    except ValueError:
        port = None
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path not in {"", "/"}:
        port = None
    elif port is None and "://" in text:
        port = 443 if parts.scheme == "https" else 80
    if port is None or parts.username is not None or parts.query or parts.fragment:
        raise InvalidValueError(
            f"{text!r} is no address of a server.", action="Write HOST:PORT or https://HOST:PORT."
        )
    host = f"[{parts.hostname}]" if ":" in str(parts.hostname) else parts.hostname
    address = f"{host}:{port}"
    return ScrapeTarget(address, address, https=parts.scheme == "https")
