"""Starts a gateway with keys from a file: `python -m launcher.engines.smg.start`.

smg takes its keys as arguments only, which every user of the machine can read in the list of
processes. So its own parser reads the arguments, and the keys are put beside them here.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from launcher.engines.smg.command import SECRETS_FLAG

# Who may add and remove servers, as smg writes it: an id, a name, a key, a role.
_ADMIN = ("launcher", "launcher")


def main(arguments: Sequence[str]) -> None:
    """Parse, add the keys, and serve until a signal comes."""
    # Imported here: it is an extra, and takes a second.
    from smg.launch_router import launch_router, parse_router_args  # noqa: PLC0415

    words = list(arguments)
    keys: dict[str, str] = {}
    if words[:1] == [SECRETS_FLAG]:
        keys = json.loads(Path(words[1]).read_text(encoding="utf-8"))
        words = words[2:]
    given: Any = parse_router_args(words)
    if (key := keys.get("api-key")) is not None:
        given.api_key = key
    if (key := keys.get("admin-api-key")) is not None:
        given.control_plane_api_keys = [(*_ADMIN, key, "admin")]
    launch_router(given)


if __name__ == "__main__":
    main(sys.argv[1:])
