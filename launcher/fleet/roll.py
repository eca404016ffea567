"""Replaces the servers of a fleet one by one, and goes back where the new ones are worse.

A server leaves the gateway's file before it ends, and its successor enters it only when it has been
found as good. In between the others serve.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final

from launcher.config.keys import read_keys
from launcher.config.server_config import ServerConfig
from launcher.engines.prober import Completion
from launcher.engines.select import model_engine_of
from launcher.engines.smg.discovery import change_listed
from launcher.errors import FleetError, InvalidValueError, LauncherError, RollError
from launcher.fleet.check import lay_out_here
from launcher.fleet.fleet_file import FleetConfig
from launcher.fleet.layout import Layout, gateway_name
from launcher.fleet.lifecycle import Tell, settled
from launcher.fleet.members import prepare_member, serves, start_all
from launcher.fleet.questions import Grade, ask, grade
from launcher.fleet.routing import wait_until_routed
from launcher.fleet.store import FleetStore
from launcher.models.download.request import OnPullEvent, ignore
from launcher.preflight import checks, prepare
from launcher.preflight.facts import ServingFacts
from launcher.state.store import RunStore
from launcher.supervision.stop import stop_server
from launcher.system.hardware import Hardware, HardwareProbe

# The gateway has these of the servers, so that it lets requests end as long as they do.
_OF_SERVERS: Final = frozenset({"drain_timeout_seconds", "stop_timeout_seconds"})


@dataclass(frozen=True, slots=True)
class Rolled:
    """A server that was replaced.

    Attributes:
        name: of the server.
        grade: of the new one against the one before; None where none served.
    """

    name: str
    grade: Grade | None


class Roll:
    """One replacement of all servers of a fleet.

    Args:
        after: what the fleet is to be.
        store: of its name; the caller holds the lock.
        probe: looks at this machine: what a server has held is free only once it has ended.
        tell: is given the name of a member and what it does.
        report: is told of a download.
        same_model: the new servers are to answer as the old ones do.
    """

    def __init__(
        self,
        after: FleetConfig,
        store: FleetStore,
        probe: HardwareProbe,
        tell: Tell,
        report: OnPullEvent = ignore,
        *,
        same_model: bool = True,
    ) -> None:
        self._after = after
        self._before = store.require()
        self._store = store
        self._probe = probe
        self._tell = tell
        self._report = report
        self._same_model = same_model
        # The former configuration of each that was touched, the last one last.
        self._touched: list[ServerConfig] = []

    def run(self) -> list[Rolled]:
        """Replace them.

        Raises:
            FleetError: the fleet is not in a state to be rolled, or does not come back.
            RollError: a new server failed or was worse; the fleet is as before.
            LauncherError: the new configuration makes no sense, or does not fit; nothing was
                touched.
        """
        hardware = self._probe()
        file = self._store.discovery_file
        old = lay_out_here(self._before, self._before, file, hardware)
        new = lay_out_here(self._after, self._before, file, hardware)
        self._check(old, new, hardware)
        known = [_answers(one) if serves(one.name) else None for one in old.replicas]
        # What a server that does not serve is held against.
        reference = next((answers for answers in known if answers is not None), None)
        rolled: list[Rolled] = []
        for former, following, answers in zip(old.replicas, new.replicas, known, strict=True):
            try:
                found = self._replace(former, following, answers or reference)
            except BaseException as error:
                self._go_back(error)
                if isinstance(error, LauncherError):
                    raise _stopped(following.name, error) from error
                raise
            rolled.append(Rolled(following.name, found))
        self._store.write(settled(self._after, new))
        return rolled

    def _check(self, old: Layout, new: Layout, hardware: Hardware) -> None:
        """Refuse what can be known before anything is touched."""
        if (self._after.name, self._after.replicas) != (self._before.name, self._before.replicas):
            raise InvalidValueError(
                f"The fleet {self._before.name!r} has {self._before.replicas} servers, and the "
                f"file says {self._after.replicas} of {self._after.name!r}.",
                action="A roll changes what the servers are; `fleet scale N` changes how many.",
            )
        changed = [
            field
            for field in type(old.gateway).model_fields
            if field not in _OF_SERVERS
            and getattr(old.gateway, field) != getattr(new.gateway, field)
        ]
        if changed or new.remotes != old.remotes:
            what = ", ".join([*changed, *(["remotes"] if new.remotes != old.remotes else [])])
            raise InvalidValueError(
                f"The file changes what the gateway is told: {what}. A roll replaces the servers "
                "alone.",
                action="`fleet down`, then `fleet up` with the new file.",
            )
        if len(old.replicas) + len(old.remotes) < 2:
            raise FleetError(
                "The fleet has one server: there is none to serve while that is replaced.",
                action="`python -m launcher fleet scale 2`, roll, and scale back.",
            )
        for config in new.replicas:
            facts = ServingFacts(config, hardware)
            secrets_file = RunStore(config.name).secrets_file
            prepare.plan_command(config, hardware, secrets_file=secrets_file)
            read_keys(config, os.environ)
            if not config.is_repository:
                checks.check_files(config)
            elif facts.target_here is None:
                # Minutes of a download are no time to be one server short.
                prepare.fetch_models(config, self._report)

    def _replace(
        self, former: ServerConfig, following: ServerConfig, before: tuple[Completion, ...] | None
    ) -> Grade | None:
        """Put a server in another one's place, once it was found as good."""
        record = RunStore(former.name).read()
        # As it runs, which a roll that was broken off may have changed.
        self._touched.append(former if record is None else record.read_config())
        self._hold(former, following)
        stop_server(RunStore(former.name))
        member = prepare_member(following, self._probe(), self._report)
        start_all([member], self._tell)
        found = None
        if before is not None:
            found = grade(before, _answers(following))
            worse = found.why_worse(same_model=self._same_model)
            if worse is not None:
                raise RollError(
                    worse, action="Look at what differs: the model, its revision, flags."
                )
        self._release(former, following)
        return found

    def _go_back(self, error: BaseException) -> None:
        """Serve by the former configurations again, the last one that was touched first.

        Raises:
            FleetError: one does not come back; the others did.
        """
        failed: list[tuple[str, LauncherError]] = []
        for config in reversed(self._touched):
            try:
                self._hold(config)
                stop_server(RunStore(config.name))
                start_all([prepare_member(config, self._probe())], self._tell)
                self._release(config)
            except LauncherError as second:
                failed.append((config.name, second))
        if failed:
            name, first = failed[0]
            raise FleetError(
                f"The roll failed ({error}), and {', '.join(one for one, _ in failed)} did not "
                f"come back as before. {name}: {first.problem}",
                action=f"{first.action} Then `fleet roll` again, with either file.",
                evidence=first.evidence,
            ) from first

    def _hold(self, *configs: ServerConfig) -> None:
        urls = {config.base_url for config in configs}
        change_listed(self._store.discovery_file, hold=urls)

    def _release(self, *configs: ServerConfig) -> None:
        urls = {config.base_url for config in configs}
        serving = (configs[-1].base_url,)
        change_listed(self._store.discovery_file, release=urls, add=serving)
        # The next one is taken away only when this one has its part of the load.
        wait_until_routed(gateway_name(self._before.name), self._store.discovery_file, serving)


def _answers(config: ServerConfig) -> tuple[Completion, ...]:
    """What a server answers to the fixed prompts.

    Raises:
        FleetError: it does not.
    """
    keys = read_keys(config, os.environ)
    try:
        return ask(model_engine_of(config).make_completer(config, keys))
    except OSError as error:
        raise FleetError(
            f"The server {config.name!r} does not answer a prompt: {error.strerror or error}.",
            action=f"`python -m launcher logs --name {config.name}` shows its output.",
        ) from error


def _stopped(name: str, error: LauncherError) -> RollError:
    return RollError(
        f"The roll stopped at {name!r}, and the fleet is as it was before. {error.problem}",
        action=error.action,
        evidence=error.evidence,
    )
