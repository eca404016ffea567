"""The root of the tree, and what is neither of a lookup nor of an answer."""

from __future__ import annotations

from typing import ClassVar


class ClientError(Exception):
    """A failure: what went wrong, and one thing to do next.

    Args:
        problem: what failed, with the evidence (URL, status, path).
        action: one sentence on what to do next; the class has a default.
    """

    default_action: ClassVar[str] = ""
    exit_code: ClassVar[int] = 80

    def __init__(self, problem: str, *, action: str | None = None) -> None:
        self.problem = problem
        self.action = self.default_action if action is None else action
        super().__init__(f"{problem} {self.action}".strip())


class ConfigurationError(ClientError, ValueError):
    """An argument or an environment variable makes no sense."""

    exit_code = 2


class EngineLacksError(ClientError):
    """The engine that serves has nothing of the kind.

    Attributes:
        engine: its name, for example `vllm`.
        route: which route it lacks.
    """

    exit_code = 84

    def __init__(self, problem: str, *, engine: str, route: str, action: str | None = None) -> None:
        super().__init__(problem, action=action)
        self.engine = engine
        self.route = route


class StreamClosedError(ClientError):
    """A stream was left before its end and then asked for its whole reply."""

    default_action = "Use partial() for what had arrived."
