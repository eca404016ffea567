"""Where the server is and with which key: argument, then environment, then run record."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx

from clients.errors import ConfigurationError, RunRecordError
from clients.http.local.own_file import read_key_file
from clients.http.local.own_server import OwnServer
from clients.http.local.run_record import RunRecord, find_ready_server, run_record_path

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

BASE_URL_VARIABLE = "SPECSERVE_BASE_URL"
API_KEY_VARIABLE = "SPECSERVE_API_KEY"
# By which the launcher is given the key, where no file holds it: `launcher.names` has the same.
LAUNCHER_KEY_VARIABLE = "LAUNCHER_API_KEY"
ADMIN_KEY_VARIABLE = "SPECSERVE_ADMIN_KEY"
_LARGEST_KEY_BYTES = 4096
_LOOPBACK_HOSTS = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server to talk to.

    Attributes:
        base_url: scheme, host and port, without `/v1` and without a slash at the end.
        api_key: `None` if the server wants none.
        model: what the server calls its model; `None` if that is not known without asking.
        admin_key_file: file that holds the admin key; `None` where no run record led here.
        own: proves that the port is the server's; `None` where no run record led here.
    """

    base_url: str
    api_key: str | None = field(default=None, repr=False)
    model: str | None = None
    admin_key_file: Path | None = None
    own: OwnServer | None = field(default=None, repr=False, compare=False)

    @property
    def is_loopback(self) -> bool:
        """Whether the server is on this machine, where no proxy can reach it."""
        return httpx.URL(self.base_url).host in _LOOPBACK_HOSTS


def resolve_endpoint(
    base_url: str | None,
    api_key: str | None,
    *,
    server: str,
    environ: Mapping[str, str],
    find_server: Callable[[str], RunRecord] = find_ready_server,
) -> Endpoint:
    """Find the server.

    Args:
        base_url: argument of the caller; a `/v1` at its end does no harm.
        api_key: argument of the caller.
        server: name of the run record, read only if neither argument nor environment has a URL.
        environ: the environment; an empty variable counts as unset.
        find_server: reads the record.

    Returns:
        The server. The key of a run record goes to that record's URL and to no other, and there
        only to the server itself (`Endpoint.own`); so does what the environment has for it.

    Raises:
        ConfigurationError: the URL or the key cannot be one.
        ServerLookupError: as `find_server` does, or the key file cannot be read.
    """
    url = base_url or environ.get(BASE_URL_VARIABLE)
    key = api_key or environ.get(API_KEY_VARIABLE)
    if url:
        return Endpoint(_checked_url(url), _checked_key(key))
    record = find_server(server)
    if not key and record.api_key_file is not None:
        key = _read_key(
            record.api_key_file, f"the API key of server {server!r}", run_record_path(server)
        )
    # A server started with it, from this very environment, has no file to name.
    key = key or environ.get(LAUNCHER_KEY_VARIABLE)
    return Endpoint(
        _checked_url(record.base_url),
        _checked_key(key),
        record.served_model_name,
        record.admin_key_file,
        OwnServer(record),
    )


def find_admin_key(
    endpoint: Endpoint, admin_key: str | None, *, environ: Mapping[str, str]
) -> str | None:
    """Find the key of the admin routes.

    Args:
        endpoint: the server. The launcher keeps its key in a file that its user alone can read.
        admin_key: argument of the caller.
        environ: the environment; an empty variable counts as unset.

    Returns:
        The key; else the API key, which a server without an admin key takes.

    Raises:
        ConfigurationError: the key cannot be one.
        RunRecordError: the file cannot be read.
    """
    key = admin_key or environ.get(ADMIN_KEY_VARIABLE)
    if not key and endpoint.admin_key_file is not None:
        file = endpoint.admin_key_file
        key = _read_key(file, "the admin key", file)
    return _checked_key(key) or endpoint.api_key


def _checked_url(text: str) -> str:
    try:
        url = httpx.URL(text.strip())
    except httpx.InvalidURL as error:
        raise ConfigurationError(f"Not a URL: {text!r}: {error}.") from error
    if url.userinfo:
        # It would show up in error messages and logs.
        raise ConfigurationError(
            f"The base URL of {url.host} holds a user name or password.", action="Use api_key."
        )
    if url.scheme not in {"http", "https"} or not url.host:
        raise ConfigurationError(
            f"Not a base URL: {text!r}.", action="It looks like http://127.0.0.1:8000."
        )
    # As it is copied from elsewhere: with its version, or with the route of chats.
    plain = str(url).rstrip("/").removesuffix("/chat/completions")
    return plain.removesuffix("/v1").rstrip("/")


def _checked_key(key: str | None) -> str | None:
    key = (key or "").strip()
    # The HTTP library would refuse such a header only later, with the key in its message.
    if any(not "!" <= character <= "~" for character in key):
        raise ConfigurationError("The key holds characters that a header cannot carry.")
    return key or None


def _read_key(file: Path, what: str, path: Path) -> str:
    try:
        return read_key_file(file, largest_bytes=_LARGEST_KEY_BYTES).decode()
    except (OSError, ValueError) as error:
        raise RunRecordError(f"Cannot read {what} in {file}.", path=path) from error
