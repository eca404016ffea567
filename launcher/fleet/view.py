"""What of a fleet runs now: its members by their records, and what the gateway says of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from launcher.engines.smg.discovery import read_listed
from launcher.engines.smg.prober import KnownServer
from launcher.errors import StateError
from launcher.fleet.figures import ask_all
from launcher.fleet.fleet_file import FleetConfig
from launcher.fleet.layout import gateway_name, replica_names
from launcher.fleet.routing import known_servers
from launcher.fleet.store import FleetStore
from launcher.metrics.figures import Figures
from launcher.state.store import RunStore

NOTHING_TOLD: Final = Figures()
# In any other state nothing is said, and another program may listen there.
_ASKED: Final = frozenset({"READY", "UNHEALTHY", "STOPPING", "ORPHANED"})


@dataclass(frozen=True, slots=True)
class MemberView:
    """One member.

    Attributes:
        name: of its server; its address, for one elsewhere.
        role: `gateway`, `replica` or `remote`.
        state: as `status` has it; of one elsewhere, and where there is no record, "-".
        url: its address, "" where it was never started.
        listed: whether the gateway is told to send it requests.
        gateway_status: what the gateway itself says of it; "-" where that cannot be asked.
        requests: that it has through the gateway now; None where unknown.
        figures: what it says itself of its work, once it was asked; see `with_figures`.
        restarts: of its supervisor.
        note: the last failure, or what could not be read or asked.
    """

    name: str
    role: str
    state: str
    url: str
    listed: bool
    gateway_status: str
    requests: int | None
    restarts: int
    note: str
    figures: Figures = NOTHING_TOLD

    @property
    def is_well(self) -> bool:
        """Whether it does what it is there for."""
        if self.role == "gateway":
            return self.state == "READY" and not self.note
        return self.listed and self.gateway_status == "ready" and self.state in {"READY", "-"}


def view(store: FleetStore) -> list[MemberView]:
    """The members of a fleet, the gateway first.

    Raises:
        FleetError: no such fleet is known.
        StateError: what is known of it cannot be read.
    """
    fleet = store.require()
    gateway = RunStore(gateway_name(fleet.name))
    listed = set(read_listed(store.discovery_file).servers)
    known, unasked = known_servers(gateway.read())
    first = _local(gateway, "gateway", listed, {})
    # A restart that is over is no ill; that it cannot be asked is.
    members = [replace(first, note=unasked if first.state == "READY" else first.note)]
    members += [_local(RunStore(name), "replica", listed, known) for name in replica_names(fleet)]
    return [*members, *_remotes(fleet, listed, known)]


def with_figures(members: Iterable[MemberView]) -> list[MemberView]:
    """The same, with what each server says of its work; it takes `ANSWER_SECONDS` at the most."""
    known = list(members)
    told = ask_all({one.url for one in known if one.role == "remote" or _may_tell(one)})
    return [replace(one, figures=told.get(one.url, NOTHING_TOLD)) for one in known]


def _may_tell(member: MemberView) -> bool:
    return member.role == "replica" and member.state in _ASKED


def _local(
    store: RunStore, role: str, listed: set[str], known: dict[str, KnownServer]
) -> MemberView:
    try:
        record = store.read()
    except StateError as error:
        return MemberView(store.name, role, "-", "", False, "-", None, 0, error.problem)  # noqa: FBT003
    if record is None:
        return MemberView(store.name, role, "-", "", False, "-", None, 0, "never started")  # noqa: FBT003
    server = known.get(record.base_url)
    return MemberView(
        name=store.name,
        role=role,
        state=record.live_state,
        url=record.base_url,
        listed=record.base_url in listed,
        gateway_status=server.status if server else "-",
        requests=server.load if server else None,
        restarts=record.restarts,
        note=record.last_failure or "",
    )


def _remotes(
    fleet: FleetConfig, listed: set[str], known: dict[str, KnownServer]
) -> list[MemberView]:
    return [
        MemberView(
            name=url,
            role="remote",
            state="-",
            url=url,
            listed=url in listed,
            gateway_status=known[url].status if url in known else "-",
            requests=known[url].load if url in known else None,
            restarts=0,
            note="",
        )
        for url in fleet.remotes
    ]
