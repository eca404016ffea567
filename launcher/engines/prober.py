"""What is asked of a running server, whatever the engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from launcher.memory.report import ReportedMemory


class Prober(Protocol):
    """The seam at which tests put another server."""

    last_refusal: str | None  # what the last probe that failed was told

    def is_up(self) -> bool:
        """Whether the server says of itself that it takes requests."""

    def generate(self, tokens: int, *, timeout_seconds: float) -> bool:
        """Whether the server generated tokens; blocks until it did or failed."""

    def seconds_since_output(self, *, timeout_seconds: float) -> float | None:
        """How long ago the server last gave a part of an answer to anybody.

        It has come out at the end, past every process of the server: what one of them says of its
        own work proves nothing of the others.

        Returns:
            Seconds; infinity where there was no output yet, or where the server does not answer;
            None where it cannot tell such a thing.
        """

    def memory(self) -> ReportedMemory | None:
        """What the server says of its own memory, or None where it does not."""

    def abort_requests(self) -> bool:
        """Ask the server to end every request that it has; says whether it took that."""

    def settle(self) -> bool:
        """Tell a server that has just generated its first tokens that it is warm.

        What it does then is the engine's: SGLang freezes its garbage collectors. Says whether it
        took that; nothing is lost but speed where it did not.
        """


@dataclass(frozen=True, slots=True)
class Completion:
    """A greedy completion of a prompt.

    Attributes:
        text: what came.
        tokens: of it.
        verifies: forward passes of the target model that made them; None without speculation.
    """

    text: str
    tokens: int
    verifies: int | None


class Completer(Protocol):
    """What gets answers of a running server, to compare it with another one."""

    def complete(self, prompt: str, tokens: int, *, timeout_seconds: float) -> Completion:
        """A greedy completion of so many tokens, whatever the model would end with.

        Raises:
            OSError: none came.
        """
