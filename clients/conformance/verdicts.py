"""What may come of a check, and who is to blame. Pure: no I/O."""

from __future__ import annotations

from typing import Final, Literal

from clients.errors import ClientError

Outcome = Literal["kept", "server", "model", "client", "not offered", "not judged", "not run"]
"""`server`, `model` and `client` name who is to blame for a contract that was not kept."""

OUTCOMES: Final[tuple[Outcome, ...]] = (
    "kept",
    "server",
    "model",
    "client",
    "not offered",
    "not judged",
    "not run",
)


class VerdictError(Exception):
    """A contract was not kept, or could not be judged: the outcome, and what came back."""

    def __init__(self, outcome: Outcome, seen: str) -> None:
        super().__init__(seen)
        self.outcome: Outcome = outcome
        self.seen = seen


def server_fault(seen: str) -> VerdictError:
    """The server broke the contract, whatever the model said."""
    return VerdictError("server", seen)


def model_fault(seen: str) -> VerdictError:
    """The model did not do what the check needs of it, or did it wrong."""
    return VerdictError("model", seen)


def not_offered(seen: str) -> VerdictError:
    """The server said cleanly that it lacks the feature."""
    return VerdictError("not offered", seen)


def not_judged(seen: str) -> VerdictError:
    """What the check builds on was not there."""
    return VerdictError("not judged", seen)


class CannotCheckError(ClientError):
    """There is no server to check: no connection, no model, or the key is refused."""
