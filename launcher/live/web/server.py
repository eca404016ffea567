"""Serves the page on loopback: reads only, one address, nothing of another origin.

A page that somebody else wrote can reach loopback from a person's browser. So a request must name
this address in `Host`, which it cannot where its own name was made to mean 127.0.0.1 (DNS
rebinding), must come from no other site, and may only read.
"""

from __future__ import annotations

import contextlib
import http
import json
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any, Final

from launcher.errors import PortInUseError
from launcher.live.looker import Looker

ADDRESS: Final = "127.0.0.1"
_FILES: Final = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
}
_SNAPSHOT: Final = "/snapshot.json"
_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
_TIMEOUT_SECONDS: Final = 30.0


class _Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"
    timeout = _TIMEOUT_SECONDS
    server_version = "specserve"
    sys_version = ""

    def __init__(self, looker: Looker, *arguments: Any) -> None:
        self._looker = looker
        super().__init__(*arguments)

    def do_GET(self) -> None:
        """The page, one of its files, or what is known now."""
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        """The same without its content."""
        self._answer(with_body=False)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its own form
        """Not to the terminal."""

    def _answer(self, *, with_body: bool) -> None:
        if not self._is_ours():
            self._send(http.HTTPStatus.FORBIDDEN, b"", "text/plain", with_body=with_body)
            return
        path = self.path.partition("?")[0]
        if path == _SNAPSHOT:
            self._looker.check()
            newest = self._looker.newest
            body = json.dumps(None if newest is None else newest.as_data()).encode()
            self._send(http.HTTPStatus.OK, body, "application/json", with_body=with_body)
        elif path in _FILES:
            name, kind = _FILES[path]
            body = files(__package__).joinpath(name).read_bytes()
            self._send(http.HTTPStatus.OK, body, kind, with_body=with_body)
        else:
            self._send(http.HTTPStatus.NOT_FOUND, b"", "text/plain", with_body=with_body)

    def _is_ours(self) -> bool:
        """Whether the request means this address, and comes from no other site's page."""
        assert isinstance(self.server, ThreadingHTTPServer)  # noqa: S101 - made below
        port = self.server.server_port
        hosts = {f"{ADDRESS}:{port}", f"localhost:{port}"}
        own = {f"http://{host}" for host in hosts}
        origin = self.headers.get("Origin")
        return (
            self.headers.get_all("Host") in [[host] for host in hosts]
            and (origin is None or origin in own)
            and self.headers.get("Sec-Fetch-Site") in {None, "none", "same-origin"}
        )

    def _send(self, status: http.HTTPStatus, body: bytes, kind: str, *, with_body: bool) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            self.wfile.write(body)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # A reader that has gone is no failure.

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Not to the terminal."""


@contextlib.contextmanager
def page_server(looker: Looker, port: int) -> Iterator[ThreadingHTTPServer]:
    """A server for the page; `serve_forever` runs it.

    Args:
        looker: what is shown.
        port: to listen on; 0: any that is free.

    Raises:
        PortInUseError: something listens there, or the system refuses the port.
    """
    try:
        server = _Server((ADDRESS, port), partial(_Handler, looker))
    except OSError as error:
        raise PortInUseError(
            f"The page cannot listen on {ADDRESS}:{port}: {error.strerror}.",
            action="Name another port, or leave --port out.",
        ) from error
    try:
        yield server
    finally:
        server.server_close()
