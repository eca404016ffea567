"""Carries the checks out, one after the other, and never ends without saying what it found."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from clients.conformance.contract import Check, Finding
from clients.conformance.probe import Probe
from clients.conformance.text import clean, quote
from clients.conformance.verdicts import Outcome, VerdictError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from clients.conformance.wire import Wire

_MOST_FAILURES: Final = 3
_LONGEST_SEEN: Final = 320

EXIT_KEPT: Final = 0
EXIT_SERVER: Final = 1
EXIT_IMPOSSIBLE: Final = 3
EXIT_CLIENT: Final = 4
EXIT_INTERRUPTED: Final = 130


class Run:
    """One run against one server.

    Args:
        wire: to the server; closed at the end.
        model: its name, or `None` for the first that is listed.
        checks: what to examine.
        on_check: called with each check before it begins.

    Attributes:
        findings: so far, in the order of the checks.
        model: as it was found.
        interrupted: whether it was ended from outside.
    """

    def __init__(
        self,
        wire: Wire,
        model: str | None,
        checks: Sequence[Check],
        *,
        on_check: Callable[[Check], None] = lambda _: None,
    ) -> None:
        self.checks = checks
        self.findings: list[Finding] = []
        self.interrupted = False
        self.seconds = 0.0
        self._wire = wire
        self._probe = Probe(wire, model)
        self._on_check = on_check
        self._began = time.monotonic()

    @property
    def model(self) -> str:
        """The model's name; empty until it is known."""
        return self._probe.model

    def carry_out(self) -> None:
        """Examine the server; Ctrl-C ends it early, with what was found kept.

        Raises:
            CannotCheckError: no server, no model, or a key that is refused.
        """
        try:
            asyncio.run(self._all())
        except KeyboardInterrupt:
            self.interrupted = True
        finally:
            self.seconds = time.monotonic() - self._began
            done = {finding.check.id for finding in self.findings}
            why = "interrupted" if self.interrupted else "the server did not answer any more"
            self.findings.extend(
                Finding(check, "not run", why) for check in self.checks if check.id not in done
            )

    async def _all(self) -> None:
        try:
            await self._probe.prepare()
            for check in self.checks:
                self._on_check(check)
                self.findings.append(await self._examine(check))
                if self._wire.failures_in_a_row >= _MOST_FAILURES:
                    return
        finally:
            await self._wire.close()

    async def _examine(self, check: Check) -> Finding:
        began = time.monotonic()
        self._probe.used.clear()
        outcome: Outcome = "kept"
        try:
            seen = await check.test(self._probe)
        except VerdictError as error:
            outcome, seen = error.outcome, error.seen
            if check.required and outcome == "not offered":
                outcome = "server"
        except Exception as error:  # noqa: BLE001 - whatever a server makes a check stumble over
            outcome = "client"
            seen = f"this check failed itself: {type(error).__name__}: {quote(str(error))}"
        exchanges = tuple(dict.fromkeys(map(id, self._probe.used)))
        by_id = {id(exchange): exchange for exchange in self._probe.used}
        seen = self._wire.without_key(clean(seen))[:_LONGEST_SEEN]
        return Finding(
            check,
            outcome,
            seen,
            time.monotonic() - began,
            tuple(by_id[key] for key in exchanges),
        )

    @property
    def exit_code(self) -> int:
        """0 all kept but for what is the model's, 1 server, 4 client, 3 nothing judged, 130."""
        outcomes = {finding.outcome for finding in self.findings}
        if self.interrupted:
            return EXIT_INTERRUPTED
        if "server" in outcomes:
            return EXIT_SERVER
        if "client" in outcomes:
            return EXIT_CLIENT
        return EXIT_KEPT if outcomes & {"kept", "model", "not offered"} else EXIT_IMPOSSIBLE
