"""All servers and fleets of this machine, or some of them, look by look."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from launcher.engines.common.metrics import ASK_SECONDS
from launcher.engines.smg.discovery import read_listed
from launcher.errors import FleetError, InvalidValueError, NotRunningError, StateError
from launcher.fleet.layout import gateway_name, replica_names
from launcher.fleet.store import FleetStore, list_fleets
from launcher.live.server import RemoteWatch, ServerWatch, Surroundings
from launcher.live.snapshot import ServerSnapshot, Snapshot
from launcher.live.usage import Nvml
from launcher.metrics.benchmark import Machine
from launcher.metrics.window import WINDOW_SECONDS
from launcher.state.reports import Reports, this_machine
from launcher.state.store import RunStore, list_stores


@dataclass(frozen=True, slots=True)
class _Member:
    """What is looked at: a server's name, or the address of one elsewhere."""

    name: str
    fleet: str = ""
    role: str = "server"
    listed: frozenset[str] = frozenset()

    def of_fleet(self, seen: ServerSnapshot) -> ServerSnapshot:
        """With what its fleet knows of it."""
        if not self.fleet:
            return seen
        routed = None if self.role == "gateway" else seen.url in self.listed
        return dataclasses.replace(seen, fleet=self.fleet, routed=routed)


class Watch:
    """Looks at servers again and again.

    Args:
        name: of a server or a fleet; None: all that run, and those that have failed.
        report: of a benchmark, for the verdicts; None: those that are found.
        window_seconds: that rates and quantiles cover.
        ask_seconds: between two questions by HTTP, of a server whose files cannot be read.
        machine: this one; None finds out.
        clock: monotonic, in seconds.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        report: Path | None = None,
        window_seconds: float = WINDOW_SECONDS,
        ask_seconds: float = ASK_SECONDS,
        machine: Machine | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._reports = Reports(report)
        self._clock = clock
        self._around = Surroundings(
            Nvml(), machine or this_machine(), self._reports.all(), window_seconds, ask_seconds
        )
        self._watches: dict[str, ServerWatch] = {}
        self._remotes: dict[str, RemoteWatch] = {}

    def require(self) -> None:
        """See that there is what was named.

        Raises:
            NotRunningError: neither a server nor a fleet has that name.
            StateError: what is known of it cannot be read.
        """
        if self._name is None or self._fleet_of(self._name) is not None:
            return
        try:
            known = RunStore(self._name).read() is not None
        except InvalidValueError:
            known = False
        if not known:
            names = ", ".join([*(store.name for store in list_stores()), *list_fleets()])
            raise NotRunningError(
                f"No server and no fleet named {self._name!r} was ever started here.",
                action=f"Known names: {names}." if names else "Start one: `python -m launcher up`.",
            )

    def look(self) -> Snapshot:
        """What they do now. What cannot be read is named in the snapshot, and raised nowhere."""
        self._around.reports = self._reports.all()
        servers: list[ServerSnapshot] = []
        problems: list[str] = []
        try:
            members = self._members(problems)
        except (FleetError, StateError) as error:
            members, problems = [], [error.problem]
        for member in members:
            try:
                seen = self._look_at(member)
            except StateError as error:
                problems.append(error.problem)
                continue
            if seen is not None:
                servers.append(member.of_fleet(seen))
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        return Snapshot(at, tuple(servers), tuple(problems))

    def close(self) -> None:
        """Let go of what is held."""
        self._around.nvml.close()

    def _members(self, problems: list[str]) -> list[_Member]:
        if self._name is not None:
            fleet = self._fleet_of(self._name)
            return list(_fleet_members(fleet)) if fleet else [_Member(self._name)]
        members: list[_Member] = []
        for name in list_fleets():
            try:
                members += _fleet_members(FleetStore(name))
            except (FleetError, StateError) as error:
                problems.append(error.problem)
        known = {member.name for member in members}
        members += [_Member(store.name) for store in list_stores() if store.name not in known]
        return members

    def _look_at(self, member: _Member) -> ServerSnapshot | None:
        now = self._clock()
        if member.role == "remote":
            remote = self._remotes.setdefault(member.name, RemoteWatch(member.name, self._around))
            return remote.look(now)
        record = RunStore(member.name).read()
        if record is None:
            return _never_started(member) if member.fleet else None
        ended = not record.is_running and record.state in {"STOPPED", "EXITED"}
        if ended and self._name is None and not member.fleet:
            # It was stopped on purpose, and nobody asked about it.
            return None
        watch = self._watches.setdefault(member.name, ServerWatch(self._around))
        return watch.look(record, now, role=member.role)

    @staticmethod
    def _fleet_of(name: str) -> FleetStore | None:
        return FleetStore(name) if name in list_fleets() else None


def _fleet_members(store: FleetStore) -> Iterator[_Member]:
    fleet = store.require()
    listed = frozenset(read_listed(store.discovery_file).servers)
    yield _Member(gateway_name(fleet.name), fleet.name, "gateway")
    for name in replica_names(fleet):
        yield _Member(name, fleet.name, "replica", listed)
    for url in fleet.remotes:
        yield _Member(url, fleet.name, "remote", listed)


def _never_started(member: _Member) -> ServerSnapshot:
    return ServerSnapshot(
        name=member.name,
        fleet=member.fleet,
        role=member.role,
        engine="",
        model="",
        url="",
        state="-",
        problem="it was never started",
    )
