"""The file that tells a gateway of its servers, written by several processes at once.

    FILE         {"version": 1, "workers": [{"url": "http://127.0.0.1:8001"}]}: smg's own format
    FILE.held    addresses that are not to stand there yet, whatever their supervisors say
    FILE.lock    held by whoever changes one of them

smg 1.13.0 sees a change within 0.2 s (measured), sends nothing new to a server that is gone from
the file, and lets it end what it has.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from launcher.errors import StateError
from launcher.system.files import cannot_read, cannot_write, replace_file
from launcher.system.foreign import parse_json, read_foreign
from launcher.system.locks import open_locked

LARGEST_FILE_BYTES: Final = 1024**2
LOCK_SECONDS: Final = 5.0
# By then a gateway has seen that a server is gone; five times what was measured.
NOTICED_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Listed:
    """What stands in the files.

    Attributes:
        servers: addresses that the gateway may send requests to.
        held: those that it is not told of yet.
    """

    servers: tuple[str, ...] = ()
    held: tuple[str, ...] = ()


def read_listed(file: Path) -> Listed:
    """What a gateway is told now; nothing where there is no file.

    Raises:
        StateError: it cannot be read, or is no such file.
    """
    workers = _read(file).get("workers", [])
    held = _read(_beside(file, "held")).get("held", [])
    listed = workers if isinstance(workers, list) else [None]
    urls = [one.get("url") if isinstance(one, dict) else None for one in listed]
    if not all(isinstance(url, str) for url in urls):
        raise _broken(file)
    if not isinstance(held, list) or not all(isinstance(url, str) for url in held):
        raise _broken(_beside(file, "held"))
    return Listed(tuple(map(str, urls)), tuple(held))


def change_listed(
    file: Path,
    *,
    add: Collection[str] = (),
    remove: Collection[str] = (),
    hold: Collection[str] = (),
    release: Collection[str] = (),
) -> Listed:
    """Change what a gateway is told, in one step; whoever comes meanwhile waits.

    Args:
        file: of the gateway; made where there is none.
        add: addresses to send requests to; one that is held stays out.
        remove: addresses to send nothing to any more.
        hold: addresses to take out, and to keep out until they are released.
        release: addresses that are held no more; only `add` brings them in.

    Returns:
        What it is told now.

    Raises:
        StateError: the files cannot be read or written.
    """
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = open_locked(_beside(file, "lock"), timeout_seconds=LOCK_SECONDS)
    except OSError as error:
        raise cannot_write(_beside(file, "lock"), error) from error
    with lock:
        before = read_listed(file)
        held = _without(_united(before.held, hold), release)
        servers = _without(_united(before.servers, add), {*remove, *held})
        if held != before.held:
            _write(_beside(file, "held"), {"held": held})
        if servers != before.servers or not file.exists():
            _write(file, {"version": 1, "workers": [{"url": url} for url in servers]})
    return Listed(servers, held)


def _united(first: Iterable[str], more: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*first, *more)))


def _without(urls: Iterable[str], out: Collection[str]) -> tuple[str, ...]:
    return tuple(url for url in urls if url not in out)


def _beside(file: Path, what: str) -> Path:
    return file.with_name(f"{file.name}.{what}")


def _read(file: Path) -> dict[str, Any]:
    try:
        content = parse_json(read_foreign(file, most_bytes=LARGEST_FILE_BYTES))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise cannot_read(file, error) from error
    except ValueError:
        raise _broken(file) from None
    if not isinstance(content, dict):
        raise _broken(file)
    return content


def _write(file: Path, content: dict[str, Any]) -> None:
    try:
        replace_file(file, (json.dumps(content, indent=2) + "\n").encode())
    except OSError as error:
        raise cannot_write(file, OSError(error.errno, error.strerror)) from error


def _broken(file: Path) -> StateError:
    return StateError(
        f"{file} is no list of a gateway's servers.",
        action="Remove it: the servers' supervisors write it again within seconds, and `fleet up` "
        "those elsewhere.",
    )
