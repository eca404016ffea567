"""The keys of a server: from a private file or the environment, handed on by a private file."""

from __future__ import annotations

import os
import re
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from launcher.config.server_config import ServerConfig
from launcher.errors import InvalidValueError
from launcher.names import API_KEY_VARIABLE
from launcher.system.foreign import read_foreign

SHORTEST_KEY: Final = 16
LARGEST_KEY_FILE_BYTES: Final = 64 * 1024
# What a Bearer token may hold (RFC 6750, section 2.1), less a leading dash, which SGLang would take
# for an option. None of it changes when a log line quotes it, so that it can be found there.
_KEY: Final = re.compile(r"(?!-)[A-Za-z0-9._~+/-]+=*")

_EXPORT: Final = f"Make one: `export {API_KEY_VARIABLE}=$(openssl rand -hex 32)`."


def read_keys(config: ServerConfig, environment: Mapping[str, str]) -> dict[str, str]:
    """The keys for SGLang: the user's for inference, and one for the admin routes.

    Without an admin key of its own, SGLang lets every holder of the API key use the admin routes,
    and without both everybody (srt/utils/auth.py). So there always is one; the one that is made
    here stands in the server's folder while it runs, for the user who started it.

    Args:
        config: names the files, and says who can reach the server.
        environment: may hold the API key, for a service that gets it so; a file is stronger.

    Returns:
        `admin-api-key`, and `api-key` where there is one.

    Raises:
        InvalidValueError: no file, readable by others, or a key that SGLang would misread: empty
            (which turns authentication off), "None", with a leading dash, or with a character
            that a Bearer token has not. A file of another user's. One key for both. Or other
            machines could reach a server without a key.
            The key is never part of the message.
    """
    keys = {"admin-api-key": secrets.token_hex(32)}
    if config.admin_key_file is not None:
        keys["admin-api-key"] = _read_file(config.admin_key_file, environment)
    if config.api_key_file is not None:
        keys["api-key"] = _read_file(config.api_key_file, environment)
    elif API_KEY_VARIABLE in environment:
        keys["api-key"] = _checked(environment[API_KEY_VARIABLE], API_KEY_VARIABLE, _EXPORT)
    if keys.get("api-key") == keys["admin-api-key"]:
        raise InvalidValueError(
            "The API key and the admin key are the same one: whoever may send requests could use "
            "the admin routes.",
            action=_how_to_make(config.admin_key_file or Path("admin.key")),
        )
    if "api-key" not in keys and not config.is_loopback and not config.insecure:
        raise InvalidValueError(
            f"Other machines can reach host {config.host}, and there is no API key.",
            action=f"Set --api-key-file or {API_KEY_VARIABLE}; --insecure serves without a key.",
        )
    return keys


def read_kept_admin_key(file: Path | None) -> str | None:
    """The admin key of a server that runs, for whoever takes it over; None where there is none.

    Args:
        file: where it stands while the server runs.
    """
    try:
        return None if file is None else _read_file(file, {})
    except InvalidValueError:
        return None


def _read_file(file: Path, environment: Mapping[str, str]) -> str:
    try:
        text = read_foreign(file, most_bytes=LARGEST_KEY_FILE_BYTES).decode("utf-8")
        found = file.stat()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise InvalidValueError(
            f"The key file {file} cannot be read: {why}.", action=_how_to_make(file)
        ) from None
    others = stat.S_IRWXG | stat.S_IRWXO
    credentials = environment.get("CREDENTIALS_DIRECTORY")
    if credentials and file.parent == Path(credentials):
        # systemd shows the rights of its access list there: issue 29435 of systemd.
        others &= ~stat.S_IRGRP
    if hasattr(os, "geteuid") and found.st_uid not in {0, os.geteuid()}:
        raise InvalidValueError(
            f"The key file {file} belongs to user {found.st_uid}, who can read and change it; we "
            f"are user {os.geteuid()}.",
            action=f"Make it yours, `chown {os.geteuid()} {file}`, with a new key in it.",
        )
    if found.st_mode & others:
        raise InvalidValueError(
            f"The key file {file} has mode {stat.S_IMODE(found.st_mode):04o}, so others can read "
            "it.",
            action=f"Run `chmod 600 {file}`.",
        )
    return _checked(text, str(file), _how_to_make(file))


def _checked(text: str, source: str, how_to_make: str) -> str:
    key = text.strip()
    if len(key) < SHORTEST_KEY:
        raise InvalidValueError(
            f"The key in {source} has {len(key)} characters; at least {SHORTEST_KEY} are needed.",
            action=how_to_make,
        )
    if not _KEY.fullmatch(key):
        raise InvalidValueError(
            f"The key in {source} has a leading dash, or something else than letters, digits and "
            "any of `-._~+/`, with `=` at the end.",
            action=how_to_make,
        )
    return key


def _how_to_make(file: Path) -> str:
    return f"Make one: `(umask 077; openssl rand -hex 32 > {file})`."
