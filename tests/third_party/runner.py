"""Runs a script of `python/`, in either environment: a line of JSON for each feature."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import inspect
import json
import sys
import traceback
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import Any

from tests.third_party.catalogue import FEATURES
from tests.third_party.scenario import Limit

_LOOPBACK = (None, "", "127.0.0.1", "localhost", "::1", b"127.0.0.1", b"localhost")


def main() -> None:
    """Try each feature that the script has a function for.

    A function called like a feature gets the server's URL, and returns what there is to say about
    how it works.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program", help="a module of tests/third_party/python")
    parser.add_argument("package", help="whose version counts")
    parser.add_argument("url", help="of the server, without /v1")
    parser.add_argument("features", nargs="*", help="only these")
    options = parser.parse_args()
    elsewhere: set[str] = set()
    # Before the client is imported, since some load something then.
    sys.addaudithook(lambda event, arguments: _refuse_others(event, arguments, elsewhere))
    module = importlib.import_module(f"tests.third_party.python.{options.program}")
    for feature in options.features or [name for name in FEATURES if hasattr(module, name)]:
        result, detail = _try(getattr(module, feature), options.url)
        _say(options.package, feature, result, detail)
    if not options.features:
        result = "fails" if elsewhere else "works"
        _say(options.package, "loopback_only", result, ", ".join(sorted(elsewhere)))


def _refuse_others(event: str, arguments: tuple[Any, ...], elsewhere: set[str]) -> None:
    if event == "socket.getaddrinfo":
        host = arguments[0]
    elif event == "socket.connect" and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    else:
        return
    if host not in _LOOPBACK:
        elsewhere.add(str(host))
        raise OSError(f"{host} is not loopback")


def _try(check: Callable[[str], str | Awaitable[str | None] | None], url: str) -> tuple[str, str]:
    try:
        detail = check(url)
        if inspect.isawaitable(detail):
            detail = asyncio.run(_whole(detail))
    except Limit as limit:
        return "limit", str(limit)
    except Exception as error:  # noqa: BLE001 - whatever a client raises is its answer
        traceback.print_exc()
        return "fails", f"{type(error).__name__}: {error}"
    return "works", detail or ""


async def _whole(awaitable: Awaitable[str | None]) -> str | None:
    return await awaitable


def _say(package: str, feature: str, result: str, detail: str) -> None:
    line = {"version": version(package), "feature": feature, "result": result, "detail": detail}
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
