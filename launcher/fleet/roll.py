"""Replaces the servers of a fleet one by one, and goes back where the new ones are worse.

A server leaves the gateway's file before it ends, and its successor enters it only when it has been
found as good. In between the others serve.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from launcher.config.keys import read_keys
from launcher.config.server_config import ServerConfig
from launcher.engines.prober import Completion
from launcher.engines.select import model_engine_of
from launcher.engines.smg.discovery import change_listed
from launcher.errors import FleetError, InvalidValueError, LauncherError, RollError
from launcher.fleet.fleet_file import FleetConfig
from launcher.fleet.layout import Layout
from launcher.fleet.lifecycle import Tell, lay_out_here, settled
from launcher.fleet.members import prepare_member, start_all
from launcher.fleet.questions import Grade, ask, grade
from launcher.fleet.store import FleetStore
from launcher.models.download.request import OnPullEvent, ignore
from launcher.preflight import checks, prepare
from launcher.preflight.facts import ServingFacts
from launcher.state.store import RunStore
from launcher.supervision.stop import stop_server
from launcher.system.hardware import Hardware


@dataclass(frozen=True, slots=True)
class Rolled:
    """A server that was replaced.

    Attributes:
        name: of the server.
        grade: of the new one against the one before.
    """

    name: str
    grade: Grade


class Roll:
    """One replacement of all servers of a fleet.

    Args:
        after: what the fleet is to be.
        store: of its name; the caller holds the lock.
        hardware: of this machine.
        tell: is given the name of a member and what it does.
        report: is told of a download.
        same_model: the new servers are to answer as the old ones do.
    """

    def __init__(
        self,
        after: FleetConfig,
        store: FleetStore,
        hardware: Hardware,
        tell: Tell,
        report: OnPullEvent = ignore,
        *,
        same_model: bool = True,
    ) -> None:
        self._after = after
        self._before = store.require()
        self._store = store
        self._hardware = hardware
        self._tell = tell
        self._report = report
        self._same_model = same_model

    def run(self) -> list[Rolled]:
        """Replace them.

        Raises:
            FleetError: the fleet is not in a state to be rolled, or does not come back.
            RollError: a new server failed or was worse; the fleet is as before.
            LauncherError: the new configuration makes no sense, or does not fit; nothing was
                touched.
        """
        old = lay_out_here(self._before, self._store, self._hardware)
        new = lay_out_here(self._after, self._store, self._hardware)
        self._check(old, new)
        rolled: list[Rolled] = []
        for place, (former, following) in enumerate(zip(old.replicas, new.replicas, strict=True)):
            try:
                rolled.append(Rolled(following.name, self._replace(former, following)))
            except BaseException as error:
                self._go_back(old.replicas[: place + 1], error)
                if isinstance(error, LauncherError):
                    raise _stopped(following.name, error) from error
                raise
        self._store.write(settled(self._after, new))
        return rolled

    def _check(self, old: Layout, new: Layout) -> None:
        """Refuse what can be known before anything is touched."""
        if (self._after.name, self._after.replicas) != (self._before.name, self._before.replicas):
            raise InvalidValueError(
                f"The fleet {self._before.name!r} has {self._before.replicas} servers, and the "
                f"file says {self._after.replicas} of {self._after.name!r}.",
                action="A roll changes what the servers are; `fleet scale N` changes how many.",
            )
        if (new.gateway, new.remotes) != (old.gateway, old.remotes):
            raise InvalidValueError(
                "The file changes the gateway, the name of the model or the remotes, which a roll "
                "leaves as they are.",
                action="`fleet down`, then `fleet up` with the new file.",
            )
        if len(old.replicas) + len(old.remotes) < 2:
            raise FleetError(
                "The fleet has one server: there is none to serve while that is replaced.",
                action="`python -m launcher fleet scale 2`, roll, and scale back.",
            )
        for config in old.replicas:
            record = RunStore(config.name).read()
            state = "STOPPED" if record is None else record.live_state
            if state != "READY":
                raise FleetError(
                    f"The server {config.name!r} is {state}; a roll begins with all servers READY.",
                    action=f"`python -m launcher fleet up` with the file that it runs by; "
                    f"`python -m launcher logs --name {config.name}` shows its output.",
                )
        for config in new.replicas:
            facts = ServingFacts(config, self._hardware)
            secrets_file = RunStore(config.name).secrets_file
            prepare.plan_command(config, self._hardware, secrets_file=secrets_file)
            if not config.is_repository:
                checks.check_files(config)
            elif facts.target_here is None:
                # Minutes of a download are no time to be one server short.
                prepare.fetch_models(config, self._report)

    def _replace(self, former: ServerConfig, following: ServerConfig) -> Grade:
        """Put a server in another one's place, once it was found as good."""
        before = _answers(former)
        self._hold(former)
        stop_server(RunStore(former.name))
        member = prepare_member(following, self._hardware, self._report)
        start_all([member], self._tell)
        found = grade(before, _answers(following))
        worse = found.why_worse(same_model=self._same_model)
        if worse is not None:
            raise RollError(worse, action="Look at what differs: the model, its revision, flags.")
        self._release(following)
        return found

    def _go_back(self, configs: Sequence[ServerConfig], error: BaseException) -> None:
        """Serve by the former configurations again, the last one that was touched first.

        Raises:
            FleetError: one does not come back.
        """
        for config in reversed(configs):
            try:
                self._hold(config)
                stop_server(RunStore(config.name))
                start_all([prepare_member(config, self._hardware)], self._tell)
                self._release(config)
            except LauncherError as second:
                raise FleetError(
                    f"The roll failed ({error}), and {config.name!r} does not come back as it was: "
                    f"{second.problem}",
                    action=f"{second.action} The other servers serve.",
                    evidence=second.evidence,
                ) from second

    def _hold(self, config: ServerConfig) -> None:
        change_listed(self._store.discovery_file, hold=(config.base_url,))

    def _release(self, config: ServerConfig) -> None:
        change_listed(
            self._store.discovery_file, release=(config.base_url,), add=(config.base_url,)
        )


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
