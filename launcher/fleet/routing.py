"""What a fleet's gateway knows of its servers, and when it has taken one up."""

from __future__ import annotations

import time
from collections.abc import Collection
from pathlib import Path
from typing import Final

from launcher.config.keys import read_kept_admin_key
from launcher.engines.smg.discovery import read_listed
from launcher.engines.smg.prober import GatewayProber, KnownServer
from launcher.errors import FleetError
from launcher.state.record import RunRecord
from launcher.state.store import RunStore

# From the change of its file; measured with smg 1.13.0: 0.3 to 1.8 s, and half a second for 20
# servers at its start.
ROUTE_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.1


def known_servers(gateway: RunRecord | None) -> tuple[dict[str, KnownServer], str]:
    """What the gateway says of each address; where it says nothing, why.

    Args:
        gateway: its record; None where it was never started.
    """
    if gateway is None or not gateway.is_running:
        return {}, "it does not run"
    key = read_kept_admin_key(gateway.admin_key_file)
    try:
        servers = GatewayProber(gateway.base_url, key).servers()
    except OSError as error:
        return {}, f"it does not tell of its servers: {error.strerror or error}"
    return {server.url: server for server in servers}, ""


def wait_until_routed(
    gateway: str, discovery_file: Path, urls: Collection[str], *, seconds: float = ROUTE_SECONDS
) -> None:
    """Wait until a gateway sends requests to the servers that its file has, and has one at all.

    It takes up a new one some time after its file has it. Until then the others have all of the
    load, and whoever takes one of them away may leave none.

    Args:
        gateway: its name; one that does not run is not waited for.
        discovery_file: that it reads.
        urls: addresses to wait for while the file has them: a server that fails leaves it.
        seconds: how long at the most.

    Raises:
        FleetError: it has not done so.
    """
    store = RunStore(gateway)
    deadline = time.monotonic() + seconds
    while True:
        record = store.read()
        if record is None or not record.is_running:
            return
        prober = GatewayProber(record.base_url)
        missing = _missing(record, discovery_file, urls)
        if not missing and prober.routes():
            return
        if time.monotonic() > deadline:
            which = (
                f"does not send requests to {', '.join(missing)}" if missing else "has no server"
            )
            said = "" if missing else f" It says: {prober.last_refusal}."
            raise FleetError(
                f"The gateway runs, and {which} after {seconds:.0f} s.{said}",
                action=f"`python -m launcher logs --name {gateway}` shows its output.",
            )
        time.sleep(_POLL_SECONDS)


def _missing(gateway: RunRecord, discovery_file: Path, urls: Collection[str]) -> list[str]:
    """The servers that stand in the file, and that the gateway does not call ready."""
    listed = [url for url in read_listed(discovery_file).servers if url in urls]
    known, _ = known_servers(gateway) if listed else ({}, "")
    return [url for url in listed if url not in known or known[url].status != "ready"]
